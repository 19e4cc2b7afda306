//! The kernel: each head by itself, with a running maximum.

use dfdx::prelude::*;
use rayon::prelude::*;

use super::{Heads, Mask};
use crate::ops::cpu::flash::{Bias, Head, MASKED, QUERIES, UNIFORM, deltas};
use crate::ops::cpu::matrix::MatRef;
use crate::ops::cpu::{Scratch, contiguous, gradient, parts, read, with_gradient_of};
use crate::ops::{Record, Rows};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    query: Rows<f32, Cpu>,
    key_value: Rows<f32, Cpu>,
    heads: Heads,
    mask: &Mask<Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let query = contiguous(record, &query)?;
    let key_value = contiguous(record, &key_value)?;
    let shape = *query.shape();
    let sizes = Sizes {
        batch: shape.0,
        queries: shape.1,
        tokens: key_value.shape().1,
        heads: heads.count,
        dim_head: heads.dim,
    };
    let (heads, dim) = (heads.count, heads.dim);
    let biases = MaskBias::new(mask);

    let mut out = vec![0.0; query.shape().num_elements()];
    let mut log_sums = vec![0.0; sizes.batch * heads * sizes.queries];
    {
        let (query, key_value) = (&*read(&query), &*read(&key_value));
        let starts: Vec<usize> = (0..sizes.queries).step_by(QUERIES).collect();
        let tasks: Vec<(usize, usize, usize)> = (0..sizes.batch * heads)
            .flat_map(|i| starts.iter().map(move |&start| (i / heads, i % heads, start)))
            .collect();
        let run = |&(item, head, start): &(usize, usize, usize)| {
            let mut view = sizes.head(query, key_value, &biases, item, head);
            let queries = start..(start + QUERIES).min(sizes.queries);
            view.query = view.query.rows(queries.clone());
            view.bias = view.bias.queries(queries.clone());
            let mut out = Scratch::new(queries.len() * dim);
            let mut log_sums = Scratch::new(queries.len());
            view.forward(&mut out, &mut log_sums);
            // As vectors: scratch memory is to stay with its thread.
            (out.to_vec(), log_sums.to_vec())
        };
        let results: Vec<_> = if parts(sizes.operations()) > 1 {
            tasks.par_iter().map(run).collect()
        } else {
            tasks.iter().map(run).collect()
        };
        for (&(item, head, start), (part, sums)) in tasks.iter().zip(results) {
            let first = item * sizes.queries + start;
            for (row, part) in part.chunks_exact(dim).enumerate() {
                let at = (first + row) * sizes.inner() + head * dim;
                out[at..at + dim].copy_from_slice(part);
            }
            let at = (item * heads + head) * sizes.queries + start;
            log_sums[at..at + sums.len()].copy_from_slice(&sums);
        }
    }
    let out = query.device().try_tensor_from_vec(out, shape)?;

    let result = out.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &out, |d_out, gradients| {
            let (out, q, kv) = (&*read(&out), &*read(&query), &*read(&key_value));
            let run = |i: usize| sizes.backward(i, q, kv, &biases, out, d_out, &log_sums);
            let all_heads = 0..sizes.batch * heads;
            let results: Vec<[Vec<f32>; 3]> = if parts(3 * sizes.operations()) > 1 {
                all_heads.into_par_iter().map(run).collect()
            } else {
                all_heads.map(run).collect()
            };
            let inner = sizes.inner();
            let d_query = gradient(gradients, &query)?;
            for (i, [part, _, _]) in results.iter().enumerate() {
                let first = (i / heads) * sizes.queries;
                add_columns(d_query, part, first, (i % heads) * dim, dim, inner);
            }
            let d_key_value = gradient(gradients, &key_value)?;
            for (i, [_, d_key, d_value]) in results.iter().enumerate() {
                let (first, column) = ((i / heads) * sizes.tokens, (i % heads) * dim);
                add_columns(d_key_value, d_key, first, column, dim, 2 * inner);
                add_columns(d_key_value, d_value, first, inner + column, dim, 2 * inner);
            }
            Ok(())
        })
    });
    Ok(result)
}

/// Adds a matrix, `width` wide, to some columns of a wider one, from row `first` on.
fn add_columns(
    sums: &mut [f32],
    terms: &[f32],
    first: usize,
    column: usize,
    width: usize,
    stride: usize,
) {
    for (row, terms) in terms.chunks_exact(width).enumerate() {
        let at = (first + row) * stride + column;
        for (sum, term) in sums[at..at + width].iter_mut().zip(terms) {
            *sum += term;
        }
    }
}

