//! What a declared model can be given, in the words of its declaration.
//!
//! Each trait holds for every [`Input`] of its kind, and names the model and its keys where it does not hold. They
//! are here, and not in the expansion of `perceiver!`, because attributes like `diagnostic::on_unimplemented` do not
//! exist under `#![no_implicit_prelude]`.

use dfdx::prelude::*;

use super::Input;

macro_rules! declared {
    (
        $(#[$doc:meta])*
        $name:ident<$($size:ident),+>: Input<$axes:tt $(, $shape:ty)?>,
        $message:literal, $label:literal
    ) => {
        $(#[$doc])*
        #[diagnostic::on_unimplemented(
            message = $message,
            label = $label,
            note = "a mask goes with the input in a pair, `(input, mask)`: a `bool` tensor of the same batch and axes"
        )]
        pub trait $name<Model, $(const $size: usize,)+ E: Dtype, D: Device<E>>:
            Input<$axes, CHANNELS, E, D $(, Axes = $shape)?>
        {
        }

        #[diagnostic::do_not_recommend]
        impl<I, Model, $(const $size: usize,)+ E: Dtype, D: Device<E>> $name<Model, $($size,)+ E, D> for I
        where
            I: Input<$axes, CHANNELS, E, D $(, Axes = $shape)?>
        {
        }
    };
}

declared!(
    /// An input of a model whose number of axes only the compiler can see.
    InputAxes<AXES, CHANNELS>: Input<AXES>,
    "`{Model}` cannot take this input: it was declared with `input_axis: {AXES}` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, {AXES} axes, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 1`.
    Input1<CHANNELS>: Input<1>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 1` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 2`.
    Input2<CHANNELS>: Input<2>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 2` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 3`.
    Input3<CHANNELS>: Input<3>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 3` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 4`.
    Input4<CHANNELS>: Input<4>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 4` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, axis 4, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 1 axis.
    InputShape1<A1, CHANNELS>: Input<1, (Const<A1>,)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 2 axes.
    InputShape2<A1, A2, CHANNELS>: Input<2, (Const<A1>, Const<A2>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 3 axes.
    InputShape3<A1, A2, A3, CHANNELS>: Input<3, (Const<A1>, Const<A2>, Const<A3>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 4 axes.
    InputShape4<A1, A2, A3, A4, CHANNELS>: Input<4, (Const<A1>, Const<A2>, Const<A3>, Const<A4>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {A4}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{A4}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);
