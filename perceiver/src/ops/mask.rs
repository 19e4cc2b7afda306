//! Attention masks.

use dfdx::prelude::*;

use super::KernelDevice;

/// Which keys a query may attend to: true where it may. Stays `bool` until a kernel reads it.
///
/// Kernels for `Cuda` read the memory of its tensors, which must not be permuted or broadcast views of others.
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
    /// The same, and no query may attend to some of the keys: `(batch, keys)`.
    CausalKeys {
        /// The position of the first query among the keys.
        offset: usize,
        /// True for the keys that may be attended to.
        keys: Tensor<(usize, usize), bool, D>,
    },
}

impl<D: Storage<bool>> Mask<D> {
    /// Whether the mask fits this many items, queries and keys.
    pub(crate) fn fits(&self, batch: usize, queries: usize, keys: usize) -> bool {
        match self {
            Self::None | Self::Causal { .. } => true,
            Self::Keys(mask) | Self::CausalKeys { keys: mask, .. } => {
                *mask.shape() == (batch, keys)
            }
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
            Self::CausalKeys { offset, keys: mask } => {
                let (batch, _, queries, keys) = scores;
                let not_masked = mask.as_vec();
                let allowed = (0..batch * queries).flat_map(|row| {
                    let (item, query) = (row / queries, row % queries);
                    let not_masked = &not_masked[item * keys..][..keys];
                    let last = offset.saturating_add(query);
                    not_masked.iter().enumerate().map(move |(key, is_key)| *is_key && key <= last)
                });
                let mask = flags::<_, E, _>(device, allowed, (batch, queries, keys))?;
                Some(mask.try_broadcast_like::<_, Axis<1>>(&scores)?)
            }
        })
    }
}

impl<D: Storage<bool>> Mask<D> {
    /// The same mask, none of whose tensors is a view of another.
    pub(crate) fn try_contiguous<E: Dtype>(self) -> Result<Self, D::Err>
    where
        D: KernelDevice<E>,
    {
        fn copied<S: Shape, E: Dtype, D: KernelDevice<E>>(
            mask: Tensor<S, bool, D>,
        ) -> Result<Tensor<S, bool, D>, D::Err> {
            let zeros: Tensor<S, E, D> = mask.device().try_zeros_like(mask.shape())?;
            let ones = zeros.clone().try_add(E::ONE)?;
            mask.try_choose(ones, zeros)?.try_gt(E::default())
        }
        Ok(match self {
            Self::None | Self::Causal { .. } => self,
            Self::Keys(keys) => Self::Keys(copied::<_, E, D>(keys)?),
            Self::Pairs(pairs) => Self::Pairs(copied::<_, E, D>(pairs)?),
            Self::CausalKeys { offset, keys } => {
                Self::CausalKeys { offset, keys: copied::<_, E, D>(keys)? }
            }
        })
    }

    /// The mask of keys, followed by `count` more keys that may all be attended to.
    pub(crate) fn followed_by<E: Dtype>(self, count: usize) -> Result<Self, D::Err>
    where
        D: KernelDevice<E>,
    {
        let Self::Keys(mask) = self else {
            return Ok(self);
        };
        let (batch, keys) = *mask.shape();
        let rows = mask.as_vec();
        let allowed =
            rows.chunks(keys).flat_map(|row| row.iter().copied().chain((0..count).map(|_| true)));
        let mask = flags::<_, E, _>(mask.device(), allowed, (batch, keys + count))?;
        Ok(Self::Keys(mask))
    }
}

/// The mask of joined rows, every `size` of those at `places`: those may be attended to of which one may be. A place beyond
/// the mask is none.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn mask_of_joined<E: Dtype, D: KernelDevice<E>>(
    mask: &Tensor<(usize, usize), bool, D>,
    places: &[usize],
    size: usize,
) -> Result<Tensor<(usize, usize), bool, D>, D::Err> {
    let (batch, positions) = *mask.shape();
    let (allowed, size) = (mask.as_vec(), size.max(1));
    let joined = allowed.chunks(positions.max(1)).flat_map(|item| {
        let is_allowed = |place: &usize| item.get(*place).copied().unwrap_or(false);
        places.chunks(size).map(move |joined| joined.iter().any(is_allowed))
    });
    flags::<_, E, _>(mask.device(), joined, (batch, places.len() / size))
}

/// The masks of `(keys, mask)` one after another, `(batch, keys of all)`; without a mask, all keys may be attended to.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn concat_masks<E: Dtype, D: KernelDevice<E>>(
    device: &D,
    batch: usize,
    masks: Vec<(usize, Option<Tensor<(usize, usize), bool, D>>)>,
) -> Result<Tensor<(usize, usize), bool, D>, D::Err> {
    let keys = masks.iter().map(|(keys, _)| keys).sum();
    let masks: Vec<_> =
        masks.into_iter().map(|(keys, mask)| (keys, mask.map(|mask| mask.as_vec()))).collect();
    let allowed = (0..batch).flat_map(|item| {
        masks.iter().flat_map(move |(keys, mask)| {
            (0..*keys).map(move |key| mask.as_ref().is_none_or(|mask| mask[item * keys + key]))
        })
    });
    flags::<_, E, _>(device, allowed, (batch, keys))
}

/// A tensor of flags.
pub(crate) fn flags<S: Shape, E: Dtype, D: KernelDevice<E>>(
    device: &D,
    flags: impl Iterator<Item = bool>,
    shape: S,
) -> Result<Tensor<S, bool, D>, D::Err> {
    // As numbers, which every dfdx device accepts; the comparison turns them into `bool`s.
    let numbers = flags.map(|flag| if flag { E::ONE } else { E::default() });
    device.try_tensor_from_vec(numbers.collect(), shape)?.try_gt(E::default())
}
