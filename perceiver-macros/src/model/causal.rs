//! A Perceiver AR: what is declared with `family: PerceiverAr`.

use proc_macro2::Ident;

use super::cycles;
use super::output::FeedForward;
use super::section::{Section, Setting};
use super::value::{Read, Scalar};
use crate::messages;
use crate::report::Report;
use crate::schema::{self, Key};

pub struct Causal {
    pub depth: Setting,
    pub vocab: Setting,
    pub max_len: Setting,
    pub dim: Setting,
    pub num_latents: Setting,
    pub cross_heads: Setting,
    pub latent_heads: Setting,
    pub self_per_cross_attn: Setting,
    pub attn_dropout: Setting,
    pub ff_dropout: Setting,
    pub prefix_dropout: Setting,
    /// `None` for all.
    pub rotary_layers: Option<Setting>,
    pub attn_bias: Option<Setting>,
    pub feed_forward: Option<FeedForward>,
    pub final_norm: Setting,
    pub has_positions: bool,
    pub rotary: Option<Scalar>,
    pub output_bias: Scalar,
}

/// What a Perceiver AR does not have, with the reason.
static OTHERS: &[(&Key, &str)] = &[
    (&schema::NUM_LATENTS, "the largest number of latents is the `n` of `latents: Last(n)`"),
    (&schema::LATENT_DIM, "the latents are tokens, which have the dimension of `Text`"),
    (&schema::CROSS_DIM_HEAD, "heads share the dimension of `Text`"),
    (&schema::LATENT_DIM_HEAD, "heads share the dimension of `Text`"),
    (&schema::QK_CHANNELS, "heads share the dimension of `Text`"),
    (&schema::V_CHANNELS, "heads share the dimension of `Text`"),
    (&schema::NUM_CLASSES, ONLY_TEXT),
    (&schema::FINAL_CLASSIFIER_HEAD, ONLY_TEXT),
    (&schema::INPUT_CHANNELS, ONLY_TEXT),
    (&schema::INPUT_AXIS, ONLY_TEXT),
    (&schema::INPUT_SHAPE, ONLY_TEXT),
    (&schema::NUM_FREQ_BANDS, ONLY_TEXT),
    (&schema::MAX_FREQ, ONLY_TEXT),
    (&schema::FREQ_BASE, ONLY_TEXT),
    (&schema::FOURIER_ENCODE_DATA, ONLY_TEXT),
    (&schema::INPUT_PADDING, ONLY_TEXT),
    (&schema::OUTPUT_PADDING, ONLY_TEXT),
    (&schema::OUTPUT_WIDTH, ONLY_TEXT),
    (&schema::WEIGHT_TIE_LAYERS, ONE_LAYER),
    (&schema::SHARE, ONE_LAYER),
    (&schema::CROSS_ATTENDS, ONE_LAYER),
    (&schema::INVERTED_CROSS_ATTN, "its latents attend to what comes before them"),
    (&schema::QUERIES_CONTRIBUTE_KV, "its latents are keys and values in any case"),
    (&schema::ATTN_RESIDUAL, ONE_LAYER),
    (&schema::ATTN_RESIDUAL_RANK, ONE_LAYER),
];
const ONLY_TEXT: &str = "it takes text, and has logits for the ids of that";
const ONE_LAYER: &str = "it has a single cross attention";

/// References to all numbers and flags, in the order of the keys.
macro_rules! settings {
    ($causal:expr, $($mut:tt)?) => {{
        let causal = &$($mut)? $causal;
        let mut settings = vec![
            &$($mut)? causal.depth,
            &$($mut)? causal.vocab,
            &$($mut)? causal.max_len,
            &$($mut)? causal.dim,
            &$($mut)? causal.num_latents,
            &$($mut)? causal.cross_heads,
            &$($mut)? causal.latent_heads,
            &$($mut)? causal.attn_dropout,
            &$($mut)? causal.ff_dropout,
            &$($mut)? causal.self_per_cross_attn,
            &$($mut)? causal.final_norm,
            &$($mut)? causal.prefix_dropout,
        ];
        settings.extend(&$($mut)? causal.attn_bias);
        settings.extend(&$($mut)? causal.rotary_layers);
        settings
    }};
}

