//! A troupe whose messages are delivered to nobody.

use std::{io::Write, sync::Arc};

use impresario_agents::{
    campaigns::{Autonomy, Budget, CampaignStarted, Plan, PlanTrigger, RewardSpec, Strategy},
    content::{OfferDefined, TemplateDefined, fingerprint},
    troupe,
    vocabulary::{
        Arm, Channel, Deliver, Delivered, IdentifierKind, MessageClass, MessageId, MessageRequested, Millis, ProfileId,
        Tracked,
    },
};
use impresario_runtime::{Clock, Driver, WallClock, store::Journal};
use serde_json::{Value, json};

use crate::support::{START, With, event, journal, node};

pub(super) const HOUR_MS: Millis = 3_600_000;
/// Noon of the first day.
pub(super) const NOON: Millis = START + 12 * HOUR_MS;

pub(super) fn delivering(workers: usize) -> impresario_runtime::Troupe {
    troupe(workers).effect(|deliver: Deliver, _| async move {
        let Deliver { id, profile, campaign, channel, .. } = deliver;
        Ok(Delivered { id, profile, campaign, channel, failed: None, held: None })
    })
}

/// A driver at noon, with a template and an offer for all channels.
pub(super) fn at_noon() -> Driver {
    on(&journal(), NOON)
}

pub(super) fn on(journal: &Arc<Journal>, now_ms: Millis) -> Driver {
    let mut driver = Driver::start(Arc::clone(journal), delivering(2), [7; 32], now_ms).unwrap();
    driver.say(hello()).unwrap();
    driver.say(ten()).unwrap();
    driver.settle().unwrap();
    driver
}

pub(super) fn hello() -> TemplateDefined {
    let template = json!({
        "name": "Hello",
        "email": {
            "subject": "For {{ person.first_name }}",
            "html": "<p>Hello {{ person.first_name }}, {{ offer.percent }}% off</p>",
            "text": "Hello {{ person.first_name | default: 'you' }}, you made {{ features.orders }} orders",
        },
        "sms": { "text": "{{ person.first_name }}: {{ offer.percent }}% off until {{ offer.valid_until | date: '%H:%M' }}" },
        "push": { "title": "{{ person.first_name }}", "body": "Come back to {{ context.product.name }}" },
    });
    TemplateDefined { id: "hello".into(), template: serde_json::from_value(template).unwrap() }
}

pub(super) fn ten() -> OfferDefined {
    let offer = json!({ "name": "Ten off", "percent": 10, "code": "TEN", "valid_minutes": 360 });
    OfferDefined { id: "ten".into(), offer: serde_json::from_value(offer).unwrap() }
}

pub(super) fn sms_only() -> TemplateDefined {
    let template = serde_json::from_value(json!({ "name": "Hello", "sms": { "text": "Hello" } })).unwrap();
    TemplateDefined { id: "short".into(), template }
}

pub(super) fn identify(user: &str, at_ms: Millis, traits: &Value) -> Tracked {
    let id = format!("identify {user} {at_ms} {traits}");
    event(impresario_agents::vocabulary::EventKind::Identify, &id, at_ms).user(user).properties(traits)
}

/// Somebody who can be reached by everything and has agreed to it.
pub(super) fn anna(driver: &mut Driver) -> ProfileId {
    let traits = json!({
        "first_name": "Anna", "email": "Anna@Example.test", "phone": "+48 600 100 200",
        "consent": ["email", "sms", "push"],
    });
    let device = json!({ "device": { "token": "token-1" } });
    driver.say(identify("anna", driver.now_ms(), &traits).context(&device)).unwrap();
    driver.settle().unwrap();
    node(IdentifierKind::UserId, "anna")
}

pub(super) fn request(profile: ProfileId, name: &str, channel: Channel, at_ms: Millis) -> MessageRequested {
    MessageRequested {
        id: MessageId::of(name.as_bytes(), 0),
        profile,
        class: MessageClass::Marketing,
        campaign: None,
        decision: None,
        template: "hello".into(),
        offer: Some("ten".into()),
        channel,
        topic: None,
        at_ms,
        until_ms: None,
        context: Value::Null,
        because: "test".into(),
        channel_because: None,
        instead_of: None,
    }
}

/// A plan that sends one template as it is defined here, by every channel, with an offer and without.
pub(super) fn plan(goal: &str, holdout_share: f64, sends: &TemplateDefined) -> CampaignStarted {
    let (template, ten) = (&sends.id, ten());
    let arm = |channel, offer| Arm { template: template.clone(), offer, channel, hour: None };
    let arms = Channel::ALL.into_iter().flat_map(|channel| [arm(channel, None), arm(channel, Some("ten".into()))]);
    let plan = Plan {
        goal: goal.into(),
        audience: "everybody".into(),
        // Nobody is due of themselves: what is decided is what a test says.
        trigger: PlanTrigger::Situation { kind: "none".into() },
        arms: arms.collect(),
        retired: Vec::new(),
        content: vec![
            (Plan::template_key(template), fingerprint(&sends.template)),
            (Plan::offer_key(&ten.id), fingerprint(&ten.offer)),
        ],
        topic: None,
        journey: None,
        reward: RewardSpec {
            conversion: 1.0,
            revenue: 0.0,
            click: 0.0,
            open: 0.0,
            unsubscribe: 0.0,
            complaint: 0.0,
            event: None,
            currency: "EUR".into(),
        },
        attribution_ms: 24 * HOUR_MS,
        exploration_floor: 0.01,
        holdout_share,
        random_share: 0.1,
        budget: Budget::default(),
        blast_radius: 1_000,
        costs_micros: Vec::new(),
        discounts_micros: Vec::new(),
        autonomy: Autonomy::Autonomous,
        strategy: Strategy::Learn,
    };
    CampaignStarted { campaign: goal.into(), plan, revises: false }
}

/// What a clock on the wall shows, for figures of a full run.
pub(super) fn clock_ms() -> Millis {
    WallClock.now_ms()
}

/// Figures of a full run.
pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A template of all channels that says little.
pub(super) fn template(id: &str, owed: bool, topic: bool) -> TemplateDefined {
    let template = json!({
        "name": id, "class": if owed { "transactional" } else { "marketing" },
        "topic": topic.then_some("news"),
        "email": { "subject": "Hello", "text": "Hello {{ person.first_name }}" },
        "sms": { "text": "Hello" },
        "push": { "title": "Hello", "body": "Hello" },
    });
    TemplateDefined { id: id.into(), template: serde_json::from_value(template).unwrap() }
}
