//! What may happen to the files of checkpoints: writers that are killed or many, disks that are full, and headers that are
//! long.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ::safetensors::tensor::{Dtype as Element, SafeTensors, TensorView};
use perceiver::checkpoint::{CheckpointError, Problem};
use perceiver::prelude::*;
use tempfile::TempDir;

perceiver! {
    struct Model {
        input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4.0, depth: 1, num_latents: 3, latent_dim: 8,
        latent_heads: 2, latent_dim_head: 4, cross_dim_head: 4, num_classes: 2,
    }
}

fn model(seed: u64) -> Model {
    Cpu::seed_from_u64(seed).build_module::<Model, f32>()
}

/// A saved model and its tensors.
fn saved(path: &Path) -> Vec<u8> {
    model(9).save_checkpoint(path).unwrap();
    fs::read(path).unwrap()
}

/// The number of files in a folder.
fn count(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

/// What another process does: one of the ignored tests below, for the file at `path`.
fn process(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]).env("FILE", path);
    command.stdout(Stdio::null());
    command
}

#[test]
#[ignore = "what another process does"]
fn save_without_end() {
    let path = std::env::var_os("FILE").expect("run by another test");
    for seed in 0.. {
        model(seed).save_checkpoint(&path).unwrap();
    }
}

#[test]
fn a_writer_that_is_killed_leaves_a_whole_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    saved(&path);
    for round in 0..12 {
        let before = fs::read(&path).unwrap();
        let mut writer = process("save_without_end", &path).spawn().unwrap();
        let start = Instant::now();
        while fs::read(&path).unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing was written");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(700 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        model(1).load_checkpoint(&path).unwrap();
    }
    // What they have left is removed as soon as it is old.
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = fs::File::options().append(true).open(file.unwrap().path()).unwrap();
        file.set_modified(an_hour_ago).unwrap();
    }
    saved(&path);
    assert_eq!(count(&folder), 1);
}

#[test]
#[ignore = "what another process does"]
fn save_more_than_fits() {
    let path = std::env::var_os("FILE").expect("run by another test");
    let error = model(1).save_checkpoint(&path).unwrap_err();
    let CheckpointError::Write { error, .. } = error else { panic!("{error}") };
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge, "{error}");
}

/// A limit of the size of files stands for a full disk: in both cases, a part of the file has been written.
#[cfg(unix)]
#[test]
fn a_file_that_does_not_fit_leaves_what_was_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let before = saved(&path);
    let inner = process("save_more_than_fits", &path);
    let mut command = Command::new("sh");
    // Two blocks of 512 or 1,024 bytes; without the signal, writing is an error.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"]);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("FILE", &path)
        .stdout(Stdio::null());
    assert!(before.len() > 2 * 1024);
    assert!(command.status().unwrap().success());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(count(&folder), 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let refused = |path: &Path| {
        let error = model(1).save_checkpoint(path).unwrap_err();
        assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
    };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let before = saved(&path);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write anyway.
    if fs::write(folder.path().join("may"), "").is_err() {
        refused(&path);
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // But nobody here.
    if cfg!(target_os = "linux") {
        refused(Path::new("/proc/self/model.safetensors"));
    }
}

#[test]
fn of_several_writers_one_wins() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let written: Vec<Vec<u8>> = (0..3)
        .map(|seed| {
            model(seed).save_checkpoint(&path).unwrap();
            fs::read(&path).unwrap()
        })
        .collect();
    thread::scope(|scope| {
        let writers = [0, 1, 2].map(|seed| {
            let path = &path;
            scope.spawn(move || {
                let model = model(seed);
                for _ in 0..50 {
                    model.save_checkpoint(path).unwrap();
                }
            })
        });
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert!(written.contains(&fs::read(&path).unwrap()), "a mixture");
        }
    });
    assert!(written.contains(&fs::read(&path).unwrap()), "a mixture");
    assert_eq!(count(&folder), 1);
}

