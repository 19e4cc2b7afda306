//! The methods of a model, and dfdx's `Module` and `ModuleMut`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote_spanned};

use super::returns::{At, Returns};
use super::takes::Takes;
use crate::model::{Extent, Model, Output, QuerySource};

pub fn methods(
    name: &Ident,
    model: &Model,
    takes: &Takes,
    returns: &Returns,
    is_wrong: bool,
) -> TokenStream {
    let span = name.span();
    let latents = Returns::latents(name, model, takes);
    let (embedded, of_embed) = (&latents.ty, &latents.convert);
    let Takes { generics: inputs, ty: input, bounds, tokens, .. } = takes;
    let Returns { ty: output, queries, len, convert, at, .. } = returns;
    // The pattern of what `forward` takes is its value as well.
    let (generics, ty, argument, before, run) = match queries {
        None => (
            inputs.clone(),
            input.clone(),
            quote_spanned!(span=> input),
            TokenStream::new(),
            quote_spanned!(span=> #tokens, __::Beside::nothing()),
        ),
        Some(given) => {
            let bound = &given.bound;
            (
                quote_spanned!(span=> #inputs, Q: #bound),
                quote_spanned!(span=> (#input, Q)),
                quote_spanned!(span=> (input, queries)),
                quote_spanned!(span=> let (tokens, queries) = queries.try_merge(#tokens)?;),
                quote_spanned! {span=>
                    tokens,
                    __::Beside { queries: __::Option::Some(queries), points: __::Option::None }
                },
            )
        }
    };
    let at = at.as_ref().map(|at| self::at(name, takes, at));
    let attention = attention(name, model, takes, is_wrong);
    let errors = errors(model);
    let embed_takes = match queries {
        None => " Takes the same input as [`forward`](Self::forward).",
        Some(_) => " Takes the input of [`forward`](Self::forward) without queries.",
    };
    let doc = format!(" Returns {}, without dropout.{}", returns.what, returns.training);
    let takes_doc = format!(" Takes {}.", returns.input(takes));
    let embed_doc = format!(" Returns {}, without dropout.", latents.what);
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Storage<E>> #name<E, D> {
            #[doc = #doc]
            ///
            #[doc = #takes_doc]
            ///
            /// # Panics
            /// If [`try_forward`](Self::try_forward) returns an error.
            pub fn forward<#generics>(&self, #argument: #ty) -> #output
            where
                D: __::Device<E>,
                #bounds
            {
                __::expect_forward(self.try_forward(#argument))
            }

            /// [`forward`](Self::forward) for training: with dropout at the declared rates if the input is traced.
            ///
            /// # Panics
            /// If [`try_forward_mut`](Self::try_forward_mut) returns an error.
            pub fn forward_mut<#generics>(&mut self, #argument: #ty) -> #output
            where
                D: __::Device<E>,
                #bounds
            {
                __::expect_forward(self.try_forward_mut(#argument))
            }

            /// Fallible version of [`forward`](Self::forward).
            ///
            /// # Errors
            #[doc = #errors]
            pub fn try_forward<#generics>(&self, #argument: #ty) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds
            {
                #before
                self.perceiver.try_run::<_, #len, _>(#run)#convert
            }

            /// Fallible version of [`forward_mut`](Self::forward_mut).
            ///
            /// # Errors
            /// Same as [`try_forward`](Self::try_forward).
            pub fn try_forward_mut<#generics>(&mut self, #argument: #ty) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds
            {
                #before
                self.perceiver.try_run_mut::<_, #len, _>(#run)#convert
            }

            #[doc = #embed_doc]
            ///
            #[doc = #embed_takes]
            ///
            /// # Panics
            /// If [`try_embed`](Self::try_embed) returns an error.
            pub fn embed<#inputs>(&self, input: #input) -> #embedded
            where
                D: __::Device<E>,
                #bounds
            {
                __::expect_forward(self.try_embed(input))
            }

            /// Fallible version of [`embed`](Self::embed).
            ///
            /// # Errors
            /// Same as [`try_forward`](Self::try_forward).
            pub fn try_embed<#inputs>(&self, input: #input) -> __::Result<#embedded, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds
            {
                self.perceiver.try_run_embed(#tokens)#of_embed
            }

            #at
            #attention
        }

        impl<E: __::Dtype, D: __::Device<E>, #generics> __::Module<#ty> for #name<E, D>
        where
            #bounds
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: #ty) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward(self, input).map_err(__::ForwardError::into_device_error)
            }

            fn forward(&self, input: #ty) -> Self::Output {
                #name::<E, D>::forward(self, input)
            }
        }

        impl<E: __::Dtype, D: __::Device<E>, #generics> __::ModuleMut<#ty> for #name<E, D>
        where
            #bounds
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: #ty) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward_mut(self, input).map_err(__::ForwardError::into_device_error)
            }

            fn forward_mut(&mut self, input: #ty) -> Self::Output {
                #name::<E, D>::forward_mut(self, input)
            }
        }
    }
}

/// When `try_forward` returns an error.
fn errors(model: &Model) -> String {
    let extents = match &model.input.extent {
        Extent::Modalities { list, .. } => list.iter().map(|modality| &modality.input).collect(),
        _ => vec![&model.input],
    };
    let mut when = vec!["the batch or an axis is empty", "a mask has another size than its input"];
    if extents.iter().any(|input| matches!(input.extent, Extent::Text { .. })) {
        when.push("a text has an id that is not in the vocabulary or more than `max_len` tokens");
    }
    if extents.iter().any(|input| input.position.given.is_some()) {
        when.push("there is not one position for each token");
    }
    if extents.len() > 1 {
        when.push("the inputs have different batch sizes");
    }
    if let Output::Queries(queries) = &model.output
        && matches!(queries.source, QuerySource::Given(_))
    {
        when.push("there are no queries, or they have another batch size than the input");
    }
    format!(" If {}; or if the device runs out of memory.", when.join("; if "))
}

/// `forward_at`.
fn at(name: &Ident, takes: &Takes, at: &At) -> TokenStream {
    let span = name.span();
    let Takes { generics: inputs, ty: input, bounds, tokens, .. } = takes;
    let At { points, places, ty, convert, doc } = at;
    quote_spanned! {span=>
        #[doc = #doc]
        ///
        /// Its memory grows with the number of points, not with the size of the grid.
        ///
        /// # Panics
        /// If [`try_forward_at`](Self::try_forward_at) returns an error.
        pub fn forward_at<#inputs>(&self, input: #input, points: #points) -> #ty
        where
            D: __::Device<E>,
            #bounds
        {
            __::expect_forward(self.try_forward_at(input, points))
        }

        /// [`forward_at`](Self::forward_at) for training: with dropout at the declared rates if the input is traced.
        ///
        /// # Panics
        /// If [`try_forward_at_mut`](Self::try_forward_at_mut) returns an error.
        pub fn forward_at_mut<#inputs>(&mut self, input: #input, points: #points) -> #ty
        where
            D: __::Device<E>,
            #bounds
        {
            __::expect_forward(self.try_forward_at_mut(input, points))
        }

        /// Fallible version of [`forward_at`](Self::forward_at).
        ///
        /// # Errors
        /// Those of [`try_forward`](Self::try_forward), and if there are no points or one is not on its grid.
        pub fn try_forward_at<#inputs>(
            &self,
            input: #input,
            points: #points,
        ) -> __::Result<#ty, __::ForwardError<D::Err>>
        where
            D: __::Device<E>,
            #bounds
        {
            let points = __::Option::Some(#places);
            self.perceiver
                .try_run::<_, __::usize, _>(#tokens, __::Beside { queries: __::Option::None, points })#convert
        }

        /// Fallible version of [`forward_at_mut`](Self::forward_at_mut).
        ///
        /// # Errors
        /// Same as [`try_forward_at`](Self::try_forward_at).
        pub fn try_forward_at_mut<#inputs>(
            &mut self,
            input: #input,
            points: #points,
        ) -> __::Result<#ty, __::ForwardError<D::Err>>
        where
            D: __::Device<E>,
            #bounds
        {
            let points = __::Option::Some(#places);
            self.perceiver
                .try_run_mut::<_, __::usize, _>(#tokens, __::Beside { queries: __::Option::None, points })#convert
        }
    }
}

/// `attention`, unless the weights would have more dimensions than a tensor can.
fn attention(name: &Ident, model: &Model, takes: &Takes, is_wrong: bool) -> Option<TokenStream> {
    let span = name.span();
    let Takes { generics: inputs, ty: input, bounds, tokens, batch, .. } = takes;
    let axes = match (&model.input.sizes, model.input.extent.axes()) {
        _ if is_wrong => quote_spanned!(span=> __::AnyAxes<1>),
        (Some(sizes), _) if sizes.len() > 3 => return None,
        (Some(sizes), _) => {
            let sizes = sizes.iter().map(|(axis, size)| match size.count() {
                Some(count) => Literal::u64_unsuffixed(count).to_token_stream(),
                None => quote_spanned!(span=> { __::size_at(#name::INPUT_SHAPE, #axis) }),
            });
            quote_spanned!(span=> (#(__::Const<#sizes>,)*))
        }
        (None, Some(axes)) if axes > 3 => return None,
        (None, Some(axes)) => {
            let axes = Literal::u64_unsuffixed(axes);
            quote_spanned!(span=> __::AnyAxes<#axes>)
        }
        (None, None) => quote_spanned!(span=> __::AnyAxes<{ #name::INPUT_AXIS }>),
    };
    let map = quote_spanned! {span=> #batch, { #name::CROSS_HEADS }, { #name::NUM_LATENTS }, #axes, E, D };
    Some(quote_spanned! {span=>
        /// Returns the cross-attention weights of some `layers`, numbered from 0: for each a tensor
        /// `(batch, CROSS_HEADS, NUM_LATENTS, axis 1, ..)` over the axes of the tokens.
        ///
        /// They say how strongly each latent attends to each token; those of a latent in a head sum to 1. Gradients are not
        /// tracked.
        ///
        /// # Panics
        /// If [`try_attention`](Self::try_attention) returns an error.
        pub fn attention<#inputs>(&self, input: #input, layers: &[__::usize]) -> __::Vec<__::AttentionMap<#map>>
        where
            D: __::Device<E>,
            #bounds
            #axes: __::MapAxes<#batch, { #name::CROSS_HEADS }, { #name::NUM_LATENTS }>,
        {
            __::expect_forward(self.try_attention(input, layers))
        }

        /// Fallible version of [`attention`](Self::attention).
        ///
        /// # Errors
        /// Those of [`try_forward`](Self::try_forward), and if a layer does not begin with a cross attention.
        pub fn try_attention<#inputs>(
            &self,
            input: #input,
            layers: &[__::usize],
        ) -> __::Result<__::Vec<__::AttentionMap<#map>>, __::ForwardError<D::Err>>
        where
            D: __::Device<E>,
            #bounds
            #axes: __::MapAxes<#batch, { #name::CROSS_HEADS }, { #name::NUM_LATENTS }>,
        {
            __::try_attention::<_, #batch, { #name::CROSS_HEADS }, { #name::NUM_LATENTS }, #axes, E, D, _>(
                &self.perceiver,
                #tokens,
                layers,
            )
        }
    })
}
