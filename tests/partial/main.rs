//! Checkpoints that are not exactly a model's: what is loaded from them, and what is said of the rest.

#[path = "../compare/mod.rs"]
mod compare;
#[path = "../inputs/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype as Element, SafeTensors, TensorView};
use perceiver::checkpoint::{CheckpointError, LoadOptions, LoadReport, Problem};
use perceiver::prelude::*;
use tempfile::TempDir;

/// Name, element type, shape and bytes of each tensor of a file.
type Tensors = BTreeMap<String, (Element, Vec<usize>, Vec<u8>)>;

fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, TensorView<'_>)| {
        (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    file.iter().map(tensor).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    ::safetensors::serialize_to_file(views, None, path).unwrap();
}

fn numbers(tensor: &(Element, Vec<usize>, Vec<u8>)) -> Vec<f64> {
    assert_eq!(tensor.0, Element::F32);
    let (chunks, _) = tensor.2.as_chunks();
    chunks.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn names(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(Problem::tensor).collect()
}

fn partial() -> LoadOptions {
    LoadOptions { partial: true, ..LoadOptions::default() }
}

/// A new model of a declaration.
macro_rules! new {
    ($Model:ident, $seed:expr) => {
        Cpu::seed_from_u64($seed).build_module::<$Model, f32>()
    };
}

/// The tensors of a model, as it saves them.
macro_rules! tensors {
    ($model:expr) => {{
        let file = tempfile::NamedTempFile::new().unwrap();
        $model.save_checkpoint(file.path()).unwrap();
        read(file.path())
    }};
}

/// Loads a file that must not load, into a model that must not change; gives the error.
macro_rules! refused {
    ($Model:ident, $path:expr, $options:expr) => {{
        let (mut model, path) = (new!($Model, 77), &$path);
        let before = tensors!(model);
        let error = model.load_checkpoint_with(path, &$options).unwrap_err();
        assert!(tensors!(model) == before, "the model has changed: {error}");
        let (text, folder) = (error.to_string(), path.parent().unwrap());
        assert!(text.contains(&folder.display().to_string()), "no file is named: {text}");
        error
    }};
}

mod convert;
mod positions;
mod settings;

perceiver! {
    struct Ten {
        input: Tokens(3), depth: 2, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2,
        num_classes: 10,
    }

    /// The same, with another head.
    struct Five {
        input: Tokens(3), depth: 2, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2,
        num_classes: 5,
    }

    /// The same, with one more layer.
    struct Deep {
        input: Tokens(3), depth: 3, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2,
        num_classes: 10,
    }

    /// The same, with two layers that are one.
    struct Tied {
        input: Tokens(3), depth: 3, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2,
        num_classes: 10, weight_tie_layers: true,
    }
}

/// A saved `Ten` in a folder of its own, and what is in it.
fn ten() -> (TempDir, PathBuf, Tensors) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    new!(Ten, 9).save_checkpoint(&path).unwrap();
    let tensors = read(&path);
    (folder, path, tensors)
}

const HEAD: [&str; 2] = ["to_logits.2.weight", "to_logits.2.bias"];

#[test]
fn by_default_all_has_to_match() {
    let (_folder, path, tensors) = ten();
    let mut model = new!(Ten, 1);
    let report = model.load_checkpoint_with(&path, &LoadOptions::default()).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.loaded.len(), tensors.len());
    assert_eq!(report.to_string(), format!("{} tensors loaded", tensors.len()));
    assert_eq!(tensors!(model), tensors);

    let error = refused!(Five, path, LoadOptions::default());
    let CheckpointError::Mismatch { matched, problems, prefix: None, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*matched, names(problems)), (tensors.len() - 2, HEAD.to_vec()));
    let text = error.to_string();
    let way_out = "tensors match: `load_checkpoint_with` loads these with `LoadOptions::partial`";
    assert!(text.ends_with(&format!("\n{matched} {way_out}")), "{text}");
}

