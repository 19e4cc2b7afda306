//! Keys and values that are kept from one token to the next.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt::Debug;

use dfdx::prelude::*;

use super::{
    Attend, AttentionKernel, Mask, Record, Rows, Selection, check, concat, flags, plain_in_f64,
    select,
};
use crate::spec::Heads;
pub use cpu::CpuCache;

/// Attention of one query to the keys and values so far. Gradients are not tracked.
///
/// Positions are part of the keys, so the order in which they are stored does not matter.
pub trait CacheKernel<E: Dtype>: AttentionKernel<E> {
    /// The last keys and values of each item, at most so many.
    type Cache: Clone + Debug;

    /// Begins with the last `capacity` of these keys and values, `(batch, tokens, width)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_cache(key_value: Rows<E, Self>, capacity: usize) -> Result<Self::Cache, Self::Err>;

    /// The number of keys of each item.
    fn cached(cache: &Self::Cache) -> usize;

    /// Adds one key and value of each item, `(batch, 1, width)`; if the cache is full, in place of the oldest.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_push(cache: &mut Self::Cache, key_value: Rows<E, Self>) -> Result<(), Self::Err>;

    /// Attends with one query of each item, `(batch, 1, count · dim)`, to all keys, or to those that are `allowed`, from the
    /// oldest on, item by item.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_attend_cached(
        query: Rows<E, Self>,
        cache: &Self::Cache,
        heads: Heads,
        allowed: Option<&[bool]>,
    ) -> Result<Rows<E, Self>, Self::Err>;
}

/// The cache of devices without a kernel, which is copied when it grows.
#[derive(Clone, Debug)]
pub struct Copied<E: Dtype, D: Storage<E>> {
    key_value: Rows<E, D>,
    capacity: usize,
}

impl<E: Dtype, D: AttentionKernel<E>> Copied<E, D> {
    pub(super) fn try_new(key_value: Rows<E, D>, capacity: usize) -> Result<Self, D::Err> {
        let count = key_value.shape().1;
        let last = Selection::Range(count.saturating_sub(capacity)..count);
        let mut record = Record::for_tape::<NoneTape>();
        Ok(Self { key_value: select(&mut record, key_value, &last)?, capacity })
    }

    pub(super) fn len(&self) -> usize {
        self.key_value.shape().1
    }

    pub(super) fn try_push(&mut self, key_value: Rows<E, D>) -> Result<(), D::Err> {
        let mut record = Record::for_tape::<NoneTape>();
        let all = concat(&mut record, self.key_value.clone(), key_value)?;
        *self = Self::try_new(all, self.capacity)?;
        Ok(())
    }

    pub(super) fn try_attend(
        &self,
        query: Rows<E, D>,
        heads: Heads,
        allowed: Option<&[bool]>,
    ) -> Result<Rows<E, D>, D::Err> {
        let mask = match allowed {
            None => Mask::None,
            Some(allowed) => {
                let shape = (query.shape().0, self.len());
                Mask::Keys(flags::<_, E, _>(query.device(), allowed.iter().copied(), shape)?)
            }
        };
        let (mut record, attend) = (Record::for_tape::<NoneTape>(), Attend::default());
        D::try_attention(&mut record, query, self.key_value.clone(), heads, &mask, attend)
    }
}

macro_rules! copied {
    ($E:ty) => {
        type Cache = crate::ops::cache::Copied<$E, Self>;

        fn try_cache(rows: Rows<$E, Self>, capacity: usize) -> Result<Self::Cache, Self::Err> {
            Self::Cache::try_new(rows, capacity)
        }

        fn cached(cache: &Self::Cache) -> usize {
            cache.len()
        }

        fn try_push(cache: &mut Self::Cache, key_value: Rows<$E, Self>) -> Result<(), Self::Err> {
            cache.try_push(key_value)
        }

        fn try_attend_cached(
            query: Rows<$E, Self>,
            cache: &Self::Cache,
            heads: Heads,
            allowed: Option<&[bool]>,
        ) -> Result<Rows<$E, Self>, Self::Err> {
            cache.try_attend(query, heads, allowed)
        }
    };
}
#[cfg(feature = "f16")]
pub(super) use copied;

plain_in_f64!(CacheKernel, copied);

