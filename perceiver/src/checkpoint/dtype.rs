//! The data types that checkpoints support.

use dfdx::shapes::Dtype;

/// A data type whose tensors can be saved to and loaded from a checkpoint.
pub trait CheckpointDtype: Dtype {
    /// The data type in the file.
    const DTYPE: safetensors::Dtype;

    /// Appends `values` to `bytes` in little-endian order.
    fn write(values: &[Self], bytes: &mut Vec<u8>);

    /// Decodes values written by [`write`](Self::write).
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
