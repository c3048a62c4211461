//! A person as a decision looks at them: some thirty numbers, each about -1 to 1, in a fixed order.
//!
//! Pure: the profile and the instant, nothing else. What a model has learned hangs on the order and meaning of
//! these numbers, so new ones go to the end and none is ever taken away.

use crate::{
    profiles::{Engagement, Profile, Shop},
    vocabulary::{Channel, DAY_MS, Feature, Millis},
};

/// Parts of a day, three hours each.
pub const DAY_PARTS: usize = 8;

/// Places of the features of one channel.
const CHANNEL_FEATURES: usize = 3;
/// Where those of channels begin.
const CHANNELS_AT: usize = 17;
/// Where those of hours begin.
const HOURS_AT: usize = CHANNELS_AT + 3 * CHANNEL_FEATURES;

/// How often a delivered message is clicked before anything is known of a person, by channel, and how many
/// messages that is worth. They only order channels nobody has a history with; what was learned moves them.
const CLICK_RATES: [(Channel, f64); 3] = [(Channel::Email, 0.03), (Channel::Sms, 0.05), (Channel::Push, 0.04)];
const CLICK_MESSAGES: f64 = 10.0;
/// The same of opens; a text message is never known to be opened.
const OPEN_RATES: [(Channel, f64); 3] = [(Channel::Email, 0.25), (Channel::Sms, 0.0), (Channel::Push, 0.1)];
/// Events of an even day that are added to a person's own.
const HOUR_EVENTS: f64 = 16.0;

/// The names, in order.
pub const NAMES: [&str; 35] = [
    "orders",
    "order_recency",
    "never_ordered",
    "value",
    "value_per_order",
    "orders_30d",
    "orders_90d",
    "events_7d",
    "events_30d",
    "seen_recency",
    "tenure",
    "product_views",
    "view_recency",
    "cart_items",
    "checkouts",
    "refunds",
    "subscription",
    "email.clicks",
    "email.opens",
    "email.heard",
    "sms.clicks",
    "sms.opens",
    "sms.heard",
    "push.clicks",
    "push.opens",
    "push.heard",
    "active.00",
    "active.03",
    "active.06",
    "active.09",
    "active.12",
    "active.15",
    "active.18",
    "active.21",
    "active.weekend",
];

/// From nothing to 1, half way at `half`.
fn squash(number: f64, half: f64) -> f32 {
    let number = number.max(0.0);
    (number / (number + half)) as f32
}

/// 1 now, half after `half_days`, 0 for never.
fn recency(at_ms: Option<Millis>, now_ms: Millis, half_days: f64) -> f32 {
    at_ms.map_or(0.0, |at_ms| {
        let days = now_ms.saturating_sub(at_ms).max(0) as f64 / DAY_MS as f64;
        (half_days / (days + half_days)) as f32
    })
}

/// A rate shrunk to `base` as if `CLICK_MESSAGES` messages had shown it, as its square root: rates differ by
/// factors, and the root's spread does not hang on the rate (Bartlett 1936).
fn rate(times: u32, of: u32, base: f64) -> f32 {
    let rate =
        (f64::from(times.min(of.max(times))) + base * CLICK_MESSAGES) / (f64::from(of.max(times)) + CLICK_MESSAGES);
    libm::sqrt(rate.clamp(0.0, 1.0)) as f32
}

fn base(rates: &[(Channel, f64); 3], channel: Channel) -> f64 {
    rates.iter().find(|(known, _)| *known == channel).map_or(0.0, |(_, rate)| *rate)
}

