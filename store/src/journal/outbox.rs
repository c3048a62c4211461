use bytes::Bytes;

use super::{
    entry::{NameId, Seq},
    keys, varint,
};
use crate::StoreError;

/// Name of an effect: the entry it came of, who asked, and which of several. The same after a
/// crash and a second try, so it serves as the provider's idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The entry in whose handling it was asked for.
    pub seq: Seq,
    /// The agent that asked.
    pub writer: u16,
    /// Which of those asked for there.
    pub index: u16,
}

impl std::fmt::Display for EffectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.seq, self.writer, self.index)
    }
}

/// An effect in the outbox: asked for, durable, not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEffect {
    /// Its name.
    pub id: EffectId,
    /// Key partition of the answer.
    pub partition: u16,
    /// Which effect.
    pub topic: NameId,
    /// Version byte and MessagePack.
    pub body: Bytes,
}

impl PendingEffect {
    pub(super) fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(self.body.len() + 6);
        varint::put(&mut value, u64::from(self.partition));
        varint::put(&mut value, u64::from(self.topic.0));
        value.extend_from_slice(&self.body);
        value.into()
    }

    pub(super) fn decode(key: &[u8], value: &Bytes) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged { place: "effects outbox".into(), what: "an effect is cut short".into() };
        let id = keys::effect_from(key).ok_or_else(damaged)?;
        let mut rest = value.as_ref();
        let partition = varint::take(&mut rest).and_then(|n| u16::try_from(n).ok()).ok_or_else(damaged)?;
        let topic = varint::take(&mut rest).and_then(|n| u16::try_from(n).ok()).ok_or_else(damaged)?;
        Ok(Self { id, partition, topic: NameId(topic), body: value.slice_ref(rest) })
    }
}
