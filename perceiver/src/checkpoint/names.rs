//! Names of tensors in files.

/// The name since release 0.11 of a tensor that releases 0.8 to 0.10 name by position:
/// `layers.0.0.fn.to_q.weight` is `layers.0.cross_attn.fn.to_q.weight`.
pub(super) fn current(name: &str) -> String {
    let mut segments: Vec<&str> = name.split('.').collect();
    if let ["layers", _, part, ..] = segments.as_mut_slice() {
        *part = match *part {
            "0" => "cross_attn",
            "1" => "cross_ff",
            "2" => "self_attns",
            other => other,
        };
    }
    segments.join(".")
}

/// The names a tensor of a model with `stored` layers has in a file of a model `depth` deep: one for each
/// layer that the stored one stands for.
pub(super) fn in_file(name: &str, stored: usize, depth: usize) -> Vec<String> {
    let layer = name.strip_prefix("layers.").and_then(|rest| {
        let (number, part) = rest.split_once('.')?;
        Some((number.parse::<usize>().ok()?, part))
    });
    match layer {
        Some((number, part)) if number + 1 == stored => (number..depth)
            .map(|number| format!("layers.{number}.{part}"))
            .collect(),
        _ => vec![name.into()],
    }
}

/// How many layers a model stores, from the names of its tensors.
pub(super) fn stored_layers<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .filter_map(|name| {
            name.strip_prefix("layers.")?
                .split('.')
                .next()?
                .parse()
                .ok()
        })
        .max()
        .map_or(0, |last: usize| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_parts_become_named() {
        let current_names = [
            ("latents", "latents"),
            ("layers.3.0.norm.weight", "layers.3.cross_attn.norm.weight"),
            (
                "layers.10.1.fn.net.0.bias",
                "layers.10.cross_ff.fn.net.0.bias",
            ),
            (
                "layers.0.2.1.0.fn.to_kv.weight",
                "layers.0.self_attns.1.0.fn.to_kv.weight",
            ),
            (
                "layers.0.self_attns.1.0.norm.bias",
                "layers.0.self_attns.1.0.norm.bias",
            ),
            ("to_logits.2.bias", "to_logits.2.bias"),
        ];
        for (older, expected) in current_names {
            assert_eq!(current(older), expected);
        }
    }

    #[test]
    fn the_last_stored_layer_stands_for_the_rest() {
        assert_eq!(in_file("layers.0.a", 2, 4), ["layers.0.a"]);
        assert_eq!(
            in_file("layers.1.a", 2, 4),
            ["layers.1.a", "layers.2.a", "layers.3.a"]
        );
        assert_eq!(in_file("latents", 2, 4), ["latents"]);
        assert_eq!(in_file("layers.5.a", 6, 6), ["layers.5.a"]);
    }
}
