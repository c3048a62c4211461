use std::sync::OnceLock;

use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{IdentifierKind, Millis, ProfileId, RawJson, Text, identifier::node_of};

/// Which of Segment's calls an event came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Who the person is: traits and identifiers.
    Identify,
    /// What the person did.
    Track,
    /// A web page seen.
    Page,
    /// An app screen seen.
    Screen,
    /// The group or account the person belongs to.
    Group,
    /// Two identifiers are one person.
    Alias,
}

/// One customer event as it was accepted at the door (Segment's HTTP tracking API).
///
/// At least one of `user_id` and `anonymous_id` is there; strings are never empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Which call it came as.
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// The client's id of this event, at most 100 characters; the key of deduplication.
    #[serde(rename = "id")]
    pub message_id: Text,
    /// The person's id in the shop's own database.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Text>,
    /// The person's id on one device before they are known.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<Text>,
    /// The earlier id an `alias` joins to `user_id`.
    #[serde(rename = "pid", default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<Text>,
    /// The group of a `group` call.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<Text>,
    /// The event's name for `track`, the page's or screen's name, else empty.
    #[serde(rename = "n", default, skip_serializing_if = "str::is_empty")]
    pub name: Text,
    /// When it happened by the journal's clock: `received - (sent - original)`, never later than
    /// `received_at_ms`. Milliseconds since 1970 UTC.
    #[serde(rename = "t")]
    pub at_ms: Millis,
    /// When the client says it happened.
    #[serde(rename = "ot", default, skip_serializing_if = "Option::is_none")]
    pub original_at_ms: Option<Millis>,
    /// When the client says it sent it.
    #[serde(rename = "st", default, skip_serializing_if = "Option::is_none")]
    pub sent_at_ms: Option<Millis>,
    /// When it came in at the door.
    #[serde(rename = "rt")]
    pub received_at_ms: Millis,
    /// `properties` of track, page and screen; `traits` of identify and group. A JSON object.
    #[serde(rename = "p", default, skip_serializing_if = "RawJson::is_empty")]
    pub properties: RawJson,
    /// Segment's `context`. A JSON object.
    #[serde(rename = "c", default, skip_serializing_if = "RawJson::is_empty")]
    pub context: RawJson,
    /// Which write key or import it came by; never the key itself.
    #[serde(rename = "s")]
    pub source: Text,
    /// [`Tracked::node`], once somebody has asked.
    #[serde(skip)]
    pub kept_node: KeptNode,
}

/// A node that was worked out once; no part of what an event says.
#[derive(Debug, Default)]
pub struct KeptNode(OnceLock<ProfileId>);

impl Clone for KeptNode {
    /// A copy may be given other identifiers.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for KeptNode {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Tracked {
    /// The node of the identifier it is filed under: the user id where there is one, else the anonymous id.
    pub fn node(&self) -> ProfileId {
        *self.kept_node.0.get_or_init(|| match (&self.user_id, &self.anonymous_id) {
            (Some(user_id), _) => node_of(&IdentifierKind::UserId, user_id),
            (None, anonymous_id) => node_of(&IdentifierKind::AnonymousId, anonymous_id.as_deref().unwrap_or_default()),
        })
    }
}

impl Tracked {
    /// Its place among events of the same instant, the same whatever order they come in: a hash of its
    /// message id (FNV-1a, folded to 32 bits).
    pub fn tie(&self) -> u32 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = self.message_id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        (hash ^ (hash >> 32)) as u32
    }
}

/// When something was said: event time, and what breaks a tie the same way in every order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(pub Millis, pub u32);

impl Stamp {
    /// The stamp of an event: its time and its place among those of that instant.
    pub fn of(event: &Tracked) -> Self {
        Self(event.at_ms, event.tie())
    }
}

impl Topic for Tracked {
    const NAME: &'static str = "event.tracked";

    fn partition(&self) -> Option<u16> {
        Some(self.node().partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node().into())
    }
}
