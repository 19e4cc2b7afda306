#[allow(unexpected_cfgs)]
const _: () = {
    #[cfg(rust_analyzer)]
    const _: perceiver::__private::ide::Keys = perceiver::__private::ide::Keys {
        input: (),
        depth: (),
        output: (),
        ..perceiver::__private::ide::Keys::NONE
    };
    #[cfg(rust_analyzer)]
    const _: perceiver::__private::ide::Grid = perceiver::__private::ide::Grid {
        shape: (),
        position: (),
        ..perceiver::__private::ide::Grid::NONE
    };
    #[cfg(rust_analyzer)]
    const _: perceiver::__private::ide::Fourier = perceiver::__private::ide::Fourier {
        bands: (),
        max_freq: (),
        ..perceiver::__private::ide::Fourier::NONE
    };
};
///A Perceiver.
///
/// # Input and output
///
/// [`forward`](Self::forward) takes a tensor `(batch, 8, INPUT_SHAPE[1], 1)`, or `(tensor, mask)` with a `bool` mask `(batch, 8, INPUT_SHAPE[1])` that is true where a position may be attended to.
///
/// It returns the latents after the last layer, `(batch, 512, 512)`.
#[derive(::core::clone::Clone)]
#[derive(::core::fmt::Debug)]
struct Embedder<
    E: perceiver::__private::Dtype = perceiver::__private::f32,
    D: perceiver::__private::Storage<E> = perceiver::__private::Cpu,
