//! What `forward` returns.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::ext::IdentExt;

use super::takes::Takes;
use crate::model::{
    Extent, Model, Output, OutputModality, OutputQueries, Projection, QuerySource, Scalar,
};

/// `forward`, as far as it depends on the output.
pub struct Returns {
    pub ty: TokenStream,
    /// What it is.
    pub what: String,
    /// What else training needs to know.
    pub training: &'static str,
    /// Queries that are given with the input.
    pub queries: Option<Given>,
    /// The number of queries, as a type, where they come with the input.
    pub len: TokenStream,
    /// Converts the result of the library's method.
    pub convert: TokenStream,
    /// What `forward_at` returns, if there are points at which it can.
    pub at: Option<At>,
}

/// `forward_at`, as far as it depends on the output.
pub struct At {
    /// The type of the points.
    pub points: TokenStream,
    /// Their numbers in the order of the grid of each output.
    pub places: TokenStream,
    pub ty: TokenStream,
    pub convert: TokenStream,
    /// What a row of the output is, and what the points are.
    pub doc: String,
}

/// Queries that are given with the input.
pub struct Given {
    /// What they must be.
    pub bound: TokenStream,
    /// What they are.
    pub what: String,
}

/// A size as documentation shows it: as a number if it is known here, or else as `other`.
pub fn shown(size: &Scalar, other: &str) -> String {
    size.count().map_or_else(|| other.to_owned(), |count| count.to_string())
}

impl Returns {
    /// What `forward` takes, including queries.
    pub fn input(&self, takes: &Takes) -> String {
        match &self.queries {
            None => takes.what.clone(),
            Some(Given { what, .. }) => {
                format!("`(input, queries)`: the input is {}; {what}", takes.what)
            }
        }
    }

