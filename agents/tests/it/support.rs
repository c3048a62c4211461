//! Events and a troupe to send them to.

use std::sync::Arc;

use impresario_agents::{
    identity::{Identity, Quarantine},
    profiles::{Profile, Profiles},
    vocabulary::{EventKind, Identifier, IdentifierKind, KeptNode, Millis, ProfileId, RawJson, Tracked},
};
use impresario_runtime::{
    Driver, Topic, Troupe, each_entry,
    store::{Journal, JournalLimits, MemoryEngine, StoreError},
};
use serde_json::Value;

/// 2026-05-04T00:00:00Z, a Monday.
pub(crate) const START: Millis = 1_777_852_800_000;

/// An event in the making.
pub(crate) fn event(kind: EventKind, message_id: &str, at_ms: Millis) -> Tracked {
    Tracked {
        kind,
        message_id: message_id.into(),
        user_id: None,
        anonymous_id: None,
        previous_id: None,
        group_id: None,
        name: "".into(),
        at_ms,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: at_ms,
        properties: RawJson::default(),
        context: RawJson::default(),
        source: "test".into(),
        kept_node: KeptNode::default(),
    }
}

/// A tracked event of a user.
pub(crate) fn track(name: &str, user_id: &str, message_id: &str, at_ms: Millis, properties: &Value) -> Tracked {
    Tracked { name: name.into(), ..event(EventKind::Track, message_id, at_ms) }.user(user_id).properties(properties)
}

/// Who and what, one after another.
pub(crate) trait With {
    fn user(self, id: &str) -> Self;
    fn anonymous(self, id: &str) -> Self;
    fn previous(self, id: &str) -> Self;
    fn properties(self, properties: &Value) -> Self;
    fn context(self, context: &Value) -> Self;
}

impl With for Tracked {
    fn user(self, id: &str) -> Self {
        Self { user_id: Some(id.into()), ..self }
    }

    fn anonymous(self, id: &str) -> Self {
        Self { anonymous_id: Some(id.into()), ..self }
    }

    fn previous(self, id: &str) -> Self {
        Self { previous_id: Some(id.into()), ..self }
    }

    fn properties(self, properties: &Value) -> Self {
        Self { properties: RawJson::from_checked(properties.to_string()), ..self }
    }

    fn context(self, context: &Value) -> Self {
        Self { context: RawJson::from_checked(context.to_string()), ..self }
    }
}

/// An empty journal in memory.
pub(crate) fn journal() -> Arc<Journal> {
    Journal::open(Arc::new(MemoryEngine::new()), JournalLimits::default()).unwrap()
}

/// The troupe on the driver.
pub(crate) fn driver(journal: &Arc<Journal>, troupe: Troupe) -> Driver {
    Driver::start(Arc::clone(journal), troupe, [7; 32], START).unwrap()
}

/// The profiles agent alone.
pub(crate) fn profiles(workers: usize) -> Driver {
    driver(&journal(), people(Troupe::new(), workers))
}

/// A troupe with the agents that find out who is who.
pub(crate) fn people(troupe: Troupe, workers: usize) -> Troupe {
    troupe.agent_with_workers(Profiles, workers).agent(Identity).agent(Quarantine)
}

/// Sends events, all before any is folded.
pub(crate) fn send(driver: &mut Driver, events: impl IntoIterator<Item = Tracked>) {
    events.into_iter().for_each(|event| {
        driver.say(event).unwrap();
    });
    driver.settle().unwrap();
}

/// The node of a user id, an anonymous id, ...
pub(crate) fn node(kind: IdentifierKind, text: &str) -> ProfileId {
    Identifier::new(kind, text).unwrap().node()
}

/// The live profile behind a node.
pub(crate) fn profile(driver: &mut Driver, from: ProfileId) -> Option<Profile> {
    let mut at = person(driver, from);
    loop {
        let (found, next) = driver
            .read::<Profiles, _>(&at, |reading| (reading.get(&at).unwrap().cloned(), reading.moved_to(&at).unwrap()))
            .unwrap();
        match next {
            Some(next) => {
                assert!(next < at, "a pointer goes from the higher number to the lower");
                at = next;
            }
            None => return found.filter(|found| found.events > 0),
        }
    }
}

/// Whose a node is.
pub(crate) fn person(driver: &mut Driver, node: ProfileId) -> ProfileId {
    driver
        .read::<Identity, _>(&node, |reading| reading.get(&node).unwrap().map_or(node, |found| found.person(node)))
        .unwrap()
}

/// The profile of a user id.
pub(crate) fn user(driver: &mut Driver, id: &str) -> Profile {
    profile(driver, node(IdentifierKind::UserId, id)).unwrap()
}

/// All entries of a topic, in order.
pub(crate) fn said<T: Topic + Clone>(driver: &Driver) -> Vec<T> {
    let journal = driver.journal();
    let mut found = Vec::new();
    let Some(topic) = journal.known_name(T::NAME) else { return found };
    each_entry::<StoreError>(journal, 1, |entry| {
        if entry.topic == topic {
            found.push(entry.decode::<T>(T::VERSION)?.clone());
        }
        Ok(())
    })
    .unwrap();
    found
}
