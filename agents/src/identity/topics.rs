//! What is said about who is who.

use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Identifier, ProfileId, Stamp};

/// An event names an identifier beside the one it is filed under, for the first time or at an earlier time
/// than was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierClaimed {
    /// Its node.
    pub node: ProfileId,
    /// The identifier.
    pub identifier: Identifier,
    /// The node the event is filed under: its user id, else its anonymous id.
    pub anchor: ProfileId,
    /// When the event happened.
    pub stamp: Stamp,
    /// An alias says so: it may join two people the shop knows.
    pub by_alias: bool,
}

impl Topic for IdentifierClaimed {
    const NAME: &'static str = "identity.claimed";

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.anchor.into())
    }

    /// The numbers, so that who is who among everybody else is worked out as before.
    fn remainder(&self) -> Option<Self> {
        let identifier = Identifier { kind: self.identifier.kind.clone(), value: "".into() };
        Some(Self { identifier, ..self.clone() })
    }
}

/// Two people turn out to be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeDecided {
    /// Who is no more.
    pub loser: ProfileId,
    /// Who goes on.
    pub winner: ProfileId,
}

impl Topic for MergeDecided {
    const NAME: &'static str = "identity.merge.decided";
    const PERSONAL: bool = false;
    const JOINS: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.loser.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.loser.into())
    }

    fn joins(&self) -> Option<[SubjectId; 2]> {
        Some([self.loser.into(), self.winner.into()])
    }
}

/// One person turns out to be several: each begins anew from the events that are theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDecided {
    /// Who they were.
    pub profile: ProfileId,
    /// The nodes events may be filed under, each with the person it belongs to now.
    pub homes: Vec<(ProfileId, ProfileId)>,
}

impl Topic for PartDecided {
    const NAME: &'static str = "identity.part.decided";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A node of a person that was parted, told to the worker that keeps the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeParted {
    /// The node.
    pub node: ProfileId,
    /// Whose it is now.
    pub person: ProfileId,
    /// Where that is the node itself: all nodes of the person that events may be filed under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<ProfileId>,
}

impl Topic for NodeParted {
    const NAME: &'static str = "identity.node.parted";
    const PERSONAL: bool = false;
    const JOINS: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node.into())
    }

    fn joins(&self) -> Option<[SubjectId; 2]> {
        Some([self.node.into(), self.person.into()])
    }
}

/// An identifier was seen with two people the shop knows: it stays with who had it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityConflict {
    /// Who has it.
    pub holder: ProfileId,
    /// Who else was seen with it.
    pub claimant: ProfileId,
    /// The identifier.
    pub identifier: Identifier,
}

impl Topic for IdentityConflict {
    const NAME: &'static str = "profile.identity.conflict";

    fn partition(&self) -> Option<u16> {
        Some(self.claimant.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.claimant.into())
    }
}

/// Which cap an identifier has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cap {
    /// More people claim it than one identifier may have.
    Claimants,
    /// It is one too many of its kind for the person who claims it.
    Identifiers,
    /// The person would have more identifiers in all than anybody may have.
    Person,
}

/// An identifier has passed a cap: what is beyond it glues nobody. Those it belongs to stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierQuarantined {
    /// Its node.
    pub node: ProfileId,
    /// The identifier; none where a later one pushed it out and its text is not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier>,
    /// Which cap.
    pub cap: Cap,
}

impl Topic for IdentifierQuarantined {
    const NAME: &'static str = "identity.quarantined";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node.into())
    }
}

/// An operator says that an identifier may glue after all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierReleased {
    /// Its node.
    pub node: ProfileId,
}

impl Topic for IdentifierReleased {
    const NAME: &'static str = "identity.released";

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node.into())
    }

    fn remainder(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// An operator says that an identifier is another person's than the others it was glued to, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmergeAsked {
    /// Its node.
    pub node: ProfileId,
}

impl Topic for UnmergeAsked {
    const NAME: &'static str = "identity.unmerge.asked";

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.node.into())
    }

    fn remainder(&self) -> Option<Self> {
        Some(self.clone())
    }
}
