//! The maps between the heads of queries and the space of tokens; `absorb.rs` says what they are for.

#![allow(unsafe_code)]

use dfdx::prelude::*;

use super::super::CrossParameters;
use crate::ops::cuda::{Array, Grid, Memory, Number, Source};
use crate::ops::{KernelDevice, Matrix, Record, Rows, Vector};
use crate::spec::{Heads, Width};

const SOURCE: Source = Source { name: "project", text: include_str!("project.cu") };

type Matrices<E> = Array<(usize, usize, usize), E>;

/// The weights of a map to keys and values, and of the norm before it.
#[derive(Clone, Debug)]
pub(super) struct Folded<E: Number> {
    norm_weight: Array<(Width,), E>,
    norm_bias: Array<(Width,), E>,
    weight: Array<(Width, Width), E>,
    bias: Option<Array<(Width,), E>>,
    heads: Heads,
    width: usize,
}

/// A product of matrices for each head of each item; `project.cu` says how.
#[derive(Clone, Copy, Debug, Default)]
struct Projection {
    items: usize,
    heads: usize,
    rows: usize,
    outer: usize,
    inner: usize,
    columns: usize,
    /// Strides: item, head, row, outer, inner.
    left: [usize; 5],
    /// Strides: item, head, outer, inner, column.
    right: [usize; 5],
    /// Strides: item, head, row, column.
    out: [usize; 4],
    inner_scale: u64,
    inner_shift: u64,
    column_scale: u64,
    bias: u64,
}

