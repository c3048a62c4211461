use std::collections::BTreeMap;

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Feature, Millis, ProfileId};

/// What is known of a person has changed. Every customer event brings forth exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileChanged {
    /// Whose.
    #[serde(rename = "p")]
    pub profile: ProfileId,
    /// The place of the [`Tracked`](super::Tracked) entry that changed it; 0 where two profiles became one.
    #[serde(rename = "e")]
    pub event: Seq,
    /// Features that changed, with their new values, by feature.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<(Feature, i64)>,
    /// Traits that changed, with their new values; null for one that is gone.
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<Box<str>, Value>,
    /// By how much everybody's purchase rhythm has changed through this.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub rhythm: Option<RhythmDelta>,
}

impl Topic for ProfileChanged {
    const NAME: &'static str = "profile.changed";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }

    /// A gap between two orders in everybody's sums tells nothing of whose it was.
    fn remainder(&self) -> Option<Self> {
        let (features, traits) = (Vec::new(), BTreeMap::new());
        self.rhythm.map(|delta| Self { profile: ProfileId(0), event: 0, features, traits, rhythm: Some(delta) })
    }
}

/// A change of the sums over everybody's purchase rhythm.
///
/// A person with orders on n different days has n - 1 gaps, together as long as from the first order
/// to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RhythmDelta {
    /// Change of the number of gaps.
    pub gaps: i64,
    /// Change of their total length.
    pub gaps_ms: Millis,
}

/// Two profiles turned out to be one person: the loser's state becomes the winner's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileMerged {
    /// The profile that is no more.
    pub loser: ProfileId,
    /// The profile that goes on.
    pub winner: ProfileId,
    /// The decision's place in the journal.
    pub decided: Seq,
}

impl Topic for ProfileMerged {
    const NAME: &'static str = "profile.merged";

    fn partition(&self) -> Option<u16> {
        Some(self.loser.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.winner.into())
    }

    const JOINS: bool = true;

    fn joins(&self) -> Option<[SubjectId; 2]> {
        Some([self.loser.into(), self.winner.into()])
    }
}

/// A profile begins anew: it turned out to be several people. What was said of it before is void, and its
/// events are told again of whose they are. What it stood in stands until [`ProfileSettled`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileParted {
    /// The profile.
    pub profile: ProfileId,
    /// The profile that goes on in its stead, where it is none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<ProfileId>,
    /// The profiles that had become it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<ProfileId>,
    /// The decision's place in the journal.
    pub decided: Seq,
}

impl Topic for ProfileParted {
    const NAME: &'static str = "profile.parted";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// All events of a profile that began anew have been told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSettled {
    /// The profile.
    pub profile: ProfileId,
}

impl Topic for ProfileSettled {
    const NAME: &'static str = "profile.settled";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}
