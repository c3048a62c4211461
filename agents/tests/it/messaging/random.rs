//! Random histories over any zone and its clock's changes: nothing is ever sent that an independent look at the
//! journal finds anything against.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use impresario_agents::{
    campaigns::CampaignEnded,
    content::TemplateDefined,
    gate::{Cap, GatePolicy, GatePolicySet, QuietHours},
    messaging::ConsentConfirmed,
    troupe,
    vocabulary::{
        Arm, Channel, DecisionId, DecisionMade, Deliver, Delivered, Group, HeldBack, IdentifierKind, MarketingFreed,
        MarketingHeld, MessageClass, MessageHeld, MessageId, MessageRefused, MessageReturned, MessageSent,
        MessageWithdrawn, Millis, ProfileId, ReceiptCame, ReceiptKind, Refusal, Reserved, SendingResumed,
        SendingStopped, StopScope,
    },
};
use impresario_runtime::{Driver, EffectCall, Topic, Troupe};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    oracle::{SEED, fallen, violations},
    stage::{HOUR_MS, identify, plan, request, template},
};
use crate::support::{With, event, journal, node, said};

const PEOPLE: usize = 4;
/// Zones whose clocks change by an hour, by half an hour, in the south, not at all, and one that is none.
const ZONES: [&str; 9] = [
    "Europe/Warsaw",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Asia/Kolkata",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Pacific/Kiritimati",
    "No/Where",
];
/// The evenings before nights in which clocks change, and 28 February of a leap year.
const EVENINGS: [&str; 8] = [
    "2026-03-28T18:00:00Z",
    "2026-10-24T18:00:00Z",
    "2026-03-07T22:00:00Z",
    "2026-10-31T22:00:00Z",
    "2026-04-04T06:00:00Z",
    "2026-10-03T06:00:00Z",
    "2028-02-28T20:00:00Z",
    "2026-03-21T22:00:00Z",
];
const NIGHTS: [(&str, &str); 6] = [
    ("21:00", "08:00"),
    ("22:30", "02:30"),
    ("00:00", "03:00"),
    ("02:00", "02:30"),
    ("01:45", "02:15"),
    ("08:00", "21:00"),
];

/// What a message may come to, and by which guard.
const GUARDS: [&str; 12] = [
    "sent",
    "returned",
    "stopped",
    "autonomy",
    "late",
    "address",
    "suppression",
    "consent",
    "holdout",
    "ticket",
    "quiet_hours",
    "cap",
];

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    Consent {
        who: usize,
        of: usize,
        granted: bool,
        hours_ago: i64,
    },
    Zone {
        who: usize,
        zone: usize,
    },
    Device {
        who: usize,
        place: usize,
    },
    One {
        who: usize,
        with: usize,
    },
    Request {
        who: usize,
        channel: usize,
        owed: bool,
        template: usize,
        topic: bool,
        minutes: i64,
        wait_hours: Option<i64>,
    },
    Decision {
        who: usize,
        channel: usize,
        minutes: i64,
        stale: bool,
    },
    Receipt {
        place: usize,
        kind: usize,
    },
    Withdraw {
        place: usize,
    },
    Stop {
        scope: usize,
        stopped: bool,
    },
    Policy {
        night: usize,
        zone: usize,
        caps: Vec<(usize, bool, i64, u32)>,
        holdout: f64,
        twice: bool,
        grants: usize,
    },
    Campaign {
        runs: bool,
        holdout: f64,
        topic: bool,
    },
    Template {
        template: usize,
        owed: bool,
        topic: bool,
    },
    Ticket {
        who: usize,
        open: bool,
    },
    Confirm {
        who: usize,
        channel: usize,
    },
    Restart {
        killed: bool,
    },
    Wait {
        minutes: i64,
    },
    Settle,
}