impl<E: Number> Folded<E>
where
    Cuda: KernelDevice<E>,
{
    pub fn new(
        record: &mut Record<E, Cuda>,
        parameters: &CrossParameters<'_, E, Cuda>,
    ) -> Result<Self, CudaError> {
        Ok(Self {
            norm_weight: Array::new(record, parameters.norm_weight)?,
            norm_bias: Array::new(record, parameters.norm_bias)?,
            weight: Array::new(record, parameters.to_kv)?,
            bias: parameters.kv_bias.map(|bias| Array::new(record, bias)).transpose()?,
            heads: parameters.heads,
            width: parameters.norm_weight.shape().0.size(),
        })
    }

    fn project(
        &self,
        name: &'static str,
        addresses: [u64; 3],
        projection: Projection,
    ) -> Result<(), CudaError> {
        const TILE: usize = 32;
        let Projection { items, heads, rows, outer, inner, columns, .. } = projection;
        let sizes = [heads, rows, outer, inner, columns];
        let sizes = [&sizes[..], &projection.left, &projection.right, &projection.out].concat();
        let sizes: Vec<u64> = sizes.into_iter().map(|size| size as u64).collect();
        let Projection { inner_scale, inner_shift, column_scale, bias, .. } = projection;
        let vectors = [inner_scale, inner_shift, column_scale, bias];
        let arguments = [&addresses[..], &sizes, &vectors].concat();
        let blocks = [items * heads * rows.div_ceil(TILE), columns.div_ceil(TILE), 1];
        let grid = Grid { blocks };
        // SAFETY: the strides are those of the matrices at these addresses.
        unsafe { self.weight.gpu.launch::<E>(&SOURCE, &[], name, grid, &arguments) }
    }

    /// The address of the first value's row of a matrix like the weight.
    fn values_of(&self, address: u64) -> u64 {
        address + (self.heads.width() * self.width * size_of::<E>()) as u64
    }

    /// The address of the map's bias, 0 if there is none.
    fn bias_address(&self) -> u64 {
        self.bias.as_ref().map_or(0, |bias| bias.address)
    }

    /// The address of the first value's number of a vector like the bias; 0 if there is none.
    fn values_of_bias(&self, address: u64) -> u64 {
        match address {
            0 => 0,
            address => address + (self.heads.width() * size_of::<E>()) as u64,
        }
    }

    /// Maps `(batch, queries, count · dim)` to `(batch, count · queries, width)`.
    pub fn to_tokens(
        &self,
        record: &mut Record<E, Cuda>,
        query: &Matrices<E>,
    ) -> Result<Matrices<E>, CudaError> {
        let Heads { count, dim, .. } = self.heads;
        let (batch, queries, inner) = *query.tensor.shape();
        let (width, device) = (self.width, query.tensor.device().clone());
        let mapped = Array::zeros(&device, (batch, count * queries, width))?;
        let of_heads = [queries * inner, dim, inner];
        let of_tokens = [count * queries * width, queries * width, width];
        let projection = Projection {
            items: batch,
            heads: count,
            rows: queries,
            outer: 1,
            inner: dim,
            columns: width,
            left: [of_heads[0], of_heads[1], of_heads[2], 0, 1],
            right: [0, dim * width, 0, width, 1],
            out: [of_tokens[0], of_tokens[1], of_tokens[2], 1],
            column_scale: self.norm_weight.address,
            ..Projection::default()
        };
        let addresses = [query.address, self.weight.address, mapped.address];
        self.project("project_and_store", addresses, projection)?;

        let (folded, query, result) = (self.clone(), query.clone(), mapped.clone());
        record.add(move |gradients| {
            let d_mapped = mapped.gradient(gradients)?;
            let back = Projection {
                inner: width,
                columns: dim,
                left: [of_tokens[0], of_tokens[1], of_tokens[2], 0, 1],
                right: [0, dim * width, 0, 1, width],
                out: [of_heads[0], of_heads[1], of_heads[2], 1],
                inner_scale: folded.norm_weight.address,
                column_scale: 0,
                ..projection
            };
            let addresses = [d_mapped, folded.weight.address, query.gradient(gradients)?];
            folded.project("project_and_add", addresses, back)?;
            let [d_weight, d_bias] = folded.gradients_of_map(gradients)?;
            let weight = folded.weight.address;
            let rows = UnfoldedRows { weight, d_weight, d_bias, count: inner, skipped: inner };
            let factors = [query.address, d_mapped];
            folded.add_gradients_of(gradients, &device, (batch, queries), factors, 0, rows)
        });
        Ok(result)
    }

    /// Maps `(batch, count · queries, width)` to `(batch, queries, count · value_dim)`.
    pub fn to_values(
        &self,
        record: &mut Record<E, Cuda>,
        sums: &Matrices<E>,
        queries: usize,
    ) -> Result<Rows<E, Cuda>, CudaError> {
        let Heads { count, value_dim, .. } = self.heads;
        let (batch, _, width) = *sums.tensor.shape();
        let (outer, device) = (self.heads.value_width(), sums.tensor.device().clone());
        let values = Array::<_, E>::zeros(&device, (batch, queries, outer))?;
        let of_heads = [queries * outer, value_dim, outer];
        let of_tokens = [count * queries * width, queries * width, width];
        let projection = Projection {
            items: batch,
            heads: count,
            rows: queries,
            outer: 1,
            inner: width,
            columns: value_dim,
            left: [of_tokens[0], of_tokens[1], of_tokens[2], 0, 1],
            right: [0, value_dim * width, 0, 1, width],
            out: [of_heads[0], of_heads[1], of_heads[2], 1],
            inner_scale: self.norm_weight.address,
            inner_shift: self.norm_bias.address,
            column_scale: 0,
            bias: self.values_of_bias(self.bias_address()),
        };
        let weight = self.values_of(self.weight.address);
        let addresses = [sums.address, weight, values.address];
        self.project("project_and_store", addresses, projection)?;

        let (folded, sums, result) = (self.clone(), sums.clone(), values.tensor.clone());
        record.add(move |gradients| {
            let d_values = values.gradient(gradients)?;
            let back = Projection {
                inner: value_dim,
                columns: width,
                left: [of_heads[0], of_heads[1], of_heads[2], 0, 1],
                right: [0, value_dim * width, 0, width, 1],
                out: [of_tokens[0], of_tokens[1], of_tokens[2], 1],
                inner_scale: 0,
                inner_shift: 0,
                column_scale: folded.norm_weight.address,
                bias: 0,
                ..projection
            };
            folded.project(
                "project_and_add",
                [d_values, weight, sums.gradient(gradients)?],
                back,
            )?;
            let d_sums = Memory::<E>::new(&device, outer)?;
            let arguments = [d_values, d_sums.address(), (batch * queries) as u64, outer as u64];
            let grid = Grid::columns(outer);
            // SAFETY: a gradient is as large as what it belongs to.
            unsafe { sums.gpu.launch::<E>(&SOURCE, &[], "sum_columns", grid, &arguments)? };
            let [d_weight, d_bias] = folded.gradients_of_map(gradients)?;
            let rows = UnfoldedRows {
                weight,
                d_weight: folded.values_of(d_weight),
                d_bias: folded.values_of_bias(d_bias),
                count: outer,
                skipped: 0,
            };
            let (factors, d_sums) = ([d_values, sums.address], d_sums.address());
            folded.add_gradients_of(gradients, &device, (batch, queries), factors, d_sums, rows)
        });
        Ok(result)
    }

    /// The addresses of the gradients of the map's weight and bias; 0 for no bias.
    fn gradients_of_map(&self, gradients: &mut Gradients<E, Cuda>) -> Result<[u64; 2], CudaError> {
        let d_bias = match &self.bias {
            Some(bias) => bias.gradient(gradients)?,
            None => 0,
        };
        Ok([self.weight.gradient(gradients)?, d_bias])
    }

    /// Adds the gradients of the parameters, from what some rows of the weight were multiplied with: the addresses of numbers
    /// of heads, `(batch, queries, count · dim)`, and of tokens, `(batch, count · queries, width)`, one of which is a gradient.
    fn add_gradients_of(
        &self,
        gradients: &mut Gradients<E, Cuda>,
        device: &Cuda,
        (batch, queries): (usize, usize),
        [of_heads, of_tokens]: [u64; 2],
        d_folded_bias: u64,
        rows: UnfoldedRows,
    ) -> Result<(), CudaError> {
        let (count, width) = (self.heads.count, self.width);
        let dim = rows.count / count;
        let projection = Projection {
            items: 1,
            heads: count,
            rows: dim,
            outer: batch,
            inner: queries,
            columns: width,
            left: [0, dim, 1, queries * rows.count, rows.count],
            right: [0, queries * width, count * queries * width, width, 1],
            out: [0, dim * width, width, 1],
            ..Projection::default()
        };
        let d_folded = Memory::<E>::new(device, rows.count * width)?;
        let addresses = [of_heads, of_tokens, d_folded.address()];
        self.project("project_and_keep", addresses, projection)?;
        self.unfold(gradients, "unfold_kept", [d_folded.address(), d_folded_bias], rows)
    }

    /// Adds the gradients of the parameters, from those of the folded weight and bias.
    fn unfold(
        &self,
        gradients: &mut Gradients<E, Cuda>,
        name: &'static str,
        d_folded: [u64; 2],
        rows: UnfoldedRows,
    ) -> Result<(), CudaError> {
        let norm = [self.norm_weight.address, self.norm_bias.address];
        let d_norm = [self.norm_weight.gradient(gradients)?, self.norm_bias.gradient(gradients)?];
        let UnfoldedRows { weight, d_weight, d_bias, count, skipped } = rows;
        let sizes = [count, self.width, skipped].map(|size| size as u64);
        let arguments =
            [&d_folded[..], &norm, &[weight], &d_norm, &[d_weight, d_bias], &sizes].concat();
        let grid = Grid::columns(self.width);
        // SAFETY: these are rows of the weight and its gradient, and the vectors are as wide.
        unsafe { self.weight.gpu.launch::<E>(&SOURCE, &[], name, grid, &arguments) }
    }
}

