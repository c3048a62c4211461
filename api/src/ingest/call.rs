//! An event written down as Segment's clients send it.

use impresario_agents::vocabulary::{EventKind, Tracked};
use serde::Serialize;
use serde_json::value::RawValue;

/// An event as Segment has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call<'a> {
    #[serde(rename = "type")]
    kind: EventKind,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
}

impl<'a> Call<'a> {
    /// An event with all its times.
    pub(crate) fn of(event: &'a Tracked) -> Self {
        let raw = |text: &'a str| serde_json::from_str::<&RawValue>(text).ok();
        let body = Some(&event.properties).filter(|body| !body.is_empty()).and_then(|body| raw(body.as_str()));
        let of_person = matches!(event.kind, EventKind::Identify | EventKind::Group);
        let name = Some(&*event.name).filter(|name| !name.is_empty());
        let track = event.kind == EventKind::Track;
        Self {
            kind: event.kind,
            message_id: &event.message_id,
            user_id: event.user_id.as_deref(),
            anonymous_id: event.anonymous_id.as_deref(),
            previous_id: event.previous_id.as_deref(),
            group_id: event.group_id.as_deref(),
            event: name.filter(|_| track),
            name: name.filter(|_| !track),
            timestamp: instant(event.at_ms),
            original_timestamp: event.original_at_ms.filter(|at_ms| *at_ms != event.at_ms).map(instant),
            sent_at: event.sent_at_ms.map(instant),
            received_at: Some(instant(event.received_at_ms)),
            properties: body.filter(|_| !of_person),
            traits: body.filter(|_| of_person),
            context: Some(&event.context)
                .filter(|context| !context.is_empty())
                .and_then(|context| raw(context.as_str())),
        }
    }

    /// An event with its time alone, which is set right already: nothing is to be reckoned by the sender's clock.
    pub(crate) fn to_send(event: &'a Tracked) -> Self {
        Self { original_timestamp: None, sent_at: None, received_at: None, ..Self::of(event) }
    }
}

/// An instant, in RFC 3339 with milliseconds.
pub(crate) fn instant(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| format!("{at:.3}")).unwrap_or_default()
}
