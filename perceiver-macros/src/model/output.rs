//! What `forward` returns, and the feed-forwards.

use proc_macro2::Ident;
use syn::Attribute;

use super::input::{Extent, Input, Position};
use super::section::{Section, Setting};
use super::value::{Named, Read, Scalar};
use super::{Family, exclude};
use crate::messages;
use crate::report::Report;
use crate::schema::{self, FLAT_OUTPUT, Key};

pub enum Output {
    /// Logits.
    MeanPool(Setting),
    /// Logits, too.
    ClassQuery(Setting),
    Queries(Box<Queries>),
    Latents,
    /// Several outputs.
    Modalities {
        list: Vec<OutputModality>,
        padding: Setting,
        dim: Setting,
    },
}

/// One of several outputs.
pub struct OutputModality {
    pub name: Ident,
    pub docs: Vec<Attribute>,
    pub queries: OutputQueries,
    pub project: Option<Scalar>,
}

pub enum OutputQueries {
    Learned { count: Scalar, dim: Scalar },
    Grid(Box<QueryGrid>),
}

/// The positions of a grid.
pub struct QueryGrid {
    pub sizes: Vec<Scalar>,
    pub position: Position,
}

/// A row for each of several queries.
pub struct Queries {
    pub source: QuerySource,
    pub heads: Option<Setting>,
    pub dim_head: Option<Setting>,
    pub qk_channels: Option<Setting>,
    pub v_channels: Option<Setting>,
    pub residual: Setting,
    pub feed_forward: DecoderFeedForward,
    pub project: Projection,
    pub scale: Setting,
}

pub enum QuerySource {
    Learned { count: Setting, dim: Setting },
    Given(Setting),
    Grid(Box<QueryGrid>),
    Input,
}

pub enum DecoderFeedForward {
    /// That of the other blocks.
    Same,
    None,
    Own(FeedForward),
}

pub enum Projection {
    Linear(Setting),
    Embedding,
    None,
}

pub struct FeedForward {
    /// A variant of the library's `Activation`.
    pub activation: &'static str,
    pub mult: Scalar,
    pub bias: Scalar,
}

/// A value without a key of its own, whose constant is that of `key`.
fn given(key: &'static Key, written: &'static Key, value: &Scalar) -> Setting {
    let value = value.clone();
    Setting { key, name: written.name, is_given: true, docs: Vec::new(), value }
}

impl Output {
    pub fn new(root: &Section, input: &Input, name: &Ident, report: &mut Report) -> Self {
        if root.is_given(&schema::OUTPUT) {
            exclude(root, &schema::OUTPUT, FLAT_OUTPUT, report);
        }
        // What is wrong with an input has been reported.
        let is_known = root.field(&schema::INPUT).is_none_or(|field| field.read.is_some());
        let input = is_known.then_some(input);
        let classes = |value| given(&schema::NUM_CLASSES, &schema::CLASSES, value);
        let read = root.field(&schema::OUTPUT).and_then(|field| field.read.as_ref());
        if let Some(Read::Named(named)) = read {
            let list = named.iter().map(|named| OutputModality::new(named, name, report)).collect();
            let padding = root.setting(&schema::OUTPUT_PADDING, &schema::OUTPUT_PADDING);
            let dim = root.setting(&schema::OUTPUT_WIDTH, &schema::OUTPUT_DIM);
            return Self::Modalities { list, padding, dim };
        }
        if read.is_some() || !root.is_given(&schema::OUTPUT) {
            for key in [&schema::OUTPUT_PADDING, &schema::OUTPUT_WIDTH] {
                if let Some(field) = root.field(key) {
                    report.error(&field.key, messages::needs_modalities(key.name, "output"));
                }
            }
        }
        match root.choice(&schema::OUTPUT) {
            Some((variant, [count], _)) if variant.name == "ClassQuery" => {
                Self::ClassQuery(classes(count))
            }
            Some((variant, ..)) if variant.name == "Embedding" => {
                if let Some(field) = root.field(&schema::OUTPUT) {
                    report.error(&field.key, messages::needs_causal("output: Embedding"));
                }
                Self::Latents
            }
            Some((_, [count], _)) => Self::MeanPool(classes(count)),
            Some((_, _, Some(queries))) => {
                Self::Queries(Box::new(Queries::new(queries, input, name, report)))
            }
            Some(_) => Self::Latents,
            None if root.is_on(&schema::FINAL_CLASSIFIER_HEAD) => {
                Self::MeanPool(root.setting(&schema::NUM_CLASSES, &schema::NUM_CLASSES))
            }
            None => Self::Latents,
        }
    }

