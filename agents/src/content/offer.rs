//! What an offer is: a discount, a code, and for how long from the sending.

use serde::{Deserialize, Serialize};

use crate::vocabulary::Millis;

/// An offer: either `percent` or `amount` off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Offer {
    /// Its name for people, at most 200 characters, e.g. `10% off`.
    pub name: Box<str>,
    /// How many percent off, above 0 and at most 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// How much off, in units of `currency`, e.g. `5` or `7.50`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// Three capital letters (ISO 4217); needed where there is an `amount` or a `discount_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Box<str>>,
    /// What the customer types in, at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<str>>,
    /// How long it holds from the sending on, in minutes; none for as long as the shop takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_minutes: Option<u32>,
    /// What it gives away at most, in units of `currency`: what a budget of discounts sets aside for a message
    /// with it. Of an `amount` it is that amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_max: Option<f64>,
}

impl Eq for Offer {}

/// Millionths of an amount of money.
fn micros(amount: f64) -> i64 {
    (amount * 1_000_000.0).round() as i64
}

impl Offer {
    /// What it gives away at most, millionths of its currency; none where nothing bounds it.
    pub fn discount_max_micros(&self) -> Option<i64> {
        self.discount_max.or(self.amount).map(micros)
    }

    /// How much off, millionths of its currency; none for an offer in percent.
    pub fn amount_micros(&self) -> Option<i64> {
        self.amount.map(micros)
    }

    /// When it ends if it is sent at `sent_ms`.
    pub fn ends_ms(&self, sent_ms: Millis) -> Option<Millis> {
        self.valid_minutes.map(|minutes| sent_ms.saturating_add(i64::from(minutes) * 60_000))
    }
}

/// An offer as one person gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferGiven {
    /// Which offer.
    pub id: Box<str>,
    /// What the customer types in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<str>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<Millis>,
    /// What it gives away at most, millionths of its currency; none where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_max_micros: Option<i64>,
}
