//! Keys: who may do what. 256 bits of chance, shown once; only their hash is kept.
//!
//! An ingest key's name is its *source*: two keys of one name are one source, so that a key can be
//! rotated with both alive for a while and repeated events still known.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use constant_time_eq::constant_time_eq_32;
use impresario_runtime::{
    RuntimeError, Topic, new_entry,
    store::{Commit, Durability, Journal, OUTSIDE, StoreError},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::directory::random_bytes;

/// Keys of one directory at most.
pub const KEYS_MAX: usize = 100;
/// Characters of a key's name at most.
pub const KEY_NAME_CHARS_MAX: usize = 64;
const META: &str = "keys";
const PREFIX_CHARS: usize = 6;

/// What a key may do. Each of viewer, operator and admin may also do what the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Send events, and nothing else.
    Ingest,
    /// Look at everything but keys.
    Viewer,
    /// Define segments and goals, pause and resume agents.
    Operator,
    /// Make and revoke keys.
    Admin,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Names the key; nothing of the secret can be told from it.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// Given by whoever made it; of an ingest key, the source of its events.
    pub name: Arc<str>,
    /// How the secret begins.
    pub prefix: String,
    /// When it was made, milliseconds since 1970 UTC.
    pub created_at_ms: i64,
    hash: [u8; 32],
}

/// A key in the clear; it is shown once and never written down.
pub struct Secret(String);

impl Secret {
    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyIssued {
    /// Its id.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// Its name.
    pub name: String,
}

impl Topic for KeyIssued {
    const NAME: &'static str = "key.issued";
}

/// A key was revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// Its id.
    pub id: String,
}

impl Topic for KeyRevoked {
    const NAME: &'static str = "key.revoked";
}

/// Why a key can't be made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are too many.
    #[error("there are {KEYS_MAX} keys already; revoke one first")]
    TooMany,
    /// The name is empty, too long, or has other characters.
    #[error("a key's name has 1 to {KEY_NAME_CHARS_MAX} characters out of a-z, 0-9, `-`, `_` and `.`")]
    Name,
    /// There is no key of that id.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// Without it nobody could make keys.
    #[error("this is the last admin key; make another one first")]
    LastAdmin,
    /// The system gives no random bytes.
    #[error("{0}")]
    Chance(String),
}

/// All keys of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRing {
    records: Vec<KeyRecord>,
}

impl KeyRing {
    /// The keys of a directory; none in a fresh one.
    ///
    /// # Errors
    /// The store's, or a table that can't be read.
    pub fn load(journal: &Journal) -> Result<Self, RuntimeError> {
        let Some(stored) = journal.meta(META)? else { return Ok(Self::default()) };
        serde_json::from_slice(&stored)
            .map_err(|error| RuntimeError::Setup(format!("the table of keys can't be read: {error}")))
    }

