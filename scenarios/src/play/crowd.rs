//! Simulated people: they get what is delivered, and answer as their hidden ways are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use impresario_agents::{
    gate::is_late,
    vocabulary::{
        Deliver, Delivered, EventKind, HeldBack, Identifier, KeptNode, MessageId, Millis, ProfileId, RawJson,
        ReceiptCame, ReceiptKind, Refusal, Tracked,
    },
};
use jiff::{Timestamp, tz::TimeZone};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::contacts::Sent;
use crate::{
    Scenario,
    answers::{self, Deeds},
    format::Chance,
};

/// Messages as they came to people, whatever became of the process that sent them: an id that has come is
/// known, as a provider knows it.
#[derive(Default)]
pub(crate) struct Inbox {
    came: Mutex<BTreeMap<MessageId, Deliver>>,
    /// By the channel's name, profiles whose messages come back.
    bounces: BTreeSet<(ProfileId, &'static str)>,
    /// Where the process was down until some instant, the present of whoever delivers.
    present_ms: AtomicI64,
}

impl Inbox {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut bounces = BTreeSet::new();
        for person in &scenario.people {
            let nodes = person.identifiers.iter().map(Identifier::node);
            for channel in &person.bounces {
                bounces.extend(nodes.clone().map(|node| (node, channel.name())));
            }
        }
        Self { came: Mutex::default(), bounces, present_ms: AtomicI64::new(Millis::MIN) }
    }

    /// The process was down, and is up again at this instant.
    pub(crate) fn is_up_at(&self, now_ms: Millis) {
        self.present_ms.store(now_ms, Ordering::Release);
    }

    /// Takes a message in that was let through at `let_through_ms`, or says that it came back, or that it is late.
    pub(crate) fn deliver(&self, message: Deliver, let_through_ms: Millis) -> Delivered {
        let failed = self.bounces.contains(&(message.profile, message.channel.name()));
        let Deliver { id, profile, channel, class, .. } = message;
        let campaign = message.campaign.clone();
        let mut came = self.came.lock();
        let until_ms = self.present_ms.load(Ordering::Acquire);
        // What is out is out, whenever it is asked for again.
        let late = !came.contains_key(&id) && is_late(class, let_through_ms, until_ms);
        let by = || Refusal { guard: "late".into(), why: "it was let through too long ago".into() };
        let held = late.then(|| HeldBack { until_ms, by: by(), for_good: false });
        if !failed && held.is_none() {
            came.entry(id).or_insert(message);
        }
        let failed = (failed && held.is_none()).then(|| "nobody is at this address".into());
        Delivered { id, profile, campaign, channel, failed, held }
    }

    /// What a message says, subject and text.
    pub(crate) fn text(&self, id: MessageId) -> Option<String> {
        let came = self.came.lock();
        let content = &came.get(&id)?.content;
        let subject = if content.subject.is_empty() { String::new() } else { format!("{}: ", content.subject) };
        Some(format!("{subject}{}", content.text))
    }
}

/// What somebody does about a message.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Receipt(ReceiptCame),
    /// What they do.
    Event(Box<Tracked>),
}

/// Everybody, with what they are about to do.
pub(crate) struct Crowd {
    pub(crate) inbox: Arc<Inbox>,
    people: BTreeMap<ProfileId, usize>,
    answered: BTreeSet<MessageId>,
    /// When somebody got a message, by person.
    got: BTreeMap<usize, Vec<Millis>>,
    due: BTreeMap<(Millis, MessageId, u8), Answer>,
}

