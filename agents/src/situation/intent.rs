//! Views that come close together. Pure.

use serde::{Deserialize, Serialize};

use super::settings::CANDIDATES;
use crate::vocabulary::{Millis, Stamp};
use impresario_runtime::store::Seq;

/// Views remembered of one person; of more, the newest.
const VIEWS_KEPT_MAX: usize = 64;

/// One view of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct View {
    #[serde(rename = "t")]
    pub(super) stamp: Stamp,
    /// Hash of the product's id.
    #[serde(rename = "p")]
    pub(super) product: u64,
    /// Hash of the category; 0 for none.
    #[serde(rename = "c", default)]
    pub(super) category: u64,
    /// The place of its event, which tells the rest.
    #[serde(rename = "e")]
    pub(super) event: Seq,
}

/// The newest views of a person since their last order, by event time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ViewLog(Vec<View>);

/// What views are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Subject {
    #[serde(rename = "p")]
    Product(u64),
    #[serde(rename = "c")]
    Category(u64),
}

impl Subject {
    fn is_of(self, view: &View) -> bool {
        match self {
            Self::Product(product) => view.product == product,
            Self::Category(category) => view.category == category,
        }
    }
}

impl ViewLog {
    /// Takes a view in; false where it is there already.
    pub(super) fn add(&mut self, view: View) -> bool {
        let place = self.0.partition_point(|known| known.stamp < view.stamp);
        if self.0.get(place).is_some_and(|known| known.stamp == view.stamp) {
            return false;
        }
        self.0.insert(place, view);
        if self.0.len() > VIEWS_KEPT_MAX {
            self.0.remove(0);
        }
        true
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|view| {
            self.add(view);
        });
    }

    /// Forgets views up to `until_ms`.
    pub(super) fn forget(&mut self, until_ms: Millis) {
        self.0.retain(|view| view.stamp.0 > until_ms);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last `views` of `subject` after `after_ms` that lie within `within_ms`: the first and the last of
    /// them. Two that are exactly so far apart don't.
    pub(super) fn close_together(
        &self,
        subject: Subject,
        after_ms: Millis,
        views: u32,
        within_ms: Millis,
    ) -> Option<(View, View)> {
        let meant: Vec<&View> = self.0.iter().filter(|view| view.stamp.0 > after_ms && subject.is_of(view)).collect();
        let windows = meant.windows(views.max(1) as usize).rev();
        let ends = windows.filter_map(|window| Some((**window.first()?, **window.last()?)));
        ends.into_iter().find(|(first, last)| last.stamp.0 - first.stamp.0 < within_ms)
    }

    /// Which candidates `product` meets, the lowest bit for the first.
    pub(super) fn met(&self, product: u64) -> u16 {
        let met = CANDIDATES.iter().enumerate().filter(|(_, (views, within_ms))| {
            self.close_together(Subject::Product(product), Millis::MIN, *views, *within_ms).is_some()
        });
        met.fold(0, |bits, (place, _)| bits | 1 << place)
    }
}

/// A text's number (FNV-1a, 64 bits), never 0: to tell one person's products apart without keeping their ids.
pub(super) fn number_of(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(instants: &[Millis]) -> ViewLog {
        let mut log = ViewLog::default();
        for (place, at_ms) in instants.iter().enumerate() {
            let view = View { stamp: Stamp(*at_ms, place as u32), product: 7, category: 0, event: place as u64 };
            log.add(view);
        }
        log
    }

    #[test]
    fn views_count_within_less_than_the_window() {
        let found = |instants: &[Millis], after| {
            let found = log(instants).close_together(Subject::Product(7), after, 3, 100);
            found.map(|(first, last)| (first.stamp.0, last.stamp.0))
        };
        assert_eq!(found(&[0, 50, 99], -1), Some((0, 99)));
        assert_eq!(found(&[0, 50, 100], -1), None);
        assert_eq!(found(&[99, 0, 50], -1), Some((0, 99)), "in whatever order they come");
        assert_eq!(found(&[0, 50, 99], 0), None, "what is used up does not count");
        assert_eq!(found(&[0, 50, 90, 99], 0), Some((50, 99)));
        assert_eq!(log(&[0, 50, 99]).close_together(Subject::Product(8), -1, 3, 100), None);
    }

    #[test]
    fn a_view_told_twice_is_one() {
        let mut log = log(&[1, 2]);
        let again = log.0[0];
        assert!(!log.add(again));
        assert_eq!(log.0.len(), 2);
        for at_ms in 10..1_000 {
            assert!(log.add(View { stamp: Stamp(at_ms, 0), ..again }));
        }
        assert_eq!(log.0.len(), VIEWS_KEPT_MAX);
    }
}
