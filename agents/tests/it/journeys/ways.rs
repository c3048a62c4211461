//! Steps, re-entry, versions, room, clocks that change, people who become one.

use impresario_agents::{
    journeys::{JourneyRemoved, JourneyStopped, Reentry, check_journey},
    vocabulary::EventKind,
};

use super::*;
use crate::support::event;

fn simple(steps: &Value) -> Value {
    json!({"name": "Simple", "reentry": "always", "steps": steps})
}

#[test]
fn a_delay_until_the_morning_goes_by_the_clock_on_the_wall() {
    let mut driver = driver(&journal(), stage(1));
    let steps = json!([{"id": "night", "delay": {"until": "09:00", "zone": "Europe/Warsaw"}}]);
    define(&mut driver, "morning", simple(&steps));
    // 2026-10-24T20:00Z; clocks go back in the night, so nine o'clock is at 08:00Z, not at 07:00Z.
    let evening = 1_792_872_000_000;
    driver.advance_to(evening).unwrap();
    begin(&mut driver, "morning");
    driver.advance_to(evening + 12 * HOUR - 1).unwrap();
    assert_eq!(outcomes(&driver), []);
    driver.advance_to(evening + 12 * HOUR).unwrap();
    assert_eq!(outcomes(&driver), [Outcome::Finished("finished".into())]);
}

#[test]
fn a_branch_asks_what_is_known_of_the_person_then() {
    let steps = json!([
        {"id": "kind", "branch": {"cases": [
            {"condition": {"trait": {"name": "plan", "op": "=", "value": "pro"}}, "then": "pro"},
            {"condition": {"feature": {"name": "orders", "op": ">=", "value": 1}}, "then": "buyer"}
        ], "else": "nobody"}},
        {"id": "pro", "end": {"outcome": "pro"}},
        {"id": "buyer", "end": {"outcome": "buyer"}},
        {"id": "nobody", "end": {"outcome": "nobody"}}
    ]);
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "kinds", simple(&steps));
    begin(&mut driver, "kinds");
    order(&mut driver, 1, START);
    begin(&mut driver, "kinds");
    let mut identify = event(EventKind::Identify, "i", START);
    identify.user_id = Some("anna".into());
    identify.properties = impresario_agents::vocabulary::RawJson::from_checked(json!({"plan": "pro"}).to_string());
    send(&mut driver, [identify]);
    begin(&mut driver, "kinds");
    let ended: Vec<_> = outcomes(&driver).iter().map(|outcome| outcome.name().to_owned()).collect();
    assert_eq!(ended, ["nobody", "buyer", "pro"]);
}

#[test]
fn an_event_with_the_right_properties_after_the_wait_began_is_an_answer() {
    let steps = json!([
        {"id": "wait", "wait": {"for": "1d", "timeout": "no", "on": [
            {"event": {"name": "Survey Filled", "where": [{"property": "score", "op": ">=", "value": 9}]}, "then": "yes"}
        ]}},
        {"id": "yes", "end": {"outcome": "yes"}},
        {"id": "no", "end": {"outcome": "no"}}
    ]);
    let mut driver = driver(&journal(), stage(1));
    define(&mut driver, "survey", simple(&steps));
    begin(&mut driver, "survey");
    let filled = |number: u32, at_ms, score| {
        track("Survey Filled", "anna", &format!("s{number}"), at_ms, &json!({"score": score}))
    };
    driver.advance_to(START + HOUR).unwrap();
    send(&mut driver, [filled(1, START - 1, 10), filled(2, START + HOUR, 8)]);
    assert_eq!(outcomes(&driver), []);
    send(&mut driver, [filled(3, START + HOUR, 9)]);
    assert_eq!(outcomes(&driver), [Outcome::Finished("yes".into())]);
    begin(&mut driver, "survey");
    driver.advance_to(START + 25 * HOUR).unwrap();
    assert_eq!(outcomes(&driver)[1], Outcome::Finished("no".into()));
}

