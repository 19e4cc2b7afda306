//! What counts of the bytes before one say about it.

use std::collections::HashMap;

/// How often each byte follows each sequence of up to `order` bytes.
///
/// A prediction from long sequences, which are rare, is interpolated with that from shorter ones (Witten and Bell 1991).
pub struct Counts {
    /// For sequences of each length.
    following: Vec<HashMap<Vec<u8>, Vec<(u8, u32)>>>,
}

impl Counts {
    pub fn of(text: &[u8], order: usize) -> Self {
        let following = (0..=order)
            .map(|len| {
                let mut following: HashMap<_, Vec<(u8, u32)>> = HashMap::new();
                for window in text.windows(len + 1) {
                    let (before, byte) = window.split_at(len);
                    let counts = following.entry(before.to_vec()).or_default();
                    match counts.iter_mut().find(|(other, _)| *other == byte[0]) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((byte[0], 1)),
                    }
                }
                following
            })
            .collect();
        Self { following }
    }

    /// Bits per byte of a text.
    pub fn bits(&self, text: &[u8]) -> f64 {
        let bits = (0..text.len()).map(|i| -self.probability(&text[..i], text[i]).log2());
        bits.sum::<f64>() / text.len() as f64
    }

    fn probability(&self, before: &[u8], byte: u8) -> f64 {
        let mut probability = 1.0 / 256.0;
        for (len, following) in self.following.iter().enumerate().take(before.len() + 1) {
            let Some(counts) = following.get(&before[before.len() - len..]) else { break };
            let total: u32 = counts.iter().map(|(_, count)| count).sum();
            let count =
                counts.iter().find(|(other, _)| *other == byte).map_or(0, |(_, count)| *count);
            let different = counts.len() as f64;
            probability =
                (f64::from(count) + different * probability) / (f64::from(total) + different);
        }
        probability
    }
}
