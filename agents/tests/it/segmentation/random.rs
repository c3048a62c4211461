//! Random definitions and streams of events.

use impresario_agents::{
    segmentation::Condition,
    vocabulary::{EventKind, Millis},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use crate::support::START;

pub(crate) const DAY: Millis = 86_400_000;
pub(crate) const SEGMENTS: usize = 4;

/// What happens, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) workers: usize,
    pub(crate) rotate: usize,
    pub(crate) actions: Vec<Action>,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Events, all in before any is folded.
    Events(Vec<Sent>),
    Define(usize, Condition),
    Remove(usize),
    /// So many milliseconds pass.
    Wait(Millis),
    /// On to one of the instants at which time alone may change something, or a millisecond beside it.
    ToEdge(usize, Millis),
}

/// An event on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: EventKind,
    pub(crate) user: Option<usize>,
    pub(crate) anonymous: Option<usize>,
    /// A user id that turns out to be the same person (alias).
    pub(crate) previous: Option<usize>,
    pub(crate) name: &'static str,
    /// How long ago it happened.
    pub(crate) late_ms: Millis,
    pub(crate) properties: Value,
    /// Sent twice, the second time after so many others.
    pub(crate) again: bool,
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let action = prop_oneof![
        5 => vec(sent(), 1..5).prop_map(Action::Events),
        3 => (0..SEGMENTS, condition()).prop_map(|(place, condition)| Action::Define(place, condition)),
        1 => (0..SEGMENTS).prop_map(Action::Remove),
        2 => span_ms().prop_map(Action::Wait),
        5 => (0_usize..1_000, -1_i64..=1).prop_map(|(place, beside)| Action::ToEdge(place, beside)),
    ];
    (select(vec![1, 3]), 0_usize..4, vec(action, 1..24)).prop_map(|(workers, rotate, actions)| Script {
        workers,
        rotate,
        actions,
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![
        8 => Just(EventKind::Track),
        1 => Just(EventKind::Page),
        1 => Just(EventKind::Screen),
        3 => Just(EventKind::Identify),
        1 => Just(EventKind::Alias),
    ];
    // A device belongs to one user: devices 0 and 1 to user 0, device 2 to user 1, device 3 to nobody.
    let who = prop_oneof![
        4 => (0_usize..4).prop_map(|user| (Some(user), None)),
        3 => (0_usize..4).prop_map(|device| (None, Some(device))),
        2 => select(vec![(Some(0), Some(0)), (Some(0), Some(1)), (Some(1), Some(2))]),
    ];
    let late = prop_oneof![3 => Just(0), 3 => span_ms(), 1 => 0_i64..40 * DAY];
    (kind, who, late, properties(), names(), prop::bool::weighted(0.15)).prop_map(
        |(kind, (user, anonymous), late_ms, properties, name, again)| {
            let named = matches!(kind, EventKind::Track | EventKind::Page | EventKind::Screen);
            let previous = (kind == EventKind::Alias).then_some(3);
            let user = if kind == EventKind::Alias { Some(2) } else { user };
            let anonymous = if kind == EventKind::Alias { None } else { anonymous };
            let name = if named { name } else { "" };
            Sent { kind, user, anonymous, previous, name, late_ms, properties, again }
        },
    )
}

fn names() -> impl Strategy<Value = &'static str> {
    select(vec!["Order Completed", "Order Completed", "Product Viewed", "Tap"])
}

fn properties() -> impl Strategy<Value = Value> {
    (option::of(value()), option::of(value()), option::of(value()), option::of(instant()), (0..40_i64), any::<bool>())
        .prop_map(|(n, sku, x, d, revenue, euro)| {
            let mut found = Map::new();
            let mut put = |name: &str, value: Option<Value>| value.map(|value| found.insert(name.into(), value));
            put("n", n);
            put("sku", sku);
            put("o", x.map(|x| json!({ "x": x })));
            put("d", d);
            put("revenue", Some(json!(revenue as f64 / 4.0)));
            put("currency", Some(json!(if euro { "EUR" } else { "USD" })));
            Value::Object(found)
        })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3_i64..6).prop_map(Value::from),
        2 => (-8_i64..20).prop_map(|quarters| json!(quarters as f64 / 4.0)),
        3 => select(vec![json!("A"), json!("AB"), json!("B"), json!("3"), json!("")]),
        1 => select(vec![json!(true), json!(null), json!(["A", 1]), json!([]), json!({ "x": 1 })]),
    ]
}

/// An instant near the beginning, as text or as a number.
fn instant() -> impl Strategy<Value = Value> {
    (-20_i64..20, select(vec![0, 1, DAY / 24]), 0..3).prop_map(|(days, beside, how)| {
        let at = START + days * DAY + beside;
        match how {
            0 => json!(at),
            1 => json!(jiff::Timestamp::from_millisecond(at).unwrap().to_string()),
            _ => json!(jiff::Timestamp::from_millisecond(at).unwrap().to_string()[..10].to_owned()),
        }
    })
}

fn span_ms() -> impl Strategy<Value = Millis> {
    select(vec![1, 2, 3_600_000, 3_600_001, DAY - 1, DAY, DAY + 1, 3 * DAY, 7 * DAY])
}

fn span() -> impl Strategy<Value = &'static str> {
    select(vec!["1ms", "2ms", "1h", "1d", "3d", "7d", "30d"])
}

