//! What is said between a decision and its message: once it is acknowledged, nothing is sent against it (S17).

use std::{collections::BTreeMap, sync::Mutex};

use impresario_agents::{
    campaigns::{CampaignEnded, CampaignStarted},
    gate::{Cap, GatePolicy, GatePolicySet, last_look},
    messaging::{Common, Messaging},
    vocabulary::{
        Arm, Channel, ContactChanged, DecisionId, DecisionMade, Deliver, EventKind, Group, IdentifierKind,
        MarketingHeld, MessageId, MessageRequested, MessageSent, PersonTold, ProfileId, ProfileMerged, ReceiptCame,
        ReceiptKind, RenderAsked, Reserved, SendingStopped, StopScope, Tracked,
    },
};
use impresario_runtime::{
    Agent, AgentError, Driver, Event, On, Routes, Step, Topic, each_entry,
    store::{Entry, Journal, Seq, StoreError},
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    oracle::{SEED, fallen, violations},
    random::{Outbox, recording},
    stage::{HOUR_MS, NOON, identify, plan, request, template},
};
use crate::support::{With, event, journal, node, said};

const USERS: [&str; 2] = ["anna", "bob"];

/// What comes in between.
#[derive(Clone, Debug)]
enum Between {
    Consent(usize, usize),
    Receipt(usize, usize, bool),
    Stop(usize),
    End,
    Ticket(usize),
    Cap(u32),
    Another(usize, usize, u32),
    One,
}

fn between() -> impl Strategy<Value = Between> {
    let (who, channel) = (0..USERS.len(), 0..3_usize);
    prop_oneof![
        4 => (who.clone(), channel.clone()).prop_map(|(who, channel)| Between::Consent(who, channel)),
        2 => (who.clone(), channel.clone(), any::<bool>()).prop_map(|(who, of, bad)| Between::Receipt(who, of, bad)),
        1 => (0..5_usize).prop_map(Between::Stop),
        1 => Just(Between::End),
        1 => who.clone().prop_map(Between::Ticket),
        1 => (0_u32..3).prop_map(Between::Cap),
        4 => (who, channel, any::<u32>()).prop_map(|(who, channel, name)| Between::Another(who, channel, name)),
        1 => Just(Between::One),
    ]
}

fn profile(who: usize) -> ProfileId {
    node(IdentifierKind::UserId, USERS[who])
}

/// Says it, whoever says.
fn tell(between: &Between, now_ms: i64, number: usize, mut say: impl Saying) {
    match between {
        Between::Consent(who, channel) => {
            let channels = json!({ "consent": { "channels": { Channel::ALL[*channel].name(): false } } });
            let mut told = identify(USERS[*who], now_ms, &json!({})).context(&channels);
            told.message_id = format!("refusal {number}").into();
            say.say(told);
        }
        Between::Receipt(who, channel, complained) => {
            let kind = if *complained { ReceiptKind::Complained } else { ReceiptKind::Unsubscribed };
            let (profile, channel) = (profile(*who), Channel::ALL[*channel]);
            say.say(ReceiptCame { id: MessageId(1), profile, campaign: None, channel, kind, machine: false });
        }
        Between::Stop(scope) => {
            let scope = match scope {
                0 => StopScope::Everything,
                1 => StopScope::Campaign("win-back".into()),
                of => StopScope::Channel(Channel::ALL[of - 2]),
            };
            say.say(SendingStopped { scope, by: "test".into(), why: "wrong prices".into() });
        }
        Between::End => say.say(CampaignEnded { campaign: "win-back".into(), why: "test".into(), finished: false }),
        Between::Ticket(who) => say.say(MarketingHeld { profile: profile(*who), why: "an open ticket".into() }),
        Between::Cap(at_most) => {
            let cap = Cap { channel: None, topic: None, within_ms: 24 * HOUR_MS, at_most: *at_most };
            say.say(GatePolicySet { policy: GatePolicy { caps: vec![cap], ..GatePolicy::default() } });
        }
        Between::Another(who, channel, name) => {
            let asked = request(profile(*who), &format!("other {name}"), Channel::ALL[*channel], now_ms);
            say.say(MessageRequested { offer: None, ..asked });
        }
        Between::One => {
            let alias = event(EventKind::Alias, &format!("alias {number}"), now_ms);
            say.say(alias.user(USERS[0]).previous(USERS[1]));
        }
    }
}

trait Saying {
    fn say<T: Topic>(&mut self, word: T);
}

