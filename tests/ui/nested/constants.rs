use perceiver::prelude::*;

const WIDTH: usize = 0;
const BANDS: usize = 5000;
const RATES: [f64; 2] = [8.0, -8.0];

perceiver! {
    struct Model {
        input: Grid { shape: [8, WIDTH, 3], position: Fourier { bands: BANDS, max_freq: [RATES[0], RATES[1]] } },
        depth: 6,
        output: MeanPool(1 + WIDTH - WIDTH),
    }
}

fn main() {
    assert!(Model::PARAMETERS > 0);
}
