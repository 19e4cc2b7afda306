//! What `forward` takes: the bounds of its input, each with a message of its own.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::ext::IdentExt;

use crate::model::{Extent, Input, Modality, Model, Scalar};

/// The input of a model's methods.
pub struct Takes {
    /// The type parameters, and what they must be.
    pub generics: TokenStream,
    pub ty: TokenStream,
    /// What else holds of the type parameters.
    pub bounds: TokenStream,
    /// The tokens of `input`.
    pub tokens: TokenStream,
    /// The types of the batch and of the tape.
    pub batch: TokenStream,
    pub tape: TokenStream,
    /// Whether it is of a single type `I`, which says what types results have.
    pub is_single: bool,
    /// What it is.
    pub what: String,
}

impl Takes {
    pub fn new(name: &Ident, model: &Model, is_wrong: bool) -> Self {
        let span = name.span();
        if let Extent::Modalities { list, .. } = &model.input.extent {
            return Self::several(name, list, is_wrong);
        }
        let model_type = quote_spanned!(span=> Self);
        let whose = Whose { name, model: model_type, is_wrong, has_constants: true };
        let (ty, positions) = (Ident::new("I", span), Ident::new("P", span));
        let one = whose.one(&model.input, [&ty, &positions], &quote_spanned!(span=> input));
        Self {
            generics: one.generics,
            ty: one.ty,
            bounds: one.bounds,
            tokens: {
                let tokens = one.tokens;
                quote_spanned!(span=> #tokens?)
            },
            batch: quote_spanned!(span=> I::Batch),
            tape: one.tape,
            is_single: model.input.position.given.is_none(),
            what: input_doc(&model.input, true),
        }
    }

    fn several(name: &Ident, list: &[Modality], is_wrong: bool) -> Self {
        let span = name.span();
        let structure = format_ident!("{}Input", name.unraw(), span = span);
        let (mut generics, mut bounds, mut types) = (Vec::new(), TokenStream::new(), Vec::new());
        let (mut batch, mut tape, mut tokens) =
            (TokenStream::new(), TokenStream::new(), TokenStream::new());
        for (index, Modality { name: modality, input, .. }) in list.iter().enumerate() {
            let ty = format_ident!("I{index}", span = span);
            let positions = format_ident!("P{index}", span = span);
            let whose = Whose {
                name,
                model: quote_spanned!(span=> #modality),
                is_wrong,
                has_constants: false,
            };
            let field = modality.unraw().to_string();
            let one = whose.one(input, [&ty, &positions], &quote_spanned!(span=> input.#modality));
            let (of_one, own) = (one.tokens, one.tape);
            let of_one = quote_spanned!(span=> __::of_modality(#field, #of_one)?);
            generics.push(one.generics);
            types.push(one.ty);
            bounds.extend(one.bounds);
            if index == 0 {
                batch = quote_spanned!(span=> #ty::Batch);
                tape = own;
                tokens.extend(quote_spanned!(span=> #of_one.first_modality()));
            } else {
                bounds.extend(quote_spanned! {span=>
                    #ty::Batch: __::BatchOf<#modality, #batch>,
                    #tape: __::JoinTapes<#own, E, D>,
                });
                tape = quote_spanned!(span=> __::Joined<#tape, #own, E, D>);
                tokens.extend(quote_spanned!(span=> .try_with_modality(#field, #of_one)?));
            }
        }
        let names: Vec<_> = list.iter().map(|modality| modality.name.unraw().to_string()).collect();
        Self {
            generics: quote_spanned!(span=> #(#generics),*),
            ty: quote_spanned!(span=> #structure<#(#types),*>),
            bounds,
            tokens,
            batch,
            tape,
            is_single: false,
            what: format!(
                "[`{structure} {{ {} }}`]({structure}), in which each field is a tensor or `(tensor, mask)`",
                names.join(", ")
            ),
        }
    }
}

/// A single input.
struct One {
    generics: TokenStream,
    ty: TokenStream,
    bounds: TokenStream,
    /// A result.
    tokens: TokenStream,
    tape: TokenStream,
}

impl Whose<'_> {
    /// One input, which has the type `ty`, and with positions that come with it the type `(ty, positions)`.
    fn one(&self, input: &Input, [ty, positions]: [&Ident; 2], value: &TokenStream) -> One {
        let (name, span) = (self.name, self.name.span());
        let Bounds { input: bound, rest } = self.bounds(input, ty);
        let Some(width) = &input.position.given else {
            return One {
                generics: quote_spanned!(span=> #ty: #bound),
                ty: quote_spanned!(span=> #ty),
                bounds: rest,
                tokens: quote_spanned!(span=> #value.try_tokens()),
                tape: quote_spanned!(span=> #ty::Tape),
            };
        };
        let axes = match input.extent.axes() {
            _ if self.is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            Some(axes) => Literal::u64_unsuffixed(axes).to_token_stream(),
            None => quote_spanned!(span=> { #name::INPUT_AXIS }),
        };
        let width = match width.count() {
            _ if self.is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            Some(width) => Literal::u64_unsuffixed(width).to_token_stream(),
            None => {
                let tokens = &width.tokens;
                quote_spanned!(span=> { #tokens })
            }
        };
        One {
            generics: quote_spanned! {span=>
                #ty: #bound, #positions: __::GridInput<__::positions, #axes, E, D, Mask = __::Unmasked>
            },
            ty: quote_spanned!(span=> (#ty, #positions)),
            bounds: quote_spanned! {span=>
                #rest
                #positions::Channels: __::GivenWidth<#width>,
                #positions::Positions: __::MaskedBy<__::Unmasked, __::positions, E, D>,
                #positions::Batch: __::BatchOf<__::positions, #ty::Batch>,
                #ty::Tape: __::JoinTapes<#positions::Tape, E, D>,
            },
            tokens: quote_spanned! {span=>
                __::with_positions(#value.0.try_tokens(), #value.1.try_tokens())
            },
            tape: quote_spanned!(span=> __::Joined<#ty::Tape, #positions::Tape, E, D>),
        }
    }
}

/// What a type parameter must be.
struct Bounds {
    input: TokenStream,
    rest: TokenStream,
}

/// Whose input it is.
struct Whose<'a> {
    name: &'a Ident,
    /// The type that messages name.
    model: TokenStream,
    is_wrong: bool,
    /// Whether its sizes have constants.
    has_constants: bool,
}

impl Whose<'_> {
    fn bounds(&self, input: &Input, ty: &Ident) -> Bounds {
        let Self { name, model, is_wrong, has_constants } = self;
        let span = name.span();
        // A literal as it is, since it says more than the name of a constant.
        let known = |scalar: &Scalar, constant: TokenStream| match scalar.count() {
            _ if *is_wrong => quote_spanned!(span=> { #name::DECLARATION_ERROR }),
            Some(count) => Literal::u64_unsuffixed(count).to_token_stream(),
            None if *has_constants => quote_spanned!(span=> { #constant }),
            None => {
                let tokens = &scalar.tokens;
                quote_spanned!(span=> { #tokens })
            }
        };
        let masked = quote_spanned!(span=> #ty::Positions: __::MaskedBy<#ty::Mask, #model, E, D>);
        let (axes, sizes) = match &input.extent {
            Extent::Text { .. } => {
                let input = quote_spanned!(span=> __::TextInput<#model, E, D>);
                return Bounds { input, rest: quote_spanned!(span=> #masked,) };
            }
            Extent::Shape { sizes, .. } => {
                let axes = Literal::usize_unsuffixed(sizes.len() - 1).to_token_stream();
                if *is_wrong {
                    (
                        axes,
                        quote_spanned!(span=> #ty::Channels: __::Channels<{ #name::DECLARATION_ERROR }, #model>),
                    )
                } else {
                    let sizes = sizes.iter().enumerate().map(|(index, size)| {
                        known(size, quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #index)))
                    });
                    (
                        axes,
                        quote_spanned!(span=> #ty::Sizes: __::Shape<(#(__::Const<#sizes>,)*), #model>),
                    )
                }
            }
            Extent::Axes { axes, channels } => {
                let axes = known(&axes.value, quote_spanned!(span=> #name::INPUT_AXIS));
                let channels = known(&channels.value, quote_spanned!(span=> #name::INPUT_CHANNELS));
                (axes, quote_spanned!(span=> #ty::Channels: __::Channels<#channels, #model>))
            }
            // There are none in others.
            Extent::Modalities { .. } => (TokenStream::new(), TokenStream::new()),
        };
        let axes =
            if *is_wrong { quote_spanned!(span=> { #name::DECLARATION_ERROR }) } else { axes };
        Bounds {
            input: quote_spanned!(span=> __::GridInput<#model, #axes, E, D>),
            rest: quote_spanned!(span=> #sizes, #masked,),
        }
    }
}

/// What an input is: sizes as numbers, as far as they are literals.
pub fn input_doc(input: &Input, has_constants: bool) -> String {
    let size = |size: &Scalar, name: &str| match size.count() {
        Some(count) => count.to_string(),
        None if has_constants => name.into(),
        None => size.tokens.to_string(),
    };
    let (axes, channels) = match &input.extent {
        Extent::Shape { sizes, .. } => {
            let (axes, channels) = (&sizes[..sizes.len() - 1], &sizes[sizes.len() - 1]);
            let axes =
                axes.iter().enumerate().map(|(i, axis)| size(axis, &format!("INPUT_SHAPE[{i}]")));
            (axes.collect::<Vec<_>>(), channels)
        }
        Extent::Text { vocab, max_len, .. } => {
            let (vocab, max_len) = (size(&vocab.value, "VOCAB"), size(&max_len.value, "MAX_LEN"));
            return format!(
                "ids below {vocab}, a tensor `(batch, tokens)` of `usize` with at most {max_len} tokens, or `(ids, mask)` with \
                 a `bool` mask `(batch, tokens)` that is true where a token may be attended to"
            );
        }
        Extent::Axes { axes, channels } => {
            let axes = match axes.value.count() {
                Some(axes) => (1..=axes).map(|axis| format!("axis {axis}")).collect(),
                None => vec!["axis 1".into(), "..".into()],
            };
            (axes, &channels.value)
        }
        Extent::Modalities { .. } => return "several inputs".into(),
    };
    let channels = size(channels, "INPUT_CHANNELS");
    if axes.is_empty() {
        return format!("a tensor `(batch, {channels})`");
    }
    let axes = axes.join(", ");
    let positions = match &input.position.given {
        Some(width) => {
            let width =
                width.count().map_or_else(|| width.tokens.to_string(), |width| width.to_string());
            format!("; it comes with positions `(batch, {axes}, {width})`, as `(input, positions)`")
        }
        None => String::new(),
    };
    format!(
        "a tensor `(batch, {axes}, {channels})`, or `(tensor, mask)` with a `bool` mask `(batch, {axes})` that is true \
         where a position may be attended to{positions}"
    )
}
