//! The kernel for `Cuda`, which never keeps scores.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Memory, Number, Source, mask_address};
use crate::ops::random::seed;
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
    /// The rate and the seed with which weights are dropped.
    pub dropout: Option<(f64, u64)>,
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
            dropout: None,
        }
    }

    /// Rows that are both keys and values, of one head.
    pub fn of_tokens(width: usize, scale: f64) -> Self {
        let heads = Heads { count: 1, dim: width, value_dim: width };
        Self { heads, scale, head_strides: [0, 0], first_value: 0, dropout: None }
    }

    /// The constants of the kernels.
    fn constants(&self, mask: &Mask<Cuda>) -> [(&'static str, usize); 5] {
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
            ("DROPOUT", usize::from(self.dropout.is_some())),
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
    dropout: f64,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let (query, rows) = (Array::new(record, query)?, Array::new(record, key_value)?);
    let mut shape = Shape::of_key_values(heads);
    if record.is_on() && dropout > 0.0 {
        shape.dropout = Some((dropout, seed(query.tensor.device())));
    }
    attend(record, query, rows, shape, mask)
}

/// Rows that contain keys and values.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct KeyValues {
    pub address: u64,
    /// The keys of each item.
    pub count: usize,
    /// How far the rows of an item are from those of the one before.
    pub item_stride: usize,
    /// The width of a row.
    pub width: usize,
}

impl KeyValues {
    fn of<E: Number>(rows: &Array<(usize, usize, usize), E>) -> Self {
        let (_, count, width) = *rows.tensor.shape();
        Self { address: rows.address, count, item_stride: count * width, width }
    }
}

/// What all kernels of an attention are launched with.
#[derive(Clone, Debug)]
struct Launch<E: Number> {
    query: Array<(usize, usize, usize), E>,
    rows: KeyValues,
    shape: Shape,
    mask: Mask<Cuda>,
    /// The parts that keys are split into.
    splits: usize,
}

