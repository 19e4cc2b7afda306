//! Declarations of published models, which load their published checkpoints unchanged.
//!
//! All are [Perceiver IO](https://arxiv.org/abs/2107.14795) models of Hugging Face's Transformers, named here by their
//! repositories on Hugging Face. To fine-tune one of them on a task of your own, copy its declaration, change the output,
//! and load its checkpoint with [`LoadOptions::partial`](crate::checkpoint::LoadOptions::partial).
//!
//! ```no_run
//! use perceiver::prelude::*;
//! use perceiver::presets::VisionFourier;
//!
//! let dev = Cpu::default();
//! let mut model = dev.build_module::<VisionFourier, f32>();
//! // From <https://huggingface.co/deepmind/vision-perceiver-fourier>, revision `refs/pr/1`.
//! model.load_checkpoint("model.safetensors")?;
//!
//! let images: Tensor<Rank4<1, 224, 224, 3>, f32, _> = dev.sample_normal();
//! let logits: Tensor<Rank2<1, 1000>, f32, _> = model.forward(images);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::perceiver;

perceiver! {
    /// `deepmind/vision-perceiver-fourier`: classifies images of 224 × 224 pixels into the 1,000 classes of ImageNet, from
    /// pixels and Fourier features of their positions; 48,440,627 parameters (Perceiver IO, table 7).
    ///
    /// Pixels are normalized as by `PerceiverImageProcessor`: RGB in `[0, 1]`, minus `(0.485, 0.456, 0.406)`, divided by
    /// `(0.229, 0.224, 0.225)`.
    pub struct VisionFourier {
        family: Transformers,
        input: Grid { shape: [224, 224, 3], position: Fourier { bands: 64, max_freq: [224.0, 224.0] } },
        num_latents: 512,
        latent_dim: 1024,
        cross_heads: 1,
        depth: 8,
        self_per_cross_attn: 6,
        output: ClassQuery(1000),
    }
}

perceiver! {
    /// `deepmind/vision-perceiver-learned`: classifies images as [`VisionFourier`] does, but from pixels and learned
    /// positions, without knowledge of the image's two dimensions; 62,255,848 parameters.
    ///
    /// Pixels are normalized as for [`VisionFourier`].
    pub struct VisionLearned {
        family: Transformers,
        input: Grid {
            shape: [224, 224, 3],
            stem: [Linear(256)],
            position: Learned { channels: 256, project: 256 },
        },
        num_latents: 512,
        latent_dim: 1024,
        cross_heads: 1,
        depth: 8,
        self_per_cross_attn: 6,
        output: ClassQuery(1000),
    }
}

perceiver! {
    /// `deepmind/language-perceiver`: fills in masked bytes of text; 201,108,230 parameters (Perceiver IO, section 4.1).
    ///
    /// It returns the logits of all 2,048 positions, however many ids it is given. An id is a byte of UTF-8 plus 6; below
    /// are the special ids of `PerceiverTokenizer`: 0 is padding, 3 a masked byte, 4 the start and 5 the end of a text. As
    /// in Transformers, pad texts to 2,048 ids, and pass a mask that is false at the padding.
    pub struct Language {
        family: Transformers,
        input: Text { vocab: 262, max_len: 2048, dim: 768 },
        num_latents: 256,
        latent_dim: 1280,
        qk_channels: 256,
        v_channels: 1280,
        depth: 1,
        self_per_cross_attn: 26,
        output: Queries {
            queries: Learned([2048, 768]),
            heads: 8,
            qk_channels: 256,
            v_channels: 768,
            project: Embedding,
        },
    }
}

perceiver! {
    /// `deepmind/optical-flow-perceiver`: estimates the motion of each pixel between two frames of 368 × 496 pixels;
    /// 41,057,134 parameters (Perceiver IO, section 4.2).
    ///
    /// The 27 numbers at each pixel of each frame are the 3 × 3 pixels around it, in the order row, column, colour, of
    /// frames scaled to `[-1, 1]` and padded with zeros. The output times 20 is the motion to the right and down, in
    /// pixels.
    pub struct Flow {
        family: Transformers,
        input: Grid {
            shape: [2, 368, 496, 27],
            stem: [Patches([2, 1, 1]), Linear(64)],
            position: Fourier { bands: 64, max_freq: [368.0, 496.0] },
        },
        num_latents: 2048,
        latent_dim: 512,
        cross_heads: 1,
        latent_heads: 16,
        depth: 1,
        self_per_cross_attn: 24,
        output: Queries {
            queries: Input,
            qk_channels: 512,
            v_channels: 512,
            project: 2,
            scale: 0.01,
        },
    }
}

perceiver! {
    /// `deepmind/multimodal-perceiver`: reconstructs a video with its sound from 784 latents, and classifies it into the 700
    /// classes of Kinetics; 19,858,855 parameters (Perceiver IO, section 4.3).
    ///
    /// Takes a [`VideoInput`]: `audio`, `(batch, 30720, 1)`, which is 1,920 samples of sound for each frame; `image`, 16
    /// frames, `(batch, 16, 224, 224, 3)`; and `label`, `(batch, 700)`, which is always masked, so that any numbers do.
    /// Returns a [`VideoOutput`]: `audio`, `(batch, 1920, 16)`, in patches of 16 samples; `image`, of the same shape as the
    /// input; and `label`, the logits `(batch, 1, 700)`. `forward_at` computes only some of the pixels and samples, in
    /// memory that depends on their number.
    pub struct Video {
        family: Transformers,
        input: Modalities {
            audio: Grid {
                shape: [30720, 1],
                stem: [Patches([16])],
                position: Fourier { bands: 192, max_freq: [30720.0] },
            },
            image: Grid {
                shape: [16, 224, 224, 3],
                stem: [Patches([1, 4, 4])],
                position: Fourier { bands: 32, max_freq: [16.0, 224.0, 224.0] },
            },
            label: OneHot { classes: 700, mask: 1.0 },
        },
        input_padding: 4,
        num_latents: 784,
        latent_dim: 512,
        cross_heads: 1,
        depth: 1,
        self_per_cross_attn: 8,
        output: Modalities {
            audio: Queries {
                queries: Grid {
                    shape: [1920],
                    position: Fourier { bands: 192, max_freq: [30720.0], endpoint: false },
                },
                project: 16,
            },
            image: Queries {
                queries: Grid {
                    shape: [16, 224, 224],
                    position: Fourier { bands: 32, max_freq: [16.0, 224.0, 224.0], endpoint: false },
                },
                project: 3,
            },
            label: Queries { queries: Learned([1, 1024]), project: 700 },
        },
        output_padding: 2,
        output_dim: 512,
    }
}

perceiver! {
    /// `deepmind/vision-perceiver-conv`: classifies images as [`VisionFourier`] does, but after a convolution and pooling;
    /// 48,646,522 parameters.
    ///
    /// Pixels are normalized as for [`VisionFourier`].
    pub struct VisionConv {
        family: Transformers,
        input: Grid {
            shape: [224, 224, 3],
            stem: [ConvPool(64)],
            position: Fourier { bands: 64, max_freq: [56.0, 56.0] },
        },
        num_latents: 512,
        latent_dim: 1024,
        cross_heads: 1,
        depth: 8,
        self_per_cross_attn: 6,
        output: ClassQuery(1000),
    }
}
