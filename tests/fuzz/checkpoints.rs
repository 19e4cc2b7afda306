//! Files from elsewhere: one is loaded, or is an error and changes nothing.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use ::safetensors::SafeTensors;
use cpu_time::ThreadTime;
use perceiver::checkpoint::CheckpointError;
use perceiver::dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorName, ViewTensorRef,
};
use perceiver::prelude::*;
use perceiver::train::{AdamW, load_training, save_training};
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use crate::edits::{ByteEdit, Parts, byte_edit, edits};

perceiver! {
    /// Small, and with two layers that are tied.
    struct Model {
        input_axis: 1, input_channels: 2, num_freq_bands: 1, max_freq: 4.0, depth: 3, num_latents: 2, latent_dim: 2,
        latent_heads: 1, latent_dim_head: 1, cross_dim_head: 1, num_classes: 2, weight_tie_layers: true,
    }

    /// With other names in files.
    struct Text {
        family: Transformers, input: Text { vocab: 3, max_len: 2, dim: 2 }, num_latents: 2, latent_dim: 2, cross_heads: 1,
        latent_heads: 1, depth: 1, qk_channels: 2, v_channels: 2,
        output: Queries { queries: Learned([2, 2]), heads: 1, qk_channels: 2, v_channels: 2, project: Embedding },
    }
}

/// A folder in memory, if the machine has that.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// All numbers of a module.
fn numbers<M: TensorCollection<f32, Cpu>>(model: &M) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl TensorVisitor<f32, Cpu> for Collect {
        type Viewer = (ViewTensorRef, ViewTensorName);
        type Err = Infallible;
        type E2 = f32;
        type D2 = Cpu;

        fn visit<S: Shape>(
            &mut self,
            _: TensorOptions<S, f32, Cpu>,
            (tensor, _): (&Tensor<S, f32, Cpu>, String),
        ) -> Result<Option<Tensor<S, f32, Cpu>>, Infallible> {
            self.0.extend(tensor.as_vec());
            Ok(None)
        }
    }
    let mut collect = Collect(Vec::new());
    let walked =
        M::iter_tensors(&mut RecursiveWalker { m: (model, String::new()), f: &mut collect });
    let Ok(_) = walked;
    collect.0
}

/// Whether two models have the same bits: numbers of a file may be NaN.
fn equal(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Calls `load` with a model that files of `size` bytes, with headers of `headers` bytes, are loaded into. Returns whether they
/// were.
fn check<M: TensorCollection<f32, Cpu>, T>(
    model: &mut M,
    size: usize,
    headers: usize,
    mut load: impl FnMut(&mut M) -> Result<T, CheckpointError>,
) -> Result<Option<T>, TestCaseError> {
    let before = numbers(model);
    let start = ThreadTime::now();
    let mut result = None;
    let memory = allocation_counter::measure(|| result = Some(load(model)));
    let time = start.elapsed();
    // As SECURITY.md has it: the file, its header as it is parsed, and the tensors.
    let limit = 2 * size + 100 * headers + 200_000;
    prop_assert!(memory.bytes_max < limit as u64, "{} bytes for {size}", memory.bytes_max);
    prop_assert!(time < Duration::from_secs(1), "{time:?}");
    match result.unwrap() {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => {
            let message = error.to_string();
            prop_assert!(message.len() < 20_000, "{} bytes", message.len());
            let control = message.chars().any(|letter| letter.is_control() && letter != '\n');
            prop_assert!(!control, "control characters: {message:?}");
            prop_assert!(equal(&numbers(model), &before), "the model has changed: {message}");
            Ok(None)
        }
    }
}

/// The length of a file's header, as far as it is there.
fn header(file: &[u8]) -> usize {
    let length = file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    usize::try_from(length).unwrap_or(usize::MAX).min(file.len())
}

/// The tensors of a saved model that another file has under the same names are the same there.
fn is_of(saved: &[u8], loaded: &[u8]) -> Result<(), TestCaseError> {
    let saved = SafeTensors::deserialize(saved).unwrap();
    let loaded = SafeTensors::deserialize(loaded);
    prop_assert!(loaded.is_ok(), "what is no safetensors file was loaded");
    for (name, view) in loaded.unwrap().iter() {
        if let Ok(tensor) = saved.tensor(name) {
            prop_assert!(tensor.data() == view.data(), "{name} is not what was loaded");
        }
    }
    Ok(())
}

/// Checks a model's files, edited.
macro_rules! check_files_of {
    ($model:ident) => {{
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        let model = Cpu::seed_from_u64(1).build_module::<$model, f32>();
        model.save_checkpoint(&path).unwrap();
        let parts = Parts::of(&fs::read(&path).unwrap());
        let model = RefCell::new(Cpu::seed_from_u64(2).build_module::<$model, f32>());
        proptest!(|(edits in edits(parts.names()))| {
            let file = parts.edited(&edits);
            fs::write(&path, &file).unwrap();
            let model = &mut *model.borrow_mut();
            if check(model, file.len(), header(&file), |model| model.load_checkpoint(&path))?.is_some() {
                model.save_checkpoint(&path).unwrap();
                is_of(&fs::read(&path).unwrap(), &file)?;
            }
        });
    }};
}

#[test]
fn a_checkpoint_loads_or_changes_nothing() {
    check_files_of!(Model);
}

#[test]
fn a_checkpoint_of_transformers_loads_or_changes_nothing() {
    check_files_of!(Text);
}

#[test]
fn a_saved_training_loads_or_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("training");
    let train = |seed| {
        let model = Cpu::seed_from_u64(seed).build_module::<Model, f32>();
        let optimizer = AdamW::new(&model, Default::default()).unwrap();
        (model, optimizer)
    };
    let (model, optimizer) = train(1);
    let state = (7_u32, "seven".to_string());
    save_training(&path, &model, &optimizer, &state).unwrap();
    let parts = Parts::of(&fs::read(&path).unwrap());
    let training = RefCell::new(train(2));
    proptest!(|(edits in edits(parts.names()))| {
        let file = parts.edited(&edits);
        fs::write(&path, &file).unwrap();
        let (model, optimizer) = &mut *training.borrow_mut();
        let steps = optimizer.steps();
        let load = |model: &mut Model| load_training::<_, _, _, (u32, String)>(&path, model, optimizer);
        if check(model, file.len(), header(&file), load)?.is_none() {
            prop_assert_eq!(optimizer.steps(), steps);
        }
    });
}

