//! Checkpoints: what is read and written, and that nothing is lost when that goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype as Element, SafeTensors, TensorView};
use perceiver::checkpoint::{CheckpointError, Problem};
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, save_training};
use tempfile::TempDir;

perceiver! {
    struct Model {
        input_axis: 1,
        input_channels: 2,
        num_freq_bands: 2,
        max_freq: 4.0,
        depth: 3,
        num_latents: 3,
        latent_dim: 4,
        latent_heads: 2,
        latent_dim_head: 2,
        cross_dim_head: 2,
        num_classes: 2,
        weight_tie_layers: true,
    }
}

fn model() -> Model {
    Cpu::default().build_module::<Model, f32>()
}

fn output(model: &Model) -> Vec<f32> {
    let x = Cpu::seed_from_u64(3).sample_normal::<Rank3<1, 5, 2>>();
    model.forward(x).as_vec()
}

/// Name, element type, shape and bytes of each tensor of a file.
type Tensors = BTreeMap<String, (Element, Vec<usize>, Vec<u8>)>;

/// A saved model in a folder of its own, and what is in it.
fn saved() -> (TempDir, PathBuf, Tensors) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let saved = Cpu::seed_from_u64(9).build_module::<Model, f32>();
    saved.save_checkpoint(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| {
            let view = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_string(), view)
        })
        .collect();
    (folder, path, tensors)
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    ::safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Loads a file that must not load, into a model that must not change; gives the error.
fn refused(path: &Path) -> CheckpointError {
    let mut model = model();
    let before = output(&model);
    let error = model.load_checkpoint(path).unwrap_err();
    assert_eq!(output(&model), before, "the model has changed: {error}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "the file is not named: {text}");
    error
}

/// The problems of a file that is not this model's.
fn problems(path: &Path) -> Vec<Problem> {
    match refused(path) {
        CheckpointError::Mismatch { problems, .. } => problems,
        other => panic!("{other}"),
    }
}

const TO_Q: &str = "layers.1.cross_attn.fn.to_q.weight";

#[test]
fn what_is_saved_loads() {
    let (_folder, path, tensors) = saved();
    let mut loaded = model();
    loaded.load_checkpoint(&path).unwrap();
    let saved = Cpu::seed_from_u64(9).build_module::<Model, f32>();
    assert_eq!(output(&loaded), output(&saved));
    // Tied layers appear once for each layer, as PyTorch has them.
    for layer in 0..3 {
        assert!(tensors.contains_key(&format!("layers.{layer}.cross_attn.fn.to_q.weight")));
    }
    assert_eq!(tensors[TO_Q], tensors["layers.2.cross_attn.fn.to_q.weight"]);
}

/// What says to other tools that these are PyTorch's tensors.
#[test]
fn what_is_saved_says_its_format() {
    let (_folder, path, _) = saved();
    let bytes = fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata["format"], "pt");
}

#[test]
fn a_file_that_is_not_there_or_not_whole_is_refused() {
    let (folder, path, _) = saved();
    assert!(matches!(refused(&folder.path().join("none")), CheckpointError::Read { .. }));
    assert!(matches!(refused(folder.path()), CheckpointError::Read { .. }));
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refused(&path), CheckpointError::Malformed { .. }), "{length} bytes");
    }
    let mut longer = whole;
    longer.push(0);
    fs::write(&path, longer).unwrap();
    assert!(matches!(refused(&path), CheckpointError::Malformed { .. }));
}

