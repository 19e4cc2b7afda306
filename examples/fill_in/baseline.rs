//! What counts of bytes say about a hidden byte.

use crate::data::Window;
use crate::score::Score;

/// Where the neighbours of a byte are, the nearest first.
const OFFSETS: [isize; 4] = [-1, 1, -2, 2];

/// Predicts a byte from one or two bytes on each side of it, by how often each byte is between them in a text.
///
/// It uses those neighbours that are not hidden themselves. Since few neighbours say little and many are seen rarely, the
/// prediction from each number of neighbours is interpolated with that from fewer (Witten and Bell 1991).
pub struct Neighbours {
    /// For each set of neighbours, a bit for each one: what is in the text, sorted, and how often.
    counts: [Vec<(Place, u32)>; 1 << OFFSETS.len()],
}

/// Neighbours, 0 where one is not used, and then the byte between them.
type Place = [u8; OFFSETS.len() + 1];

impl Neighbours {
    pub fn count(text: &[u8]) -> Self {
        let counts = std::array::from_fn(|set| {
            let place = |i| {
                let mut place = neighbours(text, i, |k| set >> k & 1 == 1)?;
                place[OFFSETS.len()] = text[i];
                Some(place)
            };
            let mut places: Vec<Place> = (0..text.len()).filter_map(place).collect();
            places.sort_unstable();
            places.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
        });
        Self { counts }
    }

    /// Scores the predictions of the hidden bytes of windows from one or two bytes on each `side`.
    pub fn score(&self, windows: &[Window], side: usize) -> Score {
        let mut score = Score::default();
        for window in windows {
            for i in window.blanks() {
                score.add(&self.predict(window, i, side), window.bytes[i]);
            }
        }
        score
    }

    fn predict(&self, window: &Window, i: usize, side: usize) -> [f32; 256] {
        let mut probabilities = [1.0 / 256.0; 256];
        let mut set = 0;
        self.interpolate(&mut probabilities, set, window, i);
        for (k, offset) in OFFSETS.into_iter().enumerate().take(2 * side) {
            let neighbour = i.wrapping_add_signed(offset);
            if window.hidden.get(neighbour) == Some(&false) {
                set |= 1 << k;
                self.interpolate(&mut probabilities, set, window, i);
            }
        }
        probabilities
    }

    /// Weighs what the counts say by how many there are, and `probabilities` by how many different bytes they are of.
    fn interpolate(&self, probabilities: &mut [f32; 256], set: usize, window: &Window, i: usize) {
        let Some(first) = neighbours(&window.bytes, i, |k| set >> k & 1 == 1) else { return };
        let counts = &self.counts[set];
        let counts = &counts[counts.partition_point(|(place, _)| *place < first)..];
        let between = |(place, _): &(Place, u32)| place[..OFFSETS.len()] == first[..OFFSETS.len()];
        let counts = &counts[..counts.partition_point(between)];
        if counts.is_empty() {
            return;
        }
        let total: u32 = counts.iter().map(|(_, count)| count).sum();
        let (total, different) = (total as f32, counts.len() as f32);
        for p in probabilities.iter_mut() {
            *p *= different / (total + different);
        }
        for (place, count) in counts {
            probabilities[usize::from(place[OFFSETS.len()])] += *count as f32 / (total + different);
        }
    }
}

/// The neighbours of a byte that are used, and 0 for the byte itself; nothing if one is outside the text.
fn neighbours(text: &[u8], i: usize, used: impl Fn(usize) -> bool) -> Option<Place> {
    let mut place = Place::default();
    for (k, offset) in OFFSETS.into_iter().enumerate().filter(|(k, _)| used(*k)) {
        place[k] = *text.get(i.checked_add_signed(offset)?)?;
    }
    Some(place)
}

/// Scores predictions of hidden bytes that are the frequencies of bytes in a text.
pub fn frequencies(text: &[u8], windows: &[Window]) -> Score {
    let mut frequencies = [0.0; 256];
    for byte in text {
        frequencies[usize::from(*byte)] += 1.0;
    }
    let probabilities = frequencies.map(|count| count / text.len() as f32);
    let mut score = Score::default();
    for window in windows {
        for i in window.blanks() {
            score.add(&probabilities, window.bytes[i]);
        }
    }
    score
}
