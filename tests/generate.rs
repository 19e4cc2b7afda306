//! A Perceiver AR continues texts as its reference does, whose tokens are in `tests/family/`.

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::BuildModule;
use perceiver::generate::{Options, Sampling};
use perceiver::prelude::*;

mod ar {
    use super::*;

    perceiver! {
        pub struct Model {
            family: PerceiverAr, input: Text { vocab: 30, max_len: 20, dim: 16, position: [Learned, Rotary(0.5)] },
            latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 3, output: Embedding,
        }
    }
}

mod ar_rotary {
    use super::*;

    perceiver! {
        pub struct Model {
            family: PerceiverAr, input: Text { vocab: 30, max_len: 18, dim: 24, position: [Rotary(1.0)] },
            latents: Last(8), cross_heads: 3, latent_heads: 3, depth: 1, self_per_cross_attn: 2, rotary_layers: All,
            final_norm: true, output: Embedding { bias: false },
        }
    }
}

macro_rules! load {
    ($name:ident) => {{
        let mut model = $name::Model::<f32, Cpu>::build(&Cpu::default());
        let file = concat!("family/", stringify!($name), ".safetensors");
        model
            .load_checkpoint(
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file),
            )
            .unwrap();
        (model, include_bytes!(concat!("family/", stringify!($name), ".io.safetensors")).as_slice())
    }};
}

fn rows(file: &[u8], name: &str) -> Vec<Vec<usize>> {
    let file = SafeTensors::deserialize(file).unwrap();
    let tensor = file.tensor(name).unwrap();
    let (chunks, _) = tensor.data().as_chunks();
    let ids: Vec<_> = chunks.iter().map(|id| i64::from_le_bytes(*id) as usize).collect();
    ids.chunks(tensor.shape()[1]).map(<[usize]>::to_vec).collect()
}

fn tensor(rows: &[Vec<usize>]) -> Tensor<(usize, usize), usize, Cpu> {
    Cpu::default().tensor_from_vec(rows.concat(), (rows.len(), rows[0].len()))
}

fn greedy(max_new_tokens: usize, num_latents: usize) -> Options {
    Options { max_new_tokens, num_latents, ..Options::default() }
}

/// Twelve tokens: the latents become more, then the tokens before them, then the oldest is left out.
#[test]
fn greedy_tokens_are_the_references() {
    let (model, file) = load!(ar);
    assert_eq!(
        model.generate(&tensor(&rows(file, "x")), &greedy(12, 3)).unwrap(),
        rows(file, "tokens")
    );
    let (model, file) = load!(ar_rotary);
    assert_eq!(
        model.generate(&tensor(&rows(file, "x")), &greedy(12, 4)).unwrap(),
        rows(file, "tokens")
    );
}

/// As long as the latents become more, the logits of each step are those of a forward pass over all tokens before it.
#[test]
fn cached_logits_are_those_of_forward_passes() {
    macro_rules! check {
        ($name:ident, $shortened:literal) => {{
            let (model, file) = load!($name);
            let mut texts: Vec<_> =
                rows(file, "x").into_iter().map(|mut row| row.split_off($shortened)).collect();
            let prefix = texts[0].len() - 1;
            let mut generation = model.generation(&tensor(&texts), &greedy(5, 1)).unwrap();
            for _ in 0..5 {
                let tokens = generation.next().unwrap().unwrap();
                let expected = model.forward((tensor(&texts), prefix));
                let (_, last, vocab) = *expected.shape();
                let expected = expected.as_vec();
                for (item, found) in generation.logits().iter().enumerate() {
                    let expected = &expected[((item + 1) * last.size() - 1) * vocab.size()..];
                    for (found, expected) in found.iter().zip(expected) {
                        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
                    }
                }
                for (text, token) in texts.iter_mut().zip(tokens) {
                    text.extend(token);
                }
            }
        }};
    }
    check!(ar, 6);
    check!(ar_rotary, 8);
}

