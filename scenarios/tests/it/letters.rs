//! Messages in scenarios, with an agent that sends whatever it is told to: people answer, expectations and
//! invariants find what is wrong.

use impresario_agents::vocabulary::{
    Channel, Content, Deliver, MessageClass, MessageId, MessageSent, ProfileId, Tracked,
};
use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, Troupe};
use impresario_scenarios::{Crash, RunOptions, Scenario, run};
use serde_json::Value;

/// Sends a message for each `Greet`, as its properties say, and asks nobody.
struct Greeter;

impl Agent for Greeter {
    const NAME: &'static str = "greeter";
    type Key = ProfileId;
    type State = u32;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_some(|event: &Tracked| (&*event.name == "Greet").then(|| event.node()));
    }
}

impl On<Tracked> for Greeter {
    fn on(&self, sent: &mut u32, event: &Event<'_, Tracked>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let properties: Value = serde_json::from_str(event.properties.as_str()).unwrap_or_default();
        let text = |key: &str| properties.get(key).and_then(Value::as_str);
        let channel = match text("channel") {
            Some("email") => Channel::Email,
            Some("push") => Channel::Push,
            _ => Channel::Sms,
        };
        let profile = event.node();
        let own = text("again").map_or_else(|| event.message_id.to_string(), str::to_owned);
        let id = MessageId::of(own.as_bytes(), 0);
        *sent += 1;
        step.publish(MessageSent {
            id,
            profile,
            class: MessageClass::Marketing,
            campaign: None,
            decision: None,
            arm: None,
            channel,
            template: (text("template").unwrap_or("hello").into(), 1),
            offer: text("offer").map(Into::into),
            guards: vec!["consent".into()],
            because: text("because").unwrap_or("greeted").into(),
            reached_before: false,
        });
        step.effect(&Deliver {
            id,
            profile,
            campaign: None,
            channel,
            class: MessageClass::Marketing,
            topic: None,
            address: "here".into(),
            content: Content { text: format!("Hello number {sent}, 10% off").into(), ..Content::default() },
        });
        Ok(())
    }
}

fn troupe(workers: usize) -> Troupe {
    impresario_agents::troupe(workers).agent_with_workers(Greeter, workers)
}

fn options() -> RunOptions {
    RunOptions { casting: troupe, ..RunOptions::default() }
}

fn parse(body: &str) -> Scenario {
    let head = "scenario: tried\nstart: 2026-05-04T08:00:00+02:00[Europe/Warsaw]\nseed: 1\n";
    Scenario::parse(&format!("{head}{body}")).unwrap_or_else(|error| panic!("{error}"))
}

const PEOPLE: &str = "people:
  anna: { email: anna@example.test, phone: \"+48600000001\", consent: [sms], answers: { sms: 1 }, answers_after: 10m..20m }
  bob: { email: bob@example.test, zone: Asia/Tokyo, bounces: [email] }
";

#[test]
fn people_get_messages_and_answer_them() {
    let scenario = parse(&format!(
        "{PEOPLE}timeline:
  - at: 09:00
    events:
      - {{ who: anna, identify: {{}} }}
      - {{ who: anna, track: Greet, properties: {{ channel: sms }} }}
      - {{ who: bob, track: Greet, properties: {{ channel: email }} }}
  - at: 12:00
    expect:
      - message: {{ to: anna, channel: sms, within: 1m, contains: \"10%\", cause: greeted, at: 09:00, times: 1 }}
      - message: {{ to: anna, times: 0, channel: push }}
      - no_message: {{ to: anna, since: 09:01 }}
always: [no_duplicate_message, consent_respected, {{ frequency_cap: {{ max: 1, per: 24h }} }}, every_message_has_a_cause]
"
    ));
    let outcome = run(&scenario, &options()).unwrap_or_else(|error| panic!("{error}"));
    // Bob has not agreed to e-mail; that it came back is no excuse.
    assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
    assert!(outcome.failures[0].contains("consent respected"), "{:?}", outcome.failures);
    for wanted in ["gets a text message: hello, because of greeted", "clicked a text message", "could not be reached"] {
        assert!(outcome.trace.contains(wanted), "{wanted}:\n{}", outcome.trace);
    }
}

#[test]
fn a_message_comes_once_and_is_answered_the_same_wherever_the_process_dies() {
    let scenario = parse(&format!(
        "{PEOPLE}timeline:
  - at: 09:00
    events: [ {{ who: anna, track: Greet, times: 3, every: 1h }} ]
  - {{ at: 15:00, expect: [ message: {{ to: anna, times: 3 }} ] }}
"
    ));
    let calm = run(&scenario, &options()).unwrap_or_else(|error| panic!("{error}"));
    assert!(calm.failures.is_empty(), "{:?}", calm.failures);
    assert_eq!(calm.trace.matches("clicked").count(), 3, "{}", calm.trace);
    let mut lines: Vec<&str> = calm.trace.lines().collect();
    lines.sort_unstable();
    for after_commit in 1..=calm.metrics.commits {
        for (unsynced_lost, clock_goes_on) in [(true, true), (true, false), (false, false)] {
            let crash = Some(Crash { after_commit, unsynced_lost, clock_goes_on });
            let outcome = run(&scenario, &RunOptions { crash, ..options() });
            let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(outcome.failures, calm.failures, "after commit {after_commit}");
            let mut told: Vec<&str> = outcome.trace.lines().collect();
            told.sort_unstable();
            assert_eq!(told, lines, "after commit {after_commit}");
        }
    }
}

#[test]
fn each_thing_said_of_messages_can_be_wrong_and_is_told() {
    let scenario = parse(&format!(
        "{PEOPLE}timeline:
  - at: 09:00
    events:
      - {{ who: anna, identify: {{}} }}
      - {{ who: anna, track: Greet }}
      - {{ who: anna, track: Greet, properties: {{ again: once, because: \"\" }} }}
      - {{ who: anna, track: Greet, properties: {{ again: once }} }}
  - at: 22:30
    withdraw_consent: {{ who: anna, channel: sms }}
    events: [ {{ who: anna, track: Greet, late: 2h }}, {{ who: bob, track: Greet, late: 2h }} ]
  - at: 23:00
    receipts: [ {{ who: anna, channel: push, kind: clicked }}, {{ who: anna, channel: sms, kind: complained }} ]
    expect:
      - message: {{ to: anna, channel: push }}
      - message: {{ to: anna, contains: nothing, since: 10:00 }}
      - message: {{ to: [anna, bob], times: 2 }}
      - no_message: {{ to: anna, channel: sms, since: 22:00 }}
      - no_message: {{ to: bob, channel: push, because: no_consent }}
      - situation: {{ who: anna, kind: purchase_intent }}
      - decision: {{ who: anna }}
always:
  - no_duplicate_message
  - consent_respected
  - frequency_cap: {{ max: 2, per: 24h }}
  - quiet_hours_respected: {{ from: 21:00, until: 08:00 }}
  - every_message_has_a_cause
"
    ));
    let outcome = run(&scenario, &options()).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(outcome.failures.join("\n"));
}
