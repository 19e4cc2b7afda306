//! What a constant has to be. The expansion of `perceiver!` asks for a trait that holds for `&InRange<true>` alone,
//! one for each key, so that the compiler's error has the words of the key.

/// A value of one type.
pub struct Given<T> {
    /// The value.
    pub value: T,
}

/// A count, as a type.
pub struct Count<const VALUE: usize>;

impl<const VALUE: usize> Count<VALUE> {
    /// The count.
    pub const VALUE: usize = VALUE;
}

/// A number, as a type.
pub struct Bits<const VALUE: u64>;

impl<const VALUE: u64> Bits<VALUE> {
    /// The number.
    pub const VALUE: f64 = f64::from_bits(VALUE);
}

/// A flag, as a type.
pub struct Flag<const VALUE: bool>;

impl<const VALUE: bool> Flag<VALUE> {
    /// The flag.
    pub const VALUE: bool = VALUE;
}

/// Whether a constant is in range, as a type.
pub struct InRange<const IS: bool>;

/// Holds for `&InRange<true>`: a reference, since it begins with a sign, which rust-analyzer does not explain.
pub trait Holds {}
impl Holds for &InRange<true> {}

/// The trait that holds where a constant is in range, with what the compiler says where it is not.
macro_rules! range {
    ($range:ident<$($FOUND:ident),*>, $message:literal) => {
        #[doc = $message]
        #[diagnostic::on_unimplemented(message = $message, label = "out of range")]
        pub trait $range<$(const $FOUND: usize),*> {
            /// Nothing: to name this is to ask whether the trait holds.
            const HOLDS: ();
        }

        #[diagnostic::do_not_recommend]
        impl<T: Holds, $(const $FOUND: usize),*> $range<$($FOUND),*> for T {
            const HOLDS: () = ();
        }
    };
}

/// Whether a count is in range.
#[must_use]
pub const fn count(value: usize, max: usize) -> bool {
    value >= 1 && value <= max
}

/// How types can show a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// By its digits.
    Positive,
    /// By its digits, behind a minus.
    Negative,
    /// Not by digits: it is not finite.
    Endless,
}

/// A number as types can show it, with three digits behind the point; the greatest is `usize::MAX`.
pub struct Number {
    /// Whether it is in range.
    pub holds: bool,
    /// How to show it.
    pub found: Found,
    /// The digits in front of the point.
    pub whole: usize,
    /// The first digit behind the point.
    pub tenths: usize,
    /// The second.
    pub hundredths: usize,
    /// The third.
    pub thousandths: usize,
}

impl Number {
    const fn new(value: f64, holds: bool) -> Self {
        let size = value.abs();
        // The nearest thousandth, since 0.3 is a little less than three tenths.
        let (whole, thousandths) = if size < 1e15 {
            let thousandths = (size * 1000.0 + 0.5) as usize;
            (thousandths / 1000, thousandths % 1000)
        } else {
            (size as usize, 0)
        };
        Self {
            holds,
            found: if !value.is_finite() {
                Found::Endless
            } else if value < 0.0 {
                Found::Negative
            } else {
                Found::Positive
            },
            whole,
            tenths: thousandths / 100,
            hundredths: thousandths / 10 % 10,
            thousandths: thousandths % 10,
        }
    }

    /// Whether it is not a number that is out of range and shown like this.
    #[must_use]
    pub const fn is_not(&self, found: Found) -> bool {
        self.holds || self.found as u8 != found as u8
    }
}

/// A number that has to be above 0.
#[must_use]
pub const fn positive(value: f64) -> Number {
    Number::new(value, value > 0.0 && value < f64::INFINITY)
}

/// A number that has to be a base of frequencies.
#[must_use]
pub const fn base(value: f64) -> Number {
    Number::new(value, positive(value).holds && value != 1.0)
}

/// A number that has to be a probability other than 1.
#[must_use]
pub const fn probability(value: f64) -> Number {
    Number::new(value, value >= 0.0 && value < 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_with_three_digits() {
        let shown = |value| {
            let Number {
                found,
                whole,
                tenths,
                hundredths,
                thousandths,
                ..
            } = positive(value);
            let sign = if found == Found::Negative { "-" } else { "" };
            format!("{sign}{whole}.{tenths}{hundredths}{thousandths}")
        };
        assert_eq!(shown(1.5), "1.500");
        assert_eq!(shown(-0.1), "-0.100");
        assert_eq!(shown(0.3), "0.300");
        assert_eq!(shown(0.9999), "1.000");
        assert_eq!(shown(12.345_6), "12.346");
        assert!(
            positive(f64::NAN).found == Found::Endless
                && positive(f64::INFINITY).found == Found::Endless
        );
    }
}
