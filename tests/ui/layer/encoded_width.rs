use perceiver::position::FourierFeatures;

fn main() {
    // 3 + 2 * (2 * 6 + 1) is 29.
    let _ = FourierFeatures::<3, 2, 6, 30>::linear(10.0);
}
