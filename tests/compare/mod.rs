//! Numbers beside those they should be.

/// The largest difference, relative to the largest number that is expected. Infinite if anything found is not a number.
///
/// # Panics
/// If there is another number of them, or nothing but zeros is expected, which nothing can be relative to.
#[track_caller]
pub fn difference(name: &str, found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "how many numbers {name} has");
    // `f64::max` passes over a NaN.
    let largest = |largest: f64, x: f64| {
        if x.is_nan() { f64::INFINITY } else { largest.max(x) }
    };
    let size = expected.iter().map(|x| x.abs()).fold(0.0, largest);
    assert!(size > 0.0 && size.is_finite(), "the largest number expected of {name} is {size}");
    let apart = found.iter().zip(expected).map(|(x, y)| (x - y).abs());
    apart.fold(0.0, largest) / size
}

/// Checks that the [`difference`] is at most `tolerance`.
#[track_caller]
pub fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let apart = difference(name, found, expected);
    assert!(
        apart <= tolerance,
        "{name}: {apart:.1e} of the largest number apart, which is more than {tolerance:e}"
    );
}
