//! The numbers of a model that its cost follows from.

use crate::input::{GridSpec, InputKind, Modality, TextSpec, modalities};
use crate::model::{Output, OutputKind, OutputModality, QueryGrid};
use crate::spec::{Numbers, Spec};

/// The numbers of a spec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub numbers: Numbers,
    pub grid: GridSpec,
    pub text: Option<TextSpec>,
    pub modalities: &'static [Modality],
    pub output: OutputKind,
    pub outputs: &'static [OutputModality],
    pub output_dim: usize,
    pub query_grid: Option<QueryGrid>,
}

/// The tokens of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    /// The number of tokens of each item.
    pub count: usize,
    /// The floating-point operations that make them.
    pub flops: u64,
}

impl Plan {
    /// The numbers of `S`.
    pub const fn of<S: Spec>() -> Self {
        Self {
            numbers: Numbers::of::<S>(),
            grid: GridSpec::of::<S>(),
            text: S::Input::TEXT,
            modalities: S::MODALITIES,
            output: <S::Output as Output>::KIND,
            outputs: S::OUTPUTS,
            output_dim: S::OUTPUT_DIM,
            query_grid: S::QUERY_GRID,
        }
    }

    /// The tokens of a batch of inputs with these axes.
    pub const fn tokens(&self, batch: usize, axes: &[&[usize]]) -> Tokens {
        let (count, flops) = if !self.modalities.is_empty() {
            modalities::cost(self.modalities, batch, axes)
        } else if let [axes] = axes {
            (self.grid.tokens(axes), self.grid.flops(batch, axes))
        } else {
            (0, 0)
        };
        Tokens { count, flops }
    }

    /// The number of rows of the output for each item, if so many queries are given.
    pub const fn queries(&self, tokens: &Tokens, given: usize) -> usize {
        match (self.output, &self.query_grid) {
            (OutputKind::Latents, _) => self.numbers.num_latents,
            (OutputKind::MeanPool(_), _) => 1,
            (OutputKind::Queries { learned: Some(count), .. }, _) => count,
            (OutputKind::Queries { takes_tokens: true, .. }, _) => tokens.count,
            (OutputKind::Queries { .. }, Some(grid)) => grid.count(),
            (OutputKind::Queries { .. }, None) => given,
            (OutputKind::Modalities, _) => {
                let (mut i, mut sum) = (0, 0_usize);
                while i < self.outputs.len() {
                    sum = sum.saturating_add(self.outputs[i].count());
                    i += 1;
                }
                sum
            }
        }
    }

    /// Whether the spec says all sizes.
    pub const fn is_fixed(&self) -> bool {
        if let (OutputKind::Queries { learned: None, takes_tokens: false, .. }, None) =
            (self.output, &self.query_grid)
        {
            return false;
        }
        match self.modalities.is_empty() {
            true => self.text.is_none() && self.grid.is_fixed(),
            false => modalities::are_fixed(self.modalities),
        }
    }
}
