//! Attention masks.

use dfdx::prelude::*;

use super::KernelDevice;

/// Which keys a query may attend to: true where it may. Stays `bool` until a kernel reads it.
#[derive(Clone, Debug, Default)]
pub enum Mask<D: Storage<bool>> {
    /// Every query may attend to every key.
    #[default]
    None,
    /// All queries of an item may attend to the same keys: `(batch, keys)`.
    Keys(Tensor<(usize, usize), bool, D>),
    /// Each query may attend to its own keys: `(batch, queries, keys)`.
    Pairs(Tensor<(usize, usize, usize), bool, D>),
    /// Query `i` may attend to the keys up to and including `i + offset`.
    Causal {
        /// The position of the first query among the keys: the number of keys minus that of queries, if the queries are
        /// the last tokens.
        offset: usize,
    },
}

impl<D: Storage<bool>> Mask<D> {
    /// Whether the mask fits this many items, queries and keys.
    pub(crate) fn fits(&self, batch: usize, queries: usize, keys: usize) -> bool {
        match self {
            Self::None | Self::Causal { .. } => true,
            Self::Keys(mask) => *mask.shape() == (batch, keys),
            Self::Pairs(mask) => *mask.shape() == (batch, queries, keys),
        }
    }

    /// Broadcasts the mask over scores, `(batch, heads, queries, keys)`, on a dfdx device.
    pub(super) fn over_scores<E: Dtype>(
        &self,
        device: &D,
        scores: (usize, usize, usize, usize),
    ) -> Result<Option<Tensor<(usize, usize, usize, usize), bool, D>>, D::Err>
    where
        D: KernelDevice<E>,
    {
        Ok(match self {
            Self::None => None,
            Self::Keys(mask) => Some(mask.clone().try_broadcast_like::<_, Axes2<1, 2>>(&scores)?),
            Self::Pairs(mask) => Some(mask.clone().try_broadcast_like::<_, Axis<1>>(&scores)?),
            Self::Causal { offset } => {
                let (_, _, queries, keys) = scores;
                let allowed = |query| (0..keys).map(move |key| key <= offset.saturating_add(query));
                let allowed = (0..queries).flat_map(allowed);
                let mask = flags::<_, E, _>(device, allowed, (queries, keys))?;
                Some(mask.try_broadcast_like::<_, Axes2<0, 1>>(&scores)?)
            }
        })
    }
}

/// A tensor of flags.
pub(super) fn flags<S: Shape, E: Dtype, D: KernelDevice<E>>(
    device: &D,
    flags: impl Iterator<Item = bool>,
    shape: S,
) -> Result<Tensor<S, bool, D>, D::Err> {
    // As numbers, which every dfdx device accepts; the comparison turns them into `bool`s.
    let numbers = flags.map(|flag| if flag { E::ONE } else { E::default() });
    device.try_tensor_from_vec(numbers.collect(), shape)?.try_gt(E::default())
}