fn window() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        5 => span().prop_map(|span| json!({ "last": span })),
        1 => instant().prop_map(|from| json!({ "from": text_of(&from) })),
        1 => (instant(), 1_i64..9).prop_map(|(from, days)| {
            let from_ms = impresario_agents::segmentation::instant_of(&from).unwrap();
            json!({ "from": text_of(&from), "to": text_of(&json!(from_ms + days * DAY)) })
        }),
    ]
}

fn text_of(at: &Value) -> String {
    let at = impresario_agents::segmentation::instant_of(at).unwrap();
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}

/// A comparison and what with.
fn test() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        6 => (select(vec!["=", "!=", "<", "<=", ">", ">="]), value()),
        1 => (Just("contains"), value()),
        1 => (Just("in"), vec(value(), 1..4).prop_map(Value::from)),
        1 => select(vec!["exists", "missing"]).prop_map(|op| (op, Value::Null)),
        1 => (select(vec!["starts_with", "ends_with"]), select(vec![json!("A"), json!("B"), json!("")])),
        1 => (select(vec!["before", "after"]), instant()),
    ]
}

/// Also comparisons with the present.
fn test_now() -> impl Strategy<Value = (&'static str, Value)> {
    let distance = || span().prop_map(|span| json!(span));
    prop_oneof![
        3 => test(),
        2 => (select(vec!["within_last", "longer_ago_than", "within_next"]), distance()),
    ]
}

fn number_test() -> impl Strategy<Value = (&'static str, Value)> {
    (select(vec!["=", "!=", "<", "<=", ">", ">="]), (-1_i64..8).prop_map(|n| json!(n as f64 / 2.0)))
}

/// A selector's members.
fn selector() -> impl Strategy<Value = Map<String, Value>> {
    let filter = (select(vec!["n", "sku", "o.x", "d"]), test()).prop_map(|(property, (op, value))| {
        let mut filter = json!({ "property": property, "op": op });
        if !value.is_null() {
            filter["value"] = value;
        }
        filter
    });
    let kind = select(vec!["track", "track", "track", "track", "page", "screen", "identify"]);
    (kind, option::weighted(0.85, names()), vec(filter, 0..2)).prop_map(|(kind, name, filters)| {
        let mut selector = Map::new();
        selector.insert("kind".into(), json!(kind));
        if let (Some(name), true) = (name, kind != "identify") {
            selector.insert("name".into(), json!(name));
        }
        if !filters.is_empty() {
            selector.insert("where".into(), json!(filters));
        }
        selector
    })
}

fn event() -> impl Strategy<Value = Value> {
    let numbers = select(vec!["count", "count", "sum", "min", "max", "distinct"]);
    let property = || select(vec!["n", "n", "sku", "o.x", "d"]);
    let numeric = (numbers, property(), number_test()).boxed();
    let ends = (select(vec!["first", "last"]), property(), test()).boxed();
    (selector(), window(), prop_oneof![3 => numeric, 1 => ends]).prop_map(
        |(mut event, window, (aggregate, property, (op, value)))| {
            event.insert("window".into(), window);
            event.insert("aggregate".into(), json!(aggregate));
            if aggregate != "count" {
                event.insert("property".into(), json!(property));
            }
            event.insert("op".into(), json!(op));
            if !value.is_null() {
                event.insert("value".into(), value);
            }
            json!({ "event": event })
        },
    )
}

fn tested(
    kind: &'static str,
    names: Vec<&'static str>,
    test: BoxedStrategy<(&'static str, Value)>,
) -> BoxedStrategy<Value> {
    let make = move |(name, (op, value)): (&str, (&str, Value))| {
        let mut inner = json!({ "name": name, "op": op });
        if !value.is_null() {
            inner["value"] = value;
        }
        json!({ kind: inner })
    };
    (select(names), test).prop_map(make).boxed()
}

/// Any condition that [`impresario_agents::segmentation::check_condition`] lets stand, but for the segments it names.
fn condition() -> impl Strategy<Value = Condition> {
    let counts = vec!["events", "pages", "screens", "orders", "order_days", "product_views", "value.EUR"];
    let instants = vec!["first_seen_at", "last_seen_at", "first_order_at", "last_order_at", "last_product_view_at"];
    let leaf = prop_oneof![
        3 => tested("trait", vec!["n", "sku", "o.x", "d"], test_now().boxed()),
        1 => tested("feature", counts, prop_oneof![4 => number_test(), 1 => test()].boxed()),
        1 => tested("feature", instants, test_now().boxed()),
        5 => event(),
        2 => (selector(), window()).prop_map(|(mut absent, window)| {
            absent.insert("window".into(), window);
            json!({ "absent": absent })
        }),
        3 => (selector(), selector(), span(), any::<bool>(), window()).prop_map(|(first, then, within, followed, window)| {
            json!({ "sequence": { "first": first, "then": then, "within": within, "followed": followed, "window": window } })
        }),
        2 => (0..SEGMENTS).prop_map(|place| json!({ "segment": format!("s{place}") })),
        1 => (1..100, select(vec!["", "may"])).prop_map(|(percent, salt)| json!({ "sample": { "percent": percent, "salt": salt } })),
        1 => (select(vec![">=", "<"]), select(vec![0.1, 0.5, 0.9])).prop_map(|(op, value)| {
            json!({ "score": { "model": "churn_risk", "op": op, "value": value } })
        }),
    ];
    let nested = leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|list| json!({ "all": list })),
            vec(inner.clone(), 1..4).prop_map(|list| json!({ "any": list })),
            inner.prop_map(|inner| json!({ "not": inner })),
        ]
    });
    nested.prop_map(|json| serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}")))
}
