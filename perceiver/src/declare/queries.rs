//! The queries that a model declared with `queries: Given(dim)` takes beside its input.

use dfdx::prelude::*;

use super::accepts::{Any, Never};
use crate::input::Tokens;
use crate::ops::{self, AnyRank};
use crate::{Device, ForwardError};

/// Queries, `(batch, queries, DIM)`, for an input with batch `B` and tape `InputTape`.
pub trait QueryTensor<B: Dim, InputTape, const DIM: usize, E: Dtype, D: Storage<E>>: Sized {
    /// The number of queries.
    type Len: Dim;

    /// Adds the tape of the queries to that of the tokens.
    ///
    /// # Errors
    /// If there are no queries, or their batch differs in size from the input's.
    fn try_merge(
        self,
        tokens: Tokens<B, E, D, InputTape>,
    ) -> Result<Merged<B, E, D, InputTape>, ForwardError<D::Err>>
    where
        D: Device<E>;
}

/// Tokens with the tape of the input, which the tape of the queries is merged into as dfdx merges those of two tensors, and
/// the queries.
pub type Merged<B, E, D, T> = (Tokens<B, E, D, T>, AnyRank<E, D>);

impl<B, L, const DIM: usize, E, D, T, InputTape> QueryTensor<B, InputTape, DIM, E, D>
    for Tensor<(B, L, Const<DIM>), E, D, T>
where
    B: Dim,
    L: Dim,
    E: Dtype,
    D: Storage<E>,
    T: Tape<E, D>,
    InputTape: Merge<T>,
{
    type Len = L;

    fn try_merge(
        self,
        tokens: Tokens<B, E, D, InputTape>,
    ) -> Result<Merged<B, E, D, InputTape>, ForwardError<D::Err>>
    where
        D: Device<E>,
    {
        let (queries, tape) = self.split_tape();
        let (batch, count, _) = *queries.shape();
        let (batch, count, input) = (batch.size(), count.size(), tokens.batch_size());
        if batch != input {
            return Err(ForwardError::QueryBatch { queries: batch, input });
        }
        if count == 0 {
            return Err(ForwardError::NoQueries);
        }
        let queries = AnyRank::Three(ops::untyped(queries));
        Ok((tokens.with_tape(|input| input.merge(tape)), queries))
    }
}

/// A trait of the queries that a model takes, with two implementations, the second of which never applies: see
/// [`accepts`](super::accepts).
macro_rules! given_queries {
    ($([$($Model:tt)+] [$($never:tt)*])+) => {
        /// The queries that a model takes.
        #[diagnostic::on_unimplemented(
            message = "`{Model}` cannot take these queries: it was declared with `queries: Given({DIM})`, and runs in `{E}` on `{D}`",
            label = "expected `Tensor<({B}, queries, Const<{DIM}>), {E}, {D}>`, found `{Self}`",
            note = "if the queries are traced, the input must be as well"
        )]
        pub trait GivenQueries<Model: ?Sized, B: Dim, InputTape, const DIM: usize, E: Dtype, D: Storage<E>>:
            Sized
        {
            /// The number of queries.
            type Len: Dim;
            /// The type of the output, `(batch, queries, N)`.
            type Outputs<const N: usize>;

            /// Adds the tape of the queries to that of the tokens.
            ///
            /// # Errors
            /// If there are no queries, or their batch differs in size from the input's.
            fn try_merge(
                self,
                tokens: Tokens<B, E, D, InputTape>,
            ) -> Result<Merged<B, E, D, InputTape>, ForwardError<D::Err>>
            where
                D: Device<E>;

            /// Converts an output to its type here.
            fn outputs<const N: usize>(
                outputs: Tensor<(B, Self::Len, Const<N>), E, D, InputTape>,
            ) -> Self::Outputs<N>;
        }

        $(
            #[diagnostic::do_not_recommend]
            impl<Q, $($Model)+, B: Dim, InputTape, const DIM: usize, E: Dtype, D: Storage<E>>
                GivenQueries<Model, B, InputTape, DIM, E, D> for Q
            where
                Q: QueryTensor<B, InputTape, DIM, E, D>,
                $($never)*
            {
                type Len = <Q as QueryTensor<B, InputTape, DIM, E, D>>::Len;
                type Outputs<const N: usize> = Tensor<(B, Self::Len, Const<N>), E, D, InputTape>;

                fn try_merge(
                    self,
                    tokens: Tokens<B, E, D, InputTape>,
                ) -> Result<Merged<B, E, D, InputTape>, ForwardError<D::Err>>
                where
                    D: Device<E>,
                {
                    QueryTensor::try_merge(self, tokens)
                }

                fn outputs<const N: usize>(
                    outputs: Tensor<(B, Self::Len, Const<N>), E, D, InputTape>,
                ) -> Self::Outputs<N> {
                    outputs
                }
            }
        )+
    };
}

given_queries! {
    [Model] []
    [Model: ?Sized] [Any<Q>: Never]
}
