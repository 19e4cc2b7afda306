//! What a constant has to be. The expansion of `perceiver!` asks for a trait that holds for [`InRange<true>`] alone,
//! one for each key, so that the compiler's error has the words of the key.

/// Whether a constant is in range, as a type.
pub struct InRange<const IS: bool>;

/// Holds for `InRange<true>`.
pub trait Holds {}
impl Holds for InRange<true> {}

/// The trait that holds where a constant is in range, with what the compiler says where it is not.
macro_rules! range {
    ($range:ident $(<$FOUND:ident>)?, $message:literal) => {
        #[doc = $message]
        #[diagnostic::on_unimplemented(message = $message, label = "out of range")]
        pub trait $range $(<const $FOUND: usize>)? {
            /// Nothing: to name this is to ask whether the trait holds.
            const HOLDS: ();
        }

        #[diagnostic::do_not_recommend]
        impl<T: Holds $(, const $FOUND: usize)?> $range $(<$FOUND>)? for T {
            const HOLDS: () = ();
        }
    };
}

/// Whether a count is in range.
#[must_use]
pub const fn count(value: usize, max: usize) -> bool {
    value >= 1 && value <= max
}

/// Whether a number is above 0.
#[must_use]
pub const fn positive(value: f64) -> bool {
    value > 0.0 && value < f64::INFINITY
}

/// Whether `freq_base` is a base.
#[must_use]
pub const fn base(value: Option<f64>) -> bool {
    match value {
        None => true,
        Some(base) => positive(base) && base != 1.0,
    }
}

/// Whether a number is a probability that is not 1.
#[must_use]
pub const fn probability(value: f64) -> bool {
    value >= 0.0 && value < 1.0
}
