//! The kernel: each head by itself, with a running maximum.

use dfdx::prelude::*;
use rayon::prelude::*;

use super::head::{Head, MASKED, QUERIES, deltas};
use super::{AttentionOptions, KeyValue, plain};
use crate::dims::Inner;
use crate::ops::cpu::matrix::Matrix;
use crate::ops::cpu::{Array, Scratch, contiguous, gradient, parts, read, with_gradient_of};

pub(in crate::ops) fn forward<
    B: Dim,
    L: Dim,
    M: Dim,
    const HEADS: usize,
    const DIM_HEAD: usize,
    T: Tape<f32, Cpu>,
>(
    query: Array<(B, L, Inner<HEADS, DIM_HEAD>), T>,
    key_value: Array<(B, M, KeyValue<HEADS, DIM_HEAD>)>,
    options: &AttentionOptions<B, M, f32, Cpu>,
) -> Result<Array<(B, L, Inner<HEADS, DIM_HEAD>), T>, CpuError> {
    if options.needs_weights::<T>() {
        return plain(query, key_value, options);
    }
    let (query, tape) = query.split_tape();
    let (query, tape) = contiguous(&query, tape)?;
    let (key_value, mut tape) = contiguous(&key_value, tape)?;
    let shape = *query.shape();
    let sizes = Sizes {
        batch: shape.0.size(),
        queries: shape.1.size(),
        tokens: key_value.shape().1.size(),
        heads: HEADS,
        dim_head: DIM_HEAD,
    };
    let biases = Biases::new(options.mask.as_ref());

    let mut out = vec![0.0; query.shape().num_elements()];
    let mut log_sums = vec![0.0; sizes.batch * HEADS * sizes.queries];
    {
        let (query, key_value) = (&*read(&query), &*read(&key_value));
        let starts: Vec<usize> = (0..sizes.queries).step_by(QUERIES).collect();
        let tasks: Vec<(usize, usize, usize)> = (0..sizes.batch * HEADS)
            .flat_map(|i| {
                starts
                    .iter()
                    .map(move |&start| (i / HEADS, i % HEADS, start))
            })
            .collect();
        let run = |&(item, head, start): &(usize, usize, usize)| {
            let mut view = sizes.head(query, key_value, &biases, item, head);
            let queries = start..(start + QUERIES).min(sizes.queries);
            view.query = view.query.rows(queries.clone());
            let mut out = Scratch::new(queries.len() * DIM_HEAD);
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
            for (row, part) in part.chunks_exact(DIM_HEAD).enumerate() {
                let at = (first + row) * sizes.inner() + head * DIM_HEAD;
                out[at..at + DIM_HEAD].copy_from_slice(part);
            }
            let at = (item * HEADS + head) * sizes.queries + start;
            log_sums[at..at + sums.len()].copy_from_slice(&sums);
        }
    }
    let out = query.device().try_tensor_from_vec(out, shape)?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        with_gradient_of(gradients, &out, |d_out, gradients| {
            let (out, q, kv) = (&*read(&out), &*read(&query), &*read(&key_value));
            let run = |i: usize| sizes.backward(i, q, kv, &biases, out, d_out, &log_sums);
            let heads = 0..sizes.batch * HEADS;
            let results: Vec<[Vec<f32>; 3]> = if parts(3 * sizes.operations()) > 1 {
                heads.into_par_iter().map(run).collect()
            } else {
                heads.map(run).collect()
            };
            let (inner, dim) = (sizes.inner(), DIM_HEAD);
            let d_query = gradient(gradients, &query)?;
            for (i, [part, _, _]) in results.iter().enumerate() {
                let first = (i / HEADS) * sizes.queries;
                add_columns(d_query, part, first, (i % HEADS) * dim, dim, inner);
            }
            let d_key_value = gradient(gradients, &key_value)?;
            for (i, [_, d_key, d_value]) in results.iter().enumerate() {
                let (first, column) = ((i / HEADS) * sizes.tokens, (i % HEADS) * dim);
                add_columns(d_key_value, d_key, first, column, dim, 2 * inner);
                add_columns(d_key_value, d_value, first, inner + column, dim, 2 * inner);
            }
            Ok(())
        })
    });
    Ok(result.put_tape(tape))
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
        biases: &'a Biases,
        item: usize,
        head: usize,
    ) -> Head<'a> {
        let (inner, dim) = (self.inner(), self.dim_head);
        let columns = |data: &'a [f32], rows: usize, stride: usize, column: usize| {
            Matrix::strided(&data[item * rows * stride + column..], rows, dim, stride)
        };
        let column = head * dim;
        let (bias, uniform) = biases.item(item, self.tokens);
        Head {
            query: columns(query, self.queries, inner, column),
            key: columns(key_value, self.tokens, 2 * inner, column),
            value: columns(key_value, self.tokens, 2 * inner, inner + column),
            bias,
            scale: if uniform {
                0.0
            } else {
                (dim as f32).powf(-0.5)
            },
        }
    }

    /// The gradients of a head's queries, keys and values.
    #[allow(clippy::too_many_arguments)]
    fn backward(
        &self,
        i: usize,
        query: &[f32],
        key_value: &[f32],
        biases: &Biases,
        out: &[f32],
        d_out: &[f32],
        log_sums: &[f32],
    ) -> [Vec<f32>; 3] {
        let (item, head) = (i / self.heads, i % self.heads);
        let (inner, dim) = (self.inner(), self.dim_head);
        let view = self.head(query, key_value, biases, item, head);
        let first = item * self.queries * inner + head * dim;
        let d_out = Matrix::strided(&d_out[first..], self.queries, dim, inner);
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
pub(in crate::ops) struct Biases {
    /// For each token of each item; `None`: no mask.
    values: Option<Vec<f32>>,
}

impl Biases {
    pub(in crate::ops) fn new<B: Dim, M: Dim>(mask: Option<&Array<(B, M)>>) -> Self {
        let values = mask.map(|mask| {
            let bias = |keep: f32| if keep > 0.0 { 0.0 } else { MASKED };
            mask.as_vec().into_iter().map(bias).collect()
        });
        Self { values }
    }

    /// An item's, and whether nothing of it may be attended to: all of it is then attended to equally.
    pub(in crate::ops) fn item(&self, item: usize, tokens: usize) -> (Option<&[f32]>, bool) {
        let Some(values) = &self.values else {
            return (None, false);
        };
        let bias = &values[item * tokens..][..tokens];
        if bias.contains(&0.0) {
            (Some(bias), false)
        } else {
            (None, true)
        }
    }
}
