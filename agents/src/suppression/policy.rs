//! What a suppressed address is, and whether it may be written to. Pure.

use std::collections::BTreeMap;

use impresario_runtime::{AgentKey, RunSeed};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Identifier, IdentifierKind, Millis};

/// The keyed hash of an e-mail address or a phone number: 128 bits of BLAKE3 under a key of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressHash([u8; 16]);

impl AddressHash {
    /// Of an identifier that is an address; `None` for any other.
    pub fn of(seed: &RunSeed, identifier: &Identifier) -> Option<Self> {
        let tag = match identifier.kind {
            IdentifierKind::Email => b"email:".as_slice(),
            IdentifierKind::Phone => b"phone:".as_slice(),
            _ => return None,
        };
        let key = blake3::derive_key("impresario suppressed addresses", seed);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(tag).update(identifier.value.as_bytes());
        hasher.finalize().as_bytes().first_chunk::<16>().copied().map(Self)
    }
}

impl AgentKey for AddressHash {
    fn encode(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Why an address is not to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhySuppressed {
    /// Its owner was erased.
    Erased,
    /// Its owner has unsubscribed.
    Unsubscribed,
    /// Its owner has complained.
    Complained,
    /// There is nobody at it.
    Bounced,
}

/// What is known of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Why it is not to be written to, each with since when, milliseconds since 1970 UTC; empty where it may.
    pub since: BTreeMap<WhySuppressed, Millis>,
}

impl Suppression {
    /// One more reason; the first instant of each counts.
    pub(super) fn add(&mut self, why: WhySuppressed, at_ms: Millis) {
        let since = self.since.entry(why).or_insert(at_ms);
        *since = (*since).min(at_ms);
    }
}

/// Whether an address may be written to, by what is known of it: the reason against it that ranks first, with
/// since when. Whoever can't tell what is known of an address must not write to it.
pub fn verdict(known: Option<&Suppression>) -> Result<(), (WhySuppressed, Millis)> {
    match known.and_then(|known| known.since.first_key_value()) {
        Some((why, since_ms)) => Err((*why, *since_ms)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_again_in_any_writing_but_not_in_another_directory() {
        let hash = |seed, kind, text| Identifier::new(kind, text).and_then(|known| AddressHash::of(&seed, &known));
        let (ours, theirs) = ([1; 32], [2; 32]);
        let anna = hash(ours, IdentifierKind::Email, "Anna@Example.test ");
        assert!(anna.is_some());
        assert_eq!(anna, hash(ours, IdentifierKind::Email, "anna@example.test"));
        assert_ne!(anna, hash(theirs, IdentifierKind::Email, "anna@example.test"));
        assert_ne!(anna, hash(ours, IdentifierKind::Email, "bob@example.test"));
        assert_eq!(hash(ours, IdentifierKind::UserId, "anna"), None);
    }

    #[test]
    fn a_suppressed_address_is_refused_with_the_reason() {
        let mut known = Suppression::default();
        assert_eq!((verdict(None), verdict(Some(&known))), (Ok(()), Ok(())));
        known.add(WhySuppressed::Bounced, 5);
        known.add(WhySuppressed::Bounced, 9);
        assert_eq!(verdict(Some(&known)), Err((WhySuppressed::Bounced, 5)));
        known.add(WhySuppressed::Erased, 7);
        assert_eq!(verdict(Some(&known)), Err((WhySuppressed::Erased, 7)));
    }
}
