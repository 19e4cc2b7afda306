//! The kernels: one for materialised normalised tokens, and one for tokens separated into channels and position
//! features.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;

use super::separable::{self, MAX_CHANNELS, Separable};
use super::{ContextKernel, CrossParameters, Dense, Positioned, absorb, plain_prepare};
use crate::ops::attention::MaskBias;
use crate::ops::cpu::flash::{Head, deltas, queries_of_tile};
use crate::ops::cpu::matrix::MatRef;
use crate::ops::cpu::{
    Scratch, add, contiguous, for_each, gradient, map, parts, read, with_gradient_of,
};
use crate::ops::{Attend, Record, Rows};
use crate::spec::{Heads, Softmax};

/// Tokens, as a `Cpu` stores them.
#[derive(Clone, Debug)]
pub struct CpuContext(Tokens);

#[derive(Clone, Debug)]
enum Tokens {
    Stored(Stored),
    /// Tokens with more channels than the separate kernels are compiled for, without gradients.
    Wide(Arc<Wide>),
}

#[derive(Clone, Debug)]
enum Stored {
    /// Materialised tokens.
    Dense(Dense<f32, Cpu>),
    /// Channels and the features of each axis, stored separately. Only for softmax over tokens without dropout.
    Separable(Arc<Separable>),
}

/// Tokens that are stored in one way or the other once it is known which heads attend to them.
#[derive(Debug)]
struct Wide {
    tokens: Positioned<f32, Cpu>,
    attend: Attend,
    dense: OnceLock<Dense<f32, Cpu>>,
    separable: OnceLock<Arc<Separable>>,
}

impl Wide {
    /// `has_gradients` says whether the queries have gradients, which they can even if the tokens have none.
    fn for_heads(&self, has_gradients: bool, heads: Heads) -> Result<Stored, CpuError> {
        // Neither is made within `get_or_init`: a thread that waits for others may come here again.
        if !has_gradients && separable::is_better(self.tokens.channels.shape().2, heads) {
            if let Some(separable) = self.separable.get() {
                return Ok(Stored::Separable(separable.clone()));
            }
            let separable = Arc::new(Separable::new(self.tokens.clone()));
            return Ok(Stored::Separable(self.separable.get_or_init(|| separable).clone()));
        }
        if let Some(dense) = self.dense.get() {
            return Ok(Stored::Dense(dense.clone()));
        }
        let mut off = Record::for_tape::<NoneTape>();
        let dense = plain_prepare(&mut off, self.tokens.clone(), self.attend)?;
        Ok(Stored::Dense(self.dense.get_or_init(|| dense).clone()))
    }
}

impl CpuContext {
    /// Whether encoded tokens were not materialised.
    #[cfg(test)]
    pub(super) fn is_separable(&self) -> bool {
        !matches!(self.0, Tokens::Stored(Stored::Dense(_)))
    }
}

impl ContextKernel<f32> for Cpu {
    type Context = CpuContext;

    fn try_prepare(
        record: &mut Record<f32, Self>,
        tokens: Positioned<f32, Self>,
        attend: Attend,
    ) -> Result<CpuContext, CpuError> {
        tokens.check()?;
        let is_plain = attend.softmax == Softmax::Tokens && attend.dropout == 0.0;
        let is_wide = tokens.channels.shape().2 > MAX_CHANNELS;
        if !is_plain || !separable::applies(&tokens) || (is_wide && record.is_on()) {
            let dense = plain_prepare(record, tokens, attend)?;
            return Ok(CpuContext(Tokens::Stored(Stored::Dense(dense))));
        }
        let channels = contiguous(record, &tokens.channels)?;
        let tokens = Positioned { channels, ..tokens };
        Ok(CpuContext(match is_wide {
            false => Tokens::Stored(Stored::Separable(Arc::new(Separable::new(tokens)))),
            true => Tokens::Wide(Arc::new(Wide {
                tokens,
                attend,
                dense: OnceLock::new(),
                separable: OnceLock::new(),
            })),
        }))
    }

