//! The expansion of a Perceiver AR: a struct around the library's `PerceiverAr`. Its methods are the library's.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use super::checks::{call, check};
use super::constants::{Constant, constants};
use super::returns::shown;
use super::spec::mlp;
use super::{around, usage, used};
use crate::grammar::Declaration;
use crate::model::{Causal, Setting};
use crate::schema;

pub fn expand(
    krate: &TokenStream,
    declaration: &Declaration,
    model: &Causal,
    error: Option<&TokenStream>,
) -> TokenStream {
    let name = &used(declaration);
    let span = name.span();
    let constants = constants(krate, name, all(model), error);
    let checks = error.is_none().then(|| checks(name, model));
    let spec = spec(name, model);
    let items = quote_spanned! {span=>
        #checks
        impl #name {
            /// The number of trainable parameters: what `num_trainable_params()` returns. `summary()` lists those of each part.
            pub const PARAMETERS: __::usize = <__::PerceiverAr<#name>>::PARAMETERS;
        }
        #spec
        __::causal_methods!(#name);
    };
    let vocab = shown(&model.vocab.value, "VOCAB");
    let max_len = shown(&model.max_len.value, "MAX_LEN");
    let takes = format!(
        "ids below {vocab}, a tensor `(batch, tokens)` of `usize` with at most {max_len} tokens. With padding before shorter \
         texts, pass `(ids, mask)`, with a `bool` mask `(batch, tokens)` that is false there. To choose the number of tokens \
         before the latents, pass `(ids, prefix_len)` or `((ids, mask), prefix_len)`"
    );
    let returns = format!(
        "the logits of the token after each of the latents, `(batch, latents, {vocab})`. `generate` continues a text"
    );
    let usage = usage(&takes, &returns);
    around(krate, declaration, ["PerceiverAr", &usage], &TokenStream::new(), &constants, &items)
}

fn all(model: &Causal) -> Vec<Constant<'_>> {
    let mut constants: Vec<_> = model.settings().into_iter().map(Constant::Setting).collect();
    constants.push(Constant::Derived(&schema::LATENT_DIM, quote!(Self::INPUT_CHANNELS)));
    let head = |heads: &Ident| quote!(Self::INPUT_CHANNELS / Self::#heads);
    let [cross, latent] =
        ["CROSS_HEADS", "LATENT_HEADS"].map(|name| quote::format_ident!("{name}"));
    constants.push(Constant::Derived(&schema::CROSS_DIM_HEAD, head(&cross)));
    constants.push(Constant::Derived(&schema::LATENT_DIM_HEAD, head(&latent)));
    constants
}

/// That what only the compiler can evaluate is in range, and that sizes fit.
fn checks(name: &Ident, model: &Causal) -> TokenStream {
    let span = name.span();
    let mut checks = Vec::new();
    let constant = |setting: &Setting| {
        let constant = quote::format_ident!("{}", setting.key.name.to_uppercase(), span = span);
        quote_spanned!(span=> #name::#constant)
    };
    for setting in model.settings() {
        if setting.value.literal.is_none() {
            let what = format!("`{}`", setting.name);
            let tokens = &setting.value.tokens;
            checks.extend(check(setting.key.kind, &what, tokens, &constant(setting)));
        }
    }
    let mut depth = |what: &str, setting: &Setting, min: u64, max: TokenStream| {
        let value = constant(setting);
        checks.push(call(
            "count",
            &setting.value.tokens,
            &quote!(#what, #min as __::usize, #max, #value),
        ));
    };
    depth("`depth` of a Perceiver AR", &model.depth, 1, quote!(1));
    depth("`Last`, at most `max_len`,", &model.num_latents, 1, constant(&model.max_len));
    let [cross, latent] = [&model.cross_heads, &model.latent_heads];
    let function = if model.rotary.is_some() { "paired_heads" } else { "heads" };
    let are_equal = latent.value.count().is_some_and(|count| cross.value.count() == Some(count));
    for heads in if are_equal { vec![cross] } else { vec![cross, latent] } {
        let place = match heads.is_given {
            true => heads.value.tokens.clone(),
            false => model.dim.value.tokens.clone(),
        };
        let (key, count, width) =
            (format!("`{}`", heads.name), constant(heads), constant(&model.dim));
        checks.push(call(function, &place, &quote!("`dim`", #width, #key, #count)));
    }
    if let Some(share) = model.rotary.as_ref().filter(|share| share.literal.is_none()) {
        let share = &share.tokens;
        checks.extend(check(schema::ROTARY_SHARE.kind, "the share of `Rotary`", share, share));
    }
    quote_spanned!(span=> #(#checks)*)
}

fn spec(name: &Ident, model: &Causal) -> TokenStream {
    let span = name.span();
    let has_positions = model.has_positions;
    let rotary = model.rotary.as_ref().map(|share| {
        let share = &share.tokens;
        quote_spanned!(span=> const ROTARY: __::Option<__::f64> = __::Option::Some(#share);)
    });
    let rotary_layers = match model.rotary_layers {
        Some(_) => quote_spanned!(span=> #name::ROTARY_LAYERS),
        None => quote_spanned!(span=> #name::SELF_PER_CROSS_ATTN),
    };
    let bias = model.attn_bias.as_ref().map(|_| {
        quote_spanned! {span=>
            const CROSS_BIAS: __::AttentionBias = __::AttentionBias::all(#name::ATTN_BIAS);
            const LATENT_BIAS: __::AttentionBias = __::AttentionBias::all(#name::ATTN_BIAS);
        }
    });
    let feed_forward = model.feed_forward.as_ref().map(|feed_forward| {
        let mlp = mlp(name, feed_forward);
        quote_spanned!(span=> const FEED_FORWARD: __::Mlp = #mlp;)
    });
    let output_bias = &model.output_bias.tokens;
    quote_spanned! {span=>
        impl __::CausalSpec for #name {
            const NAME: &'static __::str = ::core::stringify!(#name);
            type Vocab = __::Const<{ #name::VOCAB }>;
            const MAX_LEN: __::usize = #name::MAX_LEN;
            const MAX_LATENTS: __::usize = #name::NUM_LATENTS;
            const DIM: __::usize = #name::INPUT_CHANNELS;
            const LEARNED_POSITIONS: __::bool = #has_positions;
            #rotary
            const ROTARY_LAYERS: __::usize = #rotary_layers;
            const SELF_ATTENTIONS: __::usize = #name::SELF_PER_CROSS_ATTN;
            const CROSS_HEADS: __::Heads = __::Heads::new(#name::CROSS_HEADS, #name::CROSS_DIM_HEAD);
            const LATENT_HEADS: __::Heads = __::Heads::new(#name::LATENT_HEADS, #name::LATENT_DIM_HEAD);
            #bias
            #feed_forward
            const FINAL_NORM: __::bool = #name::FINAL_NORM;
            const OUTPUT_BIAS: __::bool = #output_bias;
            const PREFIX_DROPOUT: __::f64 = #name::PREFIX_DROPOUT;
            const DROPOUT: __::Dropout =
                __::Dropout { attention: #name::ATTN_DROPOUT, feed_forward: #name::FF_DROPOUT };
        }
    }
}
