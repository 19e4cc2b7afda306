//! A declaration as a model: typed, with every key known, every literal in range and every default filled in.

mod causal;
mod cycles;
mod input;
mod output;
mod section;
mod stem;
mod value;

use proc_macro2::Ident;
use syn::Attribute;

pub use causal::Causal;
pub use input::{Extent, Input, Learned, MaxFreq, Modality, Position, Stem};
pub use output::{
    DecoderFeedForward, FeedForward, Output, OutputModality, OutputQueries, Projection, Queries,
    QueryGrid, QuerySource,
};
pub use section::Setting;
pub use value::Scalar;

use crate::grammar::Declaration;
use crate::messages;
use crate::report::Report;
use crate::schema::{self, Key};
use section::{Field, Section};
use value::Read;

/// What is declared. What was wrong has a value with which the rest can still be expanded.
pub struct Model {
    pub family: Family,
    pub input: Input,
    pub output: Output,
    pub depth: Setting,
    pub num_latents: Setting,
    pub latent_dim: Setting,
    pub cross_heads: Setting,
    /// `None`: it follows from the width of all heads together.
    pub cross_dim_head: Option<Setting>,
    pub latent_heads: Setting,
    pub latent_dim_head: Option<Setting>,
    pub self_per_cross_attn: Setting,
    pub attn_dropout: Setting,
    pub ff_dropout: Setting,
    pub share: Share,
    pub inverted_cross_attn: Inverted,
    pub cross_attends: Option<Setting>,
    pub qk_channels: Option<Setting>,
    pub v_channels: Option<Setting>,
    pub attn_bias: Option<Setting>,
    pub feed_forward: Option<FeedForward>,
    pub queries_contribute_kv: Option<Setting>,
    pub final_norm: Option<Setting>,
    /// Whether there are residual connections to all layers before, and their rank.
    pub attn_residual: Option<(Setting, Setting)>,
}

pub enum Inverted {
    /// The same in all layers.
    Same(Setting),
    /// One flag for each.
    PerLayer { docs: Vec<Attribute>, flags: Vec<Scalar> },
}

