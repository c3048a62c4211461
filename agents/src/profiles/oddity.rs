//! What was passed over in a person's events, counted so that it can be seen.

use serde::{Deserialize, Serialize};

/// Something in an event that could not be used as it was. The rest of the event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// A field of a type it never has, e.g. a currency that is a number.
    WrongType,
    /// `properties` or `context` that is no JSON object to its end.
    NoObject,
    /// An amount that is no number or beyond a thousand million.
    Amount,
    /// A negative revenue.
    NegativeAmount,
    /// A currency that is not three letters; the amount was left out.
    Currency,
    /// A quantity that is no whole number from 1 to 10,000; taken as 1.
    Quantity,
    /// A product with no id.
    NoProduct,
    /// A time zone that is not in the tz database.
    TimeZone,
    /// A trait whose name is empty or too long.
    TraitName,
    /// A trait whose value is too large.
    TraitValue,
    /// A group id that is missing or too long.
    GroupId,
    /// An identifier that is too long, or no identifier of its kind.
    Identifier,
    /// An identifier that stands for nobody: `null`, `undefined`, `0`, `anonymous` and the like.
    Placeholder,
    /// A subscription id or plan that is too long.
    Subscription,
    /// A consent that is neither true nor false, or of something with no name or too long a one.
    Consent,
}

/// How often each came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Oddities(Vec<(Oddity, u32)>);

impl Oddities {
    pub(super) fn count(&mut self, oddity: Oddity) {
        self.add(oddity, 1);
    }

    fn add(&mut self, oddity: Oddity, times: u32) {
        match self.0.binary_search_by_key(&oddity, |(known, _)| *known) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(times);
                }
            }
            Err(place) => self.0.insert(place, (oddity, times)),
        }
    }

    pub(super) fn merge(&mut self, others: &Self) {
        others.0.iter().for_each(|(oddity, times)| self.add(*oddity, *times));
    }

    /// Each that came at least once.
    pub fn iter(&self) -> std::slice::Iter<'_, (Oddity, u32)> {
        self.0.iter()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A collection that was full: the oldest of it had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Traits.
    Traits = 0,
    /// Groups and their traits.
    Groups = 1,
    /// Identifiers.
    Identifiers = 2,
    /// Days with an order.
    OrderDays = 3,
    /// Currencies.
    Currencies = 4,
    /// Product views.
    ProductViews = 5,
    /// Products bought.
    ProductsBought = 6,
    /// Changes of the cart.
    Cart = 7,
    /// Subscriptions.
    Subscriptions = 8,
}

impl Bound {
    const ALL: [Self; 9] = [
        Self::Traits,
        Self::Groups,
        Self::Identifiers,
        Self::OrderDays,
        Self::Currencies,
        Self::ProductViews,
        Self::ProductsBought,
        Self::Cart,
        Self::Subscriptions,
    ];
}

/// Which collections were full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bounds(u16);

impl Bounds {
    /// Notes that `bound` was reached, where it did not fit.
    pub(super) fn note(&mut self, bound: Bound, fits: bool) {
        if !fits {
            self.0 |= 1 << bound as u16;
        }
    }

    pub(super) fn merge(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Those that were reached.
    pub fn reached(self) -> impl Iterator<Item = Bound> {
        Bound::ALL.into_iter().filter(move |bound| self.0 & (1 << *bound as u16) != 0)
    }
}
