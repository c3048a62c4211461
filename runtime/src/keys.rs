use std::any::Any;

use impresario_store::Seq;

use crate::{Agent, AgentError, AgentKey, Step, slots::Slots, step::Context};

/// The states of one worker, for handlers that concern several keys.
///
/// After a restart the worker folds entries again, and a key's state may stand later than the entry
/// at hand. So what an entry does to a key may depend only on that key's own state, on the pointers
/// that stood before the entry ([`Self::moved_to`]), on what all keys share, and on the entry. An
/// agent that must look at several keys to decide uses [`Checkpoint::Whole`](crate::Checkpoint::Whole).
pub struct Keys<'a, A: Agent> {
    pub(crate) slots: &'a mut Slots<A>,
    pub(crate) context: &'a Context,
    pub(crate) seq: Seq,
    pub(crate) cause: Seq,
    pub(crate) age_ms: i64,
}

impl<A: Agent> Keys<'_, A> {
    /// The state of `key`, to look at.
    ///
    /// # Errors
    /// The store's error, as a retry.
    pub fn get(&mut self, key: &A::Key) -> Result<Option<&A::State>, AgentError> {
        let slot = self.slots.find(key)?;
        Ok(slot.filter(|slot| slot.moved.is_none()).map(|slot| &slot.state))
    }

    /// Whose the state of `key` had become before this entry, if it has gone to another key.
    ///
    /// # Errors
    /// The store's error, as a retry.
    pub fn moved_to(&mut self, key: &A::Key) -> Result<Option<A::Key>, AgentError> {
        Ok(self.slots.find(key)?.and_then(|slot| slot.pointer_before(self.seq)))
    }

    /// The last entry before this one that began `key` anew ([`Self::begin_anew`]); 0 for none.
    ///
    /// # Errors
    /// The store's error, as a retry.
    pub fn begun_at(&mut self, key: &A::Key) -> Result<Seq, AgentError> {
        Ok(self.slots.find(key)?.map_or(0, |slot| slot.begun_before(self.seq)))
    }

    /// Begins `key` anew: from this entry on it is itself, with no state, even if it was a pointer. States
    /// that left for it before this entry and are still on their way come too late: see
    /// [`Agent::came_late`]. The state it had; `None` where this entry is in it already (after a restart).
    ///
    /// # Errors
    /// The store's error, as a retry; a key of another worker is rejected.
    pub fn begin_anew(&mut self, key: &A::Key) -> Result<Option<A::State>, AgentError> {
        self.begin(key, None)
    }

    /// As [`Self::begin_anew`], but from this entry on it points to `to`.
    ///
    /// # Errors
    /// As [`Self::begin_anew`].
    pub fn point_anew(&mut self, key: &A::Key, to: &A::Key) -> Result<Option<A::State>, AgentError> {
        if key == to {
            return Err(AgentError::Reject(format!("agent `{}`: a key is to point to itself", A::NAME)));
        }
        self.begin(key, Some(to.clone()))
    }

    fn begin(&mut self, key: &A::Key, to: Option<A::Key>) -> Result<Option<A::State>, AgentError> {
        self.check_own(key)?;
        let slot = self.slots.load(key)?;
        if slot.passes_over(self.seq, self.cause) {
            return Ok(None);
        }
        let state = slot.begin_anew(self.seq, to);
        self.slots.mark(key, self.seq, self.age_ms)?;
        Ok(Some(state))
    }

    /// The entry at which the person under `key` was last erased; 0 for never. Nothing of up to there may
    /// come to be under it again.
    ///
    /// # Errors
    /// The store's error, as a retry.
    pub fn forgotten_at(&mut self, key: &A::Key) -> Result<Seq, AgentError> {
        Ok(self.slots.forgotten_at(key)?)
    }

    /// Whether `key` is this worker's.
    pub fn owns(&self, key: &A::Key) -> bool {
        self.context.owns(key.partition())
    }

    /// Changes the state of `key`, made new where there was none; `None` where this entry is in it
    /// already (after a restart), the key's state has gone to another key, or the entry came of what was
    /// before the key's person was erased.
    ///
    /// # Errors
    /// The store's error, as a retry; a key of another worker is rejected; what `change` says.
    pub fn change<R>(
        &mut self,
        key: &A::Key,
        change: impl FnOnce(&mut A::State) -> Result<R, AgentError>,
    ) -> Result<Option<R>, AgentError> {
        self.check_own(key)?;
        let slot = self.slots.load(key)?;
        if slot.moved.is_some() || slot.passes_over(self.seq, self.cause) {
            return Ok(None);
        }
        let done = change(&mut slot.state)?;
        self.slots.mark(key, self.seq, self.age_ms)?;
        Ok(Some(done))
    }

    /// The state of `from` becomes `to`'s, by [`Agent::merge`]; one that never was becomes a mere pointer.
    /// False where `from` has gone to another key already, this entry is in it (after a restart), or it came
    /// of what was before its person was erased.
    ///
    /// # Errors
    /// The store's error, as a retry; a key of another worker, or one that is to become itself, is rejected.
    pub fn hand_over(&mut self, from: &A::Key, to: &A::Key, step: &mut Step<'_>) -> Result<bool, AgentError> {
        self.check_own(from)?;
        hand_over(self.slots, (self.seq, self.cause, self.age_ms), from, to, step)
    }

    fn check_own(&self, key: &A::Key) -> Result<(), AgentError> {
        if self.owns(key) {
            return Ok(());
        }
        Err(AgentError::Reject(format!("agent `{}` touches a key of another worker", A::NAME)))
    }

    /// Up to `limit` keys with state, in order, after `after`; from the first where it is `None`.
    ///
    /// # Errors
    /// The store's error, as a retry.
    pub fn after(&self, after: Option<&A::Key>, limit: usize) -> Result<Vec<A::Key>, AgentError> {
        let from = after.map(just_after).unwrap_or_default();
        Ok(self.slots.keys_from(&from, limit, |key| self.context.owns(key.partition()))?)
    }
}

