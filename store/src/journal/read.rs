//! Reading: entries by place, and the state that was written behind.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    block,
    entry::{Chunk, NameId, Seq},
    erase::missing,
    keys,
    shared::{Journal, StateRow, WorkerMark},
};
use crate::{Op, StoreError};

impl Journal {
    /// The chunk that holds `seq`: from memory where it is new, else from its block.
    ///
    /// `None` past the head.
    ///
    /// # Errors
    /// Damage with its place, or the engine's own error.
    pub fn chunk(&self, seq: Seq) -> Result<Option<Arc<Chunk>>, StoreError> {
        if seq == 0 || seq > self.head() {
            return Ok(None);
        }
        if let Some(chunk) = self.tail.get(seq) {
            return Ok(Some(chunk));
        }
        let (_, value) = self.block_of(seq)?;
        let chunk = block::decode(&value, self.limits.block_raw_bytes_max)?.chunk;
        if chunk.get(seq).is_none() {
            return Err(missing(seq));
        }
        Ok(Some(Arc::new(chunk)))
    }

    /// One value of an agent's state.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn state(&self, owner: NameId, key: &[u8]) -> Result<Option<StateRow>, StoreError> {
        let found = self.engine.get(&keys::state(owner, key))?;
        found.map(|value| split_state(Bytes::copy_from_slice(key), &value)).transpose()
    }

    /// Up to `limit` values of an agent's state with keys at or after `from`, in key order.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn states(&self, owner: NameId, from: &[u8], limit: usize) -> Result<Vec<StateRow>, StoreError> {
        let start = keys::state(owner, from);
        let end = keys::state(NameId(owner.0.saturating_add(1)), &[]);
        let rows = self.engine.scan(&start, Some(&end), limit)?;
        rows.iter().map(|(key, value)| split_state(key.slice(3..), value)).collect()
    }

    /// The write that keeps `body` as the state of `key` with everything up to `seq` folded in.
    pub fn state_write(owner: NameId, key: &[u8], seq: Seq, body: &[u8]) -> Op {
        Op::Put(keys::state(owner, key), state_value(seq, body))
    }

    /// The same for a key that has no state in the store: spares the look for what it replaces.
    pub fn new_state_write(owner: NameId, key: &[u8], seq: Seq, body: &[u8]) -> Op {
        Op::PutNew(keys::state(owner, key), state_value(seq, body))
    }

    /// The write that forgets the state of `key`.
    pub fn state_delete(owner: NameId, key: &[u8]) -> Op {
        Op::Delete(keys::state(owner, key))
    }

    /// A worker's mark.
    ///
    /// # Errors
    /// Damage, or the engine's own error.
    pub fn mark(&self, worker: NameId) -> Result<Option<WorkerMark>, StoreError> {
        let found = self.engine.get(&keys::worker(worker))?;
        found
            .map(|value| {
                let row = split_state(Bytes::new(), &value)?;
                Ok(WorkerMark { floor: row.seq, shared: row.body })
            })
            .transpose()
    }

    /// The write that moves a worker's mark.
    pub fn mark_write(worker: NameId, floor: Seq, shared: &[u8]) -> Op {
        let mut value = Vec::with_capacity(8 + shared.len());
        value.extend_from_slice(&floor.to_be_bytes());
        value.extend_from_slice(shared);
        Op::Put(keys::worker(worker), value.into())
    }

    /// A small value of the directory itself, e.g. its seed.
    ///
    /// # Errors
    /// The engine's own error.
    pub fn meta(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.write_held()?;
        self.engine.get(&meta_key(name))
    }

    /// Visits the small values of the directory whose names begin with `prefix`, in order of names.
    ///
    /// # Errors
    /// The engine's own error; what `visit` says.
    pub fn metas<E: From<StoreError>>(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, &Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        const ROWS: usize = 256;
        self.write_held()?;
        let first = meta_key(prefix);
        let (_, end) = keys::space(keys::META);
        let mut from = first.clone();
        loop {
            let rows = self.engine.scan(&from, Some(&end), ROWS)?;
            for (key, value) in &rows {
                if !key.starts_with(&first) {
                    return Ok(());
                }
                visit(&String::from_utf8_lossy(key.get(1..).unwrap_or_default()), value)?;
            }
            match rows.last() {
                Some((key, _)) if rows.len() == ROWS => {
                    from = key.to_vec();
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }

    /// The write that forgets a small value of the directory itself.
    pub fn meta_delete(name: &str) -> Op {
        Op::Delete(meta_key(name))
    }

    /// The write that keeps a small value of the directory itself.
    pub fn meta_write(name: &str, value: &[u8]) -> Op {
        Op::Put(meta_key(name), Bytes::copy_from_slice(value))
    }
}

fn meta_key(name: &str) -> Vec<u8> {
    let mut key = vec![keys::META];
    key.extend_from_slice(name.as_bytes());
    key
}

fn state_value(seq: Seq, body: &[u8]) -> Bytes {
    let mut value = Vec::with_capacity(8 + body.len());
    value.extend_from_slice(&seq.to_be_bytes());
    value.extend_from_slice(body);
    value.into()
}

fn split_state(key: Bytes, value: &Bytes) -> Result<StateRow, StoreError> {
    let head: [u8; 8] = value.get(0..8).and_then(|head| head.try_into().ok()).ok_or_else(|| StoreError::Damaged {
        place: "agent state".into(),
        what: "a value is shorter than its sequence number".into(),
    })?;
    Ok(StateRow { key, seq: u64::from_be_bytes(head), body: value.slice(8..) })
}
