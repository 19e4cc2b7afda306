//! Checks of constants that only the compiler can evaluate, and of widths that have to fit.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};

use super::constants::{Constant, all};
use crate::model::{Family, Model, Output, Projection, QuerySource, Scalar, Setting, Stem};
use crate::schema::{self, Kind};

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
            Constant::PerLayer(_, flags) => {
                let written: TokenStream = flags.iter().map(|flag| flag.tokens.clone()).collect();
                let len = flags.len();
                let arguments = quote!("`inverted_cross_attn`", #name::DEPTH, #len);
                checks.push(call("per_layer", &written, &arguments));
            }
            _ => {}
        }
    }
    if error.is_none() {
        for (what, width) in input_widths(model) {
            let tokens = &width.tokens;
            checks.extend(check(schema::WIDTH, what, tokens, tokens));
        }
        checks.extend(widths(name, model));
        checks.extend(equal_widths(name, model));
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

/// The widths of an input that have no constant, if only the compiler knows them.
fn input_widths(model: &Model) -> Vec<(&'static str, &Scalar)> {
    let stem = model.input.stem.iter().filter_map(|step| match step {
        Stem::Linear(width) => Some(("the width of `Linear`", width)),
        Stem::Patches(_) => None,
    });
    let learned = model.input.position.learned.as_ref();
    let channels = learned.map(|learned| ("`channels`", &learned.channels));
    let project =
        learned.and_then(|learned| learned.project.as_ref()).map(|width| ("`project`", width));
    let widths = stem.chain(channels).chain(project);
    widths.filter(|(_, width)| width.literal.is_none()).collect()
}

/// That widths can be divided among heads.
fn widths(name: &Ident, model: &Model) -> Vec<TokenStream> {
    let mut checks = Vec::new();
    let mut heads = |what: &str, width: TokenStream, heads: &Setting| {
        let constant = format_ident!("{}", heads.key.name.to_uppercase());
        let key = format!("`{}`", heads.name);
        let place = if heads.is_given { heads.value.tokens.clone() } else { quote!(#name) };
        checks.push(call("heads", &place, &quote!(#what, #width, #key, #name::#constant)));
    };
    let widths = [
        (
            &model.cross_dim_head,
            &model.cross_heads,
            "the token dimension",
            quote!(#name::INPUT_DIM),
        ),
        (&model.latent_dim_head, &model.latent_heads, "`latent_dim`", quote!(#name::LATENT_DIM)),
    ];
    for (dim, count, what, width) in widths {
        match (&model.qk_channels, dim) {
            (Some(_), _) => heads("`qk_channels`", quote!(#name::QK_CHANNELS), count),
            (None, None) => heads(what, width, count),
            (None, Some(_)) => {}
        }
        if model.v_channels.is_some() {
            heads("`v_channels`", quote!(#name::V_CHANNELS), count);
        }
    }
    if let Output::Queries(queries) = &model.output {
        let count = match (&queries.heads, model.family) {
            (None, Family::PerceiverPytorch) => Some(&model.cross_heads),
            (heads, _) => heads.as_ref(),
        };
        let is_divided = queries.dim_head.is_none() && model.family == Family::Transformers;
        let widths = [
            (queries.qk_channels.is_some(), "`qk_channels`", quote!(#name::DECODER_QK_CHANNELS)),
            (queries.v_channels.is_some(), "`v_channels`", quote!(#name::DECODER_V_CHANNELS)),
            (
                is_divided && queries.qk_channels.is_none(),
                "`latent_dim`",
                quote!(#name::LATENT_DIM),
            ),
        ];
        for (_, what, width) in widths.into_iter().filter(|(is_divided, ..)| *is_divided) {
            if let Some(count) = count {
                heads(what, width, count);
            }
        }
    }
    checks
}

/// That widths that have to be equal are.
fn equal_widths(name: &Ident, model: &Model) -> Vec<TokenStream> {
    let mut checks = Vec::new();
    if let Some(flag) = &model.queries_contribute_kv {
        let expected = quote! {
            if #name::QUERIES_CONTRIBUTE_KV { #name::INPUT_DIM } else { #name::LATENT_DIM }
        };
        let arguments = quote! {
            "`latent_dim`", "the dimension of the tokens", #expected,
            "since `queries_contribute_kv` attends to both", #name::LATENT_DIM
        };
        let Setting { is_given, value, .. } = &model.latent_dim;
        checks.push(call(
            "equal",
            if *is_given { &value.tokens } else { &flag.value.tokens },
            &arguments,
        ));
    }
    if let Output::Queries(queries) = &model.output
        && let (Projection::Embedding, QuerySource::Learned { dim, .. } | QuerySource::Given(dim)) =
            (&queries.project, &queries.source)
    {
        let arguments = quote! {
            "the dimension of the queries", "that of the embedding", #name::INPUT_CHANNELS,
            "which the output is projected with", #name::QUERY_DIM
        };
        checks.push(call("equal", &dim.value.tokens, &arguments));
    }
    if model.family == Family::Transformers
        && let Some(value) = model.v_channels.as_ref().or(model.qk_channels.as_ref())
    {
        let what = format!("`{}`", value.name);
        let constant = format_ident!("{}", value.key.name.to_uppercase());
        let arguments = quote! {
            #what, "`latent_dim`", #name::LATENT_DIM, "to which it is added", #name::#constant
        };
        checks.push(call("equal", &value.value.tokens, &arguments));
    }
    checks
}

/// A call that panics while the program is compiled if `value` is out of range, shown at `written`. On its own, and not
/// in the constant, so that nothing that uses the constant has a note about it.
fn check(
    kind: Kind,
    what: &str,
    written: &TokenStream,
    value: &TokenStream,
) -> Option<TokenStream> {
    let (function, limits) = match kind {
        Kind::Count { min, max } => ("count", vec![min, max]),
        Kind::Positive | Kind::PerAxis => ("positive", Vec::new()),
        Kind::Base => ("base", Vec::new()),
        Kind::Rate => ("rate", Vec::new()),
        Kind::Flag { .. }
        | Kind::PerLayer
        | Kind::Shape
        | Kind::Rows
        | Kind::Sizes
        | Kind::List(_)
        | Kind::Choice(_)
        | Kind::CountOr { .. } => return None,
    };
    let limits = limits.into_iter().map(Literal::u64_unsuffixed);
    Some(call(function, written, &quote!(#what, #(#limits,)* #value)))
}

/// A call of one of the library's checks, shown at `written`.
fn call(function: &str, written: &TokenStream, arguments: &TokenStream) -> TokenStream {
    let (begin, end) = ends(written);
    let function = Ident::new(function, begin);
    let arguments = quote_spanned!(end=> (#arguments));
    quote_spanned!(begin=> const _: () = __::check::#function #arguments;)
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