/// Padding before a text changes nothing, neither for a forward pass nor for the tokens that follow.
#[test]
fn a_padded_text_is_the_text() {
    for padding in [1, 4] {
        let (model, file) = load!(ar);
        let text: Vec<Vec<usize>> = vec![rows(file, "x")[0][..9].to_vec()];
        let long = [vec![7; padding], text[0].clone()].concat();
        let is_text = (0..2 * (9 + padding)).map(|i| i >= padding).collect();
        let mask = Cpu::default().tensor_from_vec(is_text, (2, 9 + padding));
        let batch = tensor(&[long, rows(file, "x")[1][..9 + padding].to_vec()]);

        let alone = model.forward((tensor(&text), 5)).as_vec();
        let padded = model.forward(((batch.clone(), mask.clone()), 5 + padding)).as_vec();
        for (alone, padded) in alone.iter().zip(&padded) {
            assert!((alone - padded).abs() < 1e-5, "{alone} and {padded}");
        }
        let alone = model.generate(&tensor(&text), &greedy(20, 3)).unwrap();
        let padded = model.generate(&(batch, mask), &greedy(20, 3)).unwrap();
        // Then the longer text is too long, and loses its oldest token, or its padding.
        assert_eq!(alone[0][..11], padded[0][..11]);
    }
}

/// Latents that are padding themselves change nothing either.
#[test]
fn latents_may_be_padding() {
    let (model, file) = load!(ar);
    let text = vec![rows(file, "x")[0][..3].to_vec()];
    let padded = tensor(&[[vec![0, 0], text[0].clone()].concat()]);
    let mask = Cpu::default().tensor([[false, false, true, true, true]]);
    let alone = model.forward(tensor(&text)).as_vec();
    let padded = model.forward((padded, mask)).as_vec();
    assert_eq!((alone.len(), padded.len()), (3 * 30, 5 * 30));
    for (alone, padded) in alone.iter().zip(&padded[2 * 30..]) {
        assert!((alone - padded).abs() < 1e-5, "{alone} and {padded}");
    }
}

#[test]
fn tokens_come_one_by_one_and_stop() {
    let (model, file) = load!(ar);
    let (prompts, expected) = (tensor(&rows(file, "x")), rows(file, "tokens"));
    let steps: Vec<_> =
        model.generation(&prompts, &greedy(12, 3)).unwrap().map(Result::unwrap).collect();
    assert_eq!(steps.len(), 12);
    for (step, tokens) in steps.iter().enumerate() {
        assert_eq!(*tokens, expected.iter().map(|text| Some(text[step])).collect::<Vec<_>>());
    }
    // A text ends with the stop token, and the others go on.
    let stop = expected[0][4];
    let options = Options { stop: vec![stop], ..greedy(12, 3) };
    let stopped = model.generate(&prompts, &options).unwrap();
    for (text, expected) in stopped.iter().zip(&expected) {
        let end = expected.iter().position(|token| *token == stop).map_or(12, |end| end + 1);
        assert_eq!(text, &expected[..end]);
    }
}

#[test]
fn choices_are_random_by_their_seed() {
    let (model, file) = load!(ar);
    let prompts = tensor(&rows(file, "x"));
    let random = |temperature, top_k, top_p, seed| {
        let sampling = Sampling::Random { temperature, top_k, top_p };
        model.generate(&prompts, &Options { sampling, seed, ..greedy(12, 3) }).unwrap()
    };
    assert_eq!(random(1.0, None, None, 1), random(1.0, None, None, 1));
    assert_ne!(random(1.0, None, None, 1), random(1.0, None, None, 2));
    let greedy_tokens = rows(file, "tokens");
    assert_eq!(random(1.0, Some(1), None, 1), greedy_tokens);
    assert_eq!(random(1.0, None, Some(1e-9), 1), greedy_tokens);
    assert_eq!(random(1e-9, None, None, 1), greedy_tokens);
    // A penalty keeps tokens from being repeated.
    let options = Options { repetition_penalty: 1e9, ..greedy(12, 3) };
    for (text, prompt) in model.generate(&prompts, &options).unwrap().iter().zip(rows(file, "x")) {
        let is_new = |i: usize| !prompt.contains(&text[i]) && !text[..i].contains(&text[i]);
        assert!(is_new(0), "{text:?} after {prompt:?}");
    }
}