#[test]
fn a_model_may_have_another_head() {
    let (_folder, path, tensors) = ten();
    let mut model = new!(Five, 1);
    let before = tensors!(model);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    assert_eq!(names(&report.mismatched), HEAD);
    assert!(report.missing.is_empty() && report.unexpected.is_empty() && !report.is_complete());
    let mut loaded = report.loaded.clone();
    loaded.sort_unstable();
    let body: Vec<_> = tensors.keys().filter(|name| !HEAD.contains(&name.as_str())).collect();
    assert!(loaded.iter().eq(body), "{loaded:?}");
    for (name, tensor) in tensors!(model) {
        let expected = if HEAD.contains(&name.as_str()) { &before } else { &tensors };
        assert!(tensor == expected[&name], "{name}");
    }
    assert_eq!(
        report.to_string(),
        format!(
            "{} tensors loaded, 2 mismatched\n  `to_logits.2.weight` has the wrong shape: expected [5, 4], found [10, 4]\n  \
             `to_logits.2.bias` has the wrong shape: expected [5], found [10]",
            tensors.len() - 2
        )
    );
}

#[test]
fn a_model_may_be_deeper_or_less_deep() {
    let (_folder, path, tensors) = ten();
    let mut model = new!(Deep, 1);
    let before = tensors!(model);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    assert_eq!(report.loaded.len(), tensors.len());
    assert!(report.mismatched.is_empty() && report.unexpected.is_empty());
    assert!(report.missing.iter().all(|problem| matches!(problem, Problem::Missing { .. })));
    let after = tensors!(model);
    assert_eq!(report.missing.len(), after.len() - tensors.len());
    for (name, tensor) in &after {
        let is_new = name.starts_with("layers.2.");
        assert_eq!(is_new, names(&report.missing).contains(&name.as_str()), "{name}");
        assert!(tensor == tensors.get(name).unwrap_or_else(|| &before[name]), "{name}");
    }

    write(&path, &after);
    let mut shallow = new!(Ten, 1);
    let report = shallow.load_checkpoint_with(&path, &partial()).unwrap();
    assert_eq!(report.unexpected.len(), after.len() - tensors.len());
    assert!(report.missing.is_empty() && report.mismatched.is_empty());
    assert_eq!(tensors!(shallow), tensors);
}

#[test]
fn a_model_may_be_a_part_of_a_bigger_one() {
    let (_folder, path, tensors) = ten();
    let older = |name: &str| name.replace("self_attns", "2").replace("cross_attn", "0");
    let wrapped = |rename: &dyn Fn(&str) -> String| {
        let mut bigger: Tensors = tensors
            .iter()
            .map(|(name, tensor)| (format!("net.backbone.{}", rename(name)), tensor.clone()))
            .collect();
        bigger.insert("net.head.weight".into(), tensors["latents"].clone());
        // Not that of this model.
        bigger.insert("latents".into(), new_latents());
        bigger
    };
    let options = LoadOptions { prefix: "net.backbone.".into(), ..LoadOptions::default() };
    for bigger in [wrapped(&|name| name.into()), wrapped(&older)] {
        write(&path, &bigger);
        let mut model = new!(Ten, 1);
        let report = model.load_checkpoint_with(&path, &options).unwrap();
        assert!(report.is_complete());
        assert!(report.loaded.iter().all(|name| name.starts_with("net.backbone.")));
        assert_eq!(tensors!(model), tensors);
    }

    // What is missing is named as it would be in the file.
    let mut bigger = wrapped(&|name| name.into());
    bigger.remove("net.backbone.latents");
    bigger.insert("net.backbone.extra".into(), tensors["latents"].clone());
    write(&path, &bigger);
    let CheckpointError::Mismatch { problems, .. } = refused!(Ten, path, options) else { panic!() };
    assert_eq!(names(&problems), ["net.backbone.latents", "net.backbone.extra"]);

    // A prefix that is missing is suggested.
    bigger.remove("latents");
    write(&path, &bigger);
    for prefix in ["", "backbone."] {
        for partial in [false, true] {
            let options = LoadOptions { prefix: prefix.into(), partial, ..LoadOptions::default() };
            let error = refused!(Ten, path, options);
            let text = error.to_string();
            assert!(text.ends_with(
                "names in it begin with `net.backbone.`: give this to `load_checkpoint_with` as `LoadOptions::prefix`"
            ), "{text}");
        }
    }
}

fn new_latents() -> (Element, Vec<usize>, Vec<u8>) {
    tensors!(new!(Ten, 5)).remove("latents").unwrap()
}

