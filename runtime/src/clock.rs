//! The clock: the only place where the wall clock is read.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

/// Gives the present instant, milliseconds since 1970 UTC.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now_ms(&self) -> i64;

    /// Whether it moves by itself, not with what is done alone.
    fn moves_alone(&self) -> bool {
        true
    }
}

/// The machine's clock. A leap forward of more than 31 days while the process runs is not believed: an
/// instant once in the journal can't be taken back, and everything after it would stand still until
/// then. The leap is logged, and time goes on from where it was; a restart believes it.
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the wall clock")]
    fn now_ms(&self) -> i64 {
        static BELIEF: Mutex<Option<Belief>> = Mutex::new(None);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let wall_ms = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let passed_ms = process_ms();
        let mut belief = BELIEF.lock();
        belief.get_or_insert(Belief { wall_ms, passed_ms, doubts: false }).now_ms(wall_ms, passed_ms)
    }
}

/// How far the wall clock may leap ahead while the process runs: machines sleep over a holiday, and a
/// broken clock is mostly years off.
const LEAP_MS_MAX: i64 = 31 * 86_400_000;

/// What the wall clock last said and was believed.
#[derive(Debug)]
struct Belief {
    wall_ms: i64,
    passed_ms: i64,
    doubts: bool,
}

impl Belief {
    /// The present, given what the wall clock says and a clock that never leaps.
    fn now_ms(&mut self, wall_ms: i64, passed_ms: i64) -> i64 {
        let expected_ms = self.wall_ms.saturating_add(passed_ms.saturating_sub(self.passed_ms));
        let leap_ms = wall_ms.saturating_sub(expected_ms);
        let doubts = leap_ms > LEAP_MS_MAX;
        if doubts != std::mem::replace(&mut self.doubts, doubts) {
            if doubts {
                tracing::error!(
                    leap_ms,
                    "the machine's clock has leapt ahead and is not believed; if it is right, start again"
                );
            } else {
                tracing::info!("the machine's clock is believed again");
            }
        }
        self.wall_ms = if doubts { expected_ms } else { wall_ms };
        self.passed_ms = passed_ms;
        self.wall_ms
    }
}

/// A clock that stands until it is moved: replay, tests, and directories on their data's time.
pub struct HeldClock(AtomicI64);

impl HeldClock {
    /// A clock that stands at `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves it forward; it never goes back.
    pub fn advance_to(&self, now_ms: i64) {
        self.0.fetch_max(now_ms, Ordering::AcqRel);
    }
}

impl Clock for HeldClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    fn moves_alone(&self) -> bool {
        false
    }
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now_ms(&self) -> i64 {
        self.as_ref().now_ms()
    }

    fn moves_alone(&self) -> bool {
        self.as_ref().moves_alone()
    }
}

/// Milliseconds on a clock of the process that never jumps: for backoff and the age of unwritten
/// state, which are the machine's matter. Nothing that an agent sees may read it.
#[expect(clippy::disallowed_methods, reason = "a measure of real time, never read by an agent")]
pub(crate) fn process_ms() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn steps_of_the_wall_clock_are_followed_and_a_leap_of_years_is_not() {
        let mut belief = Belief { wall_ms: 100 * DAY, passed_ms: 0, doubts: false };
        let noon = 100 * DAY;
        assert_eq!(belief.now_ms(noon + 3_600_000, 10), noon + 3_600_000, "an hour ahead");
        assert_eq!(belief.now_ms(noon + 20, 20), noon + 20, "and back");
        assert_eq!(belief.now_ms(noon + 3 * DAY, 30), noon + 3 * DAY, "a machine that slept");
        let noon = noon + 3 * DAY;
        assert_eq!(belief.now_ms(noon + 7_000 * DAY, 40), noon + 10);
        assert_eq!(belief.now_ms(noon + 7_000 * DAY + 960, 1_000), noon + 970, "time goes on meanwhile");
        assert!(belief.doubts);
        assert_eq!(belief.now_ms(noon + 5_000, 1_010), noon + 5_000, "it was set right");
        assert!(!belief.doubts);
    }
}
