//! The types of attention weights over the axes of an input.

use dfdx::prelude::*;

use crate::input::Tokens;
use crate::model::Perceiver;
use crate::spec::Spec;
use crate::{Device, ForwardError, WrongSize};

/// `AXES` axes of any size.
pub struct AnyAxes<const AXES: usize>;

/// The axes of tokens, as a tuple or [`AnyAxes`].
#[diagnostic::on_unimplemented(
    message = "attention weights over more than 3 axes have more dimensions than a tensor can have",
    label = "dfdx's tensors have at most 6 dimensions"
)]
pub trait MapAxes<B: Dim, const HEADS: usize, const LATENTS: usize> {
    /// `(B, Const<HEADS>, Const<LATENTS>, axis 1, ..)`.
    type Shape: Shape;

    /// Returns that shape, for axes of these sizes.
    fn shape(batch: B, sizes: &[usize]) -> Option<Self::Shape>;
}

macro_rules! map_axes {
    ($count:literal $($Axis:ident)*) => {
        impl<B: Dim, const HEADS: usize, const LATENTS: usize, $($Axis: Dim),*> MapAxes<B, HEADS, LATENTS>
            for ($($Axis,)*)
        {
            type Shape = (B, Const<HEADS>, Const<LATENTS>, $($Axis,)*);

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn shape(batch: B, sizes: &[usize]) -> Option<Self::Shape> {
                let mut sizes = sizes.iter();
                $(let $Axis = $Axis::from_size(*sizes.next()?)?;)*
                sizes.next().is_none().then_some((batch, Const, Const, $($Axis,)*))
            }
        }

        impl<B: Dim, const HEADS: usize, const LATENTS: usize> MapAxes<B, HEADS, LATENTS> for AnyAxes<$count> {
            type Shape = <($(map_axes!(@usize $Axis),)*) as MapAxes<B, HEADS, LATENTS>>::Shape;

            fn shape(batch: B, sizes: &[usize]) -> Option<Self::Shape> {
                <($(map_axes!(@usize $Axis),)*) as MapAxes<B, HEADS, LATENTS>>::shape(batch, sizes)
            }
        }
    };
    (@usize $Axis:ident) => { usize };
}
map_axes!(0);
map_axes!(1 A1);
map_axes!(2 A1 A2);
map_axes!(3 A1 A2 A3);

/// Attention weights, `(B, Const<HEADS>, Const<LATENTS>, axis 1, ..)`.
pub type AttentionMap<B, const HEADS: usize, const LATENTS: usize, Axes, E, D> =
    Tensor<<Axes as MapAxes<B, HEADS, LATENTS>>::Shape, E, D>;

/// Computes the attention weights of some layers.
///
/// # Errors
/// If a layer has no cross attention, the batch or an axis is empty, or the device runs out of memory.
pub fn try_attention<S, B, const HEADS: usize, const LATENTS: usize, Axes, E, D, T>(
    model: &Perceiver<S, E, D>,
    tokens: Tokens<B, E, D, T>,
    layers: &[usize],
) -> Result<Vec<AttentionMap<B, HEADS, LATENTS, Axes, E, D>>, ForwardError<D::Err>>
where
    S: Spec,
    B: Dim,
    Axes: MapAxes<B, HEADS, LATENTS>,
    E: Dtype,
    D: Device<E>,
{
    let batch = B::from_size(tokens.batch_size());
    let (weights, axes) = model.try_run_attention(tokens.with_tape(|_| NoneTape), layers)?;
    let shape = batch.and_then(|batch| Axes::shape(batch, &axes));
    let shape = shape.ok_or_else(D::Err::wrong_size)?;
    weights
        .into_iter()
        .map(|weights| weights.try_reshape_like(&shape).map_err(ForwardError::Device))
        .collect()
}
