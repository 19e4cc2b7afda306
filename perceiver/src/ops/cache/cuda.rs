//! The kernel for `Cuda`: memory that is allocated once.
#![allow(unsafe_code)]

use std::fmt;

use dfdx::prelude::*;

use super::CacheKernel;
use crate::ops::attention::cuda::{KeyValues, Shape, attend_rows};
use crate::ops::cuda::{Array, Grid, Number, Source, address};
use crate::ops::{KernelDevice, Mask, Record, Rows, check, flags};
use crate::spec::Heads;

const SOURCE: Source = Source { name: "cache", text: include_str!("cache.cu") };

/// Keys and values on a `Cuda`: for each item a ring of as many as there is space for.
#[derive(Clone)]
pub struct CudaCache<E: Dtype> {
    /// Not a tensor, whose memory a clone would share.
    memory: <Cuda as Storage<E>>::Vec,
    batch: usize,
    width: usize,
    capacity: usize,
    len: usize,
    /// The place of the oldest.
    start: usize,
}

impl<E: Dtype> fmt::Debug for CudaCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaCache").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Copies the last rows of each item to a place in the cache, from which on there is space for them.
fn put<E: Number>(
    cache: &mut CudaCache<E>,
    rows: &Rows<E, Cuda>,
    kept: usize,
    place: usize,
) -> Result<(), CudaError>
where
    Cuda: KernelDevice<E>,
{
    let rows = Array::new(&mut Record::for_tape::<NoneTape>(), rows)?;
    let (batch, count, width) = *rows.tensor.shape();
    let kept_numbers = kept * width;
    let sizes = [
        batch * kept_numbers,
        count * width,
        (count - kept) * width,
        kept_numbers,
        place * width,
        cache.capacity * width,
    ];
    let addresses = [rows.address, address::<E>(&cache.memory)];
    let arguments = [&addresses[..], &sizes.map(|size| size as u64)].concat();
    let grid = Grid::over(batch * kept_numbers);
    // SAFETY: the rows and the cache have so many numbers.
    unsafe { rows.gpu.launch::<E>(&SOURCE, &[], "put", grid, &arguments) }
}

impl<E: Number> CacheKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    type Cache = CudaCache<E>;

    fn try_cache(rows: Rows<E, Self>, capacity: usize) -> Result<Self::Cache, CudaError> {
        let (batch, count, width) = *rows.shape();
        let numbers = (batch * capacity * width).max(1);
        let memory = Storage::<E>::try_alloc_len(rows.device(), numbers)?;
        let len = count.min(capacity);
        let mut cache = CudaCache { memory, batch, width, capacity, len, start: 0 };
        put(&mut cache, &rows, len, 0)?;
        Ok(cache)
    }

    fn cached(cache: &Self::Cache) -> usize {
        cache.len
    }

    fn try_push(cache: &mut Self::Cache, row: Rows<E, Self>) -> Result<(), CudaError> {
        check::<CudaError>(*row.shape() == (cache.batch, 1, cache.width) && cache.capacity > 0)?;
        let place = (cache.start + cache.len) % cache.capacity;
        put(cache, &row, 1, place)?;
        match cache.len == cache.capacity {
            true => cache.start = (cache.start + 1) % cache.capacity,
            false => cache.len += 1,
        }
        Ok(())
    }

    fn try_attend_cached(
        query: Rows<E, Self>,
        cache: &Self::Cache,
        heads: Heads,
        allowed: Option<&[bool]>,
    ) -> Result<Rows<E, Self>, CudaError> {
        let CudaCache { batch, width, capacity, len, start, .. } = *cache;
        check::<CudaError>(
            *query.shape() == (batch, 1, heads.width())
                && width == heads.key_value_width()
                && Shape::of_key_values(heads).fits()
                && allowed.is_none_or(|allowed| allowed.len() == batch * len),
        )?;
        let mask = match allowed {
            None => Mask::None,
            Some(allowed) => {
                // From the order of age to that of places.
                let of_item = |item| {
                    (0..len).map(move |place| {
                        allowed[item * len + (place + capacity - start) % capacity]
                    })
                };
                let allowed = (0..batch).flat_map(of_item);
                Mask::Keys(flags::<_, E, _>(query.device(), allowed, (batch, len))?)
            }
        };
        let query = Array::new(&mut Record::for_tape::<NoneTape>(), &query)?;
        let address = address::<E>(&cache.memory);
        let rows = KeyValues { address, count: len, item_stride: capacity * width, width };
        attend_rows(query, rows, heads, &mask)
    }
}
