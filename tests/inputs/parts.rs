//! A part of a checkpoint, in another data type and for another grid, on any device.

use perceiver::checkpoint::LoadOptions;
use perceiver::prelude::*;

perceiver! {
    struct Trained {
        input: Grid { shape: [4, 4, 2], position: Learned { channels: 3 } }, depth: 2, num_latents: 3, latent_dim: 8,
        num_classes: 10,
    }

    struct Tuned {
        input: Grid { shape: [6, 5, 2], position: Learned { channels: 3 } }, depth: 2, num_latents: 3, latent_dim: 8,
        num_classes: 5,
    }
}

/// Loads a model's file into another model, here and on a device: both are the same then.
pub fn assert_parts_load<D: Device<f32> + Device<f64>>(dev: &D) {
    let cpu = Cpu::seed_from_u64(1);
    let folder = tempfile::tempdir().unwrap();
    let [trained, here, there] = ["trained", "here", "there"]
        .map(|name| folder.path().join(name).with_extension("safetensors"));
    cpu.build_module::<Trained, f64>().save_checkpoint(&trained).unwrap();
    let options =
        LoadOptions { partial: true, convert: true, interpolate: true, ..LoadOptions::default() };

    let start = cpu.build_module::<Tuned, f32>();
    let mut on_cpu = start.clone();
    let mut on_device = start.to_device(dev);
    let expected = on_cpu.load_checkpoint_with(&trained, &options).unwrap();
    let report = on_device.load_checkpoint_with(&trained, &options).unwrap();
    assert_eq!(report, expected);
    assert_eq!((report.interpolated.len(), report.mismatched.len()), (1, 2), "{report}");
    on_cpu.save_checkpoint(&here).unwrap();
    on_device.save_checkpoint(&there).unwrap();
    assert!(std::fs::read(&here).unwrap() == std::fs::read(&there).unwrap());
}