impl Inverted {
    fn new(root: &Section) -> Self {
        match root.field(&schema::INVERTED_CROSS_ATTN) {
            Some(Field { docs, read: Some(Read::Array(flags)), .. }) => {
                Self::PerLayer { docs: docs.clone(), flags: flags.clone() }
            }
            _ => {
                Self::Same(root.setting(&schema::INVERTED_CROSS_ATTN, &schema::INVERTED_CROSS_ATTN))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Family {
    PerceiverPytorch,
    Transformers,
}

pub enum Share {
    /// As `weight_tie_layers` says.
    Tied(Setting),
    /// A variant of the library's `Share`.
    Variant(&'static str),
}

/// A model of one of the kinds that there are.
pub enum Declared {
    Perceiver(Box<Model>),
    Causal(Box<Causal>),
}

impl Declared {
    /// Checks what is declared.
    pub fn new(declaration: &Declaration, report: &mut Report) -> Self {
        let root = Section::read(None, schema::ROOT, &declaration.entries, report);
        let name = match declaration.keyword {
            // A bare list of keys has no name to point at.
            None => declaration.entries.first().map_or(&declaration.name, |entry| &entry.key),
            Some(_) => &declaration.name,
        };
        root.require(&schema::DEPTH, name, report);
        match root.choice(&schema::FAMILY) {
            Some((variant, ..)) if variant.name == "PerceiverAr" => {
                Self::Causal(Box::new(Causal::new(&root, name, report)))
            }
            _ => Self::Perceiver(Box::new(Model::new(&root, declaration, name, report))),
        }
    }
}

impl Model {
    fn new(root: &Section, declaration: &Declaration, name: &Ident, report: &mut Report) -> Self {
        let setting = |key| root.setting(key, key);
        let latents = root.choice(&schema::LATENTS);
        if let (Some((variant, ..)), Some(field)) = (latents, root.field(&schema::LATENTS))
            && variant.name == "Last"
        {
            report.error(&field.key, messages::needs_causal("latents: Last"));
        }
        for key in [&schema::PREFIX_DROPOUT, &schema::ROTARY_LAYERS] {
            if let Some(field) = root.field(key) {
                report.error(&field.key, messages::needs_causal(key.name));
            }
        }
        let family = match root.choice(&schema::FAMILY) {
            Some((variant, ..)) if variant.name == "Transformers" => Family::Transformers,
            _ => Family::PerceiverPytorch,
        };
        let input = Input::new(root, name, report);
        let output = Output::new(root, &input, name, report);
        if root.is_given(&schema::SHARE) {
            exclude(root, &schema::SHARE, &[&schema::WEIGHT_TIE_LAYERS], report);
        }
        let share = match root.choice(&schema::SHARE) {
            Some((variant, ..)) => Share::Variant(variant.name),
            None if family == Family::Transformers
                && !root.is_given(&schema::WEIGHT_TIE_LAYERS) =>
            {
                Share::Variant("All")
            }
            None => Share::Tied(setting(&schema::WEIGHT_TIE_LAYERS)),
        };
        let mut cross_attends = root.optional(&schema::CROSS_ATTENDS);
        if family == Family::Transformers {
            let default =
                || Setting { value: Scalar::literal("1"), ..setting(&schema::CROSS_ATTENDS) };
            cross_attends = cross_attends.or_else(|| Some(default()));
        }
        let qk_channels = root.optional(&schema::QK_CHANNELS);
        // Heads share a width, and do not have one of their own, where it is given or the family has it so.
        let has_width = qk_channels.is_some() || family == Family::Transformers;
        let head_dim = |key| match root.is_given(key) {
            false if has_width => None,
            _ => Some(setting(key)),
        };
        for key in [&schema::CROSS_DIM_HEAD, &schema::LATENT_DIM_HEAD] {
            if qk_channels.is_some() && root.is_given(key) {
                exclude(root, &schema::QK_CHANNELS, &[key], report);
            }
        }
        let mut model = Self {
            family,
            input,
            output,
            depth: setting(&schema::DEPTH),
            num_latents: setting(&schema::NUM_LATENTS),
            latent_dim: setting(&schema::LATENT_DIM),
            cross_heads: root.setting_in(family, &schema::CROSS_HEADS),
            cross_dim_head: head_dim(&schema::CROSS_DIM_HEAD),
            latent_heads: setting(&schema::LATENT_HEADS),
            latent_dim_head: head_dim(&schema::LATENT_DIM_HEAD),
            self_per_cross_attn: setting(&schema::SELF_PER_CROSS_ATTN),
            attn_dropout: root.setting_in(family, &schema::ATTN_DROPOUT),
            ff_dropout: setting(&schema::FF_DROPOUT),
            share,
            inverted_cross_attn: Inverted::new(root),
            cross_attends,
            qk_channels,
            v_channels: root.optional(&schema::V_CHANNELS),
            attn_bias: root.optional(&schema::ATTN_BIAS),
            feed_forward: FeedForward::new(root, &schema::FEED_FORWARD, name, report)
                .or_else(|| FeedForward::of_family(family)),
            queries_contribute_kv: root.optional(&schema::QUERIES_CONTRIBUTE_KV),
            final_norm: root.optional(&schema::FINAL_NORM),
            attn_residual: root
                .optional(&schema::ATTN_RESIDUAL)
                .map(|flag| (flag, setting(&schema::ATTN_RESIDUAL_RANK))),
        };
        cycles::break_cycles(&declaration.name, &mut model.settings(), report);
        model
    }

    /// All numbers and flags.
    fn settings(&mut self) -> Vec<&mut Setting> {
        let mut settings = vec![
            &mut self.depth,
            &mut self.num_latents,
            &mut self.latent_dim,
            &mut self.cross_heads,
            &mut self.latent_heads,
            &mut self.self_per_cross_attn,
            &mut self.attn_dropout,
            &mut self.ff_dropout,
            &mut self.input.position.bands,
        ];
        match &mut self.input.extent {
            Extent::Axes { axes, channels } => settings.extend([axes, channels]),
            Extent::Text { vocab, max_len, dim } => settings.extend([vocab, max_len, dim]),
            Extent::Modalities { padding, .. } => settings.push(padding),
            Extent::Shape { .. } => {}
        }
        if let MaxFreq::Same(max_freq) = &mut self.input.position.max_freq {
            settings.push(max_freq);
        }
        settings.extend(&mut self.input.position.base);
        settings.extend(&mut self.cross_dim_head);
        settings.extend(&mut self.latent_dim_head);
        settings.extend(&mut self.cross_attends);
        settings.extend(&mut self.qk_channels);
        settings.extend(&mut self.v_channels);
        settings.extend(&mut self.attn_bias);
        settings.extend(&mut self.queries_contribute_kv);
        settings.extend(&mut self.final_norm);
        if let Some((flag, rank)) = &mut self.attn_residual {
            settings.extend([flag, rank]);
        }
        if let Inverted::Same(flag) = &mut self.inverted_cross_attn {
            settings.push(flag);
        }
        if let Share::Tied(tied) = &mut self.share {
            settings.push(tied);
        }
        settings.extend(self.output.settings());
        settings
    }
}

/// Reports that `flat` keys are given beside the `nested` one that says the same.
fn exclude(root: &Section, nested: &Key, flat: &[&'static Key], report: &mut Report) {
    let given = root.given(flat);
    let first = given.first().and_then(|name| flat.iter().find(|key| key.name == *name));
    if let Some(field) = first.and_then(|key| root.field(key)) {
        report.error(&field.key, messages::conflict(nested.name, &given));
    }
}
