//! What no client should send, and some do.

use impresario_agents::{
    profiles::Profile,
    vocabulary::{EventKind, Millis, ProfileChanged, RawJson, Text, Tracked},
};
use impresario_runtime::{
    DeadLetter,
    store::{JournalLimits, codec},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{START, With, event, profiles, said, send, track, user};

const NAMES: [&str; 8] = [
    "Order Completed",
    "Order Refunded",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Subscription Started",
    "Email Opened",
    "Whatever",
];

fn kinds() -> impl Strategy<Value = EventKind> {
    prop::sample::select(vec![
        EventKind::Identify,
        EventKind::Track,
        EventKind::Page,
        EventKind::Screen,
        EventKind::Group,
        EventKind::Alias,
    ])
}

/// Raw JSON of the names that are looked at, with values of every wrong sort.
fn raw() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "revenue",
        "total",
        "currency",
        "products",
        "product_id",
        "quantity",
        "email",
        "phone",
        "timezone",
        "traits",
        "campaign",
        "page",
        "device",
        "token",
        "externalIds",
        "url",
        "referrer",
        "id",
        "type",
        "subscription_id",
        "a",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "0",
            "-0",
            "1e999",
            "-1e-999",
            "99999999999999999999999999",
            "\"\"",
            "\"NaN\"",
            "[]",
            "{}",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"-\"",
            "[[[[[[]]]]]]",
            "[null,7,\"x\",{}]",
            "1.7976931348623157e308",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,12}".prop_map(|text| Value::String(text).to_string()),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let field = (name.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn instants() -> impl Strategy<Value = Millis> {
    // 1901, 2999, and what lies past all calendars.
    prop::sample::select(vec![START, 0, -1, -2_177_452_800_000, 32_472_144_000_000, i64::MAX, i64::MIN])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_client_can_say_breaks_a_fold(
        said_by_clients in prop::collection::vec((kinds(), 0..NAMES.len(), raw(), raw(), instants()), 1..12),
    ) {
        let mut driver = profiles(2);
        for (index, (kind, name, properties, context, at_ms)) in said_by_clients.iter().enumerate() {
            let made = event(*kind, &format!("m{index}"), *at_ms).user("anna").anonymous("phone").previous("old");
            send(&mut driver, [Tracked {
                name: NAMES[*name].into(),
                group_id: Some("acme".into()),
                properties: RawJson::from_checked(properties.as_str()),
                context: RawJson::from_checked(context.as_str()),
                ..made
            }]);
        }
        prop_assert_eq!(said::<DeadLetter>(&driver), []);
        let anna = user(&mut driver, "anna");
        prop_assert_eq!(anna.events as usize, said_by_clients.len());
        let stored = codec::encode(1, &anna).unwrap();
        prop_assert_eq!(codec::decode::<Profile>(1, &stored).unwrap(), anna);
    }
}

