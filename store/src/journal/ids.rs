//! Names of timers and effects: the entry they came of, who asked, and which of several.

use super::entry::Seq;

/// A durable timer's name and place in the order of firing: by instant, then by the entry that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TimerKey {
    /// When it is due, milliseconds since 1970 UTC.
    pub due_ms: i64,
    /// The entry in whose handling it was set.
    pub seq: Seq,
    /// The agent that set it.
    pub writer: u16,
    /// Which of the timers set there.
    pub index: u16,
}

/// Name of an effect: the entry it came of, who asked, and which of several. The same after a
/// crash and a second try, so it serves as the provider's idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The entry in whose handling it was asked for.
    pub seq: Seq,
    /// The agent that asked.
    pub writer: u16,
    /// Which of those asked for there.
    pub index: u16,
}

impl std::fmt::Display for EffectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.seq, self.writer, self.index)
    }
}
