//! Summaries of models, with their costs.

use perceiver::prelude::*;

use crate::{Headless, Small, small};

#[test]
fn the_summary_has_every_parameter() {
    let (_, model) = small();
    let summary = model.summary();
    assert_eq!(summary.parameters(), Small::PARAMETERS);
    let text = summary.to_string();
    assert!(text.contains("layers.0-1.self_attns.1.0"), "{text}");
    assert!(text.contains("to_kv [20, 9]"), "{text}");
}

#[test]
fn a_summary_with_a_cost_shows_it() {
    let (_, model) = small();
    assert!(!model.summary().to_string().contains("FLOPs"));
    let cost = Small::cost(2, [4]);
    let text = model.summary().with_cost(cost).to_string();
    let last = |line: &str| line.split_whitespace().last().map(String::from);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(last(lines[0]).as_deref(), Some("FLOPs"), "{text}");
    // All lines of the table end in one column.
    let [table @ .., _] = &lines[..] else { panic!("{text}") };
    let width = table[0].chars().count();
    assert!(table.iter().all(|line| line.chars().count() == width), "{text}");
    assert!(lines[lines.len() - 1].starts_with("memory of a forward pass: "), "{text}");
    assert_eq!(cost.flops(), Small::flops(2, [4]));
}

#[test]
fn a_model_of_a_fixed_shape_shows_its_cost_by_itself() {
    let model = Cpu::default().build_module::<Headless, f32>();
    let summary = model.summary();
    assert_eq!(summary.cost.map(|cost| cost.flops()), Some(Headless::FLOPS));
    assert_eq!(Headless::flops(3), 3 * Headless::FLOPS);
    assert!(Headless::forward_memory(3) > Headless::forward_memory(1));
}

#[test]
fn the_summary_separates_thousands() {
    perceiver! {
        struct Million {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1,
            num_latents: 62_500, latent_dim: 16, latent_heads: 2, latent_dim_head: 4,
            cross_dim_head: 4, num_classes: 5,
        }
    }
    let text = Cpu::default().build_module::<Million, f32>().summary().to_string();
    let parameters = |part: &str| {
        let line = text.lines().find(|line| line.starts_with(part));
        line.and_then(|line| line.split_whitespace().last())
    };
    assert_eq!(parameters("latents"), Some("1,000,000"), "{text}");
    assert_eq!(parameters("to_logits"), Some("117"), "{text}");
    assert_eq!(parameters("Million"), Some("1,007,419"), "{text}");
}