    /// The latents: the result of `embed`, and of `forward` without an output.
    pub fn latents(name: &Ident, model: &Model, takes: &Takes) -> Self {
        let span = name.span();
        let constants = [
            quote_spanned!(span=> { #name::NUM_LATENTS }),
            quote_spanned!(span=> { #name::LATENT_DIM }),
        ];
        let count = shown(&model.num_latents.value, "NUM_LATENTS");
        let dim = shown(&model.latent_dim.value, "LATENT_DIM");
        Self::rows(
            name,
            takes,
            &constants,
            format!("the latents after the last layer, `(batch, {count}, {dim})`"),
        )
    }

    /// A fixed number of rows.
    fn rows(name: &Ident, takes: &Takes, [rows, dim]: &[TokenStream; 2], what: String) -> Self {
        let span = name.span();
        let Takes { batch, tape, .. } = takes;
        let (ty, convert) = match takes.is_single {
            true => (
                quote_spanned!(span=> I::Latents<#rows, #dim>),
                quote_spanned!(span=> .map(I::latents)),
            ),
            false => (
                quote_spanned!(span=> __::Tensor<(#batch, __::Const<#rows>, __::Const<#dim>), E, D, #tape>),
                TokenStream::new(),
            ),
        };
        Self {
            ty,
            what,
            training: "",
            queries: None,
            len: quote_spanned!(span=> __::usize),
            convert,
            at: None,
        }
    }

    pub fn new(name: &Ident, model: &Model, takes: &Takes, is_wrong: bool) -> Self {
        let span = name.span();
        let Takes { batch, tape, .. } = takes;
        let dim = quote_spanned!(span=> { #name::OUTPUT_DIM });
        let number = |scalar: &Scalar, constant: TokenStream| match scalar.count() {
            _ if is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            Some(count) => Literal::u64_unsuffixed(count).to_token_stream(),
            None => quote_spanned!(span=> { #constant }),
        };
        let queries = match &model.output {
            Output::Latents => return Self::latents(name, model, takes),
            Output::MeanPool(classes) | Output::ClassQuery(classes) => {
                let (ty, convert) = match takes.is_single {
                    true => (
                        quote_spanned!(span=> I::Logits<{ #name::NUM_CLASSES }>),
                        quote_spanned!(span=> .map(I::logits)),
                    ),
                    false => (
                        quote_spanned!(span=> __::Tensor<(#batch, __::Const<{ #name::NUM_CLASSES }>), E, D, #tape>),
                        TokenStream::new(),
                    ),
                };
                let count = shown(&classes.value, "NUM_CLASSES");
                let what = format!(
                    "the logits, or the numbers that a regression predicts, `(batch, {count})`"
                );
                return Self { ty, what, convert, ..Self::latents(name, model, takes) };
            }
            Output::Modalities { list, .. } => return Self::several(name, list, takes, is_wrong),
            Output::Queries(queries) => queries,
        };
        let width = match (&queries.project, &model.input.extent) {
            (Projection::Linear(dim), _) => shown(&dim.value, "OUTPUT_DIM"),
            (Projection::Embedding, Extent::Text { vocab, .. }) => {
                shown(&vocab.value, "OUTPUT_DIM")
            }
            (Projection::Embedding | Projection::None, _) => "OUTPUT_DIM".into(),
        };
        match &queries.source {
            QuerySource::Learned { count, .. } => {
                let rows = quote_spanned!(span=> { #name::NUM_QUERIES });
                let count = shown(&count.value, "NUM_QUERIES");
                let what = format!("a row for each query, `(batch, {count}, {width})`");
                Self::rows(name, takes, &[rows, dim], what)
            }
            QuerySource::Grid(grid) => {
                let sizes = grid.sizes.iter().map(|size| {
                    (number(size, size.tokens.clone()), shown(size, &size.tokens.to_string()))
                });
                Self::grid(name, takes, sizes, ["position", &width])
            }
            QuerySource::Input if model.input.sizes.is_some() => {
                let sizes = model.input.sizes.iter().flatten().map(|(axis, size)| {
                    let constant = quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #axis));
                    (number(size, constant), shown(size, &format!("INPUT_SHAPE[{axis}]")))
                });
                Self::grid(name, takes, sizes, ["token", &width])
            }
            QuerySource::Input => Self {
                ty: quote_spanned!(span=> I::Rows<#dim>),
                what: format!("a row for each token, `(batch, tokens, {width})`"),
                training: "",
                len: quote_spanned!(span=> I::Tokens),
                convert: quote_spanned!(span=> .map(I::rows)),
                at: None,
                queries: None,
            },
            QuerySource::Given(width_of_query) => {
                let query = shown(&width_of_query.value, "QUERY_DIM");
                let number = number(&width_of_query.value, quote_spanned!(span=> #name::QUERY_DIM));
                Self {
                    ty: quote_spanned!(span=> Q::Outputs<#dim>),
                    what: format!("a row for each query, `(batch, queries, {width})`"),
                    training: "",
                    queries: Some(Given {
                        bound: quote_spanned!(span=> __::GivenQueries<Self, #batch, #tape, #number, E, D>),
                        what: format!("the queries are a tensor `(batch, queries, {query})`"),
                    }),
                    len: quote_spanned!(span=> Q::Len),
                    convert: quote_spanned!(span=> .map(Q::outputs)),
                    at: None,
                }
            }
        }
    }

    /// A row for each position of a grid with these sizes.
    fn grid(
        name: &Ident,
        takes: &Takes,
        sizes: impl Iterator<Item = (TokenStream, String)>,
        [each, width]: [&str; 2],
    ) -> Self {
        let span = name.span();
        let Takes { batch, tape, .. } = takes;
        let (sizes, shown): (Vec<_>, Vec<_>) = sizes.unzip();
        let axes = quote_spanned!(span=> (#(__::Const<#sizes>,)*));
        let dim = quote_spanned!(span=> { #name::OUTPUT_DIM });
        let count = sizes.len();
        let at = At {
            points: quote_spanned!(span=> &[[__::usize; #count]]),
            places: quote_spanned!(span=> __::vec![__::points(points, [#(#sizes),*])?]),
            ty: quote_spanned!(span=> __::Tensor<(#batch, __::usize, __::Const<#dim>), E, D, #tape>),
            convert: TokenStream::new(),
            doc: format!(
                " Returns only the rows of [`forward`](Self::forward) at some `points`, `(batch, points, {width})`. A point \
                 is the index of a {each} along each axis."
            ),
        };
        let (ty, convert) = match takes.is_single {
            true => (
                quote_spanned!(span=> I::Grid<#axes, #dim>),
                quote_spanned!(span=> .and_then(I::try_grid::<#axes, #dim>)),
            ),
            false => (
                quote_spanned!(span=> __::GridOutput<#batch, #axes, #dim, E, D, #tape>),
                quote_spanned!(span=> .and_then(__::try_grid::<#batch, #axes, #dim, E, D, #tape>)),
            ),
        };
        Self {
            ty,
            what: format!("a row for each {each}, `(batch, {}, {width})`", shown.join(", ")),
            training: "",
            queries: None,
            len: quote_spanned!(span=> __::usize),
            convert,
            at: Some(at),
        }
    }

    fn several(name: &Ident, list: &[OutputModality], takes: &Takes, is_wrong: bool) -> Self {
        let span = name.span();
        let Takes { batch, tape, .. } = takes;
        let structure = format_ident!("{}Output", name.unraw(), span = span);
        let number = |scalar: &Scalar| match scalar.count() {
            _ if is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            Some(count) => Literal::u64_unsuffixed(count).to_token_stream(),
            None => {
                let tokens = &scalar.tokens;
                quote_spanned!(span=> { #tokens })
            }
        };
        let (mut types, mut fields) = (TokenStream::new(), TokenStream::new());
        let (mut at_types, mut at_fields) = (TokenStream::new(), TokenStream::new());
        let mut places = TokenStream::new();
        for OutputModality { name: field, queries, project, .. } in list {
            let sizes: Vec<_> = match queries {
                OutputQueries::Learned { count, .. } => vec![number(count)],
                OutputQueries::Grid(grid) => grid.sizes.iter().map(number).collect(),
            };
            let dim = match project {
                Some(project) => number(project),
                None => quote_spanned!(span=> { #name::OUTPUT_DIM }),
            };
            let arguments = quote_spanned! {span=>
                #batch, (#(__::Const<#sizes>,)*), #dim, E, D, #tape
            };
            types.extend(quote_spanned!(span=> __::GridOutput<#arguments>,));
            let output =
                quote_spanned!(span=> #field: __::next_output::<#arguments>(&mut outputs)?,);
            match queries {
                OutputQueries::Learned { .. } => {
                    at_types.extend(quote_spanned!(span=> __::GridOutput<#arguments>,));
                    at_fields.extend(output.clone());
                    places.extend(quote_spanned!(span=> __::Vec::new(),));
                }
                OutputQueries::Grid(_) => {
                    at_types.extend(quote_spanned!(span=> __::Tensor<(#batch, __::usize, __::Const<#dim>), E, D, #tape>,));
                    at_fields.extend(quote_spanned!(span=> #field: __::next_rows(&mut outputs)?,));
                    places
                        .extend(quote_spanned!(span=> __::points(points.#field, [#(#sizes),*])?,));
                }
            }
            fields.extend(output);
        }
        let convert = |fields: &TokenStream| {
            quote_spanned! {span=>
                .and_then(|outputs| {
                    let mut outputs = __::IntoIterator::into_iter(outputs);
                    __::Result::Ok(#structure { #fields })
                })
            }
        };
        let has_grid = list.iter().any(|output| matches!(output.queries, OutputQueries::Grid(_)));
        let at = has_grid.then(|| {
            let points = format_ident!("{}Points", name.unraw(), span = span);
            At {
                points: quote_spanned!(span=> #points<'_>),
                places: quote_spanned!(span=> __::vec![#places]),
                ty: quote_spanned!(span=> #structure<#at_types>),
                convert: convert(&at_fields),
                doc: format!(
                    " Returns only the rows of [`forward`](Self::forward) at some points, [`{points}`]: `(batch, points, ..)` for \
                     each output whose queries are a grid, all rows for the others."
                ),
            }
        });
        let names: Vec<_> = list.iter().map(|output| output.name.unraw().to_string()).collect();
        Self {
            ty: quote_spanned!(span=> #structure<#types>),
            what: format!(
                "[`{structure} {{ {} }}`]({structure}), in which each field has a row for each query of that output",
                names.join(", ")
            ),
            training: "\n\n To train, add up the losses of all outputs and call `backward` once: every output carries the tape of \
                the model's operations, but only the first that of the input.",
            queries: None,
            len: quote_spanned!(span=> __::usize),
            convert: convert(&fields),
            at,
        }
    }
}