> {
    perceiver: perceiver::__private::Perceiver<Embedder, E, D>,
}
impl Embedder {
    /// The number of layers, each a cross attention and its self attentions. Here: 2.
    pub const DEPTH: ::core::primitive::usize = 2;
    /// The number of frequency bands of the position encoding along each axis: 4.
    pub const NUM_FREQ_BANDS: ::core::primitive::usize = 4;
    /// The sampling rate of the position encoding along every axis, or `[..]` with one for each; its highest frequency is half of this (Nyquist).
    pub const MAX_FREQ: [::core::primitive::f64; 2] = [8.0, 6.0];
    /// The base of logarithmically spaced frequency bands, as in the TensorFlow package.
    pub const FREQ_BASE: ::core::option::Option<::core::primitive::f64> = ::core::option::Option::None;
    /// The number of input channels: 1.
    pub const INPUT_CHANNELS: ::core::primitive::usize = 1;
    /// The number of input axes: 1 for a sequence, 2 for an image, 3 for a video; at most 4. Here: 2.
    pub const INPUT_AXIS: ::core::primitive::usize = 2;
    /// The sizes of all axes and the number of channels, such as `[224, 224, 3]`; replaces `input_axis` and `input_channels`.
    pub const INPUT_SHAPE: ::core::option::Option<[::core::primitive::usize; 3]> = ::core::option::Option::Some([
        8,
        perceiver::__private::Count::<{ SIZE }>::VALUE,
        1,
    ]);
    /// Whether the position encoding is appended to the input channels.
    pub const FOURIER_ENCODE_DATA: ::core::primitive::bool = true;
    /// The number of latents: 512.
    pub const NUM_LATENTS: ::core::primitive::usize = 512;
    /// The dimension of each latent: 512.
    pub const LATENT_DIM: ::core::primitive::usize = 512;
    /// The number of cross-attention heads: 1.
    pub const CROSS_HEADS: ::core::primitive::usize = 1;
    /// The number of self-attention heads: 8.
    pub const LATENT_HEADS: ::core::primitive::usize = 8;
    /// The dimension of each cross-attention head: 64.
    pub const CROSS_DIM_HEAD: ::core::primitive::usize = 64;
    /// The dimension of each self-attention head: 64.
    pub const LATENT_DIM_HEAD: ::core::primitive::usize = 64;
    /// The dropout rate of attention weights: 0.0.
    pub const ATTN_DROPOUT: ::core::primitive::f64 = 0.0;
    /// The dropout rate of feed-forward outputs: 0.0.
    pub const FF_DROPOUT: ::core::primitive::f64 = 0.0;
    /// Whether all layers after the first share one set of weights.
    pub const WEIGHT_TIE_LAYERS: ::core::primitive::bool = false;
    /// The number of self attentions in each layer, after its cross attention if it has one. Here: 1.
    pub const SELF_PER_CROSS_ATTN: ::core::primitive::usize = 1;
    /// Whether the latents compete for each token (softmax over the latents), in all layers or `[..]` in each.
    pub const INVERTED_CROSS_ATTN: ::core::primitive::bool = false;
    /// Whether `forward` returns `num_classes` logits; otherwise it returns the latents, or what `output` says.
    pub const FINAL_CLASSIFIER_HEAD: ::core::primitive::bool = false;
}
const _: () = {
    use perceiver::__private as __;
    const _: () = __::check::count(
        "axis 2 of `shape`",
        1,
        1048576,
        __::size_at(Embedder::INPUT_SHAPE, 1usize),
    );
    impl Embedder {
        /// The dimension of each token, its channels and its position encoding: 19.
        pub const INPUT_DIM: __::usize = __::token_dim::<Embedder>();
        /// The number of trainable parameters: what `num_trainable_params()` returns. `summary()` lists those of each part.
        pub const PARAMETERS: __::usize = <__::Perceiver<Embedder>>::PARAMETERS;
    }
    impl __::Spec for Embedder {
        const NAME: &'static __::str = ::core::stringify!(Embedder);
        type Input = __::Grid<{ Embedder::INPUT_AXIS }, { Embedder::INPUT_CHANNELS }>;
        type NumLatents = __::Const<{ Embedder::NUM_LATENTS }>;
        type LatentDim = __::Const<{ Embedder::LATENT_DIM }>;
        type Output = __::LatentsOutput;
        const POSITION: __::Position = __::Position::Fourier(__::Fourier {
            bands: Embedder::NUM_FREQ_BANDS,
            max_freq: __::MaxFreq::PerAxis(&Embedder::MAX_FREQ),
            base: Embedder::FREQ_BASE,
            endpoint: true,
        });
        const SHAPE: &'static [__::usize] = &[
            __::size_at(Embedder::INPUT_SHAPE, 0usize),
            __::size_at(Embedder::INPUT_SHAPE, 1usize),
        ];
        const DEPTH: __::usize = Embedder::DEPTH;
        const SELF_PER_CROSS_ATTN: __::usize = Embedder::SELF_PER_CROSS_ATTN;
        const CROSS_HEADS: __::Heads = __::Heads::new(
            Embedder::CROSS_HEADS,
            Embedder::CROSS_DIM_HEAD,
        );
        const LATENT_HEADS: __::Heads = __::Heads::new(
            Embedder::LATENT_HEADS,
            Embedder::LATENT_DIM_HEAD,
        );
        const SHARE: __::Share = __::Share::tied(Embedder::WEIGHT_TIE_LAYERS);
        const CROSS_SOFTMAX: __::Softmax = __::Softmax::inverted(
            Embedder::INVERTED_CROSS_ATTN,
        );
        const DROPOUT: __::Dropout = __::Dropout {
            attention: Embedder::ATTN_DROPOUT,
            feed_forward: Embedder::FF_DROPOUT,
        };
    }
    impl<E: __::Dtype, D: __::Storage<E>> Embedder<E, D> {
        /// Returns the latents after the last layer, `(batch, 512, 512)`, without dropout.
        ///
        /// Takes a tensor `(batch, 8, INPUT_SHAPE[1], 1)`, or `(tensor, mask)` with a `bool` mask `(batch, 8, INPUT_SHAPE[1])` that is true where a position may be attended to.
        ///
        /// # Panics
        /// If [`try_forward`](Self::try_forward) returns an error.
        pub fn forward<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
        ) -> I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::expect_forward(self.try_forward(input))
        }
        /// [`forward`](Self::forward) for training: with dropout at the declared rates if the input is traced.
        ///
        /// # Panics
        /// If [`try_forward_mut`](Self::try_forward_mut) returns an error.
        pub fn forward_mut<I: __::GridInput<Self, 2, E, D>>(
            &mut self,
            input: I,
        ) -> I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::expect_forward(self.try_forward_mut(input))
        }
        /// Fallible version of [`forward`](Self::forward).
        ///
        /// # Errors
        /// If the batch or an axis is empty; if a mask has another size than its input; or if the device runs out of memory.
        pub fn try_forward<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
        ) -> __::Result<
            I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>,
            __::ForwardError<D::Err>,
        >
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            self.perceiver
                .try_run::<_, __::usize, _>(input.try_tokens()?, __::Beside::nothing())
                .map(I::latents)
        }
        /// Fallible version of [`forward_mut`](Self::forward_mut).
        ///
        /// # Errors
        /// Same as [`try_forward`](Self::try_forward).
        pub fn try_forward_mut<I: __::GridInput<Self, 2, E, D>>(
            &mut self,
            input: I,
        ) -> __::Result<
            I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>,
            __::ForwardError<D::Err>,
        >
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            self.perceiver
                .try_run_mut::<
                    _,
                    __::usize,
                    _,
                >(input.try_tokens()?, __::Beside::nothing())
                .map(I::latents)
        }
        /// Returns the latents after the last layer, `(batch, 512, 512)`, without dropout.
        ///
        /// Takes the same input as [`forward`](Self::forward).
        ///
        /// # Panics
        /// If [`try_embed`](Self::try_embed) returns an error.
        pub fn embed<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
        ) -> I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::expect_forward(self.try_embed(input))
        }
        /// Fallible version of [`embed`](Self::embed).
        ///
        /// # Errors
        /// Same as [`try_forward`](Self::try_forward).
        pub fn try_embed<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
        ) -> __::Result<
            I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>,
            __::ForwardError<D::Err>,
        >
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            self.perceiver.try_run_embed(input.try_tokens()?).map(I::latents)
        }
        /// Returns the cross-attention weights of some `layers`, numbered from 0: for each a tensor
        /// `(batch, CROSS_HEADS, NUM_LATENTS, axis 1, ..)` over the axes of the tokens.
        ///
        /// They say how strongly each latent attends to each token; those of a latent in a head sum to 1. Gradients are not
        /// tracked.
        ///
        /// # Panics
        /// If [`try_attention`](Self::try_attention) returns an error.
        pub fn attention<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
            layers: &[__::usize],
        ) -> __::Vec<
            __::AttentionMap<
                I::Batch,
                { Embedder::CROSS_HEADS },
                { Embedder::NUM_LATENTS },
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                ),
                E,
                D,
            >,
        >
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
            (
                __::Const<8>,
                __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
            ): __::MapAxes<
                I::Batch,
                { Embedder::CROSS_HEADS },
                { Embedder::NUM_LATENTS },
            >,
        {
            __::expect_forward(self.try_attention(input, layers))
        }
        /// Fallible version of [`attention`](Self::attention).
        ///
        /// # Errors
        /// Those of [`try_forward`](Self::try_forward), and if a layer does not begin with a cross attention.
        pub fn try_attention<I: __::GridInput<Self, 2, E, D>>(
            &self,
            input: I,
            layers: &[__::usize],
        ) -> __::Result<
            __::Vec<
                __::AttentionMap<
                    I::Batch,
                    { Embedder::CROSS_HEADS },
                    { Embedder::NUM_LATENTS },
                    (
                        __::Const<8>,
                        __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    ),
                    E,
                    D,
                >,
            >,
            __::ForwardError<D::Err>,
        >
        where
            D: __::Device<E>,
            I::Sizes: __::Shape<
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                    __::Const<1>,
                ),
                Self,
            >,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
            (
                __::Const<8>,
                __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
            ): __::MapAxes<
                I::Batch,
                { Embedder::CROSS_HEADS },
                { Embedder::NUM_LATENTS },
            >,
        {
            __::try_attention::<
                _,
                I::Batch,
                { Embedder::CROSS_HEADS },
                { Embedder::NUM_LATENTS },
                (
                    __::Const<8>,
                    __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                ),
                E,
                D,
                _,
            >(&self.perceiver, input.try_tokens()?, layers)
        }
    }
    impl<E: __::Dtype, D: __::Device<E>, I: __::GridInput<Self, 2, E, D>> __::Module<I>
    for Embedder<E, D>
    where
        I::Sizes: __::Shape<
            (
                __::Const<8>,
                __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                __::Const<1>,
            ),
            Self,
        >,
        I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
    {
        type Output = I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>;
        type Error = D::Err;
        fn try_forward(&self, input: I) -> __::Result<Self::Output, D::Err> {
            Embedder::<E, D>::try_forward(self, input)
                .map_err(__::ForwardError::into_device_error)
        }
        fn forward(&self, input: I) -> Self::Output {
            Embedder::<E, D>::forward(self, input)
        }
    }
    impl<
        E: __::Dtype,
        D: __::Device<E>,
        I: __::GridInput<Self, 2, E, D>,
    > __::ModuleMut<I> for Embedder<E, D>
    where
        I::Sizes: __::Shape<
            (
                __::Const<8>,
                __::Const<{ __::size_at(Embedder::INPUT_SHAPE, 1usize) }>,
                __::Const<1>,
            ),
            Self,
        >,
        I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
    {
        type Output = I::Latents<{ Embedder::NUM_LATENTS }, { Embedder::LATENT_DIM }>;
        type Error = D::Err;
        fn try_forward_mut(&mut self, input: I) -> __::Result<Self::Output, D::Err> {
            Embedder::<E, D>::try_forward_mut(self, input)
                .map_err(__::ForwardError::into_device_error)
        }
        fn forward_mut(&mut self, input: I) -> Self::Output {
            Embedder::<E, D>::forward_mut(self, input)
        }
    }
    __::costs!(
        fixed Embedder, [batch : __::usize], __::Cost::of:: < Embedder > (batch, & [&
        []], 0)
    );
    __::module!(Embedder, Perceiver);
};
