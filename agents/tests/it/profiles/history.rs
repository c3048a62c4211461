//! Random histories of a few people on several devices.

use impresario_agents::{
    profiles::Profile,
    vocabulary::{EventKind, Millis, Tracked},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{START, With, event};

const HOUR_MS: Millis = 3_600_000;
/// An alias of a person's two user ids; each history has one, for devices know both.
const JOIN: u8 = 7;

/// What a person does, before it is an event.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    person: u8,
    /// 0: on a device alone; 1: signed in, on a device; 2: signed in, on none.
    who: u8,
    device: u8,
    hour: i32,
    what: u8,
    number: u16,
}

pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few hours, so that many events share an instant; some far off, so that days fall off the end.
    let hour = prop_oneof![4 => 0..40_i32, 1 => -12_000..12_000_i32];
    let act = (0..3_u8, 0..3_u8, 0..3_u8, hour, 0..20_u8, any::<u16>());
    let act = act.prop_map(|(person, who, device, hour, what, number)| Act { person, who, device, hour, what, number });
    prop::collection::vec(act, 1..40).prop_map(|mut acts| {
        acts.extend((0..3).map(|person| Act { person, who: 2, device: 0, hour: 3, what: JOIN, number: 3 }));
        acts
    })
}

/// A history and an order to deliver it in, with places where all is folded before more comes.
pub(crate) fn histories() -> impl Strategy<Value = (Vec<Tracked>, Vec<(Tracked, bool)>)> {
    acts().prop_flat_map(|acts| {
        let events: Vec<_> = acts.iter().enumerate().map(|(index, act)| act.event(index)).collect();
        let shuffled = Just(events.clone()).prop_shuffle();
        let pauses = prop::collection::vec(any::<bool>(), events.len());
        (Just(events), (shuffled, pauses).prop_map(|(events, pauses)| events.into_iter().zip(pauses).collect()))
    })
}

impl Act {
    /// No two people share an identifier; one person may have two user ids, joined by aliases.
    fn event(&self, index: usize) -> Tracked {
        let Self { person, who, device, hour, what, number } = self;
        let at_ms = START + Millis::from(*hour) * HOUR_MS;
        let device = format!("device-{person}-{device}");
        let user = format!("user-{person}{}", if number % 3 == 0 { "-too" } else { "" });
        let made = event(EventKind::Track, &format!("m{index}"), at_ms);
        let (kind, name, properties) = self.what(*what);
        let made = Tracked { kind, name: name.into(), ..made }.properties(&properties).context(&self.context());
        let made = match who {
            0 => made.anonymous(&device),
            1 => made.user(&user).anonymous(&device),
            _ => made.user(&user),
        };
        match kind {
            EventKind::Alias if number % 2 == 0 => made.user(&user).previous(&device),
            EventKind::Alias => made.user(&format!("user-{person}")).previous(&format!("user-{person}-too")),
            EventKind::Group => Tracked { group_id: Some(format!("group-{}", number % 3).into()), ..made },
            _ => made,
        }
    }

    fn what(&self, what: u8) -> (EventKind, &'static str, Value) {
        let number = self.number;
        let product = json!({ "product_id": format!("p{}", number % 5), "quantity": number % 4 });
        let currency = ["EUR", "PLN", "usd", "gold"].get(usize::from(number % 4)).copied();
        let order_id = (!number.is_multiple_of(3)).then_some(number % 6);
        let money = json!({ "order_id": order_id, "revenue": f64::from(number) / 100.0 - 20.0, "currency": currency, "products": [product] });
        let traits = json!({
            "email": format!("person-{}@example.test", self.person),
            "plan": number % 3,
            "gone": if number.is_multiple_of(2) { Value::Null } else { number.into() },
            "": 1,
        });
        let track = |name| (EventKind::Track, name, json!({}));
        match what {
            0 => (EventKind::Identify, "", traits),
            1 => (EventKind::Identify, "", json!({ "plan": number % 3, "city": "Gdynia" })),
            2 | 3 => (EventKind::Page, "Home", json!({ "url": format!("https://s.test/{number}") })),
            4 => (EventKind::Screen, "Home", json!({})),
            5 => (EventKind::Group, "", json!({ "size": number % 7 })),
            6 | 7 => (EventKind::Alias, "", json!({})),
            8 => (EventKind::Track, "Product Viewed", product),
            9 | 10 => (EventKind::Track, "Product Added", product),
            11 => (EventKind::Track, "Product Removed", product),
            12 | 13 => (EventKind::Track, "Order Completed", money),
            14 => (EventKind::Track, "Order Refunded", money),
            15 => (EventKind::Track, "Subscription Started", json!({ "subscription_id": number % 2 })),
            16 => (EventKind::Track, "Subscription Cancelled", json!({ "subscription_id": number % 2 })),
            17 => track("Email Opened"),
            18 => track("Push Notification Tapped"),
            _ => track("Something Else"),
        }
    }

    fn context(&self) -> Value {
        match self.number % 6 {
            0 => json!({ "timezone": "Europe/Warsaw", "device": { "token": format!("token-{}", self.person) } }),
            1 => json!({ "timezone": "Nowhere", "campaign": { "name": format!("c{}", self.number) } }),
            2 => json!({ "externalIds": [{ "id": self.person, "type": "crm" }], "timezone": 7 }),
            3 => json!({ "page": { "url": "https://s.test/", "referrer": format!("https://r{}.test", self.number) } }),
            4 => json!({ "traits": { "email": format!("PERSON-{}@example.test", self.person) } }),
            _ => json!({}),
        }
    }
}

/// A profile with nothing in it that tells in which order its events came: the timeline's places are
/// the journal's.
pub(crate) fn without_places(profile: &Profile) -> (Profile, Vec<Millis>) {
    let times = profile.timeline().map(|(at_ms, _)| at_ms).collect();
    (profile.without_timeline(), times)
}
