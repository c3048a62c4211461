//! Chance in scenario files: one stream per purpose and thing, integers only.

use rand_core::Rng;

/// Chance for one thing.
pub(crate) struct Chance(Box<dyn Rng>);

impl Chance {
    /// The stream of `purpose` for the thing numbered `number`.
    pub(crate) fn new(seed: u64, purpose: &str, number: u64) -> Self {
        let run = *blake3::Hasher::new().update(b"chance").update(&seed.to_le_bytes()).finalize().as_bytes();
        Self(Box::new(impresario_runtime::rng::stream(&run, purpose, &[], number)))
    }

    /// One of `0..bound`; 0 for an empty range.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        let bound = u128::try_from(bound).unwrap_or(0);
        // The high half of the product: even to within 2^-64 of the range.
        ((u128::from(self.0.next_u64()) * bound) >> 64) as i64
    }

    /// True in `share` of a hundred cases.
    pub(crate) fn happens(&mut self, share: u32) -> bool {
        self.below(100) < i64::from(share)
    }

    /// `middle` give or take up to `share` hundredths of it, never below 1.
    pub(crate) fn around(&mut self, middle: i64, share: u32) -> i64 {
        let reach = middle.saturating_mul(i64::from(share)) / 100;
        (middle - reach + self.below(2 * reach + 1)).max(1)
    }
}
