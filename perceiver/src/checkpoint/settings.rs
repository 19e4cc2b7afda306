//! The settings of a model that the names and shapes of its tensors do not show, as metadata of its files.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use super::DifferentSetting;
use crate::input::{GridSpec, Modality, ModalityInput};
use crate::model::{OutputModality, OutputQueries, QueryGrid};
use crate::position::{Fourier, Position};
use crate::spec::{BlockShape, CausalNumbers, Numbers, Softmax};

/// What the keys of these settings begin with in the metadata of a file.
const PREFIX: &str = "perceiver.";

/// What the key of the grid of learned positions ends with.
const GRID: &str = "learned_positions";

/// The settings of a model without which its tensors mean something else, by the names of the keys that declare them.
///
/// Those that matter only in training, such as dropout, are none of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

/// What a spec has beside its numbers, where tensors do not show it.
pub(crate) struct Described {
    /// The input, if it is a single grid.
    pub grid: Option<GridSpec>,
    pub modalities: &'static [Modality],
    pub outputs: &'static [OutputModality],
    pub query_grid: Option<QueryGrid>,
    /// The block of an output with queries.
    pub decoder: Option<BlockShape>,
    pub scale: f64,
}

impl Settings {
    pub fn of(numbers: &Numbers, described: &Described) -> Self {
        let mut settings = Self::default();
        settings.blocks(&numbers.cross, &numbers.latent, numbers.self_per_cross_attn);
        settings.set("depth", &numbers.depth);
        settings.set("cross_attends", &numbers.cross_attends);
        settings.set("queries_contribute_kv", &numbers.queries_contribute_kv);
        let layers = 0..numbers.cross_attends;
        let inverted = layers.map(|layer| numbers.softmax_of(layer) == Softmax::Queries);
        settings.each("inverted_cross_attn", &inverted.collect::<Vec<_>>());

        if let Some(grid) = &described.grid {
            settings.grid("", grid);
        }
        for modality in described.modalities {
            let part = format!("input.{}.", modality.name);
            // At any lower rate, tokens are masked in training alone.
            settings.set(&format!("{part}masked"), &(modality.mask == Some(1.0)));
            if let ModalityInput::Grid(grid) = &modality.input {
                settings.grid(&part, grid);
            }
        }
        if let Some(QueryGrid { axes, position }) = described.query_grid {
            settings.fourier("output.", position, axes.len());
        }
        for output in described.outputs {
            if let OutputQueries::Grid(QueryGrid { axes, position }) = output.queries {
                settings.fourier(&format!("output.{}.", output.name), position, axes.len());
            }
        }
        if let Some(decoder) = described.decoder {
            settings.set("output.heads", &decoder.heads.count);
            settings.set("output.query_residual", &decoder.residual);
            settings.set("output.scale", &described.scale);
            if let Some(mlp) = decoder.mlp {
                settings.set("output.feed_forward", &mlp.activation);
            }
        }
        settings
    }

    /// Those of a Perceiver AR, with the share of each head that is rotated.
    pub fn causal(numbers: &CausalNumbers, rotary: Option<f64>) -> Self {
        let mut settings = Self::default();
        settings.blocks(&numbers.cross, &numbers.latent, numbers.self_attentions);
        settings.set("latents", &numbers.max_latents);
        settings.set("Rotary", &rotary.unwrap_or(0.0));
        settings.set("rotary_layers", &numbers.rotary_layers);
        settings
    }

    fn blocks(&mut self, cross: &BlockShape, latent: &BlockShape, self_attentions: usize) {
        self.set("cross_heads", &cross.heads.count);
        if self_attentions > 0 {
            self.set("latent_heads", &latent.heads.count);
        }
        if let Some(mlp) = latent.mlp {
            self.set("feed_forward", &mlp.activation);
        }
    }

    fn grid(&mut self, part: &str, grid: &GridSpec) {
        self.set(&format!("{part}stem"), &grid.stem);
        match grid.position {
            Position::Fourier(fourier) => self.fourier(part, fourier, grid.token_axes()),
            Position::Learned { .. } => self.set(&format!("{part}{GRID}"), &grid.token_shape()),
            Position::None | Position::Given(_) => {}
        }
    }

    fn fourier(&mut self, part: &str, fourier: Fourier, axes: usize) {
        let max_freqs: Vec<f64> = (0..axes).map(|axis| fourier.max_freq.at(axis)).collect();
        self.set(&format!("{part}num_freq_bands"), &fourier.bands);
        self.each(&format!("{part}max_freq"), &max_freqs);
        match &fourier.base {
            Some(base) => self.set(&format!("{part}freq_base"), base),
            None => self.set(&format!("{part}freq_base"), &format_args!("linear")),
        }
        self.set(&format!("{part}endpoint"), &fourier.endpoint);
    }

    fn set(&mut self, key: &str, value: &impl Debug) {
        self.0.insert(key.into(), format!("{value:?}"));
    }

    /// Sets one value for each of several parts; a single one if it is the same for all.
    fn each<T: Debug + PartialEq>(&mut self, key: &str, values: &[T]) {
        match values {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => self.set(key, first),
            values => self.set(key, &values),
        }
    }

    /// The entries of a file's metadata.
    pub fn metadata(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.clone()))
    }

    /// The settings that a file has otherwise, but for the grids of learned positions if they are `interpolated`. What it does
    /// not say, such as one from PyTorch, may be the same.
    pub fn different(
        &self,
        metadata: &HashMap<String, String>,
        interpolated: bool,
    ) -> Vec<DifferentSetting> {
        let different = |(key, expected): (&String, &String)| {
            if interpolated && key.ends_with(GRID) {
                return None;
            }
            let found = metadata.get(&format!("{PREFIX}{key}")).filter(|found| *found != expected);
            let (key, expected) = (key.clone(), expected.clone());
            found.map(|found| DifferentSetting { key, expected, found: found.clone() })
        };
        self.0.iter().filter_map(different).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_have_is_compared() {
        let mut settings = Settings::default();
        settings.set("latent_heads", &8);
        settings.each("max_freq", &[8.0, 8.0]);
        settings.each("input.image.max_freq", &[8.0, 0.5]);
        let mut metadata: HashMap<_, _> = settings.metadata().collect();
        assert_eq!(metadata["perceiver.max_freq"], "8.0");
        assert_eq!(metadata["perceiver.input.image.max_freq"], "[8.0, 0.5]");
        metadata.remove("perceiver.max_freq");
        metadata.insert("perceiver.of_a_later_version".into(), "1".into());
        assert_eq!(settings.different(&metadata, false), []);
        metadata.insert("perceiver.latent_heads".into(), "4".into());
        let different = settings.different(&metadata, false);
        assert_eq!(different.len(), 1);
        assert_eq!(different[0].to_string(), "`latent_heads` differs: expected 8, found 4");
    }
}