impl Saying for &mut Driver {
    fn say<T: Topic>(&mut self, word: T) {
        Driver::say(self, word).unwrap();
    }
}

impl Saying for &mut Step<'_> {
    fn say<T: Topic>(&mut self, word: T) {
        self.publish(word);
    }
}

/// Breaks in, each time a message has come one step further.
struct Interrupter {
    plan: Vec<Option<Between>>,
}

impl Interrupter {
    fn break_in(&self, times: &mut usize, step: &mut Step<'_>) {
        *times += 1;
        if let Some(Some(between)) = self.plan.get(*times - 1) {
            tell(between, step.now_ms(), 1_000 + *times, step);
        }
    }
}

impl Agent for Interrupter {
    const NAME: &'static str = "interrupter";
    type Key = u64;
    type State = usize;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|_: &MessageRequested| 0);
        routes.on(|_: &RenderAsked| 0);
        routes.on(|_: &PersonTold| 0);
        routes.on(|_: &MessageSent| 0);
        routes.on(|_: &ContactChanged| 0);
    }
}

macro_rules! breaks_in {
    ($($topic:ident),*) => {
        $(impl On<$topic> for Interrupter {
            fn on(&self, times: &mut usize, _: &Event<'_, $topic>, step: &mut Step<'_>) -> Result<(), AgentError> {
                self.break_in(times, step);
                Ok(())
            }
        })*
    };
}

breaks_in!(MessageRequested, RenderAsked, PersonTold, MessageSent, ContactChanged);

/// What the test does, one after another.
#[derive(Clone, Debug)]
enum Next {
    Decide(usize, usize, i64),
    Ask(usize, usize, i64),
    Between(Between),
    Settle,
    Wait(i64),
    /// The channel acts on what was let through, of which so many are put off.
    Act(usize),
}

fn next() -> impl Strategy<Value = Next> {
    let (who, channel) = (0..USERS.len(), 0..3_usize);
    prop_oneof![
        4 => (who.clone(), channel.clone(), 0_i64..3).prop_map(|(who, of, minutes)| Next::Decide(who, of, minutes)),
        3 => (who, channel, 0_i64..3).prop_map(|(who, of, minutes)| Next::Ask(who, of, minutes)),
        2 => between().prop_map(Next::Between),
        2 => Just(Next::Settle),
        2 => (1_i64..4).prop_map(Next::Wait),
        3 => (0_usize..2).prop_map(Next::Act),
    ]
}

/// A message that a channel acted on, and the head of the journal at that moment.
type Acted = Vec<(Seq, Deliver)>;

/// As the live channels do it: what is on record has been taken in, then the gate is asked once more.
fn act(driver: &mut Driver, (let_through_ms, deliver): (i64, Deliver), acted: &mut Acted) {
    let mut at = deliver.profile;
    let now_ms = driver.now_ms();
    let said = loop {
        let look = |reading: &mut impresario_runtime::Reading<'_, Messaging>| match reading.moved_to(&at).unwrap() {
            Some(next) => Err(next),
            None => {
                let house = &reading.shared::<Common>().unwrap().house.clone();
                let person = reading.get(&at).unwrap().unwrap();
                Ok(last_look(&deliver, (let_through_ms, now_ms), &person.circumstances(), house, &SEED))
            }
        };
        match driver.read::<Messaging, _>(&at, look).unwrap() {
            Ok(said) => break said,
            Err(next) => at = next,
        }
    };
    if said.is_ok() {
        acted.push((driver.journal().head(), deliver));
    }
}

/// Something after which a message must not go out.
struct Against {
    seq: Seq,
    what: &'static str,
    profile: Option<ProfileId>,
    channel: Option<Channel>,
    campaign: bool,
    /// Whether a worker of the gate has it at once, without somebody else.
    at_once: bool,
}

fn read<T: Topic + Clone>(journal: &Journal, entry: &Entry) -> Option<T> {
    (Some(entry.topic) == journal.known_name(T::NAME)).then(|| entry.decode::<T>(T::VERSION).unwrap().clone())
}

