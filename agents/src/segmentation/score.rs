//! Churn risk from a person's own purchase rhythm, the seam where a trained model takes over.
//!
//! The gaps between a person's days with an order are taken as exponential with mean
//! `m = (K * M + sum of own gaps) / (K + number of own gaps)`: their own mean, shrunk to everybody's
//! mean M as if K more gaps of that length had been seen (the posterior mean under a conjugate prior,
//! e.g. Gelman et al., Bayesian Data Analysis, section 2.6). The risk at time t after the last order is
//! the probability that a gap is shorter, `1 - exp(-t / m)`. So it passes a threshold at an instant known
//! beforehand: `t = m * -ln(1 - threshold)`.

use super::{Comparison, person::Person, truth::Truth};
use crate::{
    rhythm::RhythmFitted,
    vocabulary::{Feature, Millis},
};

/// How many gaps of everybody's length are added to a person's own.
pub const SHRINKAGE_GAPS: i64 = 3;

/// A test of churn risk.
pub(super) struct ChurnTest {
    /// Whether the risk is to be at or above the threshold.
    above: bool,
    /// Mean gaps after which the threshold is passed, in millionths.
    gaps_micros: i128,
}

impl ChurnTest {
    pub(super) fn new(op: Comparison, value: f64) -> Result<Self, String> {
        let above = match op {
            Comparison::GreaterOrEqual => true,
            Comparison::Less => false,
            _ => return Err("a score is compared with `>=` or `<`".into()),
        };
        if !(value > 0.0 && value < 1.0) {
            return Err("`value` is above 0 and below 1".into());
        }
        Ok(Self { above, gaps_micros: (-libm::log(1.0 - value) * 1e6).round() as i128 })
    }

    /// A person without an order, or a shop without a second one, has no risk that could be compared.
    pub(super) fn truth(&self, person: &Person, rhythm: Option<&RhythmFitted>, now: Millis) -> Truth {
        let Some((last_order, wait)) = self.wait(person, rhythm) else { return Truth::forever(false) };
        let passes_at = last_order.saturating_add(wait);
        let truth = if now >= passes_at { Truth::forever(true) } else { Truth::until(false, passes_at) };
        if self.above { truth } else { truth.not() }
    }

    /// The last order, and how long after it the threshold is passed, milliseconds.
    fn wait(&self, person: &Person, rhythm: Option<&RhythmFitted>) -> Option<(Millis, Millis)> {
        let mean = mean_gap_ms(person, rhythm?)?;
        let last_order = person.feature(Feature::LAST_ORDER_AT)?;
        let wait = (i128::from(mean) * self.gaps_micros / 1_000_000).clamp(1, i128::from(i64::MAX / 4));
        Some((last_order, wait as Millis))
    }

    /// What was found, in words.
    pub(super) fn found(person: &Person, rhythm: Option<&RhythmFitted>, now: Millis) -> String {
        let mean = rhythm.and_then(|rhythm| mean_gap_ms(person, rhythm));
        let since = person.feature(Feature::LAST_ORDER_AT).map(|last| now.saturating_sub(last));
        match (mean, since) {
            (Some(mean), Some(since)) => {
                let days = |ms: i64| ms as f64 / 86_400_000.0;
                let risk = 1.0 - libm::exp(-(since as f64) / mean.max(1) as f64);
                format!(
                    "{risk:.3}: {:.1} days since the last order, every {:.1} days expected",
                    days(since),
                    days(mean)
                )
            }
            _ => "no orders to tell from".into(),
        }
    }
}

/// A person's mean gap between orders, shrunk to everybody's, milliseconds; `None` without an order.
fn mean_gap_ms(person: &Person, rhythm: &RhythmFitted) -> Option<Millis> {
    let (first, last) = (person.feature(Feature::FIRST_ORDER_AT)?, person.feature(Feature::LAST_ORDER_AT)?);
    let gaps = (person.feature(Feature::ORDER_DAYS)? - 1).max(0);
    let own = i128::from(last - first);
    let shrunk =
        (i128::from(SHRINKAGE_GAPS) * i128::from(rhythm.mean_gap_ms) + own) / i128::from(SHRINKAGE_GAPS + gaps);
    Some(shrunk.clamp(1, i128::from(i64::MAX / 4)) as Millis)
}
