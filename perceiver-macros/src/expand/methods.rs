//! The methods of a model, and dfdx's `Module` and `ModuleMut`.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use super::returns::Returns;
use super::takes::Takes;
use crate::model::Model;

pub fn methods(name: &Ident, model: &Model, is_wrong: bool) -> TokenStream {
    let span = name.span();
    let takes = Takes::new(name, model, is_wrong);
    let returns = Returns::new(name, model, &takes, is_wrong);
    let latents = Returns::latents(name, &takes);
    let (embedded, of_embed) = (&latents.ty, &latents.convert);
    let Takes { generics: inputs, ty: input, bounds, tokens, .. } = &takes;
    let Returns { ty: output, doc, queries, len, convert } = &returns;
    // The pattern of what `forward` takes is its value as well.
    let (generics, ty, argument, before, given) = match queries {
        None => (
            inputs.clone(),
            input.clone(),
            quote_spanned!(span=> input),
            quote_spanned!(span=> let tokens = #tokens;),
            quote_spanned!(span=> __::Option::None),
        ),
        Some(given) => {
            let bound = &given.bound;
            (
                quote_spanned!(span=> #inputs, Q: #bound),
                quote_spanned!(span=> (#input, Q)),
                quote_spanned!(span=> (input, queries)),
                quote_spanned!(span=> let (tokens, queries) = queries.try_merge(#tokens)?;),
                quote_spanned!(span=> __::Option::Some(queries)),
            )
        }
    };
    let takes_doc = queries.iter().fold(takes.doc.clone(), |doc, given| doc + &given.doc);
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

            /// [`forward`](Self::forward) with dropout at the declared rates if the input has a tape.
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
            /// If the batch or an axis is empty, the mask has another size than the input, or the device runs out of memory.
            pub fn try_forward<#generics>(&self, #argument: #ty) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds
            {
                #before
                self.perceiver.try_run::<_, #len, _>(tokens, #given)#convert
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
                self.perceiver.try_run_mut::<_, #len, _>(tokens, #given)#convert
            }

            /// Returns the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, without dropout. Takes the
            /// same input as [`forward`](Self::forward).
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
                let tokens = #tokens;
                self.perceiver.try_run_embed(tokens)#of_embed
            }
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
        }
    }
}
