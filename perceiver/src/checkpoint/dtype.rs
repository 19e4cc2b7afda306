//! The data types that checkpoints support.

use dfdx::shapes::Dtype;
use half::{bf16, f16};
use safetensors::tensor::TensorView;

/// A data type whose tensors can be saved to and loaded from a checkpoint: `f32`, `f64`, and with the feature `f16` also
/// dfdx's `f16` and `AMP<f16>`.
pub trait CheckpointDtype: Dtype {
    /// The data type of the tensors in the file.
    const DTYPE: safetensors::Dtype;

    /// Appends the bytes of `values`, in little-endian order, to `bytes`.
    fn write(values: &[Self], bytes: &mut Vec<u8>);

    /// Returns the values that [`write`](Self::write) has encoded as `bytes`. Bytes at the end that are not a whole value
    /// are ignored.
    fn read(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! checkpoint_dtype {
    ($ty:ty, $dtype:ident, $number:ty, $into:expr, $from:expr) => {
        impl CheckpointDtype for $ty {
            const DTYPE: safetensors::Dtype = safetensors::Dtype::$dtype;

            fn write(values: &[Self], bytes: &mut Vec<u8>) {
                bytes.extend(values.iter().flat_map(|x| <$number>::to_le_bytes($into(*x))));
            }

            fn read(bytes: &[u8]) -> Vec<Self> {
                let (chunks, _) = bytes.as_chunks();
                chunks.iter().map(|x| $from(<$number>::from_le_bytes(*x))).collect()
            }
        }
    };
}

checkpoint_dtype!(f32, F32, f32, |x| x, |x| x);
checkpoint_dtype!(f64, F64, f64, |x| x, |x| x);
#[cfg(feature = "f16")]
checkpoint_dtype!(dfdx::dtypes::f16, F16, dfdx::dtypes::f16, |x| x, |x| x);
#[cfg(feature = "f16")]
checkpoint_dtype!(
    dfdx::dtypes::AMP<dfdx::dtypes::f16>,
    F16,
    dfdx::dtypes::f16,
    |x: Self| x.0,
    dfdx::dtypes::AMP
);

/// Whether numbers of this type can be converted to those of a model.
pub(super) const fn is_float(dtype: safetensors::Dtype) -> bool {
    use safetensors::Dtype::{BF16, F16, F32, F64};
    matches!(dtype, F16 | BF16 | F32 | F64)
}

/// Calls `visit` with each number of a tensor for which [`is_float`] holds; `f64` has all of them.
fn each_number(view: &TensorView<'_>, mut visit: impl FnMut(f64)) {
    let bytes = view.data();
    match view.dtype() {
        safetensors::Dtype::F16 => {
            bytes.as_chunks().0.iter().for_each(|x| visit(f16::from_le_bytes(*x).to_f64()));
        }
        safetensors::Dtype::BF16 => {
            bytes.as_chunks().0.iter().for_each(|x| visit(bf16::from_le_bytes(*x).to_f64()));
        }
        safetensors::Dtype::F32 => {
            bytes.as_chunks().0.iter().for_each(|x| visit(f32::from_le_bytes(*x).into()));
        }
        safetensors::Dtype::F64 => {
            bytes.as_chunks().0.iter().for_each(|x| visit(f64::from_le_bytes(*x)));
        }
        _ => {}
    }
}

/// The numbers of a tensor.
pub(super) fn numbers(view: &TensorView<'_>) -> Vec<f64> {
    let mut numbers = Vec::new();
    each_number(view, |x| numbers.push(x));
    numbers
}

/// The nearest number of the type.
pub(super) fn nearest<E: Dtype>(x: f64) -> E {
    E::from_f64(x).unwrap_or_default()
}

/// The numbers of a tensor, converted if they are of another type.
pub(super) fn read<E: CheckpointDtype>(view: &TensorView<'_>) -> Vec<E> {
    if view.dtype() == E::DTYPE {
        return E::read(view.data());
    }
    let mut numbers = Vec::new();
    each_number(view, |x| numbers.push(nearest(x)));
    numbers
}

/// What becomes of numbers that are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conversion {
    /// All stay as they are.
    Exact,
    /// At least one changes.
    Rounded,
    /// At least one becomes infinite.
    TooLarge,
}

/// What [`read`] does to the numbers of a tensor.
pub(super) fn conversion<E: CheckpointDtype>(view: &TensorView<'_>) -> Conversion {
    let mut all = Conversion::Exact;
    each_number(view, |x| {
        let converted = nearest::<E>(x).to_f64().unwrap_or_default();
        let one = match (x.is_finite(), converted.is_finite()) {
            (true, false) => Conversion::TooLarge,
            _ if x == converted || x.is_nan() => Conversion::Exact,
            _ => Conversion::Rounded,
        };
        all = all.max(one);
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype as Element;

    #[test]
    fn each_type_is_read() {
        let numbers = [1.5, -0.0, 0.1_f32, f32::INFINITY];
        let bytes = |convert: fn(f32) -> Vec<u8>| numbers.into_iter().flat_map(convert).collect();
        let cases: [(_, Vec<u8>, _); 4] = [
            (Element::F16, bytes(|x| f16::from_f32(x).to_le_bytes().into()), 0.099_975_586),
            (Element::BF16, bytes(|x| bf16::from_f32(x).to_le_bytes().into()), 0.100_097_656),
            (Element::F32, bytes(|x| x.to_le_bytes().into()), 0.1),
            (Element::F64, bytes(|x| f64::from(x).to_le_bytes().into()), 0.1),
        ];
        for (dtype, bytes, tenth) in cases {
            let view = TensorView::new(dtype, vec![4], &bytes).unwrap();
            assert_eq!(read::<f32>(&view), [1.5, -0.0, tenth, f32::INFINITY], "{dtype:?}");
            assert_eq!(conversion::<f32>(&view), Conversion::Exact, "{dtype:?}");
        }
    }

    #[test]
    fn what_is_rounded_or_too_large_is_known() {
        let of = |x: f64| {
            let bytes = x.to_le_bytes();
            let view = TensorView::new(Element::F64, vec![1], &bytes).unwrap();
            (read::<f32>(&view)[0], conversion::<f32>(&view))
        };
        assert_eq!(of(0.5), (0.5, Conversion::Exact));
        assert_eq!(of(0.1), (0.1, Conversion::Rounded));
        assert_eq!(of(1e-60), (0.0, Conversion::Rounded));
        assert_eq!(of(1e60).1, Conversion::TooLarge);
        assert_eq!(of(f64::NEG_INFINITY).1, Conversion::Exact);
        assert_eq!(of(f64::NAN).1, Conversion::Exact);
    }
}
