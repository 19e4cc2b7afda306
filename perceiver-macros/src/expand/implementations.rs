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

/// From the input to the latents, for the methods.
pub(super) fn run(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    let model = quote_spanned!(span=> #name<E, D>);
    let input = input(name, values, &model);
    let bounds = bounds(name, values, &model);
    let context = if values.is_off("fourier_encode_data") {
        quote_spanned!(span=> let context = tokens.try_context(#name::INVERTED_CROSS_ATTN, dropout)?;)
    } else {
        quote_spanned! {span=>
            let features = __::FourierFeatures::<
                { #name::INPUT_CHANNELS },
                { #name::INPUT_AXIS },
                { #name::NUM_FREQ_BANDS },
                { #name::INPUT_DIM },
            >::declared(#name::MAX_FREQ, #name::FREQ_BASE);
            let context = __::FourierFeatures::try_context(
                &features,
                tokens,
                #name::INVERTED_CROSS_ATTN,
                dropout,
            )?;
        }
    };
    quote_spanned! {span=>
        /// From the input to the latents behind the last layer.
        fn run<E: __::Dtype, D: __::Device<E>, I: #input>(
            model: &#model,
            input: I,
            dropout: __::Dropout,
        ) -> __::Result<
            __::Latents<I::Batch, { #name::NUM_LATENTS }, { #name::LATENT_DIM }, E, D, I::Tape>,
            __::ForwardError<D::Err>,
        >
        where
            #bounds,
        {
            let tokens = input.try_tokens()?;
            #context
            __::try_iterate(
                &model.latents,
                &model.layers.modules,
                #name::DEPTH,
                context,
                #name::INVERTED_CROSS_ATTN,
                dropout,
            )
            .map_err(__::ForwardError::Device)
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
    let (gives, given) = if classifies(values) {
        (
            " Gives the logits, `(batch, NUM_CLASSES)`. Drops nothing.",
            quote_spanned!(span=> I::logits(__::Module::try_forward(&self.to_logits, latents)?)),
        )
    } else {
        (
            " Gives the latents, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.",
            quote_spanned!(span=> I::latents(latents)),
        )
    };
    let takes = takes(values);
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Storage<E>> #name<E, D> {
            #[doc = #gives]
            ///
            #[doc = #takes]
            ///
            /// # Panics
            /// Where [`try_forward`](Self::try_forward) gives an error.
            pub fn forward<I: #input>(&self, input: I) -> #output
            where
                D: __::Device<E>,
                #bounds,
            {
                __::or_panic(self.try_forward(input))
            }

            /// [`forward`](Self::forward), but drops values as declared if the input has a tape.
            ///
            /// # Panics
            /// Where [`try_forward_mut`](Self::try_forward_mut) gives an error.
            pub fn forward_mut<I: #input>(&mut self, input: I) -> #output
            where
                D: __::Device<E>,
                #bounds,
            {
                __::or_panic(self.try_forward_mut(input))
            }

            /// [`forward`](Self::forward), or why not.
            ///
            /// # Errors
            /// If the batch or an axis is empty, a mask does not lie over the input, or the device runs
            /// out of memory.
            pub fn try_forward<I: #input>(
                &self, input: I,
            ) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #bounds,
            {
                let latents = run(self, input, __::Dropout::NONE)?;
                __::Ok(#given)
            }

            /// [`forward_mut`](Self::forward_mut), or why not.
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
                let dropout = __::Dropout {
                    attention: #name::ATTN_DROPOUT,
                    feed_forward: #name::FF_DROPOUT,
                };
                let latents = run(self, input, dropout)?;
                __::Ok(#given)
            }

            /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, of what
            /// [`forward`](Self::forward) takes. Drops nothing.
            ///
            /// # Panics
            /// Where [`try_embed`](Self::try_embed) gives an error.
            pub fn embed<I: #input>(&self, input: I) -> #latents
            where
                D: __::Device<E>,
                #bounds,
            {
                __::or_panic(self.try_embed(input))
            }

            /// [`embed`](Self::embed), or why not.
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
                __::Ok(I::latents(run(self, input, __::Dropout::NONE)?))
            }
        }

        impl<E: __::Dtype, D: __::Device<E>> #name<E, D> {
            /// The parts of the model with their shapes and parameters, to be printed.
            #[must_use]
            pub fn summary(&self) -> __::Summary {
                __::Summary::of(::core::stringify!(#name), self)
            }

            /// Writes the parameters to a safetensors file, under the names they have in the PyTorch
            /// reference's `state_dict`. The file is either written whole or left as it was.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save_checkpoint(&self, path: impl __::AsRef<__::Path>) -> __::Result<(), __::CheckpointError>
            where
                E: __::CheckpointDtype,
            {
                __::checkpoint::save(self, #name::DEPTH, __::AsRef::as_ref(&path))
            }

            /// Reads the parameters from a safetensors file, as `save_checkpoint` or PyTorch writes it.
            ///
            /// # Errors
            /// If the file cannot be read, or its tensors are not this model's. The model is then as it
            /// was before.
            pub fn load_checkpoint(&mut self, path: impl __::AsRef<__::Path>) -> __::Result<(), __::CheckpointError>
            where
                E: __::CheckpointDtype,
            {
                __::checkpoint::load(self, #name::DEPTH, __::AsRef::as_ref(&path))
            }
        }
    }
}

pub(super) fn traits(name: &Ident, values: &Values) -> TokenStream {
    let span = name.span();
    let input = input(name, values, &quote_spanned!(span=> Self));
    let bounds = bounds(name, values, &quote_spanned!(span=> Self));
    let output = output(name, values);
    let (head, field) = if classifies(values) {
        (
            Some(
                quote_spanned!(span=> <Self as __::TensorCollection<E, D>>::module(
                "to_logits",
                |s| &s.to_logits,
                |s| &mut s.to_logits
            ),),
            ),
            Some(quote_spanned!(span=> to_logits,)),
        )
    } else {
        (None, None)
    };
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Device<E>, I: #input> __::Module<I> for #name<E, D>
        where
            #bounds,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: I) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward(self, input).map_err(__::ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: __::Dtype, D: __::Device<E>, I: #input> __::ModuleMut<I> for #name<E, D>
        where
            #bounds,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: I) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward_mut(self, input).map_err(__::ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: __::Dtype, D: __::TensorDevice<E>> __::TensorCollection<E, D> for #name<E, D> {
            type To<E2: __::Dtype, D2: __::TensorDevice<E2>> = #name<E2, D2>;

            fn iter_tensors<V: __::ModuleVisitor<Self, E, D>>(
                visitor: &mut V,
            ) -> __::Result<__::Option<Self::To<V::E2, V::D2>>, V::Err> {
                visitor.visit_fields(
                    (
                        <Self as __::TensorCollection<E, D>>::tensor(
                            "latents",
                            |s| &s.latents,
                            |s| &mut s.latents,
                            __::TensorOptions::reset_with(__::reset_to_normal),
                        ),
                        <Self as __::TensorCollection<E, D>>::module("layers", |s| &s.layers, |s| &mut s.layers),
                        #head
                    ),
                    |(latents, layers, #field)| #name { latents, layers, #field },
                )
            }
        }

        impl<E: __::Dtype, D: __::Storage<E>, E2: __::Dtype, D2: __::TensorDevice<E2>> __::BuildOnDevice<D2, E2>
            for #name<E, D>
        {
            type Built = #name<E2, D2>;
        }
    }
}
