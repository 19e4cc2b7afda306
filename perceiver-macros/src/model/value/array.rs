//! Arrays of numbers or flags.

use syn::{Expr, ExprArray};

use super::Read;
use super::scalar::{Hint, scalar};
use crate::messages;
use crate::report::Report;
use crate::schema::{self, Key, Kind};

/// Reads `[axis 1, .., channels]`, or `[number, ..]` with one for each axis.
pub fn array(key: &Key, array: &ExprArray, report: &mut Report) -> Option<Read> {
    let is_shape = matches!(key.kind, Kind::Shape);
    let (kind, lengths) = match key.kind {
        Kind::Shape => (schema::WIDTH, 2..=5),
        Kind::Rows => (schema::WIDTH, 2..=2),
        Kind::PerLayer => (Kind::Flag { literal: false }, 1..=1 << 12),
        Kind::Sizes => (schema::WIDTH, 1..=4),
        _ => (Kind::Positive, 1..=4),
    };
    let count = array.elems.len();
    if !lengths.contains(&count) {
        report.error(array, messages::wrong_length(key.name, &key.kind.expected(), count));
        return None;
    }
    let mut is_open = false;
    let mut element = |(index, element): (usize, &Expr)| {
        let wrong = match scalar(kind, element) {
            Ok(scalar) => return Some(scalar),
            Err(wrong) => wrong,
        };
        let is_axis = !is_shape || index + 1 < count;
        let of_any_size =
            is_shape && is_axis && matches!(wrong.hint, Hint::Infer | Hint::Usize | Hint::Nothing);
        // Who leaves one size open leaves more of them open: one mistake.
        if of_any_size && std::mem::replace(&mut is_open, true) {
            return None;
        }
        let hint = match (of_any_size, key.name == schema::SHAPE.name) {
            (true, true) => "; for inputs of any size, write `axes` and `channels` instead",
            (true, false) => {
                "; for inputs of any size, write `input_axis` and `input_channels` instead"
            }
            (false, _) => wrong.hint.text(),
        };
        let what = match (key.kind, is_axis, index) {
            (Kind::Rows, _, 0) => "the number of queries".into(),
            (Kind::PerLayer, ..) => format!("layer {}", index + 1),
            (Kind::Rows, ..) => "the dimension of the queries".into(),
            (_, true, _) => format!("axis {}", index + 1),
            (_, false, _) => "the number of channels".into(),
        };
        let expected = kind.expected();
        let message = messages::wrong_element(&what, key.name, &expected, &wrong.tokens, hint);
        report.error(&wrong.tokens, message);
        None
    };
    let elements: Vec<_> = array.elems.iter().enumerate().map(&mut element).collect();
    elements.into_iter().collect::<Option<_>>().map(Read::Array)
}
