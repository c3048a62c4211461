//! Journeys of one person: every way through them, and every way out.

use impresario_agents::{
    campaigns::DecisionWanted,
    journeys::{
        Journey, JourneyAsked, JourneyCount, JourneyCounts, JourneyDefined, JourneyEnded, JourneyMoved, Journeying,
        Journeys, Outcome, Stuck,
    },
    segmentation::Segmentation,
    vocabulary::{
        Arm, Channel, DecisionId, DecisionMade, Delivered, Group, IdentifierKind, MessageClass, MessageId,
        MessageRefused, MessageRequested, MessageReturned, MessageSent, MessageWithdrawn, Millis, ProfileId,
        ReceiptCame, ReceiptKind, Refusal, Tracked,
    },
};
use impresario_runtime::{Driver, Troupe};
use serde_json::{Value, json};

use crate::support::{START, driver, journal, node, people, said, send, track};

mod channels;
mod random;
mod ways;

const HOUR: Millis = 3_600_000;

fn anna() -> ProfileId {
    node(IdentifierKind::UserId, "anna")
}

/// The troupe without a gate and without campaigns: the test plays those.
fn stage(workers: usize) -> Troupe {
    people(Troupe::new(), workers)
        .agent_with_workers(Segmentation, workers)
        .agent_with_workers(Journeys, workers)
        .agent(JourneyCounts)
}

/// The seed story: a campaign decides, six hours are waited for an answer, then a reminder is pushed.
fn seed_story() -> Value {
    json!({
        "name": "Hot lead",
        "reentry": {"after": "7d"},
        "conversion": {"name": "Order Completed"},
        "steps": [
            {"id": "offer", "decide": {}},
            {"id": "answer", "wait": {"for": "6h", "on": [{"receipt": ["clicked", "replied"], "then": "done"}]}},
            {"id": "remind", "send": {"template": "reminder", "channels": ["push", "email"]}},
            {"id": "done", "end": {}}
        ]
    })
}

fn define(driver: &mut Driver, id: &str, journey: Value) {
    let journey: Journey = serde_json::from_value(journey).unwrap();
    impresario_agents::journeys::check_journey(id, &journey).unwrap();
    driver.say(JourneyDefined { id: id.into(), journey }).unwrap();
    driver.settle().unwrap();
}

fn begin(driver: &mut Driver, id: &str) {
    let asked = JourneyAsked {
        journey: id.into(),
        profile: anna(),
        campaign: Some("hot".into()),
        context: json!({"product_id": "SHOE-42"}),
        because: "purchase_intent".into(),
    };
    driver.say(asked).unwrap();
    driver.settle().unwrap();
}

fn decision() -> DecisionId {
    DecisionId::of(anna(), "hot", 1)
}

/// The campaign decides: an SMS, or nothing.
fn decide(driver: &mut Driver, arm: bool) {
    let arm = arm.then(|| Arm { template: "ten".into(), offer: None, channel: Channel::Sms, hour: None });
    let made = DecisionMade {
        id: decision(),
        campaign: "hot".into(),
        profile: anna(),
        group: Group::Policy,
        arm,
        withheld: None,
        chosen: 1,
        propensity: 0.5,
        candidates: vec![(0, 0.5), (1, 0.5)],
        features: Vec::new(),
        model: "m".into(),
        explored: false,
        plan: 1,
        at_ms: driver.now_ms(),
        context: Value::Null,
        reserved: Default::default(),
    };
    driver.say(made).unwrap();
    driver.settle().unwrap();
}

fn sent(driver: &mut Driver, id: MessageId, channel: Channel) {
    let_through(driver, id, channel);
    answer(driver, id, channel, None);
}

fn let_through(driver: &mut Driver, id: MessageId, channel: Channel) {
    let sent = MessageSent {
        id,
        profile: anna(),
        class: MessageClass::Marketing,
        campaign: None,
        decision: None,
        arm: None,
        channel,
        template: ("t".into(), 1),
        offer: None,
        guards: Vec::new(),
        because: "".into(),
        reached_before: false,
    };
    driver.say(sent).unwrap();
    driver.settle().unwrap();
}

