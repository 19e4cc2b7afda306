//! The constants: one for each key that says something about the model, and those that follow from them.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Attribute;

use super::is_text;
use crate::model::{
    Extent, Family, Inverted, MaxFreq, Model, Output, Projection, Queries, QuerySource, Scalar,
    Setting, Share,
};
use crate::schema::{self, Key, Kind};

/// One constant for each key. These are outside the block of implementations, so that a value sees just the
/// names that it sees where it is written.
pub fn constants(
    krate: &TokenStream,
    name: &Ident,
    all: Vec<Constant<'_>>,
    error: Option<&TokenStream>,
) -> TokenStream {
    let writer = Writer { krate, span: name.span(), is_wrong: error.is_some() };
    let constants = all.into_iter().map(|constant| writer.constant(constant));
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
pub(super) enum Constant<'a> {
    Setting(&'a Setting),
    /// A flag of what the model has.
    Has(&'static Key, bool),
    /// The channels in a shape: its last size.
    Channels(&'a [Scalar]),
    Axes(usize),
    Shape(&'static str, &'a [Attribute], &'a [Scalar]),
    PerAxis(&'a [Attribute], &'a [Scalar]),
    PerLayer(&'a [Attribute], &'a [Scalar]),
    /// A key whose value follows from others.
    Derived(&'static Key, TokenStream),
    Absent(&'static Key),
}

/// All constants, in the order of the keys.
pub(super) fn all(model: &Model) -> Vec<Constant<'_>> {
    use Constant::{Absent, Axes, Channels, Has, PerAxis, PerLayer, Setting as Is, Shape};
    let mut constants = vec![Is(&model.depth)];
    let has_qk = model.qk_channels.is_some();
    let position = &model.input.position;
    let max_freq = match &position.max_freq {
        MaxFreq::Same(setting) => Is(setting),
        MaxFreq::PerAxis { docs, values } => PerAxis(docs, values),
    };
    let base = position.base.as_ref().map_or(Absent(&schema::FREQ_BASE), Is);
    let is_grid = matches!(model.input.extent, Extent::Axes { .. } | Extent::Shape { .. });
    if is_grid {
        constants.extend([Is(&position.bands), max_freq, base]);
    }
    match &model.input.extent {
        Extent::Axes { axes, channels } => {
            constants.extend([Is(channels), Is(axes), Absent(&schema::INPUT_SHAPE)]);
        }
        Extent::Text { vocab, max_len, dim } => {
            constants.extend([Is(vocab), Is(max_len), Is(dim), Axes(1)]);
        }
        Extent::Modalities { padding, .. } => constants.push(Is(padding)),
        Extent::Shape { name, docs, sizes } => {
            constants.extend([Channels(sizes), Axes(sizes.len() - 1), Shape(name, docs, sizes)]);
        }
    }
    if is_grid {
        constants.push(Has(&schema::FOURIER_ENCODE_DATA, position.is_encoded));
    }
    constants.extend([
        Is(&model.num_latents),
        Is(&model.latent_dim),
        Is(&model.cross_heads),
        Is(&model.latent_heads),
        head_dim(
            &model.cross_dim_head,
            &schema::CROSS_DIM_HEAD,
            has_qk,
            ["INPUT_DIM", "CROSS_HEADS"],
        ),
        head_dim(
            &model.latent_dim_head,
            &schema::LATENT_DIM_HEAD,
            has_qk,
            ["LATENT_DIM", "LATENT_HEADS"],
        ),
        Is(&model.attn_dropout),
        Is(&model.ff_dropout),
        match &model.share {
            Share::Tied(tied) => Is(tied),
            Share::Variant(share) => Has(&schema::WEIGHT_TIE_LAYERS, *share == "AllButFirst"),
        },
        Is(&model.self_per_cross_attn),
        match &model.inverted_cross_attn {
            Inverted::Same(flag) => Is(flag),
            Inverted::PerLayer { docs, flags } => PerLayer(docs, flags),
        },
        Has(&schema::FINAL_CLASSIFIER_HEAD, model.output.classes().is_some()),
    ]);
    constants.extend(model.output.classes().map(Is));
    match &model.output {
        Output::Queries(queries) => constants.extend(of_queries(queries, model.family)),
        Output::Modalities { padding, dim, .. } => constants.extend([Is(padding), Is(dim)]),
        Output::MeanPool(_) | Output::ClassQuery(_) | Output::Latents => {}
    }
    let others = [
        &model.cross_attends,
        &model.qk_channels,
        &model.v_channels,
        &model.attn_bias,
        &model.queries_contribute_kv,
        &model.final_norm,
    ];
    constants.extend(others.into_iter().flatten().map(Is));
    if let Some((flag, rank)) = &model.attn_residual {
        constants.extend([Is(flag), Is(rank)]);
    }
    constants
}

/// The constants of an output with queries.
fn of_queries(queries: &Queries, family: Family) -> Vec<Constant<'_>> {
    use Constant::{Derived, Setting as Is};
    let or = |setting: &'_ Option<Setting>, key, default| match setting {
        Some(_) => None,
        None => Some(Derived(key, default)),
    };
    let is_in_transformers = family == Family::Transformers;
    let heads = if is_in_transformers { quote!(1) } else { quote!(Self::CROSS_HEADS) };
    let dim_head = match (&queries.qk_channels, is_in_transformers) {
        (Some(_), _) => quote!(Self::DECODER_QK_CHANNELS / Self::DECODER_HEADS),
        (None, true) => quote!(Self::LATENT_DIM / Self::DECODER_HEADS),
        (None, false) => quote!(Self::CROSS_DIM_HEAD),
    };
    let mut constants = match &queries.source {
        QuerySource::Learned { count, dim } => vec![Is(count), Is(dim)],
        QuerySource::Given(dim) => vec![Is(dim)],
        QuerySource::Grid(grid) => {
            let (axes, bands) = (grid.sizes.len(), &grid.position.bands.value.tokens);
            vec![Derived(&schema::QUERY_DIM, quote!(#axes * (2 * (#bands) + 1)))]
        }
        QuerySource::Input => vec![Derived(&schema::QUERY_DIM, quote!(Self::INPUT_DIM))],
    };
    let given = [&queries.heads, &queries.dim_head, &queries.qk_channels, &queries.v_channels];
    constants.extend(given.into_iter().flatten().map(Is));
    constants.extend(or(&queries.heads, &schema::DECODER_HEADS, heads));
    constants.extend(or(&queries.dim_head, &schema::DECODER_DIM_HEAD, dim_head));
    constants.push(Is(&queries.residual));
    if queries.scale.is_given {
        constants.push(Is(&queries.scale));
    }
    constants.push(match &queries.project {
        Projection::Linear(dim) => Is(dim),
        Projection::Embedding => Derived(&schema::OUTPUT_DIM, quote!(Self::VOCAB)),
        Projection::None => Derived(&schema::OUTPUT_DIM, quote!(Self::QUERY_DIM)),
    });
    constants
}

/// The dimension of a head, or the constant that follows from the width of all heads together.
fn head_dim<'a>(
    setting: &'a Option<Setting>,
    key: &'static Key,
    has_qk: bool,
    [width, heads]: [&str; 2],
) -> Constant<'a> {
    let Some(setting) = setting else {
        let width = format_ident!("{}", if has_qk { "QK_CHANNELS" } else { width });
        let heads = format_ident!("{heads}");
        return Constant::Derived(key, quote!(Self::#width / Self::#heads));
    };
    Constant::Setting(setting)
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
                let text = Text::with(key, docs, shown(value));
                match key.kind {
                    Kind::Count { .. } => self.write(key, text, &usize, &self.count(value)),
                    Kind::Base => self.write(key, text, &option(&f64), &some(tokens)),
                    Kind::Flag { .. } | Kind::PerLayer => {
                        self.write(key, Text::of(key, docs), &bool, tokens)
                    }
                    _ => self.write(key, text, &f64, tokens),
                }
            }
            Constant::Derived(key, value) => {
                let text = Text::with(key, &[], written(&value));
                self.write(key, text, &usize, &value)
            }
            Constant::Has(key, has) => {
                self.write(key, Text::of(key, &[]), &bool, &has.to_token_stream())
            }
            Constant::Axes(axes) => {
                let key = &schema::INPUT_AXIS;
                self.write(key, Text::with(key, &[], Some(axes.to_string())), &usize, &number(axes))
            }
            Constant::Channels(sizes) => {
                let (krate, last) = (self.krate, &sizes[sizes.len() - 1]);
                let index = sizes.len() - 1;
                let value = match last.count() {
                    Some(_) => last.tokens.clone(),
                    None => {
                        quote_spanned!(span=> #krate::__private::size_at(Self::INPUT_SHAPE, #index))
                    }
                };
                let key = &schema::INPUT_CHANNELS;
                self.write(key, Text::with(key, &[], shown(last)), &usize, &value)
            }
            Constant::Shape(_, docs, sizes) => {
                let len = number(sizes.len());
                let ty = option(&quote_spanned!(span=> [#usize; #len]));
                let sizes = sizes.iter().map(|size| self.count(size)).collect();
                let key = &schema::INPUT_SHAPE;
                self.write(key, Text::of(key, docs), &ty, &some(&array(sizes)))
            }
            Constant::PerAxis(docs, values) => {
                let len = number(values.len());
                let ty = quote_spanned!(span=> [#f64; #len]);
                let values = values.iter().map(|value| value.tokens.clone()).collect();
                let key = &schema::MAX_FREQ;
                self.write(key, Text::of(key, docs), &ty, &array(values))
            }
            Constant::PerLayer(docs, flags) => {
                let len = number(flags.len());
                let ty = quote_spanned!(span=> [#bool; #len]);
                let flags = flags.iter().map(|flag| flag.tokens.clone()).collect();
                let key = &schema::INVERTED_CROSS_ATTN;
                self.write(key, Text::of(key, docs), &ty, &array(flags))
            }
            Constant::Absent(key) => {
                let ty = match key.kind {
                    Kind::Shape => option(&quote_spanned!(span=> [#usize; Self::INPUT_AXIS + 1])),
                    _ => option(&f64),
                };
                let none = quote_spanned!(span=> ::core::option::Option::None);
                self.write(key, Text::of(key, &[]), &ty, &none)
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
        Text { sentence, docs }: Text,
        ty: &TokenStream,
        value: &TokenStream,
    ) -> TokenStream {
        let span = self.span;
        let constant = format_ident!("{}", key.name.to_uppercase(), span = span);
        let value = match key.kind {
            Kind::Count { .. } if self.is_wrong => quote_spanned!(span=> Self::DECLARATION_ERROR),
            _ => value.clone(),
        };
        let sentence =
            (!docs.iter().any(is_text)).then(|| quote_spanned!(span=> #[doc = #sentence]));
        quote_spanned!(span=> #sentence #(#docs)* pub const #constant: #ty = #value;)
    }
}

/// The documentation of a constant.
struct Text<'a> {
    /// What the constant is, unless the declaration documents it.
    sentence: String,
    docs: &'a [Attribute],
}

impl<'a> Text<'a> {
    fn of(key: &Key, docs: &'a [Attribute]) -> Self {
        Self::with(key, docs, None)
    }

    /// The same with the value, since rustdoc shows the code that computes one that is not a literal.
    fn with(key: &Key, docs: &'a [Attribute], value: Option<String>) -> Self {
        let sentence = key.sentence();
        let sentence = match (value, sentence.contains([',', ':', ';'])) {
            (None, _) => format!(" {sentence}"),
            (Some(value), false) => format!(" {}: {value}.", sentence.trim_end_matches('.')),
            (Some(value), true) => format!(" {sentence} Here: {value}."),
        };
        Self { sentence, docs }
    }
}

/// A number as documentation shows it: as a number if it is known here, or else as it is written.
fn shown(value: &Scalar) -> Option<String> {
    match (value.count(), value.literal) {
        (Some(count), _) => Some(count.to_string()),
        (None, Some(_)) => Some(value.tokens.to_string()),
        (None, None) => written(&value.tokens),
    }
}

/// An expression as code in Markdown, if it is short.
fn written(tokens: &TokenStream) -> Option<String> {
    let code = tokens.to_string().replace(" :: ", "::").replace("Self::", "");
    let is_short = code.len() <= 60 && !code.contains(['`', '\n']);
    is_short.then(|| format!("`{code}`"))
}
