//! Files of models that were declared otherwise, in ways that no tensor shows.

use super::*;
use perceiver::checkpoint::DifferentSetting;

perceiver! {
    struct Picture {
        input: Grid { shape: [4, 6, 3], position: Fourier { bands: 2, max_freq: [4.0, 6.0] } }, depth: 1,
        num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_heads: 2, cross_dim_head: 2,
        output: Queries { queries: Grid { shape: [4, 6], position: Fourier { bands: 2, max_freq: 6.0 } }, project: 2 },
    }

    /// With tensors of the same names and shapes.
    struct Other {
        input: Grid { shape: [4, 6, 3], position: Fourier { bands: 2, max_freq: 6.0, base: 10.0, endpoint: false } }, depth: 1,
        num_latents: 3, latent_dim: 4, latent_heads: 1, latent_dim_head: 4, cross_heads: 4, cross_dim_head: 1,
        inverted_cross_attn: true,
        output: Queries {
            queries: Grid { shape: [4, 6], position: Fourier { bands: 2, max_freq: 4.0 } }, project: 2, heads: 2, dim_head: 2,
            query_residual: true, feed_forward: Geglu(4), scale: 0.5,
        },
    }

    struct Bytes {
        family: PerceiverAr, input: Text { vocab: 5, max_len: 8, dim: 8 }, latents: Last(4), depth: 1,
        self_per_cross_attn: 2, cross_heads: 2, latent_heads: 2, output: Embedding,
    }

    struct OtherBytes {
        family: PerceiverAr, input: Text { vocab: 5, max_len: 8, dim: 8, position: [Learned, Rotary(1.0)] },
        latents: Last(3), depth: 1, self_per_cross_attn: 2, cross_heads: 1, latent_heads: 2, rotary_layers: All, output: Embedding,
    }
}

/// A file of a model, and the folder that it is in.
macro_rules! saved {
    ($Model:ident) => {{
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        new!($Model, 9).save_checkpoint(&path).unwrap();
        (folder, path)
    }};
}

fn lines(settings: &[DifferentSetting]) -> Vec<String> {
    settings.iter().map(DifferentSetting::to_string).collect()
}

const DIFFERENT: &[&str] = &[
    "`cross_heads` differs: expected 4, found 2",
    "`endpoint` differs: expected false, found true",
    "`freq_base` differs: expected 10.0, found linear",
    "`inverted_cross_attn` differs: expected true, found false",
    "`latent_heads` differs: expected 1, found 2",
    "`max_freq` differs: expected 6.0, found [4.0, 6.0]",
    "`output.max_freq` differs: expected 4.0, found 6.0",
    "`output.query_residual` differs: expected true, found false",
    "`output.scale` differs: expected 0.5, found 1.0",
];

#[test]
fn a_model_that_was_declared_otherwise_is_refused() {
    let (_folder, path) = saved!(Picture);
    let error = refused!(Other, path, LoadOptions::default());
    let CheckpointError::Mismatch { settings, problems, .. } = &error else { panic!("{error}") };
    assert_eq!(lines(settings), DIFFERENT);
    assert_eq!(problems, &[], "{error}");
    assert!(
        error.to_string().contains("\ndeclare the model with the values that were found"),
        "{error}"
    );
}

#[test]
fn a_part_is_loaded_and_the_settings_are_reported() {
    let (_folder, path) = saved!(Picture);
    let mut model = new!(Other, 77);
    let report = model.load_checkpoint_with(&path, &partial()).unwrap();
    assert!(!report.is_complete());
    assert_eq!(lines(&report.settings), DIFFERENT);
    assert!(report.to_string().contains(" loaded, 9 settings differ\n  `cross_heads`"), "{report}");
    assert!(tensors!(model) == read(&path), "not everything was loaded");
}

#[test]
fn a_perceiver_ar_knows_its_settings_too() {
    let (_folder, path) = saved!(Bytes);
    let error = refused!(OtherBytes, path, LoadOptions::default());
    let CheckpointError::Mismatch { settings, .. } = &error else { panic!("{error}") };
    let expected = [
        "`Rotary` differs: expected 1.0, found 0.5",
        "`cross_heads` differs: expected 1, found 2",
        "`latents` differs: expected 3, found 4",
        "`rotary_layers` differs: expected 2, found 1",
    ];
    assert_eq!(lines(settings), expected);
}

