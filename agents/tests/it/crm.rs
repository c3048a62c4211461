//! Leads, deals, tickets and tasks.

use impresario_agents::{
    crm::{Crm, DealCreated, DealStatus, DealWon, LeadScored, Relation, TaskCreated, TaskDone, TaskKind},
    segmentation::Segmentation,
    vocabulary::{
        Channel, DecisionId, DecisionMade, EventKind, Group, IdentifierKind, MarketingFreed, MarketingHeld, MessageId,
        MessageRefused, Millis, ProfileId, ReceiptCame, ReceiptKind, Refusal, Tracked,
    },
};
use impresario_runtime::{Driver, Troupe};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{START, driver, event, journal, node, people, said, send, track};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

fn stage() -> Driver {
    let troupe = people(Troupe::new(), 2).agent_with_workers(Segmentation, 2).agent_with_workers(Crm, 2);
    driver(&journal(), troupe)
}

fn anna() -> ProfileId {
    node(IdentifierKind::UserId, "anna")
}

fn did(name: &str, number: u32, at_ms: Millis, properties: impl Into<Value>) -> Tracked {
    track(name, "anna", &format!("{name}-{number}"), at_ms, &properties.into())
}

fn kept(driver: &mut Driver) -> Relation {
    driver.read::<Crm, _>(&anna(), |reading| reading.get(&anna()).unwrap().cloned()).unwrap().unwrap_or_default()
}

fn held(driver: &Driver) -> Vec<String> {
    said::<MarketingHeld>(driver).into_iter().map(|held| held.why.into()).collect()
}

#[test]
fn marketing_is_held_back_while_a_ticket_is_open_and_no_longer() {
    let mut driver = stage();
    let ticket = |id: &str| json!({"ticket_id": id});
    send(
        &mut driver,
        [did("Ticket Created", 1, START, ticket("a")), did("Support Ticket Opened", 2, START, ticket("b"))],
    );
    assert_eq!(held(&driver), ["1 open ticket", "2 open tickets"]);
    send(&mut driver, [did("Ticket Solved", 3, START, ticket("a"))]);
    assert_eq!((held(&driver).len(), said::<MarketingFreed>(&driver).len()), (3, 0));
    send(&mut driver, [did("Ticket Closed", 4, START, ticket("b"))]);
    assert_eq!(said::<MarketingFreed>(&driver).len(), 1);
}

#[test]
fn a_ticket_nobody_hears_of_again_holds_for_thirty_days() {
    let mut driver = stage();
    send(&mut driver, [did("Ticket Created", 1, START, json!({}))]);
    driver.advance_to(START + 30 * DAY - 1).unwrap();
    assert_eq!(said::<MarketingFreed>(&driver), []);
    driver.advance_to(START + 30 * DAY).unwrap();
    assert_eq!(said::<MarketingFreed>(&driver).len(), 1);
}

#[test]
fn a_message_that_was_held_back_by_a_ticket_makes_one_task() {
    let mut driver = stage();
    let refused = |guard: &str| MessageRefused {
        id: MessageId(1),
        profile: anna(),
        campaign: None,
        decision: None,
        channel: Channel::Sms,
        by: Refusal { guard: guard.into(), why: "".into() },
    };
    for guard in ["consent", "ticket", "ticket"] {
        driver.say(refused(guard)).unwrap();
    }
    driver.settle().unwrap();
    let tasks = said::<TaskCreated>(&driver);
    assert_eq!(tasks.iter().map(|task| task.kind).collect::<Vec<_>>(), [TaskKind::TicketOpen]);
    driver.say(TaskDone { id: tasks[0].id.clone(), profile: anna(), by: "op".into() }).unwrap();
    driver.say(refused("ticket")).unwrap();
    driver.settle().unwrap();
    assert_eq!(said::<TaskCreated>(&driver).len(), 2, "another one once the first is done");
    assert!(kept(&mut driver).tasks[0].done.is_some());
}

