//! The rhythm agent: how long everybody takes, on average, from one order to the next.
//!
//! It keeps two sums that do not depend on the order of events, and says the mean anew whenever the
//! number of gaps seen has grown (or shrunk, through merges) by a quarter since it last did: a shop
//! of any age says it some dozens of times, and what hangs on it need not be looked at for every order.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, Topic};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Millis, ProfileChanged};

/// Everybody's mean gap between two days with an order, as of this entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RhythmFitted {
    /// Milliseconds, at least 1.
    pub mean_gap_ms: Millis,
    /// How many gaps it is the mean of.
    pub gaps: i64,
}

impl Topic for RhythmFitted {
    const NAME: &'static str = "rhythm.fitted";
    const PERSONAL: bool = false;
}

/// The agent.
pub struct Rhythm;

/// The sums over everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Gaps seen.
    pub gaps: i64,
    /// Their total length.
    pub gaps_ms: Millis,
    /// How many gaps there were when the mean was last said.
    pub said_at_gaps: i64,
}

impl Sums {
    fn is_due(&self) -> bool {
        let (now, then) = (self.gaps, self.said_at_gaps);
        now > 0 && (then == 0 || now >= then + (then + 3) / 4 || now <= then - (then + 3) / 4)
    }
}

impl Agent for Rhythm {
    const NAME: &'static str = "rhythm";
    type Key = ();
    type State = Sums;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_some(|changed: &ProfileChanged| changed.rhythm.map(|_| ()));
    }
}

impl On<ProfileChanged> for Rhythm {
    fn on(&self, sums: &mut Sums, event: &Event<'_, ProfileChanged>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let delta = event.rhythm.unwrap_or_default();
        sums.gaps = sums.gaps.saturating_add(delta.gaps);
        sums.gaps_ms = sums.gaps_ms.saturating_add(delta.gaps_ms);
        if sums.is_due() {
            sums.said_at_gaps = sums.gaps;
            let mean_gap_ms = (sums.gaps_ms / sums.gaps).max(1);
            step.publish(RhythmFitted { mean_gap_ms, gaps: sums.gaps });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use impresario_runtime::test_kit::given;

    use super::*;
    use crate::vocabulary::{ProfileId, RhythmDelta};

    fn change(gaps: i64, gaps_ms: i64) -> ProfileChanged {
        let rhythm = Some(RhythmDelta { gaps, gaps_ms });
        ProfileChanged { profile: ProfileId(1), event: 1, features: Vec::new(), traits: Default::default(), rhythm }
    }

    #[test]
    fn the_mean_is_said_when_the_gaps_have_grown_by_a_quarter() {
        let said = |sums: &Sums, gaps| {
            let then = given(Rhythm, (), sums.clone()).when(&change(gaps, gaps * 100));
            (then.said::<RhythmFitted>(), then.state().clone())
        };
        let (first, sums) = said(&Sums::default(), 1);
        assert_eq!(first, [RhythmFitted { mean_gap_ms: 100, gaps: 1 }]);
        let eight = Sums { gaps: 8, gaps_ms: 800, said_at_gaps: 8 };
        assert!(said(&eight, 1).0.is_empty());
        assert_eq!(said(&eight, 2).0.len(), 1);
        assert_eq!(said(&eight, -2).0.len(), 1);
        assert_eq!(sums.said_at_gaps, 1);
        assert!(said(&Sums::default(), 0).0.is_empty());
    }
}
