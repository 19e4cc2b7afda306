//! What a forward pass costs, as a function of the sizes that are not declared.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

use crate::model::{Extent, Input, Model, Output, QuerySource, Scalar};

pub fn costs(name: &Ident, model: &Model, is_wrong: bool) -> TokenStream {
    let span = name.span();
    // They differ from whatever an input is called.
    let own = |parameter: &str| Ident::new(parameter, Span::mixed_site().located_at(span));
    let batch = own("batch");
    let mut parameters = vec![quote_spanned!(span=> #batch: __::usize)];
    let mut axes_of = |parameter: &Ident, input: &Input, constant: Option<TokenStream>| {
        let Some(axes) = open_axes(input) else {
            return quote_spanned!(span=> &[]);
        };
        let count = match (axes.count(), constant) {
            _ if is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            (Some(count), _) => Literal::u64_unsuffixed(count).to_token_stream(),
            (None, Some(constant)) => quote_spanned!(span=> { #constant }),
            (None, None) => {
                let tokens = &axes.tokens;
                quote_spanned!(span=> { #tokens })
            }
        };
        parameters.push(quote_spanned!(span=> #parameter: [__::usize; #count]));
        quote_spanned!(span=> &#parameter)
    };
    let axes: Vec<_> = match &model.input.extent {
        Extent::Modalities { list, .. } => {
            list.iter().map(|modality| axes_of(&modality.name, &modality.input, None)).collect()
        }
        _ => {
            let constant = quote_spanned!(span=> #name::INPUT_AXIS);
            vec![axes_of(&own("axes"), &model.input, Some(constant))]
        }
    };
    let queries = match &model.output {
        Output::Queries(queries) if matches!(queries.source, QuerySource::Given(_)) => {
            let queries = own("queries");
            parameters.push(quote_spanned!(span=> #queries: __::usize));
            queries.to_token_stream()
        }
        _ => Literal::usize_unsuffixed(0).to_token_stream(),
    };
    let fixed = (parameters.len() == 1).then(|| quote_spanned!(span=> fixed));
    quote_spanned! {span=>
        __::costs!(#fixed #name, [#(#parameters),*], __::Cost::of::<#name>(#batch, &[#(#axes),*], #queries));
    }
}

/// The number of axes of an input whose sizes are not declared.
fn open_axes(input: &Input) -> Option<Scalar> {
    match &input.extent {
        Extent::Axes { axes, .. } if axes.value.count() != Some(0) => Some(axes.value.clone()),
        Extent::Text { .. } => Some(Scalar::literal("1")),
        Extent::Axes { .. } | Extent::Shape { .. } | Extent::Modalities { .. } => None,
    }
}
