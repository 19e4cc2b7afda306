//! The constants: one for each key that says something about the model, and those that follow from them.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::Attribute;

use super::is_text;
use crate::model::{Extent, MaxFreq, Model, Output, Scalar, Setting};
use crate::schema::{self, Key, Kind};

/// One constant for each key. These are outside the block of implementations, so that a value sees just the
/// names that it sees where it is written.
pub fn constants(
    krate: &TokenStream,
    name: &Ident,
    model: &Model,
    error: Option<&TokenStream>,
) -> TokenStream {
    let writer = Writer { krate, span: name.span(), is_wrong: error.is_some() };
    let constants = all(model).into_iter().map(|constant| writer.constant(constant));
    let error = error.map(|error| {
        quote_spanned! {name.span()=>
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    quote_spanned! {name.span()=>
        impl #name {
            #error
            #(#constants)*
        }
    }
}

/// What a constant is.
enum Constant<'a> {
    Setting(&'a Setting),
    /// A flag of what the model has.
    Has(&'static Key, bool),
    /// The channels in a shape: its last size.
    Channels(&'a [Scalar]),
    Axes(usize),
    Shape(&'static str, &'a [Attribute], &'a [Scalar]),
    PerAxis(&'a [Attribute], &'a [Scalar]),
    Absent(&'static Key),
}

/// All constants, in the order of the keys.
fn all(model: &Model) -> Vec<Constant<'_>> {
    use Constant::{Absent, Axes, Channels, Has, PerAxis, Setting as Is, Shape};
    let mut constants = vec![Is(&model.depth)];
    let position = &model.input.position;
    let max_freq = match &position.max_freq {
        MaxFreq::Same(setting) => Is(setting),
        MaxFreq::PerAxis { docs, values } => PerAxis(docs, values),
    };
    let base = position.base.as_ref().map_or(Absent(&schema::FREQ_BASE), Is);
    constants.extend([Is(&position.bands), max_freq, base]);
    match &model.input.extent {
        Extent::Axes { axes, channels } => {
            constants.extend([Is(channels), Is(axes), Absent(&schema::INPUT_SHAPE)]);
        }
        Extent::Shape { name, docs, sizes } => {
            constants.extend([Channels(sizes), Axes(sizes.len() - 1), Shape(name, docs, sizes)]);
        }
    }
    constants.extend([
        Has(&schema::FOURIER_ENCODE_DATA, position.is_encoded),
        Is(&model.num_latents),
        Is(&model.latent_dim),
        Is(&model.cross_heads),
        Is(&model.latent_heads),
        Is(&model.cross_dim_head),
        Is(&model.latent_dim_head),
        Is(&model.attn_dropout),
        Is(&model.ff_dropout),
        Is(&model.weight_tie_layers),
        Is(&model.self_per_cross_attn),
        Is(&model.inverted_cross_attn),
        Has(&schema::FINAL_CLASSIFIER_HEAD, matches!(model.output, Output::MeanPool(_))),
    ]);
    if let Output::MeanPool(classes) = &model.output {
        constants.push(Is(classes));
    }
    constants
}

struct Writer<'a> {
    krate: &'a TokenStream,
    span: Span,
    /// Whether the declaration has an error, which then is the value of every count.
    is_wrong: bool,
}

impl Writer<'_> {
    fn constant(&self, constant: Constant) -> TokenStream {
        let span = self.span;
        let usize = quote_spanned!(span=> ::core::primitive::usize);
        let f64 = quote_spanned!(span=> ::core::primitive::f64);
        let bool = quote_spanned!(span=> ::core::primitive::bool);
        let option = |ty: &TokenStream| quote_spanned!(span=> ::core::option::Option<#ty>);
        let some =
            |value: &TokenStream| quote_spanned!(span=> ::core::option::Option::Some(#value));
        let array = |values: Vec<TokenStream>| quote_spanned!(span=> [#(#values),*]);
        let number = |count: usize| Literal::usize_unsuffixed(count).to_token_stream();
        match constant {
            Constant::Setting(Setting { key, docs, value, .. }) => {
                let tokens = &value.tokens;
                match key.kind {
                    Kind::Count { .. } => self.write(key, docs, &usize, &self.count(value)),
                    Kind::Base => self.write(key, docs, &option(&f64), &some(tokens)),
                    Kind::Flag { .. } => self.write(key, docs, &bool, tokens),
                    _ => self.write(key, docs, &f64, tokens),
                }
            }
            Constant::Has(key, has) => self.write(key, &[], &bool, &has.to_token_stream()),
            Constant::Axes(axes) => self.write(&schema::INPUT_AXIS, &[], &usize, &number(axes)),
            Constant::Channels(sizes) => {
                let (krate, last) = (self.krate, &sizes[sizes.len() - 1]);
                let index = sizes.len() - 1;
                let value = match last.count() {
                    Some(_) => last.tokens.clone(),
                    None => {
                        quote_spanned!(span=> #krate::__private::size_at(Self::INPUT_SHAPE, #index))
                    }
                };
                self.write(&schema::INPUT_CHANNELS, &[], &usize, &value)
            }
            Constant::Shape(_, docs, sizes) => {
                let len = number(sizes.len());
                let ty = option(&quote_spanned!(span=> [#usize; #len]));
                let sizes = sizes.iter().map(|size| self.count(size)).collect();
                self.write(&schema::INPUT_SHAPE, docs, &ty, &some(&array(sizes)))
            }
            Constant::PerAxis(docs, values) => {
                let len = number(values.len());
                let ty = quote_spanned!(span=> [#f64; #len]);
                let values = values.iter().map(|value| value.tokens.clone()).collect();
                self.write(&schema::MAX_FREQ, docs, &ty, &array(values))
            }
            Constant::Absent(key) => {
                let ty = match key.kind {
                    Kind::Shape => option(&quote_spanned!(span=> [#usize; Self::INPUT_AXIS + 1])),
                    _ => option(&f64),
                };
                self.write(key, &[], &ty, &quote_spanned!(span=> ::core::option::Option::None))
            }
        }
    }

    /// A count. One that cannot be computed is a single error in a type, where a constant has one more from a lint.
    fn count(&self, value: &Scalar) -> TokenStream {
        let (krate, tokens) = (self.krate, &value.tokens);
        match value.literal {
            Some(_) => tokens.clone(),
            None => quote_spanned!(self.span=> #krate::__private::Count::<{ #tokens }>::VALUE),
        }
    }

    fn write(
        &self,
        key: &Key,
        docs: &[Attribute],
        ty: &TokenStream,
        value: &TokenStream,
    ) -> TokenStream {
        let span = self.span;
        let constant = format_ident!("{}", key.name.to_uppercase(), span = span);
        let value = match key.kind {
            Kind::Count { .. } if self.is_wrong => quote_spanned!(span=> Self::DECLARATION_ERROR),
            _ => value.clone(),
        };
        let sentence = format!(" {}", key.sentence());
        let sentence =
            (!docs.iter().any(is_text)).then(|| quote_spanned!(span=> #[doc = #sentence]));
        quote_spanned!(span=> #sentence #(#docs)* pub const #constant: #ty = #value;)
    }
}

/// That what only the compiler can evaluate is in range, and the constants that follow from the keys.
pub fn checks(name: &Ident, model: &Model, error: Option<&TokenStream>) -> TokenStream {
    let span = name.span();
    let mut checks = Vec::new();
    for constant in if error.is_some() { Vec::new() } else { all(model) } {
        match constant {
            Constant::Setting(Setting { key, name: written, value, .. })
                if value.literal.is_none() =>
            {
                let constant = format_ident!("{}", key.name.to_uppercase(), span = span);
                let what = format!("`{written}`");
                checks.extend(check(
                    key.kind,
                    &what,
                    &value.tokens,
                    &quote_spanned!(span=> #name::#constant),
                ));
            }
            Constant::Shape(key, _, sizes) => {
                for (index, size) in
                    sizes.iter().enumerate().filter(|(_, size)| size.literal.is_none())
                {
                    let what = match index + 1 == sizes.len() {
                        true => format!("the number of channels of `{key}`"),
                        false => format!("axis {} of `{key}`", index + 1),
                    };
                    let value = quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #index));
                    checks.extend(check(schema::WIDTH, &what, &size.tokens, &value));
                }
            }
            Constant::PerAxis(_, values) => {
                for (index, number) in
                    values.iter().enumerate().filter(|(_, value)| value.literal.is_none())
                {
                    let what = format!("axis {} of `max_freq`", index + 1);
                    let value = quote_spanned!(span=> #name::MAX_FREQ[#index]);
                    checks.extend(check(Kind::Positive, &what, &number.tokens, &value));
                }
                if model.input.extent.axes().is_none() {
                    let len = values.len();
                    checks.push(quote_spanned! {span=>
                        const _: () = __::check::per_axis("`max_freq`", #name::INPUT_AXIS, #len);
                    });
                }
            }
            _ => {}
        }
    }
    quote_spanned! {span=>
        #(#checks)*

        impl #name {
            /// The dimension of each token: its channels and its position encoding.
            pub const INPUT_DIM: __::usize = __::token_dim::<#name>();
            /// The number of trainable parameters.
            pub const PARAMETERS: __::usize = <__::Perceiver<#name>>::PARAMETERS;
        }
    }
}

/// A call that panics while the program is compiled if `value` is out of range, shown at `written`. On its own, and not
/// in the constant, so that nothing that uses the constant has a note about it.
fn check(
    kind: Kind,
    what: &str,
    written: &TokenStream,
    value: &TokenStream,
) -> Option<TokenStream> {
    let (begin, end) = ends(written);
    let (function, max) = match kind {
        Kind::Count { max } => ("count", Some(Literal::u64_unsuffixed(max))),
        Kind::Positive | Kind::PerAxis => ("positive", None),
        Kind::Base => ("base", None),
        Kind::Rate => ("rate", None),
        Kind::Flag { .. } | Kind::Shape | Kind::Choice(_) => return None,
    };
    let function = Ident::new(function, begin);
    let max = max.into_iter();
    let call = quote_spanned!(end=> (#what, #(#max,)* #value));
    Some(quote_spanned!(begin=> const _: () = __::check::#function #call;))
}

/// Where `tokens` begin and end, but without making what is there the user's code that lints look at.
fn ends(tokens: &TokenStream) -> (Span, Span) {
    let trees: Vec<_> = tokens.clone().into_iter().collect();
    let begin = match trees.first() {
        Some(TokenTree::Group(group)) => group.span_open(),
        Some(tree) => tree.span(),
        None => Span::call_site(),
    };
    let end = match trees.last() {
        Some(TokenTree::Group(group)) => group.span_close(),
        Some(tree) => tree.span(),
        None => begin,
    };
    let shown = |span| Span::call_site().located_at(span);
    (shown(begin), shown(end))
}