/// Its channel takes a message, or says why it does not.
fn answer(driver: &mut Driver, id: MessageId, channel: Channel, failed: Option<&str>) {
    let failed = failed.map(Into::into);
    driver.say(Delivered { id, profile: anna(), campaign: None, channel, failed, held: None }).unwrap();
    driver.settle().unwrap();
}

fn refused(driver: &mut Driver, id: MessageId, channel: Channel) {
    let by = Refusal { guard: "address".into(), why: "no address".into() };
    driver.say(MessageRefused { id, profile: anna(), campaign: None, decision: None, channel, by }).unwrap();
    driver.settle().unwrap();
}

fn receipt(driver: &mut Driver, id: MessageId, kind: ReceiptKind, machine: bool) {
    driver.say(ReceiptCame { id, profile: anna(), campaign: None, channel: Channel::Sms, kind, machine }).unwrap();
    driver.settle().unwrap();
}

fn order(driver: &mut Driver, number: u32, at_ms: Millis) {
    let event: Tracked = track("Order Completed", "anna", &format!("order-{number}"), at_ms, &json!({"total": 80}));
    send(driver, [event]);
}

fn kept(driver: &mut Driver) -> Journeying {
    driver.read::<Journeys, _>(&anna(), |reading| reading.get(&anna()).unwrap().cloned()).unwrap().unwrap_or_default()
}

fn counted(driver: &mut Driver, id: &str) -> JourneyCount {
    let key = id.to_owned();
    driver.read::<JourneyCounts, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap_or_default()
}

fn outcomes(driver: &Driver) -> Vec<Outcome> {
    said::<JourneyEnded>(driver).into_iter().map(|ended| ended.outcome).collect()
}

/// The steps come to, each with what led there.
fn way(driver: &Driver) -> Vec<(String, String)> {
    let moved = said::<JourneyMoved>(driver).into_iter();
    moved.map(|moved| (moved.to.into(), moved.because.into())).collect()
}

fn steps(way: &[(&str, &str)]) -> Vec<(String, String)> {
    way.iter().map(|(to, because)| ((*to).to_owned(), (*because).to_owned())).collect()
}

/// As far as the wait for an answer to the SMS.
fn waiting_for_an_answer() -> Driver {
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "hot-lead", seed_story());
    begin(&mut driver, "hot-lead");
    assert_eq!(said::<DecisionWanted>(&driver).len(), 1);
    decide(&mut driver, true);
    driver.advance_to(START + HOUR).unwrap();
    sent(&mut driver, MessageId::of_decision(decision()), Channel::Sms);
    driver
}

const REMINDED: [(&str, &str); 3] = [("offer", "purchase_intent"), ("answer", "sent"), ("remind", "no_answer_in_6h")];

#[test]
fn no_answer_in_six_hours_brings_the_reminder_and_an_order_ends_it() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 7 * HOUR - 1).unwrap();
    assert_eq!(said::<MessageRequested>(&driver), []);
    driver.advance_to(START + 7 * HOUR).unwrap();
    let asked = said::<MessageRequested>(&driver);
    assert_eq!(asked.len(), 1);
    let reminder = &asked[0];
    assert_eq!(
        (reminder.channel, &*reminder.template, &*reminder.because),
        (Channel::Push, "reminder", "no_answer_in_6h")
    );
    assert_eq!((reminder.campaign.as_deref(), &reminder.context), (Some("hot"), &json!({"product_id": "SHOE-42"})));
    assert_eq!(way(&driver), steps(&REMINDED));
    // It was not sent yet when she buys: it never is.
    order(&mut driver, 1, START + 7 * HOUR);
    assert_eq!(outcomes(&driver), [Outcome::Converted]);
    let withdrawn = said::<MessageWithdrawn>(&driver);
    assert_eq!(
        withdrawn.iter().map(|gone| (gone.id, &*gone.because)).collect::<Vec<_>>(),
        [(reminder.id, "converted")]
    );
    let count = counted(&mut driver, "hot-lead");
    let (_, version) = count.versions.first_key_value().unwrap();
    assert_eq!((count.running, version.entered, version.running), (0, 1, 0));
    assert_eq!(version.outcomes, [("converted".into(), 1)].into());
    assert_eq!(version.at.values().sum::<u64>(), 0);
}

