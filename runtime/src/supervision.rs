//! When a failed worker starts again: one for one, with backoff, and not for ever.

use std::collections::VecDeque;

use impresario_store::Seq;
use rand_chacha::rand_core::Rng;

use crate::{Failure, RunSeed, RuntimeLimits, rng};

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
}

impl Supervision {
    /// Takes note of a failure at `now_ms` of the worker called `name`.
    pub fn failed(
        &mut self,
        name: &str,
        failure: &Failure,
        now_ms: i64,
        seed: &RunSeed,
        limits: &RuntimeLimits,
    ) -> Verdict {
        if self.last_ms.is_some_and(|last| now_ms.saturating_sub(last) >= limits.healthy_after_ms) {
            self.in_a_row = 0;
        }
        self.last_ms = Some(now_ms);
        let attempts = match self.at_entry {
            Some((seq, attempts)) if seq == failure.seq => attempts + 1,
            _ => 1,
        };
        self.at_entry = Some((failure.seq, attempts));
        if failure.seq != 0 && !failure.retry && attempts >= limits.entry_attempts_max {
            // The entry is the culprit: without it the worker is taken for healthy.
            self.at_entry = None;
            self.failures.clear();
            self.in_a_row = 0;
            return Verdict::Restart { after_ms: 0, set_aside: Some(failure.seq) };
        }
        self.failures.push_back(now_ms);
        while self.failures.front().is_some_and(|first| now_ms.saturating_sub(*first) > limits.failures_window_ms) {
            self.failures.pop_front();
        }
        if self.failures.len() >= limits.failures_max && !failure.retry {
            return Verdict::Suspend;
        }
        let doubled = limits.backoff_ms_min.saturating_mul(1_u64 << self.in_a_row.min(20));
        self.in_a_row += 1;
        let delay = doubled.min(limits.backoff_ms_max);
        let mut chance =
            rng::stream(seed, "supervision", name.as_bytes(), failure.seq ^ u64::from(self.in_a_row) << 48);
        // Up to a fifth more, so that workers that fell together don't rise together.
        let jitter = u64::from(chance.next_u32()) * (delay / 5) / u64::from(u32::MAX);
        Verdict::Restart { after_ms: delay + jitter, set_aside: None }
    }

    /// An operator has resumed it: the record begins anew.
    pub fn resumed(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(seq: Seq) -> Failure {
        Failure { seq, what: "boom".into(), retry: false }
    }

    #[test]
    fn delays_double_and_the_third_failure_at_one_entry_sets_it_aside() {
        let limits = RuntimeLimits::default();
        let mut record = Supervision::default();
        let delay = |verdict| match verdict {
            Verdict::Restart { after_ms, set_aside: None } => after_ms,
            other => panic!("{other:?}"),
        };
        let first = delay(record.failed("a/0", &failure(5), 0, &[0; 32], &limits));
        let second = delay(record.failed("a/0", &failure(5), 200, &[0; 32], &limits));
        assert!((100..=120).contains(&first), "{first}");
        assert!((200..=240).contains(&second), "{second}");
        let third = record.failed("a/0", &failure(5), 500, &[0; 32], &limits);
        assert_eq!(third, Verdict::Restart { after_ms: 0, set_aside: Some(5) });
    }

    #[test]
    fn five_failures_in_a_minute_suspend_and_a_minute_of_health_forgives() {
        let limits = RuntimeLimits::default();
        let mut record = Supervision::default();
        for seq in 1..5 {
            let verdict = record.failed("a/0", &failure(seq), 1_000 * seq as i64, &[0; 32], &limits);
            assert!(matches!(verdict, Verdict::Restart { .. }), "{verdict:?}");
        }
        assert_eq!(record.failed("a/0", &failure(9), 9_000, &[0; 32], &limits), Verdict::Suspend);
        record.resumed();
        let verdict = record.failed("a/0", &failure(10), 100_000, &[0; 32], &limits);
        assert!(matches!(verdict, Verdict::Restart { after_ms: 100..=120, .. }), "{verdict:?}");
    }
}
