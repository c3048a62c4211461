//! A copy of a journal in another engine, with or without what was written behind.

use std::collections::BTreeSet;

use super::keys;
use crate::{Durability, Engine, Op, StoreError, WriteBatch};

const ROWS: usize = 512;

/// What of an agent's state stays when it is folded again: the entries it could not fold.
const DEAD_LETTERS: &str = "/dead";

/// Copies a journal from one engine into another, empty one. Without `states`, everything an agent
/// knows of its keys is left behind: a troupe started over the copy folds the whole journal again.
///
/// # Errors
/// Damage, or an engine's own error.
pub fn copy(from: &dyn Engine, to: &dyn Engine, states: bool) -> Result<(), StoreError> {
    let mut dead = BTreeSet::new();
    let mut next = Vec::new();
    loop {
        let rows = from.scan(&next, None, ROWS)?;
        let mut batch = WriteBatch::default();
        for (key, value) in &rows {
            let owner = keys::name_from(key);
            let kept = match key.first() {
                Some(&keys::NAME) => {
                    if value.ends_with(DEAD_LETTERS.as_bytes()) {
                        dead.extend(owner);
                    }
                    true
                }
                // Names lie before states in the order of keys, so all of the dead are known by now.
                Some(&keys::STATE) => states || owner.is_some_and(|owner| dead.contains(&owner)),
                Some(&keys::PAGE | &keys::WORKER) => states,
                _ => true,
            };
            if kept {
                batch.ops.push(Op::Put(key.to_vec(), value.clone()));
            }
        }
        to.commit(batch, Durability::Written)?;
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS => {
                next = key.to_vec();
                next.push(0);
            }
            _ => return Ok(()),
        }
    }
}