/// Splits a saved model into two files and writes an index.
#[test]
fn a_checkpoint_in_parts_loads_by_its_index() {
    let (folder, path, tensors) = saved();
    let mut whole = model();
    whole.load_checkpoint(&path).unwrap();
    let mut files = BTreeMap::<_, Tensors>::new();
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        files
            .entry(format!("part-{}.safetensors", i % 2))
            .or_default()
            .insert(name.clone(), tensor.clone());
    }
    let mut names = BTreeMap::new();
    for (file, part) in &files {
        write(&folder.path().join(file), part);
        names.extend(part.keys().map(|name| (name.clone(), file.clone())));
    }
    let index = folder.path().join("model.safetensors.index.json");
    let write_index = |names: &BTreeMap<String, String>| {
        let text = serde_json::json!({ "metadata": {}, "weight_map": names }).to_string();
        fs::write(&index, text).unwrap();
    };
    write_index(&names);
    let mut in_parts = model();
    in_parts.load_checkpoint(&index).unwrap();
    assert_eq!(output(&in_parts), output(&whole));

    // A part is missing, is elsewhere, or the index is none.
    fs::remove_file(folder.path().join("part-1.safetensors")).unwrap();
    let error = model().load_checkpoint(&index).unwrap_err();
    assert!(error.to_string().contains("part-1.safetensors"), "{error}");
    let long = "x".repeat(256);
    for elsewhere in ["../part-0.safetensors", "/part-0.safetensors", "..", "", "\u{1b}[31m", &long]
    {
        names.values_mut().for_each(|file| *file = elsewhere.into());
        write_index(&names);
        assert!(matches!(refused(&index), CheckpointError::PartElsewhere { .. }), "{elsewhere}");
    }
    for text in ["", "[]", "{}", r#"{"weight_map": {"a": 1}}"#] {
        fs::write(&index, text).unwrap();
        assert!(matches!(refused(&index), CheckpointError::Index { .. }), "{text}");
    }
}

#[test]
fn what_another_file_is_is_said() {
    let (folder, path, _) = saved();
    for bytes in [b"PK\x03\x04 ..".as_slice(), b"\x80\x02}q".as_slice()] {
        let file = folder.path().join("pytorch_model.bin");
        fs::write(&file, bytes).unwrap();
        assert!(matches!(refused(&file), CheckpointError::Pickle { .. }));
    }
    let file = folder.path().join("model.npz");
    perceiver::prelude::SaveToNpz::save(&Cpu::default().build_module::<Linear<2, 3>, f32>(), &file)
        .unwrap();
    assert!(matches!(refused(&file), CheckpointError::Npz { .. }));
    let file = folder.path().join("run.training");
    let model = model();
    let optimizer = AdamW::new(&model, AdamWConfig::default()).unwrap();
    save_training(&file, &model, &optimizer, &()).unwrap();
    assert!(matches!(refused(&file), CheckpointError::Training { .. }));
    let kind = |case: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/family").join(case);
        match refused(&path) {
            CheckpointError::Mismatch { kind: Some(kind), .. } => kind,
            other => panic!("{other}"),
        }
    };
    assert!(kind("pp_io.safetensors").contains("PerceiverIO"));
    assert!(kind("pp_lm.safetensors").contains("PerceiverLM"));
    assert!(kind("hf_fourier.safetensors").contains("family: Transformers"));
    assert!(kind("hf_mlm.safetensors").contains("PerceiverForMaskedLM"));

    // Where the kind is right, nothing is said of it.
    let (_, _, mut tensors) = saved();
    tensors.remove("latents");
    write(&path, &tensors);
    assert!(matches!(refused(&path), CheckpointError::Mismatch { kind: None, .. }));
}

#[test]
fn every_tensor_that_does_not_match_is_named() {
    let (_folder, path, mut tensors) = saved();
    tensors.remove("latents");
    tensors.insert("pos_emb".into(), (Element::F32, vec![2], vec![0; 8]));
    tensors.get_mut("to_logits.2.bias").unwrap().1 = vec![1, 2];
    let norm = tensors.get_mut("to_logits.1.weight").unwrap();
    (norm.0, norm.2) = (Element::F64, vec![0; 32]);
    write(&path, &tensors);
    let found = problems(&path);
    let expected = [
        Problem::Missing { tensor: "latents".into(), dtype: Element::F32, shape: vec![3, 4] },
        Problem::Dtype {
            tensor: "to_logits.1.weight".into(),
            expected: Element::F32,
            found: Element::F64,
        },
        Problem::Shape { tensor: "to_logits.2.bias".into(), expected: vec![2], found: vec![1, 2] },
        Problem::Unexpected { tensor: "pos_emb".into(), dtype: Element::F32, shape: vec![2] },
    ];
    assert_eq!(found, expected);
    let text = refused(&path).to_string();
    assert!(text.contains("`latents` is missing: expected F32 [3, 4]"), "{text}");
    assert!(text.contains("expected [2], found [1, 2]"), "{text}");
}

