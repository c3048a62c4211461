//! The door: an event of the scenario as a client's event, taken in as over HTTP.

use impresario_agents::vocabulary::{KeptNode, Millis, RawJson, Tracked};
use impresario_runtime::{
    Driver, RuntimeError, new_entry,
    store::{Commit, Durability, OUTSIDE, Receipt},
};
use serde_json::{Map, Value};

use crate::{Scenario, model::Send};

/// The event as the door takes it in at `at_ms`.
pub(super) fn tracked(scenario: &Scenario, send: &Send, at_ms: Millis) -> Tracked {
    let json = |map: &Map<String, Value>| RawJson::from_checked(Value::Object(map.clone()).to_string());
    let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
    Tracked {
        kind: send.kind,
        message_id: message_id(scenario, send).into(),
        user_id: boxed(&send.user_id),
        anonymous_id: boxed(&send.anonymous_id),
        previous_id: boxed(&send.previous_id),
        group_id: boxed(&send.group_id),
        name: send.name.as_str().into(),
        at_ms: send.happened_ms.min(at_ms),
        original_at_ms: Some(send.happened_ms),
        sent_at_ms: Some(at_ms),
        received_at_ms: at_ms,
        properties: json(&send.properties),
        context: json(&send.context),
        source: "scenario".into(),
        kept_node: KeptNode::default(),
    }
}

/// The id a client gives the event: the file's, or one that follows from the seed and the event's number.
pub(super) fn message_id(scenario: &Scenario, send: &Send) -> String {
    send.message_id.clone().unwrap_or_else(|| {
        let text = format!("{} {} {}", scenario.name, scenario.seed, send.number);
        format!("s-{}", blake3::hash(text.as_bytes()).to_hex().get(..16).unwrap_or_default())
    })
}

/// The hash a message id is known by.
pub(super) fn dedup(message_id: &str) -> u64 {
    let hash = *blake3::hash(message_id.as_bytes()).as_bytes();
    hash.first_chunk::<8>().map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
}

/// Appends the event, acknowledged once it is synced; a known one is dropped.
pub(super) fn submit_event(driver: &mut Driver, tracked: &Tracked) -> Result<Receipt, RuntimeError> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    let tracked = Tracked { received_at_ms: driver.now_ms(), ..tracked.clone() };
    commit.entries.push(new_entry(driver.journal(), dedup(&tracked.message_id), tracked)?);
    driver.submit(commit)
}