/// Some rows of the weight.
struct UnfoldedRows {
    weight: u64,
    d_weight: u64,
    d_bias: u64,
    count: usize,
    /// How many of them have no gradient of a bias.
    skipped: usize,
}

/// Folds the norm's weight and bias into the map's.
pub(super) fn fold<E: Number>(
    record: &mut Record<E, Cuda>,
    parameters: &CrossParameters<'_, E, Cuda>,
) -> Result<(Matrix<E, Cuda>, Vector<E, Cuda>), CudaError>
where
    Cuda: KernelDevice<E>,
{
    let parts = Folded::new(record, parameters)?;
    let (rows, width) = (parts.heads.key_value_width(), parts.width);
    let device = parts.weight.tensor.device();
    let weight = Array::zeros(device, (Width::new(rows), Width::new(width)))?;
    let bias = Array::zeros(device, (Width::new(rows),))?;
    let arguments = [
        parts.norm_weight.address,
        parts.norm_bias.address,
        parts.weight.address,
        parts.bias_address(),
        weight.address,
        bias.address,
        rows as u64,
        width as u64,
    ];
    let grid = Grid::warps(rows);
    // SAFETY: these are the sizes of the tensors.
    unsafe { weight.gpu.launch::<E>(&SOURCE, &[], "fold", grid, &arguments)? };
    let result = (weight.tensor.clone(), bias.tensor.clone());
    record.add(move |gradients| {
        let d_folded = [weight.gradient(gradients)?, bias.gradient(gradients)?];
        let [d_weight, d_bias] = parts.gradients_of_map(gradients)?;
        let weight = parts.weight.address;
        let rows = UnfoldedRows { weight, d_weight, d_bias, count: rows, skipped: 0 };
        parts.unfold(gradients, "unfold_stored", d_folded, rows)
    });
    Ok(result)
}
