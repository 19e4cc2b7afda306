//! What counts say: the baseline of examples that predict symbols.

use std::collections::HashMap;

/// How often each symbol was seen in each context.
///
/// A context is a list of what is known, the most telling first. A prediction from all of a context, which is rare, is
/// interpolated with those from less and less of it (Witten and Bell 1991).
pub struct Counts {
    symbols: usize,
    seen: HashMap<Vec<u8>, Vec<(u8, u32)>>,
}

impl Counts {
    /// Counts of so many different symbols.
    pub fn new(symbols: usize) -> Self {
        Self { symbols, seen: HashMap::new() }
    }

    pub fn add(&mut self, context: &[u8], symbol: u8) {
        for len in 0..=context.len() {
            let counts = self.seen.entry(context[..len].to_vec()).or_default();
            match counts.iter_mut().find(|(other, _)| *other == symbol) {
                Some((_, count)) => *count += 1,
                None => counts.push((symbol, 1)),
            }
        }
    }

    pub fn probability(&self, context: &[u8], symbol: u8) -> f64 {
        let mut probability = 1.0 / self.symbols as f64;
        for counts in (0..=context.len()).map_while(|len| self.seen.get(&context[..len])) {
            let total: u32 = counts.iter().map(|(_, count)| count).sum();
            let count = counts.iter().find(|(other, _)| *other == symbol);
            let count = count.map_or(0, |(_, count)| *count);
            let different = counts.len() as f64;
            probability =
                (f64::from(count) + different * probability) / (f64::from(total) + different);
        }
        probability
    }

    /// The most probable symbol.
    pub fn best(&self, context: &[u8]) -> u8 {
        let probability = |symbol: &u8| self.probability(context, *symbol);
        let symbols = (0..=u8::MAX).take(self.symbols);
        symbols.max_by(|a, b| probability(a).total_cmp(&probability(b))).unwrap_or(0)
    }
}
