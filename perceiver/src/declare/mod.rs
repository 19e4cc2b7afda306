//! Support for the expansion of `perceiver!` and its errors. Not public API.

pub mod accepts;
mod causal;
pub mod check;
mod costs;
#[rustfmt::skip] // generated
pub mod ide;
pub mod maps;
pub mod queries;
pub mod traced;

use core::fmt::{Debug, Display};

use crate::ForwardError;
use crate::spec::Spec;

/// A count, as a type.
pub struct Count<const VALUE: usize>;

impl<const VALUE: usize> Count<VALUE> {
    /// The count.
    pub const VALUE: usize = VALUE;
}

/// Returns the size at `index` of `input_shape`, or 0 if it is absent.
#[must_use]
pub const fn size_at<const N: usize>(shape: Option<[usize; N]>, index: usize) -> usize {
    match shape {
        Some(shape) => shape[index],
        None => 0,
    }
}

/// The dimension of each token.
#[must_use]
pub const fn token_dim<S: Spec>() -> usize {
    crate::spec::token_dim::<S>()
}

/// The numbers of points in the order of a grid with these sizes.
///
/// # Errors
/// If there are none, or one is not on the grid.
pub fn points<const AXES: usize, Err: Debug + Display>(
    points: &[[usize; AXES]],
    shape: [usize; AXES],
) -> Result<Vec<usize>, ForwardError<Err>> {
    if points.is_empty() {
        return Err(ForwardError::NoPoints);
    }
    let place = |point: &[usize; AXES]| {
        let along = point.iter().zip(&shape);
        if along.clone().any(|(place, size)| place >= size) {
            return Err(ForwardError::Point { point: point.to_vec(), shape: shape.to_vec() });
        }
        Ok(along.fold(0, |sum, (place, size)| sum * size + place))
    };
    points.iter().map(place).collect()
}

/// Turns `try_forward` into `forward`: panics with the error's message.
#[track_caller]
pub fn expect_forward<T, Err: Debug + Display>(result: Result<T, ForwardError<Err>>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Implements the dfdx traits that need only the name of a declared model, and `Deref` to what it wraps: a
/// [`Perceiver`](crate::model::Perceiver) or a [`PerceiverAr`](crate::model::PerceiverAr).
#[doc(hidden)]
#[macro_export]
macro_rules! __module {
    ($name:ident, $Inner:ident) => {
        const _: () = {
            use $crate::__private as __;

            impl<E: __::Dtype, D: __::Storage<E>> __::Deref for $name<E, D> {
                type Target = __::$Inner<$name, E, D>;

                fn deref(&self) -> &Self::Target {
                    &self.perceiver
                }
            }

            impl<E: __::Dtype, D: __::Storage<E>> __::DerefMut for $name<E, D> {
                fn deref_mut(&mut self) -> &mut Self::Target {
                    &mut self.perceiver
                }
            }

            impl<E: __::Dtype, D: __::TensorDevice<E>> __::TensorCollection<E, D> for $name<E, D> {
                type To<E2: __::Dtype, D2: __::TensorDevice<E2>> = $name<E2, D2>;

                fn iter_tensors<V: __::ModuleVisitor<Self, E, D>>(
                    visitor: &mut V,
                ) -> __::Result<__::Option<Self::To<V::E2, V::D2>>, V::Err> {
                    __::$Inner::iter_tensors_of(
                        visitor,
                        |model: &Self| &model.perceiver,
                        |model| &mut model.perceiver,
                        |perceiver| $name { perceiver },
                    )
                }
            }

            impl<E: __::Dtype, D: __::Storage<E>, E2: __::Dtype, D2: __::TensorDevice<E2>>
                __::BuildOnDevice<D2, E2> for $name<E, D>
            {
                type Built = $name<E2, D2>;
            }
        };
    };
}