fn against(journal: &Journal, entry: &Entry) -> Option<Against> {
    let all = Against { seq: entry.seq, what: "", profile: None, channel: None, campaign: false, at_once: true };
    if let Some(told) = read::<Tracked>(journal, entry) {
        let context: Value = serde_json::from_str(told.context.as_str()).unwrap_or_default();
        let refused = |of: &Channel| context["consent"]["channels"][of.name()] == json!(false);
        let channel = Channel::ALL.into_iter().find(refused)?;
        let profile = Some(node(IdentifierKind::UserId, told.user_id.as_deref()?));
        return Some(Against { what: "consent withdrawn", profile, channel: Some(channel), at_once: false, ..all });
    }
    if let Some(came) = read::<ReceiptCame>(journal, entry) {
        return Some(Against { what: "unsubscribed", profile: Some(came.profile), channel: Some(came.channel), ..all });
    }
    if let Some(held) = read::<MarketingHeld>(journal, entry) {
        return Some(Against { what: "a ticket", profile: Some(held.profile), ..all });
    }
    if read::<CampaignEnded>(journal, entry).is_some() {
        return Some(Against { what: "the campaign's end", campaign: true, ..all });
    }
    let stopped = read::<SendingStopped>(journal, entry)?;
    Some(match stopped.scope {
        StopScope::Everything => Against { what: "a stop of everything", ..all },
        StopScope::Channel(channel) => Against { what: "a channel's stop", channel: Some(channel), ..all },
        StopScope::Campaign(_) => Against { what: "a campaign's stop", campaign: true, ..all },
    })
}

/// What was sent against what had been acknowledged.
fn broken(driver: &Driver, acted: &Acted) -> Vec<String> {
    let journal = driver.journal();
    let (mut all, mut sends, mut asked) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut merged: Option<Seq> = None;
    each_entry::<StoreError>(journal, 1, |entry| {
        all.extend(against(journal, entry));
        if read::<ProfileMerged>(journal, entry).is_some() {
            merged = merged.or(Some(entry.seq));
        }
        if let Some(asks) = read::<RenderAsked>(journal, entry) {
            asked.insert(asks.message, entry.seq);
        }
        if let Some(sent) = read::<MessageSent>(journal, entry) {
            sends.push((entry.cause, sent));
        }
        Ok(())
    })
    .unwrap();
    let mut found = Vec::new();
    let hits = |against: &Against, profile, channel, campaign: bool, by: Seq| {
        let one = merged.is_some_and(|merged| merged <= by);
        against.profile.is_none_or(|of| of == profile || one)
            && against.channel.is_none_or(|of| of == channel)
            && (!against.campaign || campaign)
    };
    for (cause, sent) in &sends {
        let by = |against: &Against| if against.at_once { *cause } else { asked[&sent.id].min(*cause) };
        // A person of two who are just becoming one is told of by the next look alone.
        let own = |against: &&Against| against.profile.is_none_or(|of| of == sent.profile) || against.at_once;
        let late = all.iter().filter(own).filter(|against| against.seq < by(against));
        let late =
            late.filter(|against| hits(against, sent.profile, sent.channel, sent.campaign.is_some(), against.seq));
        found.extend(late.map(|against| format!("{} sent after {} at {}", sent.id, against.what, against.seq)));
    }
    for (head, deliver) in acted {
        let late = all.iter().filter(|against| against.seq <= *head);
        let late =
            late.filter(|against| hits(against, deliver.profile, deliver.channel, deliver.campaign.is_some(), *head));
        found.extend(late.map(|against| format!("{} acted on after {} at {}", deliver.id, against.what, against.seq)));
    }
    found
}

/// How many workers, in which turn, whether the two become one at the start, what breaks in, what is done.
type World = (usize, usize, bool, Vec<Option<Between>>, Vec<Next>);

/// What came of one world.
struct Ended {
    found: Vec<String>,
    asked: usize,
    let_through: usize,
    acted: usize,
}