#[test]
fn a_decision_withheld_by_a_ticket_makes_one_task_a_ticket() {
    let mut driver = stage();
    let withheld = |guard: &str, number: u32| DecisionMade {
        id: DecisionId::of(anna(), "more", number),
        campaign: "more".into(),
        profile: anna(),
        group: Group::Policy,
        arm: None,
        withheld: Some(Refusal { guard: guard.into(), why: "".into() }),
        chosen: 0,
        propensity: 1.0,
        candidates: Vec::new(),
        features: Vec::new(),
        model: "".into(),
        explored: false,
        plan: 1,
        at_ms: 0,
        context: Value::Null,
        reserved: Default::default(),
    };
    let tasks = |driver: &mut Driver, guard: &str, number: u32| {
        driver.say(withheld(guard, number)).unwrap();
        driver.settle().unwrap();
        said::<TaskCreated>(driver)
    };
    let ticket = |id: &str| json!({"ticket_id": id});
    send(&mut driver, [did("Ticket Created", 1, START, ticket("a"))]);
    assert_eq!(tasks(&mut driver, "consent", 1).len(), 0);
    let first = tasks(&mut driver, "ticket", 2);
    assert_eq!(first.iter().map(|task| task.kind).collect::<Vec<_>>(), [TaskKind::TicketOpen]);
    assert_eq!(tasks(&mut driver, "ticket", 3).len(), 1, "it is open already");
    driver.say(TaskDone { id: first[0].id.clone(), profile: anna(), by: "op".into() }).unwrap();
    assert_eq!(tasks(&mut driver, "ticket", 4).len(), 1, "somebody has seen to that ticket");
    send(&mut driver, [did("Ticket Created", 5, START + HOUR, ticket("b"))]);
    assert_eq!(tasks(&mut driver, "ticket", 6).len(), 2, "of another ticket");
    send(&mut driver, [did("Ticket Solved", 7, START + 2 * HOUR, ticket("a"))]);
    let second = said::<TaskCreated>(&driver)[1].id.clone();
    driver.say(TaskDone { id: second, profile: anna(), by: "op".into() }).unwrap();
    send(&mut driver, [did("Ticket Created", 8, START + 3 * HOUR, ticket("a"))]);
    assert_eq!(tasks(&mut driver, "ticket", 9).len(), 3, "opened again, it is another one");
}

#[test]
fn a_complaint_of_somebody_of_high_value_is_a_task() {
    let complains = |driver: &mut Driver| {
        let kind = ReceiptKind::Complained;
        let channel = Channel::Email;
        let came = ReceiptCame { id: MessageId(1), profile: anna(), campaign: None, channel, kind, machine: false };
        driver.say(came).unwrap();
        driver.settle().unwrap();
    };
    let mut driver = stage();
    complains(&mut driver);
    assert_eq!(said::<TaskCreated>(&driver), []);
    send(&mut driver, [did("Order Completed", 1, START, json!({"total": 500, "currency": "EUR"}))]);
    complains(&mut driver);
    assert_eq!(said::<TaskCreated>(&driver)[0].kind, TaskKind::Complaint);
}

#[test]
fn a_lead_becomes_hot_by_what_they_do_and_is_explained() {
    let mut driver = stage();
    // Who has asked for nothing is no lead, whatever they look at.
    send(&mut driver, (0..100).map(|number| did("Product Viewed", number, START, json!({"product_id": "x"}))));
    assert!(kept(&mut driver).is_empty());
    send(&mut driver, [did("Demo Requested", 1, START, json!({}))]);
    assert_eq!(said::<LeadScored>(&driver), []);
    send(&mut driver, [did("Order Completed", 2, START, json!({"total": 5}))]);
    let scored = said::<LeadScored>(&driver);
    assert_eq!((scored.len(), scored[0].hot, scored[0].score_milli), (1, true, 60_000));
    assert_eq!(scored[0].parts, [("asked".into(), 40_000), ("order".into(), 20_000)]);
    assert_eq!(said::<TaskCreated>(&driver)[0].kind, TaskKind::HotLead);
    // Four weeks later it is worth a quarter.
    driver.advance_to(START + 28 * DAY).unwrap();
    send(&mut driver, [did("Product Viewed", 1_000, START + 28 * DAY, json!({"product_id": "x"}))]);
    let scored = said::<LeadScored>(&driver);
    assert_eq!((scored.len(), scored[1].hot, scored[1].score_milli), (2, false, 16_000));
}

