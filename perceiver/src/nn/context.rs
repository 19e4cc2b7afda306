//! The context that latents attend to.

use dfdx::prelude::*;

use crate::ops::{self, Attend, Mask, Positioned, Record, Rows};

/// Tokens that are attended to, prepared once for all layers that do, with one setting of softmax, dropout and mask.
#[derive(Clone, Debug)]
pub struct Context<E: Dtype, D: crate::Device<E>> {
    keys: Keys<E, D>,
    batch: usize,
}

/// Which tokens may be attended to, `(batch, tokens)`; `None` for all.
pub(crate) type TokenMask<D> = Option<Tensor<(usize, usize), bool, D>>;

/// What is attended to.
#[derive(Clone, Debug)]
pub(super) enum Keys<E: Dtype, D: crate::Device<E>> {
    /// The tokens alone.
    Tokens(D::Context),
    /// The tokens, not normalised, and the queries after them. The mask includes these.
    WithQueries { tokens: Rows<E, D>, mask: Mask<D>, attend: Attend },
}

impl<E: Dtype, D: crate::Device<E>> Context<E, D> {
    /// Prepares tokens that are attended to with the settings `attend`. Masked tokens must be finite.
    ///
    /// On the `Cpu` in `f32`, position features are appended to the tokens only where that is needed.
    ///
    /// # Errors
    /// If the mask does not match the tokens, or the device runs out of memory.
    pub fn of_tokens(
        record: &mut Record<E, D>,
        tokens: Positioned<E, D>,
        attend: Attend,
    ) -> Result<Self, D::Err> {
        let batch = tokens.channels.shape().0;
        Ok(Self { keys: Keys::try_prepare(record, tokens, attend)?, batch })
    }

    /// Prepares rows without positions, `(batch, rows, dim)`. Masked rows may hold any values.
    ///
    /// # Errors
    /// If the mask does not match the rows, or the device runs out of memory.
    pub fn of_rows(
        record: &mut Record<E, D>,
        mut rows: Rows<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        attend: Attend,
    ) -> Result<Self, D::Err> {
        let axes = vec![rows.shape().1];
        let mask = Self::clear(record, &mut rows, mask)?;
        let tokens = Positioned { channels: rows, features: Vec::new(), axes, mask };
        Self::of_tokens(record, tokens, attend)
    }

    /// Flattens a mask and clears what it masks.
    pub(crate) fn clear(
        record: &mut Record<E, D>,
        rows: &mut Rows<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
    ) -> Result<TokenMask<D>, D::Err> {
        let Some(mask) = mask else {
            return Ok(None);
        };
        let mask = D::try_flatten_mask(mask)?;
        ops::check::<D::Err>(*mask.shape() == (rows.shape().0, rows.shape().1))?;
        *rows = D::try_clear_masked(record, rows.clone(), &mask)?;
        Ok(Some(mask))
    }

    /// Returns the batch size.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    pub(super) fn keys(&self) -> &Keys<E, D> {
        &self.keys
    }
}

impl<E: Dtype, D: crate::Device<E>> Keys<E, D> {
    fn try_prepare(
        record: &mut Record<E, D>,
        mut tokens: Positioned<E, D>,
        attend: Attend,
    ) -> Result<Self, D::Err> {
        if attend.queries_as_keys == 0 {
            return Ok(Self::Tokens(D::try_prepare(record, tokens, attend)?));
        }
        let mask = tokens.mask.take().map_or(Mask::None, Mask::Keys);
        let mask = mask.followed_by::<E>(attend.queries_as_keys)?;
        Ok(Self::WithQueries { tokens: tokens.try_encode(record)?, mask, attend })
    }
}