#[test]
fn layers_that_differ_cannot_be_tied() {
    let (_folder, path, mut tensors) = saved();
    tensors.get_mut("layers.2.cross_attn.fn.to_q.weight").unwrap().2[0] ^= 1;
    write(&path, &tensors);
    let expected =
        Problem::Untied { tensor: "layers.2.cross_attn.fn.to_q.weight".into(), first: TO_Q.into() };
    assert_eq!(problems(&path), [expected]);
}

#[test]
fn shared_weights_may_be_named_once() {
    // As `safetensors.torch.save_model` writes them, under either name.
    for left in [1, 2] {
        let (_folder, path, mut tensors) = saved();
        tensors.retain(|name, _| !name.starts_with(&format!("layers.{left}.")));
        write(&path, &tensors);
        let mut loaded = model();
        loaded.load_checkpoint(&path).unwrap();
        let saved = Cpu::seed_from_u64(9).build_module::<Model, f32>();
        assert_eq!(output(&loaded), output(&saved));
    }
}

#[test]
fn names_of_older_releases_are_read() {
    let (_folder, path, tensors) = saved();
    let older = |name: String| {
        name.replace("self_attns", "2").replace("cross_attn", "0").replace("cross_ff", "1")
    };
    let tensors: Tensors = tensors.into_iter().map(|(name, t)| (older(name), t)).collect();
    assert!(tensors.contains_key("layers.1.0.fn.to_q.weight"));
    write(&path, &tensors);
    let mut loaded = model();
    loaded.load_checkpoint(&path).unwrap();
    let saved = Cpu::seed_from_u64(9).build_module::<Model, f32>();
    assert_eq!(output(&loaded), output(&saved));

    let mut twice = tensors;
    let to_q = twice["layers.1.0.fn.to_q.weight"].clone();
    twice.insert(TO_Q.into(), to_q);
    write(&path, &twice);
    assert_eq!(problems(&path), [Problem::Twice { tensor: TO_Q.into() }]);
}

#[test]
fn a_save_that_fails_leaves_what_was_there() {
    let (folder, path, _) = saved();
    let before = fs::read(&path).unwrap();
    // A folder in the file's place, and a folder that is not there.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let nowhere = folder.path().join("nowhere/model.safetensors");
    for path in [&taken, &nowhere] {
        let error = model().save_checkpoint(path).unwrap_err();
        assert!(matches!(error, CheckpointError::Write { .. }));
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    // Nothing half-written is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_save_replaces_the_file_and_follows_links() {
    let (folder, path, _) = saved();
    let before = fs::read(&path).unwrap();
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        model().save_checkpoint(&link).unwrap();
        assert!(link.is_symlink());
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink("not there yet", &dangling).unwrap();
        model().save_checkpoint(&dangling).unwrap();
        assert!(dangling.is_symlink() && folder.path().join("not there yet").is_file());
    }
    #[cfg(not(unix))]
    model().save_checkpoint(&path).unwrap();
    assert_ne!(fs::read(&path).unwrap(), before);
    let mut loaded = self::model();
    loaded.load_checkpoint(&path).unwrap();
    drop(folder);
}

/// Whoever reads the old file meanwhile reads all of it: the new one takes its place and is not written over it.
#[cfg(unix)]
#[test]
fn an_open_file_keeps_what_it_had() {
    use std::io::Read;
    let (folder, path, _) = saved();
    let before = fs::read(&path).unwrap();
    let mut open = fs::File::open(&path).unwrap();
    model().save_checkpoint(&path).unwrap();
    let mut read = Vec::new();
    open.read_to_end(&mut read).unwrap();
    assert_eq!(read, before);
    drop(folder);
}

#[cfg(unix)]
#[test]
fn permissions_are_those_of_any_file_or_of_the_one_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (folder, path, _) = saved();
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    assert_eq!(mode(&path), mode(&other));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    model().save_checkpoint(&path).unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn as_many_numbers_in_another_shape_are_refused() {
    let (_folder, path, mut tensors) = saved();
    tensors.get_mut("latents").unwrap().1 = vec![4, 3];
    write(&path, &tensors);
    let expected =
        Problem::Shape { tensor: "latents".into(), expected: vec![3, 4], found: vec![4, 3] };
    assert_eq!(problems(&path), [expected]);
}

