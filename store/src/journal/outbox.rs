use bytes::Bytes;

use super::{entry::NameId, ids::EffectId, keys, varint};
use crate::StoreError;

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
