//! Learned positions of other lengths and grids.

use super::*;
use compare::assert_close;

fn interpolate() -> LoadOptions {
    LoadOptions { interpolate: true, ..LoadOptions::default() }
}

/// Another grid of the model of `tests/family/hf_learned`.
macro_rules! learned {
    ($Model:ident, $($size:literal),*) => {
        perceiver! {
            struct $Model {
                family: Transformers,
                input: Grid {
                    shape: [$($size,)* 3], stem: [Linear(256)], position: Learned { channels: 256, project: 256 },
                },
                num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
                output: ClassQuery(5),
            }
        }
    };
}

const ROWS: &str = "perceiver.input_preprocessor.position_embeddings.position_embeddings";

/// The numbers that PyTorch has made.
fn pytorch(name: &str) -> Vec<f64> {
    numbers(&read(&file("partial/positions.safetensors"))[name])
}

#[test]
fn positions_of_an_image_are_interpolated_as_in_pytorch() {
    learned!(Larger, 7, 4);
    learned!(Smaller, 3, 2);
    learned!(Same, 5, 5);
    let path = file("family/hf_learned.safetensors");
    let expected = read(&path);
    macro_rules! assert_interpolated {
        ($Model:ident, $sizes:expr, $name:literal) => {{
            let mut model = new!($Model, 1);
            let report = model.load_checkpoint_with(&path, &interpolate()).unwrap();
            assert!(report.is_complete());
            let [interpolated] = report.interpolated.as_slice() else { panic!("{report}") };
            assert_eq!(interpolated.tensor, ROWS);
            assert_eq!((&interpolated.from, &interpolated.to), (&vec![5, 5], &$sizes));
            let found = tensors!(model);
            assert_close($name, &numbers(&found[ROWS]), &pytorch($name), 1e-6);
            for (name, tensor) in found.iter().filter(|(name, _)| *name != ROWS) {
                assert!(*tensor == expected[name], "{name}");
            }
            let error = refused!($Model, path, LoadOptions::default());
            assert!(error.to_string().contains("has the wrong shape"), "{error}");
            report
        }};
    }
    let report = assert_interpolated!(Larger, vec![7, 4], "image 7 x 4");
    assert!(
        report.to_string().ends_with(&format!(
            ", 1 interpolated\n  `{ROWS}` was interpolated: from positions [5, 5] to [7, 4]"
        )),
        "{report}"
    );
    _ = assert_interpolated!(Smaller, vec![3, 2], "image 3 x 2");
    let mut same = new!(Same, 1);
    let report = same.load_checkpoint_with(&path, &interpolate()).unwrap();
    assert!(report.is_complete() && report.interpolated.is_empty());
    assert_eq!(tensors!(same), expected);
}

#[test]
fn a_grid_whose_axes_differ_is_given() {
    macro_rules! grid {
        ($Model:ident, $($size:literal),*) => {
            perceiver! {
                struct $Model {
                    input: Grid { shape: [$($size),*], position: Learned { channels: 4 } }, depth: 1, num_latents: 2,
                    latent_dim: 4, num_classes: 2,
                }
            }
        };
    }
    grid!(Small, 2, 3, 1);
    grid!(Turned, 3, 2, 1);
    grid!(Large, 5, 4, 1);
    grid!(Flat, 6, 1);
    const ROWS: &str = "input.position_rows";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = tensors!(new!(Small, 1));
    let table = read(&file("partial/positions.safetensors"))["table"].clone();
    tensors.insert(ROWS.into(), table.clone());
    write(&path, &tensors);

    // Six positions are no square.
    let error = refused!(Large, path, interpolate());
    let CheckpointError::Mismatch { problems, .. } = &error else { panic!("{error}") };
    let problem = Problem::Grid { tensor: ROWS.into(), expected: vec![5, 4], found: 6 };
    assert_eq!(*problems, [problem]);
    assert!(error.to_string().contains(
        "`input.position_rows` has 6 positions of an unknown grid: expected one with 2 equal axes, to be interpolated to [5, 4]; \
         otherwise give the sizes of its axes in `LoadOptions::grids`"
    ), "{error}");

    let given = LoadOptions { grids: vec![vec![9, 9], vec![6], vec![2, 3]], ..interpolate() };
    let mut large = new!(Large, 1);
    let report = large.load_checkpoint_with(&path, &given).unwrap();
    assert_eq!(
        (&report.interpolated[0].from, &report.interpolated[0].to),
        (&vec![2, 3], &vec![5, 4])
    );
    assert_close("rows", &numbers(&tensors!(large)[ROWS]), &pytorch("table 5 x 4"), 1e-6);

    // As many positions as the model's are its own, unless a grid is given.
    let mut turned = new!(Turned, 1);
    assert!(turned.load_checkpoint_with(&path, &interpolate()).unwrap().interpolated.is_empty());
    assert_eq!(tensors!(turned)[ROWS], table);
    let report = turned.load_checkpoint_with(&path, &given).unwrap();
    assert_eq!(
        (&report.interpolated[0].from, &report.interpolated[0].to),
        (&vec![2, 3], &vec![3, 2])
    );
    assert_ne!(tensors!(turned)[ROWS], table);
    let mut small = new!(Small, 2);
    assert!(small.load_checkpoint_with(&path, &given).unwrap().interpolated.is_empty());
    assert_eq!(tensors!(small), tensors);
    // Grids of other axes do not matter.
    let mut flat = new!(Flat, 1);
    assert!(flat.load_checkpoint_with(&path, &given).unwrap().interpolated.is_empty());

    // The width of a row is not interpolated, and nor are none.
    for shape in [vec![8, 3], vec![4, 6], vec![24], vec![0, 4]] {
        let size = 4 * shape.iter().product::<usize>();
        tensors.insert(ROWS.into(), (Element::F32, shape.clone(), vec![0; size]));
        write(&path, &tensors);
        let CheckpointError::Mismatch { problems, .. } = refused!(Large, path, interpolate())
        else {
            panic!()
        };
        let expected = Problem::Shape { tensor: ROWS.into(), expected: vec![20, 4], found: shape };
        assert_eq!(problems, [expected]);
    }
}