    /// All of them, oldest first.
    pub fn records(&self) -> &[KeyRecord] {
        &self.records
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whose key it is. Every record is compared, each in constant time.
    pub fn find(&self, secret: &str) -> Option<&KeyRecord> {
        let hash = *blake3::hash(secret.as_bytes()).as_bytes();
        let mut found = None;
        for record in &self.records {
            if constant_time_eq_32(&record.hash, &hash) {
                found = Some(record);
            }
        }
        found
    }

    /// Makes a key.
    ///
    /// # Errors
    /// Too many, a bad name, or no chance to be had.
    pub fn issue(&mut self, role: Role, name: &str, now_ms: i64) -> Result<(Secret, KeyRecord), KeyError> {
        if self.records.len() >= KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let chance = random_bytes().map_err(KeyError::Chance)?;
        let secret = format!("{}_{}", role.name(), URL_SAFE_NO_PAD.encode(chance));
        let hash = blake3::hash(secret.as_bytes());
        let id_hash = blake3::derive_key("impresario key id", hash.as_bytes());
        let [a, b, c, d, e, f, ..] = id_hash;
        let record = KeyRecord {
            id: format!("key_{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}"),
            role,
            name: name.into(),
            prefix: secret.chars().take(role.name().len() + 1 + PREFIX_CHARS).collect(),
            created_at_ms: now_ms,
            hash: *hash.as_bytes(),
        };
        self.records.push(record.clone());
        Ok((Secret(secret), record))
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// An unknown id, or the last admin key.
    pub fn revoke(&mut self, id: &str) -> Result<KeyRecord, KeyError> {
        let index = self.records.iter().position(|record| record.id == id);
        let index = index.ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        let admins = self.records.iter().filter(|record| record.role == Role::Admin).count();
        if admins == 1 && self.records.get(index).is_some_and(|record| record.role == Role::Admin) {
            return Err(KeyError::LastAdmin);
        }
        Ok(self.records.remove(index))
    }

    /// Makes a key of `role` that takes the place of all others of that role and name; for whoever
    /// is locked out.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn replace(
        &mut self,
        role: Role,
        name: &str,
        now_ms: i64,
    ) -> Result<(Secret, KeyRecord, Vec<KeyRecord>), KeyError> {
        let (gone, kept) = std::mem::take(&mut self.records)
            .into_iter()
            .partition(|record: &KeyRecord| record.role == role && *record.name == *name);
        self.records = kept;
        let (secret, record) = self.issue(role, name, now_ms)?;
        Ok((secret, record, gone))
    }

    /// The durable commit that puts this ring in the place of the one before, with what has
    /// happened as entries.
    ///
    /// # Errors
    /// The store's.
    pub fn commit(
        &self,
        journal: &Journal,
        issued: &[&KeyRecord],
        revoked: &[&KeyRecord],
    ) -> Result<Commit, StoreError> {
        let mut commit = Commit::new(OUTSIDE);
        commit.durability = Durability::Synced;
        let table = serde_json::to_vec(self).map_err(|error| StoreError::Codec(error.to_string()))?;
        commit.writes.push(Journal::meta_write(META, &table));
        for KeyRecord { id, role, name, .. } in issued {
            let entry = KeyIssued { id: id.clone(), role: *role, name: name.to_string() };
            commit.entries.push(new_entry(journal, 0, entry)?);
        }
        for record in revoked {
            commit.entries.push(new_entry(journal, 0, KeyRevoked { id: record.id.clone() })?);
        }
        Ok(commit)
    }
}

fn is_key_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    (1..=KEY_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_until_it_is_revoked_and_two_may_live_side_by_side() {
        let mut ring = KeyRing::default();
        let (first, record) = ring.issue(Role::Ingest, "shop", 1).expect("a key");
        let (second, _) = ring.issue(Role::Ingest, "shop", 2).expect("another");
        assert!(first.reveal().starts_with(&record.prefix) && first.reveal().len() >= 43);
        assert_eq!(ring.find(first.reveal()).map(|found| &found.id), Some(&record.id));
        ring.revoke(&record.id).expect("revoked");
        assert!(ring.find(first.reveal()).is_none());
        assert!(ring.find(second.reveal()).is_some());
        assert!(ring.find("").is_none());
    }

    #[test]
    fn nothing_kept_tells_the_secret() {
        let mut ring = KeyRing::default();
        let (secret, _) = ring.issue(Role::Admin, "first", 1).expect("a key");
        let kept = serde_json::to_string(&ring).expect("JSON");
        assert!(!kept.contains(secret.reveal()));
        assert!(!format!("{ring:?}{secret:?}").contains(secret.reveal()));
    }

    #[test]
    fn the_last_admin_key_stays_but_can_be_replaced() {
        let mut ring = KeyRing::default();
        let (_, record) = ring.issue(Role::Admin, "first", 1).expect("a key");
        assert_eq!(ring.revoke(&record.id), Err(KeyError::LastAdmin));
        let (_, fresh, gone) = ring.replace(Role::Admin, "first", 2).expect("replaced");
        assert_eq!((gone.len(), ring.records().len()), (1, 1));
        assert_ne!(fresh.id, record.id);
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        let mut ring = KeyRing::default();
        for name in ["", "Shop", "a b", "ł", &"a".repeat(65)] {
            assert_eq!(ring.issue(Role::Viewer, name, 1).err(), Some(KeyError::Name), "{name}");
        }
        for _ in 0..KEYS_MAX {
            ring.issue(Role::Viewer, "v", 1).expect("a key");
        }
        assert_eq!(ring.issue(Role::Viewer, "v", 1).err(), Some(KeyError::TooMany));
    }
}
