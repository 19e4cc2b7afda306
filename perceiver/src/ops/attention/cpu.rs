//! The kernel: each head separately, with a running maximum.

use dfdx::prelude::*;

use super::{Heads, Mask};
use crate::ops::cpu::flash::{Bias, Head, MASKED, UNIFORM, deltas, queries_of_tile};
use crate::ops::cpu::matrix::MatRef;
use crate::ops::cpu::{Scratch, contiguous, gradient, map, parts, read, with_gradient_of};
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
    let sizes = Sizes { batch: shape.0, queries: shape.1, tokens: key_value.shape().1, heads };
    let Heads { count: heads, dim, value_dim } = heads;
    let biases = MaskBias::new(mask);

    let shape = (shape.0, shape.1, sizes.heads.value_width());
    let mut out = vec![0.0; shape.num_elements()];
    let mut log_sums = vec![0.0; sizes.batch * heads * sizes.queries];
    {
        let (query, key_value) = (&*read(&query), &*read(&key_value));
        let of_tile = queries_of_tile(sizes.queries);
        let starts: Vec<usize> = (0..sizes.queries).step_by(of_tile).collect();
        let tasks: Vec<(usize, usize, usize)> = (0..sizes.batch * heads)
            .flat_map(|i| starts.iter().map(move |&start| (i / heads, i % heads, start)))
            .collect();
        let run = |&(item, head, start): &(usize, usize, usize)| {
            let mut view = sizes.head(query, key_value, &biases, item, head);
            let queries = start..(start + of_tile).min(sizes.queries);
            view.query = view.query.rows(queries.clone());
            view.bias = view.bias.queries(queries.clone());
            let mut out = Scratch::new(queries.len() * value_dim);
            let mut log_sums = Scratch::new(queries.len());
            view.forward(&mut out, &mut log_sums);
            // As vectors, since scratch memory must stay with its thread.
            (out.to_vec(), log_sums.to_vec())
        };
        let results: Vec<_> = if parts(sizes.operations()) > 1 {
            map(tasks.iter(), run)
        } else {
            tasks.iter().map(run).collect()
        };
        for (&(item, head, start), (part, sums)) in tasks.iter().zip(results) {
            let first = item * sizes.queries + start;
            for (row, part) in part.chunks_exact(value_dim).enumerate() {
                let at = (first + row) * shape.2 + head * value_dim;
                out[at..at + value_dim].copy_from_slice(part);
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
                map(all_heads, run)
            } else {
                all_heads.map(run).collect()
            };
            let (inner, stride) = (sizes.heads.width(), sizes.heads.key_value_width());
            let d_query = gradient(gradients, &query)?;
            for (i, [part, _, _]) in results.iter().enumerate() {
                let first = (i / heads) * sizes.queries;
                add_columns(d_query, part, first, (i % heads) * dim, dim, inner);
            }
            let d_key_value = gradient(gradients, &key_value)?;
            for (i, [_, d_key, d_value]) in results.iter().enumerate() {
                let (first, head) = ((i / heads) * sizes.tokens, i % heads);
                add_columns(d_key_value, d_key, first, head * dim, dim, stride);
                let column = inner + head * value_dim;
                add_columns(d_key_value, d_value, first, column, value_dim, stride);
            }
            Ok(())
        })
    });
    Ok(result)
}

/// Adds a matrix of width `width` to columns of a wider one, starting at row `first` and column `column`.
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
    heads: Heads,
}

impl Sizes {
    /// The approximate number of operations of the forward pass.
    fn operations(&self) -> usize {
        let width = self.heads.key_value_width() / 8;
        self.batch * self.queries * self.tokens * (width + 8 * self.heads.count)
    }

    fn head<'a>(
        &self,
        query: &'a [f32],
        key_value: &'a [f32],
        biases: &'a MaskBias,
        item: usize,
        head: usize,
    ) -> Head<'a> {
        let Heads { dim, value_dim, .. } = self.heads;
        let (inner, kv) = (self.heads.width(), self.heads.key_value_width());
        let columns = |data: &'a [f32], rows: usize, stride: usize, column: usize, width: usize| {
            MatRef::strided(&data[item * rows * stride + column..], rows, width, stride)
        };
        let (bias, uniform) = biases.item(item, self.queries, self.tokens);
        Head {
            query: columns(query, self.queries, inner, head * dim, dim),
            key: columns(key_value, self.tokens, kv, head * dim, dim),
            value: columns(key_value, self.tokens, kv, inner + head * value_dim, value_dim),
            bias,
            scale: if uniform { 0.0 } else { (dim as f32).powf(-0.5) },
        }
    }

    /// Returns the gradients of the queries, keys and values of head `i`.
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
        let Heads { count, dim, value_dim } = self.heads;
        let (item, head) = (i / count, i % count);
        let width = self.heads.value_width();
        let view = self.head(query, key_value, biases, item, head);
        let first = item * self.queries * width + head * value_dim;
        let d_out = MatRef::strided(&d_out[first..], self.queries, value_dim, width);
        let mut own = Scratch::new(self.queries * value_dim);
        for (row, own) in own.chunks_exact_mut(value_dim).enumerate() {
            own.copy_from_slice(&out[first + row * width..][..value_dim]);
        }
        let mut d_query = vec![0.0; self.queries * dim];
        let mut d_key = vec![0.0; self.tokens * dim];
        let mut d_value = vec![0.0; self.tokens * value_dim];
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

/// A mask, as biases for the scores.
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
    /// For each token of each item.
    CausalKeys {
        offset: usize,
        keys: Vec<f32>,
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
            Mask::CausalKeys { offset, keys } => Self::CausalKeys {
                offset: *offset,
                keys: keys.as_vec().into_iter().map(bias).collect(),
            },
        }
    }

    /// Returns the mask of an item, and whether it masks everything: attention is then uniform.
    pub(in crate::ops) fn item(
        &self,
        item: usize,
        queries: usize,
        tokens: usize,
    ) -> (Bias<'_>, bool) {
        match self {
            Self::None => (Bias::None, false),
            Self::Causal { offset } => (Bias::Causal { offset: *offset }, false),
            Self::CausalKeys { offset, keys } => {
                let keys = &keys[item * tokens..][..tokens];
                (Bias::CausalKeys { offset: *offset, keys }, false)
            }
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
