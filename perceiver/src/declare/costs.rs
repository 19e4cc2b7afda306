//! The cost of a declared model.

/// Implements `cost`, `flops` and `forward_memory` of a declared model, with the batch and the sizes that are not declared as
/// parameters; and `FLOPS` of one that is `fixed`, which has no such sizes.
#[doc(hidden)]
#[macro_export]
macro_rules! __costs {
    (fixed $name:ident, [$batch:ident: $Batch:ty], $cost:expr) => {
        impl $name {
            /// The floating-point operations of a forward pass of one input, `flops(1)`.
            pub const FLOPS: $crate::__private::u64 = Self::flops(1);
        }
        $crate::__costs!($name, [$batch: $Batch], $cost);
    };
    ($name:ident, [$($size:ident: $Size:ty),+], $cost:expr) => {
        impl $name {
            /// Returns the floating-point operations of a forward pass of a batch of inputs with these sizes: two for each
            /// multiplication and addition in matrix products and attention.
            #[must_use]
            pub const fn flops($($size: $Size),+) -> $crate::__private::u64 {
                Self::cost($($size),+).flops()
            }

            /// Returns an upper bound of the bytes that a forward pass of a batch of inputs with these sizes allocates, in
            /// addition to the model and its input: on the `Cpu` in `f32` with two threads, without a tape and without a mask.
            #[must_use]
            pub const fn forward_memory($($size: $Size),+) -> $crate::__private::u64 {
                Self::cost($($size),+).forward_memory()
            }

            /// Returns what a forward pass of a batch of inputs with these sizes costs: operations and memory, which
            /// `summary().with_cost(..)` shows part by part.
            #[must_use]
            pub const fn cost($($size: $Size),+) -> $crate::Cost {
                $cost
            }
        }
    };
}
