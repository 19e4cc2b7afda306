//! Checks of constants that only the compiler can evaluate. Each panics with the value if it is out of range.

/// Checks for an integer from `min` to `max`.
#[track_caller]
pub const fn count(what: &str, min: usize, max: usize, value: usize) {
    if value < min || value > max {
        let message = Message::new(what, "an integer from ").integer(min).text(" to ").integer(max);
        message.found().integer(value).panic();
    }
}

/// Checks for a number above 0.
#[track_caller]
pub const fn positive(what: &str, value: f64) {
    if !(value > 0.0 && value < f64::INFINITY) {
        Message::new(what, "a number above 0").found().number(value).panic();
    }
}

/// Checks the base of frequency bands.
#[track_caller]
pub const fn base(what: &str, value: Option<f64>) {
    if let Some(value) = value
        && !(value > 0.0 && value < f64::INFINITY && value != 1.0)
    {
        Message::new(what, "a number above 0 other than 1").found().number(value).panic();
    }
}

/// Checks a dropout rate.
#[track_caller]
pub const fn rate(what: &str, value: f64) {
    if !(value >= 0.0 && value < 1.0) {
        Message::new(what, "a number in the range 0.0..1.0").found().number(value).panic();
    }
}

/// Checks a rate that may be 1.
#[track_caller]
pub const fn probability(what: &str, value: f64) {
    if !(value >= 0.0 && value <= 1.0) {
        Message::new(what, "a number in the range 0.0..=1.0").found().number(value).panic();
    }
}

/// Checks that there is one number for each axis.
#[track_caller]
pub const fn per_axis(what: &str, axes: usize, count: usize) {
    if axes != count {
        let message = Message::new(what, "an array of one number for each axis, ").integer(axes);
        message.found().integer(count).panic();
    }
}

/// Checks that there is one flag for each layer.
#[track_caller]
pub const fn per_layer(what: &str, depth: usize, count: usize) {
    if depth != count {
        let message = Message::new(what, "an array of one flag for each layer, ").integer(depth);
        message.found().integer(count).panic();
    }
}

/// Checks that a width can be divided among heads.
#[track_caller]
pub const fn heads(what: &str, width: usize, heads: &str, count: usize) {
    if count > 0 && !width.is_multiple_of(count) {
        let message = Message::new(what, "a multiple of ").text(heads).text(" (").integer(count);
        message.text(")").found().integer(width).panic();
    }
}

/// Checks that a width can be divided among heads, each of which has pairs of channels.
#[track_caller]
pub const fn paired_heads(what: &str, width: usize, heads: &str, count: usize) {
    self::heads(what, width, heads, count);
    if count > 0 && !width.is_multiple_of(2 * count) {
        let message = Message::new(what, "a multiple of 2 · ").text(heads).text(" (");
        let message = message.integer(2 * count).text("), since pairs of channels are rotated");
        message.found().integer(width).panic();
    }
}

/// Checks two widths that have to be equal; `why` completes the sentence.
#[track_caller]
pub const fn equal(what: &str, other: &str, expected: usize, why: &str, width: usize) {
    if width != expected {
        let message = Message::new(what, "equal to ").text(other).text(" (").integer(expected);
        message.text("), ").text(why).found().integer(width).panic();
    }
}

/// A message that is built at compile time.
struct Message {
    bytes: [u8; 256],
    len: usize,
    /// Whether a backtick is open.
    is_quoting: bool,
}

impl Message {
    const fn new(what: &str, expected: &str) -> Self {
        let empty = Self { bytes: [0; 256], len: 0, is_quoting: false };
        empty.text(what).text(" must be ").text(expected)
    }

    const fn found(mut self) -> Self {
        self = self.text(", found `");
        self.is_quoting = true;
        self
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn integer(self, integer: usize) -> Self {
        let mut digits = [0; 20];
        let (mut start, mut rest) = (digits.len(), integer);
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.text(ascii(digits.split_at(start).1))
    }

    /// Appends a number with up to three decimal places; its integer part saturates at `usize::MAX`.
    const fn number(self, number: f64) -> Self {
        if number.is_nan() {
            return self.text("NaN");
        }
        let sign = if number < 0.0 { "-" } else { "" };
        let size = number.abs();
        if size == f64::INFINITY {
            return self.text(sign).text("inf");
        }
        // Rounded to the nearest thousandth, since 0.3 is slightly less than three tenths.
        let (whole, thousandths) = if size < 1e15 {
            let thousandths = (size * 1000.0 + 0.5) as usize;
            (thousandths / 1000, thousandths % 1000)
        } else {
            (size as usize, 0)
        };
        let digits = [thousandths / 100, thousandths / 10 % 10, thousandths % 10];
        let mut message = self.text(sign).integer(whole).text(".").integer(digits[0]);
        if digits[1] + digits[2] > 0 {
            message = message.integer(digits[1]);
        }
        if digits[2] > 0 {
            message = message.integer(digits[2]);
        }
        message
    }

    #[track_caller]
    const fn panic(self) -> ! {
        let end = if self.is_quoting { "`" } else { "" };
        let message = self.text(end);
        panic!("{}", ascii(message.bytes.split_at(message.len).0))
    }
}

const fn ascii(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_up_to_three_digits() {
        let shown = |value| {
            let Message { bytes, len, .. } = Message::new("", "").number(value);
            ascii(&bytes[..len]).trim_start_matches(" must be ").to_string()
        };
        for (number, text) in [
            (1.5, "1.5"),
            (-0.1, "-0.1"),
            (0.3, "0.3"),
            (0.9999, "1.0"),
            (12.345_6, "12.346"),
            (0.005, "0.005"),
            (1e20, "18446744073709551615.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(shown(number), text);
        }
    }

    #[test]
    #[should_panic = "`depth` must be an integer from 1 to 4096, found `0`"]
    fn a_count_is_at_least_one() {
        count("`depth`", 1, 4096, 0);
    }

    #[test]
    fn what_is_in_range_is_accepted() {
        count("", 0, 4, 0);
        count("", 1, 4, 4);
        positive("", 1e-300);
        base("", None);
        base("", Some(2.0));
        rate("", 0.0);
        per_axis("", 2, 2);
        per_layer("", 6, 6);
        heads("", 12, "", 4);
        equal("", "", 4, "", 4);
    }
}
