//! No bound of a campaign is ever passed, whatever comes in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    campaigns::{
        Autonomy, Budget, CampaignStarted, Campaigns, Decisions, Plan, PlanTrigger, RewardSpec, Strategy as By,
    },
    vocabulary::{
        Arm, Channel, ChannelVerdict, DecisionId, DecisionMade, DecisionRequested, Group, MessageId, MessageRefused,
        ProfileId, Refusal,
    },
};
use impresario_runtime::{Driver, Troupe};
use proptest::prelude::*;

use super::play::sent;
use crate::support::{driver, journal};

pub(super) fn plan(budget: Budget, blast_radius: u64) -> Plan {
    let offer = |channel| (channel == Channel::Sms).then(|| "ten".into());
    let arm = |channel| Arm { template: "hello".into(), offer: offer(channel), channel, hour: None };
    Plan {
        goal: "more".into(),
        audience: "more".into(),
        trigger: PlanTrigger::Audience { every_ms: 1 },
        arms: vec![arm(Channel::Email), arm(Channel::Sms)],
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
            currency: "USD".into(),
        },
        attribution_ms: 1,
        exploration_floor: 0.01,
        holdout_share: 0.0,
        random_share: 0.0,
        budget,
        blast_radius,
        costs_micros: vec![(Channel::Email, 1_000), (Channel::Sms, 50_000)],
        discounts_micros: vec![("ten".into(), 20_000)],
        autonomy: Autonomy::Autonomous,
        strategy: By::Uniform,
        retired: Vec::new(),
        content: Vec::new(),
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    /// A decision is asked for one of twelve people.
    Ask(u64),
    /// The oldest message on the way is sent, or refused.
    Send,
    Refuse,
    /// A plan with other bounds starts.
    Start(u64, u64, i64),
    /// All that was said is folded.
    Settle,
}

fn next() -> impl Strategy<Value = Next> {
    let start = (0_u64..12, 0_u64..8, 0_i64..300_000);
    prop_oneof![
        6 => (0_u64..12).prop_map(Next::Ask),
        2 => Just(Next::Send),
        2 => Just(Next::Refuse),
        1 => start.prop_map(|(messages, people, cost)| Next::Start(messages, people, cost)),
        3 => Just(Next::Settle),
    ]
}

/// Asks, sends and refuses, and knows what of it took something of the bounds.
struct Play {
    driver: Driver,
    asked: u32,
    reached: BTreeSet<u64>,
    settled: BTreeMap<DecisionId, bool>,
}

impl Play {
    fn start(&mut self, (messages, people, cost): (u64, u64, i64)) {
        let budget = Budget { messages: Some(messages), cost_micros: Some(cost), discount_micros: Some(cost / 3) };
        self.driver
            .say(CampaignStarted { campaign: "more".into(), plan: plan(budget, people), revises: false })
            .unwrap();
    }

    fn ask(&mut self, person: u64) {
        self.asked += 1;
        let profile = ProfileId(person);
        let free = |channel| ChannelVerdict { channel, from_ms: 0, hours: 0x00ff_ffff, refused: None };
        let asked = DecisionRequested {
            id: DecisionId::of(profile, "more", self.asked),
            campaign: "more".into(),
            profile,
            group: Group::Policy,
            features: Vec::new(),
            channels: Channel::ALL.into_iter().map(free).collect(),
            zone: "UTC".into(),
            context: serde_json::Value::Null,
            reached_before: self.reached.contains(&person),
            ids: 1,
        };
        self.driver.say(asked).unwrap();
    }

    fn settle_oldest(&mut self, sends: bool) {
        let made = self.driver.said::<DecisionMade>().unwrap();
        let open = made.into_iter().find(|(_, made)| made.arm.is_some() && !self.settled.contains_key(&made.id));
        let Some((_, made)) = open else { return };
        let Some(arm) = &made.arm else { return };
        self.settled.insert(made.id, sends);
        if sends {
            self.reached.insert(made.profile.0);
            self.driver.say(sent(&made, arm.channel, 1)).unwrap();
        } else {
            let refused = MessageRefused {
                id: MessageId::of_decision(made.id),
                profile: made.profile,
                campaign: Some(made.campaign.clone()),
                decision: Some(made.id),
                channel: arm.channel,
                by: Refusal { guard: "cap".into(), why: "".into() },
            };
            self.driver.say(refused).unwrap();
        }
    }

    /// What may still go out or has gone out, counted from the journal alone: messages, people, cost, discounts.
    fn taken(&self) -> (u64, u64, i64, i64) {
        let made = self.driver.said::<DecisionMade>().unwrap();
        let alive = made.iter().filter(|(_, made)| made.arm.is_some() && self.settled.get(&made.id) != Some(&false));
        let (mut people, mut messages, mut cost, mut discounts) = (BTreeSet::new(), 0, 0, 0);
        for (_, made) in alive {
            messages += 1;
            people.insert(made.profile);
            cost += made.reserved.cost_micros;
            discounts += if made.arm.as_ref().is_some_and(|arm| arm.offer.is_some()) { 20_000 } else { 0 };
        }
        (messages, people.len() as u64, cost, discounts)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_bound_is_passed_in_any_order(
        first in (0_u64..12, 0_u64..8, 0_i64..300_000),
        steps in proptest::collection::vec(next(), 1..60),
    ) {
        let troupe = Troupe::new().agent(Campaigns).agent(Decisions);
        let (reached, settled) = (BTreeSet::new(), BTreeMap::new());
        let mut play = Play { driver: driver(&journal(), troupe), asked: 0, reached, settled };
        play.start(first);
        // The widest bounds there ever were: what was taken under those is not taken back by narrower ones.
        let mut widest = first;
        for step in steps.into_iter().chain([Next::Settle]) {
            match step {
                Next::Ask(person) => play.ask(person),
                Next::Send => play.settle_oldest(true),
                Next::Refuse => play.settle_oldest(false),
                Next::Start(messages, people, cost) => {
                    play.start((messages, people, cost));
                    widest = (widest.0.max(messages), widest.1.max(people), widest.2.max(cost));
                }
                Next::Settle => {
                    play.driver.settle().unwrap();
                    let taken = play.taken();
                    let within = taken.0 <= widest.0 && taken.1 <= widest.1 && taken.2 <= widest.2 && taken.3 <= widest.2 / 3;
                    prop_assert!(within, "{taken:?} of {widest:?}");
                }
            }
        }
        // Nothing is lost either: what is kept as taken is what is out or on its way.
        let (messages, people, cost, discounts) = play.taken();
        let key = "more".to_owned();
        let kept = play.driver.read::<Campaigns, _>(&key, |reading| {
            reading.get(&key).unwrap().map(|campaign| campaign.bounds.taken)
        });
        let kept = kept.unwrap().unwrap();
        prop_assert_eq!((kept.messages, kept.cost_micros, kept.discount_micros), (messages, cost, discounts));
        prop_assert!(kept.people >= people);
    }
}
