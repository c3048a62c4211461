//! What simulated people do with the messages they get: the hidden model that the system never sees.
//!
//! Each message is one draw of chance, by seed, person and message alone, so that a world is the same whatever
//! else happens in it.

use std::collections::BTreeMap;

use impresario_agents::vocabulary::{Channel, Millis};
use serde_json::{Map, Value};

use crate::format::Chance;

/// How finely chance is drawn.
const DRAWS: i64 = 1 << 40;

/// What a person does with messages, from instant to instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Each holds from its instant on, in order.
    pub(crate) phases: Vec<(Millis, Ways)>,
}

/// What a person does with messages.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// How likely a message of no particular fit is opened.
    pub(crate) opens: f64,
    /// How likely it is clicked, and so opened.
    pub(crate) clicks: f64,
    /// How likely it brings an order, and so is clicked.
    pub(crate) buys: f64,
    /// How likely its reader unsubscribes, once more for each message they got within the time of fatigue.
    pub(crate) unsubscribes: f64,
    /// How likely its reader complains, once more for each.
    pub(crate) complains: f64,
    /// How likely a machine opens it, whatever its reader does.
    pub(crate) machines: f64,
    /// By how much each of these is more or less likely; 1 where nothing is said.
    pub(crate) channels: BTreeMap<Channel, f64>,
    /// Whether a channel of which nothing is said is not answered at all.
    pub(crate) only_channels: bool,
    pub(crate) templates: BTreeMap<String, f64>,
    /// By offer; `none` for a message without one.
    pub(crate) offers: BTreeMap<String, f64>,
    /// By hour of the reader's day.
    pub(crate) hours: [f64; 24],
    /// By how much less for each message of late, and within which time.
    pub(crate) fatigue: Option<(f64, Millis)>,
    /// Between which lengths of time after a message it is answered.
    pub(crate) after_ms: (Millis, Millis),
    /// The event that a purchase is.
    pub(crate) order: String,
    /// Its properties; `20..60` is a whole number of that range.
    pub(crate) properties: Map<String, Value>,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            opens: 0.0,
            clicks: 0.0,
            buys: 0.0,
            unsubscribes: 0.0,
            complains: 0.0,
            machines: 0.0,
            channels: BTreeMap::new(),
            only_channels: false,
            templates: BTreeMap::new(),
            offers: BTreeMap::new(),
            hours: [1.0; 24],
            fatigue: None,
            after_ms: (600_000, 7_200_000),
            order: "Order Completed".to_owned(),
            properties: Map::new(),
        }
    }
}

/// One message as its reader sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) channel: Channel,
    pub(crate) template: &'a str,
    pub(crate) offer: Option<&'a str>,
    /// The hour of the reader's day.
    pub(crate) hour: usize,
    /// Messages the reader got within the time of fatigue.
    pub(crate) of_late: usize,
}

/// What somebody does with a message, and how long after it; none for what they don't do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Deeds {
    pub(crate) machine_ms: Option<Millis>,
    pub(crate) opens_ms: Option<Millis>,
    pub(crate) clicks_ms: Option<Millis>,
    pub(crate) unsubscribes_ms: Option<Millis>,
    pub(crate) complains_ms: Option<Millis>,
    /// With the properties of the order.
    pub(crate) buys: Option<(Millis, Map<String, Value>)>,
}

impl Answers {
    /// What holds at an instant.
    pub(crate) fn at(&self, at_ms: Millis) -> Option<&Ways> {
        self.phases.iter().rev().find(|(from_ms, _)| *from_ms <= at_ms).map(|(_, ways)| ways)
    }
}

impl Ways {
    /// By how much a message fits its reader.
    pub(crate) fn fit(&self, seen: Seen<'_>) -> f64 {
        let unsaid = if self.only_channels { 0.0 } else { 1.0 };
        let by = |map: &BTreeMap<String, f64>, key: &str| map.get(key).copied().unwrap_or(1.0);
        let tired = self.fatigue.map_or(1.0, |(less, _)| (1.0 - less).powi(i32::try_from(seen.of_late).unwrap_or(99)));
        self.channels.get(&seen.channel).copied().unwrap_or(unsaid)
            * by(&self.templates, seen.template)
            * by(&self.offers, seen.offer.unwrap_or("none"))
            * self.hours.get(seen.hour).copied().unwrap_or(1.0)
            * tired
    }

    /// What the reader does with a message.
    pub(crate) fn deeds(&self, seen: Seen<'_>, chance: &mut Chance) -> Deeds {
        let mut draw = || chance.below(DRAWS) as f64 / DRAWS as f64;
        // Every question is asked, so that one answer's chance does not hang on another's.
        let (answer, leaves, complains, machine) = (draw(), draw(), draw(), draw());
        let (early, late) = self.after_ms;
        // Whole seconds, as a person would write them.
        let mut after = |from_ms: Millis, to_ms: Millis| (from_ms + chance.below(to_ms - from_ms + 1)) / 1_000 * 1_000;
        let (first_ms, then_ms, order_ms) = (after(early, late), after(5_000, 120_000), after(120_000, 1_200_000));
        let fit = self.fit(seen);
        let times = (seen.of_late + 1) as f64;
        let buys = answer < self.buys * fit;
        let clicks = buys || answer < self.clicks * fit;
        let opens = clicks || answer < self.opens * fit;
        let order = buys.then(|| {
            let pick = |(key, value): (&String, &Value)| (key.clone(), crate::format::pick(value, chance));
            self.properties.iter().map(pick).collect()
        });
        Deeds {
            machine_ms: (machine < self.machines).then_some(1_000),
            opens_ms: opens.then_some(first_ms),
            clicks_ms: clicks.then_some(first_ms + then_ms),
            unsubscribes_ms: (leaves < self.unsubscribes * times).then_some(first_ms + then_ms),
            complains_ms: (complains < self.complains * times).then_some(first_ms + then_ms),
            buys: order.map(|order| (first_ms + then_ms + order_ms, order)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_SMS: Seen<'_> = Seen { channel: Channel::Sms, template: "plain", offer: None, hour: 9, of_late: 0 };

    fn share(ways: &Ways, seen: Seen<'_>) -> (f64, f64) {
        let deeds = (0..20_000).map(|place| ways.deeds(seen, &mut Chance::new(1, "test", place)));
        let (mut clicks, mut buys) = (0, 0);
        for deeds in deeds {
            clicks += u32::from(deeds.clicks_ms.is_some());
            buys += u32::from(deeds.buys.is_some());
            assert!(deeds.opens_ms.is_some() || deeds.clicks_ms.is_none(), "clicked and not opened");
        }
        (f64::from(clicks) / 20_000.0, f64::from(buys) / 20_000.0)
    }

    #[test]
    fn a_message_is_answered_as_often_as_it_fits() {
        let mut ways = Ways { clicks: 0.2, buys: 0.05, fatigue: Some((0.5, 1)), ..Ways::default() };
        ways.channels.insert(Channel::Sms, 2.0);
        ways.offers.insert("none".into(), 0.5);
        ways.offers.insert("ten".into(), 1.5);
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.015, "{found} {wanted}");
        let (clicks, buys) = share(&ways, BY_SMS);
        near(clicks, 0.2);
        near(buys, 0.05);
        near(share(&ways, Seen { offer: Some("ten"), ..BY_SMS }).0, 0.6);
        near(share(&ways, Seen { offer: Some("ten"), of_late: 2, ..BY_SMS }).0, 0.15);
        ways.only_channels = true;
        assert_eq!(share(&ways, Seen { channel: Channel::Push, ..BY_SMS }), (0.0, 0.0));
    }
}