    /// The number of classes, of a classifier.
    pub fn classes(&self) -> Option<&Setting> {
        match self {
            Self::MeanPool(classes) | Self::ClassQuery(classes) => Some(classes),
            Self::Queries(_) | Self::Latents | Self::Modalities { .. } => None,
        }
    }

    /// All numbers and flags.
    pub fn settings(&mut self) -> Vec<&mut Setting> {
        match self {
            Self::MeanPool(classes) | Self::ClassQuery(classes) => vec![classes],
            Self::Queries(queries) => queries.settings(),
            Self::Latents => Vec::new(),
            Self::Modalities { padding, dim, .. } => vec![padding, dim],
        }
    }
}

impl Queries {
    fn new(section: &Section, input: Option<&Input>, name: &Ident, report: &mut Report) -> Self {
        section.require(&schema::QUERIES, name, report);
        if section.is_given(&schema::OUTPUT_QK_CHANNELS) && section.is_given(&schema::DIM_HEAD) {
            exclude(section, &schema::OUTPUT_QK_CHANNELS, &[&schema::DIM_HEAD], report);
        }
        let optional =
            |key, constant| section.is_given(key).then(|| section.setting(key, constant));
        Self {
            source: QuerySource::new(section, input, name, report),
            heads: optional(&schema::HEADS, &schema::DECODER_HEADS),
            dim_head: optional(&schema::DIM_HEAD, &schema::DECODER_DIM_HEAD),
            qk_channels: optional(&schema::OUTPUT_QK_CHANNELS, &schema::DECODER_QK_CHANNELS),
            v_channels: optional(&schema::OUTPUT_V_CHANNELS, &schema::DECODER_V_CHANNELS),
            residual: section.setting(&schema::QUERY_RESIDUAL, &schema::QUERY_RESIDUAL),
            feed_forward: match section.choice(&schema::OUTPUT_FEED_FORWARD) {
                Some((variant, ..)) if variant.name == "None" => DecoderFeedForward::None,
                Some(_) => FeedForward::new(section, &schema::OUTPUT_FEED_FORWARD, name, report)
                    .map_or(DecoderFeedForward::Same, DecoderFeedForward::Own),
                None => DecoderFeedForward::Same,
            },
            project: Projection::new(section, input, report),
            scale: section.setting(&schema::SCALE, &schema::SCALE),
        }
    }

    fn settings(&mut self) -> Vec<&mut Setting> {
        let mut settings = vec![&mut self.residual, &mut self.scale];
        match &mut self.source {
            QuerySource::Learned { count, dim } => settings.extend([count, dim]),
            QuerySource::Given(dim) => settings.push(dim),
            QuerySource::Grid(_) | QuerySource::Input => {}
        }
        let optional =
            [&mut self.heads, &mut self.dim_head, &mut self.qk_channels, &mut self.v_channels];
        settings.extend(optional.into_iter().flatten());
        if let Projection::Linear(dim) = &mut self.project {
            settings.push(dim);
        }
        settings
    }
}

impl QuerySource {
    fn new(section: &Section, input: Option<&Input>, name: &Ident, report: &mut Report) -> Self {
        match section.choice(&schema::QUERIES) {
            Some((_, _, Some(grid))) => Self::Grid(Box::new(QueryGrid::new(grid, name, report))),
            Some((_, [count, dim], _)) => Self::Learned {
                count: given(&schema::NUM_QUERIES, &schema::NUM_QUERIES, count),
                dim: given(&schema::QUERY_DIM, &schema::QUERY_DIM, dim),
            },
            Some((_, [dim], _)) => Self::Given(given(&schema::QUERY_DIM, &schema::GIVEN, dim)),
            Some(_) => {
                let has_tokens = |input: &Input| {
                    let is_sequence = input.extent.axes() == Some(1);
                    match input.extent {
                        Extent::Axes { .. } => is_sequence,
                        Extent::Text { .. } | Extent::Shape { .. } => true,
                        Extent::Modalities { .. } => false,
                    }
                };
                if let Some(field) = section.field(&schema::QUERIES)
                    && !input.is_none_or(has_tokens)
                {
                    report.error(&field.key, messages::queries_of_input());
                }
                Self::Input
            }
            // What is wrong with it has been reported.
            None => Self::Input,
        }
    }
}

