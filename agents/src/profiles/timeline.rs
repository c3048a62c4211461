//! The newest events of a person, packed: most of what is kept of a busy one.
//!
//! ```text
//! each: LEB128 of the zigzag distance to the instant before; u32 little-endian tie; LEB128 of the
//! zigzag distance to the place before
//! ```

use impresario_runtime::store::Seq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::newest::{Newest, Stamp};

type Timeline<const MAX: usize> = Newest<(Stamp, Seq), MAX>;

pub(super) fn serialize<S: Serializer, const MAX: usize>(
    timeline: &Timeline<MAX>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return timeline.serialize(serializer);
    }
    let mut packed = Vec::with_capacity(timeline.len() * 12);
    let mut before = (0_i64, 0_i64);
    for (Stamp(at_ms, tie), seq) in timeline.iter() {
        put(&mut packed, at_ms.wrapping_sub(before.0));
        packed.extend_from_slice(&tie.to_le_bytes());
        put(&mut packed, seq.cast_signed().wrapping_sub(before.1));
        before = (*at_ms, seq.cast_signed());
    }
    serializer.serialize_bytes(&packed)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Timeline<MAX>, D::Error> {
    if deserializer.is_human_readable() {
        return Newest::deserialize(deserializer);
    }
    deserializer.deserialize_bytes(Packed)
}

struct Packed<const MAX: usize>;

impl<const MAX: usize> de::Visitor<'_> for Packed<MAX> {
    type Value = Timeline<MAX>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a packed timeline")
    }

    fn visit_bytes<E: de::Error>(self, mut packed: &[u8]) -> Result<Self::Value, E> {
        let mut timeline = Newest::default();
        let mut before = (0_i64, 0_i64);
        while !packed.is_empty() {
            let (at_ms, tie, seq) =
                take_one(&mut packed).ok_or_else(|| E::custom("a packed timeline is cut short"))?;
            before = (before.0.wrapping_add(at_ms), before.1.wrapping_add(seq));
            timeline.add((Stamp(before.0, tie), before.1.cast_unsigned()));
        }
        Ok(timeline)
    }
}

fn take_one(packed: &mut &[u8]) -> Option<(i64, u32, i64)> {
    let at_ms = take(packed)?;
    let (tie, rest) = packed.split_first_chunk::<4>()?;
    *packed = rest;
    Some((at_ms, u32::from_le_bytes(*tie), take(packed)?))
}

fn put(out: &mut Vec<u8>, distance: i64) {
    let mut value = ((distance << 1) ^ (distance >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use impresario_runtime::store::codec;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Newest<(Stamp, Seq), 3>);

    #[test]
    fn a_timeline_comes_back() {
        for items in [
            vec![],
            vec![(Stamp(5, 7), 1)],
            vec![(Stamp(i64::MIN, 0), u64::MAX), (Stamp(-1, u32::MAX), 2), (Stamp(i64::MAX, 9), 1)],
        ] {
            let mut timeline = Newest::default();
            for item in &items {
                timeline.add(*item);
            }
            let kept = Kept(timeline);
            let bytes = codec::encode(1, &kept).unwrap();
            assert_eq!(codec::decode::<Kept>(1, &bytes).unwrap(), kept);
            let text = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept, "people read a list");
        }
        let broken = codec::encode(1, &Value::from("text")).unwrap();
        assert!(codec::decode::<Kept>(1, &broken).is_err());
    }
}