/// An encoder that was trained with one kind of output goes on with another.
#[test]
fn an_encoder_may_be_that_of_another_kind_of_model() {
    perceiver! {
        struct Classifier {
            family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
            cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
            output: ClassQuery(3),
        }

        struct Encoder {
            input: Tokens(12), num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
            latent_dim_head: 8, depth: 2, cross_attends: 1, self_per_cross_attn: 1, output: Latents,
        }
    }
    let path = file("family/hf_mlm.safetensors");
    let mut model = new!(Classifier, 1);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    let is_decoder = |name: &str| name.contains("decoder");
    assert!(names(&report.missing).into_iter().all(is_decoder), "{report}");
    assert!(names(&report.unexpected).into_iter().all(is_decoder), "{report}");
    assert!(report.mismatched.is_empty(), "{report}");
    let (found, expected) = (tensors!(model), read(&path));
    assert!(
        report.loaded.len() > 40 && report.loaded.iter().all(|name| found[name] == expected[name])
    );

    // perceiver-pytorch's PerceiverLM has a PerceiverIO.
    let path = file("family/pp_lm.safetensors");
    let options = LoadOptions { prefix: "perceiver_io.".into(), ..partial() };
    let report = new!(Encoder, 1).load_checkpoint_with(&path, &options).unwrap();
    assert!(report.missing.is_empty() && report.mismatched.is_empty(), "{report}");
    let is_decoder = |name: &str| ["decoder", "to_logits"].iter().any(|part| name.contains(part));
    assert!(names(&report.unexpected).into_iter().all(is_decoder), "{report}");
}

/// Where the library's tensor is two in files, it is loaded whole or not at all.
#[test]
fn keys_are_not_loaded_without_their_values() {
    perceiver! {
        struct Classifier {
            family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
            cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
            output: ClassQuery(3),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = read(&file("family/hf_text_class.safetensors"));
    let attention = "perceiver.encoder.self_attends.1.attention.self";
    let [key, value] = ["key", "value"].map(|part| format!("{attention}.{part}.weight"));
    tensors.remove(&value);
    write(&path, &tensors);
    let mut model = new!(Classifier, 1);
    let before = tensors!(model);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    assert_eq!(names(&report.missing), [&value]);
    let incomplete = Problem::Incomplete { tensor: key.clone(), other: value.clone() };
    assert_eq!(report.mismatched, [incomplete]);
    let after = tensors!(model);
    assert!(after[&key] == before[&key] && after[&value] == before[&value]);
    let text = report.to_string();
    assert!(text.contains(&format!("`{key}` is loaded only together with `{value}`")), "{text}");

    // Without `partial`, only what is wrong is said.
    let CheckpointError::Mismatch { problems, .. } =
        refused!(Classifier, path, LoadOptions::default())
    else {
        panic!()
    };
    assert_eq!(names(&problems), [&value]);
}

#[test]
fn tied_layers_that_differ_are_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = tensors!(new!(Tied, 9));
    let to_q = "layers.2.cross_attn.fn.to_q.weight";
    tensors.get_mut(to_q).unwrap().2[0] ^= 1;
    write(&path, &tensors);
    let mut model = new!(Tied, 1);
    let before = tensors!(model);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    let first = to_q.replace('2', "1");
    assert_eq!(report.mismatched, [Problem::Untied { tensor: to_q.into(), first }]);
    let after = tensors!(model);
    assert!(after[to_q] == before[to_q] && after["latents"] == tensors["latents"]);
    assert_eq!(report.loaded.len(), tensors.len() - 2);
}

#[test]
fn a_tensor_that_is_there_twice_is_not_loaded() {
    let (_folder, path, mut tensors) = ten();
    let (name, older) = ("layers.0.cross_attn.fn.to_q.weight", "layers.0.0.fn.to_q.weight");
    tensors.insert(older.into(), tensors["layers.1.cross_attn.fn.to_q.weight"].clone());
    write(&path, &tensors);
    let mut model = new!(Ten, 1);
    let before = tensors!(model);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    assert_eq!(report.mismatched, [Problem::Twice { tensor: name.into() }]);
    assert!(tensors!(model)[name] == before[name]);
}

#[test]
fn a_file_that_is_not_whole_changes_nothing() {
    let (folder, path, tensors) = ten();
    let options = LoadOptions { convert: true, interpolate: true, ..partial() };
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused!(Ten, path, options);
        assert!(matches!(error, CheckpointError::Malformed { .. }), "{length} bytes");
    }
    let none = folder.path().join("none");
    assert!(matches!(refused!(Ten, none, options), CheckpointError::Read { .. }));

    // In several parts, one of which is missing at first.
    let index = folder.path().join("model.safetensors.index.json");
    let mut files = BTreeMap::<_, Tensors>::new();
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        let file = format!("part-{}.safetensors", i % 2);
        files.entry(file).or_default().insert(name.clone(), tensor.clone());
    }
    let weights: BTreeMap<_, _> =
        files.iter().flat_map(|(file, part)| part.keys().map(move |name| (name, file))).collect();
    fs::write(&index, serde_json::json!({ "weight_map": weights }).to_string()).unwrap();
    let mut parts = files.iter().map(|(file, part)| (folder.path().join(file), part));
    let (file, part) = parts.next().unwrap();
    write(&file, part);
    assert!(matches!(refused!(Five, index, options), CheckpointError::Read { .. }));
    let (file, part) = parts.next().unwrap();
    write(&file, part);
    let report = new!(Five, 1).load_checkpoint_with(&index, &options).unwrap();
    assert_eq!(
        (report.loaded.len(), names(&report.mismatched)),
        (tensors.len() - 2, HEAD.to_vec())
    );
}

