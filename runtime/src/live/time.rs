//! Journal time on a live host: it follows the clock, but never past work that comes first.
//!
//! Where the clock has moved past timers at a step (downtime, a step of the wall clock, data that
//! carries the clock along), they fire one instant after another, the agents at rest in between. So a
//! timer that sets a timer has it fire at its own instant, as if the time in between had been lived
//! through; and nothing from outside comes before what was due before it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use parking_lot::Mutex;

use crate::{Clock, RuntimeLimits};

/// Steps a long catching-up is done in, once it has taken too long to be exact.
const COARSE_STEPS: i64 = 1_000;

pub(super) struct JournalTime {
    pub(super) clock: Arc<dyn Clock>,
    is_behind: AtomicBool,
    /// What the clock said when the journal's writer last looked.
    seen_ms: AtomicI64,
    walk: Mutex<Walk>,
}

/// What the next instant is chosen by.
pub(super) struct Seen {
    pub(super) clock_ms: i64,
    /// Journal time; `None` for an empty journal.
    pub(super) last_ms: Option<i64>,
    pub(super) next_due_ms: Option<i64>,
    /// A clock that never jumps, for patience.
    pub(super) process_ms: i64,
}

/// The way from one due timer to the next.
#[derive(Debug, Default)]
struct Walk {
    /// When it began and when it last got on, where there is one.
    since: Option<(i64, i64)>,
    /// How much is fired in one step.
    width_ms: i64,
    steps: u64,
    /// The agents did not come to rest in time: the rest comes at once.
    given_up: bool,
}

impl JournalTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let seen_ms = AtomicI64::new(i64::MIN);
        Self { clock, is_behind: AtomicBool::new(false), seen_ms, walk: Mutex::default() }
    }

    /// Whether timers are due that fire one after another: what comes from outside is to wait.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// Whether what comes from outside must wait: timers fire one after another, or the clock has just moved
    /// past one at a step, which the writer has not seen yet. `next_due_ms` is asked for seldom.
    pub(super) fn is_stepping(&self, next_due_ms: impl FnOnce() -> Option<i64>, limits: &RuntimeLimits) -> bool {
        let clock_ms = self.clock.now_ms();
        let passed_ms = clock_ms.saturating_sub(self.seen_ms.load(Ordering::Acquire));
        let moved = !self.clock.moves_alone() || passed_ms > limits.timers_late_ms_max;
        self.is_behind() || (moved && self.is_overdue(next_due_ms(), clock_ms, limits))
    }

    fn is_overdue(&self, next_due_ms: Option<i64>, clock_ms: i64, limits: &RuntimeLimits) -> bool {
        let late_max = if self.clock.moves_alone() { limits.timers_late_ms_max } else { 0 };
        next_due_ms.is_some_and(|due| clock_ms.saturating_sub(due) > late_max)
    }

    /// The instant the journal may be at now.
    pub(super) fn now_ms(&self, seen: &Seen, limits: &RuntimeLimits, are_at_rest: impl FnOnce() -> bool) -> i64 {
        self.seen_ms.store(seen.clock_ms, Ordering::Release);
        let was_behind = self.is_behind();
        if !was_behind && !self.is_overdue(seen.next_due_ms, seen.clock_ms, limits) {
            return seen.clock_ms;
        }
        let mut walk = self.walk.lock();
        let now_ms = walk.next(seen, limits, self.clock.moves_alone(), are_at_rest);
        let behind = walk.since.is_some();
        if behind != was_behind {
            if behind {
                tracing::info!(clock_ms = seen.clock_ms, first_due_ms = seen.next_due_ms, "timers came due in between");
            } else {
                tracing::info!(clock_ms = seen.clock_ms, "what came due in between has come");
            }
            self.is_behind.store(behind, Ordering::Release);
        }
        now_ms
    }
}

