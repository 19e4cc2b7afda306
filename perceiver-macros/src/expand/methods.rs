//! The methods of a model, and dfdx's `Module` and `ModuleMut`.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote_spanned};

use crate::model::{Extent, Model, Output, QuerySource, Scalar};

/// What an input `I` must be: each bound has a message of its own.
struct Bounds {
    input: TokenStream,
    rest: TokenStream,
}

fn bounds(name: &Ident, model: &Model, is_wrong: bool) -> Bounds {
    let span = name.span();
    // A literal as it is, since it says more than the name of a constant.
    let known = |count: Option<u64>, constant: TokenStream| match count {
        Some(count) if !is_wrong => Literal::u64_unsuffixed(count).to_token_stream(),
        _ => quote_spanned!(span=> { #constant }),
    };
    let extent = &model.input.extent;
    let masked = quote_spanned!(span=> I::Positions: __::MaskedBy<I::Mask, Self, E, D>);
    if let Extent::Text { .. } = extent {
        return Bounds { input: quote_spanned!(span=> __::TextInput<Self, E, D>), rest: masked };
    }
    let axes = known(extent.axes(), quote_spanned!(span=> #name::INPUT_AXIS));
    let sizes = match extent {
        Extent::Shape { sizes, .. } if !is_wrong => {
            let sizes = sizes.iter().enumerate().map(|(index, size)| {
                known(size.count(), quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #index)))
            });
            quote_spanned!(span=> I::Sizes: __::Shape<(#(__::Const<#sizes>,)*), Self>)
        }
        Extent::Axes { channels, .. } => {
            let channels =
                known(channels.value.count(), quote_spanned!(span=> #name::INPUT_CHANNELS));
            quote_spanned!(span=> I::Channels: __::Channels<#channels, Self>)
        }
        _ => {
            quote_spanned!(span=> I::Channels: __::Channels<{ #name::INPUT_CHANNELS }, Self>)
        }
    };
    Bounds {
        input: quote_spanned!(span=> __::GridInput<Self, #axes, E, D>),
        rest: quote_spanned!(span=> #sizes, #masked),
    }
}

/// The sentence about what the model takes: sizes as numbers, as far as they are literals.
fn takes(model: &Model) -> String {
    let size = |size: &Scalar, name: &str| match size.count() {
        Some(count) => count.to_string(),
        None => name.into(),
    };
    let (axes, channels) = match &model.input.extent {
        Extent::Shape { sizes, .. } => {
            let (channels, axes) = sizes.split_at(sizes.len() - 1);
            let (axes, channels) = (channels, &axes[0]);
            let axes =
                axes.iter().enumerate().map(|(i, axis)| size(axis, &format!("INPUT_SHAPE[{i}]")));
            (axes.collect::<Vec<_>>(), channels)
        }
        Extent::Text { vocab, max_len, .. } => {
            let (vocab, max_len) = (size(&vocab.value, "VOCAB"), size(&max_len.value, "MAX_LEN"));
            return format!(
                " Takes ids below {vocab}, a tensor `(batch, tokens)` with at most {max_len} tokens, or a pair of one and a \
                 `bool` mask `(batch, tokens)` that is true where a token may be attended to."
            );
        }
        Extent::Axes { axes, channels } => {
            let axes = match axes.value.count() {
                Some(axes) => (1..=axes).map(|axis| format!("axis {axis}")).collect(),
                None => vec!["axis 1".into(), "..".into()],
            };
            (axes, &channels.value)
        }
    };
    let (axes, channels) = (axes.join(", "), size(channels, "INPUT_CHANNELS"));
    format!(
        " Takes a tensor `(batch, {axes}, {channels})`, or a pair of one and a `bool` mask `(batch, {axes})` that is true \
         where a position may be attended to."
    )
}

/// `forward`, as far as it depends on the output.
struct Forward {
    /// The type parameters of what it takes, their type and their pattern, which is their value as well.
    generics: TokenStream,
    ty: TokenStream,
    input: TokenStream,
    output: TokenStream,
    returns: &'static str,
    /// What it takes besides the input.
    takes: String,
    /// What comes before the call of a method of the library, that method, its arguments before the dropout, and what
    /// converts the result.
    before: Option<TokenStream>,
    run: TokenStream,
    arguments: TokenStream,
    convert: TokenStream,
}

impl Forward {
    fn new(name: &Ident, model: &Model, input: &TokenStream, is_wrong: bool) -> Self {
        let span = name.span();
        let of_input = Self {
            generics: quote_spanned!(span=> I: #input),
            ty: quote_spanned!(span=> I),
            input: quote_spanned!(span=> input),
            output: quote_spanned!(span=> I::Latents<{ #name::NUM_LATENTS }, { #name::LATENT_DIM }>),
            returns: " Returns the latents, `(batch, NUM_LATENTS, LATENT_DIM)`, without dropout.",
            takes: String::new(),
            before: None,
            run: quote_spanned!(span=> try_run),
            arguments: quote_spanned!(span=> input.try_tokens()?),
            convert: quote_spanned!(span=> map(I::latents)),
        };
        let queries = match &model.output {
            Output::Latents => return of_input,
            Output::MeanPool(_) | Output::ClassQuery(_) => {
                return Self {
                    output: quote_spanned!(span=> I::Logits<{ #name::NUM_CLASSES }>),
                    returns: " Returns the logits, `(batch, NUM_CLASSES)`, without dropout.",
                    convert: quote_spanned!(span=> map(I::logits)),
                    ..of_input
                };
            }
            Output::Queries(queries) => queries,
        };
        match &queries.source {
            QuerySource::Learned { .. } => Self {
                output: quote_spanned!(span=> I::Latents<{ #name::NUM_QUERIES }, { #name::OUTPUT_DIM }>),
                returns: " Returns a row for each query, `(batch, NUM_QUERIES, OUTPUT_DIM)`, without dropout.",
                ..of_input
            },
            QuerySource::Input if model.input.sizes.is_some() => {
                let sizes = model.input.sizes.iter().flatten();
                let sizes = sizes.map(|(number, size)| match size.count() {
                    Some(count) if !is_wrong => Literal::u64_unsuffixed(count).to_token_stream(),
                    _ => quote_spanned!(span=> { __::size_at(#name::INPUT_SHAPE, #number) }),
                });
                let axes = quote_spanned!(span=> (#(__::Const<#sizes>,)*));
                Self {
                    output: quote_spanned!(span=> I::Grid<#axes, { #name::OUTPUT_DIM }>),
                    returns: " Returns a row for each token, `(batch, axis 1, .., OUTPUT_DIM)`, without dropout.",
                    arguments: quote_spanned!(span=> input.try_tokens()?, __::Option::None),
                    run: quote_spanned!(span=> try_run_queries::<_, __::usize, _>),
                    convert: quote_spanned!(span=> and_then(I::try_grid::<#axes, { #name::OUTPUT_DIM }>)),
                    ..of_input
                }
            }
            QuerySource::Input => Self {
                output: quote_spanned!(span=> I::Rows<{ #name::OUTPUT_DIM }>),
                returns: " Returns a row for each token, `(batch, tokens, OUTPUT_DIM)`, without dropout.",
                run: quote_spanned!(span=> try_run_queries::<_, I::Tokens, _>),
                arguments: quote_spanned!(span=> input.try_tokens()?, __::Option::None),
                convert: quote_spanned!(span=> map(I::rows)),
                ..of_input
            },
            QuerySource::Given(dim) => {
                let width = match dim.value.count() {
                    Some(count) if !is_wrong => Literal::u64_unsuffixed(count).to_token_stream(),
                    _ => quote_spanned!(span=> { #name::QUERY_DIM }),
                };
                let dim = dim.value.count().map_or("QUERY_DIM".into(), |dim| dim.to_string());
                Self {
                    generics: quote_spanned! {span=>
                        I: #input, Q: __::GivenQueries<Self, I::Batch, I::Tape, #width, E, D>
                    },
                    ty: quote_spanned!(span=> (I, Q)),
                    input: quote_spanned!(span=> (input, queries)),
                    output: quote_spanned!(span=> Q::Outputs<{ #name::OUTPUT_DIM }>),
                    returns: " Returns a row for each query, `(batch, queries, OUTPUT_DIM)`, without dropout.",
                    takes: format!(
                        " Beside this input it takes queries, `(batch, queries, {dim})`."
                    ),
                    before: Some(quote_spanned! {span=>
                        let (tokens, queries) = queries.try_merge(input.try_tokens()?)?;
                    }),
                    run: quote_spanned!(span=> try_run_queries::<_, Q::Len, _>),
                    arguments: quote_spanned!(span=> tokens, __::Option::Some(queries)),
                    convert: quote_spanned!(span=> map(Q::outputs)),
                }
            }
        }
    }
}

pub fn methods(name: &Ident, model: &Model, is_wrong: bool) -> TokenStream {
    let span = name.span();
    let Bounds { input, rest } = bounds(name, model, is_wrong);
    let Forward {
        generics,
        ty,
        input: argument,
        output,
        returns,
        takes: extra,
        before,
        run,
        arguments,
        convert,
    } = Forward::new(name, model, &input, is_wrong);
    let latents = quote_spanned!(span=> I::Latents<{ #name::NUM_LATENTS }, { #name::LATENT_DIM }>);
    let takes = takes(model) + &extra;
    quote_spanned! {span=>
        impl<E: __::Dtype, D: __::Storage<E>> #name<E, D> {
            #[doc = #returns]
            ///
            #[doc = #takes]
            ///
            /// # Panics
            /// If [`try_forward`](Self::try_forward) returns an error.
            pub fn forward<#generics>(&self, #argument: #ty) -> #output
            where
                D: __::Device<E>,
                #rest,
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
                #rest,
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
                #rest,
            {
                #before
                self.perceiver.#run(#arguments, __::Dropout::NONE).#convert
            }

            /// Fallible version of [`forward_mut`](Self::forward_mut).
            ///
            /// # Errors
            /// Same as [`try_forward`](Self::try_forward).
            pub fn try_forward_mut<#generics>(&mut self, #argument: #ty) -> __::Result<#output, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #rest,
            {
                #before
                self.perceiver.#run(#arguments, <#name as __::Spec>::DROPOUT).#convert
            }

            /// Returns the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, without dropout. Takes the
            /// same input as [`forward`](Self::forward).
            ///
            /// # Panics
            /// If [`try_embed`](Self::try_embed) returns an error.
            pub fn embed<I: #input>(&self, input: I) -> #latents
            where
                D: __::Device<E>,
                #rest,
            {
                __::expect_forward(self.try_embed(input))
            }

            /// Fallible version of [`embed`](Self::embed).
            ///
            /// # Errors
            /// Same as [`try_forward`](Self::try_forward).
            pub fn try_embed<I: #input>(&self, input: I) -> __::Result<#latents, __::ForwardError<D::Err>>
            where
                D: __::Device<E>,
                #rest,
            {
                self.perceiver.try_run_embed(input.try_tokens()?).map(I::latents)
            }
        }

        impl<E: __::Dtype, D: __::Device<E>, #generics> __::Module<#ty> for #name<E, D>
        where
            #rest,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward(&self, input: #ty) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward(self, input).map_err(__::ForwardError::into_device_error)
            }
        }

        impl<E: __::Dtype, D: __::Device<E>, #generics> __::ModuleMut<#ty> for #name<E, D>
        where
            #rest,
        {
            type Output = #output;
            type Error = D::Err;

            fn try_forward_mut(&mut self, input: #ty) -> __::Result<Self::Output, D::Err> {
                #name::<E, D>::try_forward_mut(self, input).map_err(__::ForwardError::into_device_error)
            }
        }
    }
}