#[test]
fn a_file_of_which_nothing_matches_is_an_error() {
    let (_folder, path, mut tensors) = ten();
    let error = refused!(Ten, file("family/hf_mlm.safetensors"), partial());
    let CheckpointError::Mismatch { kind: Some(kind), matched: 0, prefix: None, .. } = &error
    else {
        panic!("{error}");
    };
    assert!(kind.contains("PerceiverForMaskedLM"), "{kind}");
    for tensor in tensors.values_mut() {
        tensor.1.push(1);
    }
    write(&path, &tensors);
    let error = refused!(Ten, path, partial());
    assert!(matches!(error, CheckpointError::Mismatch { kind: None, matched: 0, .. }), "{error}");
    write(&path, &Tensors::new());
    assert!(matches!(refused!(Ten, path, partial()), CheckpointError::Mismatch { matched: 0, .. }));
}

/// Weights that were rounded would be saved with the others later.
#[test]
fn a_part_is_not_loaded_beside_rounded_weights() {
    use perceiver::WeightPrecision;
    let (_folder, path, tensors) = ten();
    let mut model = new!(Five, 1);
    model.prepare_for_inference_in(WeightPrecision::Bf16);
    let x = Cpu::default().ones::<Rank3<1, 2, 3>>();
    let before = model.forward(x.clone()).as_vec();
    let error = model.load_checkpoint_with(&path, &partial()).unwrap_err();
    assert!(matches!(error, CheckpointError::RoundedRest { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("`prepare_for_inference_in` has rounded the weights that would stay to bf16"),
        "{text}"
    );
    assert_eq!(model.forward(x).as_vec(), before);
    assert!(matches!(model.save_checkpoint(&path), Err(CheckpointError::Rounded { .. })));

    // All of it may be.
    let mut model = new!(Ten, 1);
    model.prepare_for_inference_in(WeightPrecision::Bf16);
    assert!(model.load_checkpoint_with(&path, &partial()).unwrap().is_complete());
    assert_eq!(tensors!(model), tensors);
    // What is only prepared is exact.
    let mut model = new!(Five, 1);
    let before = tensors!(model);
    model.prepare_for_inference();
    _ = model.load_checkpoint_with(&path, &partial()).unwrap();
    let after = tensors!(model);
    assert!(HEAD.iter().all(|name| after[*name] == before[*name]));
    assert_eq!(after["latents"], tensors["latents"]);
}

/// A file is not to be trusted: what it has is shown without control characters, and shortened.
#[test]
fn reports_are_escaped_and_bounded() {
    let (_folder, path, mut tensors) = ten();
    for i in 0..1000 {
        let name = format!("{i}\u{1b}[31m{}", "x".repeat(1000));
        tensors.insert(name, (Element::F32, vec![1], vec![0; 4]));
    }
    write(&path, &tensors);
    let report: LoadReport = new!(Ten, 1).load_checkpoint_with(&path, &partial()).unwrap();
    let text = report.to_string();
    assert_eq!(report.unexpected.len(), 1000);
    assert!(text.len() < 4_000 && text.contains("and 990 more"), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains(r"\u{1b}[31m"), "{text}");
}

#[test]
fn on_the_cpu() {
    parts::assert_parts_load(&Cpu::default());
}
