//! Attention to what comes before.

use dfdx::prelude::*;

use super::block::BlockView;
use crate::WrongSize;
use crate::ops::{self, Angles, Attend, Mask, Record, Rows, Vector, Weight};
use crate::spec::Dropout;

/// What rows attend to, other than to themselves and the rows before them, and how.
#[derive(Clone, Debug)]
pub(crate) struct Before<'a, E: Dtype, D: crate::Device<E>> {
    /// Tokens before the rows, `(batch, tokens, dim)`, not normalised. Only for a block with a `norm_context`.
    pub prefix: Option<Rows<E, D>>,
    /// The angles of all keys, of which the queries are the last; `None` if nothing is rotated.
    pub angles: Option<&'a Angles>,
    /// Which of the keys may be attended to, `(batch, keys)`; `None` for all.
    pub keys: Option<&'a Tensor<(usize, usize), bool, D>>,
}

impl<E: Dtype, D: crate::Device<E>> BlockView<&Weight<E, D>, &Vector<E, D>> {
    /// Updates `x`, `(batch, rows, dim)`, by attention from each row to those before it and itself. Also returns the keys
    /// and values of all tokens, rotated.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub(crate) fn try_causal(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        before: Before<'_, E, D>,
        dropout: Dropout,
    ) -> Result<(Rows<E, D>, Rows<E, D>), D::Err> {
        let attention = &self.attention;
        let rows = self.norm.try_forward(record, x.clone())?;
        let context = match (before.prefix, &self.norm_context) {
            (None, norm) => {
                // Without tokens to normalise, they have no gradient otherwise.
                if let Some(norm) = norm {
                    record.add_unused(norm.weight);
                    record.add_unused(norm.bias);
                }
                rows.clone()
            }
            (Some(prefix), Some(norm)) => {
                let prefix = norm.try_forward(record, prefix)?;
                ops::concat(record, prefix, rows.clone())?
            }
            (Some(_), None) => return Err(D::Err::wrong_size()),
        };
        let mut query = attention.to_q.try_forward(record, rows)?;
        let mut key_value = attention.to_kv.try_forward(record, context)?;
        let (queries, keys) = (query.shape().1, key_value.shape().1);
        if let Some(angles) = before.angles {
            query = D::try_rotate(record, query, attention.heads, &angles.last(queries))?;
            key_value = D::try_rotate(record, key_value, attention.heads, angles)?;
        }
        let offset = keys - queries;
        let mask = match before.keys {
            None => Mask::Causal { offset },
            Some(keys) => Mask::CausalKeys { offset, keys: keys.clone() },
        };
        let attend = Attend { dropout: dropout.attention, ..Attend::default() };
        let cached = key_value.clone();
        let out = D::try_attention(record, query, key_value, attention.heads, &mask, attend)?;
        let x = attention.to_out.try_forward_onto(record, out, Some(&x))?;
        Ok((self.try_feed_forward(record, x, dropout.feed_forward)?, cached))
    }

    /// Updates one row of each item, `(batch, 1, dim)`, by attention to itself and to what is in a cache, to which it is
    /// added: to all of it, or to what is `allowed`. `angles` are those of the row.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub(crate) fn try_step(
        &self,
        x: Rows<E, D>,
        cache: &mut D::Cache,
        angles: Option<&Angles>,
        allowed: Option<&[bool]>,
    ) -> Result<Rows<E, D>, D::Err> {
        let record = &mut Record::for_tape::<NoneTape>();
        let attention = &self.attention;
        let row = self.norm.try_forward(record, x.clone())?;
        let mut query = attention.to_q.try_forward(record, row.clone())?;
        let mut key_value = attention.to_kv.try_forward(record, row)?;
        if let Some(angles) = angles {
            query = D::try_rotate(record, query, attention.heads, angles)?;
            key_value = D::try_rotate(record, key_value, attention.heads, angles)?;
        }
        D::try_push(cache, key_value)?;
        let out = D::try_attend_cached(query, cache, attention.heads, allowed)?;
        let x = attention.to_out.try_forward_onto(record, out, Some(&x))?;
        self.try_feed_forward(record, x, 0.0)
    }
}
