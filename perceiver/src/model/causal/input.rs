//! What a Perceiver AR takes.

use dfdx::prelude::*;

use crate::ForwardError;
use crate::spec::CausalNumbers;

/// An input of a Perceiver AR: ids, with or without a mask and a number of tokens before the latents.
///
/// | written | is |
/// | --- | --- |
/// | `ids` | a tensor `(batch, tokens)` of `usize` |
/// | `(ids, mask)` | ids with a `bool` mask `(batch, tokens)`, false for the padding before a shorter text |
/// | `(ids, prefix_len)` | ids, the first `prefix_len` of which are not latents |
/// | `((ids, mask), prefix_len)` | both |
#[diagnostic::on_unimplemented(
    message = "a Perceiver AR takes ids, a tensor `(batch, tokens)` of `usize`, and not `{Self}`",
    label = "expected `ids`, `(ids, mask)`, `(ids, prefix_len)` or `((ids, mask), prefix_len)`"
)]
pub trait CausalInput<E: Dtype, D: Storage<E>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The tape that the ids carry.
    type Tape: Tape<E, D>;

    /// Returns the ids, their device and their tape.
    fn into_parts(self) -> (Window, D, Self::Tape);
}

/// Ids as a model reads them: what [`CausalInput::into_parts`] returns.
#[derive(Clone, Debug)]
pub struct Window {
    pub(super) ids: Vec<usize>,
    /// The sizes of the batch and of the tokens.
    pub(super) shape: (usize, usize),
    /// The number of tokens before the latents; `None` for as few as possible.
    pub(super) prefix: Option<usize>,
    pub(super) mask: Option<Mask>,
}

/// Which ids are text, with the sizes of the mask.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    pub is_text: Vec<bool>,
    pub shape: (usize, usize),
}

impl<B: Dim, S: Dim, E: Dtype, D: Storage<E> + Storage<usize>, T: Tape<E, D>> CausalInput<E, D>
    for Tensor<(B, S), usize, D, T>
{
    type Batch = B;
    type Tape = T;

    fn into_parts(self) -> (Window, D, T) {
        let (ids, tape) = self.split_tape();
        let shape = (ids.shape().0.size(), ids.shape().1.size());
        let window = Window { ids: numbers(&ids), shape, prefix: None, mask: None };
        (window, ids.device().clone(), tape)
    }
}

impl<B: Dim, S: Dim, M: Shape<Concrete = [usize; 2]>, E: Dtype, D, T: Tape<E, D>> CausalInput<E, D>
    for (Tensor<(B, S), usize, D, T>, Tensor<M, bool, D>)
where
    D: Storage<E> + Storage<usize> + Storage<bool>,
{
    type Batch = B;
    type Tape = T;

    fn into_parts(self) -> (Window, D, T) {
        let (window, device, tape) = self.0.into_parts();
        let mask = &self.1;
        let [batch, len] = mask.shape().concrete();
        let shape = (batch, len);
        let mask = Some(Mask { is_text: numbers(mask), shape });
        (Window { mask, ..window }, device, tape)
    }
}

impl<B: Dim, S: Dim, E: Dtype, D, T> CausalInput<E, D> for (Tensor<(B, S), usize, D, T>, usize)
where
    D: Storage<E> + Storage<usize>,
    T: Tape<E, D>,
{
    type Batch = B;
    type Tape = T;

    fn into_parts(self) -> (Window, D, T) {
        let (window, device, tape) = self.0.into_parts();
        (Window { prefix: Some(self.1), ..window }, device, tape)
    }
}

impl<B: Dim, S: Dim, M: Shape<Concrete = [usize; 2]>, E: Dtype, D, T> CausalInput<E, D>
    for ((Tensor<(B, S), usize, D, T>, Tensor<M, bool, D>), usize)
where
    D: Storage<E> + Storage<usize> + Storage<bool>,
    T: Tape<E, D>,
{
    type Batch = B;
    type Tape = T;

    fn into_parts(self) -> (Window, D, T) {
        let (window, device, tape) = self.0.into_parts();
        (Window { prefix: Some(self.1), ..window }, device, tape)
    }
}

/// The numbers of a tensor. dfdx 0.13 panics where there are none.
fn numbers<S: Shape, E: Unit, D: Storage<E>, T>(tensor: &Tensor<S, E, D, T>) -> Vec<E> {
    if tensor.shape().num_elements() == 0 { Vec::new() } else { tensor.as_vec() }
}

/// A window without mistakes.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub ids: Vec<usize>,
    pub batch: usize,
    pub len: usize,
    pub prefix: usize,
    /// How much padding each item begins with.
    pub padding: Vec<usize>,
}

impl Checked {
    pub fn is_padded(&self) -> bool {
        self.padding.iter().any(|count| *count > 0)
    }
}

impl Window {
    /// Checks what only values show.
    pub(super) fn check<Err: std::fmt::Debug + std::fmt::Display>(
        self,
        numbers: &CausalNumbers,
    ) -> Result<Checked, ForwardError<Err>> {
        let (batch, len) = self.shape;
        let CausalNumbers { vocab, max_len, max_latents, .. } = *numbers;
        if batch == 0 || len == 0 {
            return Err(ForwardError::Empty { shape: vec![batch, len] });
        }
        if len > max_len {
            return Err(ForwardError::TooLong { len, max_len });
        }
        if let Some(&id) = self.ids.iter().find(|id| **id >= vocab) {
            return Err(ForwardError::Id { id, vocab });
        }
        let prefix = self.prefix.unwrap_or(len.saturating_sub(max_latents));
        let max_prefix = max_len.saturating_sub(max_latents);
        if prefix >= len || len - prefix > max_latents || prefix > max_prefix {
            return Err(ForwardError::Prefix { prefix, len, max_latents, max_prefix });
        }
        let padding = match self.mask {
            None => vec![0; batch],
            Some(Mask { shape, .. }) if shape != self.shape => {
                return Err(ForwardError::MaskShape {
                    mask: vec![shape.0, shape.1],
                    input: vec![batch, len],
                });
            }
            Some(Mask { is_text, .. }) => {
                let items = is_text.chunks(len).enumerate();
                let padding = items.map(|(item, is_text)| {
                    let padding = is_text.iter().take_while(|is_text| !**is_text).count();
                    match padding < len && is_text[padding..].iter().all(|is_text| *is_text) {
                        true => Ok(padding),
                        false => Err(ForwardError::Padding { item }),
                    }
                });
                padding.collect::<Result<_, _>>()?
            }
        };
        Ok(Checked { ids: self.ids, batch, len, prefix, padding })
    }
}