impl CacheKernel<f32> for Cpu {
    type Cache = CpuCache;

    fn try_cache(key_value: Rows<f32, Self>, capacity: usize) -> Result<CpuCache, CpuError> {
        let mut record = Record::for_tape::<NoneTape>();
        let key_value = super::cpu::contiguous(&mut record, &key_value)?;
        Ok(CpuCache::new(&key_value, capacity))
    }

    fn cached(cache: &CpuCache) -> usize {
        cache.len()
    }

    fn try_push(cache: &mut CpuCache, key_value: Rows<f32, Self>) -> Result<(), CpuError> {
        check::<CpuError>(*key_value.shape() == (cache.batch(), 1, cache.width()))?;
        cache.push(&key_value.as_vec());
        Ok(())
    }

    fn try_attend_cached(
        query: Rows<f32, Self>,
        cache: &CpuCache,
        heads: Heads,
        allowed: Option<&[bool]>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        let shape = (cache.batch(), 1, heads.width());
        let keys = cache.batch() * cache.len();
        check::<CpuError>(
            *query.shape() == shape
                && cache.width() == heads.key_value_width()
                && allowed.is_none_or(|allowed| allowed.len() == keys),
        )?;
        let out = cache.attend(&query.as_vec(), heads, allowed);
        query.device().try_tensor_from_vec(out, (shape.0, 1, heads.value_width()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, numbers, samples, tensor};

    /// Results after each of some pushes.
    fn run<E: Dtype>(
        seed: u64,
        (batch, first, capacity, pushes): (usize, usize, usize, usize),
        heads: Heads,
        padding: usize,
    ) -> Outcome
    where
        Cpu: Device<E>,
    {
        let width = heads.key_value_width();
        let rows = |count: usize, width: usize, seed| {
            tensor::<_, E>((batch, count, width), &samples(seed, batch * count * width))
        };
        let mut cache =
            <Cpu as CacheKernel<E>>::try_cache(rows(first, width, seed), capacity).unwrap();
        let mut outcome = Vec::new();
        for i in 0..pushes {
            Cpu::try_push(&mut cache, rows(1, width, seed + 2 * i as u64 + 1)).unwrap();
            let count = <Cpu as CacheKernel<E>>::cached(&cache);
            let allowed: Vec<bool> = (0..batch)
                .flat_map(|item| (0..count).map(move |i| i + 1 == count || i >= item * padding))
                .collect();
            let allowed = (padding > 0).then_some(&*allowed);
            let query = rows(1, heads.width(), seed + 2 * i as u64 + 2);
            let out = Cpu::try_attend_cached(query, &cache, heads, allowed).unwrap();
            outcome.push(numbers(&out));
        }
        outcome
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn kernel_matches_reference(
            seed: u32,
            sizes in (1..4_usize, 1..9_usize, 1..9_usize, 1..12_usize),
            (count, dim, value_dim) in (1..4_usize, 1..40_usize, 1..40_usize),
            padding in 0..3_usize,
        ) {
            let heads = Heads { count, dim, value_dim };
            let seed = u64::from(seed);
            let found = run::<f32>(seed, sizes, heads, padding);
            assert_close(&found, &run::<f64>(seed, sizes, heads, padding), 2e-5);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        fn run<E: Dtype>()
        where
            Cpu: Device<E>,
        {
            let rows = |shape: (usize, usize, usize)| {
                tensor::<_, E>(shape, &vec![0.0; shape.num_elements()])
            };
            let mut cache = <Cpu as CacheKernel<E>>::try_cache(rows((2, 3, 8)), 5).unwrap();
            assert!(Cpu::try_push(&mut cache, rows((1, 1, 8))).is_err());
            assert!(Cpu::try_push(&mut cache, rows((2, 1, 6))).is_err());
            let heads = Heads::new(2, 2);
            let attend = |shape, allowed| {
                Cpu::try_attend_cached(rows(shape), &cache, heads, allowed).is_ok()
            };
            assert!(attend((2, 1, 4), None));
            assert!(attend((2, 1, 4), Some(&[true; 6])));
            assert!(!attend((1, 1, 4), None));
            assert!(!attend((2, 1, 8), None));
        }
        run::<f32>();
        run::<f64>();
    }
}
