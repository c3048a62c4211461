//! When a failed worker starts again: one for one, with backoff, and not for ever.

use std::collections::VecDeque;

use impresario_store::Seq;
use rand_chacha::rand_core::Rng;

use crate::{Failure, FailureKind, RunSeed, RuntimeLimits, rng};

/// What to do with a worker that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after a while.
    Restart {
        /// How long to wait.
        after_ms: u64,
        /// An entry to set aside when it comes.
        set_aside: Option<Seq>,
    },
    /// Leave it down until an operator resumes it.
    Suspend,
}

/// The record of one worker's failures. Pure: time and seed are given.
#[derive(Debug, Default)]
pub struct Supervision {
    failures: VecDeque<i64>,
    in_a_row: u32,
    last_ms: Option<i64>,
    at_entry: Option<(Seq, u32)>,
    /// Entries set aside with nothing folded in between, and how much was folded by then.
    letters: (usize, u64),
}

impl Supervision {
    /// Takes note of a failure at `now_ms` of the worker called `name`, which has folded `folded`
    /// entries in its life.
    pub fn failed(
        &mut self,
        name: &str,
        failure: &Failure,
        folded: u64,
        now_ms: i64,
        seed: &RunSeed,
        limits: &RuntimeLimits,
    ) -> Verdict {
        if failure.kind == FailureKind::Rejected {
            // The agent itself says that this entry is not to come again; the agent is well.
            return Verdict::Restart { after_ms: 0, set_aside: Some(failure.seq) };
        }
        if failure.kind == FailureKind::Agent {
            return Verdict::Suspend;
        }
        if self.last_ms.is_some_and(|last| now_ms.saturating_sub(last) >= limits.healthy_after_ms) {
            self.in_a_row = 0;
        }
        self.last_ms = Some(now_ms);
        if failure.kind == FailureKind::Entry && self.is_poison(failure.seq, limits) {
            return self.set_aside(failure.seq, folded, limits);
        }
        if failure.kind != FailureKind::Retry {
            // Who asks to wait has not failed.
            self.failures.push_back(now_ms);
            let window = limits.failures_window_ms;
            while self.failures.front().is_some_and(|first| now_ms.saturating_sub(*first) > window) {
                self.failures.pop_front();
            }
            if self.failures.len() >= limits.failures_max {
                return Verdict::Suspend;
            }
        }
        Verdict::Restart { after_ms: self.delay(name, failure.seq, seed, limits), set_aside: None }
    }

    /// The entry it failed at last, and how often in a row.
    pub fn at_entry(&self) -> Option<(Seq, u32)> {
        self.at_entry
    }

    /// Counts the failures at one entry; true at the last one it may have.
    fn is_poison(&mut self, seq: Seq, limits: &RuntimeLimits) -> bool {
        let attempts = match self.at_entry {
            Some((known, attempts)) if known == seq => attempts + 1,
            _ => 1,
        };
        self.at_entry = Some((seq, attempts));
        attempts >= limits.entry_attempts_max
    }

    /// The entry is the culprit, unless one after the other is: then it is the agent.
    fn set_aside(&mut self, seq: Seq, folded: u64, limits: &RuntimeLimits) -> Verdict {
        self.at_entry = None;
        let (count, folded_then) = self.letters;
        let count = if folded == folded_then { count + 1 } else { 1 };
        self.letters = (count, folded);
        if count >= limits.failures_max {
            return Verdict::Suspend;
        }
        self.failures.clear();
        self.in_a_row = 0;
        Verdict::Restart { after_ms: 0, set_aside: Some(seq) }
    }

    fn delay(&mut self, name: &str, seq: Seq, seed: &RunSeed, limits: &RuntimeLimits) -> u64 {
        let doubled = limits.backoff_ms_min.saturating_mul(1_u64 << self.in_a_row.min(20));
        self.in_a_row += 1;
        let delay = doubled.min(limits.backoff_ms_max);
        let mut chance = rng::stream(seed, "supervision", name.as_bytes(), seq ^ u64::from(self.in_a_row) << 48);
        // Up to a fifth more, so that workers that fell together don't rise together.
        delay + u64::from(chance.next_u32()) * (delay / 5) / u64::from(u32::MAX)
    }

