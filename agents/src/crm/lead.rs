//! The lead score: points for what somebody did, each worth half after a while. Pure.

use std::collections::BTreeMap;

use impresario_runtime::Shared;
use serde::{Deserialize, Serialize};

use crate::{
    segmentation::{Comparison, Condition, FeatureCondition, Span, check_asked},
    vocabulary::{DAY_MS, Millis},
};

/// What gives points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// They asked to be spoken to: `Demo Requested`, `Lead Generated`, `Contact Requested`, `Quote Requested`.
    Asked,
    /// They signed up or began a trial: `Signed Up`, `Trial Started`.
    SignedUp,
    /// They filled in a form: `Form Submitted`.
    Form,
    /// They looked at a product.
    View,
    /// They put something into the cart.
    Cart,
    /// They began a checkout.
    Checkout,
    /// They ordered.
    Order,
    /// They clicked in a message, or replied to one.
    Answer,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Asked, Self::SignedUp, Self::Form, Self::View, Self::Cart, Self::Checkout, Self::Order, Self::Answer];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::SignedUp => "signed_up",
            Self::Form => "form",
            Self::View => "view",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Order => "order",
            Self::Answer => "answer",
        }
    }

    /// Whether it makes somebody a lead; the others give points to who is one.
    pub(super) fn makes_lead(self) -> bool {
        matches!(self, Self::Asked | Self::SignedUp | Self::Form)
    }
}

/// How leads are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeadSettings {
    /// Points for each deed, 0 to 1,000; what is not named gives none.
    pub points: BTreeMap<Deed, u32>,
    /// After how long a point is worth half of it, `1d` to `365d`.
    pub half_life: Span,
    /// From which score on a lead is hot, 1 to 100,000. It is no longer below half of it.
    pub hot: u32,
    /// Who, when they complain, is seen to by a person: a condition, as a segment's, of traits, features and
    /// segments.
    pub high_value: Condition,
}

impl Default for LeadSettings {
    fn default() -> Self {
        let points = [
            (Deed::Asked, 40),
            (Deed::SignedUp, 15),
            (Deed::Form, 10),
            (Deed::View, 1),
            (Deed::Cart, 5),
            (Deed::Checkout, 10),
            (Deed::Order, 20),
            (Deed::Answer, 8),
        ];
        let high_value = ["value.EUR", "value.USD", "value.GBP"].map(|name| {
            let (name, op, value) = (name.into(), Comparison::GreaterOrEqual, 500.into());
            Condition::Feature(FeatureCondition { name, op, value })
        });
        let high_value = high_value.to_vec();
        Self {
            points: points.into(),
            half_life: Span::from_ms(14 * DAY_MS),
            hot: 60,
            high_value: Condition::Any(high_value),
        }
    }
}

impl Shared for LeadSettings {}

/// Checks settings before they are said.
///
/// # Errors
/// Which field is wrong, and what it may be.
pub fn check_leads(settings: &LeadSettings) -> Result<(), String> {
    if let Some((deed, _)) = settings.points.iter().find(|(_, points)| **points > 1_000) {
        return Err(format!("`points.{}`: 0 to 1000", deed.name()));
    }
    if !(DAY_MS..=365 * DAY_MS).contains(&settings.half_life.ms()) {
        return Err("`half_life`: 1d to 365d".into());
    }
    if !(1..=100_000).contains(&settings.hot) {
        return Err("`hot`: 1 to 100000".into());
    }
    check_asked(&settings.high_value).map_err(|why| format!("`high_value`: {why}"))
}

/// Halvings after which a deed is forgotten.
const HALVINGS_MAX: i64 = 8;
/// Deeds of one sort on one day that count.
const A_DAY_MAX: u32 = 20;
/// Days with deeds of one sort kept, the newest.
const DAYS_MAX: usize = 64;

/// What somebody did, by sort and UTC day: the order it comes in makes no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deeds(BTreeMap<Deed, BTreeMap<i32, u32>>);

