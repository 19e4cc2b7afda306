use perceiver::prelude::*;

perceiver! {
    struct NoChannels { input: Grid { axes: 2 }, depth: 6 }

    struct NoShape { input: Grid { position: Fourier { bands: 6 } }, depth: 6 }
}

fn main() {}
