//! From checked values to the tokens of a model. Nothing can go wrong here.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
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
    let checks = checks(values, name);
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
        #[allow(deprecated)]
        #constants
        #cfgs
        #[allow(deprecated)]
        const _: () = {
            #[allow(unused_imports)]
            use #krate::__private::*;
            #checks
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
                #p::Layer<
                    { #name::LATENT_DIM },
                    { #name::INPUT_DIM },
                    { #name::CROSS_HEADS },
                    { #name::CROSS_DIM_HEAD },
                    { #name::LATENT_HEADS },
                    { #name::LATENT_DIM_HEAD },
                    { #name::SELF_PER_CROSS_ATTN },
                    E,
                    D,
                >,
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
    let clone = (!derived.iter().any(|name| name == "Clone"))
        .then(|| quote!(#[derive(::core::clone::Clone)]));
    let debug = (!derived.iter().any(|name| name == "Debug"))
        .then(|| quote!(#[derive(::core::fmt::Debug)]));
    quote!(#clone #debug)
}

/// One constant for each key, and the two that follow from them.
fn constants(
    krate: &TokenStream,
    name: &Ident,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let poisoned = error.is_some();
    let keys = KEYS
        .iter()
        .map(|key| constant(krate, key, values, poisoned));
    let error = error.map(|error| {
        quote! {
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    let latents = quote!(#name::NUM_LATENTS * #name::LATENT_DIM);
    let p = quote!(#krate::__private);
    let head = classifies(values).then(|| {
        quote!(+ #p::ToLogits::<
            { #name::LATENT_DIM }, { #name::NUM_CLASSES }, f32, #p::Cpu
        >::PARAMETERS)
    });
    quote! {
        impl #name {
            #error
            #(#keys)*
            /// The width of a token: its channels and its position encoding.
            pub const INPUT_DIM: ::core::primitive::usize = #p::input_dim(
                #name::INPUT_CHANNELS,
                #name::INPUT_AXIS,
                #name::NUM_FREQ_BANDS,
                #name::FOURIER_ENCODE_DATA,
            );
            /// The number of trainable parameters.
            pub const PARAMETERS: ::core::primitive::usize = #latents
                + #p::stored_layers(#name::DEPTH, #name::WEIGHT_TIE_LAYERS)
                    * #p::Layer::<
                        { #name::LATENT_DIM },
                        { #name::INPUT_DIM },
                        { #name::CROSS_HEADS },
                        { #name::CROSS_DIM_HEAD },
                        { #name::LATENT_HEADS },
                        { #name::LATENT_DIM_HEAD },
                        { #name::SELF_PER_CROSS_ATTN },
                        f32,
                        #p::Cpu,
                    >::PARAMETERS
                #head;
        }
    }
}

fn constant(krate: &TokenStream, key: &Key, values: &Values, error: bool) -> TokenStream {
    let value = values.get(key.name);
    let tokens = match (key.name, values.axes()) {
        _ if error && matches!(key.kind, Kind::Count { .. }) => quote!(Self::DECLARATION_ERROR),
        ("input_shape", Some(_)) => {
            let tokens = &value.tokens;
            quote!(::core::option::Option::Some(#tokens))
        }
        ("input_axis", Some(axes)) => quote!(#axes),
        ("input_channels", Some(axes)) => {
            quote!(#krate::__private::size_at(Self::INPUT_SHAPE, #axes))
        }
        _ => value.tokens.clone(),
    };
    let ty = match key.kind {
        Kind::Count { .. } => quote!(::core::primitive::usize),
        Kind::Positive | Kind::Probability => quote!(::core::primitive::f64),
        Kind::Base => quote!(::core::option::Option<::core::primitive::f64>),
        Kind::Flag => quote!(::core::primitive::bool),
        Kind::Shape => {
            quote!(::core::option::Option<[::core::primitive::usize; Self::INPUT_AXIS + 1]>)
        }
    };
    let constant = format_ident!("{}", key.constant());
    let docs = &value.docs;
    let doc = key.sentence();
    let doc = docs.is_empty().then(|| quote!(#[doc = #doc]));
    quote!(#doc #(#docs)* pub const #constant: #ty = #tokens;)
}

/// What the macro could not read is checked by the compiler.
fn checks(values: &Values, name: &Ident) -> TokenStream {
    let checks = KEYS.iter().filter_map(|key| {
        let value = values.get(key.name);
        value.opaque.then(|| check(key, value, name))
    });
    quote!(#(#checks)*)
}

fn check(key: &Key, value: &Value, name: &Ident) -> TokenStream {
    let constant = format_ident!("{}", key.constant());
    let constant = quote!(#name::#constant);
    let condition = match key.kind {
        Kind::Count { max } => {
            let max = proc_macro2::Literal::u64_unsuffixed(max);
            quote!(#constant >= 1 && #constant <= #max)
        }
        Kind::Positive => quote!(#constant > 0.0 && #constant < f64::INFINITY),
        Kind::Probability => quote!(#constant >= 0.0 && #constant < 1.0),
        Kind::Base => quote!(in_range_base(#constant)),
        Kind::Shape => quote!(all_counts(#constant)),
        Kind::Flag => return TokenStream::new(),
    };
    let message = format!("`{}` has to be {}", key.name, key.kind.expected());
    quote_spanned!(value.span=> const _: () = ::core::assert!(#condition, #message);)
}

/// The trait of what the model can be given, which has a message for what it cannot.
fn input(name: &Ident, values: &Values, model: &TokenStream) -> TokenStream {
    let span = shown_as(name);
    let channels = quote_spanned!(span=> { #name::INPUT_CHANNELS });
    if let Some(axes) = values.axes() {
        let input = format_ident!("InputShape{axes}", span = span);
        let sizes =
            (0..axes).map(|axis| quote_spanned!(span=> { size_at(#name::INPUT_SHAPE, #axis) }));
        return quote_spanned!(span=> #input<#model, #(#sizes,)* #channels, E, D>);
    }
    match values.get("input_axis").tokens.to_string().as_str() {
        axes @ ("1" | "2" | "3" | "4") => {
            let input = format_ident!("Input{axes}", span = span);
            quote_spanned!(span=> #input<#model, #channels, E, D>)
        }
        _ => quote_spanned!(span=> InputAxes<#model, { #name::INPUT_AXIS }, #channels, E, D>),
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
        quote!(Tensor<(I::Batch, Const<{ #name::NUM_CLASSES }>), E, D, I::Tape>)
    } else {
        latents(name)
    }
}

/// What `embed` gives, from an input `I`.
fn latents(name: &Ident) -> TokenStream {
    quote! {
        Tensor<
            (I::Batch, Const<{ #name::NUM_LATENTS }>, Const<{ #name::LATENT_DIM }>),
            E, D, I::Tape
        >
    }
}

fn methods(name: &Ident, values: &Values) -> TokenStream {
    let input = input(name, values, &quote!(Self));
    let span = shown_as(name);
    let output = output(name, values);
    let latents = latents(name);
    let gives = if classifies(values) {
        "Gives the logits, `(batch, NUM_CLASSES)`. Drops nothing: the same input gives the same output."
    } else {
        "Gives the latents, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing: the same input gives the \
         same output."
    };
    let head = if classifies(values) {
        quote! { Ok(self.to_logits.try_forward(latents)?) }
    } else {
        quote! { Ok(latents) }
    };
    let encode = (!values.is_off("fourier_encode_data")).then(|| {
        quote! {
            let encoding = FourierFeatures::<
                { #name::INPUT_CHANNELS },
                { #name::INPUT_AXIS },
                { #name::NUM_FREQ_BANDS },
                { #name::INPUT_DIM },
            >::declared(#name::MAX_FREQ, #name::FREQ_BASE);
            let tokens = encoding.try_encode(tokens)?;
        }
    });
    quote_spanned! {span=>
        impl<E: Dtype, D: Device<E>> #name<E, D> {
            #[doc = #gives]
            ///
            /// # Panics
            /// Where [`try_forward`](Self::try_forward) gives an error.
            pub fn forward<I: #input>(&self, input: I) -> #output {
                unwrap(self.try_forward(input))
            }

            /// Like [`forward`](Self::forward), but drops values as the declaration says if the input has a tape.
            ///
            /// # Panics
            /// Where [`try_forward_mut`](Self::try_forward_mut) gives an error.
            pub fn forward_mut<I: #input>(&mut self, input: I) -> #output {
                unwrap(self.try_forward_mut(input))
            }

            #[doc = #gives]
            ///
            /// # Errors
            /// If a mask does not lie over the input, or the device runs out of memory.
            pub fn try_forward<I: #input>(
                &self, input: I,
            ) -> Result<#output, ForwardError<D::Err>> {
                self.run(input, Dropout::NONE).and_then(|latents| self.head::<I>(latents))
            }

            /// Like [`try_forward`](Self::try_forward), but drops values as the declaration says if the input has
            /// a tape.
            ///
            /// # Errors
            /// As [`try_forward`](Self::try_forward).
            pub fn try_forward_mut<I: #input>(
                &mut self, input: I,
            ) -> Result<#output, ForwardError<D::Err>> {
                let dropout = Dropout {
                    attention: #name::ATTN_DROPOUT,
                    feed_forward: #name::FF_DROPOUT,
                };
                self.run(input, dropout).and_then(|latents| self.head::<I>(latents))
            }

            /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.
            ///
            /// # Panics
            /// Where [`try_embed`](Self::try_embed) gives an error.
            pub fn embed<I: #input>(&self, input: I) -> #latents {
                unwrap(self.try_embed(input))
            }

            /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`. Drops nothing.
            ///
            /// # Errors
            /// If a mask does not lie over the input, or the device runs out of memory.
            pub fn try_embed<I: #input>(
                &self, input: I,
            ) -> Result<#latents, ForwardError<D::Err>> {
                self.run(input, Dropout::NONE)
            }

            /// The parts of the model with their shapes and parameters, to be printed.
            #[must_use]
            pub fn summary(&self) -> Summary {
                Summary::of(::core::stringify!(#name), self)
            }

            /// Writes the parameters to a safetensors file, under the names they have in the PyTorch
            /// reference's `state_dict`. The file is either written whole or left as it was.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
            where
                E: CheckpointDtype,
            {
                checkpoint::save(self, #name::DEPTH, path.as_ref())
            }

            /// Reads the parameters from a safetensors file, as `save_checkpoint` or PyTorch writes it.
            ///
            /// # Errors
            /// If the file cannot be read, or its tensors are not this model's. The model is then as it
            /// was before.
            pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
            where
                E: CheckpointDtype,
            {
                checkpoint::load(self, #name::DEPTH, path.as_ref())
            }

            /// From the input to the latents behind the last layer.
            fn run<I: #input>(
                &self, input: I, dropout: Dropout,
            ) -> Result<#latents, ForwardError<D::Err>> {
                let tokens = input.into_tokens()?;
                #encode
                Ok(try_iterate(
                    &self.latents,
                    &self.layers.modules,
                    #name::DEPTH,
                    tokens,
                    #name::INVERTED_CROSS_ATTN,
                    dropout,
                )?)
            }

            /// From the latents to what `forward` gives.
            fn head<I: #input>(
                &self, latents: #latents,
            ) -> Result<#output, ForwardError<D::Err>> {
                #head
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
        impl<E: Dtype, D: Device<E>, I: #input> Module<I> for #name<E, D> {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: I) -> Result<Self::Output, D::Err> {
                self.try_forward(input).map_err(ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: Dtype, D: Device<E>, I: #input> ModuleMut<I> for #name<E, D> {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: I) -> Result<Self::Output, D::Err> {
                self.try_forward_mut(input).map_err(ForwardError::into_device_error::<E, D>)
            }
        }

        impl<E: Dtype, D: TensorDevice<E>> TensorCollection<E, D> for #name<E, D> {
            type To<E2: Dtype, D2: TensorDevice<E2>> = #name<E2, D2>;

            fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
                visitor: &mut V,
            ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
                visitor.visit_fields(
                    (
                        Self::tensor(
                            "latents",
                            |s| &s.latents,
                            |s| &mut s.latents,
                            TensorOptions::reset_with(reset_to_normal),
                        ),
                        Self::module("layers", |s| &s.layers, |s| &mut s.layers),
                        #head
                    ),
                    |(latents, layers, #field)| #name { latents, layers, #field },
                )
            }
        }

        impl<E: Dtype, D: Storage<E>, E2: Dtype, D2: TensorDevice<E2>> BuildOnDevice<D2, E2>
            for #name<E, D>
        {
            type Built = #name<E2, D2>;
        }
    }
}
