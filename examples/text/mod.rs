//! The text that the examples about language learn from.

/// Returns the text, one paragraph on each line.
pub fn load() -> &'static str {
    let file = include_str!("sherlock.txt");
    // The comments come first.
    let start = file.find("\nADVENTURE").expect("the file has a first story");
    &file[start + 1..]
}

/// Splits the text into nine tenths for training and the last tenth, which is held out.
pub fn split(text: &str) -> (&str, &str) {
    text.split_at(text.len() / 10 * 9)
}