impl Deeds {
    pub(super) fn add(&mut self, deed: Deed, at_ms: Millis) {
        self.add_many(deed, at_ms.div_euclid(DAY_MS) as i32, 1);
    }

    fn add_many(&mut self, deed: Deed, day: i32, count: u32) {
        let days = self.0.entry(deed).or_default();
        let counted = days.entry(day).or_default();
        *counted = counted.saturating_add(count);
        if days.len() > DAYS_MAX {
            days.pop_first();
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (deed, days) in other.0 {
            days.into_iter().for_each(|(day, count)| self.add_many(deed, day, count));
        }
    }

    /// What each sort of deed is worth at `now_ms`, thousandths of a point; what is worth nothing is left out.
    pub fn parts(&self, settings: &LeadSettings, now_ms: Millis) -> Vec<(Deed, i64)> {
        let part = |(deed, days): (&Deed, &BTreeMap<i32, u32>)| {
            let points = i64::from(settings.points.get(deed).copied().unwrap_or_default());
            let worth = days.iter().map(|(day, count)| {
                let age_ms = (now_ms - i64::from(*day) * DAY_MS).max(0);
                points * i64::from((*count).min(A_DAY_MAX)) * worth_milli(age_ms, settings.half_life.ms())
            });
            (*deed, worth.sum())
        };
        self.0.iter().map(part).filter(|(_, worth)| *worth > 0).collect()
    }
}

/// What is left of a point after `age_ms`, thousandths: halved with every half-life, in a straight line between,
/// so that it is the same number on every machine.
fn worth_milli(age_ms: Millis, half_life_ms: Millis) -> i64 {
    let half_life_ms = half_life_ms.max(1);
    let (halvings, rest) = (age_ms / half_life_ms, age_ms % half_life_ms);
    if halvings >= HALVINGS_MAX {
        return 0;
    }
    let whole = 1_000_i64 >> halvings;
    whole - whole * rest / (2 * half_life_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_worth_half_after_a_half_life_and_add_up() {
        let settings = LeadSettings::default();
        let mut deeds = Deeds::default();
        deeds.add(Deed::Asked, 0);
        (0..30).for_each(|_| deeds.add(Deed::View, DAY_MS));
        assert_eq!(deeds.parts(&settings, 0), [(Deed::Asked, 40_000), (Deed::View, 20_000)], "20 views a day count");
        assert_eq!(deeds.parts(&settings, 14 * DAY_MS)[0], (Deed::Asked, 20_000));
        assert_eq!(deeds.parts(&settings, 21 * DAY_MS)[0], (Deed::Asked, 15_000));
        assert_eq!(deeds.parts(&settings, 1_000 * DAY_MS), []);
    }

    #[test]
    fn two_people_who_are_one_have_the_points_of_both_in_either_order() {
        let mut one = Deeds::default();
        one.add(Deed::Cart, 0);
        let mut other = Deeds::default();
        (0..100).for_each(|day| other.add(Deed::Cart, day * DAY_MS));
        let (mut first, mut second) = (one.clone(), other.clone());
        first.merge(other);
        second.merge(one);
        assert_eq!(first, second);
        assert_eq!(first.0[&Deed::Cart].len(), DAYS_MAX);
    }

    #[test]
    fn wrong_settings_are_told_by_their_field() {
        let wrong = |change: fn(&mut LeadSettings)| {
            let mut settings = LeadSettings::default();
            change(&mut settings);
            check_leads(&settings).unwrap_err()
        };
        assert!(wrong(|settings| _ = settings.points.insert(Deed::Form, 1_001)).starts_with("`points.form`"));
        assert!(wrong(|settings| settings.half_life = Span::from_ms(1)).starts_with("`half_life`"));
        assert!(wrong(|settings| settings.hot = 0).starts_with("`hot`"));
        assert_eq!(check_leads(&LeadSettings::default()), Ok(()));
    }
}
