//! Whose personal data it is, and what the journal says when somebody is erased.
//!
//! A *subject* is one identifier's number of one person; a person is as many subjects as they have
//! identifiers. What a topic or a key says of subjects is all the runtime needs to find everything of a
//! person: their entries, states, timers and effects.

use serde::{Deserialize, Serialize};

use crate::Topic;

/// One of the numbers a person is known by. It tells nothing of the person to who does not know the
/// identifier behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectId(pub u64);

/// Somebody is to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureAsked {
    /// The subject all others of the person have become.
    pub person: SubjectId,
}

impl Topic for ErasureAsked {
    const NAME: &'static str = "subject.erasure.asked";
    const PERSONAL: bool = false;
}

/// Somebody is forgotten: every agent lets go of the states of these subjects, as of this entry. What came
/// before it, or comes of what came before it, does not count for them any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectForgotten {
    /// The subject all others had become.
    pub person: SubjectId,
    /// All of them, that one included, in order.
    pub subjects: Vec<SubjectId>,
}

impl Topic for SubjectForgotten {
    const NAME: &'static str = "subject.forgotten";
    const PERSONAL: bool = false;
}

/// Nothing is held of somebody any more but what may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectErased {
    /// The subject all others had become.
    pub person: SubjectId,
    /// How many entries were erased.
    pub entries: u64,
}

impl Topic for SubjectErased {
    const NAME: &'static str = "subject.erased";
    const PERSONAL: bool = false;
}
