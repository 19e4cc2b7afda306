//! The methods of a model, and dfdx's traits.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::Ident;

use super::classifies;
use crate::check::Values;

/// The trait of what `model` can be given, which has a message for what it cannot.
fn input(name: &Ident, values: &Values, model: &TokenStream) -> TokenStream {
    let span = name.span();
    if let Some(axes) = values.axes()
        && !values.poisoned
    {
        let input = format_ident!("InputShape{axes}", span = span);
        let sizes = sizes(name, values, axes);
        return quote_spanned!(span=> __::#input<#model, #(#sizes,)* E, D>);
    }
    match values.count("input_axis") {
        Some(axes @ 1..=4) => {
            let input = format_ident!("Input{axes}", span = span);
            quote_spanned!(span=> __::#input<#model, E, D>)
        }
        _ => quote_spanned!(span=> __::InputAxes<#model, { #name::INPUT_AXIS }, E, D>),
    }
}

/// What else `model` asks of an input: its sizes, and that its mask lies over it. Bounds of their own, so that each
/// has a message of its own.
fn bounds(name: &Ident, values: &Values, model: &TokenStream) -> TokenStream {
    let span = name.span();
    let sizes = match values.axes() {
        Some(axes) if !values.poisoned => {
            let shape = format_ident!("Shape{axes}", span = span);
            let sizes = sizes(name, values, axes);
            quote_spanned!(span=> I::Sizes: __::#shape<#(#sizes,)* #model>)
        }
        _ => {
            // As a number, which says more than the name of its constant, if it is written as one.
            let channels = match values.count("input_channels") {
                Some(channels) => Literal::u64_unsuffixed(channels).to_token_stream(),
                None => quote_spanned!(span=> { #name::INPUT_CHANNELS }),
            };
            quote_spanned!(span=> <I::Sizes as __::Sizes>::Channels: __::Channels<#channels, #model>)
        }
    };
    quote_spanned! {span=>
        #sizes,
        I::Positions: __::MaskedBy<I::Mask, #model, E, D>
    }
}

/// The sizes of an `input_shape` with so many axes, as numbers where they are written as such.
fn sizes(name: &Ident, values: &Values, axes: usize) -> Vec<TokenStream> {
    let span = name.span();
    let size = |axis| quote_spanned!(span=> { __::size_at(#name::INPUT_SHAPE, #axis) });
    let sizes = (0..=axes).map(|axis| values.size(axis).unwrap_or_else(|| size(axis)));
    sizes.collect()
}

/// The sentence about what the model can be given: sizes as numbers, as far as the macro can read them.
fn takes(values: &Values) -> String {
    let size = |axis| values.size(axis).map(|size| size.to_string());
    let (axes, channels) = match values.axes() {
        Some(axes) => {
            let sizes = (0..axes).map(|axis| size(axis).unwrap_or_else(|| "..".into()));
            (sizes.collect(), size(axes))
        }
        None => {
            let axes: Vec<_> = match values.count("input_axis") {
                Some(axes) => (1..=axes).map(|axis| format!("axis {axis}")).collect(),
                None => vec!["axis 1".into(), "..".into()],
            };
            let channels = values.count("input_channels");
            (axes, channels.map(|channels| channels.to_string()))
        }
    };
    let axes = axes.join(", ");
    let channels = channels.unwrap_or_else(|| "INPUT_CHANNELS".into());
    format!(
        " Takes a tensor `(batch, {axes}, {channels})`, or a pair of one and a `bool` mask `(batch, {axes})`, true \
         where a position may be attended to."
    )
}

/// What `forward` gives for an `I`.
fn output(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    if classifies(values) {
        quote_spanned!(span=> I::Logits<{ #name::NUM_CLASSES }>)
    } else {
        latents(name)
    }
}

/// What `embed` gives for an `I`.
fn latents(name: &Ident) -> TokenStream {
    let span = name.span();
    quote_spanned!(span=> I::Latents<{ #name::NUM_LATENTS }, { #name::LATENT_DIM }>)
}

/// What the model is, for the library.
pub(super) fn spec(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    let output = if classifies(values) {
        quote_spanned!(span=> __::MeanPool<__::Const<{ #name::LATENT_DIM }>, __::Const<{ #name::NUM_CLASSES }>>)
    } else {
        quote_spanned!(span=> __::LatentsOutput)
    };
    let position = if values.is_off("fourier_encode_data") {
        quote_spanned!(span=> __::Position::None)
    } else {
        quote_spanned! {span=>
            __::Position::Fourier(__::Fourier {
                bands: #name::NUM_FREQ_BANDS,
                max_freq: #name::MAX_FREQ,
                base: #name::FREQ_BASE,
            })
        }
    };
    let heads = |count: &str, dim: &str| {
        let [count, dim] = [count, dim].map(|name| Ident::new(name, span));
        quote_spanned!(span=> __::Heads { count: #name::#count, dim: #name::#dim })
    };
    let cross_heads = heads("CROSS_HEADS", "CROSS_DIM_HEAD");
    let latent_heads = heads("LATENT_HEADS", "LATENT_DIM_HEAD");
    quote_spanned! {span=>
        impl __::Spec for #name {
            const NAME: &'static __::str = ::core::stringify!(#name);
            type Input = __::Grid<{ #name::INPUT_AXIS }, { #name::INPUT_CHANNELS }>;
            type NumLatents = __::Const<{ #name::NUM_LATENTS }>;
            type LatentDim = __::Const<{ #name::LATENT_DIM }>;
            type Output = #output;
            const POSITION: __::Position = #position;
            const DEPTH: __::usize = #name::DEPTH;
            const SELF_PER_CROSS_ATTN: __::usize = #name::SELF_PER_CROSS_ATTN;
            const CROSS_HEADS: __::Heads = #cross_heads;
            const LATENT_HEADS: __::Heads = #latent_heads;
            const SHARE: __::Share = __::Share::tied(#name::WEIGHT_TIE_LAYERS);
            const CROSS_SOFTMAX: __::Softmax = __::Softmax::inverted(#name::INVERTED_CROSS_ATTN);
            const DROPOUT: __::Dropout = __::Dropout {
                attention: #name::ATTN_DROPOUT,
                feed_forward: #name::FF_DROPOUT,
            };
        }
    }
}

pub(super) fn methods(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    let input = input(name, values, &quote_spanned!(span=> Self));
    // What the device lacks is another of the bounds: of an `impl`, rustc would say it less well.
    let bounds = bounds(name, values, &quote_spanned!(span=> Self));
    let output = output(name, values);
    let latents = latents(name);
    let (returns, given) = if classifies(values) {
        (
            " Returns the logits, `(batch, NUM_CLASSES)`, without dropout.",
            quote_spanned!(span=> I::logits),
        )
    } else {
        (
            " Returns the latents, `(batch, NUM_LATENTS, LATENT_DIM)`, without dropout.",
            quote_spanned!(span=> I::latents),
        )
    };
    let takes = takes(values);
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Storage<E>> #name<E, D> {
            #[doc = #returns]
            ///
            #[doc = #takes]
            ///
            /// # Panics
            /// If [`try_forward`](Self::try_forward) returns an error.
            pub fn forward<I: #input>(&self, input: I) -> #output
            where
                D: __::Device<E>,
                #bounds,
            {
                __::expect_forward(self.try_forward(input))
            }

            /// [`forward`](Self::forward) with dropout at the declared rates, if the input has a tape.
            ///
            /// # Panics
            /// If [`try_forward_mut`](Self::try_forward_mut) returns an error.
            pub fn forward_mut<I: #input>(&mut self, input: I) -> #output
            where
                D: __::Device<E>,
                #bounds,
            {
                __::expect_forward(self.try_forward_mut(input))
            }

            /// Fallible version of [`forward`](Self::forward).
            ///
            /// # Errors
            /// If the batch or an axis is empty, a mask is of another size than the input, or the device
            /// runs out of memory.
            pub fn try_forward<I: #input>(
                &self, input: I,
            ) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds,
            {
                self.perceiver.try_run(input.try_tokens()?, __::Dropout::NONE).map(#given)
            }

            /// Fallible version of [`forward_mut`](Self::forward_mut).
            ///
            /// # Errors
            /// As [`try_forward`](Self::try_forward).
            pub fn try_forward_mut<I: #input>(
                &mut self, input: I,
            ) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds,
            {
                let dropout = <#name as __::Spec>::DROPOUT;
                self.perceiver.try_run(input.try_tokens()?, dropout).map(#given)
            }

            /// Returns the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, of what
            /// [`forward`](Self::forward) takes, without dropout.
            ///
            /// # Panics
            /// If [`try_embed`](Self::try_embed) returns an error.
            pub fn embed<I: #input>(&self, input: I) -> #latents
            where
                D: __::Device<E>,
                #bounds,
            {
                __::expect_forward(self.try_embed(input))
            }

            /// Fallible version of [`embed`](Self::embed).
            ///
            /// # Errors
            /// As [`try_forward`](Self::try_forward).
            pub fn try_embed<I: #input>(
                &self, input: I,
            ) -> __::Result<#latents, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds,
            {
                self.perceiver.try_run_embed(input.try_tokens()?).map(I::latents)
            }
        }
    }
}

pub(super) fn traits(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    let input = input(name, values, &quote_spanned!(span=> Self));
    let bounds = bounds(name, values, &quote_spanned!(span=> Self));
    let output = output(name, values);
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Device<E>, I: #input> __::Module<I> for #name<E, D>
        where
            #bounds,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: I) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward(self, input).map_err(__::ForwardError::into_device_error)
            }
        }

        impl<E: __::Dtype, D: __::Device<E>, I: #input> __::ModuleMut<I> for #name<E, D>
        where
            #bounds,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: I) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward_mut(self, input).map_err(__::ForwardError::into_device_error)
            }
        }

        impl<E: __::Dtype, D: __::TensorDevice<E>> __::TensorCollection<E, D> for #name<E, D> {
            type To<E2: __::Dtype, D2: __::TensorDevice<E2>> = #name<E2, D2>;

            fn iter_tensors<V: __::ModuleVisitor<Self, E, D>>(
                visitor: &mut V,
            ) -> __::Result<__::Option<Self::To<V::E2, V::D2>>, V::Err> {
                __::Perceiver::iter_tensors_of(
                    visitor,
                    |model: &Self| &model.perceiver,
                    |model| &mut model.perceiver,
                    |perceiver| #name { perceiver },
                )
            }
        }

        impl<E: __::Dtype, D: __::Storage<E>> __::Deref for #name<E, D> {
            type Target = __::Perceiver<#name, E, D>;

            fn deref(&self) -> &Self::Target {
                &self.perceiver
            }
        }

        impl<E: __::Dtype, D: __::Storage<E>> __::DerefMut for #name<E, D> {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.perceiver
            }
        }

        impl<E: __::Dtype, D: __::Storage<E>, E2: __::Dtype, D2: __::TensorDevice<E2>> __::BuildOnDevice<D2, E2>
            for #name<E, D>
        {
            type Built = #name<E2, D2>;
        }
    }
}
