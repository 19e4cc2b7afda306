//! Names of tensors in files, as data: one file for each family of checkpoints.

mod perceiver_pytorch;

pub(crate) use perceiver_pytorch::PERCEIVER_PYTORCH;

/// The names that a family of checkpoints has for the parts of a model.
pub(crate) struct Layout {
    /// What is called differently from this library.
    rules: &'static [Rule],
    /// What older releases called differently, and what it is called now.
    older: &'static [(&'static str, &'static str)],
}

/// What a part is called. `{}` stands for a number.
struct Rule {
    /// In this library.
    ours: &'static str,
    /// In files. More than one: a tensor of ours has the rows of theirs, one after the other and each as many.
    theirs: &'static [&'static str],
}

impl Layout {
    /// The names in files of a tensor of ours; more than one if it is split there.
    pub fn names(&self, ours: &str) -> Vec<String> {
        let renamed = |rule: &Rule| {
            let theirs = rule.theirs.iter();
            let names = theirs.map(|theirs| renamed(ours, rule.ours, theirs));
            names.collect::<Option<Vec<String>>>()
        };
        let found = self.rules.iter().find_map(renamed);
        found.unwrap_or_else(|| vec![ours.into()])
    }

    /// What a tensor of a file is called in files today: files may have names of older releases, or this library's own,
    /// as dfdx's `save_safetensors` writes them.
    pub fn current(&self, name: &str) -> String {
        let older = |&(older, current): &(&str, &str)| renamed(name, older, current);
        if let Some(current) = self.older.iter().find_map(older) {
            return current;
        }
        match self.names(name).as_slice() {
            [theirs] => theirs.clone(),
            _ => name.into(),
        }
    }
}

/// `name` with the pattern that it begins with replaced by another.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let mut rest = name.split('.');
    let mut numbers = Vec::new();
    for expected in from.split('.') {
        let segment = rest.next()?;
        if expected == "{}" {
            segment.parse::<usize>().ok()?;
            numbers.push(segment);
        } else if expected != segment {
            return None;
        }
    }
    let mut numbers = numbers.into_iter();
    let to = to.split('.').map(|segment| match segment {
        "{}" => numbers.next().unwrap_or(segment),
        _ => segment,
    });
    Some(to.chain(rest).collect::<Vec<_>>().join("."))
}

/// The name that a tensor of a layer has in another layer.
pub(crate) fn in_layer(name: &str, layer: usize) -> Option<String> {
    let (_, part) = name.strip_prefix("layers.")?.split_once('.')?;
    Some(format!("layers.{layer}.{part}"))
}

/// The number of the layer that a tensor belongs to.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let (number, _) = name.strip_prefix("layers.")?.split_once('.')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_may_be_split_in_files() {
        let layout = Layout {
            rules: &[Rule {
                ours: "layers.{}.attention.to_kv",
                theirs: &["block.{}.key", "block.{}.value"],
            }],
            older: &[],
        };
        assert_eq!(
            layout.names("layers.7.attention.to_kv.weight"),
            ["block.7.key.weight", "block.7.value.weight"]
        );
        assert_eq!(layout.names("latents"), ["latents"]);
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(renamed("a.1.b", "a.{}", "c.{}"), Some("c.1.b".into()));
        assert_eq!(renamed("a.x.b", "a.{}", "c.{}"), None);
        assert_eq!(renamed("a", "a.{}", "c.{}"), None);
    }

    #[test]
    fn a_layer_is_renumbered() {
        assert_eq!(layer_of("layers.12.a.b"), Some(12));
        assert_eq!(layer_of("latents"), None);
        assert_eq!(in_layer("layers.1.a.2.b", 3), Some("layers.3.a.2.b".into()));
        assert_eq!(in_layer("latents", 3), None);
    }
}
