//! Letters and their tags.

use crate::common::counts::Counts;

/// What comes after a letter, by its number. A hyphen counts as a space, and an apostrophe as nothing.
const AFTER: [&str; 4] = ["", " ", ", ", ". "];
/// The number of tags: each of these after a small letter or a capital.
pub const TAGS: usize = 2 * AFTER.len();

/// A small letter, from 0, and its tag.
#[derive(Clone, Copy)]
pub struct Letter {
    pub id: u8,
    pub tag: u8,
}

/// The letters of a text.
pub fn of(text: &str) -> Vec<Letter> {
    let mut letters: Vec<Letter> = Vec::new();
    for char in text.chars() {
        if char.is_ascii_alphabetic() {
            let id = char.to_ascii_lowercase() as u8 - b'a';
            letters
                .push(Letter { id, tag: AFTER.len() as u8 * u8::from(char.is_ascii_uppercase()) });
            continue;
        }
        let after: u8 = match char {
            '.' | '!' | '?' => 3,
            ',' | ';' | ':' => 2,
            '-' => 1,
            char if char.is_whitespace() => 1,
            _ => 0,
        };
        if let Some(letter) = letters.last_mut() {
            letter.tag += after.saturating_sub(letter.tag % AFTER.len() as u8);
        }
    }
    letters
}

/// The letters on each side that a token has.
pub const SIDE: usize = 4;
/// The width of a token.
pub const TOKEN: usize = 26 * (2 * SIDE + 1);

/// A letter and its neighbours, one-hot; a neighbour beyond the text is nothing.
pub fn token(letters: &[Letter], i: usize) -> [f32; TOKEN] {
    let mut token = [0.0; TOKEN];
    for (place, part) in token.chunks_mut(26).enumerate() {
        if let Some(letter) = (i + place).checked_sub(SIDE).and_then(|i| letters.get(i)) {
            part[usize::from(letter.id)] = 1.0;
        }
    }
    token
}

/// The text that a letter and its tag stand for.
pub fn restored(letter: Letter, tag: u8) -> String {
    let (capital, after) = (usize::from(tag) / AFTER.len(), usize::from(tag) % AFTER.len());
    let char = char::from(b'a' + letter.id);
    let char = if capital == 1 { char.to_ascii_uppercase() } else { char };
    format!("{char}{}", AFTER[after])
}

/// The tags of a text by counts of so many letters on each side in another one.
pub fn counted(train: &[Letter], test: &[Letter], side: isize) -> Vec<u8> {
    // The nearest first.
    let context = |letters: &[Letter], i: usize| -> Vec<u8> {
        let offsets = std::iter::once(0).chain((1..=side).flat_map(|offset| [offset, -offset]));
        let at = |offset| i.checked_add_signed(offset).and_then(|i| letters.get(i));
        offsets.map(|offset| at(offset).map_or(u8::MAX, |letter| letter.id)).collect()
    };
    let mut counts = Counts::new(TAGS);
    (0..train.len()).for_each(|i| counts.add(&context(train, i), train[i].tag));
    (0..test.len()).map(|i| counts.best(&context(test, i))).collect()
}

/// The share of letters whose tag is right, in percent.
pub fn right(letters: &[Letter], tags: &[u8]) -> f64 {
    let right = letters.iter().zip(tags).filter(|(letter, tag)| letter.tag == **tag).count();
    100.0 * right as f64 / letters.len() as f64
}

/// The share of words that are found, with nothing split off or added, in percent.
pub fn words(letters: &[Letter], tags: &[u8]) -> f64 {
    let ends_word = |tag: u8| !usize::from(tag).is_multiple_of(AFTER.len());
    let (mut found, mut count, mut is_found) = (0, 0, true);
    for (letter, tag) in letters.iter().zip(tags) {
        let (truth, ends) = (ends_word(letter.tag), ends_word(*tag));
        is_found &= truth == ends;
        if truth {
            count += 1;
            found += usize::from(is_found);
            // The next word begins where this one ends.
            is_found = ends;
        }
    }
    100.0 * f64::from(found as u32) / f64::from(count)
}