#[test]
fn bought_a_minute_before_the_wait_is_over_means_no_reminder() {
    let mut driver = waiting_for_an_answer();
    let at_ms = START + 7 * HOUR - 60_000;
    driver.advance_to(at_ms).unwrap();
    order(&mut driver, 1, at_ms);
    driver.advance_to(START + 48 * HOUR).unwrap();
    assert_eq!((said::<MessageRequested>(&driver).len(), outcomes(&driver)), (0, vec![Outcome::Converted]));
}

#[test]
fn an_answer_in_time_ends_the_wait_and_one_of_a_machine_or_of_another_message_does_not() {
    let mut driver = waiting_for_an_answer();
    let id = MessageId::of_decision(decision());
    receipt(&mut driver, id, ReceiptKind::Clicked, true);
    receipt(&mut driver, id, ReceiptKind::Opened, false);
    receipt(&mut driver, MessageId(5), ReceiptKind::Clicked, false);
    assert_eq!(outcomes(&driver), []);
    receipt(&mut driver, id, ReceiptKind::Clicked, false);
    assert_eq!(way(&driver).last().unwrap(), &("done".to_owned(), "clicked".to_owned()));
    assert_eq!(outcomes(&driver), [Outcome::Finished("finished".into())]);
    driver.advance_to(START + 48 * HOUR).unwrap();
    assert_eq!(said::<MessageRequested>(&driver), []);
}

#[test]
fn a_late_answer_never_reopens_a_branch() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 8 * HOUR).unwrap();
    let way_before = way(&driver);
    receipt(&mut driver, MessageId::of_decision(decision()), ReceiptKind::Clicked, false);
    sent(&mut driver, MessageId::of_decision(decision()), Channel::Sms);
    decide(&mut driver, false);
    assert_eq!(way(&driver), way_before);
    // An order from before it all, told now, is no conversion of it either.
    order(&mut driver, 1, START - HOUR);
    assert_eq!(outcomes(&driver), []);
}

#[test]
fn the_next_channel_is_tried_where_one_is_refused() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 7 * HOUR).unwrap();
    let first = said::<MessageRequested>(&driver)[0].id;
    refused(&mut driver, first, Channel::Push);
    let asked = said::<MessageRequested>(&driver);
    assert_eq!(asked.iter().map(|asked| asked.channel).collect::<Vec<_>>(), [Channel::Push, Channel::Email]);
    assert_ne!(asked[0].id, asked[1].id);
    refused(&mut driver, asked[1].id, Channel::Email);
    assert_eq!(way(&driver).last().unwrap(), &("done".to_owned(), "refused".to_owned()));
    assert_eq!(said::<MessageWithdrawn>(&driver), []);
}

#[test]
fn nothing_decided_ends_it_and_silence_is_stuck() {
    let mut driver = driver(&journal(), stage(1));
    define(&mut driver, "hot-lead", seed_story());
    begin(&mut driver, "hot-lead");
    decide(&mut driver, false);
    assert_eq!(outcomes(&driver), [Outcome::Finished("nothing".into())]);
    driver.advance_to(START + 8 * 24 * HOUR).unwrap();
    begin(&mut driver, "hot-lead");
    driver.advance_to(START + 9 * 24 * HOUR).unwrap();
    assert_eq!(outcomes(&driver)[1], Outcome::Stuck(Stuck::NoDecision));
    let count = counted(&mut driver, "hot-lead");
    assert_eq!(count.versions.values().next().unwrap().stuck, [(Stuck::NoDecision, 1)].into());
    assert!(matches!(kept(&mut driver).past[1].outcome, Outcome::Stuck(Stuck::NoDecision)));
}