fn next() -> impl Strategy<Value = Next> {
    let (who, channel) = (0..PEOPLE, 0..3_usize);
    prop_oneof![
        4 => (who.clone(), 0..7_usize, any::<bool>(), -2_i64..30)
            .prop_map(|(who, of, granted, hours_ago)| Next::Consent { who, of, granted, hours_ago }),
        1 => (who.clone(), 0..ZONES.len()).prop_map(|(who, zone)| Next::Zone { who, zone }),
        1 => (who.clone(), 0..2_usize).prop_map(|(who, place)| Next::Device { who, place }),
        1 => (who.clone(), who.clone()).prop_map(|(who, with)| Next::One { who, with }),
        14 => (who.clone(), channel.clone(), proptest::bool::weighted(0.2), 0..2_usize, any::<bool>(), -60_i64..900,
            proptest::option::weighted(0.3, 0_i64..40))
            .prop_map(|(who, channel, owed, template, topic, minutes, wait_hours)| {
                Next::Request { who, channel, owed, template, topic, minutes, wait_hours }
            }),
        5 => (who.clone(), channel.clone(), 0_i64..600, proptest::bool::weighted(0.2))
            .prop_map(|(who, channel, minutes, stale)| Next::Decision { who, channel, minutes, stale }),
        4 => (0..100_usize, 0..6_usize).prop_map(|(place, kind)| Next::Receipt { place, kind }),
        1 => (0..100_usize).prop_map(|place| Next::Withdraw { place }),
        3 => (0..4_usize, proptest::bool::weighted(0.4)).prop_map(|(scope, stopped)| Next::Stop { scope, stopped }),
        2 => (0..=NIGHTS.len(), 0..8_usize,
            proptest::collection::vec((0..4_usize, any::<bool>(), 30_i64..3_000, 0_u32..4), 0..4),
            prop_oneof![3 => Just(0.0), 1 => 0.0..0.5], proptest::bool::weighted(0.2), 0..8_usize)
            .prop_map(|(night, zone, caps, holdout, twice, grants)| {
                Next::Policy { night, zone, caps, holdout, twice, grants }
            }),
        2 => (proptest::bool::weighted(0.7), prop_oneof![Just(0.0), 0.0..0.6], any::<bool>())
            .prop_map(|(runs, holdout, topic)| Next::Campaign { runs, holdout, topic }),
        1 => (0..2_usize, any::<bool>(), any::<bool>())
            .prop_map(|(template, owed, topic)| Next::Template { template, owed, topic }),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, open)| Next::Ticket { who, open }),
        1 => (who, channel).prop_map(|(who, channel)| Next::Confirm { who, channel }),
        1 => any::<bool>().prop_map(|killed| Next::Restart { killed }),
        6 => prop_oneof![0_i64..120, 0_i64..900].prop_map(|minutes| Next::Wait { minutes }),
        4 => Just(Next::Settle),
    ]
}

pub(super) type Outbox = Arc<Mutex<Vec<Deliver>>>;

pub(super) fn recording(workers: usize, outbox: &Outbox) -> Troupe {
    let outbox = Arc::clone(outbox);
    troupe(workers).effect(move |deliver: Deliver, _| {
        outbox.lock().unwrap().push(deliver.clone());
        let Deliver { id, profile, campaign, channel, .. } = deliver;
        async move { Ok(Delivered { id, profile, campaign, channel, failed: None, held: None }) }
    })
}

/// A channel that gives some messages back, whichever attempt it is: to be checked at once, or too late for any.
pub(super) fn giving_back(workers: usize, outbox: &Outbox) -> Troupe {
    let outbox = Arc::clone(outbox);
    troupe(workers).effect(move |deliver: Deliver, call: EffectCall| {
        let chance = blake3::hash(&[deliver.id.0.to_le_bytes(), call.id.seq.to_le_bytes()].concat()).as_bytes()[0];
        let until_ms = match chance {
            0..64 => Some(0),
            64..72 => Some(4_000_000_000_000),
            _ => None,
        };
        let by = Refusal { guard: "late".into(), why: "test".into() };
        let failed = (chance >= 224).then(|| "nobody is there".into());
        let held = until_ms.map(|until_ms| HeldBack { until_ms, by, for_good: chance >= 56 });
        if held.is_none() {
            outbox.lock().unwrap().push(deliver.clone());
        }
        let Deliver { id, profile, campaign, channel, .. } = deliver;
        async move { Ok(Delivered { id, profile, campaign, channel, failed, held }) }
    })
}

struct Stage {
    driver: Option<Driver>,
    workers: usize,
    number: u32,
    plan: u64,
    /// The template of decisions, as it stands.
    hello: TemplateDefined,
    outbox: Outbox,
}

fn user(who: usize) -> String {
    format!("user-{who}")
}

fn profile(who: usize) -> ProfileId {
    node(IdentifierKind::UserId, &user(who))
}

impl Stage {
    fn new(workers: usize, evening: usize, rotate: usize) -> Self {
        let outbox = Outbox::default();
        let now_ms = EVENINGS[evening].parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let mut driver = Driver::start(journal(), giving_back(workers, &outbox), SEED, now_ms).unwrap();
        driver.rotate(rotate);
        let hello = template("hello", false, false);
        let mut stage = Self { driver: Some(driver), workers, number: 0, plan: 0, hello: hello.clone(), outbox };
        stage.say(hello);
        stage.say(template("owed", true, false));
        stage.campaign(0.0, false);
        for who in 0..PEOPLE {
            let traits = json!({
                "email": format!("{who}@example.test"), "phone": format!("+4860010020{who}"),
                "consent": ["email", "sms", "push"], "timezone": ZONES[who % 3],
            });
            let device = json!({ "device": { "token": format!("token-{who}") } });
            let now_ms = stage.now_ms();
            stage.say(identify(&user(who), now_ms - 40 * HOUR_MS, &traits).context(&device));
        }
        stage
    }

    fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().unwrap()
    }

    fn now_ms(&mut self) -> Millis {
        self.driver().now_ms()
    }

    fn say<T: Topic>(&mut self, word: T) -> u64 {
        self.driver().say(word).unwrap().first
    }

    fn campaign(&mut self, holdout: f64, topic: bool) {
        let mut started = plan("win-back", holdout, &self.hello);
        started.plan.topic = topic.then(|| "news".into());
        self.plan = self.say(started);
    }

    fn sent(&mut self, place: usize) -> Option<MessageSent> {
        let sent = self.driver().said::<MessageSent>().unwrap();
        let place = place.checked_rem(sent.len())?;
        sent.into_iter().nth(place).map(|(_, sent)| sent)
    }

    fn tell(&mut self, who: usize, at_ms: Millis, traits: &Value) {
        self.number += 1;
        let mut told = identify(&user(who), at_ms, traits);
        told.message_id = format!("{} {}", told.message_id, self.number).into();
        self.say(told);
    }

    fn play(&mut self, next: Next) {
        let now_ms = self.now_ms();
        self.number += 1;
        let number = self.number;
        match next {
            Next::Consent { who, of, granted, hours_ago } => {
                let of = ["email", "sms", "push", "topic", "email:news", "sms:news", "push:news"][of];
                let at_ms = now_ms - hours_ago * HOUR_MS;
                let context = match of {
                    "topic" => json!({ "consent": { "topics": { "news": granted } } }),
                    of => json!({ "consent": { "channels": { of: granted } } }),
                };
                let mut told = identify(&user(who), at_ms, &json!({})).context(&context);
                told.message_id = format!("consent {number}").into();
                self.say(told);
            }
            Next::Zone { who, zone } => self.tell(who, now_ms, &json!({ "timezone": ZONES[zone] })),
            Next::Device { who, place } => {
                let told = identify(&user(who), now_ms, &json!({}));
                self.say(told.anonymous(&format!("device-{who}-{place}")));
            }
            Next::One { who, with } if who != with => {
                let alias = event(impresario_agents::vocabulary::EventKind::Alias, &format!("alias {number}"), now_ms);
                self.say(alias.user(&user(who)).previous(&user(with)));
            }
            Next::One { .. } => {}
            Next::Request { who, channel, owed, template, topic, minutes, wait_hours } => {
                let at_ms = now_ms + minutes * 60_000;
                let mut asked = request(profile(who), &format!("message {number}"), Channel::ALL[channel], at_ms);
                asked.class = if owed { MessageClass::Transactional } else { MessageClass::Marketing };
                (asked.template, asked.offer) = (["hello", "owed"][template].into(), None);
                asked.topic = topic.then(|| "news".into());
                asked.until_ms = wait_hours.map(|hours| at_ms + hours * HOUR_MS);
                if number.is_multiple_of(5) {
                    // Asked for twice, and of somebody else who may turn out to be the same.
                    self.say(asked.clone());
                }
                self.say(asked);
            }
            Next::Decision { who, channel, minutes, stale } => {
                let profile = profile(who);
                let arm = Arm { template: "hello".into(), offer: None, channel: Channel::ALL[channel], hour: None };
                let plan = self.plan - u64::from(stale);
                self.say(DecisionMade {
                    id: DecisionId::of(profile, "win-back", number),
                    campaign: "win-back".into(),
                    profile,
                    group: Group::Policy,
                    arm: Some(arm),
                    withheld: None,
                    chosen: 1,
                    propensity: 1.0,
                    candidates: vec![(1, 1.0)],
                    features: Vec::new(),
                    model: "".into(),
                    explored: false,
                    plan,
                    at_ms: now_ms + minutes * 60_000,
                    context: Value::Null,
                    reserved: Reserved::default(),
                });
            }
            Next::Receipt { place, kind } => {
                let kind = [
                    ReceiptKind::Unsubscribed,
                    ReceiptKind::Complained,
                    ReceiptKind::Bounced,
                    ReceiptKind::Opened,
                    ReceiptKind::Clicked,
                    ReceiptKind::Unsubscribed,
                ][kind];
                if let Some(MessageSent { id, profile, channel, .. }) = self.sent(place) {
                    self.say(ReceiptCame { id, profile, campaign: None, channel, kind, machine: false });
                }
            }
            Next::Withdraw { place } => {
                let id = MessageId::of(format!("message {place}").as_bytes(), 0);
                self.say(MessageWithdrawn { id, profile: profile(place % PEOPLE), because: "test".into() });
            }
            Next::Stop { scope, stopped } => {
                let scope = [
                    StopScope::Everything,
                    StopScope::Channel(Channel::Sms),
                    StopScope::Channel(Channel::Email),
                    StopScope::Campaign("win-back".into()),
                ][scope]
                    .clone();
                if stopped {
                    self.say(SendingStopped { scope, by: "test".into(), why: "wrong prices".into() });
                } else {
                    self.say(SendingResumed { scope, by: "test".into() });
                }
            }
            Next::Policy { night, zone, caps, holdout, twice, grants } => {
                let quiet = NIGHTS.get(night).map(|(from, to)| QuietHours { from: (*from).into(), to: (*to).into() });
                let cap = |(channel, topic, minutes, at_most): (usize, bool, i64, u32)| Cap {
                    channel: Channel::ALL.get(channel).copied(),
                    topic: topic.then(|| "news".into()),
                    within_ms: minutes * 60_000,
                    at_most,
                };
                let policy = GatePolicy {
                    zone: ZONES[zone].into(),
                    quiet_hours: quiet.iter().flat_map(|quiet| Channel::ALL.map(|of| (of, quiet.clone()))).collect(),
                    caps: caps.into_iter().map(cap).collect(),
                    holdout_share: holdout,
                    double_opt_in: if twice { vec![Channel::Sms] } else { Vec::new() },
                    grant_required: Channel::ALL
                        .into_iter()
                        .enumerate()
                        .filter(|(bit, _)| grants >> bit & 1 == 1)
                        .map(|(_, channel)| channel)
                        .collect(),
                };
                self.say(GatePolicySet { policy });
            }
            Next::Campaign { runs: true, holdout, topic } => self.campaign(holdout, topic),
            Next::Campaign { .. } => {
                self.say(CampaignEnded { campaign: "win-back".into(), why: "test".into(), finished: false });
            }
            Next::Template { template: place, owed, topic } => {
                let defined = template(["hello", "owed"][place], owed, topic);
                self.say(defined.clone());
                if place == 0 {
                    self.hello = defined;
                }
            }
            Next::Ticket { who, open: true } => {
                self.say(MarketingHeld { profile: profile(who), why: "an open ticket".into() });
            }
            Next::Ticket { who, .. } => {
                self.say(MarketingFreed { profile: profile(who) });
            }
            Next::Confirm { who, channel } => {
                self.say(ConsentConfirmed { profile: profile(who), of: Channel::ALL[channel].name().into() });
            }
            Next::Restart { killed } => {
                let driver = self.driver.take().unwrap();
                let journal = Arc::clone(driver.journal());
                if killed {
                    driver.abandon();
                } else {
                    driver.stop().unwrap();
                }
                let troupe = giving_back(self.workers, &self.outbox);
                self.driver = Some(Driver::start(journal, troupe, SEED, now_ms).unwrap());
            }
            Next::Wait { minutes } => self.driver().advance_to(now_ms + minutes * 60_000).unwrap(),
            Next::Settle => self.driver().settle().unwrap(),
        }
    }
}

