//! The segments events are folded into: simple ones, of all kinds, half of them over rolling windows.

use serde_json::{Value, json};

/// The segment of whoever was marked, for measuring how long an event takes to get there.
pub const MARKED: &str = "bench-marked";

/// `count` definitions, and [`MARKED`] besides. As in a shop, most of them hold few people: an event is
/// looked at by many segments and changes the membership of few.
pub fn definitions(count: usize) -> Vec<Value> {
    let windowed = |index: usize| {
        let days = [1, 7, 14, 30, 90].get(index % 5).copied().unwrap_or(7);
        let window = json!({ "last": format!("{days}d") });
        match index / 5 % 4 {
            0 => json!({ "event": {
                "name": "Product Viewed", "window": window, "op": ">=", "value": 12 + 6 * (index % 7) } }),
            1 => json!({ "event": {
                "name": "Order Completed", "window": window, "op": ">=", "value": 3 + index % 3 } }),
            2 => json!({ "event": {
                "name": "Order Completed", "aggregate": "sum", "property": "revenue",
                "window": window, "op": ">=", "value": 500 + 10 * index } }),
            _ => json!({ "all": [
                { "feature": { "name": "orders", "op": ">=", "value": 1 + index % 3 } },
                { "absent": { "name": "Order Completed", "window": window } } ] }),
        }
    };
    let lasting = |index: usize| match index % 5 {
        0 => json!({ "feature": { "name": "orders", "op": ">=", "value": 3 + index % 9 } }),
        1 => json!({ "feature": { "name": "value.EUR", "op": ">", "value": 400 + 20 * index } }),
        2 => json!({ "trait": { "name": "age", "op": ">=", "value": 70 + index % 8 } }),
        3 => json!({ "all": [
            { "trait": { "name": "plan", "op": "=", "value": "pro" } },
            { "feature": { "name": "orders", "op": ">=", "value": 2 + index % 4 } } ] }),
        _ => json!({ "feature": { "name": "pages", "op": ">=", "value": 6 + index % 20 } }),
    };
    let mut all = vec![json!({
        "id": MARKED, "name": "Marked",
        "condition": { "event": { "name": "Bench Marked", "op": ">=", "value": 1 } },
    })];
    for index in 0..count {
        let condition = if index % 2 == 0 { windowed(index / 2) } else { lasting(index / 2) };
        all.push(json!({ "id": format!("bench-{index}"), "name": format!("Bench {index}"), "condition": condition }));
    }
    all
}

/// Of the definitions of [`scattered`], so many look at the events of the load.
const LOOKING: usize = 5;

/// `count` definitions of which the first five look at the events of the load, and the others at events, traits
/// and features that do not come.
pub fn scattered(count: usize) -> Vec<Value> {
    let looking = |index: usize| {
        let window = if index.is_multiple_of(2) { json!({ "last": "30d" }) } else { json!({}) };
        let name = if index < 3 { "Product Viewed" } else { "Order Completed" };
        json!({ "event": { "name": name, "window": window, "op": ">=", "value": 20 + index } })
    };
    let elsewhere = |index: usize| match index % 4 {
        0 => json!({ "event": { "name": format!("Webinar {index} Joined"), "op": ">=", "value": 1 } }),
        1 => json!({ "event": {
            "name": format!("Shop {index} Visited"), "window": { "last": "30d" }, "op": ">=", "value": 2 } }),
        2 => json!({ "trait": { "name": format!("answer_{index}"), "op": "=", "value": "yes" } }),
        _ => json!({ "all": [
            { "feature": { "name": "email.opened", "op": ">=", "value": 1 + index % 7 } },
            { "trait": { "name": format!("answer_{index}"), "op": "=", "value": "no" } } ] }),
    };
    let all = (0..count).map(|index| {
        let condition = if index < LOOKING { looking(index) } else { elsewhere(index) };
        json!({ "id": format!("bench-{index}"), "name": format!("Bench {index}"), "condition": condition })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use impresario_agents::segmentation::{Condition, check_condition};

    use super::*;

    #[test]
    fn all_definitions_are_valid() {
        for definition in definitions(200).into_iter().chain(scattered(200)) {
            let condition: Condition = serde_json::from_value(definition["condition"].clone()).expect("a condition");
            let checked = check_condition(&condition, None, &std::collections::BTreeMap::new());
            assert!(checked.is_ok(), "{}: {checked:?}", definition["id"]);
        }
    }
}