impl Causal {
    pub fn new(root: &Section, model: &Ident, report: &mut Report) -> Self {
        for (key, why) in OTHERS {
            if let Some(field) = root.field(key) {
                report.error(&field.key, messages::not_causal(key.name, why));
            }
        }
        let setting = |key| root.setting(key, key);
        let depth = setting(&schema::DEPTH);
        if let Some(count) = depth.value.count().filter(|count| *count > 1) {
            report.error(&depth.value.tokens, messages::causal_depth(count));
        }
        let text = Text::new(root, model, report);
        let (has_positions, rotary) = text.positions;
        let is_all = root.choice(&schema::ROTARY_LAYERS).is_some();
        let mut causal = Self {
            vocab: text.vocab,
            max_len: text.max_len,
            dim: text.dim,
            num_latents: latents(root, model, report),
            cross_heads: Setting {
                value: match root.is_given(&schema::CROSS_HEADS) {
                    true => setting(&schema::CROSS_HEADS).value,
                    false => Scalar::literal("8"),
                },
                ..setting(&schema::CROSS_HEADS)
            },
            latent_heads: setting(&schema::LATENT_HEADS),
            self_per_cross_attn: setting(&schema::SELF_PER_CROSS_ATTN),
            attn_dropout: setting(&schema::ATTN_DROPOUT),
            ff_dropout: setting(&schema::FF_DROPOUT),
            prefix_dropout: setting(&schema::PREFIX_DROPOUT),
            rotary_layers: (!is_all)
                .then(|| root.setting(&schema::ROTARY_LAYERS, &schema::NUM_ROTARY_LAYERS)),
            attn_bias: root.optional(&schema::ATTN_BIAS),
            feed_forward: FeedForward::new(root, &schema::FEED_FORWARD, model, report),
            final_norm: setting(&schema::FINAL_NORM),
            has_positions,
            rotary,
            output_bias: output_bias(root, model, report),
            depth,
        };
        cycles::break_cycles(model, &mut settings!(causal, mut), report);
        causal
    }

    /// All numbers and flags, in the order of the keys.
    pub fn settings(&self) -> Vec<&Setting> {
        settings!(self,)
    }
}

/// What is in `Text { .. }`.
struct Text {
    vocab: Setting,
    max_len: Setting,
    dim: Setting,
    /// Whether there are learned positions, and the share that is rotated.
    positions: (bool, Option<Scalar>),
}

impl Text {
    fn new(root: &Section, model: &Ident, report: &mut Report) -> Self {
        let wrong = |key: &Key, constant: &'static Key| Setting {
            key: constant,
            name: constant.name,
            is_given: false,
            docs: Vec::new(),
            value: Scalar::placeholder(key.kind),
        };
        let keys = [&schema::VOCAB, &schema::MAX_LEN, &schema::TEXT_DIM];
        let constants = [&schema::VOCAB, &schema::MAX_LEN, &schema::INPUT_CHANNELS];
        let section = match root.choice(&schema::INPUT) {
            Some((variant, _, Some(section))) if variant.name == "Text" => section,
            _ => {
                match root.field(&schema::INPUT) {
                    // What is wrong with it has been reported.
                    Some(field) if field.read.is_none() => {}
                    Some(field) => report.error(&field.key, messages::causal_input()),
                    None if root.is_missing(&schema::INPUT, report) => {
                        root.report_missing(messages::causal_input(), model, report);
                    }
                    None => {}
                }
                let [vocab, max_len, dim] = [0, 1, 2].map(|i| wrong(keys[i], constants[i]));
                return Self { vocab, max_len, dim, positions: (true, None) };
            }
        };
        for key in keys {
            section.require(key, model, report);
        }
        let [vocab, max_len, dim] = [0, 1, 2].map(|i| section.setting(keys[i], constants[i]));
        Self { vocab, max_len, dim, positions: positions(section) }
    }
}

fn positions(text: &Section) -> (bool, Option<Scalar>) {
    let Some(field) = text.field(&schema::TEXT_POSITION) else {
        return (true, Some(Scalar::literal("0.5")));
    };
    let mut positions = (false, None);
    if let Some(Read::List(list)) = &field.read {
        for position in list {
            match position {
                Read::Values(_, values) => positions.1 = values.first().cloned(),
                _ => positions.0 = true,
            }
        }
    }
    positions
}

fn latents(root: &Section, model: &Ident, report: &mut Report) -> Setting {
    let field = root.field(&schema::LATENTS);
    let value = match (root.choice(&schema::LATENTS), field) {
        (Some((_, [count], _)), _) => count.clone(),
        (Some(_), Some(field)) => {
            report.error(&field.key, messages::causal_latents());
            Scalar::literal("1")
        }
        (None, None) if root.is_missing(&schema::LATENTS, report) => {
            root.report_missing(messages::causal_latents(), model, report);
            Scalar::literal("1")
        }
        _ => Scalar::literal("1"),
    };
    Setting {
        key: &schema::MAX_LATENTS,
        name: "Last",
        is_given: field.is_some(),
        docs: field.map(|field| field.docs.clone()).unwrap_or_default(),
        value,
    }
}

fn output_bias(root: &Section, model: &Ident, report: &mut Report) -> Scalar {
    match (root.choice(&schema::OUTPUT), root.field(&schema::OUTPUT)) {
        (Some((variant, _, section)), _) if variant.name == "Embedding" => match section {
            Some(section) => section.setting(&schema::LOGIT_BIAS, &schema::LOGIT_BIAS).value,
            None => Scalar::literal("true"),
        },
        (_, Some(field)) => {
            if field.read.is_some() {
                report.error(&field.key, messages::causal_output());
            }
            Scalar::literal("true")
        }
        (_, None) => {
            if root.is_missing(&schema::OUTPUT, report) {
                root.report_missing(messages::causal_output(), model, report);
            }
            Scalar::literal("true")
        }
    }
}