#[test]
fn an_event_begins_a_journey_once_and_re_entry_is_obeyed() {
    let mut driver = driver(&journal(), stage(1));
    let mut journey = simple(&json!([{"id": "end", "end": {}}]));
    journey["entry"] = json!({"event": {"name": "Signed Up"}});
    journey["reentry"] = json!({"after": "2d"});
    define(&mut driver, "welcome", journey);
    let signed_up = |number: u32, at_ms| track("Signed Up", "anna", &format!("u{number}"), at_ms, &json!({}));
    send(&mut driver, [signed_up(1, START), signed_up(2, START)]);
    driver.advance_to(START + 47 * HOUR).unwrap();
    send(&mut driver, [signed_up(3, START + 47 * HOUR)]);
    assert_eq!(outcomes(&driver).len(), 1);
    driver.advance_to(START + 48 * HOUR).unwrap();
    // One that happened long ago begins nothing.
    send(&mut driver, [signed_up(4, START)]);
    assert_eq!(outcomes(&driver).len(), 1);
    send(&mut driver, [signed_up(5, START + 48 * HOUR)]);
    assert_eq!(outcomes(&driver).len(), 2);
}

#[test]
fn who_is_in_it_finishes_the_version_they_began() {
    let mut driver = waiting_for_an_answer();
    let mut changed = seed_story();
    changed["steps"][2]["send"]["template"] = "another".into();
    define(&mut driver, "hot-lead", changed);
    driver.say(JourneyRemoved { id: "hot-lead".into() }).unwrap();
    driver.advance_to(START + 7 * HOUR).unwrap();
    assert_eq!(&*said::<MessageRequested>(&driver)[0].template, "reminder");
    order(&mut driver, 1, START + 7 * HOUR);
    driver.advance_to(START + 300 * HOUR).unwrap();
    begin(&mut driver, "hot-lead");
    assert_eq!(outcomes(&driver).len(), 1, "nobody begins what is removed");
}

#[test]
fn a_version_that_is_gone_is_stuck() {
    let mut driver = waiting_for_an_answer();
    for number in 0..impresario_agents::journeys::limits::VERSIONS_MAX {
        let mut changed = seed_story();
        changed["name"] = format!("Version {number}").into();
        define(&mut driver, "hot-lead", changed);
    }
    driver.advance_to(START + 7 * HOUR).unwrap();
    assert_eq!(outcomes(&driver), [Outcome::Stuck(Stuck::VersionGone)]);
}

#[test]
fn where_there_is_no_room_it_is_as_if_it_had_never_begun() {
    let mut driver = driver(&journal(), stage(1));
    let mut journey = simple(&json!([{"id": "wait", "delay": {"for": "1d"}}]));
    journey["people_max"] = 1.into();
    journey["reentry"] = "never".into();
    define(&mut driver, "small", journey);
    let bob = node(IdentifierKind::UserId, "bob");
    let ask = |profile| JourneyAsked {
        journey: "small".into(),
        profile,
        campaign: None,
        context: Value::Null,
        because: "test".into(),
    };
    driver.say(ask(bob)).unwrap();
    driver.say(ask(anna())).unwrap();
    driver.settle().unwrap();
    assert_eq!(counted(&mut driver, "small").turned_away, 1);
    assert!(kept(&mut driver).is_empty());
    driver.advance_to(START + 25 * HOUR).unwrap();
    driver.say(ask(anna())).unwrap();
    driver.settle().unwrap();
    assert_eq!(kept(&mut driver).runs.len(), 1);
}

#[test]
fn a_journey_that_is_stopped_takes_back_its_message() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 7 * HOUR).unwrap();
    driver.say(JourneyStopped { journey: "hot-lead".into(), profile: anna(), by: "operator".into() }).unwrap();
    driver.settle().unwrap();
    assert_eq!(outcomes(&driver), [Outcome::Stopped("operator".into())]);
    assert_eq!(said::<MessageWithdrawn>(&driver).len(), 1);
}

