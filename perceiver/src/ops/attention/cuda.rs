//! The kernel for `Cuda`, which never keeps scores.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Memory, Number, Source, mask_address};
use crate::ops::{KernelDevice, Mask, Record, Rows};
use crate::spec::Heads;

const SOURCE: Source = Source { name: "attention", text: include_str!("attention.cu") };

/// The widest keys and values that the kernel has registers for.
const WIDEST: usize = 1024;

/// Columns of keys that a block goes through at once.
const TILE_COLUMNS: usize = 64;

/// As many blocks as keep a large GPU busy.
const BLOCKS: usize = 264;

/// Attention to rows that contain keys and values.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Shape {
    pub heads: Heads,
    pub scale: f64,
    /// How far the keys of a head are from those of the one before, and values from values.
    pub head_strides: [usize; 2],
    /// Where values are in a row.
    pub first_value: usize,
}

impl Shape {
    /// Whether there are enough registers for it.
    pub fn fits(&self) -> bool {
        self.heads.dim.max(self.heads.value_dim) <= WIDEST
    }

    /// Keys of all heads, then values.
    pub fn of_key_values(heads: Heads) -> Self {
        Self {
            heads,
            scale: heads.scale(),
            head_strides: [heads.dim, heads.value_dim],
            first_value: heads.width(),
        }
    }

    /// Rows that are both keys and values, of one head.
    pub fn of_tokens(width: usize, scale: f64) -> Self {
        let heads = Heads { count: 1, dim: width, value_dim: width };
        Self { heads, scale, head_strides: [0, 0], first_value: 0 }
    }

    /// The constants of the kernels.
    fn constants(&self, mask: &Mask<Cuda>) -> [(&'static str, usize); 4] {
        let Heads { dim, value_dim, .. } = self.heads;
        // So that there are few variants to compile.
        let columns = |width: usize| width.div_ceil(16).next_power_of_two();
        let mask = match mask {
            Mask::None => 0,
            Mask::Keys(_) => 1,
            Mask::Pairs(_) => 2,
            Mask::Causal { .. } => 3,
            Mask::CausalKeys { .. } => 4,
        };
        [
            ("ROWS", self.rows_of_block() / 16),
            ("KEY_COLUMNS", columns(dim)),
            ("VALUE_COLUMNS", columns(value_dim)),
            ("MASK", mask),
        ]
    }

    fn rows_of_block(&self) -> usize {
        if self.heads.dim.max(self.heads.value_dim) <= 128 { 32 } else { 16 }
    }
}

/// Attends to keys and values in the same rows.
pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    query: &Rows<E, Cuda>,
    key_value: &Rows<E, Cuda>,
    heads: Heads,
    mask: &Mask<Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let (query, rows) = (Array::new(record, query)?, Array::new(record, key_value)?);
    attend(record, query, rows, Shape::of_key_values(heads), mask)
}

