use perceiver::prelude::*;

perceiver! {
    struct Heads {
        family: Transformers, input: Tokens(6), num_latents: 4, latent_dim: 12, cross_heads: 2, latent_heads: 5,
        depth: 1, output: ClassQuery(3),
    }

    struct Tokens {
        family: Transformers,
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 4, max_freq: 8.0 } },
        num_latents: 4, latent_dim: 16, cross_heads: 2, depth: 1, output: ClassQuery(3),
    }

    struct Residual {
        family: Transformers, input: Tokens(8), num_latents: 4, latent_dim: 16, cross_heads: 2, latent_heads: 4,
        qk_channels: 8, depth: 1, output: ClassQuery(3),
    }

    struct Resampler { input: Tokens(1024), depth: 6, queries_contribute_kv: true, latent_dim: 512, output: Latents }
}

fn main() {}
