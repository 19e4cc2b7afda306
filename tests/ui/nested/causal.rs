use perceiver::prelude::*;

const SHARE: f64 = 1.5;

perceiver! {
    struct Bytes {
        family: PerceiverAr,
        input: Text { vocab: 256, max_len: 64, dim: 32 },
        latents: Last(16),
        depth: 1,
        output: Embedding,
    }

    // More latents than tokens.
    struct TooMany {
        family: PerceiverAr, input: Text { vocab: 256, max_len: 64, dim: 32 }, latents: Last(128), depth: 1,
        output: Embedding,
    }

    // Heads that do not fit.
    struct Heads {
        family: PerceiverAr, input: Text { vocab: 256, max_len: 64, dim: 36 }, latents: Last(16), cross_heads: 5,
        latent_heads: 4, depth: 1, output: Embedding,
    }

    // Heads with an odd dimension, which cannot be rotated in pairs.
    struct Odd {
        family: PerceiverAr, input: Text { vocab: 256, max_len: 64, dim: 24 }, latents: Last(16), depth: 1,
        output: Embedding,
    }

    struct Rotated {
        family: PerceiverAr, input: Text { vocab: 256, max_len: 64, dim: 32, position: [Rotary(SHARE)] },
        latents: Last(16), depth: 1, output: Embedding,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Bytes, f32>();
    let ids: Tensor<Rank2<1, 20>, usize, Cpu> = dev.zeros();

    // Numbers in place of ids.
    let numbers: Tensor<Rank2<1, 20>, f32, Cpu> = dev.zeros();
    model.forward(numbers);

    // Logits of another vocabulary.
    let logits: Tensor<(Const<1>, usize, Const<255>), f32, Cpu> = model.forward(ids);
}