/// The names of files in an index.
fn file_name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "0.safetensors",
        "1.safetensors",
        "2.json",
        "model.safetensors.index.json",
        "folder",
        "none",
        "",
        ".",
        "..",
        "/",
        "a/b",
        "../0.safetensors",
        "./0.safetensors",
        "0.safetensors/",
        "/dev/zero",
        "\0",
        "0.safetensors\0",
        "\u{1b}[31m",
        "C:\\x",
    ];
    let long = (any::<char>(), 0..400_usize).prop_map(|(c, count)| c.to_string().repeat(count));
    prop_oneof![4 => select(NAMES).prop_map(str::to_string), 1 => any::<String>(), 1 => long]
}

#[test]
fn a_checkpoint_in_parts_loads_or_changes_nothing() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    let model = Cpu::seed_from_u64(1).build_module::<Model, f32>();
    model.save_checkpoint(place("0.safetensors")).unwrap();
    let whole = fs::read(place("0.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&whole).unwrap();
    // A model in two files, and one that ends as an index does.
    let parts: Vec<_> = [0, 1]
        .map(|part| {
            let tensors = tensors.iter().enumerate().filter(|(i, _)| i % 2 == part);
            let bytes = ::safetensors::serialize(tensors.map(|(_, tensor)| tensor), None).unwrap();
            fs::write(place(&format!("{part}.safetensors")), &bytes).unwrap();
            Parts::of(&bytes)
        })
        .into();
    fs::create_dir(place("folder")).unwrap();
    let names: Vec<String> = parts.iter().flat_map(Parts::names).collect();
    let index_path = place("model.safetensors.index.json");
    let model = RefCell::new(Cpu::seed_from_u64(2).build_module::<Model, f32>());

    let files = prop::collection::vec(
        prop_oneof![
            9 => select(&["0.safetensors", "1.safetensors"][..]).prop_map(str::to_string),
            1 => file_name(),
        ],
        1..5,
    );
    let text_edits = prop_oneof![
        2 => Just(Vec::<ByteEdit>::new()),
        1 => prop::collection::vec(byte_edit(), 1..4),
    ];
    let part = (0..3_usize, edits(names.clone()));
    proptest!(|(files in files, text_edits in text_edits, (which, part_edits) in part)| {
        let map = names.iter().enumerate().map(|(i, name)| (name.clone(), files[i % files.len()].clone()));
        let map: serde_json::Map<_, _> = map.map(|(name, file)| (name, file.into())).collect();
        let mut index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string().into_bytes();
        text_edits.iter().for_each(|edit| edit.apply(&mut index));
        fs::write(&index_path, &index).unwrap();
        // One of the parts, under its name or one that ends as an index does, or none.
        let edited = parts[which % 2].edited(&part_edits);
        let written = [place("0.safetensors"), place("1.safetensors"), place("2.json")][which].clone();
        let before = fs::read(&written).unwrap_or_default();
        fs::write(&written, &edited).unwrap();

        let size = index.len() + whole.len() + before.len() + 2 * edited.len();
        let headers = index.len() + header(&whole) + 2 * header(&edited);
        let result = check(&mut *model.borrow_mut(), size, headers, |model| model.load_checkpoint(&index_path));
        fs::write(&written, &before).unwrap();
        result?;
    });
}