impl<E: Number> Launch<E>
where
    Cuda: KernelDevice<E>,
{
    fn new(
        query: Array<(usize, usize, usize), E>,
        rows: KeyValues,
        shape: Shape,
        mask: &Mask<Cuda>,
    ) -> Self {
        let (batch, queries, _) = *query.tensor.shape();
        let blocks = batch * shape.heads.count * queries.div_ceil(shape.rows_of_block());
        let splits = (BLOCKS / blocks.max(1)).min(rows.count.div_ceil(4 * TILE_COLUMNS)).max(1);
        Self { query, rows, shape, mask: mask.clone(), splits }
    }

    /// The queries of all heads of all items.
    fn places(&self) -> usize {
        let (batch, queries, _) = *self.query.tensor.shape();
        batch * self.shape.heads.count * queries
    }

    /// Blocks for so many rows of each head of each item, and for each split.
    fn grid(&self, rows: usize, splits: usize) -> Grid {
        let items = self.query.tensor.shape().0 * self.shape.heads.count;
        let blocks = items * rows.div_ceil(self.shape.rows_of_block());
        Grid { blocks: [blocks, splits, 1] }
    }

    fn device(&self) -> &Cuda {
        self.query.tensor.device()
    }

    /// The addresses of queries, keys, values and the mask; 0 for none.
    fn inputs(&self) -> Result<[u64; 4], CudaError> {
        let mask = match &self.mask {
            Mask::None | Mask::Causal { .. } => 0,
            Mask::Keys(keys) | Mask::CausalKeys { keys, .. } => mask_address(keys)?,
            Mask::Pairs(pairs) => mask_address(pairs)?,
        };
        let key = self.rows.address;
        Ok([self.query.address, key, self.value_after(key), mask])
    }

    /// The address of the first value, after that of the first key.
    fn value_after(&self, key: u64) -> u64 {
        key + (self.shape.first_value * size_of::<E>()) as u64
    }

    /// The scale and the sizes, which end the arguments of most kernels.
    fn settings(&self) -> [u64; 13] {
        let Heads { count, dim, value_dim } = self.shape.heads;
        let queries = self.query.tensor.shape().1;
        let KeyValues { count: keys, item_stride, width, .. } = self.rows;
        let [key_head, value_head] = self.shape.head_strides;
        let offset = match &self.mask {
            Mask::Causal { offset } | Mask::CausalKeys { offset, .. } => *offset,
            Mask::None | Mask::Keys(_) | Mask::Pairs(_) => 0,
        };
        let sizes = [
            queries,
            keys,
            count,
            dim,
            value_dim,
            item_stride,
            width,
            key_head,
            value_head,
            offset,
        ];
        let (rate, seed) = self.shape.dropout.unwrap_or((0.0, 0));
        let mut settings = [0; 13];
        settings[0] = self.shape.scale.to_bits();
        for (setting, size) in settings[1..].iter_mut().zip(sizes) {
            *setting = size as u64;
        }
        settings[11..].copy_from_slice(&[rate.to_bits(), seed]);
        settings
    }

    fn launch(
        &self,
        name: &'static str,
        grid: Grid,
        arguments: &[&[u64]],
    ) -> Result<(), CudaError> {
        let constants = self.shape.constants(&self.mask);
        let arguments = arguments.concat();
        // SAFETY: the sizes are those of the tensors, the mask fits them, and gradients are as large as what they belong to.
        unsafe { self.query.gpu.launch::<E>(&SOURCE, &constants, name, grid, &arguments) }
    }

    /// Returns the result, and if they are needed the statistics of its softmax.
    fn forward(
        &self,
        needs_statistics: bool,
    ) -> Result<(Array<(usize, usize, usize), E>, Memory<E>), CudaError> {
        let (batch, queries, _) = *self.query.tensor.shape();
        let Heads { count, value_dim, .. } = self.shape.heads;
        let (device, splits, places) = (self.device(), self.splits, self.places());
        let memory = |is_needed, len| Memory::<E>::new_if(is_needed, device, len);
        let out = Array::<_, E>::zeros(device, (batch, queries, count * value_dim))?;
        let is_split = splits > 1;
        let statistics = memory(needs_statistics || is_split, 2 * splits * places)?;
        let partial = memory(is_split, splits * places * value_dim)?;
        let results = [out.address, partial.address(), statistics.address()];
        let grid = self.grid(queries, splits);
        self.launch("attend", grid, &[&self.inputs()?, &results, &self.settings()])?;
        if !is_split {
            return Ok((out, statistics));
        }
        let joined = memory(needs_statistics, 2 * places)?;
        let addresses = [partial.address(), statistics.address(), out.address, joined.address()];
        let sizes = [splits, places, queries, count, value_dim].map(|size| size as u64);
        self.launch("join", Grid::over(places * value_dim), &[&addresses, &sizes])?;
        Ok((out, joined))
    }

    /// Adds the gradients of the queries and of the rows, at these addresses.
    fn backward(
        &self,
        out: &Array<(usize, usize, usize), E>,
        statistics: &Memory<E>,
        d_out: u64,
        d_query: u64,
        d_rows: u64,
    ) -> Result<(), CudaError> {
        let (batch, queries, _) = *self.query.tensor.shape();
        let Heads { count, dim, value_dim } = self.shape.heads;
        let (device, splits, places) = (self.device(), self.splits, self.places());
        let deltas = Memory::<E>::new(device, places)?;
        let addresses = [out.address, d_out, deltas.address()];
        let sizes = [places, queries, count, value_dim].map(|size| size as u64);
        let warps = Grid::warps(places);
        self.launch("multiply_results", warps, &[&addresses, &sizes])?;

        let (inputs, settings) = (self.inputs()?, self.settings());
        let known = [d_out, statistics.address(), deltas.address()];
        let results = [d_rows, self.value_after(d_rows)];
        let grid = self.grid(self.rows.count, 1);
        self.launch("add_gradients_of_keys", grid, &[&inputs, &known, &results, &settings])?;

        let numbers = batch * queries * count * dim;
        let partial = Memory::<E>::new_if(splits > 1, device, splits * numbers)?;
        let results = [d_query, partial.address()];
        let grid = self.grid(queries, splits);
        self.launch("add_gradients_of_queries", grid, &[&inputs, &known, &results, &settings])?;
        if splits > 1 {
            let arguments = [partial.address(), d_query, splits as u64, numbers as u64];
            self.launch("add_splits", Grid::over(numbers), &[&arguments])?;
        }
        Ok(())
    }
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
    let launch = Launch::new(query, KeyValues::of(&rows), shape, mask);
    let (out, statistics) = launch.forward(record.is_on())?;
    let result = out.tensor.clone();
    record.add(move |gradients| {
        let d_out = out.gradient(gradients)?;
        let d_query = launch.query.gradient(gradients)?;
        let d_rows = rows.gradient(gradients)?;
        launch.backward(&out, &statistics, d_out, d_query, d_rows)
    });
    Ok(result)
}

/// Attends to rows that are no tensor, without gradients.
pub(in crate::ops) fn attend_rows<E: Number>(
    query: Array<(usize, usize, usize), E>,
    rows: KeyValues,
    heads: Heads,
    mask: &Mask<Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let launch = Launch::new(query, rows, Shape::of_key_values(heads), mask);
    Ok(launch.forward(false)?.0.tensor)
}
