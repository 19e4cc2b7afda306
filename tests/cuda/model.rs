//! The README's model on the CPU and on the GPU, and a small one, which runs in the emulator too.

use perceiver::cuda::CudaDeviceError;
use perceiver::prelude::*;

use crate::compare::assert_close;
use crate::gpu;

perceiver! {
    /// The README's model: 45,187,140 parameters.
    pub struct ImageNet {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        num_classes: 1000,
    }

    /// The same with smaller numbers.
    pub struct Small {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        num_classes: 10,
    }
}

/// A batch of RGB images.
pub type Images<E, D, T = NoneTape> = Tensor<(usize, usize, usize, Const<3>), E, D, T>;

/// Random images.
pub fn images(cpu: &Cpu, batch: usize, height: usize, width: usize) -> Images<f32, Cpu> {
    cpu.sample_normal_like(&(batch, height, width, Const))
}

fn numbers<S: Shape, D: Device<f32>>(tensor: &Tensor<S, f32, D>) -> Vec<f64> {
    tensor.as_vec().into_iter().map(f64::from).collect()
}

macro_rules! tests {
    ($name:ident, $Model:ident, $last:literal, $large:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn cpu_and_gpu_agree() {
                let gpu = gpu();
                let cpu = Cpu::seed_from_u64(1);
                let on_cpu = cpu.build_module::<$Model, f32>();
                let on_gpu = on_cpu.to_device(&*gpu);
                for (batch, height, width) in [(2, 24, 20), $large] {
                    let images = images(&cpu, batch, height, width);
                    let expected = numbers(&on_cpu.forward(images.clone()));
                    let found = numbers(&on_gpu.forward(images.to_device(&*gpu)));
                    assert_close("logits", &found, &expected, 1e-3);
                }
            }

            #[test]
            fn cpu_and_gpu_agree_on_gradients() {
                fn gradients<D: Device<f32>>(
                    model: &$Model<f32, D>,
                    images: Images<f32, D>,
                ) -> [Vec<f64>; 3] {
                    let loss = model.forward(images.leaky_trace()).square().sum();
                    let gradients = loss.backward();
                    let layers = model.layers.view();
                    let to_kv = layers[$last].cross.as_ref().unwrap().attention.to_kv.weight;
                    [
                        numbers(&gradients.get(&model.latents)),
                        numbers(&gradients.get(&images)),
                        numbers(&gradients.get(to_kv.tensor())),
                    ]
                }
                let gpu = gpu();
                let cpu = Cpu::seed_from_u64(2);
                let on_cpu = cpu.build_module::<$Model, f32>();
                let images = images(&cpu, 2, 24, 20);
                let found = gradients(&on_cpu.to_device(&*gpu), images.to_device(&*gpu));
                let expected = gradients(&on_cpu, images);
                for (name, (found, expected)) in
                    ["latents", "images", "to_kv"].iter().zip(found.iter().zip(&expected))
                {
                    assert_close(name, found, expected, 1e-3);
                }
            }
        }
    };
}

tests!(full_size, ImageNet, 5, (1, 224, 224));
tests!(small, Small, 1, (1, 40, 30));

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    drop(gpu());
    let error = perceiver::cuda::device(1000).unwrap_err();
    let CudaDeviceError::NoSuchDevice { ordinal, found } = &error else {
        panic!("{error}");
    };
    assert_eq!(*ordinal, 1000);
    assert_eq!(*found, perceiver::cuda::count().unwrap());
    assert!(error.to_string().contains("there is no GPU 1000"), "{error}");
}
