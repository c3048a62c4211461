//! How much better one group does than another, with an interval that holds at every moment. Pure.
//!
//! People are put into buckets by a hash, and sums are kept by bucket: what one person does again and again
//! stays in one bucket, so the spread between buckets (delete-one jackknife) is that between people, whatever
//! their own events have in common. Means are weighed by how likely a person is in their group (Horvitz and
//! Thompson 1952, in Hájek's form). The interval is an asymptotic confidence sequence (Waudby-Smith, Arbour,
//! Sinha, Kennedy, Ramdas: "Time-uniform central limit theory and asymptotic confidence sequences", Annals of
//! Statistics 52(6), 2024, their normal-mixture boundary): it may be looked at after every person, for ever,
//! and is wrong once in twenty such histories, not once in twenty looks.

use serde::{Deserialize, Serialize};

/// Buckets that people are put into.
pub const BUCKETS: usize = 64;
/// How often an interval may be wrong over all time.
pub const ALPHA: f64 = 0.05;
/// People at which the interval is as narrow as it can be made.
const TUNED_FOR_PEOPLE: f64 = 2_000.0;
/// People a group needs for an interval.
pub const PEOPLE_MIN: f64 = 20.0;

/// A weighted sum over people and how many they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// The people's weights.
    pub weight: f64,
    /// Their outcomes by their weights.
    pub sum: f64,
}

/// A difference between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// The difference of the means, one less the other.
    pub value: f64,
    /// From here at every moment, but for one history in twenty.
    pub low: f64,
    /// To here.
    pub high: f64,
}

/// How much larger the mean is in `one` than in `other`, each by bucket; `None` where a group has fewer than
/// [`PEOPLE_MIN`] people. `people` is how many there are of each, not weighed.
pub fn lift(one: &[Weighed], other: &[Weighed], people: [f64; 2]) -> Option<Lift> {
    if people.iter().any(|people| *people < PEOPLE_MIN) {
        return None;
    }
    let (all, others) = (total(one), total(other));
    let value = all.mean()? - others.mean()?;
    let buckets = one.iter().zip(other);
    let without: Vec<f64> =
        buckets.filter_map(|(one, other)| Some(all.less(one).mean()? - others.less(other).mean()?)).collect();
    let count = without.len() as f64;
    if without.len() < BUCKETS / 2 {
        return None;
    }
    let middle = without.iter().sum::<f64>() / count;
    let variance = (count - 1.0) / count * without.iter().map(|one| (one - middle) * (one - middle)).sum::<f64>();
    let half = half_width(variance, people.iter().sum());
    Some(Lift { value, low: value - half, high: value + half })
}

fn total(buckets: &[Weighed]) -> Weighed {
    let add = |all: Weighed, one: &Weighed| Weighed { weight: all.weight + one.weight, sum: all.sum + one.sum };
    buckets.iter().fold(Weighed::default(), add)
}

impl Weighed {
    fn less(&self, other: &Self) -> Self {
        Self { weight: self.weight - other.weight, sum: self.sum - other.sum }
    }

    /// `None` of nobody.
    fn mean(&self) -> Option<f64> {
        (self.weight > 1e-9).then(|| self.sum / self.weight)
    }
}

/// Half the width of the sequence after `people`, where the estimate's own variance is `variance`.
fn half_width(variance: f64, people: f64) -> f64 {
    let tuned = -2.0 * libm::log(ALPHA);
    let rho_squared = (tuned + libm::log(tuned + 1.0)) / TUNED_FOR_PEOPLE;
    let spread = people * rho_squared + 1.0;
    // Their (sigma / t) factor: the estimate's variance is sigma squared by t.
    let factor = 2.0 * spread / (people * rho_squared) * libm::log(libm::sqrt(spread) / ALPHA);
    libm::sqrt(variance * factor)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    fn draw(rng: &mut ChaCha8Rng) -> f64 {
        (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether an interval ever excludes nothing in a trial of so many people, looked at every tenth of them;
    /// people differ in how often they buy, and buy again and again.
    fn alarms(seed: u64, people: u32, effect: f64) -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut groups = [[Weighed::default(); BUCKETS]; 2];
        let mut counts = [0.0_f64; 2];
        for person in 1..=people {
            let group = usize::from(draw(&mut rng) < 0.2);
            let often = draw(&mut rng) * draw(&mut rng) * 6.0;
            let bucket = (rng.next_u64() % BUCKETS as u64) as usize;
            let mut orders = 0.0;
            for _ in 0..6 {
                let by = if group == 0 { 1.0 + effect } else { 1.0 };
                orders += f64::from(u8::from(draw(&mut rng) < often / 6.0 * by));
            }
            let one = &mut groups[group][bucket];
            one.weight += 1.0;
            one.sum += orders;
            counts[group] += 1.0;
            if person % 10 == 0 {
                let found = lift(&groups[0], &groups[1], counts);
                if found.is_some_and(|found| found.low > 0.0 || found.high < 0.0) {
                    return true;
                }
            }
        }
        false
    }

    #[test]
    fn two_groups_alike_are_seldom_told_apart_however_often_one_looks() {
        let false_alarms = (0..300).filter(|seed| alarms(*seed, 1_500, 0.0)).count();
        assert!(false_alarms <= 15, "{false_alarms} of 300 trials: more than 5 %");
    }

    #[test]
    fn a_real_difference_is_found() {
        let found = (0..30).filter(|seed| alarms(*seed, 1_500, 0.5)).count();
        assert!(found >= 24, "{found} of 30");
    }

    #[test]
    fn nothing_is_said_of_a_few() {
        let few = [Weighed { weight: 0.2, sum: 0.1 }; BUCKETS];
        assert_eq!(lift(&few, &few, [500.0, 19.0]), None);
        let found = lift(&few, &few, [500.0, 20.0]).expect("enough");
        assert_eq!(found.value, 0.0);
    }
}
