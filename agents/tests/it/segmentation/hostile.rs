//! Definitions that can't stand, each with a clear answer.

use std::collections::BTreeMap;

use impresario_agents::segmentation::{Condition, SegmentDefined, check};
use serde_json::{Value, json};

fn all_of(one: &Value, times: usize) -> Value {
    json!({ "all": vec![one.clone(); times] })
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({ "segment": "vip" }), |inner, _| json!({ "not": inner }))
}

fn count(window: &Value) -> Value {
    json!({ "event": { "name": "Tap", "window": window, "op": ">=", "value": 1 } })
}

fn of_trait(op: &str, value: &Value) -> Value {
    json!({ "trait": { "name": "plan", "op": op, "value": value } })
}

fn filtered(filter: &Value, times: usize) -> Value {
    json!({ "absent": { "name": "Tap", "where": vec![filter.clone(); times] } })
}

fn standing() -> BTreeMap<Box<str>, Condition> {
    let mut standing: BTreeMap<Box<str>, Condition> = BTreeMap::new();
    let mut add = |id: String, condition: Value| {
        standing.insert(id.into(), serde_json::from_value(condition).unwrap());
    };
    add("vip".into(), of_trait("=", &json!("gold")));
    add("back".into(), json!({ "segment": "new" }));
    add("row-0".into(), of_trait("=", &json!("gold")));
    (1..12).for_each(|place| add(format!("row-{place}"), json!({ "segment": format!("row-{}", place - 1) })));
    standing
}

fn answer(id: &str, name: &str, condition: &Value) -> String {
    let condition = serde_json::from_value(condition.clone()).unwrap();
    let defined = SegmentDefined { id: id.into(), name: name.into(), condition, goal: None };
    check(&defined, &standing()).map_or_else(|error| error.to_string(), |()| "stands".into())
}

#[test]
fn hostile_definitions_are_answered() {
    let check = |condition: &Value, expect: &str| {
        let found = answer("new", "New", condition);
        assert!(found.contains(expect), "{expect} expected, found {found}");
    };
    let long = "x".repeat(1_025);
    let filter = json!({ "property": "n", "op": "=", "value": 1 });

    check(&nested(10), "stands");
    check(&nested(11), "deeper than 10");
    check(&nested(100), "deeper than 10");
    check(&all_of(&json!({ "segment": "vip" }), 99), "stands");
    check(&all_of(&json!({ "segment": "vip" }), 100), "more than 100 conditions");
    check(&json!({ "all": [] }), "at least one condition");
    check(&of_trait("in", &json!(vec![1; 1_000])), "stands");
    check(&of_trait("in", &json!(vec![1; 1_001])), "longer than 1000");
    check(&of_trait("in", &json!(vec![vec!["x".repeat(200); 900]; 10])), "131072 bytes");
    check(&of_trait("=", &json!(long)), "longer than 1024 bytes");
    check(&of_trait("=", &json!({ long.as_str(): 1 })), "a name is longer than 1024 bytes");
    check(&all_of(&count(&json!({ "last": "1d" })), 10), "stands");
    check(&all_of(&count(&json!({ "last": "1d" })), 11), "more than 10 rolling windows and sequences");
    check(&all_of(&count(&json!({})), 99), "stands");
    check(&filtered(&filter, 20), "stands");
    check(&filtered(&filter, 21), "more than 20 property tests");
    check(&all_of(&filtered(&filter, 20), 10), "stands");
    check(&all_of(&filtered(&filter, 20), 11), "more than 200 property tests");

    check(&filtered(&json!({ "property": "", "op": "exists" }), 1), "name is empty");
    check(&filtered(&json!({ "property": "n", "op": "within_last", "value": "1d" }), 1), "not for properties");
    check(&filtered(&json!({ "property": "n", "op": "in", "value": 3 }), 1), "a list is wanted");
    check(&filtered(&json!({ "property": "n", "op": "<", "value": [3] }), 1), "a number or a text");
    check(&filtered(&json!({ "property": "n", "op": "before", "value": "soon" }), 1), "an instant is wanted");
    check(&filtered(&json!({ "property": "n", "op": "before", "value": "2026-05-04" }), 1), "stands");

    check(&count(&json!({ "last": "1d", "from": "2026-01-01" })), "exclude each other");
    check(&count(&json!({ "from": "2026-01-02", "to": "2026-01-01" })), "not before");
    check(&json!({ "event": { "aggregate": "sum", "op": ">", "value": 1 } }), "`property` is wanted");
    check(&json!({ "event": { "property": "n", "op": ">", "value": 1 } }), "takes no property");
    check(&json!({ "event": { "op": ">", "value": "1" } }), "a number is wanted");
    check(&json!({ "event": { "op": ">", "value": 1e300 } }), "too large");
    check(&json!({ "event": { "kind": "identify", "name": "Tap", "op": ">", "value": 1 } }), "have no name");
    check(&json!({ "feature": { "name": "shoe_size", "op": ">", "value": 1 } }), "no feature `shoe_size`");
    check(&json!({ "feature": { "name": "orders", "op": "within_last", "value": "1d" } }), "is no instant");
    check(&json!({ "feature": { "name": "last_order_at", "op": "<", "value": 1 } }), "is an instant");
    check(&json!({ "sample": { "percent": 0 } }), "above 0");
    check(&json!({ "sample": { "percent": 101 } }), "at most 100");
    check(&json!({ "score": { "model": "churn_risk", "op": "=", "value": 0.5 } }), "`>=` or `<`");
    check(&json!({ "score": { "model": "churn_risk", "op": "<", "value": 1 } }), "below 1");

    check(&json!({ "segment": "nobody" }), "`nobody` does not exist");
    check(&json!({ "segment": "new" }), "would look at itself");
    check(&json!({ "segment": "back" }), "would look at itself, by way of back");
    check(&json!({ "segment": "row-3" }), "stands");
    check(&json!({ "segment": "row-11" }), "more than 8 segments");

    let vip = json!({ "segment": "vip" });
    for id in ["", "New", "a b", "ä", "a\0", "x".repeat(65).as_str()] {
        assert!(answer(id, "New", &vip).contains("1 to 64 lowercase"), "{id}");
    }
    for name in ["", "x".repeat(201).as_str()] {
        assert!(answer("new", name, &vip).contains("1 to 200 characters"), "{name}");
    }
}

#[test]
fn what_is_no_condition_is_no_definition() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!(r#"{{"trait":{{"name":"n","op":"=","value":{deep}}}}}"#);
    for text in [
        deep.as_str(),
        r#"{"maybe":[]}"#,
        r#"{"event":{"op":"~","value":1}}"#,
        r#"{"event":{"window":{"last":"1 month"},"op":"=","value":1}}"#,
        r#"{"event":{"window":{"last":"-1d"},"op":"=","value":1}}"#,
        r#"{"event":{"window":{"from":"soon"},"op":"=","value":1}}"#,
        r#"{"segment":"a","sample":{"percent":1}}"#,
    ] {
        assert!(serde_json::from_str::<Condition>(text).is_err(), "{}", &text[..text.len().min(80)]);
    }
}