/// Takes the state of `from` out and sends it to the worker that owns `to`.
pub(crate) fn hand_over<A: Agent>(
    slots: &mut Slots<A>,
    (seq, cause, age_ms): (Seq, Seq, i64),
    from: &A::Key,
    to: &A::Key,
    step: &mut Step<'_>,
) -> Result<bool, AgentError> {
    if from == to {
        return Err(AgentError::Reject(format!("agent `{}`: a key is to become itself", A::NAME)));
    }
    let slot = slots.load(from)?;
    if slot.moved.is_some() || slot.passes_over(seq, cause) {
        return Ok(false);
    }
    let existed = slot.exists();
    let state = std::mem::take(&mut slot.state);
    slot.moved = Some(to.clone());
    slots.mark(from, seq, age_ms)?;
    if existed {
        step.publish_moved::<A>(from, to, &state)?;
    }
    Ok(true)
}

/// The first bytes that sort after `key`.
pub(crate) fn just_after<K: AgentKey>(key: &K) -> Vec<u8> {
    let mut bytes = key.encode();
    bytes.push(0);
    bytes
}

/// A worker's state as a question from outside sees it, and where it stands.
pub struct Reading<'a, A: Agent> {
    pub(crate) slots: &'a mut Slots<A>,
    pub(crate) context: &'a Context,
    pub(crate) shared: Option<&'a dyn Any>,
    /// The last entry folded in.
    pub seq: Seq,
}

impl<'a, A: Agent> Reading<'a, A> {
    /// The state of `key`; `None` also where it has gone to another key, which [`Self::moved_to`] tells.
    ///
    /// # Errors
    /// The store's error.
    pub fn get(&mut self, key: &A::Key) -> Result<Option<&A::State>, AgentError> {
        let slot = self.slots.find(key)?;
        Ok(slot.filter(|slot| slot.moved.is_none()).map(|slot| &slot.state))
    }

    /// Whose the state of `key` has become.
    ///
    /// # Errors
    /// The store's error.
    pub fn moved_to(&mut self, key: &A::Key) -> Result<Option<A::Key>, AgentError> {
        Ok(self.slots.find(key)?.and_then(|slot| slot.moved.clone()))
    }

    /// Up to `limit` keys with state at or after the bytes `from`, in order.
    ///
    /// # Errors
    /// The store's error.
    pub fn keys_from(&self, from: &[u8], limit: usize) -> Result<Vec<A::Key>, AgentError> {
        Ok(self.slots.keys_from(from, limit, |key| self.context.owns(key.partition()))?)
    }

    /// What all keys share.
    pub fn shared<S: 'static>(&self) -> Option<&'a S> {
        self.shared.and_then(<dyn Any>::downcast_ref)
    }
}