/// The person at `now_ms`, in the order of [`NAMES`].
pub fn describe(profile: &Profile, now_ms: Millis) -> Vec<f32> {
    let shop = profile.shop.as_deref();
    let orders = shop.map_or(0, |shop| shop.orders);
    let value: f64 = shop.map_or(0.0, |shop| shop.value.iter().map(|(_, sum)| sum.0 as f64 / 1e6).sum());
    let of = |count: Option<u32>, half: f64| squash(count.map_or(0.0, f64::from), half);
    let (month, quarter) = (profile.days.rolling(30, now_ms), profile.days.rolling(90, now_ms));
    let (first_seen, last_seen) = profile.seen.map_or((None, None), |(first, last)| (Some(first), Some(last)));
    let tenure_days = first_seen.map_or(0.0, |first| now_ms.saturating_sub(first).max(0) as f64 / DAY_MS as f64);
    let mut features = Vec::with_capacity(NAMES.len());
    features.extend([
        squash(orders.into(), 4.0),
        recency(shop.and_then(|shop| shop.last_order_at), now_ms, 30.0),
        if orders == 0 { 1.0 } else { 0.0 },
        squash(value, 200.0),
        squash(value / f64::from(orders.max(1)), 50.0),
        squash(month.orders as f64, 1.0),
        squash(quarter.orders as f64, 2.0),
        squash(profile.days.rolling(7, now_ms).events as f64, 10.0),
        squash(month.events as f64, 30.0),
        recency(last_seen, now_ms, 7.0),
        squash(tenure_days, 180.0),
        of(shop.map(|shop| shop.product_views), 10.0),
        recency(shop.and_then(|shop| shop.last_product_view_at), now_ms, 3.0),
        squash(shop.map_or(0.0, |shop| shop.cart().iter().map(|(_, held)| f64::from(*held)).sum()), 2.0),
        of(shop.map(|shop| shop.checkouts), 2.0),
        of(shop.map(|shop| shop.refunds), 1.0),
        if shop.is_some_and(Shop::subscription_active) { 1.0 } else { 0.0 },
    ]);
    for channel in Channel::ALL {
        let engagement = profile.messages.iter().find(|(known, _)| *known == channel);
        let Engagement { delivered, opened, clicked, .. } = engagement.map(|(_, it)| *it).unwrap_or_default();
        features.extend([
            rate(clicked, delivered, base(&CLICK_RATES, channel)),
            rate(opened, delivered, base(&OPEN_RATES, channel)),
            squash(delivered.into(), CLICK_MESSAGES),
        ]);
    }
    features.extend(active(profile, now_ms));
    features
}

/// At which parts of the day, and how much on weekends, a person is active against an even spread: 0 is even,
/// 1 is all of it, -1 none.
fn active(profile: &Profile, now_ms: Millis) -> [f32; DAY_PARTS + 1] {
    let (mut parts, mut weekend, mut all) =
        ([HOUR_EVENTS / DAY_PARTS as f64; DAY_PARTS], HOUR_EVENTS * 2.0 / 7.0, HOUR_EVENTS);
    for (hour, times) in profile.hours.by_hour(now_ms).iter() {
        let times = f64::from(*times);
        all += times;
        if *hour >= 5 * 24 {
            weekend += times;
        }
        if let Some(part) = parts.get_mut(usize::from(hour % 24) * DAY_PARTS / 24) {
            *part += times;
        }
    }
    let against = |share: f64, even: f64| {
        let over = share - even;
        (if over > 0.0 { over / (1.0 - even) } else { over / even }) as f32
    };
    let mut active = [0.0; DAY_PARTS + 1];
    for (place, part) in active.iter_mut().zip(parts) {
        *place = against(part / all, 1.0 / DAY_PARTS as f64);
    }
    if let Some(last) = active.last_mut() {
        *last = against(weekend / all, 2.0 / 7.0);
    }
    active
}

/// The place of how a person takes to a channel: the square root of their click rate, shrunk.
pub fn answers_at(channel: Channel) -> usize {
    CHANNELS_AT + channel as usize * CHANNEL_FEATURES
}

/// The place of how active a person is at an hour of their day, against an even spread.
pub fn active_place(hour: u8) -> usize {
    HOURS_AT + usize::from(hour % 24) * DAY_PARTS / 24
}

/// Their orders and what they have paid, as a decision's outcome is counted from.
pub fn standing(profile: &Profile) -> Vec<(Feature, i64)> {
    profile.features().into_iter().filter(|(feature, _)| super::enrolment::is_counted(*feature)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_and_stays_in_its_range() {
        let features = describe(&Profile::default(), 0);
        assert_eq!(features.len(), NAMES.len());
        assert!(features.iter().all(|value| (-1.0..=1.0).contains(value)), "{features:?}");
        assert_eq!(NAMES[CHANNELS_AT], "email.clicks");
        assert_eq!(NAMES[CHANNELS_AT + 2 * CHANNEL_FEATURES + 2], "push.heard");
        assert_eq!(NAMES[HOURS_AT], "active.00");
        assert_eq!(NAMES[answers_at(Channel::Sms)], "sms.clicks");
        assert_eq!(NAMES[active_place(23)], "active.21");
    }

    #[test]
    fn who_clicks_text_messages_takes_to_them() {
        assert!(rate(6, 8, 0.05) > rate(1, 20, 0.03) + 0.3);
        // Two clicks of two say less than twenty of twenty.
        assert!(rate(2, 2, 0.05) < rate(20, 20, 0.05));
    }
}
