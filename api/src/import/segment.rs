//! Segment calls, one JSON object a line.

use impresario_agents::vocabulary::Tracked;

use super::Fault;
use crate::{config::IngestLimits, ingest::event_of_line};

/// A line as an event: its message id is empty where it has none.
///
/// # Errors
/// Why it is none.
pub fn event(line: &str, limits: &IngestLimits) -> Result<Tracked, Fault> {
    event_of_line(line, "import", limits).map_err(Fault::from)
}
