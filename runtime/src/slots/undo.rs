//! Taking back what a failed entry did to keys, so that the worker goes on without starting again.
//!
//! It costs an encoding of every state touched, so only a worker that has failed of late pays it.

use bytes::Bytes;
use impresario_store::{Seq, StoreError, codec};

use super::{Slot, Slots};
use crate::{Agent, AgentKey};

/// What one entry has touched, as it was before.
pub(super) struct Undo<A: Agent> {
    touched: Vec<(A::Key, Option<Before<A>>)>,
    /// Changed keys that waited to be written when it began.
    changed: usize,
}

/// A slot before the entry; there was none where there is none of these.
struct Before<A: Agent> {
    state: Bytes,
    seq: Seq,
    changed: bool,
    moved: Option<A::Key>,
    past: super::Past,
    /// Nothing had come to be under it since its person was erased.
    gone: bool,
}

impl<A: Agent> Undo<A> {
    /// Remembers a slot as it is, the first time it is touched.
    pub(super) fn touch(&mut self, key: &A::Key, slot: Option<&Slot<A>>) -> Result<(), StoreError> {
        if self.touched.iter().any(|(known, _)| known == key) {
            return Ok(());
        }
        let before = |slot: &Slot<A>| {
            let state = codec::encode(A::STATE_VERSION, &slot.state)?;
            let (moved, past) = (slot.moved.clone(), slot.past.clone());
            Ok::<_, StoreError>(Before { state, seq: slot.seq, changed: slot.changed, moved, past, gone: slot.gone })
        };
        self.touched.push((key.clone(), slot.map(before).transpose()?));
        Ok(())
    }
}

impl<A: Agent> Slots<A> {
    /// Remembers from now on what is touched.
    pub(crate) fn begin_undo(&mut self) {
        self.undo = Some(Undo { touched: Vec::new(), changed: self.changed.len() });
    }

    /// What was touched stays as it is.
    pub(crate) fn forget_undo(&mut self) {
        self.undo = None;
    }

    /// All that was touched since [`Self::begin_undo`] is as it was then.
    ///
    /// # Errors
    /// A state that can't be read back.
    pub(crate) fn undo(&mut self) -> Result<(), StoreError> {
        let Some(undo) = self.undo.take() else { return Ok(()) };
        self.changed.truncate(undo.changed);
        for (key, before) in undo.touched {
            let Some(slot) = self.map.get_mut(&key) else { continue };
            let is_new = !slot.shown && before.as_ref().is_none_or(|before| !before.changed || before.gone);
            match before {
                Some(before) => {
                    slot.state = codec::decode(A::STATE_VERSION, &before.state)?;
                    slot.seq = before.seq;
                    slot.changed = before.changed;
                    slot.moved = before.moved;
                    slot.past = before.past;
                    slot.gone = before.gone;
                }
                None => drop(self.map.remove(&key)),
            }
            if is_new {
                self.unstored.remove(&key.encode());
            }
        }
        Ok(())
    }
}
