//! What a customer did, read from the journal.

use std::{fmt, sync::Arc};

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

/// When and where an event lies: the order of a timeline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) at_ms: i64,
    pub(super) seq: Seq,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at_ms, self.seq)
    }
}

impl Moment {
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once('.');
        let read = parts.and_then(|(at, seq)| Some(Self { at_ms: at.parse().ok()?, seq: seq.parse().ok()? }));
        read.ok_or_else(|| Problem::invalid_query("`cursor` is not one that was given"))
    }
}

/// The events at these places; erased ones are not among them.
pub(super) fn events(journal: &Journal, moments: &[Moment]) -> Result<Vec<EventView>, Problem> {
    let topic = journal.known_name(Tracked::NAME);
    let mut chunk: Option<Arc<Chunk>> = None;
    let mut events = Vec::with_capacity(moments.len());
    for moment in moments {
        if chunk.as_ref().and_then(|chunk| chunk.get(moment.seq)).is_none() {
            chunk = journal.chunk(moment.seq)?;
        }
        let entry = chunk.as_ref().and_then(|chunk| chunk.get(moment.seq));
        let entry = entry.filter(|entry| entry.erased.is_none() && Some(entry.topic) == topic);
        if let Some(entry) = entry {
            events.push(view(moment.seq, entry.decode(Tracked::VERSION)?));
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