fn ended((workers, rotate, one, breaks, steps): World) -> Ended {
    let outbox = Outbox::default();
    let troupe = recording(workers, &outbox).agent(Interrupter { plan: breaks });
    let mut driver = Driver::start(journal(), troupe, SEED, NOON).unwrap();
    driver.rotate(rotate);
    driver.say(template("hello", false, false)).unwrap();
    let started: CampaignStarted = plan("win-back", 0.0, &template("hello", false, false));
    let plan = driver.say(started).unwrap().first;
    for (who, user) in USERS.iter().enumerate() {
        let traits = json!({
            "email": format!("{user}@example.test"), "phone": format!("+4860010020{who}"),
            "consent": ["email", "sms", "push"],
        });
        let device = json!({ "device": { "token": format!("token-{who}") } });
        driver.say(identify(user, NOON - HOUR_MS, &traits).context(&device)).unwrap();
    }
    if one {
        tell(&Between::One, NOON, 0, &mut driver);
    }
    driver.settle().unwrap();
    let (mut acted, mut delivered) = (Acted::new(), Vec::new());
    let mut waiting: Vec<(i64, Deliver)> = Vec::new();
    for (number, next) in steps.into_iter().chain([Next::Settle, Next::Act(0)]).enumerate() {
        let now_ms = driver.now_ms();
        let at_ms = |minutes| now_ms + minutes * 60_000;
        match next {
            Next::Decide(who, channel, minutes) => {
                let decision = decision(who, Channel::ALL[channel], number, plan, at_ms(minutes));
                driver.say(decision).unwrap();
            }
            Next::Ask(who, channel, minutes) => {
                let name = format!("message {number}");
                let asked = request(profile(who), &name, Channel::ALL[channel], at_ms(minutes));
                driver.say(MessageRequested { offer: None, ..asked }).unwrap();
            }
            Next::Between(between) => tell(&between, now_ms, number, &mut driver),
            Next::Settle => driver.settle().unwrap(),
            Next::Wait(minutes) => driver.advance_to(at_ms(minutes)).unwrap(),
            Next::Act(put_off) => {
                driver.settle().unwrap();
                let come: Vec<_> = std::mem::take(&mut *outbox.lock().unwrap());
                delivered.extend(come.clone());
                let now_ms = driver.now_ms();
                waiting.extend(come.into_iter().map(|deliver| (now_ms, deliver)));
                let now = waiting.len().saturating_sub(put_off);
                waiting.drain(..now).for_each(|deliver| act(&mut driver, deliver, &mut acted));
            }
        }
    }
    delivered.extend(std::mem::take(&mut *outbox.lock().unwrap()));
    Ended {
        found: [violations(&driver, &delivered), fallen(&driver), broken(&driver, &acted)].concat(),
        asked: said::<MessageRequested>(&driver).len() + said::<DecisionMade>(&driver).len(),
        let_through: delivered.len(),
        acted: acted.len(),
    }
}

fn interleavings(cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let breaks = proptest::collection::vec(proptest::option::weighted(0.15, between()), 0..30);
    let world = (1_usize..4, 0_usize..6, any::<bool>(), breaks, proptest::collection::vec(next(), 4..24));
    let tally = Mutex::new([0_usize; 3]);
    let ran = runner.run(&world, |world| {
        let Ended { found, asked, let_through, acted } = ended(world);
        prop_assert!(found.is_empty(), "{found:#?}");
        let mut tally = tally.lock().unwrap();
        tally[0] += asked;
        tally[1] += let_through;
        tally[2] += acted;
        Ok(())
    });
    ran.unwrap();
    let [asked, let_through, acted] = tally.into_inner().unwrap();
    assert!(asked > let_through && let_through > acted && acted > 0, "{asked} {let_through} {acted}");
}

fn decision(who: usize, channel: Channel, number: usize, plan: Seq, at_ms: i64) -> DecisionMade {
    let profile = profile(who);
    DecisionMade {
        id: DecisionId::of(profile, "win-back", u32::try_from(number).unwrap()),
        campaign: "win-back".into(),
        profile,
        group: Group::Policy,
        arm: Some(Arm { template: "hello".into(), offer: None, channel, hour: None }),
        withheld: None,
        chosen: 1,
        propensity: 1.0,
        candidates: vec![(1, 1.0)],
        features: Vec::new(),
        model: "".into(),
        explored: false,
        plan,
        at_ms,
        context: Value::Null,
        reserved: Reserved::default(),
    }
}

/// While what is known of one of two is on its way to the other, a message may be let through; it goes no further.
#[test]
fn a_ticket_of_one_of_two_who_become_one_stops_what_was_let_through_meanwhile() {
    let breaks = vec![Some(Between::Another(0, 0, 0)), Some(Between::Ticket(1))];
    let Ended { found, let_through, acted, .. } = ended((1, 0, true, breaks, vec![Next::Decide(0, 0, 0)]));
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!((let_through, acted), (1, 0));
}

#[test]
fn nothing_is_sent_after_what_was_acknowledged_in_two_hundred_interleavings() {
    interleavings(200);
}

#[test]
#[ignore = "ten thousand interleavings: cargo full s17"]
fn s17_nothing_is_sent_after_what_was_acknowledged() {
    interleavings(10_000);
}
