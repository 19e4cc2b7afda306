//! What a declared Perceiver AR has beside its constants and its spec.

/// Implements the methods of a declared Perceiver AR, and dfdx's `Module` and `ModuleMut`.
#[doc(hidden)]
#[macro_export]
macro_rules! __causal_methods {
    ($name:ident) => {
        const _: () = {
            use $crate::__private as __;

            __::costs!(
                $name,
                [batch: __::usize, tokens: [__::usize; 1], prefix_len: __::usize],
                __::Cost::of_causal::<$name>(batch, tokens[0], prefix_len)
            );

            impl<E: __::Dtype, D: __::Storage<E>> $name<E, D> {
                /// Returns the logits of the token after each of the latents, `(batch, latents, VOCAB)`, without dropout.
                ///
                /// Takes ids, a tensor `(batch, tokens)` of `usize`; a pair of them and a `bool` mask `(batch, tokens)`,
                /// false for the padding before a shorter text; or a pair of either and `prefix_len`, the number of tokens
                /// before the latents. By default, the latents are the last `NUM_LATENTS` tokens, or all if there are
                /// fewer. The logits of padding are unspecified.
                ///
                /// # Panics
                /// If [`try_forward`](Self::try_forward) returns an error.
                pub fn forward<I: __::CausalInput<E, D>>(
                    &self,
                    input: I,
                ) -> __::Logits<$name, I::Batch, E, D, I::Tape>
                where
                    D: __::Device<E>,
                {
                    __::expect_forward(self.try_forward(input))
                }

                /// [`forward`](Self::forward) for training: if the ids are traced, with dropout at the declared rates, and
                /// with a share `PREFIX_DROPOUT` of the tokens before the latents left out.
                ///
                /// # Panics
                /// If [`try_forward_mut`](Self::try_forward_mut) returns an error.
                pub fn forward_mut<I: __::CausalInput<E, D>>(
                    &mut self,
                    input: I,
                ) -> __::Logits<$name, I::Batch, E, D, I::Tape>
                where
                    D: __::Device<E>,
                {
                    __::expect_forward(self.try_forward_mut(input))
                }

                /// Fallible version of [`forward`](Self::forward).
                ///
                /// # Errors
                /// If there are no ids or more than `MAX_LEN`; if an id is not in the vocabulary; if the prefix leaves no
                /// latents or more than `NUM_LATENTS`, or is itself longer than `MAX_LEN - NUM_LATENTS`; if the mask differs
                /// in size from the ids or is false anywhere but at the beginning of a text; or if the device runs out of
                /// memory.
                pub fn try_forward<I: __::CausalInput<E, D>>(
                    &self,
                    input: I,
                ) -> __::Result<
                    __::Logits<$name, I::Batch, E, D, I::Tape>,
                    __::ForwardError<D::Err>,
                >
                where
                    D: __::Device<E>,
                {
                    self.perceiver.try_forward(input)
                }

                /// Fallible version of [`forward_mut`](Self::forward_mut).
                ///
                /// # Errors
                /// Same as [`try_forward`](Self::try_forward).
                pub fn try_forward_mut<I: __::CausalInput<E, D>>(
                    &mut self,
                    input: I,
                ) -> __::Result<
                    __::Logits<$name, I::Batch, E, D, I::Tape>,
                    __::ForwardError<D::Err>,
                >
                where
                    D: __::Device<E>,
                {
                    self.perceiver.try_forward_mut(input)
                }
            }

            impl<E: __::Dtype, D: __::Device<E>, I: __::CausalInput<E, D>> __::Module<I>
                for $name<E, D>
            {
                type Output = __::Logits<$name, I::Batch, E, D, I::Tape>;
                type Error = D::Err;

                fn try_forward(&self, input: I) -> __::Result<Self::Output, D::Err> {
                    $name::<E, D>::try_forward(self, input)
                        .map_err(__::ForwardError::into_device_error)
                }

                fn forward(&self, input: I) -> Self::Output {
                    $name::<E, D>::forward(self, input)
                }
            }

            impl<E: __::Dtype, D: __::Device<E>, I: __::CausalInput<E, D>> __::ModuleMut<I>
                for $name<E, D>
            {
                type Output = __::Logits<$name, I::Batch, E, D, I::Tape>;
                type Error = D::Err;

                fn try_forward_mut(&mut self, input: I) -> __::Result<Self::Output, D::Err> {
                    $name::<E, D>::try_forward_mut(self, input)
                        .map_err(__::ForwardError::into_device_error)
                }

                fn forward_mut(&mut self, input: I) -> Self::Output {
                    $name::<E, D>::forward_mut(self, input)
                }
            }
        };
    };
}
