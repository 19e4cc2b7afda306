//! The sums of products of one tile.

use pulp::Simd;

use super::kernel::{Line, VECTORS};
use super::rounded::Numbers;

/// For so many steps, one cache line of what comes next is prefetched.
const STEPS: usize = 8;

/// The numbers of as many steps of a panel, with the widest vectors.
const WIDEST: usize = STEPS * VECTORS * 16;

/// The products of `H` packed rows with a panel.
#[inline(always)]
pub(super) fn sums<S: Simd, const H: usize>(
    simd: S,
    lhs: &[f32],
    panel: Numbers<'_>,
    next: &[Line],
) -> [[S::f32s; VECTORS]; H] {
    let (lhs, _) = lhs.as_chunks::<H>();
    let panel = match panel {
        Numbers::F32(panel) => panel,
        rounded => return sums_of_rounded(simd, lhs, rounded),
    };
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<VECTORS>();
    let mut next = next.chunks(next.len().div_ceil(panel.len().div_ceil(STEPS).max(1)).max(1));
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; H];
    for (lhs, panel) in lhs.chunks(STEPS).zip(panel.chunks(STEPS)) {
        for line in next.next().unwrap_or_default() {
            prefetch(line);
        }
        sums = add_products(simd, lhs, panel, sums);
    }
    sums
}

/// The products with a panel whose numbers are converted on the way.
#[inline(always)]
fn sums_of_rounded<S: Simd, const H: usize>(
    simd: S,
    lhs: &[[f32; H]],
    panel: Numbers<'_>,
) -> [[S::f32s; VECTORS]; H] {
    let mut wide = [0.0; WIDEST];
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; H];
    let mut start = 0;
    for lhs in lhs.chunks(STEPS) {
        let wide = &mut wide[..lhs.len() * VECTORS * S::F32_LANES];
        panel.part(start, wide.len()).widen::<S>(wide);
        start += wide.len();
        let (panel, _) = S::as_simd_f32s(wide);
        sums = add_products(simd, lhs, panel.as_chunks::<VECTORS>().0, sums);
    }
    sums
}

/// Takes and returns the sums by value, so that they stay in registers.
#[inline(always)]
fn add_products<S: Simd, const H: usize>(
    simd: S,
    lhs: &[[f32; H]],
    panel: &[[S::f32s; VECTORS]],
    mut sums: [[S::f32s; VECTORS]; H],
) -> [[S::f32s; VECTORS]; H] {
    for (lhs, panel) in lhs.iter().zip(panel) {
        for (sums, number) in sums.iter_mut().zip(lhs) {
            let number = simd.splat_f32s(*number);
            for (sum, vector) in sums.iter_mut().zip(panel) {
                *sum = simd.mul_add_e_f32s(number, *vector, *sum);
            }
        }
    }
    sums
}

/// Moves the cache line of the first number, if there is one, closer.
#[inline(always)]
#[allow(unsafe_code)]
pub(super) fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: the instruction is part of all x86-64 processors, reads nothing, and is allowed for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(numbers.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}
