//! Bounded collections whose content does not depend on the order things come in.
//!
//! Both keep what is newest by event time. The newest of a set is the same whichever way the set was
//! put together, and the newest of two newest is the newest of both; so late events and merges of
//! profiles end in the same place as the ordered history.

use std::collections::{VecDeque, vec_deque};

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    packing::{Packed, put_number, take_number},
    vocabulary::{Millis, Stamp},
};

impl Packed for Stamp {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        self.0.put(before.map(|before| &before.0), out);
        out.extend_from_slice(&self.1.to_le_bytes());
    }

    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self> {
        let at_ms = Millis::take(before.map(|before| &before.0), bytes)?;
        let (tie, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(Self(at_ms, u32::from_le_bytes(*tie)))
    }
}

/// An event's stamp, and its place in the journal.
impl Packed for (Stamp, Seq) {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        self.0.put(before.map(|before| &before.0), out);
        put_number(out, self.1.wrapping_sub(before.map_or(0, |before| before.1)).cast_signed());
    }

    fn take(before: Option<&Self>, bytes: &mut &[u8]) -> Option<Self> {
        let stamp = Stamp::take(before.map(|before| &before.0), bytes)?;
        let distance = take_number(bytes)?.cast_unsigned();
        Some((stamp, before.map_or(0, |before| before.1).wrapping_add(distance)))
    }
}

/// The newest `MAX` items, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Newest<T, const MAX: usize>(VecDeque<T>);

impl<T, const MAX: usize> Default for Newest<T, MAX> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const MAX: usize> FromIterator<T> for Newest<T, MAX> {
    /// Of things that were in one before, in their order.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T, const MAX: usize> IntoIterator for Newest<T, MAX> {
    type Item = T;
    type IntoIter = vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Newest<T, MAX> {
    type Item = &'a T;
    type IntoIter = vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Ord, const MAX: usize> Newest<T, MAX> {
    /// Puts `item` in its place; false where something had to go for it, or itself.
    pub(super) fn add(&mut self, item: T) -> bool {
        if self.0.back().is_none_or(|last| *last <= item) {
            self.0.push_back(item);
        } else {
            let place = self.0.partition_point(|known| *known <= item);
            self.0.insert(place, item);
        }
        let fits = self.0.len() <= MAX;
        if !fits {
            self.0.pop_front();
        }
        fits
    }

    /// Adds all of `others`; false where something had to go.
    pub(super) fn merge(&mut self, others: Self) -> bool {
        others.0.into_iter().fold(true, |fits, item| fits & self.add(item))
    }

    /// Drops what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    /// Whether `item` is among them.
    pub(super) fn contains(&self, item: &T) -> bool {
        self.0.binary_search(item).is_ok()
    }
}

impl<T, const MAX: usize> Newest<T, MAX> {
    /// Oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Longest name of a source kept, in bytes.
pub(super) const SOURCE_MAX: usize = 64;

/// A value as it was last written, by event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Its name.
    #[serde(rename = "n")]
    pub name: Box<str>,
    /// What it says; null is the mark of one that was removed.
    #[serde(rename = "v", default)]
    pub value: Value,
    /// When.
    #[serde(rename = "t")]
    pub stamp: Stamp,
    /// Who wrote it: the source of the event.
    #[serde(rename = "s")]
    pub source: Box<str>,
}

impl Write {
    /// Event time.
    pub fn at_ms(&self) -> Millis {
        self.stamp.0
    }
}

/// What a write did to the collection.
#[derive(Debug, PartialEq)]
pub(super) enum Written<'a> {
    /// A newer write is there already, or this one is older than all that fit.
    Stale,
    /// Written; the value is what it was.
    Same,
    /// Written; the value is new.
    New(&'a Write),
}

/// Named values, the last write of each; the `MAX` last written ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastWrites<const MAX: usize>(Vec<Write>);

impl<const MAX: usize> Default for LastWrites<MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<const MAX: usize> LastWrites<MAX> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|write| write.name.as_ref().cmp(name))
    }

    /// The write of `name`, also where it is the mark of a removed one.
    pub fn get(&self, name: &str) -> Option<&Write> {
        self.place(name).ok().and_then(|place| self.0.get(place))
    }

    /// Writes, unless a newer write is there.
    pub(super) fn set(&mut self, write: Write) -> Written<'_> {
        match self.place(&write.name) {
            Ok(place) => {
                let Some(known) = self.0.get_mut(place).filter(|known| known.stamp < write.stamp) else {
                    return Written::Stale;
                };
                let same = known.value == write.value;
                *known = write;
                if same { Written::Same } else { Written::New(known) }
            }
            Err(place) => {
                let nothing = write.value.is_null();
                self.0.insert(place, write);
                self.0.get(place).filter(|_| !nothing).map_or(Written::Same, Written::New)
            }
        }
    }

    /// Takes out the write that is oldest, where there is one too many.
    pub(super) fn take_surplus(&mut self) -> Option<Write> {
        if self.0.len() <= MAX {
            return None;
        }
        let oldest = self.0.iter().enumerate().min_by(|(_, a), (_, b)| (a.stamp, &a.name).cmp(&(b.stamp, &b.name)));
        let place = oldest.map(|(place, _)| place)?;
        Some(self.0.remove(place))
    }

    /// By name; marks of removed ones are among them.
    pub fn iter(&self) -> std::slice::Iter<'_, Write> {
        self.0.iter()
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_writes(self) -> Vec<Write> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, at: Millis, value: i64) -> Write {
        Write { name: name.into(), value: value.into(), stamp: Stamp(at, 0), source: "test".into() }
    }

    #[test]
    fn the_newest_stay_in_any_order() {
        let mut forward = Newest::<_, 3>::default();
        let mut backward = Newest::<_, 3>::default();
        let fits: Vec<_> = (0..5).map(|item| forward.add(item)).collect();
        (0..5).rev().for_each(|item| {
            backward.add(item);
        });
        assert_eq!(fits, [true, true, true, false, false]);
        assert_eq!(forward, backward);
        assert_eq!(forward.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn the_last_write_stays_in_any_order() {
        let writes = [write("a", 1, 1), write("b", 2, 2), write("a", 5, 3), write("c", 3, 4), write("d", 4, 5)];
        let fold = |order: &mut dyn Iterator<Item = &Write>| {
            let mut last = LastWrites::<2>::default();
            for write in order {
                last.set(write.clone());
                last.take_surplus();
            }
            last
        };
        let forward = fold(&mut writes.iter());
        assert_eq!(forward, fold(&mut writes.iter().rev()));
        assert_eq!(forward.iter().map(|write| write.name.as_ref()).collect::<Vec<_>>(), ["a", "d"]);
    }

    #[test]
    fn a_write_says_what_it_did() {
        let mut last = LastWrites::<9>::default();
        assert_eq!(last.set(write("a", 2, 1)), Written::New(&write("a", 2, 1)));
        assert_eq!(last.set(write("a", 3, 1)), Written::Same);
        assert_eq!(last.set(write("a", 1, 9)), Written::Stale);
        assert_eq!(last.set(Write { value: Value::Null, ..write("z", 1, 0) }), Written::Same);
    }
}
