//! Widths: products that cannot disagree with their factors, and relations that the compiler checks.

use std::marker::PhantomData;
use std::ops::{Add, Mul};

use dfdx::shapes::{Const, ConstDim, Dim};
use typenum::{Prod, Sum, ToUInt, U, U1, U2};

/// The product of two dimensions, as a dimension: `Product<Const<8>, Const<64>>` has the size 512.
///
/// Stable Rust has no `Const<{ HEADS * DIM_HEAD }>` inside generic code. Where a width is the product
/// of two others, the layers of this crate use this type instead of a third parameter, so that there
/// is no third number to get wrong. To the compiler it is another type than `Const<512>`; a tensor that has the one
/// gets the other by `reshape`.
///
/// ```
/// use perceiver::{dims::Product, prelude::*};
/// type Inner = Product<Const<8>, Const<64>>;
/// assert_eq!(Inner::SIZE, 512);
/// ```
pub struct Product<A, B>(PhantomData<(A, B)>);

// Written out, since `derive` would ask `A` and `B` for what a `PhantomData` of them does not need.
impl<A, B> Clone for Product<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, B> Copy for Product<A, B> {}
impl<A, B> Default for Product<A, B> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<A, B> PartialEq for Product<A, B> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<A, B> Eq for Product<A, B> {}
impl<A: ConstDim, B: ConstDim> std::fmt::Debug for Product<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Product<{}, {}>", A::SIZE, B::SIZE)
    }
}
impl<A: ConstDim, B: ConstDim> Dim for Product<A, B> {
    fn size(&self) -> usize {
        Self::SIZE
    }
    fn from_size(size: usize) -> Option<Self> {
        (size == Self::SIZE).then_some(Self(PhantomData))
    }
}
impl<A: ConstDim, B: ConstDim> ConstDim for Product<A, B> {
    const SIZE: usize = A::SIZE * B::SIZE;
}

/// The width of `HEADS` attention heads side by side, each `DIM_HEAD` wide.
pub type Inner<const HEADS: usize, const DIM_HEAD: usize> = Product<Const<HEADS>, Const<DIM_HEAD>>;

/// The number of position features of one axis: a sine and a cosine for each band, and the position.
type AxisFeatures<const BANDS: usize> = Sum<Prod<U2, U<BANDS>>, U1>;

/// The width of a Fourier-encoded token: its channels, then the position features of each axis.
type Encoded<const CHANNELS: usize, const AXES: usize, const BANDS: usize> =
    Sum<U<CHANNELS>, Prod<U<AXES>, AxisFeatures<BANDS>>>;

/// Holds for `Const<WIDTH>` where `WIDTH = CHANNELS + AXES · (2 · BANDS + 1)`, as `cargo check` sees it.
///
/// [`FourierFeatures`](crate::nn::FourierFeatures) can only be made where this holds. An assertion
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

/// Holds for the width of `Hidden` values and their gates side by side: twice `Hidden`, as `cargo check` sees it.
///
/// A [`Product`] of `Const<2>` and `Hidden`; of two `Const`, up to 1024, those that typenum's arithmetic finds to be
/// such; and of two `usize` any, which are compared when the program runs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the width of values and gates for a hidden layer of `{Hidden}`",
    label = "expected twice `{Hidden}`, found `{Self}`"
)]
pub trait GatedWidth<Hidden: Dim>: Dim {}

#[diagnostic::do_not_recommend]
impl<Hidden: ConstDim> GatedWidth<Hidden> for Product<Const<2>, Hidden> {}

#[diagnostic::do_not_recommend]
impl GatedWidth<usize> for usize {}

#[diagnostic::do_not_recommend]
impl<const HIDDEN: usize, const GATED: usize> GatedWidth<Const<HIDDEN>> for Const<GATED>
where
    typenum::Const<HIDDEN>: ToUInt,
    typenum::Const<GATED>: ToUInt,
    U2: Mul<U<HIDDEN>>,
    Prod<U2, U<HIDDEN>>: Same<U<GATED>>,
{
}

/// Holds for a type and itself.
#[doc(hidden)]
pub trait Same<Other> {}
impl<T> Same<T> for T {}
