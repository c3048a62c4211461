//! The digest: what a run has come to, in 32 bytes. Two runs with the same digest said the same and
//! know the same.

use std::collections::BTreeMap;

use impresario_store::{Journal, StoreError};

use crate::each_entry;

/// What a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Over all entries of the journal, by [`journal_digest`].
    pub journal: [u8; 32],
    /// Over the states of all agents: keys, pointers, and what keys share; places are not in it.
    pub states: [u8; 32],
}

impl Digest {
    /// Both in one.
    pub fn whole(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.journal);
        hasher.update(&self.states);
        *hasher.finalize().as_bytes()
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.whole().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest over all entries, with names in place of their numbers: a directory gives numbers in the
/// order names are met, so that the same journal may carry others elsewhere.
///
/// # Errors
/// Damage with its place, or the engine's own error.
pub fn journal_digest(journal: &Journal) -> Result<[u8; 32], StoreError> {
    let mut hasher = blake3::Hasher::new();
    each_entry(journal, 1, |entry| {
        hasher.update(&entry.seq.to_le_bytes());
        hasher.update(&entry.at_ms.to_le_bytes());
        hasher.update(&entry.partition.to_le_bytes());
        hasher.update(&entry.cause.to_le_bytes());
        hasher.update(&entry.dedup.to_le_bytes());
        piece(&mut hasher, journal.name_of(entry.topic).as_bytes());
        piece(&mut hasher, journal.name_of(entry.writer).as_bytes());
        match &entry.erased {
            Some(hash) => piece(&mut hasher, hash.as_slice()),
            None => piece(&mut hasher, &entry.body),
        }
        Ok::<(), StoreError>(())
    })?;
    Ok(*hasher.finalize().as_bytes())
}

/// The states of one agent, gathered worker by worker, in whatever order.
#[derive(Default)]
pub(crate) struct StatesDigest(BTreeMap<(usize, Vec<u8>), [u8; 32]>);

impl StatesDigest {
    /// A key's bytes and body; with no key, what the keys of `worker` share.
    pub(crate) fn add(&mut self, worker: usize, key: Option<&[u8]>, body: &[u8]) {
        let place = match key {
            Some(key) => (usize::MAX, key.to_vec()),
            None => (worker, Vec::new()),
        };
        self.0.insert(place, *blake3::hash(body).as_bytes());
    }

    pub(crate) fn end(self, agent: &str, hasher: &mut blake3::Hasher) {
        piece(hasher, agent.as_bytes());
        hasher.update(&(self.0.len() as u64).to_le_bytes());
        for ((worker, key), body) in self.0 {
            hasher.update(&(worker as u64).to_le_bytes());
            piece(hasher, &key);
            hasher.update(&body);
        }
    }
}

fn piece(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
