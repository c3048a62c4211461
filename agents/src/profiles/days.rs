//! Counts and sums by UTC day, for rolling windows.

use serde::{Deserialize, Serialize};

use super::money::{Currency, Micros};
use crate::vocabulary::{DAY_MS, Millis};

/// Days kept before the newest one.
pub const DAYS_MAX: i32 = 400;
/// Currencies kept of one day.
pub(super) const DAY_CURRENCIES_MAX: usize = 8;
/// Currencies kept of one person.
pub(super) const CURRENCIES_MAX: usize = 32;

/// Sums by currency. Of too many currencies the `MAX` with the first codes are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sums<const MAX: usize>(Vec<(Currency, Micros)>);

impl<const MAX: usize> Sums<MAX> {
    /// Adds an amount; false where a currency had to go.
    pub(super) fn add(&mut self, currency: Currency, amount: Micros) -> bool {
        match self.0.binary_search_by_key(&currency, |(known, _)| *known) {
            Ok(place) => {
                if let Some((_, sum)) = self.0.get_mut(place) {
                    sum.add(amount);
                }
                // Nought is the same as nothing, whichever way it came about.
                if self.0.get(place).is_some_and(|(_, sum)| sum.0 == 0) {
                    self.0.remove(place);
                }
                true
            }
            Err(place) => {
                self.0.insert(place, (currency, amount));
                let fits = self.0.len() <= MAX;
                self.0.truncate(MAX);
                fits
            }
        }
    }

    pub(super) fn merge<const OTHER: usize>(&mut self, others: &Sums<OTHER>) -> bool {
        others.0.iter().fold(true, |fits, (currency, amount)| fits & self.add(*currency, *amount))
    }

    /// The sum in one currency.
    pub fn get(&self, currency: Currency) -> Option<Micros> {
        self.0.iter().find(|(known, _)| *known == currency).map(|(_, sum)| *sum)
    }

    /// By currency.
    pub fn iter(&self) -> std::slice::Iter<'_, (Currency, Micros)> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What happened on one UTC day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Days since 1970-01-01.
    #[serde(rename = "d")]
    pub day: i32,
    /// Events of any sort.
    #[serde(rename = "e", default)]
    pub events: u32,
    /// Orders.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub orders: u32,
    /// Value of orders less refunds.
    #[serde(rename = "v", default, skip_serializing_if = "Sums::is_empty")]
    pub value: Sums<DAY_CURRENCIES_MAX>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The UTC day of an instant.
pub fn day_of(at_ms: Millis) -> i32 {
    i32::try_from(at_ms.div_euclid(DAY_MS)).unwrap_or(if at_ms < 0 { i32::MIN } else { i32::MAX })
}

/// The newest day with an event and the [`DAYS_MAX`] before it; days with nothing take no room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Days(Vec<Day>);

/// Sums over a rolling window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rolling {
    /// Events of any sort.
    pub events: u64,
    /// Orders.
    pub orders: u64,
    /// Value of orders less refunds.
    pub value: Sums<CURRENCIES_MAX>,
}

impl Days {
    /// The newest day.
    pub(super) fn newest(&self) -> Option<&Day> {
        self.0.last()
    }

    /// The day `day`, made new where there is none; `None` where it is too old to be kept.
    pub(super) fn at(&mut self, day: i32) -> Option<&mut Day> {
        let newest = self.0.last().map_or(day, |last| last.day);
        if day < newest.saturating_sub(DAYS_MAX) {
            return None;
        }
        if day >= newest {
            if self.0.is_empty() || day > newest {
                self.0.push(Day { day, ..Day::default() });
                let oldest = day.saturating_sub(DAYS_MAX);
                let gone = self.0.partition_point(|known| known.day < oldest);
                self.0.drain(..gone);
            }
            return self.0.last_mut();
        }
        let place = match self.0.binary_search_by_key(&day, |known| known.day) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, Day { day, ..Day::default() });
                place
            }
        };
        self.0.get_mut(place)
    }

    pub(super) fn merge(&mut self, others: &Self) {
        for other in &others.0 {
            if let Some(day) = self.at(other.day) {
                day.events = day.events.saturating_add(other.events);
                day.orders = day.orders.saturating_add(other.orders);
                day.value.merge(&other.value);
            }
        }
    }

    /// The last `days` UTC days at the instant `now_ms`, its own day among them.
    pub fn rolling(&self, days: u16, now_ms: Millis) -> Rolling {
        let last = day_of(now_ms);
        let first = last.saturating_sub(i32::from(days).saturating_sub(1));
        let mut rolling = Rolling::default();
        for day in self.0.iter().filter(|day| first <= day.day && day.day <= last) {
            rolling.events += u64::from(day.events);
            rolling.orders += u64::from(day.orders);
            rolling.value.merge(&day.value);
        }
        rolling
    }

    /// Oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Day> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_whole_days_up_to_now() {
        let mut days = Days::default();
        for day in [10, 3, 9, 4, 10] {
            days.at(day).unwrap().events += 1;
        }
        let now = 10 * DAY_MS + 5;
        assert_eq!(days.rolling(1, now).events, 2);
        assert_eq!(days.rolling(2, now).events, 3);
        assert_eq!(days.rolling(7, now).events, 4);
        assert_eq!(days.rolling(8, now).events, 5);
        assert_eq!(days.rolling(7, now - DAY_MS).events, 3);
        assert_eq!(days.rolling(0, now).events, 0);
    }

    #[test]
    fn days_past_the_bound_go_in_any_order() {
        let fold = |order: &[i32]| {
            let mut days = Days::default();
            for day in order {
                if let Some(day) = days.at(*day) {
                    day.events += 1;
                }
            }
            days
        };
        let forward = fold(&[0, 99, 100, 101, 500]);
        assert_eq!(forward, fold(&[500, 101, 100, 99, 0]));
        assert_eq!(forward.iter().map(|day| day.day).collect::<Vec<_>>(), [100, 101, 500]);
    }

    #[test]
    fn days_before_1970_and_past_all_calendars_are_days_too() {
        assert_eq!(day_of(-1), -1);
        assert_eq!(day_of(-DAY_MS), -1);
        assert_eq!(day_of(i64::MAX), i32::MAX);
        assert_eq!(day_of(i64::MIN), i32::MIN);
        let mut days = Days::default();
        assert!(days.at(i32::MIN).is_some() && days.at(i32::MAX).is_some() && days.at(0).is_none());
    }
}