#[test]
fn deals_come_from_events_and_the_last_word_by_event_time_stands() {
    let mut driver = stage();
    let deal = |more: Value| {
        let mut properties = json!({"deal_id": "d1"});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        properties
    };
    send(
        &mut driver,
        [
            did("Deal Won", 1, START, deal(json!({}))),
            did("Deal Stage Changed", 2, START - HOUR, deal(json!({"stage": "offer"}))),
            did("Deal Created", 3, START - 2 * HOUR, deal(json!({"name": "Big", "value": "12.5", "currency": "EUR"}))),
        ],
    );
    assert_eq!((said::<DealCreated>(&driver).len(), said::<DealWon>(&driver).len()), (1, 1));
    let kept = kept(&mut driver);
    let deal = &kept.deals["d1"];
    assert_eq!(
        (deal.status, deal.value_micros, &*deal.currency, &*deal.name),
        (DealStatus::Won, 12_500_000, "EUR", "Big")
    );
    assert!(kept.lead);
}

#[test]
fn a_deal_that_does_not_say_which_is_counted() {
    let mut driver = stage();
    send(&mut driver, [did("Deal Won", 1, START, json!({})), did("Deal Won", 2, START, json!({"deal_id": ""}))]);
    assert!(said::<DealWon>(&driver).is_empty());
    assert_eq!(kept(&mut driver).unnamed_deals, 2);
}

#[test]
fn who_turns_out_to_be_somebody_with_an_open_ticket_is_held_back() {
    let mut driver = stage();
    let mut ticket = event(EventKind::Track, "t", START);
    (ticket.anonymous_id, ticket.name) = (Some("device".into()), "Ticket Created".into());
    send(&mut driver, [ticket]);
    let mut identify = event(EventKind::Identify, "i", START);
    (identify.user_id, identify.anonymous_id) = (Some("anna".into()), Some("device".into()));
    send(&mut driver, [identify]);
    let last = said::<MarketingHeld>(&driver).pop().unwrap();
    assert_eq!(last.profile, anna());
    send(&mut driver, [did("Ticket Closed", 1, START, json!({}))]);
    assert_eq!(said::<MarketingFreed>(&driver), [MarketingFreed { profile: anna() }]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order tickets are told, and told again: held back is who has one open in the end.
    #[test]
    fn held_back_is_who_has_an_open_ticket(told in proptest::collection::vec((0_u8..3, any::<bool>(), 0_i64..50), 1..12), shuffle in any::<u64>()) {
        let mut driver = stage();
        let mut events: Vec<_> = told.iter().enumerate().map(|(number, (ticket, open, at))| {
            let name = if *open { "Ticket Opened" } else { "Ticket Closed" };
            (number, did(name, number as u32, START + at * 1_000, json!({"ticket_id": ticket})))
        }).collect();
        let last = |wanted: u8| {
            let own = events.iter().filter(|(number, _)| told[*number].0 == wanted);
            own.max_by_key(|(_, event)| (event.at_ms, event.tie())).is_some_and(|(number, _)| told[*number].1)
        };
        let open = (0..3).filter(|ticket| last(*ticket)).count() as u32;
        events.sort_by_key(|(number, _)| shuffle.rotate_left(*number as u32 * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        driver.advance_to(START + HOUR).unwrap();
        send(&mut driver, events.iter().map(|(_, event)| event.clone()));
        send(&mut driver, events.into_iter().map(|(_, event)| event));
        prop_assert_eq!(kept(&mut driver).open_tickets(START + HOUR), open);
        // The last word said is what stands.
        let (held, freed) = (said::<MarketingHeld>(&driver), said::<MarketingFreed>(&driver));
        if open > 0 {
            let why = held.last().map(|held| held.why.to_string()).unwrap_or_default();
            prop_assert!(why.starts_with(&open.to_string()), "{} {}", why, open);
        } else {
            let firsts = held.iter().filter(|held| held.why.starts_with('1')).count();
            prop_assert!(firsts >= freed.len());
        }
    }
}