#[test]
fn mistakes_are_errors() {
    let (mut model, file) = load!(ar);
    let x = tensor(&rows(file, "x"));
    let error = |result: Result<_, perceiver::ForwardError<_>>| {
        result.map(|_: Tensor<_, f32, _>| ()).unwrap_err().to_string()
    };
    let long = tensor(&[vec![1; 21]]);
    assert_eq!(
        error(model.try_forward(long.clone())),
        "the input has 21 tokens, but the model was declared with `max_len: 20`"
    );
    assert_eq!(
        error(model.try_forward(tensor(&[vec![1, 30]]))),
        "the id 30 is not in the vocabulary: ids must be below 30"
    );
    for prefix in [9, 15, 16, 99] {
        assert_eq!(
            error(model.try_forward_mut((x.clone(), prefix))),
            format!(
                "the prefix has {prefix} of 16 tokens: it must leave 1 to 6 of them as latents, and have at most 14 itself"
            )
        );
    }
    let mask = |flags: [bool; 3]| Cpu::default().tensor([flags]);
    for flags in [[true, false, true], [true, true, false], [false; 3]] {
        let message = error(model.try_forward((tensor(&[vec![1, 2, 3]]), mask(flags))));
        assert_eq!(
            message,
            "the mask of item 0 must be false for padding, which comes first, and true for at least one token after it"
        );
    }
    let error = |prompts: &Tensor<(usize, usize), usize, Cpu>, options: &Options| {
        model.generate(prompts, options).unwrap_err().to_string()
    };
    assert_eq!(
        error(&x, &greedy(1, 0)),
        "`num_latents` is 0: it must be from 1 to 6, as the model was declared with `Last(6)`"
    );
    assert!(error(&x, &greedy(1, 7)).contains("`num_latents` is 7"));
    for shape in [(0, 3), (2, 0)] {
        let empty = Cpu::default().tensor_from_vec(Vec::new(), shape);
        assert!(error(&empty, &greedy(1, 1)).contains(&format!("are [{}, {}]", shape.0, shape.1)));
        let mask = Cpu::default().tensor_from_vec(Vec::new(), shape);
        let error = model.try_forward((empty, mask)).err().unwrap().to_string();
        assert!(error.starts_with("the input is empty"), "{error}");
    }
    assert!(error(&long, &greedy(1, 1)).contains("21 tokens"));
    assert_eq!(
        error(&x, &Options { stop: vec![1, 400], ..greedy(1, 1) }),
        "the id 400 is not in the vocabulary: ids must be below 30"
    );
    let sampling = Sampling::Random { temperature: 0.0, top_k: None, top_p: None };
    assert_eq!(
        error(&x, &Options { sampling, ..greedy(1, 1) }),
        "`temperature` is 0: it must be above 0"
    );
}

/// In training the prefix loses half of its tokens at random; without a tape nothing is random.
#[test]
fn prefix_dropout() {
    let (mut model, file) = load!(ar);
    let x = tensor(&rows(file, "x"));
    let plain = model.forward((x.clone(), 10)).as_vec();
    assert_eq!(model.forward_mut((x.clone(), 10)).as_vec(), plain);
    let mut train = || model.forward_mut((x.clone().leaky_trace(), 10)).as_vec();
    let (first, second) = (train(), train());
    assert_ne!(first, plain);
    assert_ne!(first, second);
}

/// Without a prefix, all parameters have gradients all the same.
#[test]
fn every_parameter_is_trained() {
    use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
    let (mut model, file) = load!(ar);
    let x = tensor(&rows(file, "x"));
    for prefix in [10, 0] {
        let x = if prefix == 0 { tensor(&[vec![1, 2, 3]]) } else { x.clone() };
        let gradients = model.alloc_grads();
        let logits = model.forward_mut((x.traced(gradients), prefix));
        let gradients = logits.square().mean().backward();
        Sgd::new(&model, SgdConfig::default()).update(&mut model, &gradients).unwrap();
    }
}

/// A prompt may have fewer tokens than latents to begin with, or too many to begin with that few.
#[test]
fn prompts_of_any_length() {
    let (model, file) = load!(ar);
    let short = tensor(&[rows(file, "x")[0][..3].to_vec()]);
    assert_eq!(
        model.generate(&short, &greedy(4, 6)).unwrap(),
        model.generate(&short, &greedy(4, 3)).unwrap()
    );
    let long = tensor(&[[rows(file, "x")[0].clone(), vec![1, 2, 3, 4]].concat()]);
    assert_eq!(
        model.generate(&long, &greedy(4, 1)).unwrap(),
        model.generate(&long, &greedy(4, 6)).unwrap()
    );
}