/// Whatever can be in a safetensors file, of the size that the model needs.
#[test]
fn other_data_types_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes = saved(&path);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    use Element::*;
    let others = [
        BOOL, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, I16, U16, F16, BF16, I32, U32, C64, F64, I64, U64,
    ];
    for other in others {
        let numbers = vec![0; 3 * 8 * other.bitsize() / 8];
        let views = tensors.iter().map(|(name, view)| match name {
            "latents" => (name, TensorView::new(other, vec![3, 8], &numbers).unwrap()),
            _ => (name, view),
        });
        ::safetensors::serialize_to_file(views, None, &path).unwrap();
        let error = model(1).load_checkpoint(&path).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("expected F32, found {other:?}; ")), "{text}");
        let CheckpointError::Mismatch { problems, .. } = error else { panic!("{text}") };
        let expected = Problem::Dtype { tensor: "latents".into(), expected: F32, found: other };
        assert_eq!(problems, [expected]);
    }
}

/// The memory and the time that it takes to refuse a file are in proportion to its size.
fn refused_with_little(path: &Path, size: usize) -> String {
    let mut model = model(1);
    let (mut message, start) = (String::new(), Instant::now());
    let memory = allocation_counter::measure(|| {
        message = model.load_checkpoint(path).unwrap_err().to_string();
    });
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(memory.bytes_max < 20 * size as u64, "{} bytes for {size}", memory.bytes_max);
    assert!(message.len() < 5_000, "{} bytes", message.len());
    message
}

#[test]
fn many_names_and_long_names_take_little_memory() {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let write = |path: &Path, names: Vec<String>| {
        let views = names
            .into_iter()
            .map(|name| (name, TensorView::new(Element::U8, vec![0], &[]).unwrap()));
        ::safetensors::serialize_to_file(views, None, path).unwrap();
        fs::metadata(path).unwrap().len() as usize
    };
    // 800,000 names, as many in each file as a header may have.
    let (mut size, mut index) = (0, serde_json::Map::new());
    for part in 0..5 {
        let file = format!("{part}.safetensors");
        size += write(&place(&file), (0..160_000).map(|i| format!("{part}{i:x}")).collect());
        index.insert(part.to_string(), file.into());
    }
    let path = place("model.safetensors.index.json");
    fs::write(&path, serde_json::json!({ "weight_map": index }).to_string()).unwrap();
    let message = refused_with_little(&path, size);
    assert!(message.ends_with(" more"), "{message}");

    // A long name that means something, and one of many parts.
    for name in ["layers.0.".to_string() + &"x".repeat(9_000_000), "layers.".repeat(1_200_000)] {
        let path = place("long.safetensors");
        let size = write(&path, vec![name]);
        refused_with_little(&path, size);
    }
}

/// What an index has beside the names of files is not kept, and one that is larger than that of any model is not read.
#[test]
fn an_index_takes_little_memory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    let nested = r#"{"":0},"#.repeat(1_000_000);
    let text = format!(r#"{{"metadata":[{nested}0],"weight_map":{{"a":"none"}}}}"#);
    fs::write(&path, &text).unwrap();
    assert!(refused_with_little(&path, text.len() / 8).contains("/none"));

    fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
    let message = refused_with_little(&path, 10_000);
    assert!(
        message.ends_with("it has more than 10000000 bytes, more than the index of any model"),
        "{message}"
    );
}

/// A file is read as safetensors wherever an index lists it, whatever it is called.
#[test]
fn a_part_may_have_any_name() {
    let folder = TempDir::new().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let part = folder.path().join("part.json");
    saved(&part);
    fs::write(&index, r#"{"weight_map":{"latents":"part.json"}}"#).unwrap();
    model(1).load_checkpoint(&index).unwrap();
    fs::File::create(&part).unwrap().set_len(3 << 30).unwrap();
    assert!(refused_with_little(&index, 10_000).contains("is not a complete safetensors file"));
}
