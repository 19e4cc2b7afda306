//! What is dropped, place by place.
//!
//! With the largest probability there is, everything is dropped, so a pass that drops is that of a model which has zeros
//! where dropout acts. To see one place alone, the other branches of the model add nothing.
//! One number in a million is kept, and then a million times as large: should a change to what is drawn when hit one of
//! these few thousand, another seed is as good.

mod compare;

use std::collections::BTreeMap;
use std::fs;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;
use compare::{assert_close, difference};
use perceiver::prelude::*;
use tempfile::NamedTempFile;

/// A branch of a layer: what is added to the latents.
#[derive(Clone, Copy, PartialEq)]
enum Branch {
    CrossAttention,
    CrossFeedForward,
    SelfAttention,
    SelfFeedForward,
}

use Branch::{CrossAttention, CrossFeedForward, SelfAttention, SelfFeedForward};

const BRANCHES: [Branch; 4] = [CrossAttention, CrossFeedForward, SelfAttention, SelfFeedForward];

impl Branch {
    /// The branch that a tensor of a checkpoint is the last of.
    fn of_last(name: &str) -> Option<Branch> {
        let within = name.strip_prefix("layers.")?.split_once('.')?.1;
        let branch = match within.split('.').collect::<Vec<_>>()[..] {
            ["cross_attn", "fn", "to_out", _] => CrossAttention,
            ["cross_ff", "fn", "net", "2", _] => CrossFeedForward,
            ["self_attns", _, "0", "fn", "to_out", _] => SelfAttention,
            ["self_attns", _, "1", "fn", "net", "2", _] => SelfFeedForward,
            _ => return None,
        };
        Some(branch)
    }

    /// Whether nothing is left of this tensor when all that the branch drops is dropped. Attention drops weights, which
    /// leaves the last bias; a feed-forward drops what it gives.
    fn drops(self, name: &str) -> bool {
        let is_attention = matches!(self, CrossAttention | SelfAttention);
        Branch::of_last(name) == Some(self) && !(is_attention && name.ends_with(".bias"))
    }
}

/// Sets tensors of a checkpoint to zeros; gives how many.
fn zero(file: &NamedTempFile, is_zero: impl Fn(&str) -> bool) -> usize {
    let bytes = fs::read(file.path()).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = tensors.iter().map(|(name, tensor)| {
        let mut data = tensor.data().to_vec();
        if is_zero(name) {
            data.fill(0);
        }
        (name, (tensor.dtype(), tensor.shape().to_vec(), data))
    });
    let tensors: BTreeMap<_, _> = tensors.collect();
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        let view = TensorView::new(*dtype, shape.clone(), data);
        (name, view.unwrap())
    });
    ::safetensors::serialize_to_file(views, None, file.path()).unwrap();
    tensors.keys().filter(|name| is_zero(name)).count()
}

fn numbers<S: Shape, E: Dtype, T>(tensor: &Tensor<S, E, Cpu, T>) -> Vec<f64>
where
    Cpu: Device<E>,
{
    let numbers = tensor.as_vec();
    numbers.iter().map(|x| x.to_f64().unwrap()).collect()
}

/// Tests of a model: one for each branch that drops, and one for all of them.
macro_rules! tests {
    (
        $(#[$doc:meta])*
        $name:ident, { $($declaration:tt)* }, ($($size:literal),*),
        $($test:ident: $branch:ident),+
    ) => {
        $(#[$doc])*
        mod $name {
            use super::*;

            perceiver! {
                struct Model {
                    $($declaration)*
                    depth: 2,
                    latent_dim: 12,
                    latent_heads: 2,
                    latent_dim_head: 4,
                    self_per_cross_attn: 2,
                    final_classifier_head: false,
                }
            }

            const DROPPED: &[Branch] = &[$($branch),+];

            /// Compares a pass that drops to one without what `branches` drop, where the branches in `silent` add nothing.
            fn compare<E: Dtype>(branches: &[Branch], silent: &[Branch])
            where
                Cpu: Device<E>,
            {
                let dev = Cpu::seed_from_u64(11);
                let file = NamedTempFile::new().unwrap();
                let mut model = dev.build_module::<Model, f32>();
                model.save_checkpoint(&file).unwrap();
                zero(&file, |name| Branch::of_last(name).is_some_and(|b| silent.contains(&b)));
                model.load_checkpoint(&file).unwrap();
                let dropped = zero(&file, |name| branches.iter().any(|b| b.drops(name)));
                assert!(dropped >= 2 * branches.len(), "{dropped} tensors are zeros");
                let mut without = dev.build_module::<Model, f32>();
                without.load_checkpoint(&file).unwrap();
                let (mut model, without) = (model.to_dtype::<E>(), without.to_dtype::<E>());

                let x = SampleTensor::<f32>::sample_normal_like(&dev, &($($size,)* Const));
                let x = x.to_dtype::<E>();
                let expected = numbers(&without.forward(x.clone()));
                let plain = numbers(&model.forward(x.clone()));
                let apart = difference("what is dropped", &plain, &expected);
                assert!(apart > 1e-2, "the branch makes a difference of {apart:.1e} alone");
                let found = numbers(&model.forward_mut(x.leaky_trace()));
                assert_close("the latents", &found, &expected, 1e-5);
            }

            $(
                #[test]
                fn $test() {
                    let others: Vec<Branch> =
                        BRANCHES.into_iter().filter(|b| *b != Branch::$branch).collect();
                    compare::<f32>(&[Branch::$branch], &others);
                    compare::<f64>(&[Branch::$branch], &others);
                }
            )+

            #[test]
            fn nothing_else_is_dropped() {
                compare::<f32>(DROPPED, &[]);
                compare::<f64>(DROPPED, &[]);
            }
        }
    };
}

tests!(
    /// Tokens of few channels on two axes, and few latents.
    image_with_attn_dropout,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 2, max_freq: 8.0, num_latents: 4,
        cross_dim_head: 16, attn_dropout: 0.999_999,
    },
    (2, 6, 5),
    cross_attention_drops: CrossAttention,
    self_attention_drops: SelfAttention
);

tests!(
    /// More latents, narrow heads.
    sequence_with_attn_dropout,
    {
        input_channels: 5, input_axis: 1, num_freq_bands: 2, max_freq: 8.0, num_latents: 9,
        cross_heads: 2, cross_dim_head: 3, attn_dropout: 0.999_999,
    },
    (2, 17),
    cross_attention_drops: CrossAttention,
    self_attention_drops: SelfAttention
);

tests!(
    inverted_with_attn_dropout,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 2, max_freq: 8.0, num_latents: 4,
        cross_dim_head: 16, inverted_cross_attn: true, attn_dropout: 0.999_999,
    },
    (2, 6, 5),
    cross_attention_drops: CrossAttention,
    self_attention_drops: SelfAttention
);

tests!(
    image_with_ff_dropout,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 2, max_freq: 8.0, num_latents: 4,
        cross_dim_head: 16, ff_dropout: 0.999_999,
    },
    (2, 6, 5),
    feed_forward_after_cross_attention_drops: CrossFeedForward,
    feed_forward_after_self_attention_drops: SelfFeedForward
);
