//! What a message is: a Rust type with a stable name and version.

use std::hash::Hash;

use impresario_store::partition_of;
use serde::{Serialize, de::DeserializeOwned};

use crate::SubjectId;

/// A typed message of the journal.
///
/// A topic is a plain Rust type; nothing central lists them, so a new agent edits no other file.
pub trait Topic: Serialize + DeserializeOwned + Sized + Send + Sync + 'static {
    /// Stable name on the journal, lowercase words joined by dots, e.g. `profile.changed`.
    const NAME: &'static str;
    /// Version of the body's shape. Raised when an old body can't be read as the new type.
    const VERSION: u8 = 1;

    /// Whether what comes of a person's entry is that person's, too, and goes when they are erased. False
    /// for what is said of everybody together: a sum, a fit.
    const PERSONAL: bool = true;

    /// Whether it outlives retention by age though it is a person's: later entries can't be understood without
    /// it. It holds numbers rather than what somebody has done.
    const KEPT: bool = false;

    /// Whether [`Self::joins`] ever tells anything.
    const JOINS: bool = false;

    /// The key partition it belongs to; `None` stays in the partition of the entry it comes of.
    fn partition(&self) -> Option<u16> {
        None
    }

    /// Whose personal data it holds. Where an agent keyed by people listens to it, its key says so already;
    /// for all others this does.
    fn subject(&self) -> Option<SubjectId> {
        None
    }

    /// Two subjects that are, or may become, one person through this. Where it tells any, [`Self::JOINS`] is
    /// true.
    fn joins(&self) -> Option<[SubjectId; 2]> {
        None
    }

    /// What of it may stay when its person is erased, so that sums over everybody fold as before: the same
    /// type with nothing personal in it.
    fn remainder(&self) -> Option<Self> {
        None
    }
}

/// Makes a type a [`Topic`] with this name, which stays in the partition of the entry it comes of.
#[macro_export]
macro_rules! topic {
    ($kind:ty, $name:literal) => {
        impl $crate::Topic for $kind {
            const NAME: &'static str = $name;
        }
    };
}

/// What one state of an agent belongs to: a customer, a campaign; `()` for a single state.
///
/// `encode` must keep the order of `Ord`, so that pages of keys come in one order everywhere.
pub trait AgentKey: Clone + Eq + Hash + Ord + std::fmt::Debug + Send + Sync + 'static {
    /// The key's bytes in the store.
    fn encode(&self) -> Vec<u8>;

    /// The key behind the bytes; `None` where they are no key.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// The key as people and URLs write it; hexadecimal bytes where the type says nothing better.
    fn to_text(&self) -> String {
        self.encode().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key behind the text; `None` where it is none.
    fn from_text(text: &str) -> Option<Self> {
        let digits = text.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = digits
            .map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                u8::from_str_radix(pair, 16).ok()
            })
            .collect();
        Self::decode(&bytes?)
    }

    /// Whose personal data is under the key, where it is one person's.
    fn subject(&self) -> Option<SubjectId> {
        None
    }

    /// The key of a subject; `None` where keys are no people. The inverse of [`Self::subject`].
    fn of_subject(subject: SubjectId) -> Option<Self> {
        let _ = subject;
        None
    }

    /// The key's partition; which worker serves it follows from it.
    fn partition(&self) -> u16 {
        partition_of(&self.encode())
    }
}

impl AgentKey for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }

    fn to_text(&self) -> String {
        "-".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        (text == "-").then_some(())
    }

    fn partition(&self) -> u16 {
        0
    }
}

impl AgentKey for String {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn to_text(&self) -> String {
        self.clone()
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl AgentKey for u64 {
    fn encode(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}
