//! Checks of constants that only the compiler can evaluate, and of widths that have to fit.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};

use super::constants::{Constant, all};
use crate::model::{
    Extent, Family, Input, Learned, MaxFreq, Modality, Model, Output, OutputQueries, Position,
    Projection, QueryGrid, QuerySource, Scalar, Setting, Stem,
};
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
        for (what, kind, scalar) in unnamed(model) {
            let tokens = &scalar.tokens;
            checks.extend(check(kind, what, tokens, tokens));
        }
        checks.extend(widths(name, model));
        checks.extend(equal_widths(name, model));
    }
    let input_dim = match input_dim(model) {
        Some(dim) => {
            format!(" The dimension of each token, its channels and its position encoding: {dim}.")
        }
        None => " The dimension of each token: its channels and its position encoding.".into(),
    };
    quote_spanned! {span=>
        #(#checks)*

        impl #name {
            #[doc = #input_dim]
            pub const INPUT_DIM: __::usize = __::token_dim::<#name>();
            /// The number of trainable parameters: what `num_trainable_params()` returns. `summary()` lists those of each part.
            pub const PARAMETERS: __::usize = <__::Perceiver<#name>>::PARAMETERS;
        }
    }
}

/// The dimension of each token, where it follows from literals and nothing but Fourier features is appended to the channels.
fn input_dim(model: &Model) -> Option<u64> {
    let Input { extent, stem, position, .. } = &model.input;
    let (axes, channels) = match extent {
        Extent::Axes { axes, channels } => (axes.value.count()?, channels.value.count()?),
        Extent::Text { dim, .. } => return dim.value.count(),
        Extent::Shape { sizes, .. } => {
            let (channels, axes) = sizes.split_last()?;
            (axes.len() as u64, channels.count()?)
        }
        Extent::Modalities { .. } => return None,
    };
    if !stem.is_empty() || position.learned.is_some() || position.given.is_some() {
        return None;
    }
    if !position.is_encoded {
        return Some(channels);
    }
    let width = position.bands.value.count()?.checked_mul(2)?.checked_add(1)?;
    axes.checked_mul(width)?.checked_add(channels)
}

/// What has no constant, with what it is called and what it must be, if only the compiler knows it.
fn unnamed(model: &Model) -> Unnamed<'_> {
    let mut all = Vec::new();
    of_input(&model.input, &mut all);
    if let Extent::Modalities { list, .. } = &model.input.extent {
        for Modality { input, mask, .. } in list {
            match &input.extent {
                Extent::Axes { axes, channels } => {
                    all.push(("the number of axes", schema::AXES.kind, &axes.value));
                    all.push(("the number of channels", schema::WIDTH, &channels.value));
                }
                Extent::Text { vocab, max_len, dim } => {
                    for setting in [vocab, max_len, dim] {
                        all.push((setting.name, setting.key.kind, &setting.value));
                    }
                }
                Extent::Shape { sizes, .. } => {
                    all.extend(sizes.iter().map(|size| ("`shape`", schema::WIDTH, size)));
                }
                Extent::Modalities { .. } => {}
            }
            of_input(input, &mut all);
            of_position(&input.position, &mut all);
            all.extend(mask.iter().map(|mask| ("`mask`", Kind::Probability, mask)));
        }
    }
    match &model.output {
        Output::Queries(queries) => {
            if let QuerySource::Grid(grid) = &queries.source {
                of_grid(grid, &mut all);
            }
        }
        Output::Modalities { list, .. } => {
            for output in list {
                match &output.queries {
                    OutputQueries::Learned { count, dim } => {
                        all.push(("the number of queries", schema::WIDTH, count));
                        all.push(("the dimension of the queries", schema::WIDTH, dim));
                    }
                    OutputQueries::Grid(grid) => of_grid(grid, &mut all),
                }
                let project = output.project.iter();
                all.extend(project.map(|width| ("`project`", schema::OUTPUT_DIM.kind, width)));
            }
        }
        Output::MeanPool(_) | Output::ClassQuery(_) | Output::Latents => {}
    }
    all.retain(|(_, _, scalar)| scalar.literal.is_none());
    all
}

type Unnamed<'a> = Vec<(&'static str, Kind, &'a Scalar)>;

fn of_input<'a>(input: &'a Input, all: &mut Unnamed<'a>) {
    all.extend(input.stem.iter().filter_map(|step| match step {
        Stem::Linear(width) => Some(("the width of `Linear`", schema::WIDTH, width)),
        Stem::ConvPool(width) => Some(("the width of `ConvPool`", schema::WIDTH, width)),
        Stem::Patches(_) => None,
    }));
    all.extend(
        input.position.given.iter().map(|width| ("the width of `Given`", schema::WIDTH, width)),
    );
    if let Some(Learned { channels, project }) = &input.position.learned {
        all.push(("`channels`", schema::WIDTH, channels));
        all.extend(project.iter().map(|width| ("`project`", schema::WIDTH, width)));
    }
}

fn of_grid<'a>(grid: &'a QueryGrid, all: &mut Unnamed<'a>) {
    all.extend(grid.sizes.iter().map(|size| ("`shape`", schema::WIDTH, size)));
    of_position(&grid.position, all);
}

fn of_position<'a>(position: &'a Position, all: &mut Unnamed<'a>) {
    if !position.is_encoded {
        return;
    }
    all.push(("`bands`", schema::BANDS.kind, &position.bands.value));
    match &position.max_freq {
        MaxFreq::Same(setting) => all.push(("`max_freq`", Kind::Positive, &setting.value)),
        MaxFreq::PerAxis { values, .. } => {
            all.extend(values.iter().map(|value| ("`max_freq`", Kind::Positive, value)));
        }
    }
    // Checked as what it is where it is given.
    let base = position.base.iter().map(|base| ("`base`", Kind::Positive, &base.value));
    all.extend(base);
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
pub(super) fn check(
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
        Kind::Probability => ("probability", Vec::new()),
        Kind::Flag { .. }
        | Kind::PerLayer
        | Kind::Shape
        | Kind::Rows
        | Kind::Sizes
        | Kind::List(_)
        | Kind::OneOrList(_)
        | Kind::Choice(_)
        | Kind::CountOr { .. } => return None,
    };
    let limits = limits.into_iter().map(Literal::u64_unsuffixed);
    Some(call(function, written, &quote!(#what, #(#limits,)* #value)))
}

/// A call of one of the library's checks, shown at `written`.
pub(super) fn call(function: &str, written: &TokenStream, arguments: &TokenStream) -> TokenStream {
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
