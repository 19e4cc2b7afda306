//! A declaration as a model: typed, with every key known, every literal in range and every default filled in.

mod cycles;
mod output;
mod section;
mod stem;
mod value;

use proc_macro2::Ident;
use syn::Attribute;

pub use output::{DecoderFeedForward, FeedForward, Output, Projection, Queries, QuerySource};
pub use section::Setting;
pub use value::Scalar;

use crate::grammar::Declaration;
use crate::messages;
use crate::report::Report;
use crate::schema::{self, FLAT_INPUT, Key};
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

/// A tensor `(batch, axis 1, .., channels)`.
pub struct Input {
    pub extent: Extent,
    pub stem: Vec<Stem>,
    /// The sizes of the axes after the stem, if they are fixed; for each, which of the shape it is or comes from.
    pub sizes: Option<Vec<(usize, Scalar)>>,
    pub position: Position,
}

/// A step of a stem.
pub enum Stem {
    Patches(Vec<Scalar>),
    Linear(Scalar),
}

pub enum Extent {
    /// Axes of any size.
    Axes { axes: Setting, channels: Setting },
    /// Ids.
    Text { vocab: Setting, max_len: Setting, dim: Setting },
    /// Axes of these sizes; the last is that of the channels.
    Shape {
        /// What its key is called where it is given.
        name: &'static str,
        docs: Vec<Attribute>,
        sizes: Vec<Scalar>,
    },
}

/// Fourier features. Without an encoding their numbers are what is given all the same, or 0.
pub struct Position {
    pub is_encoded: bool,
    pub bands: Setting,
    pub max_freq: MaxFreq,
    pub base: Option<Setting>,
    /// Learned rows in place of Fourier features.
    pub learned: Option<Learned>,
}

/// Learned rows.
pub struct Learned {
    pub channels: Scalar,
    pub project: Option<Scalar>,
}

pub enum MaxFreq {
    /// One for all axes.
    Same(Setting),
    /// One for each.
    PerAxis { docs: Vec<Attribute>, values: Vec<Scalar> },
}

/// The keys of an input, in one of the two forms in which they can be given.
struct Names {
    shape: &'static Key,
    axes: &'static Key,
    channels: &'static Key,
    bands: &'static Key,
    max_freq: &'static Key,
    base: &'static Key,
}

static FLAT: Names = Names {
    shape: &schema::INPUT_SHAPE,
    axes: &schema::INPUT_AXIS,
    channels: &schema::INPUT_CHANNELS,
    bands: &schema::NUM_FREQ_BANDS,
    max_freq: &schema::MAX_FREQ,
    base: &schema::FREQ_BASE,
};

static GRID: Names = Names {
    shape: &schema::SHAPE,
    axes: &schema::AXES,
    channels: &schema::CHANNELS,
    bands: &schema::BANDS,
    max_freq: &schema::GRID_MAX_FREQ,
    base: &schema::BASE,
};

impl Extent {
    /// The number of axes, if it is known.
    pub fn axes(&self) -> Option<u64> {
        match self {
            Self::Axes { axes, .. } => axes.value.count(),
            Self::Text { .. } => Some(1),
            Self::Shape { sizes, .. } => Some(sizes.len() as u64 - 1),
        }
    }

    /// The sizes of the axes, if they are fixed, with their numbers.
    fn sizes(&self) -> Option<Vec<(usize, Scalar)>> {
        match self {
            Self::Shape { sizes, .. } => {
                Some(sizes[..sizes.len() - 1].iter().cloned().enumerate().collect())
            }
            Self::Axes { .. } | Self::Text { .. } => None,
        }
    }
}