perceiver! {
    struct Masked {
        input: Modalities {
            image: Grid { shape: [4, 6, 3], position: Learned { channels: 2 } }, label: OneHot { classes: 3, mask: 1.0 },
        },
        depth: 1, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2, num_classes: 2,
    }

    /// With as many positions of another grid, and a label that is masked in training alone.
    struct Unmasked {
        input: Modalities {
            image: Grid { shape: [6, 4, 3], position: Learned { channels: 2 } }, label: OneHot { classes: 3, mask: 0.5 },
        },
        depth: 1, num_latents: 3, latent_dim: 4, latent_heads: 2, latent_dim_head: 2, cross_dim_head: 2, num_classes: 2,
    }
}

#[test]
fn masks_and_grids_of_learned_positions_are_settings() {
    let (_folder, path) = saved!(Masked);
    let error = refused!(Unmasked, path, LoadOptions::default());
    let CheckpointError::Mismatch { settings, problems, .. } = &error else { panic!("{error}") };
    let masked = "`input.label.masked` differs: expected false, found true";
    let grid = "`input.image.learned_positions` differs: expected [6, 4], found [4, 6]";
    assert_eq!((&*lines(settings), &**problems), (&[grid.into(), masked.into()][..], &[][..]));
    // Positions can be interpolated to another grid.
    let options = LoadOptions { interpolate: true, ..LoadOptions::default() };
    let error = refused!(Unmasked, path, options);
    let CheckpointError::Mismatch { settings, .. } = &error else { panic!("{error}") };
    assert_eq!(lines(settings), [masked]);
}

/// Files are read by later versions.
#[test]
fn settings_are_written_in_this_form() {
    let (_folder, path) = saved!(Other);
    let bytes = fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: BTreeMap<_, _> = header.metadata().clone().unwrap().into_iter().collect();
    let expected = [
        ("format", "pt"),
        ("perceiver.cross_attends", "1"),
        ("perceiver.cross_heads", "4"),
        ("perceiver.depth", "1"),
        ("perceiver.endpoint", "false"),
        ("perceiver.feed_forward", "Geglu"),
        ("perceiver.freq_base", "10.0"),
        ("perceiver.inverted_cross_attn", "true"),
        ("perceiver.latent_heads", "1"),
        ("perceiver.max_freq", "6.0"),
        ("perceiver.num_freq_bands", "2"),
        ("perceiver.output.endpoint", "true"),
        ("perceiver.output.feed_forward", "Geglu"),
        ("perceiver.output.freq_base", "linear"),
        ("perceiver.output.heads", "2"),
        ("perceiver.output.max_freq", "4.0"),
        ("perceiver.output.num_freq_bands", "2"),
        ("perceiver.output.query_residual", "true"),
        ("perceiver.output.scale", "0.5"),
        ("perceiver.queries_contribute_kv", "false"),
        ("perceiver.stem", "[]"),
    ];
    let expected = expected.map(|(key, value)| (key.to_string(), value.to_string()));
    assert_eq!(metadata, BTreeMap::from(expected));
}

#[test]
fn a_file_without_settings_loads() {
    let (_folder, path) = saved!(Picture);
    let tensors = read(&path);
    write(&path, &tensors);
    let mut model = new!(Other, 77);
    model.load_checkpoint(&path).unwrap();
    assert!(tensors!(model) == tensors);
}

#[test]
fn settings_of_something_bigger_are_not_the_models() {
    let (folder, path) = saved!(Ten);
    let whole = folder.path().join("whole.safetensors");
    let tensors = read(&path);
    let named = tensors.iter().map(|(name, (dtype, shape, data))| {
        (format!("backbone.{name}"), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let metadata = [("perceiver.latent_heads".to_string(), "7".to_string())];
    ::safetensors::serialize_to_file(named, Some(metadata.into()), &whole).unwrap();
    let mut model = new!(Ten, 77);
    let options = LoadOptions { prefix: "backbone.".into(), ..LoadOptions::default() };
    let report = model.load_checkpoint_with(&whole, &options).unwrap();
    assert!(report.is_complete(), "{report}");
    assert!(tensors!(model) == tensors);
}