    fn try_cross_attention(
        record: &mut Record<f32, Self>,
        query: Rows<f32, Self>,
        parameters: &CrossParameters<'_, f32, Self>,
        context: &CpuContext,
    ) -> Result<Rows<f32, Self>, CpuError> {
        let tokens = match &context.0 {
            Tokens::Stored(stored) => stored.clone(),
            Tokens::Wide(wide) => wide.for_heads(record.is_on(), parameters.heads)?,
        };
        #[cfg(test)]
        let _counted = crate::ops::counted::Counted::new({
            // Of keys and values that are made, and attended to.
            let ((batch, queries, _), heads) = (*query.shape(), parameters.heads);
            let (tokens, width) = match &tokens {
                Stored::Dense(dense) => (dense.tokens.shape().1, dense.tokens.shape().2),
                Stored::Separable(separable) => (separable.tokens(), separable.width()),
            };
            2 * batch * tokens * (width + queries) * heads.key_value_width()
        });
        match &tokens {
            Stored::Dense(dense) => {
                absorb::cross_attention(record, query, parameters, dense, |record, query| {
                    attend_dense(record, query, dense)
                })
            }
            Stored::Separable(separable) => {
                let tokens = (separable.batch(), separable.width());
                absorb::absorbed(record, query, parameters, tokens, |record, query| {
                    separable::attend(record, query, separable)
                })
            }
        }
    }
}

pub(in crate::ops) fn attend_dense(
    record: &mut Record<f32, Cpu>,
    query: Rows<f32, Cpu>,
    context: &Dense<f32, Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let query = contiguous(record, &query)?;
    let tokens = contiguous(record, &context.tokens)?;
    let shape = *query.shape();
    let sizes =
        Sizes { batch: shape.0, queries: shape.1, tokens: tokens.shape().1, width: shape.2 };
    let biases = MaskBias::new(&context.mask);
    let width = sizes.width;

    let mut out = vec![0.0; query.shape().num_elements()];
    let mut log_sums = vec![0.0; shape.0 * shape.1];
    {
        let (query, tokens) = (&*read(&query), &*read(&tokens));
        for item in 0..sizes.batch {
            let head = sizes.head(query, tokens, &biases, item);
            let queries = sizes.queries;
            let of_thread = queries.div_ceil(parts(sizes.operations()));
            let block = of_thread.clamp(1, queries_of_tile(queries));
            let blocks = out[item * queries * width..][..queries * width]
                .chunks_mut(block * width)
                .zip(log_sums[item * queries..][..queries].chunks_mut(block))
                .enumerate();
            for_each(blocks, |(i, (out, log_sums))| {
                let rows = i * block..i * block + log_sums.len();
                let query = head.query.rows(rows);
                Head { query, ..head }.forward(out, log_sums);
            });
        }
    }
    let out = query.device().try_tensor_from_vec(out, shape)?;

    let result = out.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &out, |d_out, gradients| {
            let (out, query_numbers, token_numbers) =
                (&*read(&out), &*read(&query), &*read(&tokens));
            let Sizes { queries, width, .. } = sizes;
            for item in 0..sizes.batch {
                let head = sizes.head(query_numbers, token_numbers, &biases, item);
                let first = item * queries * width;
                let d_out = MatRef::new(&d_out[first..][..queries * width], queries, width);
                let deltas = deltas(&out[first..][..queries * width], d_out);
                let log_sums = &log_sums[item * queries..][..queries];
                let part = sizes.tokens.div_ceil(parts(3 * sizes.operations())).max(1);
                let d_tokens = &mut gradient(gradients, &tokens)?[item * sizes.tokens * width..]
                    [..sizes.tokens * width];
                let d_queries =
                    map(d_tokens.chunks_mut(part * width).enumerate(), |(i, d_tokens)| {
                        let range = i * part..i * part + d_tokens.len() / width;
                        let mut d_query = vec![0.0; queries * width];
                        let mut d_value = Scratch::zeros(d_tokens.len());
                        // Tokens are both keys and values, so both gradients are theirs.
                        head.backward(
                            range,
                            d_out,
                            log_sums,
                            &deltas,
                            &mut d_query,
                            d_tokens,
                            &mut d_value,
                        );
                        add(d_tokens, &d_value);
                        d_query
                    });
                let sums = &mut gradient(gradients, &query)?[first..][..queries * width];
                for d_query in d_queries {
                    add(sums, &d_query);
                }
            }
            Ok(())
        })
    });
    Ok(result)
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    queries: usize,
    tokens: usize,
    width: usize,
}

impl Sizes {
    /// The approximate number of operations for one item.
    fn operations(&self) -> usize {
        self.queries * self.tokens * (self.width / 4 + 8)
    }

    fn head<'a>(
        &self,
        query: &'a [f32],
        tokens: &'a [f32],
        biases: &'a MaskBias,
        item: usize,
    ) -> Head<'a> {
        let (bias, uniform) = biases.item(item, self.queries, self.tokens);
        let items = self.tokens * self.width;
        let tokens = MatRef::new(&tokens[item * items..][..items], self.tokens, self.width);
        let queries = self.queries * self.width;
        Head {
            query: MatRef::new(&query[item * queries..], self.queries, self.width),
            key: tokens,
            value: tokens,
            bias,
            scale: if uniform { 0.0 } else { 1.0 },
        }
    }
}