#[test]
fn a_text_may_have_another_length() {
    perceiver! {
        struct Masked {
            family: Transformers, input: Text { vocab: 30, max_len: 17, dim: 16 }, num_latents: 6, latent_dim: 32,
            cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
            output: Queries {
                queries: Learned([17, 16]), heads: 8, qk_channels: 256, v_channels: 16, query_residual: false,
                project: Embedding,
            },
        }

        struct Causal {
            family: PerceiverAr, input: Text { vocab: 40, max_len: 9, dim: 16, position: [Learned, Rotary(0.5)] },
            latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 3, output: Embedding,
        }
    }
    let mut masked = new!(Masked, 1);
    let report =
        masked.load_checkpoint_with(file("family/hf_mlm.safetensors"), &interpolate()).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.interpolated.len(), 2);
    let found = tensors!(masked);
    for (tensor, name) in [
        ("perceiver.input_preprocessor.position_embeddings.weight", "positions 17"),
        ("perceiver.decoder.output_position_encodings.position_embeddings", "queries 17"),
    ] {
        assert_close(name, &numbers(&found[tensor]), &pytorch(name), 1e-6);
    }

    // Another vocabulary, too.
    let path = file("family/ar.safetensors");
    let options = LoadOptions { interpolate: true, ..partial() };
    let mut causal = new!(Causal, 1);
    let report = causal.load_checkpoint_with(&path, &options).unwrap();
    let vocabulary = ["input_adapter.txt_embedding.weight", "output_adapter.bias"];
    assert_eq!(names(&report.mismatched), vocabulary);
    assert!(report.missing.is_empty() && report.unexpected.is_empty());
    let (found, expected) = (tensors!(causal), read(&path));
    let positions = "input_adapter.pos_embedding.weight";
    assert_close(positions, &numbers(&found[positions]), &pytorch("causal 9"), 1e-6);
    let to_q = "self_attention.2.0.module.attention.q_proj.weight";
    assert_eq!(found[to_q], expected[to_q]);
    refused!(Causal, path, interpolate());
}

/// Learned queries that are no positions stay as they are.
#[test]
fn other_tensors_are_not_interpolated() {
    perceiver! {
        struct Eight {
            input: Tokens(3), depth: 1, num_latents: 8, latent_dim: 4,
            output: Queries { queries: Learned([8, 4]), project: 2 },
        }

        struct Six {
            input: Tokens(3), depth: 1, num_latents: 6, latent_dim: 4,
            output: Queries { queries: Learned([6, 4]), project: 2 },
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    new!(Eight, 1).save_checkpoint(&path).unwrap();
    let options = LoadOptions { interpolate: true, ..partial() };
    let report = new!(Six, 1).load_checkpoint_with(&path, &options).unwrap();
    assert!(report.interpolated.is_empty());
    assert_eq!(names(&report.mismatched), ["latents", "output.query"]);
}

#[test]
fn positions_of_one_of_several_inputs_are_interpolated() {
    macro_rules! scene {
        ($Model:ident, $width:literal) => {
            perceiver! {
                struct $Model {
                    input: Modalities {
                        image: Grid {
                            shape: [8, $width, 3], stem: [Patches([4, 4])], position: Learned { channels: 5 },
                        },
                        sound: Grid { axes: 1, channels: 2 },
                    },
                    depth: 1, num_latents: 2, latent_dim: 4, num_classes: 2,
                }
            }
        };
    }
    scene!(Square, 8);
    scene!(Wide, 12);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    new!(Square, 1).save_checkpoint(&path).unwrap();
    let report = new!(Wide, 1).load_checkpoint_with(&path, &interpolate()).unwrap();
    let [interpolated] = report.interpolated.as_slice() else { panic!("{report}") };
    assert_eq!(interpolated.tensor, "input.image.position_rows");
    assert_eq!((&interpolated.from, &interpolated.to), (&vec![2, 2], &vec![2, 3]));
}
