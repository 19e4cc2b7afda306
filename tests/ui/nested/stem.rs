use perceiver::prelude::*;

const FRAMES: usize = 2;
const NONE: usize = 0;

perceiver! {
    struct Divides {
        input: Grid { shape: [224, 224, 3], stem: [Patches([16, 15])] }, depth: 1, output: Latents,
    }

    struct Axes {
        input: Grid { shape: [224, 224, 3], stem: [Patches([4])] }, depth: 1, output: Latents,
    }

    struct Open {
        input: Grid { axes: 2, channels: 3, stem: [Patches([4, 4])] }, depth: 1, output: Latents,
    }

    struct Learned {
        input: Grid { axes: 2, channels: 3, position: Learned { channels: 64 } }, depth: 1, output: Latents,
    }

    struct Unknown {
        input: Grid { shape: [224, 224, 3], stem: [Conv(64)] }, depth: 1, output: Latents,
    }

    struct OneStep {
        input: Grid { shape: [224, 224, 3], stem: Linear(64) }, depth: 1, output: Latents,
    }

    struct Frequencies {
        input: Grid {
            shape: [2, 368, 496, 27], stem: [Patches([2, 1, 1])],
            position: Fourier { bands: 4, max_freq: [2.0, 368.0, 496.0] },
        },
        depth: 1,
        output: Latents,
    }

    struct Constant {
        input: Grid { shape: [FRAMES, 8, 3], stem: [Patches([2, 1])] }, depth: 1, output: Latents,
    }
}

perceiver! {
    struct Width {
        input: Grid { shape: [8, 8, 3], stem: [Linear(NONE)] }, depth: 1, output: Latents,
    }
}

fn main() {}