struct Sizes {
    batch: usize,
    queries: usize,
    tokens: usize,
    heads: usize,
    dim_head: usize,
}

impl Sizes {
    fn inner(&self) -> usize {
        self.heads * self.dim_head
    }

    /// How many operations the forward pass takes, roughly.
    fn operations(&self) -> usize {
        self.batch * self.queries * self.tokens * (self.inner() / 4 + 8 * self.heads)
    }

    fn head<'a>(
        &self,
        query: &'a [f32],
        key_value: &'a [f32],
        biases: &'a MaskBias,
        item: usize,
        head: usize,
    ) -> Head<'a> {
        let (inner, dim) = (self.inner(), self.dim_head);
        let columns = |data: &'a [f32], rows: usize, stride: usize, column: usize| {
            MatRef::strided(&data[item * rows * stride + column..], rows, dim, stride)
        };
        let column = head * dim;
        let (bias, uniform) = biases.item(item, self.queries, self.tokens);
        Head {
            query: columns(query, self.queries, inner, column),
            key: columns(key_value, self.tokens, 2 * inner, column),
            value: columns(key_value, self.tokens, 2 * inner, inner + column),
            bias,
            scale: if uniform { 0.0 } else { (dim as f32).powf(-0.5) },
        }
    }

    /// The gradients of a head's queries, keys and values.
    #[allow(clippy::too_many_arguments)]
    fn backward(
        &self,
        i: usize,
        query: &[f32],
        key_value: &[f32],
        biases: &MaskBias,
        out: &[f32],
        d_out: &[f32],
        log_sums: &[f32],
    ) -> [Vec<f32>; 3] {
        let (item, head) = (i / self.heads, i % self.heads);
        let (inner, dim) = (self.inner(), self.dim_head);
        let view = self.head(query, key_value, biases, item, head);
        let first = item * self.queries * inner + head * dim;
        let d_out = MatRef::strided(&d_out[first..], self.queries, dim, inner);
        let mut own = Scratch::new(self.queries * dim);
        for (row, own) in own.chunks_exact_mut(dim).enumerate() {
            own.copy_from_slice(&out[first + row * inner..][..dim]);
        }
        let mut d_query = vec![0.0; self.queries * dim];
        let mut d_key = vec![0.0; self.tokens * dim];
        let mut d_value = d_key.clone();
        view.backward(
            0..self.tokens,
            d_out,
            &log_sums[i * self.queries..][..self.queries],
            &deltas(&own, d_out),
            &mut d_query,
            &mut d_key,
            &mut d_value,
        );
        [d_query, d_key, d_value]
    }
}

/// A mask as what is added to scores.
#[derive(Debug)]
pub(in crate::ops) enum MaskBias {
    None,
    /// For each token of each item.
    Keys(Vec<f32>),
    /// For each query and token of each item.
    Pairs(Vec<f32>),
    Causal {
        offset: usize,
    },
}

impl MaskBias {
    pub(in crate::ops) fn new(mask: &Mask<Cpu>) -> Self {
        let bias = |allowed: bool| if allowed { 0.0 } else { MASKED };
        match mask {
            Mask::None => Self::None,
            Mask::Keys(mask) => Self::Keys(mask.as_vec().into_iter().map(bias).collect()),
            Mask::Pairs(mask) => {
                let allowed = mask.as_vec();
                let rows = allowed.chunks(mask.shape().2.max(1)).flat_map(|row| {
                    let masked = if row.contains(&true) { MASKED } else { UNIFORM };
                    row.iter().map(move |&allowed| if allowed { 0.0 } else { masked })
                });
                Self::Pairs(rows.collect())
            }
            Mask::Causal { offset } => Self::Causal { offset: *offset },
        }
    }

    /// An item's mask, and whether it masks everything: attention is then uniform.
    pub(in crate::ops) fn item(
        &self,
        item: usize,
        queries: usize,
        tokens: usize,
    ) -> (Bias<'_>, bool) {
        match self {
            Self::None => (Bias::None, false),
            Self::Causal { offset } => (Bias::Causal { offset: *offset }, false),
            Self::Keys(values) => {
                let bias = &values[item * tokens..][..tokens];
                if bias.contains(&0.0) { (Bias::Keys(bias), false) } else { (Bias::None, true) }
            }
            Self::Pairs(values) => {
                let bias = &values[item * queries * tokens..][..queries * tokens];
                (Bias::Pairs(MatRef::new(bias, queries, tokens)), false)
            }
        }
    }
}
