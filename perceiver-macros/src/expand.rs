//! From checked values to the tokens of a model. Nothing can go wrong here.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Ident};

use crate::ast::Declaration;
use crate::check::{Value, Values};
use crate::keys::{KEYS, Key, Kind};

/// The expansion: the struct, its constants, and the implementations over the layers of `krate`.
///
/// An `error`, an expression, becomes the value of every count, and so a part of every type: what uses the
/// model then compiles without a second error, whatever it expects of it.
pub fn expand(
    krate: &TokenStream,
    declaration: &Declaration,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let name = &declaration.name;
    let structure = structure(krate, declaration, values);
    let constants = constants(krate, name, values, error);
    let completion = completion(declaration);
    let checks = checks(values, name);
    let derived_constants = derived_constants(name, values);
    let methods = methods(name, values);
    let traits = traits(name, values);
    // What is configured away with the struct goes with it.
    let cfgs = declaration
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"));
    let cfgs = quote!(#(#cfgs)*);
    quote! {
        #structure
        #cfgs
        #[allow(deprecated, unused_braces, unused_parens)]
        #constants
        #cfgs
        #[allow(deprecated)]
        const _: () = {
            // Behind a letter, since a model may be called like anything that is in there.
            #[allow(unused_imports)]
            use #krate::__private::{self as p, methods::*};
            #completion
            #checks
            #derived_constants
            #methods
            #traits
        };
    }
}

/// Whether the declaration has a classifier head.
fn classifies(values: &Values) -> bool {
    !values.is_off("final_classifier_head")
}

fn structure(krate: &TokenStream, declaration: &Declaration, values: &Values) -> TokenStream {
    let Declaration {
        attrs, vis, name, ..
    } = declaration;
    let p = quote!(#krate::__private);
    let derives = missing_derives(attrs);
    let layer = layer(name);
    let to_logits = classifies(values).then(|| {
        quote! {
            /// The classifier head.
            pub to_logits: #p::ToLogits<{ #name::LATENT_DIM }, { #name::NUM_CLASSES }, E, D>,
        }
    });
    // A declaration without documentation of its own still has some.
    let summary = (!attrs.iter().any(|attr| attr.path().is_ident("doc")))
        .then(|| quote!(#[doc = "A Perceiver."]));
    quote! {
        #summary
        #(#attrs)*
        #derives
        #vis struct #name<E: #p::Dtype = f32, D: #p::Storage<E> = #p::Cpu> {
            /// The learned latents, `(NUM_LATENTS, LATENT_DIM)`.
            pub latents: #p::Tensor<#p::Rank2<{ #name::NUM_LATENTS }, { #name::LATENT_DIM }>, E, D>,
            /// The layers; with tied weights the last stands for all that follow.
            pub layers: #p::Repeated<
                #p::Layer<#layer, E, D>,
                { #p::stored_layers(#name::DEPTH, #name::WEIGHT_TIE_LAYERS) },
            >,
            #to_logits
        }
    }
}

/// `Clone` and `Debug`, as far as the declaration does not derive them itself.
fn missing_derives(attrs: &[Attribute]) -> TokenStream {
    let mut derived = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        // What cannot be read here, rustc reports.
        let _ = attr.parse_nested_meta(|meta| {
            derived.extend(meta.path.segments.last().map(|last| last.ident.to_string()));
            Ok(())
        });
    }
    let missing = [
        ("Clone", quote!(::core::clone::Clone)),
        ("Debug", quote!(::core::fmt::Debug)),
    ];
    let missing = missing
        .into_iter()
        .filter(|(name, _)| !derived.iter().any(|other| other == name));
    let missing: Vec<_> = missing.map(|(_, path)| path).collect();
    if missing.is_empty() {
        TokenStream::new()
    } else {
        quote!(#[derive(#(#missing),*)])
    }
}

/// One constant for each key. These are outside the block of implementations, so that a value sees just the
/// names that it sees where it is written.
fn constants(
    krate: &TokenStream,
    name: &Ident,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let keys = KEYS.iter().map(|key| constant(krate, key, values));
    let error = error.map(|error| {
        quote! {
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    quote! {
        impl #name {
            #error
            #(#keys)*
        }
    }
}

/// The constants that follow from the keys.
fn derived_constants(name: &Ident, values: &Values) -> TokenStream {
    let head = classifies(values).then(|| {
        quote! {
            + p::ToLogits::<{ #name::LATENT_DIM }, { #name::NUM_CLASSES }, p::f32, p::Cpu>::PARAMETERS
        }
    });
    let layer = layer(name);
    quote! {
        impl #name {
            /// The width of a token: its channels and its position encoding.
            pub const INPUT_DIM: p::usize = p::input_dim(
                #name::INPUT_CHANNELS,
                #name::INPUT_AXIS,
                #name::NUM_FREQ_BANDS,
                #name::FOURIER_ENCODE_DATA,
            );
            /// The number of trainable parameters.
            pub const PARAMETERS: p::usize = #name::NUM_LATENTS * #name::LATENT_DIM
                + p::stored_layers(#name::DEPTH, #name::WEIGHT_TIE_LAYERS)
                    * p::Layer::<#layer, p::f32, p::Cpu>::PARAMETERS
                #head;
        }
    }
}

/// The widths and counts of a layer.
fn layer(name: &Ident) -> TokenStream {
    quote! {
        { #name::LATENT_DIM },
        { #name::INPUT_DIM },
        { #name::CROSS_HEADS },
        { #name::CROSS_DIM_HEAD },
        { #name::LATENT_HEADS },
        { #name::LATENT_DIM_HEAD },
        { #name::SELF_PER_CROSS_ATTN }
    }
}

fn constant(krate: &TokenStream, key: &Key, values: &Values) -> TokenStream {
    let value = values.get(key.name);
    let ty = match key.kind {
        Kind::Count { .. } => quote!(::core::primitive::usize),
        Kind::Positive | Kind::Probability => quote!(::core::primitive::f64),
        Kind::Base => quote!(::core::option::Option<::core::primitive::f64>),
        Kind::Flag => quote!(::core::primitive::bool),
        Kind::Shape => {
            let len = values.axes().map_or_else(
                || quote!(Self::INPUT_AXIS + 1),
                |axes| (axes + 1).to_token_stream(),
            );
            quote!(::core::option::Option<[::core::primitive::usize; #len]>)
        }
    };
    let tokens = match (key.name, values.axes()) {
        _ if values.poisoned && matches!(key.kind, Kind::Count { .. }) => {
            quote!(Self::DECLARATION_ERROR)
        }
        ("input_axis", Some(axes)) => quote!(#axes),
        ("input_channels", Some(axes)) => {
            quote!(#krate::__private::size_at(Self::INPUT_SHAPE, #axes))
        }
        _ if value.opaque => checked(krate, key, value, &ty),
        _ => value.tokens.clone(),
    };
    let constant = format_ident!("{}", key.constant());
    let docs = &value.docs;
    let doc = format!(" {}", key.sentence());
    let doc = docs.is_empty().then(|| quote!(#[doc = #doc]));
    quote!(#doc #(#docs)* pub const #constant: #ty = #tokens;)
}

/// The keys as the fields that they look like, for rust-analyzer alone: it completes and explains them from
/// here, also one that is only half written.
fn completion(declaration: &Declaration) -> TokenStream {
    let keys = declaration.entries.iter().map(|entry| &entry.key);
    quote! {
        #[allow(unexpected_cfgs)]
        const _: () = {
            #[cfg(rust_analyzer)]
            const _: p::Keys = p::Keys { #(#keys: (),)* ..p::Keys::NONE };
        };
    }
}

/// The value of a key that the macro could not read: the compiler checks it where it is made, so that what is
/// wrong is wrong everywhere, and said once.
fn checked(krate: &TokenStream, key: &Key, value: &Value, ty: &TokenStream) -> TokenStream {
    let tokens = &value.tokens;
    let condition = match key.kind {
        Kind::Count { max } => {
            let max = Literal::u64_unsuffixed(max);
            quote!(__VALUE >= 1 && __VALUE <= #max)
        }
        Kind::Positive => quote!(__VALUE > 0.0 && __VALUE < #krate::__private::f64::INFINITY),
        Kind::Probability => quote!(__VALUE >= 0.0 && __VALUE < 1.0),
        Kind::Base => quote!(#krate::__private::in_range_base(__VALUE)),
        Kind::Shape => quote!(#krate::__private::all_counts(__VALUE)),
        Kind::Flag => return tokens.clone(),
    };
    let message = format!("`{}` has to be {}", key.name, key.kind.expected());
    // At the value, but without making it the user's code that lints look at.
    let span = Span::call_site().located_at(value.span);
    quote_spanned! {span=> {
        const __VALUE: #ty = #tokens;
        ::core::assert!(#condition, #message);
        __VALUE
    }}
}

/// Has the compiler look at what the macro could not read, whether it is used or not.
fn checks(values: &Values, name: &Ident) -> TokenStream {
    let opaque = KEYS.iter().map(|key| (key, values.get(key.name)));
    let checks = opaque.filter(|(_, value)| value.opaque && !values.poisoned);
    let checks = checks.map(|(key, value)| {
        let constant = format_ident!("{}", key.constant());
        let span = Span::call_site().located_at(value.span);
        quote_spanned!(span=> const _: () = { let _ = #name::#constant; };)
    });
    quote!(#(#checks)*)
}

/// The trait of what the model can be given, which has a message for what it cannot.
fn input(name: &Ident, values: &Values, model: &TokenStream) -> TokenStream {
    let span = shown_as(name);
    let value = |key: &str, constant: TokenStream| {
        let Value { tokens, opaque, .. } = values.get(key);
        // A number says more than the name of a constant.
        if *opaque || values.poisoned {
            quote_spanned!(span=> { #constant })
        } else {
            tokens.clone()
        }
    };
    if let Some(axes) = values.axes() {
        let input = format_ident!("InputShape{axes}", span = span);
        let sizes = (0..=axes).map(|axis| {
            let size = quote_spanned!(span=> { p::size_at(#name::INPUT_SHAPE, #axis) });
            if values.poisoned {
                size
            } else {
                values.size(axis).unwrap_or(size)
            }
        });
        return quote_spanned!(span=> p::#input<#model, #(#sizes,)* E, D>);
    }
    let axes = value("input_axis", quote_spanned!(span=> #name::INPUT_AXIS));
    let channels = value(
        "input_channels",
        quote_spanned!(span=> #name::INPUT_CHANNELS),
    );
    match axes.to_string().as_str() {
        axes @ ("1" | "2" | "3" | "4") => {
            let input = format_ident!("Input{axes}", span = span);
            quote_spanned!(span=> p::#input<#model, #channels, E, D>)
        }
        _ => quote_spanned!(span=> p::InputAxes<#model, #axes, #channels, E, D>),
    }
}

/// The span of code that rustc may show: as it comes from the macro, but at the model's name. It would show
/// the whole declaration otherwise.
fn shown_as(name: &Ident) -> Span {
    Span::call_site().located_at(name.span())
}

/// What `forward` gives, from an input `I`.
fn output(name: &Ident, values: &Values) -> TokenStream {
    if classifies(values) {
        quote!(p::Logits<I, { #name::NUM_CLASSES }, E, D>)
    } else {
        latents(name)
    }
}

/// What `embed` gives, from an input `I`.
fn latents(name: &Ident) -> TokenStream {
    quote!(p::Latents<I, { #name::NUM_LATENTS }, { #name::LATENT_DIM }, E, D>)
}

fn methods(name: &Ident, values: &Values) -> TokenStream {
    let input = input(name, values, &quote!(Self));
    let span = shown_as(name);
    let output = output(name, values);
    let latents = latents(name);
    let (gives, head) = if classifies(values) {
        (
            " Gives the logits, `(batch, NUM_CLASSES)`. Drops nothing.",
            quote!(self.to_logits.try_forward(latents)?),
        )
    } else {
        (
            " Gives the latents, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.",
            quote!(latents),
        )
    };
    let encode = (!values.is_off("fourier_encode_data")).then(|| {
        quote! {
            let tokens = p::FourierFeatures::<
                { #name::INPUT_CHANNELS },
                { #name::INPUT_AXIS },
                { #name::NUM_FREQ_BANDS },
                { #name::INPUT_DIM },
            >::declared(#name::MAX_FREQ, #name::FREQ_BASE).try_encode(tokens)?;
        }
    });
    quote_spanned! {span=>
        impl<E: p::Dtype, D: p::Device<E>> #name<E, D> {
            #[doc = #gives]
            ///
            /// # Panics
            /// Where [`try_forward`](Self::try_forward) gives an error.
            pub fn forward<I: #input>(&self, input: I) -> #output {
                p::unwrap(self.try_forward(input))
            }

            /// Like [`forward`](Self::forward), but drops values as declared if the input has a tape.
            ///
            /// # Panics
            /// Where [`try_forward_mut`](Self::try_forward_mut) gives an error.
            pub fn forward_mut<I: #input>(&mut self, input: I) -> #output {
                p::unwrap(self.try_forward_mut(input))
            }

            #[doc = #gives]
            ///
            /// # Errors
            /// If the batch or an axis is empty, a mask does not lie over the input, or the device runs
            /// out of memory.
            pub fn try_forward<I: #input>(
                &self, input: I,
            ) -> p::Result<#output, p::ForwardError<D::Err>> {
                let latents = self.try_embed(input)?;
                p::Ok(#head)
            }

            /// Like [`try_forward`](Self::try_forward), but drops values as declared if the input has a tape.
            ///
            /// # Errors
            /// As [`try_forward`](Self::try_forward).
            pub fn try_forward_mut<I: #input>(
                &mut self, input: I,
            ) -> p::Result<#output, p::ForwardError<D::Err>> {
                let dropout = p::Dropout {
                    attention: #name::ATTN_DROPOUT,
                    feed_forward: #name::FF_DROPOUT,
                };
                let latents = self.run(input.into_tokens()?, dropout)?;
                p::Ok(#head)
            }

            /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.
            ///
            /// # Panics
            /// Where [`try_embed`](Self::try_embed) gives an error.
            pub fn embed<I: #input>(&self, input: I) -> #latents {
                p::unwrap(self.try_embed(input))
            }

            /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.
            ///
            /// # Errors
            /// As [`try_forward`](Self::try_forward).
            pub fn try_embed<I: #input>(
                &self, input: I,
            ) -> p::Result<#latents, p::ForwardError<D::Err>> {
                p::Ok(self.run(input.into_tokens()?, p::Dropout::NONE)?)
            }

            /// The parts of the model with their shapes and parameters, to be printed.
            #[must_use]
            pub fn summary(&self) -> p::Summary {
                p::Summary::of(::core::stringify!(#name), self)
            }

            /// Writes the parameters to a safetensors file, under the names they have in the PyTorch
            /// reference's `state_dict`. The file is either written whole or left as it was.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save_checkpoint(&self, path: impl p::AsRef<p::Path>) -> p::Result<(), p::CheckpointError>
            where
                E: p::CheckpointDtype,
            {
                p::checkpoint::save(self, #name::DEPTH, path.as_ref())
            }

            /// Reads the parameters from a safetensors file, as `save_checkpoint` or PyTorch writes it.
            ///
            /// # Errors
            /// If the file cannot be read, or its tensors are not this model's. The model is then as it
            /// was before.
            pub fn load_checkpoint(&mut self, path: impl p::AsRef<p::Path>) -> p::Result<(), p::CheckpointError>
            where
                E: p::CheckpointDtype,
            {
                p::checkpoint::load(self, #name::DEPTH, path.as_ref())
            }

            /// From the tokens to the latents behind the last layer.
            fn run<B: p::Dim, T: p::Tape<E, D>>(
                &self,
                tokens: p::Tokens<B, { #name::INPUT_CHANNELS }, { #name::INPUT_AXIS }, E, D, T>,
                dropout: p::Dropout,
            ) -> p::Result<
                p::Tensor<(B, p::Const<{ #name::NUM_LATENTS }>, p::Const<{ #name::LATENT_DIM }>), E, D, T>,
                D::Err,
            > {
                #encode
                p::try_iterate(
                    &self.latents,
                    &self.layers.modules,
                    #name::DEPTH,
                    tokens,
                    #name::INVERTED_CROSS_ATTN,
                    dropout,
                )
            }
        }
    }
}

fn traits(name: &Ident, values: &Values) -> TokenStream {
    let input = input(name, values, &quote!(#name<E, D>));
    let output = output(name, values);
    let (head, field) = if classifies(values) {
        (
            Some(quote!(Self::module(
                "to_logits",
                |s| &s.to_logits,
                |s| &mut s.to_logits
            ),)),
            Some(quote!(to_logits,)),
        )
    } else {
        (None, None)
    };
    quote! {
        impl<E: p::Dtype, D: p::Device<E>, I: #input> p::Module<I> for #name<E, D> {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: I) -> p::Result<Self::Output, D::Err> {
                self.try_forward(input).map_err(p::ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: p::Dtype, D: p::Device<E>, I: #input> p::ModuleMut<I> for #name<E, D> {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: I) -> p::Result<Self::Output, D::Err> {
                self.try_forward_mut(input).map_err(p::ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: p::Dtype, D: p::TensorDevice<E>> p::TensorCollection<E, D> for #name<E, D> {
            type To<E2: p::Dtype, D2: p::TensorDevice<E2>> = #name<E2, D2>;

            fn iter_tensors<V: p::ModuleVisitor<Self, E, D>>(
                visitor: &mut V,
            ) -> p::Result<p::Option<Self::To<V::E2, V::D2>>, V::Err> {
                visitor.visit_fields(
                    (
                        Self::tensor(
                            "latents",
                            |s| &s.latents,
                            |s| &mut s.latents,
                            p::TensorOptions::reset_with(p::reset_to_normal),
                        ),
                        Self::module("layers", |s| &s.layers, |s| &mut s.layers),
                        #head
                    ),
                    |(latents, layers, #field)| #name { latents, layers, #field },
                )
            }
        }

        impl<E: p::Dtype, D: p::Storage<E>, E2: p::Dtype, D2: p::TensorDevice<E2>> p::BuildOnDevice<D2, E2>
            for #name<E, D>
        {
            type Built = #name<E2, D2>;
        }
    }
}