fn histories(cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    let world = (1_usize..4, 0..EVENINGS.len(), 0_usize..5, proptest::collection::vec(next(), 20..90));
    let spoke = Mutex::new(BTreeMap::<Box<str>, usize>::new());
    let ran = runner.run(&world, |(workers, evening, rotate, steps)| {
        let mut stage = Stage::new(workers, evening, rotate);
        steps.into_iter().for_each(|next| stage.play(next));
        let now_ms = stage.now_ms();
        stage.driver().advance_to(now_ms + 60 * HOUR_MS).unwrap();
        let delivered = stage.outbox.lock().unwrap().clone();
        let found = [violations(stage.driver(), &delivered), fallen(stage.driver())].concat();
        prop_assert!(found.is_empty(), "{found:#?}");
        let mut spoke = spoke.lock().unwrap();
        let refused = said::<MessageRefused>(stage.driver()).into_iter().map(|refused| refused.by.guard);
        let held = said::<MessageHeld>(stage.driver()).into_iter().map(|held| held.by.guard);
        let sent = said::<MessageSent>(stage.driver()).into_iter().map(|_| "sent".into());
        let returned = said::<MessageReturned>(stage.driver()).into_iter().map(|_| "returned".into());
        refused.chain(held).chain(sent).chain(returned).for_each(|guard| *spoke.entry(guard).or_default() += 1);
        Ok(())
    });
    ran.unwrap();
    // A guard that never had to speak was not tried.
    let spoke = spoke.into_inner().unwrap();
    for guard in GUARDS {
        assert!(spoke.get(guard).is_some_and(|times| *times > 0), "{guard} never spoke: {spoke:?}");
    }
}

#[test]
fn no_guard_is_ever_violated_in_a_random_history() {
    histories(100);
}

#[test]
#[ignore = "five thousand histories: cargo full r12"]
fn r12_no_guard_is_ever_violated_over_the_clocks_changes() {
    histories(5_000);
}