#[test]
fn the_largest_profile_there_can_be_fits_one_entry() {
    let mut driver = profiles(1);
    let long = |mark: &str, bytes: usize| format!("{mark}{}", "x".repeat(bytes - mark.len()));
    // Half numbers take most room: four bytes of JSON become nine.
    let heavy: Value = vec![1.5; 225].into();
    for round in 0..60 {
        let at_ms = START + round;
        let traits: serde_json::Map<_, _> =
            (0..15).map(|index| (long(&format!("{round}-{index}-"), 255), heavy.clone())).collect();
        let source: Text = long("source", 500).into();
        let identify = event(EventKind::Identify, &format!("i{round}"), at_ms).properties(&traits.clone().into());
        let group = event(EventKind::Group, &format!("g{round}"), at_ms).properties(&traits.into());
        let group = Tracked { group_id: Some(long(&format!("{round}-"), 255).into()), ..group };
        let ids: Vec<_> = (0..50)
            .map(|index| json!({ "id": long(&format!("{round}-{index}-"), 320), "type": long("t", 64) }))
            .collect();
        let lines: Vec<_> = (0..50)
            .map(|index| json!({ "product_id": long(&format!("{round}-{index}-"), 128), "quantity": 9999 }))
            .collect();
        let order = |index: i64| {
            let currency: String =
                [b'A' + (round % 26) as u8, b'A' + (index % 26) as u8, b'A'].map(char::from).iter().collect();
            let at_ms = START + (round * 8 + index) / 8 * 86_400_000;
            track(
                "Order Completed",
                "anna",
                &format!("o{round}-{index}"),
                at_ms,
                &json!({ "revenue": 999_999_999, "currency": currency, "products": lines }),
            )
        };
        let product = json!({ "product_id": long(&format!("{round}-"), 128), "quantity": 9999, "subscription_id": long(&format!("{round}-"), 128) });
        let later = START + 1_000 * 86_400_000 + round;
        let mine = |name: &str| track(name, "anna", &format!("{name}{round}"), later, &product);
        let events = [
            identify.user("anna").context(&json!({ "externalIds": ids })),
            group.user("anna"),
            mine("Product Viewed"),
            mine("Product Added"),
            mine("Subscription Started"),
        ];
        send(
            &mut driver,
            events.map(|event| Tracked { source: source.clone(), ..event }).into_iter().chain((0..8).map(order)),
        );
    }
    let anna = user(&mut driver, "anna");
    assert!(anna.bounds.reached().count() >= 6, "{:?}", anna.bounds.reached().collect::<Vec<_>>());
    let bytes = codec::encode(1, &anna).unwrap().len();
    let limit = JournalLimits::default().body_bytes_max;
    assert!((limit / 2..limit - 4096).contains(&bytes), "{bytes} of {limit}");
    // Joining another person hands all of it over in one entry, and tells of it in one more.
    let alias = event(EventKind::Alias, "alias", START).user("anna").previous("bob");
    send(&mut driver, [track("A", "bob", "b", START, &json!({})), alias]);
    assert_eq!(said::<DeadLetter>(&driver), []);
    let joined = user(&mut driver, "bob");
    assert_eq!(joined.events, anna.events + 2);
    assert_eq!(said::<ProfileChanged>(&driver).iter().filter(|changed| changed.event == 0).count(), 1);
}

#[test]
fn traits_beyond_the_bound_are_told_as_gone() {
    let mut driver = profiles(1);
    let identify = |message: &str, at, from: usize| {
        let traits: serde_json::Map<_, _> =
            (from..from + 200).map(|index| (format!("t{index:03}"), json!(index))).collect();
        event(EventKind::Identify, message, START + at).user("anna").properties(&traits.into())
    };
    send(&mut driver, [identify("m1", 1, 0), identify("m2", 2, 200)]);
    let anna = user(&mut driver, "anna");
    assert_eq!(anna.traits.iter().count(), 255);
    assert!(anna.traits.get("t144").is_none() && anna.traits.get("t145").is_some());
    let told = said::<ProfileChanged>(&driver).pop().unwrap().traits;
    assert_eq!(told.values().filter(|value| value.is_null()).count(), 145);
}

#[test]
fn traits_with_impossible_names_or_values_are_counted() {
    let mut driver = profiles(1);
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let traits = json!({ "": 1, "n".repeat(256): 1, "large": "x".repeat(5000), "deep": deep, "fine": 1 });
    send(&mut driver, [event(EventKind::Identify, "m", START).user("anna").properties(&traits)]);
    let anna = user(&mut driver, "anna");
    let names: Vec<_> = anna.traits.iter().map(|write| write.name.as_ref()).collect();
    assert_eq!(names, ["deep", "fine"]);
    let oddities: Vec<_> = anna.oddities.iter().map(|(oddity, times)| format!("{oddity:?} {times}")).collect();
    assert_eq!(oddities, ["TraitName 2", "TraitValue 1"]);
}