/// A pipe would be waited for, and a device read without end.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read_and_no_more_than_their_header_if_it_is_wrong() {
    let folder = TempDir::new().unwrap();
    let mut model = model();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
        let error = model.load_checkpoint(path).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {}: it is not a regular file", path.display()));
    }
    // 3 GiB that no disk holds.
    let zeros = folder.path().join("zeros.safetensors");
    fs::File::create(&zeros).unwrap().set_len(3 << 30).unwrap();
    assert!(matches!(model.load_checkpoint(&zeros), Err(CheckpointError::Malformed { .. })));
}

/// What writers that were killed have left is removed by the next one, unless it may still be written.
#[test]
fn old_temporary_files_are_removed() {
    let (folder, path, _) = saved();
    let name = path.file_name().unwrap().to_str().unwrap();
    let [old, new, other] = ["a", "b", "c"].map(|end| match end {
        "c" => folder.path().join(".another.perceiver-c"),
        _ => folder.path().join(format!(".{name}.perceiver-{end}")),
    });
    for file in [&old, &new, &other] {
        fs::write(file, "half").unwrap();
    }
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for file in [&old, &other] {
        let file = fs::File::options().append(true).open(file).unwrap();
        file.set_modified(an_hour_ago).unwrap();
    }
    model().save_checkpoint(&path).unwrap();
    assert_eq!([&old, &new, &other].map(|file| file.exists()), [false, true, true]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_to_their_end_and_loops_stay() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let [first, second, third] = ["first", "second", "third"].map(|name| folder.path().join(name));
    symlink("second", &first).unwrap();
    symlink("third", &second).unwrap();
    model().save_checkpoint(&first).unwrap();
    assert!(first.is_symlink() && second.is_symlink() && third.is_file() && !third.is_symlink());

    fs::remove_file(&third).unwrap();
    symlink("first", &third).unwrap();
    let error = model().save_checkpoint(&first).unwrap_err().to_string();
    assert!(error.ends_with(": too many symbolic links lead to it"), "{error}");
    assert!(first.is_symlink() && second.is_symlink() && third.is_symlink());
}

/// A file is not to be trusted: what it has is shown without control characters, and shortened.
#[test]
fn text_of_a_file_is_escaped_and_bounded() {
    let (_folder, path, mut tensors) = saved();
    let (view_shape, bytes) = (vec![1; 100_000], vec![0; 4]);
    tensors.insert("\u{1b}[31mred\n".into(), (Element::F32, vec![1], bytes.clone()));
    tensors.insert("x".repeat(1_000_000), (Element::F32, vec![1], bytes.clone()));
    tensors.insert("deep".into(), (Element::F32, view_shape, bytes));
    tensors.insert("latents".into(), (Element::BF16, vec![3, 4], vec![0; 24]));
    write(&path, &tensors);
    let message = refused(&path).to_string();
    assert!(message.len() < 3_000, "{} bytes", message.len());
    assert!(message.contains(r"`\u{1b}[31mred\n` is not in the model"), "{message}");
    assert!(message.contains(
        "`deep` is not in the model, but the file has it as F32 a shape of 100000 dimensions"
    ));
    assert!(
        message.contains("found BF16; `load_checkpoint_with` converts a model's checkpoint, with `LoadOptions::convert`"),
        "{message}"
    );
    assert!(message.contains(&format!("`{}..`", "x".repeat(200))));

    // What a parser quotes, too: a data type, and a file of an index.
    let quoted = |text: &str| {
        serde_json::json!({ "a": { "dtype": text, "shape": [], "data_offsets": [0, 0] } })
            .to_string()
    };
    for (text, shown) in
        [("\u{1b}[31m", r"unknown variant `\u{1b}[31m`"), (&"x".repeat(1_000_000), "xxx..")]
    {
        let header = quoted(text);
        fs::write(&path, [&header.len().to_le_bytes(), header.as_bytes()].concat()).unwrap();
        let message = refused(&path).to_string();
        assert!(message.contains(shown) && message.len() < 1_000, "{message}");
    }
    let index = path.with_file_name("index.json");
    fs::write(&index, r#"{"weight_map": "\u001b[31m"}"#).unwrap();
    let message = refused(&index).to_string();
    assert!(!message.contains('\u{1b}'), "{message}");
}

/// A header longer than that of any model is not read.
#[test]
fn a_long_header_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("long.safetensors");
    let mut file = 50_000_000_u64.to_le_bytes().to_vec();
    file.resize(50_000_008, b' ');
    fs::write(&path, file).unwrap();
    assert!(refused(&path).to_string().contains("header too large"));
}
