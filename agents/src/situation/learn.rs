//! How many views within how long tell that somebody is about to buy: learned from who then ordered.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step};
use serde::{Deserialize, Serialize};

use super::{CANDIDATES, IntentLearned, IntentObserved};
use crate::segmentation::Span;

/// Episodes that must have been seen before anything is said.
const EPISODES_MIN: u64 = 300;
/// Of them, so many with an order, and so many without.
const EACH_MIN: u64 = 50;
/// Episodes at which everything is halved, so that old times weigh less.
const EPISODES_MAX: u64 = 20_000;
/// Episodes from one look to the next.
const LOOK_EVERY: u64 = 50;
/// Standard errors by which a candidate must be better than what is in force.
const CLEAR: f64 = 3.0;
/// The candidate that is in force until another is clearly better: 3 views within 24 hours.
const AT_FIRST: u8 = 4;

/// The agent.
pub struct IntentLearner;

/// What has been seen so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Episodes in which somebody looked at a product again, that ended with an order.
    pub ordered: u64,
    /// Those that did not.
    pub not_ordered: u64,
    /// Of them, which met each candidate: with an order, and without.
    pub met: [(u64, u64); CANDIDATES.len()],
    /// The candidate last said to be the best; none yet.
    pub said: Option<u8>,
    /// Episodes since it was last looked.
    since_look: u64,
}

impl Evidence {
    /// How well a candidate tells those who order from those who don't: the share of the first that meet it,
    /// less the share of the others (Youden's J), and its variance.
    fn tells(&self, candidate: u8) -> (f64, f64) {
        let (with, without) = self.met.get(usize::from(candidate)).copied().unwrap_or_default();
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let (hits, alarms) = (share(with, self.ordered), share(without, self.not_ordered));
        let variance = |share: f64, all: u64| share * (1.0 - share) / all.max(1) as f64;
        (hits - alarms, variance(hits, self.ordered) + variance(alarms, self.not_ordered))
    }

    /// The candidate that is clearly better than what is in force.
    fn better(&self) -> Option<u8> {
        if self.ordered + self.not_ordered < EPISODES_MIN || self.ordered.min(self.not_ordered) < EACH_MIN {
            return None;
        }
        let in_force = self.said.unwrap_or(AT_FIRST);
        let (now, now_variance) = self.tells(in_force);
        let candidates = (0..CANDIDATES.len() as u8).map(|place| (place, self.tells(place)));
        let better = candidates.filter(|(_, (tells, variance))| tells - now > CLEAR * (variance + now_variance).sqrt());
        // Of equals the first, which asks for less.
        better
            .fold(None, |best: Option<(u8, f64)>, (place, (tells, _))| match best {
                Some((_, known)) if known >= tells => best,
                _ => Some((place, tells)),
            })
            .map(|(place, _)| place)
    }

    fn take_in(&mut self, seen: IntentObserved) {
        if self.ordered + self.not_ordered >= EPISODES_MAX {
            self.ordered /= 2;
            self.not_ordered /= 2;
            self.met.iter_mut().for_each(|(with, without)| (*with, *without) = (*with / 2, *without / 2));
        }
        self.ordered += u64::from(seen.ordered);
        self.not_ordered += u64::from(!seen.ordered);
        for (place, (with, without)) in self.met.iter_mut().enumerate() {
            if seen.met >> place & 1 == 1 {
                *with += u64::from(seen.ordered);
                *without += u64::from(!seen.ordered);
            }
        }
        self.since_look += 1;
    }
}

impl Agent for IntentLearner {
    const NAME: &'static str = "intent-learner";
    type Key = ();
    type State = Evidence;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|_: &IntentObserved| ());
    }
}

impl On<IntentObserved> for IntentLearner {
    fn on(
        &self,
        evidence: &mut Evidence,
        event: &Event<'_, IntentObserved>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        evidence.take_in(*event.body);
        if evidence.since_look < LOOK_EVERY {
            return Ok(());
        }
        evidence.since_look = 0;
        let Some(candidate) = evidence.better() else { return Ok(()) };
        evidence.said = Some(candidate);
        let (views, within_ms) = CANDIDATES.get(usize::from(candidate)).copied().unwrap_or_default();
        let (with, without) = evidence.met.get(usize::from(candidate)).copied().unwrap_or_default();
        let because = format!(
            "{views} views within {}: {with} of {} who ordered had them, {without} of {} who did not",
            Span::from_ms(within_ms),
            evidence.ordered,
            evidence.not_ordered
        );
        step.publish(IntentLearned { candidate, because: because.into() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use impresario_runtime::test_kit::given;

    use super::*;

    /// Folds what was seen, one after the other; what was said, and the evidence.
    fn learn(seen: impl IntoIterator<Item = IntentObserved>) -> (Vec<u8>, Evidence) {
        let (mut said, mut evidence) = (Vec::new(), Evidence::default());
        for seen in seen {
            let then = given(IntentLearner, (), evidence).when(&seen);
            said.extend(then.said::<IntentLearned>().into_iter().map(|learned| learned.candidate));
            evidence = then.state().clone();
        }
        (said, evidence)
    }

    #[test]
    fn a_setting_that_clearly_tells_better_is_said_once() {
        // Five views within three days tell who orders; three within a day tell nothing.
        let telling = (1 << 11) | 1;
        let seen = (0..1_000_u32).map(|number| {
            let ordered = number.is_multiple_of(3);
            let noise = if number.is_multiple_of(2) { 1 << 4 } else { 0 };
            IntentObserved { met: noise | if ordered { telling } else { 1 }, ordered }
        });
        let (said, evidence) = learn(seen);
        assert_eq!(said, [11]);
        assert_eq!((evidence.ordered, evidence.not_ordered), (334, 666));
    }

    #[test]
    fn little_or_unclear_evidence_changes_nothing() {
        let clear = |number: u32| IntentObserved {
            met: if number.is_multiple_of(2) { 1 << 11 } else { 1 << 4 },
            ordered: number.is_multiple_of(2),
        };
        assert!(learn((0..200).map(clear)).0.is_empty(), "too few");
        let unclear =
            |number: u32| IntentObserved { met: (1 << (number % 12)) as u16, ordered: number.is_multiple_of(5) };
        assert!(learn((0..2_000).map(unclear)).0.is_empty());
    }

    #[test]
    fn the_evidence_stays_bounded() {
        let mut evidence = Evidence::default();
        for number in 0..50_000_u64 {
            evidence.take_in(IntentObserved { met: 0xfff, ordered: number.is_multiple_of(2) });
        }
        assert!(evidence.ordered + evidence.not_ordered <= EPISODES_MAX);
    }
}