/// Attends to rows, `(batch, keys, ..)`, from queries, `(batch, queries, count · dim)`.
pub(in crate::ops) fn attend<E: Number>(
    record: &mut Record<E, Cuda>,
    query: Array<(usize, usize, usize), E>,
    rows: Array<(usize, usize, usize), E>,
    shape: Shape,
    mask: &Mask<Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let ((batch, queries, _), (_, keys, stride)) = (*query.tensor.shape(), *rows.tensor.shape());
    let Heads { count, dim, value_dim } = shape.heads;
    let device = query.tensor.device().clone();
    let gpu = query.gpu;
    let size = size_of::<E>() as u64;
    let constants = shape.constants(mask);
    let (mask_address, offset) = match mask {
        Mask::None => (0, 0),
        Mask::Keys(mask) => (mask_address(mask)?, 0),
        Mask::Pairs(mask) => (mask_address(mask)?, 0),
        Mask::Causal { offset } => (0, *offset),
        Mask::CausalKeys { offset, keys } => (mask_address(keys)?, *offset),
    };
    let [key_head, value_head] = shape.head_strides;
    let sizes = [queries, keys, count, dim, value_dim, stride, key_head, value_head, offset]
        .map(|size| size as u64);
    let (key, value) = (rows.address, rows.address + shape.first_value as u64 * size);
    let scale = shape.scale.to_bits();

    let rows_of_block = shape.rows_of_block();
    let places = batch * count * queries;
    let blocks = batch * count * queries.div_ceil(rows_of_block);
    let splits = (BLOCKS / blocks.max(1)).min(keys.div_ceil(4 * TILE_COLUMNS)).max(1);
    let grid = Grid { blocks: [blocks, splits, 1], threads: 256 };

    let out = Array::<_, E>::zeros(&device, (batch, queries, count * value_dim))?;
    let is_split = splits > 1;
    let statistics = match record.is_on() || is_split {
        true => Memory::<E>::new(&device, 2 * splits * places)?,
        false => Memory::none(),
    };
    let partial = match is_split {
        true => Memory::<E>::new(&device, splits * places * value_dim)?,
        false => Memory::none(),
    };
    let arguments = [
        &[query.address, key, value, mask_address, out.address, partial.address()][..],
        &[statistics.address(), scale],
        &sizes,
    ];
    // SAFETY: these are the sizes of the tensors, and the mask fits them.
    unsafe { gpu.launch::<E>(&SOURCE, &constants, "attend", grid, &arguments.concat())? };
    let result = out.tensor.clone();
    let joined = match record.is_on() && is_split {
        true => Memory::<E>::new(&device, 2 * places)?,
        false => Memory::none(),
    };
    if is_split {
        let sizes = [splits, places, queries, count, value_dim].map(|size| size as u64);
        let addresses = [partial.address(), statistics.address(), out.address, joined.address()];
        let arguments = [&addresses[..], &sizes].concat();
        let grid = Grid::over(places * value_dim);
        // SAFETY: the splits were just written.
        unsafe { gpu.launch::<E>(&SOURCE, &constants, "join", grid, &arguments)? };
    }
    if !record.is_on() {
        return Ok(result);
    }

    let statistics = if is_split { joined } else { statistics };
    let mask = mask.clone();
    record.add(move |gradients| {
        // Its memory is read below.
        let _mask = mask;
        let d_out = out.gradient(gradients)?;
        let (d_query, d_rows) = (query.gradient(gradients)?, rows.gradient(gradients)?);
        let d_value = d_rows + shape.first_value as u64 * size;
        let deltas = Memory::<E>::new(&device, places)?;
        let of_results = [places, queries, count, value_dim].map(|size| size as u64);
        let partial = match is_split {
            true => Memory::<E>::new(&device, splits * batch * queries * count * dim)?,
            false => Memory::none(),
        };
        let common = [
            query.address,
            key,
            value,
            mask_address,
            d_out,
            statistics.address(),
            deltas.address(),
        ];
        let launch = |name, grid, arguments: &[&[u64]]| {
            // SAFETY: gradients are as large as what they belong to, and the sizes are as above.
            unsafe { gpu.launch::<E>(&SOURCE, &constants, name, grid, &arguments.concat()) }
        };
        let addresses = [out.address, d_out, deltas.address()];
        let warps = Grid::blocks(places.div_ceil(8), 256);
        launch("multiply_results", warps, &[&addresses, &of_results])?;
        let of_keys = Grid::blocks(batch * count * keys.div_ceil(rows_of_block), 256);
        let arguments = [&common[..], &[d_rows, d_value, scale], &sizes];
        launch("add_gradients_of_keys", of_keys, &arguments)?;
        let arguments = [&common[..], &[d_query, partial.address(), scale], &sizes];
        launch("add_gradients_of_queries", grid, &arguments)?;
        if is_split {
            let numbers = batch * queries * count * dim;
            let arguments = [partial.address(), d_query, splits as u64, numbers as u64];
            launch("add_splits", Grid::over(numbers), &[&arguments])?;
        }
        Ok(())
    });
    Ok(result)
}
