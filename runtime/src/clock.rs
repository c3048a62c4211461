//! The clock: the only place where the wall clock is read.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

/// Gives the present instant, milliseconds since 1970 UTC.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the wall clock")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now_ms(&self) -> i64 {
        self.as_ref().now_ms()
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
