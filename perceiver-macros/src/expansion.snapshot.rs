#[allow(unexpected_cfgs)]
const _: () = {
    #[cfg(rust_analyzer)]
    const _: perceiver::__private::Keys = perceiver::__private::Keys {
        input_channels: (),
        num_freq_bands: (),
        max_freq: (),
        depth: (),
        num_classes: (),
        ..perceiver::__private::Keys::NONE
    };
};
/// Reads a handwritten digit.
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct Digits<
    E: perceiver::__private::Dtype = perceiver::__private::f32,
    D: perceiver::__private::Storage<E> = perceiver::__private::Cpu,
> {
    /// The learned latents, `(NUM_LATENTS, LATENT_DIM)`.
    pub latents: perceiver::__private::Tensor<
        perceiver::__private::Rank2<{ Digits::NUM_LATENTS }, { Digits::LATENT_DIM }>,
        E,
        D,
    >,
    /// The layers; with tied weights the last stands for all that follow.
    pub layers: perceiver::__private::Repeated<
        perceiver::__private::Layer<
            { Digits::LATENT_DIM },
            { Digits::INPUT_DIM },
            { Digits::CROSS_HEADS },
            { Digits::CROSS_DIM_HEAD },
            { Digits::LATENT_HEADS },
            { Digits::LATENT_DIM_HEAD },
            { Digits::SELF_PER_CROSS_ATTN },
            E,
            D,
        >,
        { perceiver::__private::stored_layers(Digits::DEPTH, Digits::WEIGHT_TIE_LAYERS) },
    >,
    /// The classifier head.
    pub to_logits: perceiver::__private::ToLogits<
        { Digits::LATENT_DIM },
        { Digits::NUM_CLASSES },
        E,
        D,
    >,
}
impl Digits {
    /// The number of layers, each a cross attention and its self attentions.
    pub const DEPTH: ::core::primitive::usize = 2;
    /// The number of frequency bands of the position encoding, for each axis.
    pub const NUM_FREQ_BANDS: ::core::primitive::usize = 4;
    /// The number of positions along an axis that the position encoding tells apart: its highest frequency is half of it.
    pub const MAX_FREQ: ::core::primitive::f64 = 8.0;
    /// The number of channels of a position of the input.
    pub const INPUT_CHANNELS: ::core::primitive::usize = 1;
    /// The number of axes of the input: 1 for a sequence, 2 for an image, 3 for a video; at most 4.
    pub const INPUT_AXIS: ::core::primitive::usize = 2;
    /// The sizes of all axes and the channels, `[224, 224, 3]`, in place of `input_axis` and `input_channels`.
    pub const INPUT_SHAPE: ::core::option::Option<
        [::core::primitive::usize; Self::INPUT_AXIS + 1],
    > = ::core::option::Option::None;
    /// The number of latents.
    pub const NUM_LATENTS: ::core::primitive::usize = 512;
    /// The width of a latent.
    pub const LATENT_DIM: ::core::primitive::usize = 512;
    /// The number of heads of the cross attentions.
    pub const CROSS_HEADS: ::core::primitive::usize = 1;
    /// The number of heads of the self attentions.
    pub const LATENT_HEADS: ::core::primitive::usize = 8;
    /// The width of a head of the cross attentions.
    pub const CROSS_DIM_HEAD: ::core::primitive::usize = 64;
    /// The width of a head of the self attentions.
    pub const LATENT_DIM_HEAD: ::core::primitive::usize = 64;
    /// The number of logits.
    pub const NUM_CLASSES: ::core::primitive::usize = {
        use perceiver::__private::ranges as __ranges;
        type __Value = __ranges::Count<{ labels::COUNT }>;
        let () = <&__ranges::InRange<
            { __ranges::count(__Value::VALUE, 268435456) },
        > as __ranges::NumClasses<{ __Value::VALUE }>>::HOLDS;
        __Value::VALUE
    };
    /// The probability with which training drops an attention weight.
    pub const ATTN_DROPOUT: ::core::primitive::f64 = 0.0;
    /// The probability with which training drops a value of a feed-forward.
    pub const FF_DROPOUT: ::core::primitive::f64 = 0.0;
    /// The base of logarithmically spaced frequency bands, as in the TensorFlow package; absent, the bands are linearly spaced, as in the paper.
    pub const FREQ_BASE: ::core::option::Option<::core::primitive::f64> = ::core::option::Option::None;
    /// Whether all layers but the first share one set of weights.
    pub const WEIGHT_TIE_LAYERS: ::core::primitive::bool = false;
    /// Whether the position encoding is appended to the input.
    pub const FOURIER_ENCODE_DATA: ::core::primitive::bool = true;
    /// The number of self attentions after each cross attention.
    pub const SELF_PER_CROSS_ATTN: ::core::primitive::usize = 1;
    /// Whether `forward` gives logits; without, it gives the latents.
    pub const FINAL_CLASSIFIER_HEAD: ::core::primitive::bool = true;
    /// Whether the latents compete for each token (softmax over the latents).
    pub const INVERTED_CROSS_ATTN: ::core::primitive::bool = false;
}
const _: () = {
    use perceiver::__private as __;
    impl Digits {
        /// The width of a token: its channels and its position encoding.
        pub const INPUT_DIM: __::usize = __::input_dim(
            Digits::INPUT_CHANNELS,
            Digits::INPUT_AXIS,
            Digits::NUM_FREQ_BANDS,
            Digits::FOURIER_ENCODE_DATA,
        );
        /// The number of trainable parameters.
        pub const PARAMETERS: __::usize = Digits::NUM_LATENTS * Digits::LATENT_DIM
            + __::stored_layers(Digits::DEPTH, Digits::WEIGHT_TIE_LAYERS)
                * __::Layer::<
                    { Digits::LATENT_DIM },
                    { Digits::INPUT_DIM },
                    { Digits::CROSS_HEADS },
                    { Digits::CROSS_DIM_HEAD },
                    { Digits::LATENT_HEADS },
                    { Digits::LATENT_DIM_HEAD },
                    { Digits::SELF_PER_CROSS_ATTN },
                    __::f32,
                    __::Cpu,
                >::PARAMETERS
            + __::ToLogits::<
                { Digits::LATENT_DIM },
                { Digits::NUM_CLASSES },
                __::f32,
                __::Cpu,
            >::PARAMETERS;
    }
    impl<E: __::Dtype, D: __::Storage<E>> Digits<E, D> {
        /// Gives the logits, `(batch, NUM_CLASSES)`. Drops nothing.
        ///
        /// Takes a tensor `(batch, axis 1, axis 2, 1)`, or a pair of one and a `bool` mask `(batch, axis 1, axis 2)`, true where a position may be attended to.
        ///
        /// # Panics
        /// Where [`try_forward`](Self::try_forward) gives an error.
        pub fn forward<I: __::Input2<Self, E, D>>(
            &self,
            input: I,
        ) -> I::Logits<{ Digits::NUM_CLASSES }>
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::or_panic(self.try_forward(input))
        }
        /// [`forward`](Self::forward), but drops values as declared if the input has a tape.
        ///
        /// # Panics
        /// Where [`try_forward_mut`](Self::try_forward_mut) gives an error.
        pub fn forward_mut<I: __::Input2<Self, E, D>>(
            &mut self,
            input: I,
        ) -> I::Logits<{ Digits::NUM_CLASSES }>
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::or_panic(self.try_forward_mut(input))
        }
        /// [`forward`](Self::forward), or why not.
        ///
        /// # Errors
        /// If the batch or an axis is empty, a mask does not lie over the input, or the device runs
        /// out of memory.
        pub fn try_forward<I: __::Input2<Self, E, D>>(
            &self,
            input: I,
        ) -> __::Result<I::Logits<{ Digits::NUM_CLASSES }>, __::ForwardError<D::Err>>
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            let latents = run(self, input, __::Dropout::NONE)?;
            __::Ok(I::logits(__::Module::try_forward(&self.to_logits, latents)?))
        }
        /// [`forward_mut`](Self::forward_mut), or why not.
        ///
        /// # Errors
        /// As [`try_forward`](Self::try_forward).
        pub fn try_forward_mut<I: __::Input2<Self, E, D>>(
            &mut self,
            input: I,
        ) -> __::Result<I::Logits<{ Digits::NUM_CLASSES }>, __::ForwardError<D::Err>>
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            let dropout = __::Dropout {
                attention: Digits::ATTN_DROPOUT,
                feed_forward: Digits::FF_DROPOUT,
            };
            let latents = run(self, input, dropout)?;
            __::Ok(I::logits(__::Module::try_forward(&self.to_logits, latents)?))
        }
        /// Gives the latents behind the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, of what
        /// [`forward`](Self::forward) takes. Drops nothing.
        ///
        /// # Panics
        /// Where [`try_embed`](Self::try_embed) gives an error.
        pub fn embed<I: __::Input2<Self, E, D>>(
            &self,
            input: I,
        ) -> I::Latents<{ Digits::NUM_LATENTS }, { Digits::LATENT_DIM }>
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::or_panic(self.try_embed(input))
        }
        /// [`embed`](Self::embed), or why not.
        ///
        /// # Errors
        /// As [`try_forward`](Self::try_forward).
        pub fn try_embed<I: __::Input2<Self, E, D>>(
            &self,
            input: I,
        ) -> __::Result<
            I::Latents<{ Digits::NUM_LATENTS }, { Digits::LATENT_DIM }>,
            __::ForwardError<D::Err>,
        >
        where
            D: __::Device<E>,
            <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
            I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
        {
            __::Ok(I::latents(run(self, input, __::Dropout::NONE)?))
        }
    }
    impl<E: __::Dtype, D: __::Device<E>> Digits<E, D> {
        /// The parts of the model with their shapes and parameters, to be printed.
        #[must_use]
        pub fn summary(&self) -> __::Summary {
            __::Summary::of(::core::stringify!(Digits), self)
        }
        /// Writes the parameters to a safetensors file, under the names they have in the PyTorch
        /// reference's `state_dict`. The file is either written whole or left as it was.
        ///
        /// # Errors
        /// If the file cannot be written.
        pub fn save_checkpoint(
            &self,
            path: impl __::AsRef<__::Path>,
        ) -> __::Result<(), __::CheckpointError>
        where
            E: __::CheckpointDtype,
        {
            __::checkpoint::save(self, Digits::DEPTH, __::AsRef::as_ref(&path))
        }
        /// Reads the parameters from a safetensors file, as `save_checkpoint` or PyTorch writes it.
        ///
        /// # Errors
        /// If the file cannot be read, or its tensors are not this model's. The model is then as it
        /// was before.
        pub fn load_checkpoint(
            &mut self,
            path: impl __::AsRef<__::Path>,
        ) -> __::Result<(), __::CheckpointError>
        where
            E: __::CheckpointDtype,
        {
            __::checkpoint::load(self, Digits::DEPTH, __::AsRef::as_ref(&path))
        }
    }
    /// From the input to the latents behind the last layer.
    fn run<E: __::Dtype, D: __::Device<E>, I: __::Input2<Digits<E, D>, E, D>>(
        model: &Digits<E, D>,
        input: I,
        dropout: __::Dropout,
    ) -> __::Result<
        __::Latents<
            I::Batch,
            { Digits::NUM_LATENTS },
            { Digits::LATENT_DIM },
            E,
            D,
            I::Tape,
        >,
        __::ForwardError<D::Err>,
    >
    where
        <I::Sizes as __::Sizes>::Channels: __::Channels<1, Digits<E, D>>,
        I::Positions: __::MaskedBy<I::Mask, Digits<E, D>, E, D>,
    {
        let tokens = input.try_tokens()?;
        let features = __::FourierFeatures::<
            { Digits::INPUT_CHANNELS },
            { Digits::INPUT_AXIS },
            { Digits::NUM_FREQ_BANDS },
            { Digits::INPUT_DIM },
        >::declared(Digits::MAX_FREQ, Digits::FREQ_BASE);
        let context = __::FourierFeatures::try_context(
            &features,
            tokens,
            Digits::INVERTED_CROSS_ATTN,
            dropout,
        )?;
        __::try_iterate(
                &model.latents,
                &model.layers.modules,
                Digits::DEPTH,
                context,
                Digits::INVERTED_CROSS_ATTN,
                dropout,
            )
            .map_err(__::ForwardError::Device)
    }
    impl<E: __::Dtype, D: __::Device<E>, I: __::Input2<Self, E, D>> __::Module<I>
    for Digits<E, D>
    where
        <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
        I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
    {
        type Output = I::Logits<{ Digits::NUM_CLASSES }>;
        type Error = D::Err;
        fn try_forward(&self, input: I) -> __::Result<Self::Output, D::Err> {
            Digits::<E, D>::try_forward(self, input)
                .map_err(__::ForwardError::into_device_error::<E, D>)
        }
    }
    impl<E: __::Dtype, D: __::Device<E>, I: __::Input2<Self, E, D>> __::ModuleMut<I>
    for Digits<E, D>
    where
        <I::Sizes as __::Sizes>::Channels: __::Channels<1, Self>,
        I::Positions: __::MaskedBy<I::Mask, Self, E, D>,
    {
        type Output = I::Logits<{ Digits::NUM_CLASSES }>;
        type Error = D::Err;
        fn try_forward_mut(&mut self, input: I) -> __::Result<Self::Output, D::Err> {
            Digits::<E, D>::try_forward_mut(self, input)
                .map_err(__::ForwardError::into_device_error::<E, D>)
        }
    }
    impl<E: __::Dtype, D: __::TensorDevice<E>> __::TensorCollection<E, D>
    for Digits<E, D> {
        type To<E2: __::Dtype, D2: __::TensorDevice<E2>> = Digits<E2, D2>;
        fn iter_tensors<V: __::ModuleVisitor<Self, E, D>>(
            visitor: &mut V,
        ) -> __::Result<__::Option<Self::To<V::E2, V::D2>>, V::Err> {
            visitor
                .visit_fields(
                    (
                        <Self as __::TensorCollection<
                            E,
                            D,
                        >>::tensor(
                            "latents",
                            |s| &s.latents,
                            |s| &mut s.latents,
                            __::TensorOptions::reset_with(__::reset_to_normal),
                        ),
                        <Self as __::TensorCollection<
                            E,
                            D,
                        >>::module("layers", |s| &s.layers, |s| &mut s.layers),
                        <Self as __::TensorCollection<
                            E,
                            D,
                        >>::module("to_logits", |s| &s.to_logits, |s| &mut s.to_logits),
                    ),
                    |(latents, layers, to_logits)| Digits {
                        latents,
                        layers,
                        to_logits,
                    },
                )
        }
    }
    impl<
        E: __::Dtype,
        D: __::Storage<E>,
        E2: __::Dtype,
        D2: __::TensorDevice<E2>,
    > __::BuildOnDevice<D2, E2> for Digits<E, D> {
        type Built = Digits<E2, D2>;
    }
};
