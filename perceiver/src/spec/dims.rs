//! Relations between widths that the compiler checks, using typenum's type-level arithmetic.

use std::ops::{Add, Mul};

use dfdx::shapes::Const;
use typenum::{Prod, Sum, ToUInt, U, U1, U2};

/// The number of position features of one axis: a sine and a cosine for each band, and the position.
type AxisFeatures<const BANDS: usize> = Sum<Prod<U2, U<BANDS>>, U1>;

/// The width of a Fourier-encoded token: its channels, then the position features of each axis.
type Encoded<const CHANNELS: usize, const AXES: usize, const BANDS: usize> =
    Sum<U<CHANNELS>, Prod<U<AXES>, AxisFeatures<BANDS>>>;

/// Implemented for `Const<WIDTH>` if `WIDTH = CHANNELS + AXES · (2 · BANDS + 1)`, so that `cargo check` can verify it.
///
/// [`FourierFeatures`](crate::position::FourierFeatures) can only be created if this is implemented. An assertion would
/// only be checked when the program is fully built, since it would be in generic code. The sum uses typenum's
/// type-level arithmetic, for widths up to 1024.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the width of {CHANNELS} channels with {AXES} axes of {BANDS} frequency bands",
    label = "expected a width of `{CHANNELS} + {AXES} * (2 * {BANDS} + 1)`, of at most 1024, found `{Self}`"
)]
pub trait EncodedWidth<const CHANNELS: usize, const AXES: usize, const BANDS: usize> {}

#[diagnostic::do_not_recommend]
impl<const CHANNELS: usize, const AXES: usize, const BANDS: usize, const WIDTH: usize>
    EncodedWidth<CHANNELS, AXES, BANDS> for Const<WIDTH>
where
    typenum::Const<CHANNELS>: ToUInt,
    typenum::Const<AXES>: ToUInt,
    typenum::Const<BANDS>: ToUInt,
    typenum::Const<WIDTH>: ToUInt,
    U2: Mul<U<BANDS>>,
    Prod<U2, U<BANDS>>: Add<U1>,
    U<AXES>: Mul<AxisFeatures<BANDS>>,
    U<CHANNELS>: Add<Prod<U<AXES>, AxisFeatures<BANDS>>>,
    Encoded<CHANNELS, AXES, BANDS>: Same<U<WIDTH>>,
{
}

/// Implemented for `Other` being the same type.
#[doc(hidden)]
pub trait Same<Other> {}
impl<T> Same<T> for T {}
