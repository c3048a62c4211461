//! Orders and refunds by their ids: one that is told twice, by the browser and by the server say, is one.

use serde::{Deserialize, Serialize};

use super::money::{Currency, Micros};
use crate::vocabulary::Stamp;

/// Orders and refunds remembered of one person, the newest. One told again after so many others counts anew.
pub(super) const PLACED_MAX: usize = 200;

/// An order, or a refund, as it was last told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Placed {
    #[serde(rename = "i")]
    pub(super) id: Box<str>,
    #[serde(rename = "r", default, skip_serializing_if = "is_false")]
    pub(super) refund: bool,
    #[serde(rename = "t")]
    pub(super) stamp: Stamp,
    /// What it has added to the person's value.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<(Currency, Micros)>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The newest of them, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PlacedOrders(Vec<Placed>);

/// What a telling is to what was told before.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// The first.
    First,
    /// Newer than what was told, which is void.
    Again(Placed),
    /// Older than what was told: void itself.
    Stale,
}

impl PlacedOrders {
    fn place(&self, id: &str, refund: bool) -> Result<usize, usize> {
        self.0.binary_search_by(|known| (*known.id).cmp(id).then(known.refund.cmp(&refund)))
    }

    /// Takes in what an event tells of an order or a refund.
    pub(super) fn tell(&mut self, placed: Placed) -> Told {
        match self.place(&placed.id, placed.refund) {
            Ok(place) => match self.0.get_mut(place) {
                Some(known) if known.stamp < placed.stamp => Told::Again(std::mem::replace(known, placed)),
                _ => Told::Stale,
            },
            Err(place) => {
                self.0.insert(place, placed);
                if self.0.len() > PLACED_MAX {
                    let oldest = (0..self.0.len()).min_by_key(|place| self.0.get(*place).map(|known| known.stamp));
                    oldest.into_iter().for_each(|oldest| drop(self.0.remove(oldest)));
                }
                Told::First
            }
        }
    }

    /// Takes in another person's, who turned out to be this one; those told of both, as they were told first.
    pub(super) fn merge(&mut self, others: Self) -> Vec<Placed> {
        let mut void = Vec::new();
        for other in others.0 {
            let same = self.place(&other.id, other.refund).ok().and_then(|place| self.0.get_mut(place));
            match same {
                Some(known) if known.stamp < other.stamp => void.push(std::mem::replace(known, other)),
                Some(_) => void.push(other),
                None => drop(self.tell(other)),
            }
        }
        void
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