    /// An operator has resumed it: the record begins anew.
    pub fn resumed(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(record: &mut Supervision, kind: FailureKind, seq: Seq, folded: u64, now_ms: i64) -> Verdict {
        let failure = Failure { seq, what: "boom".into(), kind };
        record.failed("a/0", &failure, folded, now_ms, &[0; 32], &RuntimeLimits::default())
    }

    fn delay(verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Restart { after_ms, set_aside: None } => after_ms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn delays_double_and_the_third_failure_at_one_entry_sets_it_aside() {
        let mut record = Supervision::default();
        let first = delay(fail(&mut record, FailureKind::Entry, 5, 0, 0));
        let second = delay(fail(&mut record, FailureKind::Entry, 5, 0, 200));
        assert!((100..=120).contains(&first), "{first}");
        assert!((200..=240).contains(&second), "{second}");
        let third = fail(&mut record, FailureKind::Entry, 5, 0, 500);
        assert_eq!(third, Verdict::Restart { after_ms: 0, set_aside: Some(5) });
    }

    #[test]
    fn five_failures_in_a_minute_suspend_and_resuming_forgives() {
        let mut record = Supervision::default();
        for seq in 1..5 {
            let verdict = fail(&mut record, FailureKind::Entry, seq, 0, 1_000 * seq as i64);
            assert!(matches!(verdict, Verdict::Restart { .. }), "{verdict:?}");
        }
        assert_eq!(fail(&mut record, FailureKind::Worker, 0, 0, 9_000), Verdict::Suspend);
        record.resumed();
        let after = delay(fail(&mut record, FailureKind::Entry, 10, 0, 100_000));
        assert!((100..=120).contains(&after), "{after}");
    }

    #[test]
    fn failures_spread_over_more_than_the_window_never_suspend_and_health_resets_the_delay() {
        let mut record = Supervision::default();
        for seq in 1..50 {
            let after = delay(fail(&mut record, FailureKind::Entry, seq, 0, 61_000 * seq as i64));
            assert!((100..=120).contains(&after), "{after}");
        }
    }

    #[test]
    fn who_asks_to_wait_is_never_suspended_nor_set_aside_and_waits_longer_each_time() {
        let mut record = Supervision::default();
        let delays: Vec<_> = (0..40).map(|n| delay(fail(&mut record, FailureKind::Retry, 5, 0, n * 1_000))).collect();
        assert!((30_000..=36_000).contains(delays.last().unwrap()), "{delays:?}");
        let broke = delay(fail(&mut record, FailureKind::Entry, 5, 0, 41_000));
        assert!(broke >= 30_000, "one failure after many retries is one failure: {broke}");
    }

    #[test]
    fn poison_here_and_there_is_the_entries_fault_and_poison_all_along_is_the_agents() {
        let poison = |record: &mut Supervision, seq, folded| {
            for _ in 0..2 {
                delay(fail(record, FailureKind::Entry, seq, folded, 0));
            }
            fail(record, FailureKind::Entry, seq, folded, 0)
        };
        let mut record = Supervision::default();
        for seq in 1..100 {
            let set_aside = Verdict::Restart { after_ms: 0, set_aside: Some(seq) };
            assert_eq!(poison(&mut record, seq, seq), set_aside, "others were folded in between");
        }
        let mut record = Supervision::default();
        for seq in 1..5 {
            assert!(matches!(poison(&mut record, seq, 7), Verdict::Restart { .. }));
        }
        assert_eq!(poison(&mut record, 5, 7), Verdict::Suspend);
    }

    #[test]
    fn a_rejected_entry_is_set_aside_at_once_and_the_agent_stays_well() {
        let mut record = Supervision::default();
        for seq in 1..100 {
            let verdict = fail(&mut record, FailureKind::Rejected, seq, 0, 0);
            assert_eq!(verdict, Verdict::Restart { after_ms: 0, set_aside: Some(seq) });
        }
    }
}