#[test]
fn two_who_turn_out_to_be_one_are_in_it_once_and_their_timers_go_on() {
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "wait", simple(&json!([{"id": "wait", "delay": {"for": "1d"}}])));
    let device = |name: &str| {
        let mut event = event(EventKind::Track, &format!("seen-{name}"), START);
        event.anonymous_id = Some(name.into());
        event.name = "Seen".into();
        event
    };
    send(&mut driver, [device("d1"), device("d2")]);
    let ask = |driver: &mut Driver, name: &str| {
        let profile = node(IdentifierKind::AnonymousId, name);
        let because = "test".into();
        let asked = JourneyAsked { journey: "wait".into(), profile, campaign: None, context: Value::Null, because };
        driver.say(asked).unwrap();
        driver.settle().unwrap();
    };
    ask(&mut driver, "d1");
    driver.advance_to(START + HOUR).unwrap();
    ask(&mut driver, "d2");
    for name in ["d1", "d2"] {
        let mut identify = event(EventKind::Identify, name, START + HOUR);
        (identify.user_id, identify.anonymous_id) = (Some("anna".into()), Some(name.into()));
        send(&mut driver, [identify]);
    }
    assert_eq!(outcomes(&driver), [Outcome::Stopped("merged".into())]);
    let runs = kept(&mut driver).runs;
    assert_eq!(runs.iter().map(|run| run.began_ms).collect::<Vec<_>>(), [START], "the first goes on");
    driver.advance_to(START + 24 * HOUR).unwrap();
    assert_eq!(outcomes(&driver).len(), 2);
    assert_eq!(counted(&mut driver, "wait").running, 0);
}

#[test]
fn definitions_that_cannot_be_are_refused_by_their_field() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut journey = seed_story();
        change(&mut journey);
        let journey: Journey = serde_json::from_value(journey).unwrap();
        check_journey("id", &journey).unwrap_err()
    };
    let check = |begins: &str, change: &dyn Fn(&mut Value)| {
        let why = wrong(change);
        assert!(why.starts_with(begins), "{why}");
    };
    check("`name`", &|journey| journey["name"] = "".into());
    check("`steps`", &|journey| journey["steps"] = json!([]));
    check("`steps[1].id`", &|journey| journey["steps"][1]["id"] = "offer".into());
    check("`steps[2].send.then`", &|journey| journey["steps"][2]["send"]["then"] = "offer".into());
    check("`steps[1].wait.timeout`", &|journey| journey["steps"][1]["wait"]["timeout"] = "nowhere".into());
    check("`steps[1].wait.for`", &|journey| journey["steps"][1]["wait"]["for"] = "367d".into());
    check("`steps[1]`", &|journey| journey["steps"][1]["end"] = json!({}));
    check("`steps[0].decide.campaign`", &|journey| journey["steps"][0]["decide"]["campaign"] = "".into());
    check("`people_max`", &|journey| journey["people_max"] = 0.into());
    check("`steps[3].delay.until`", &|journey| {
        journey["steps"][3] = json!({"id": "done", "delay": {"until": "25:00"}});
    });
    check("`steps[3].branch.cases[0].condition`", &|journey| {
        let condition = json!({"absent": {"name": "X"}});
        journey["steps"][3] = json!({"id": "b", "branch": {"cases": [{"condition": condition, "then": "c"}]}});
        journey["steps"][1]["wait"]["on"][0]["then"] = "remind".into();
    });
    let definition: Journey = serde_json::from_value(seed_story()).unwrap();
    assert_eq!(definition.reentry, Reentry::After("7d".parse().unwrap()));
    assert!(serde_json::from_value::<Journey>(json!({"name": "x", "steps": [], "stepps": 1})).is_err());
}
