//! What is said of segments on the journal.

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::Condition;
use crate::vocabulary::{Millis, ProfileId};

/// A segment is defined, or defined anew under the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentDefined {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    pub id: Box<str>,
    /// Its name for people, at most 200 characters.
    pub name: Box<str>,
    /// Who is in it.
    pub condition: Condition,
    /// The goal that made it; none for an operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Box<str>>,
}

impl Topic for SegmentDefined {
    const NAME: &'static str = "segment.defined";
}

/// A segment is no more; its members leave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentRemoved {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for SegmentRemoved {
    const NAME: &'static str = "segment.removed";
}

/// Why somebody entered or left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What brought it about.
    pub by: Trigger,
    /// The condition that decided, with what was found, e.g. `orders = 3, wanted >= 3`.
    pub because: Box<str>,
}

/// What brought a change of membership about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An event of the person.
    Event,
    /// Time alone.
    Time,
    /// A new or changed definition.
    Definition,
    /// Two profiles became one.
    Merge,
    /// Everybody's purchase rhythm was fitted anew.
    Rhythm,
    /// A change in another segment.
    Segment,
    /// The person was erased.
    Erasure,
}

/// A person has entered a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentEntered {
    /// Which segment.
    #[serde(rename = "s")]
    pub segment: Box<str>,
    /// Who.
    #[serde(rename = "p")]
    pub profile: ProfileId,
    /// Why.
    #[serde(rename = "r")]
    pub reason: Reason,
}

impl Topic for SegmentEntered {
    const NAME: &'static str = "segment.entered";
    /// Who was in a segment at an instant of the past is told by all who entered and left before.
    const KEPT: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }

    /// That one person more was in a segment, or one less, tells nothing of whom.
    fn remainder(&self) -> Option<Self> {
        let reason = Reason { by: self.reason.by, because: "".into() };
        Some(Self { segment: self.segment.clone(), profile: ProfileId(0), reason })
    }
}

/// A person has left a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentLeft {
    /// Which segment.
    #[serde(rename = "s")]
    pub segment: Box<str>,
    /// Who.
    #[serde(rename = "p")]
    pub profile: ProfileId,
    /// Why.
    #[serde(rename = "r")]
    pub reason: Reason,
    /// Since when they had been in it.
    #[serde(rename = "i")]
    pub since_ms: Millis,
}

impl Topic for SegmentLeft {
    const NAME: &'static str = "segment.left";
    /// Who was in a segment at an instant of the past is told by all who entered and left before.
    const KEPT: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }

    /// That one person more was in a segment, or one less, tells nothing of whom.
    fn remainder(&self) -> Option<Self> {
        let reason = Reason { by: self.reason.by, because: "".into() };
        Some(Self { segment: self.segment.clone(), profile: ProfileId(0), reason, since_ms: 0 })
    }
}

/// The instant a membership may change by time alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct MembershipDue {
    #[serde(rename = "p")]
    pub(super) profile: ProfileId,
}

impl Topic for MembershipDue {
    const NAME: &'static str = "segment.due";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }
}

/// One page of a back-fill: this worker's share of the entries from `next` on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillPage {
    /// Which segment.
    pub segment: Box<str>,
    /// Which definition of it: the place of its entry, the last one looked at.
    pub version: Seq,
    /// Which worker's share.
    pub worker: u16,
    /// The first entry to look at.
    pub next: Seq,
}

impl Topic for BackfillPage {
    const NAME: &'static str = "segment.backfill.page";
}

/// One worker has looked at all of the past for a definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillDone {
    /// Which segment.
    pub segment: Box<str>,
    /// Which definition of it.
    pub version: Seq,
    /// Which worker.
    pub worker: u16,
}

impl Topic for BackfillDone {
    const NAME: &'static str = "segment.backfill.done";
}

/// Past events of a profile that has become another one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BackfillForwarded {
    pub(super) segment: Box<str>,
    pub(super) version: Seq,
    /// Of whom it was said that an event is theirs.
    pub(super) of: ProfileId,
    /// Who that has become.
    pub(super) profile: ProfileId,
    /// Places of what was said, each with the event's.
    pub(super) events: Vec<(Seq, Seq)>,
}

impl Topic for BackfillForwarded {
    const NAME: &'static str = "segment.backfill.forwarded";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// One page of looking at everybody again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SweepPage {
    /// Which segments, by their places.
    pub(super) segments: Vec<u32>,
    /// Why.
    pub(super) by: Trigger,
    /// After whom to go on.
    pub(super) after: Option<ProfileId>,
    /// Which worker's people.
    #[serde(default)]
    pub(super) worker: u16,
    /// The definitions that are complete once everybody has been looked at, each with the place of its entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) completes: Vec<(Box<str>, Seq)>,
}

impl Topic for SweepPage {
    const NAME: &'static str = "segment.sweep.page";
}

/// One worker has looked at everybody for these definitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepDone {
    /// Which definitions, each with the place of its entry.
    pub completes: Vec<(Box<str>, Seq)>,
    /// Which worker.
    pub worker: u16,
    /// How many there are.
    pub workers: u16,
}

impl Topic for SweepDone {
    const NAME: &'static str = "segment.sweep.done";
}
