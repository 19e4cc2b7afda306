//! The expansion depends on nothing that its surroundings could have changed, and no lint of theirs has
//! anything to say about it.
#![deny(
    missing_docs,
    unsafe_code,
    unused,
    clippy::pedantic,
    missing_debug_implementations,
    unreachable_pub,
    non_local_definitions
)]
#![no_implicit_prelude]

/// Names that an expansion might think it knows.
mod shadows {
    #![allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code)]

    pub(crate) struct Option;
    pub(crate) struct Result;
    pub(crate) struct Vec;
    pub(crate) struct String;
    pub(crate) struct Tensor;
    pub(crate) struct Module;
    pub(crate) struct Cpu;
    pub(crate) struct usize;
    pub(crate) struct f64;
    pub(crate) struct bool;
    pub(crate) struct Some;
    pub(crate) struct Ok;
    pub(crate) trait Clone {}
    pub(crate) trait Debug {}
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod perceiver {}

    ::perceiver::perceiver! {
        /// Among the shadows.
        pub(crate) struct Shadowed {
            depth: 1,
            num_freq_bands: 2,
            max_freq: 4.0,
            num_latents: 2,
            latent_dim: 4,
            freq_base: 2.0,
        }
    }
}

mod private {
    ::perceiver::perceiver! {
        struct First { depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4 }
    }
    ::perceiver::perceiver! {
        /// A second one in the same file, with a raw name and a raw key.
        #[derive(Clone, ::std::fmt::Debug)]
        #[allow(non_camel_case_types)]
        pub(super) struct r#yield {
            r#depth: 1,
            /// Documentation of a key.
            num_freq_bands: 2,
            max_freq: 4.0,
            input_shape: [3, 4],
            num_latents: 2,
            latent_dim: 4,
        }
    }
    ::perceiver::perceiver! {
        /// Several inputs and outputs, with names that the expansion may use as well.
        pub struct Several {
            input: Modalities {
                tokens: Tokens(SIZE), r#type: Grid { shape: [SIZE, 3, 2] }, input: Text { vocab: 9, max_len: 8, dim: SIZE },
                e: OneHot { classes: SIZE, mask: RATE },
            },
            depth: 1, num_latents: 2, latent_dim: 4,
            output: Modalities {
                /// Documentation of an output.
                outputs: Queries { queries: Learned([SIZE, 3]), project: SIZE },
                r#match: Queries {
                    queries: Grid { shape: [SIZE, 2], position: Fourier { bands: SIZE, max_freq: RATE, base: 2.0 } },
                },
            },
            output_dim: SIZE,
        }
    }
    const SIZE: ::core::primitive::usize = 4;
    const RATE: ::core::primitive::f64 = 0.5;
    #[allow(dead_code)]
    struct I0;

    pub(super) const PARAMETERS: usize = First::PARAMETERS;
    use ::std::clone::Clone;
}

::perceiver::perceiver! {
    #[cfg(any())]
    pub struct ConfiguredAway { depth: 1, num_freq_bands: 2, max_freq: 4.0 }
}

::perceiver::perceiver! {
    /// A model that nobody should use may be declared.
    #[deprecated]
    pub struct Deprecated {
        depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4,
        final_classifier_head: false,
    }
}

/// Values are whatever constant expressions are, whatever they are called.
mod values {
    #![allow(non_upper_case_globals)]

    use ::core::primitive::usize;

    const value: usize = 3;
    const depth: usize = 2;
    const fn max(a: usize, b: usize) -> usize {
        if a > b { a } else { b }
    }
    const fn size<const A: usize, const B: usize>() -> usize {
        A * B
    }

    ::perceiver::perceiver! {
        pub(crate) struct Values {
            depth: depth,
            num_freq_bands: "don't".len(),
            max_freq: [4.0, 8.0][Self::DEPTH - 1],
            input_shape: [value, Self::DEPTH + 1, if value == 3 { 4 } else { 5 }],
            num_latents: max(Self::DEPTH, 8),
            latent_dim: size::<2, 8>(),
            latent_heads: {
                struct Heads;
                impl Heads {
                    const COUNT: usize = Self::ONE * 2;
                    const ONE: usize = 1;
                }
                Heads::COUNT
            },
            cross_heads: ::core::stringify!(a).len(),
            attn_dropout: 0.1_f64,
            freq_base: { 2.0 },
            inverted_cross_attn: Self::DEPTH > 5,
        }
    }
}

/// A model can be called like what it is made of.
mod namesakes {
    ::perceiver::perceiver! {
        pub(crate) struct Layer { depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4 }
    }
    ::perceiver::perceiver! {
        pub(crate) struct Tensor { depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4 }
    }
    ::perceiver::perceiver! {
        pub(crate) struct Latents { depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4 }
    }
}

#[test]
fn is_what_it_says_it_is() {
    use ::perceiver::prelude::*;
    use ::std::clone::Clone;
    use ::std::option::Option::Some;

    ::perceiver::perceiver! {
        struct Local { depth: 1, num_freq_bands: 2, max_freq: 4.0, num_latents: 2, latent_dim: 4 }
    }
    ::std::assert_eq!(Local::PARAMETERS, private::PARAMETERS);
    ::std::assert_eq!(Local::PARAMETERS, shadows::Shadowed::PARAMETERS);
    ::std::assert_eq!(private::r#yield::INPUT_DIM, 4 + 5);
    ::std::assert_eq!(values::Values::INPUT_SHAPE, Some([3, 3, 4]));
    ::std::assert_eq!((values::Values::NUM_LATENTS, values::Values::LATENT_DIM), (8, 16));
    ::std::assert_eq!((values::Values::LATENT_HEADS, values::Values::CROSS_HEADS), (2, 1));
    ::std::assert_eq!(Local::PARAMETERS, namesakes::Layer::PARAMETERS);
    ::std::assert_eq!(Local::PARAMETERS, namesakes::Tensor::PARAMETERS);
    ::std::assert_eq!(Local::PARAMETERS, namesakes::Latents::PARAMETERS);

    let dev = Cpu::seed_from_u64(0);
    let local = dev.build_module::<Local, f32>();
    let raw = dev.build_module::<private::r#yield, f32>();
    let shadowed = dev.build_module::<shadows::Shadowed, f32>();
    let image: Tensor<Rank4<1, 2, 2, 3>, f32, _> = dev.zeros();
    let line: Tensor<Rank3<1, 3, 4>, f32, _> = dev.zeros();
    ::std::assert_eq!(local.forward(image.clone()).as_vec().len(), 1000);
    ::std::assert_eq!(shadowed.embed(image).as_vec().len(), 8);
    ::std::assert_eq!(raw.forward(line).as_vec().len(), 1000);
}