impl Walk {
    fn next(
        &mut self,
        seen: &Seen,
        limits: &RuntimeLimits,
        moves_alone: bool,
        are_at_rest: impl FnOnce() -> bool,
    ) -> i64 {
        let Some(last_ms) = seen.last_ms else { return self.end(seen.clock_ms) };
        // Where there is none, agents that are not at rest may still set one.
        let due_ms = seen.next_due_ms.unwrap_or(i64::MAX);
        let (since_ms, moved_ms) = *self.since.get_or_insert((seen.process_ms, seen.process_ms));
        if self.given_up && due_ms <= seen.clock_ms {
            return seen.clock_ms;
        }
        if !are_at_rest() {
            if seen.process_ms.saturating_sub(moved_ms) <= limits.rest_wait_ms_max {
                return last_ms.min(seen.clock_ms);
            }
            tracing::warn!(waited_ms = limits.rest_wait_ms_max, "agents don't come to rest: timers fire at once");
            self.given_up = true;
            return seen.clock_ms;
        }
        if due_ms > seen.clock_ms {
            return self.end(seen.clock_ms);
        }
        if moves_alone && self.width_ms == 0 && seen.process_ms.saturating_sub(since_ms) > limits.exact_ms_max {
            self.width_ms = (seen.clock_ms.saturating_sub(due_ms) / COARSE_STEPS).max(limits.timers_late_ms_max);
            tracing::warn!(width_ms = self.width_ms, "many timers came due in between: they fire some at a time");
        }
        self.since = Some((since_ms, seen.process_ms));
        self.steps += 1;
        due_ms.saturating_add(self.width_ms).min(seen.clock_ms).max(last_ms.min(seen.clock_ms))
    }

    fn end(&mut self, clock_ms: i64) -> i64 {
        *self = Self::default();
        clock_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn seen(last_ms: i64, next_due_ms: Option<i64>, clock_ms: i64, process_ms: i64) -> Seen {
        Seen { clock_ms, last_ms: Some(last_ms), next_due_ms, process_ms }
    }

    fn time(held: bool) -> JournalTime {
        let clock: Arc<dyn Clock> = if held { Arc::new(crate::HeldClock::at(0)) } else { Arc::new(crate::WallClock) };
        JournalTime::new(clock)
    }

    #[test]
    fn what_is_a_little_late_on_a_wall_clock_fires_at_once_and_on_a_held_one_at_its_instant() {
        let limits = RuntimeLimits::default();
        let wall = time(false);
        assert_eq!(wall.now_ms(&seen(0, Some(500), 1_000, 0), &limits, || panic!("not asked")), 1_000);
        let held = time(true);
        assert_eq!(held.now_ms(&seen(0, Some(500), 1_000, 0), &limits, || true), 500);
        assert!(held.is_behind());
        assert_eq!(held.now_ms(&seen(500, None, 1_000, 0), &limits, || true), 1_000);
        assert!(!held.is_behind());
    }

    #[test]
    fn after_a_jump_time_goes_from_one_timer_to_the_next_and_waits_for_the_agents() {
        let limits = RuntimeLimits::default();
        let wall = time(false);
        let (clock, first, chained) = (10 * HOUR, HOUR, 2 * HOUR);
        assert_eq!(wall.now_ms(&seen(0, Some(first), clock, 0), &limits, || true), first);
        assert!(wall.is_behind());
        assert_eq!(wall.now_ms(&seen(first, Some(9 * HOUR), clock, 1), &limits, || false), first, "held");
        assert_eq!(wall.now_ms(&seen(first, Some(chained), clock, 2), &limits, || true), chained);
        assert_eq!(wall.now_ms(&seen(chained, Some(clock + 1), clock, 3), &limits, || false), chained);
        assert_eq!(wall.now_ms(&seen(chained, Some(clock + 1), clock, 4), &limits, || true), clock);
        assert!(!wall.is_behind());
    }

    #[test]
    fn agents_that_never_rest_are_waited_for_so_long() {
        let limits = RuntimeLimits::default();
        let wall = time(false);
        wall.now_ms(&seen(0, Some(HOUR), 9 * HOUR, 0), &limits, || true);
        let late = limits.rest_wait_ms_max + 1;
        assert_eq!(wall.now_ms(&seen(HOUR, Some(2 * HOUR), 9 * HOUR, late), &limits, || false), 9 * HOUR);
        wall.now_ms(&seen(9 * HOUR, Some(10 * HOUR), 9 * HOUR, late), &limits, || true);
        assert!(!wall.is_behind());
        assert_eq!(wall.now_ms(&seen(9 * HOUR, Some(10 * HOUR), 20 * HOUR, late), &limits, || true), 10 * HOUR);
    }

    #[test]
    fn a_catching_up_that_takes_too_long_goes_on_in_wider_steps() {
        let limits = RuntimeLimits::default();
        let wall = time(false);
        let mut now = wall.now_ms(&seen(0, Some(1), 1_000 * HOUR, 0), &limits, || true);
        let mut steps = 0;
        while wall.is_behind() {
            now = wall.now_ms(&seen(now, Some(now + 1), 1_000 * HOUR, limits.exact_ms_max + 1), &limits, || true);
            steps += 1;
            assert!(steps <= 1_001, "{now}");
        }
        assert_eq!(now, 1_000 * HOUR);
    }
}