impl Crowd {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut people = BTreeMap::new();
        for (index, person) in scenario.people.iter().enumerate() {
            for identifier in &person.identifiers {
                people.entry(identifier.node()).or_insert(index);
            }
        }
        let inbox = Arc::new(Inbox::new(scenario));
        Self { inbox, people, answered: BTreeSet::new(), got: BTreeMap::new(), due: BTreeMap::new() }
    }

    /// Which of the scenario's people a profile is.
    pub(crate) fn person(&self, profile: ProfileId) -> Option<usize> {
        self.people.get(&profile).copied()
    }

    /// When the next answer is due.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first_key_value().map(|((at_ms, _, _), _)| *at_ms)
    }

    /// The next answer that is due by `at_ms`.
    pub(crate) fn take_due(&mut self, at_ms: Millis) -> Option<Answer> {
        let next = self.due.first_entry().filter(|next| next.key().0 <= at_ms)?;
        Some(next.remove())
    }

    /// Somebody has got a message: what they will do about it.
    pub(crate) fn get(&mut self, scenario: &Scenario, id: MessageId, sent: &Sent) {
        let Some(index) = self.person(sent.profile) else { return };
        if !self.answered.insert(id) {
            return;
        }
        let Some(person) = scenario.people.get(index) else { return };
        let got = self.got.entry(index).or_default();
        let Some(ways) = person.answers.as_ref().and_then(|answers| answers.at(sent.at_ms)) else {
            got.push(sent.at_ms);
            return;
        };
        let since_ms = sent.at_ms - ways.fatigue.map_or(0, |(_, within_ms)| within_ms);
        let of_late = got.iter().filter(|at_ms| **at_ms > since_ms).count();
        got.push(sent.at_ms);
        let zone = person.zone.as_ref().and_then(|zone| TimeZone::get(zone).ok());
        let zone = zone.unwrap_or_else(|| scenario.zone.clone());
        let at = Timestamp::from_millisecond(sent.at_ms).unwrap_or_default().to_zoned(zone);
        let seen = answers::Seen {
            channel: sent.channel,
            template: &sent.template,
            offer: sent.offer.as_deref(),
            hour: usize::try_from(at.hour()).unwrap_or(0),
            of_late,
        };
        // By person and how many messages they have had: a world stays as it is where ids differ.
        let mut chance = Chance::new(scenario.seed, &format!("answer of {}", person.name), got.len() as u64);
        let deeds = ways.deeds(seen, &mut chance);
        self.plan(scenario, (id, sent), index, deeds);
    }

    fn plan(&mut self, scenario: &Scenario, (id, sent): (MessageId, &Sent), index: usize, deeds: Deeds) {
        let mut due = |order: u8, after_ms: Option<Millis>, answer: Answer| {
            if let Some(after_ms) = after_ms {
                self.due.insert((sent.at_ms + after_ms.max(1_000), id, order), answer);
            }
        };
        let receipt = |kind: ReceiptKind, machine: bool| {
            Answer::Receipt(ReceiptCame {
                id,
                profile: sent.profile,
                campaign: sent.campaign.clone(),
                channel: sent.channel,
                kind,
                machine,
            })
        };
        due(0, deeds.machine_ms, receipt(ReceiptKind::Opened, true));
        due(1, deeds.opens_ms, receipt(ReceiptKind::Opened, false));
        due(2, deeds.clicks_ms, receipt(ReceiptKind::Clicked, false));
        due(3, deeds.unsubscribes_ms, receipt(ReceiptKind::Unsubscribed, false));
        due(4, deeds.complains_ms, receipt(ReceiptKind::Complained, false));
        let Some((after_ms, properties)) = deeds.buys else { return };
        let at_ms = sent.at_ms + after_ms;
        let name = self::order_event(scenario, index, sent.at_ms);
        let event = order(scenario, index, (id, sent), (at_ms, &name), properties);
        due(5, Some(after_ms), Answer::Event(Box::new(event)));
    }
}

fn order_event(scenario: &Scenario, index: usize, at_ms: Millis) -> String {
    let answers = scenario.people.get(index).and_then(|person| person.answers.as_ref());
    answers.and_then(|answers| answers.at(at_ms)).map(|ways| ways.order.clone()).unwrap_or_default()
}

/// The order that a message brings, with what its offer takes off.
fn order(
    scenario: &Scenario,
    index: usize,
    (id, sent): (MessageId, &Sent),
    (at_ms, name): (Millis, &str),
    mut properties: Map<String, Value>,
) -> Tracked {
    let number = format!("{id}");
    properties.entry("order_id").or_insert_with(|| json!(number));
    if let Some(offer) = &sent.offer {
        properties.insert("coupon".into(), json!(offer));
        let off = scenario.discounts.get(&**offer).copied().unwrap_or(0.0);
        if let Some(total) = properties.get("total").and_then(Value::as_f64).filter(|_| off > 0.0) {
            let discount = (total * off).round() / 100.0;
            properties.insert("discount".into(), json!(discount));
            properties.insert("total".into(), json!(total - discount));
        }
    }
    let person = scenario.people.get(index);
    let boxed = |text: Option<&String>| text.map(|text| text.as_str().into());
    Tracked {
        kind: EventKind::Track,
        message_id: format!("a-{id}").as_str().into(),
        user_id: boxed(person.map(|person| &person.id)),
        anonymous_id: boxed(person.and_then(|person| person.device.as_ref())),
        previous_id: None,
        group_id: None,
        name: name.into(),
        at_ms,
        original_at_ms: Some(at_ms),
        sent_at_ms: Some(at_ms),
        received_at_ms: at_ms,
        properties: RawJson::from_checked(Value::Object(properties).to_string()),
        context: RawJson::default(),
        source: "scenario".into(),
        kept_node: KeptNode::default(),
    }
}
