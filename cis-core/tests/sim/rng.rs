//! Numbers that look random and repeat by their seed (splitmix64), and which seeds a test takes.

#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n - 1`; 0 for 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let n = self.below(from.len() as u64);
        from.get(usize::try_from(n).unwrap())
    }

    /// An index drawn by weight.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (i, weight) in weights.iter().enumerate() {
            if left < *weight {
                return i;
            }
            left -= weight;
        }
        0
    }
}

/// So many seeds of a test, unless the environment says how many (`CIS_SIM_SEEDS`) and after how many (`CIS_SIM_SKIP`), or which one
/// (`CIS_SIM_SEED`).
pub(crate) fn seeds(first: u64, count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    match number("CIS_SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = first + number("CIS_SIM_SKIP").unwrap_or(0);
            (first..first + number("CIS_SIM_SEEDS").unwrap_or(count)).collect()
        }
    }
}