impl QueryGrid {
    fn new(grid: &Section, name: &Ident, report: &mut Report) -> Self {
        grid.require(&schema::QUERY_SHAPE, name, report);
        grid.require(&schema::QUERY_POSITION, name, report);
        let sizes = match grid.field(&schema::QUERY_SHAPE).and_then(|field| field.read.as_ref()) {
            Some(Read::Array(sizes)) => sizes.clone(),
            _ => vec![Scalar::literal("1")],
        };
        let position = match grid.choice(&schema::QUERY_POSITION) {
            Some((_, _, Some(fourier))) => {
                Position::of_queries(fourier, sizes.len() as u64, name, report)
            }
            _ => Position::none(),
        };
        Self { sizes, position }
    }
}

impl OutputModality {
    fn new(named: &Named, name: &Ident, report: &mut Report) -> Self {
        let learned = |count, dim| OutputQueries::Learned { count, dim };
        // What is wrong with it has been reported.
        let wrong = || learned(Scalar::literal("1"), Scalar::literal("1"));
        let (queries, project) = match &named.read {
            Some(Read::Keys(_, section)) => {
                section.require(&schema::MODALITY_QUERIES, name, report);
                let queries = match section.choice(&schema::MODALITY_QUERIES) {
                    Some((_, [count, dim], _)) => learned(count.clone(), dim.clone()),
                    Some((_, _, Some(grid))) => {
                        OutputQueries::Grid(Box::new(QueryGrid::new(grid, name, report)))
                    }
                    _ => wrong(),
                };
                let project = match section.choice(&schema::MODALITY_PROJECT) {
                    None => section.optional(&schema::MODALITY_PROJECT).map(|width| width.value),
                    Some(_) => None,
                };
                (queries, project)
            }
            _ => (wrong(), None),
        };
        Self { name: named.name.clone(), docs: named.docs.clone(), queries, project }
    }
}

impl Projection {
    fn new(section: &Section, input: Option<&Input>, report: &mut Report) -> Self {
        match section.choice(&schema::PROJECT) {
            Some((variant, ..)) if variant.name == "Embedding" => {
                if let Some(field) = section.field(&schema::PROJECT)
                    && !input.is_none_or(|input| matches!(input.extent, Extent::Text { .. }))
                {
                    report.error(&field.key, messages::no_embedding());
                    return Self::None;
                }
                Self::Embedding
            }
            Some(_) => Self::None,
            None if section.is_given(&schema::PROJECT) => {
                Self::Linear(section.setting(&schema::PROJECT, &schema::OUTPUT_DIM))
            }
            None => Self::None,
        }
    }
}

impl FeedForward {
    /// The feed-forward that `key` has, if it is given.
    pub fn new(
        section: &Section,
        key: &'static Key,
        name: &Ident,
        report: &mut Report,
    ) -> Option<Self> {
        match section.choice(key)? {
            (variant, [mult], _) => Some(Self {
                activation: variant.name,
                mult: mult.clone(),
                bias: Scalar::literal("true"),
            }),
            (variant, _, Some(section)) => {
                section.require(&schema::MULT, name, report);
                Some(Self {
                    activation: variant.name,
                    mult: section.setting(&schema::MULT, &schema::MULT).value,
                    bias: section.setting(&schema::BIAS, &schema::BIAS).value,
                })
            }
            _ => None,
        }
    }

    /// The family's, if it is not the library's default.
    pub fn of_family(family: Family) -> Option<Self> {
        let literal = Scalar::literal;
        (family == Family::Transformers).then(|| Self {
            activation: "Gelu",
            mult: literal("1"),
            bias: literal("true"),
        })
    }
}
