//! Data types other than the model's.

use super::*;

fn convert() -> LoadOptions {
    LoadOptions { convert: true, ..LoadOptions::default() }
}

/// The same model in another data type.
fn of_type(tensors: &Tensors, dtype: Element, number: impl Fn(f64) -> Vec<u8>) -> Tensors {
    let convert = |tensor| numbers(tensor).into_iter().flat_map(&number).collect();
    tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), (dtype, tensor.1.clone(), convert(tensor))))
        .collect()
}

/// The upper half of an `f32`, which is a `bf16`.
fn bf16(x: f64) -> Vec<u8> {
    (x as f32).to_le_bytes()[2..].to_vec()
}

#[test]
fn data_types_are_converted_if_asked_for() {
    let (_folder, path, tensors) = ten();
    let mut exact = tensors.clone();
    for tensor in exact.values_mut() {
        let (chunks, _) = tensor.2.as_chunks_mut();
        chunks.iter_mut().for_each(|[a, b, ..]: &mut [u8; 4]| (*a, *b) = (0, 0));
    }
    write(&path, &of_type(&tensors, Element::BF16, bf16));
    let mut model = new!(Ten, 1);
    let report = model.load_checkpoint_with(&path, &convert()).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.converted.len(), tensors.len());
    assert!(report.converted.iter().all(|converted| !converted.rounded));
    assert_eq!((report.converted[0].from, report.converted[0].to), (Element::BF16, Element::F32));
    assert_eq!(tensors!(model), exact);
    let text = report.to_string();
    assert_eq!(text, format!("{0} tensors loaded, {0} converted", tensors.len()));

    // The strict call says how.
    for options in [LoadOptions::default(), partial()] {
        let text = refused!(Ten, path, options).to_string();
        assert!(text.contains(
            "`latents` has the wrong data type: expected F32, found BF16; `load_checkpoint_with` converts a model's checkpoint, \
             with `LoadOptions::convert`"
        ), "{text}");
    }

    // From `f64`, numbers are rounded where they are not those of an `f32`.
    let mut doubles = of_type(&tensors, Element::F64, |x| x.to_le_bytes().into());
    let latents = doubles.get_mut("latents").unwrap();
    latents.2[..8].copy_from_slice(&0.1_f64.to_le_bytes());
    write(&path, &doubles);
    let mut model = new!(Ten, 1);
    let report = model.load_checkpoint_with(&path, &convert()).unwrap();
    let rounded = report.converted.iter().filter(|converted| converted.rounded);
    assert!(rounded.map(|converted| &*converted.tensor).eq(["latents"]));
    assert!(report.to_string().ends_with("converted, 1 rounded"), "{report}");
    let mut expected = tensors.clone();
    expected.get_mut("latents").unwrap().2[..4].copy_from_slice(&0.1_f32.to_le_bytes());
    assert_eq!(tensors!(model), expected);

    // `convert` alone is as strict about everything else.
    doubles.remove("to_logits.2.bias");
    write(&path, &doubles);
    let CheckpointError::Mismatch { problems, .. } = refused!(Ten, path, convert()) else {
        panic!()
    };
    assert_eq!(names(&problems), ["to_logits.2.bias"]);
}

#[test]
fn a_model_in_f64_takes_f32() {
    let (_folder, path, tensors) = ten();
    let mut model = Cpu::default().build_module::<Ten, f64>();
    model.load_checkpoint(&path).unwrap_err();
    let report = model.load_checkpoint_with(&path, &convert()).unwrap();
    assert!(report.is_complete() && report.converted.iter().all(|converted| !converted.rounded));
    assert_eq!(tensors!(model.to_dtype::<f32>()), tensors);
}

#[test]
fn numbers_that_are_too_large_are_not_converted() {
    let (_folder, path, tensors) = ten();
    let mut doubles = of_type(&tensors, Element::F64, |x| x.to_le_bytes().into());
    doubles.get_mut("latents").unwrap().2[..8].copy_from_slice(&1e60_f64.to_le_bytes());
    write(&path, &doubles);
    let expected =
        Problem::TooLarge { tensor: "latents".into(), expected: Element::F32, found: Element::F64 };
    let CheckpointError::Mismatch { problems, .. } = refused!(Ten, path, convert()) else {
        panic!()
    };
    assert_eq!(problems, std::slice::from_ref(&expected));

    let mut model = new!(Ten, 1);
    let before = tensors!(model);
    let options = LoadOptions { convert: true, ..partial() };
    let report = model.load_checkpoint_with(&path, &options).unwrap();
    assert_eq!(report.mismatched, [expected]);
    assert_eq!(tensors!(model)["latents"], before["latents"]);
}

#[test]
fn only_floating_point_numbers_are_weights() {
    use Element::{BOOL, F8_E4M3, I64, U8};
    for (dtype, size) in [(I64, 8), (BOOL, 1), (U8, 1), (F8_E4M3, 1)] {
        let (_folder, path, mut tensors) = ten();
        tensors.insert("latents".into(), (dtype, vec![3, 4], vec![0; 12 * size]));
        write(&path, &tensors);
        for options in [LoadOptions::default(), convert()] {
            let text = refused!(Ten, path, options).to_string();
            assert!(text.contains(&format!(
                "`latents` has the wrong data type: expected F32, found {dtype:?}; no weights are in this type: expected F16, \
                 BF16, F32 or F64, such as PyTorch's `.float()` makes"
            )), "{text}");
        }
    }
}

#[cfg(feature = "f16")]
#[test]
fn half_precision_is_rounded_to() {
    use perceiver::dfdx::dtypes::{AMP, f16};
    let (_folder, path, tensors) = ten();
    let expected = of_type(&tensors, Element::F16, |x| f16::from_f64(x).to_le_bytes().into());
    let mut model = Cpu::default().build_module::<Ten, f16>();
    let report = model.load_checkpoint_with(&path, &convert()).unwrap();
    let rounded = report.converted.iter().filter(|converted| converted.rounded).count();
    assert!(report.is_complete() && 0 < rounded && rounded < report.converted.len(), "{report}");
    assert_eq!(tensors!(model), expected);
    let mut model = Cpu::default().build_module::<Ten, AMP<f16>>();
    assert!(model.load_checkpoint_with(&path, &convert()).unwrap().is_complete());
    assert_eq!(tensors!(model), expected);

    // A file in half precision has the same numbers in `f32`.
    write(&path, &expected);
    let mut model = new!(Ten, 1);
    let report = model.load_checkpoint_with(&path, &convert()).unwrap();
    assert!(report.converted.iter().all(|converted| !converted.rounded));
    let again = of_type(&tensors!(model), Element::F16, |x| f16::from_f64(x).to_le_bytes().into());
    assert_eq!(again, expected);

    // 70,000 is more than it has.
    let mut large = tensors;
    large.get_mut("latents").unwrap().2[..4].copy_from_slice(&7e4_f32.to_le_bytes());
    write(&path, &large);
    let mut model = Cpu::default().build_module::<Ten, f16>();
    let error = model.load_checkpoint_with(&path, &convert()).unwrap_err();
    let CheckpointError::Mismatch { problems, .. } = &error else { panic!("{error}") };
    assert!(matches!(problems[..], [Problem::TooLarge { .. }]), "{error}");
}