impl Model {
    /// Checks what is declared.
    pub fn new(declaration: &Declaration, report: &mut Report) -> Self {
        let root = Section::read(None, schema::ROOT, &declaration.entries, report);
        let name = match declaration.keyword {
            // A bare list of keys has no name to point at.
            None => declaration.entries.first().map_or(&declaration.name, |entry| &entry.key),
            Some(_) => &declaration.name,
        };
        let setting = |key| root.setting(key, key);
        root.require(&schema::DEPTH, name, report);
        let family = match root.choice(&schema::FAMILY) {
            Some((variant, ..)) if variant.name == "Transformers" => Family::Transformers,
            _ => Family::PerceiverPytorch,
        };
        let in_transformers = |default| (family == Family::Transformers).then_some(default);
        let input = Input::new(&root, name, report);
        let output = Output::new(&root, &input, name, report);
        if root.is_given(&schema::SHARE) {
            exclude(&root, &schema::SHARE, &[&schema::WEIGHT_TIE_LAYERS], report);
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
                exclude(&root, &schema::QK_CHANNELS, &[key], report);
            }
        }
        let mut model = Self {
            family,
            input,
            output,
            depth: setting(&schema::DEPTH),
            num_latents: setting(&schema::NUM_LATENTS),
            latent_dim: setting(&schema::LATENT_DIM),
            cross_heads: root.setting_or(&schema::CROSS_HEADS, in_transformers("8")),
            cross_dim_head: head_dim(&schema::CROSS_DIM_HEAD),
            latent_heads: setting(&schema::LATENT_HEADS),
            latent_dim_head: head_dim(&schema::LATENT_DIM_HEAD),
            self_per_cross_attn: setting(&schema::SELF_PER_CROSS_ATTN),
            attn_dropout: root.setting_or(&schema::ATTN_DROPOUT, in_transformers("0.1")),
            ff_dropout: setting(&schema::FF_DROPOUT),
            share,
            inverted_cross_attn: Inverted::new(&root),
            cross_attends,
            qk_channels,
            v_channels: root.optional(&schema::V_CHANNELS),
            attn_bias: root.optional(&schema::ATTN_BIAS),
            feed_forward: FeedForward::new(&root, &schema::FEED_FORWARD, name, report)
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

impl Input {
    fn new(root: &Section, name: &Ident, report: &mut Report) -> Self {
        let is_nested = root.is_given(&schema::INPUT);
        if is_nested {
            exclude(root, &schema::INPUT, FLAT_INPUT, report);
        }
        match root.choice(&schema::INPUT) {
            Some((_, [dim], _)) => Self::tokens(dim.clone()),
            Some((variant, _, Some(text))) if variant.name == "Text" => {
                for key in [&schema::VOCAB, &schema::MAX_LEN, &schema::TEXT_DIM] {
                    text.require(key, name, report);
                }
                let vocab = text.setting(&schema::VOCAB, &schema::VOCAB);
                let max_len = text.setting(&schema::MAX_LEN, &schema::MAX_LEN);
                let dim = text.setting(&schema::TEXT_DIM, &schema::INPUT_CHANNELS);
                Self::without_stem(Extent::Text { vocab, max_len, dim }, Position::none())
            }
            Some((_, _, Some(grid))) => Self::grid(grid, name, report),
            // What is wrong with it has been reported.
            _ if is_nested => Self::tokens(Scalar::literal("1")),
            _ => {
                let is_encoded = root.is_on(&schema::FOURIER_ENCODE_DATA);
                let extent = Extent::new(root, &FLAT, report);
                let position = if is_encoded {
                    root.require(FLAT.bands, name, report);
                    root.require(FLAT.max_freq, name, report);
                    Position::fourier(root, &FLAT, (extent.axes(), ""), report)
                } else {
                    Position::ignored(root, &extent, report)
                };
                Self::without_stem(extent, position)
            }
        }
    }

    fn without_stem(extent: Extent, position: Position) -> Self {
        let sizes = extent.sizes();
        Self { extent, stem: Vec::new(), sizes, position }
    }

    fn tokens(dim: Scalar) -> Self {
        let setting = |key, value| Setting {
            key,
            name: schema::TOKEN_DIM.name,
            is_given: true,
            docs: Vec::new(),
            value,
        };
        let axes = setting(&schema::INPUT_AXIS, Scalar::literal("1"));
        let channels = setting(&schema::INPUT_CHANNELS, dim);
        let position = Position::none();
        Self::without_stem(Extent::Axes { axes, channels }, position)
    }

    fn grid(grid: &Section, name: &Ident, report: &mut Report) -> Self {
        if !grid.is_given(GRID.shape) && grid.given(&[GRID.axes, GRID.channels]).is_empty() {
            if grid.is_missing(GRID.shape, report) {
                grid.report_missing(messages::missing_extent(), name, report);
            }
        } else if !grid.is_given(GRID.shape) {
            grid.require(GRID.axes, name, report);
            grid.require(GRID.channels, name, report);
        }
        let extent = Extent::new(grid, &GRID, report);
        let stem::Read { stem, sizes, axes } = stem::Read::new(grid, &extent, report);
        let position = match grid.choice(&schema::POSITION) {
            Some((variant, _, Some(learned))) if variant.name == "Learned" => {
                learned.require(&schema::POSITION_CHANNELS, name, report);
                if let (Extent::Axes { .. }, Some(field)) = (&extent, grid.field(&schema::POSITION))
                {
                    report.error(&field.key, messages::needs_shape("position: Learned"));
                }
                let number = |key| learned.setting(key, key).value;
                let project = learned.is_given(&schema::POSITION_PROJECT);
                Position {
                    learned: Some(Learned {
                        channels: number(&schema::POSITION_CHANNELS),
                        project: project.then(|| number(&schema::POSITION_PROJECT)),
                    }),
                    ..Position::none()
                }
            }
            Some((_, _, Some(fourier))) => {
                fourier.require(GRID.bands, name, report);
                fourier.require(GRID.max_freq, name, report);
                let place = if stem.is_empty() { "" } else { " after its stem" };
                Position::fourier(fourier, &GRID, (axes, place), report)
            }
            _ => Position::none(),
        };
        Self { extent, stem, sizes, position }
    }
}

impl Extent {
    fn new(section: &Section, names: &'static Names, report: &mut Report) -> Self {
        let given = section.given(&[names.axes, names.channels]);
        let shape = section.field(names.shape);
        let sizes = match shape.and_then(|field| field.read.as_ref()) {
            Some(Read::Array(sizes)) => sizes.as_slice(),
            _ => &[],
        };
        if let Some(shape) = shape
            && let Some((channels, axes)) = sizes.split_last()
            && let Some(first) =
                [names.axes, names.channels].into_iter().find_map(|key| section.field(key))
        {
            let (name, channels) = (names.shape.name, messages::source(&channels.tokens));
            let message =
                messages::shape_conflict(&given, name, &shape.source, axes.len(), &channels);
            report.error(&first.key, message);
        }
        match shape {
            Some(shape) if !sizes.is_empty() => Self::Shape {
                name: names.shape.name,
                docs: shape.docs.clone(),
                sizes: sizes.to_vec(),
            },
            _ => Self::Axes {
                axes: section.setting(names.axes, &schema::INPUT_AXIS),
                channels: section.setting(names.channels, &schema::INPUT_CHANNELS),
            },
        }
    }
}

impl Position {
    fn fourier(
        section: &Section,
        names: &'static Names,
        (axes, place): (Option<u64>, &str),
        report: &mut Report,
    ) -> Self {
        let base =
            section.is_given(names.base).then(|| section.setting(names.base, &schema::FREQ_BASE));
        let bands = section.setting(names.bands, &schema::NUM_FREQ_BANDS);
        let max_freq = match section.field(names.max_freq) {
            Some(Field { key, docs, read: Some(Read::Array(values)), .. }) => {
                let axes = axes.filter(|axes| *axes != values.len() as u64);
                if let Some(axes) = axes {
                    let message =
                        messages::max_freq_length(names.max_freq.name, values.len(), axes, place);
                    report.error(key, message);
                }
                MaxFreq::PerAxis { docs: docs.clone(), values: values.clone() }
            }
            _ => MaxFreq::Same(section.setting(names.max_freq, &schema::MAX_FREQ)),
        };
        Self { is_encoded: true, bands, max_freq, base, learned: None }
    }

    fn none() -> Self {
        let zero = |key, zero| Setting {
            key,
            name: "",
            is_given: false,
            docs: Vec::new(),
            value: Scalar::literal(zero),
        };
        Self {
            is_encoded: false,
            bands: zero(&schema::NUM_FREQ_BANDS, "0"),
            max_freq: MaxFreq::Same(zero(&schema::MAX_FREQ, "0.0")),
            base: None,
            learned: None,
        }
    }

    /// None, though keys of one may be given.
    fn ignored(root: &Section, extent: &Extent, report: &mut Report) -> Self {
        let (none, given) = (Self::none(), Self::fourier(root, &FLAT, (extent.axes(), ""), report));
        Self {
            is_encoded: false,
            bands: if root.is_given(FLAT.bands) { given.bands } else { none.bands },
            max_freq: if root.is_given(FLAT.max_freq) { given.max_freq } else { none.max_freq },
            base: given.base,
            learned: None,
        }
    }
}
