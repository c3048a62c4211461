//! What the door would make of a body, with no server around it.

use super::parse::{Body, Door};
use crate::config::IngestLimits;

/// How many events of a batch's JSON would be taken in and how many refused; `None` where all of it is.
/// Pure: for fuzzing, and for measuring the parser alone.
pub fn look(batch: &[u8], limits: &IngestLimits) -> Option<(usize, usize)> {
    let door = Door { received_at_ms: 1_800_000_000_000, request: 1, data_clock: false, limits };
    let parsed = Body::read(batch, None, limits).ok()?.events("looked-at", &door).ok()?;
    Some((parsed.events.len(), parsed.rejected.len()))
}
