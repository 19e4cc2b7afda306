//! Relations between widths that the compiler checks, with typenum's arithmetic on types.

use std::ops::{Add, Mul};

use dfdx::shapes::Const;
use typenum::{Prod, Sum, ToUInt, U, U1, U2};

/// The number of position features of one axis: a sine and a cosine for each band, and the position.
type AxisFeatures<const BANDS: usize> = Sum<Prod<U2, U<BANDS>>, U1>;

/// The width of a Fourier-encoded token: its channels, then the position features of each axis.
type Encoded<const CHANNELS: usize, const AXES: usize, const BANDS: usize> =
    Sum<U<CHANNELS>, Prod<U<AXES>, AxisFeatures<BANDS>>>;

/// Holds for `Const<WIDTH>` where `WIDTH = CHANNELS + AXES · (2 · BANDS + 1)`, as `cargo check` sees it.
///
/// [`FourierFeatures`](crate::position::FourierFeatures) can only be made where this holds. An assertion
/// could not say so before the program is built in full: inside generic code it is not evaluated
/// until then. The sum is made with typenum's arithmetic on types, for widths up to 1024.
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

/// Holds for a type and itself.
#[doc(hidden)]
pub trait Same<Other> {}
impl<T> Same<T> for T {}
