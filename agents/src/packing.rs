//! Long lists of small things, packed into few bytes: most of what is kept of a busy person.
//!
//! Written field by field under their names, such lists cost more than all that is done with them. Only
//! what lies in the store is packed; people (and JSON) see the list.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Something that is written as its distance from the one before it in a list.
pub(crate) trait Packed: Sized {
    /// Appends it.
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>);
    /// Takes one off the front of `bytes`; `None` where they are cut short.
    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self>;
}

/// For `#[serde(with = ..)]`: a list of [`Packed`] things.
pub(crate) fn serialize<'a, C, T, S>(list: &'a C, serializer: S) -> Result<S::Ok, S::Error>
where
    &'a C: IntoIterator<Item = &'a T>,
    C: Serialize,
    T: Packed + 'a,
    S: Serializer,
{
    if serializer.is_human_readable() {
        return list.serialize(serializer);
    }
    let mut packed = Vec::new();
    let mut before = None;
    for one in list {
        one.put(before, &mut packed);
        before = Some(one);
    }
    serializer.serialize_bytes(&packed)
}

/// For `#[serde(with = ..)]`: a list of [`Packed`] things.
pub(crate) fn deserialize<'de, C, T, D>(deserializer: D) -> Result<C, D::Error>
where
    C: FromIterator<T> + Deserialize<'de> + IntoIterator<Item = T>,
    T: Packed,
    D: Deserializer<'de>,
{
    if deserializer.is_human_readable() {
        return C::deserialize(deserializer);
    }
    let list: Vec<T> = deserializer.deserialize_bytes(List(std::marker::PhantomData))?;
    Ok(list.into_iter().collect())
}

struct List<T>(std::marker::PhantomData<T>);

impl<T: Packed> de::Visitor<'_> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a packed list")
    }

    fn visit_bytes<E: de::Error>(self, mut packed: &[u8]) -> Result<Self::Value, E> {
        let mut list = Vec::new();
        while !packed.is_empty() {
            let before = packed.len();
            let one = T::take(list.last(), &mut packed).filter(|_| packed.len() < before);
            list.push(one.ok_or_else(|| E::custom("a packed list is cut short"))?);
        }
        Ok(list)
    }
}

/// Appends a number as LEB128, small ones of either sign in few bytes (zigzag, as in Protocol Buffers).
pub(crate) fn put_number(out: &mut Vec<u8>, number: i64) {
    put_count(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Takes what [`put_number`] has put.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    take_count(bytes).map(|value| (value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

/// Appends a number as LEB128.
pub(crate) fn put_count(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes what [`put_count`] has put.
pub(crate) fn take_count(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a text with its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes what [`put_text`] has put.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take_count(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// Instants: mostly in order, so the distances are short.
impl Packed for i64 {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        put_number(out, self.wrapping_sub(before.copied().unwrap_or_default()));
    }

    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self> {
        take_number(bytes).map(|distance| before.copied().unwrap_or_default().wrapping_add(distance))
    }
}

#[cfg(test)]
mod tests {
    use impresario_runtime::store::codec;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<i64>);

    #[test]
    fn a_list_comes_back_and_a_broken_one_is_refused() {
        for list in [vec![], vec![0], vec![i64::MIN, i64::MAX, -1, 0, 1, 1], vec![1_777_852_800_000, 1_777_852_800_001]]
        {
            let kept = Kept(list);
            let bytes = codec::encode(1, &kept).unwrap();
            assert_eq!(codec::decode::<Kept>(1, &bytes).unwrap(), kept);
            let text = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept, "people read a list");
        }
        assert!(codec::decode::<Kept>(1, &codec::encode(1, &Value::from("text")).unwrap()).is_err());
        let cut = codec::encode(1, &Kept(vec![1_777_852_800_000])).unwrap();
        let mut cut = cut.to_vec();
        let last = cut.pop();
        assert!(last.is_some() && codec::decode::<Kept>(1, &cut).is_err());
    }

    #[test]
    fn texts_come_back() {
        let mut out = Vec::new();
        ["", "SKU-1", "żółw"].iter().for_each(|text| put_text(&mut out, text));
        let mut rest = out.as_slice();
        let read: Vec<_> = std::iter::from_fn(|| take_text(&mut rest)).collect();
        assert_eq!(read, ["", "SKU-1", "żółw"]);
        assert_eq!(take_text(&mut [9, b'a'].as_slice()), None);
    }
}
