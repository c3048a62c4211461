//! What a customer did, read from the journal.

use std::sync::Arc;

use impresario_agents::vocabulary::{EventKind, RawJson, Tracked};
use impresario_runtime::{
    Topic,
    store::{Chunk, Journal, Seq},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::Problem;

/// One event of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct EventView {
    /// Its place in the journal.
    seq: Seq,
    /// When it happened, milliseconds since 1970 UTC.
    at_ms: i64,
    /// When it came in.
    received_at_ms: i64,
    /// When the client says it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_at_ms: Option<i64>,
    /// When the client says it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at_ms: Option<i64>,
    /// `identify`, `track`, `page`, `screen`, `group` or `alias`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the event, page or screen.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// The client's id of it.
    message_id: String,
    /// Which source it came from.
    source: String,
    /// What is known of it; of an `identify` or `group` call, the traits.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    context: Map<String, Value>,
}

/// The events at these places; erased ones are not among them.
pub(super) fn events(journal: &Journal, places: &[Seq]) -> Result<Vec<EventView>, Problem> {
    let topic = journal.known_name(Tracked::NAME);
    let mut chunk: Option<Arc<Chunk>> = None;
    let mut events = Vec::with_capacity(places.len());
    for seq in places {
        if chunk.as_ref().and_then(|chunk| chunk.get(*seq)).is_none() {
            chunk = journal.chunk(*seq)?;
        }
        let entry = chunk.as_ref().and_then(|chunk| chunk.get(*seq));
        let entry = entry.filter(|entry| entry.erased.is_none() && Some(entry.topic) == topic);
        if let Some(entry) = entry {
            events.push(view(*seq, entry.decode(Tracked::VERSION)?));
        }
    }
    Ok(events)
}

fn view(seq: Seq, event: &Tracked) -> EventView {
    EventView {
        seq,
        at_ms: event.at_ms,
        received_at_ms: event.received_at_ms,
        original_at_ms: event.original_at_ms,
        sent_at_ms: event.sent_at_ms,
        kind: kind(event.kind),
        name: event.name.to_string(),
        message_id: event.message_id.to_string(),
        source: event.source.to_string(),
        properties: RawJson::parse(&event.properties),
        context: RawJson::parse(&event.context),
    }
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Identify => "identify",
        EventKind::Track => "track",
        EventKind::Page => "page",
        EventKind::Screen => "screen",
        EventKind::Group => "group",
        EventKind::Alias => "alias",
    }
}
