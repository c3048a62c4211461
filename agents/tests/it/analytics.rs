//! What campaigns came to: everything sums to the journal, and lift is measured honestly.

use impresario_agents::{
    analytics::{Analytics, BaselineWanted, Outcomes, Report},
    campaigns::{Autonomy, Budget, CampaignStarted, Plan, PlanTrigger, RewardSpec, Strategy},
    goals::{Goal, GoalBaseline, GoalProgress, GoalSet, Metric, Target, target_note, target_value},
    vocabulary::{
        Arm, Channel, ChannelVerdict, DecisionId, DecisionMade, DecisionRequested, Feature, Group, MessageId,
        MessageSent, Outcome, ProfileChanged, ProfileId, ReceiptCame, ReceiptKind, Refusal, RewardObserved,
    },
};
use impresario_runtime::{Driver, Troupe};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const HOUR_MS: i64 = 3_600_000;

fn plan() -> Plan {
    let arm = |template: &str, channel| Arm { template: template.into(), offer: None, channel, hour: None };
    Plan {
        goal: "more".into(),
        audience: "more".into(),
        trigger: PlanTrigger::Audience { every_ms: 86_400_000 },
        arms: vec![arm("plain", Channel::Email), arm("plain", Channel::Sms)],
        topic: None,
        journey: None,
        reward: RewardSpec {
            conversion: 1.0,
            revenue: 0.0,
            click: 0.0,
            open: 0.0,
            unsubscribe: -1.0,
            complaint: -1.0,
            event: None,
            currency: "EUR".into(),
        },
        attribution_ms: 86_400_000,
        exploration_floor: 0.01,
        holdout_share: 0.2,
        random_share: 0.1,
        budget: Budget::default(),
        blast_radius: 1_000,
        costs_micros: Vec::new(),
        discounts_micros: Vec::new(),
        autonomy: Autonomy::Autonomous,
        strategy: Strategy::Learn,
        retired: Vec::new(),
        content: Vec::new(),
    }
}

fn driver() -> Driver {
    let troupe = Troupe::new().agent_with_workers(Outcomes, 2).agent(Analytics).job::<BaselineWanted>();
    Driver::in_memory(troupe).expect("a driver")
}

fn start(driver: &mut Driver, metric: Metric) {
    let mut goal = Goal::new("More", metric);
    goal.target = Some(Target::Absolute(1e9));
    driver.say(GoalSet { id: "more".into(), goal }).expect("a goal");
    driver.say(CampaignStarted { campaign: "more".into(), plan: plan(), revises: false }).expect("a campaign");
    driver.settle().expect("rest");
}

fn report(driver: &mut Driver) -> Report {
    let key = "more".to_owned();
    let read = driver.read::<Analytics, _>(&key, |reading| reading.get(&key).map(Option::<&Report>::cloned));
    read.expect("the agent").expect("its state").expect("a report")
}

fn asked(profile: ProfileId, group: Group, ids: u16) -> DecisionRequested {
    DecisionRequested {
        id: DecisionId::of(profile, "more", 1),
        campaign: "more".into(),
        profile,
        group,
        features: Vec::new(),
        channels: Vec::new(),
        zone: "UTC".into(),
        context: serde_json::Value::Null,
        reached_before: false,
        ids,
    }
}

fn ordered(profile: ProfileId, orders: i64, paid: i64) -> ProfileChanged {
    let features = vec![(Feature::ORDERS, orders), (Feature::value(*b"EUR"), paid)];
    ProfileChanged { profile, event: 1, features, traits: Default::default(), rhythm: None }
}

fn group_of(place: u64) -> Group {
    [Group::Policy, Group::Policy, Group::Policy, Group::Random, Group::Holdout][(place % 5) as usize]
}

#[test]
fn everything_sums_to_the_journal() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut driver = driver();
    start(&mut driver, Metric::Orders);
    for number in 0..400_u64 {
        let profile = ProfileId(rng.next_u64() % 60);
        let group = group_of(profile.0);
        let mut asked = asked(profile, group, 1);
        let refused = (rng.next_u64() % 3 == 0).then(|| Refusal { guard: "consent".into(), why: "none".into() });
        asked.channels.push(ChannelVerdict { channel: Channel::Sms, from_ms: 0, hours: 0, refused });
        driver.say(asked).expect("asked");
        let id = DecisionId::of(profile, "more", number as u32);
        let chosen = (rng.next_u64() % 3) as u16;
        driver
            .say(DecisionMade {
                id,
                campaign: "more".into(),
                profile,
                group,
                arm: None,
                withheld: None,
                chosen,
                propensity: 0.5,
                candidates: Vec::new(),
                features: Vec::new(),
                model: "".into(),
                explored: rng.next_u64() % 2 == 0,
                plan: u64::MAX,
                at_ms: 0,
                context: serde_json::Value::Null,
                reserved: Default::default(),
            })
            .expect("made");
        let channel = if chosen == 1 { Channel::Email } else { Channel::Sms };
        let message = MessageId::of_decision(id);
        if chosen > 0 {
            driver
                .say(MessageSent {
                    id: message,
                    profile,
                    class: Default::default(),
                    campaign: Some("more".into()),
                    decision: Some(id),
                    arm: Some((group, chosen)),
                    channel,
                    template: ("plain".into(), 1),
                    offer: None,
                    guards: Vec::new(),
                    because: "".into(),
                    reached_before: false,
                })
                .expect("sent");
            let machine = rng.next_u64() % 2 == 0;
            let campaign = Some("more".into());
            let kind = ReceiptKind::Opened;
            driver.say(ReceiptCame { id: message, profile, campaign, channel, kind, machine }).expect("a receipt");
        }
        let outcome = Outcome {
            sent: chosen > 0,
            clicked: rng.next_u64() % 4 == 0,
            conversions: (rng.next_u64() % 2) as u32,
            ..Outcome::default()
        };
        driver
            .say(RewardObserved {
                id,
                campaign: "more".into(),
                profile,
                group,
                chosen,
                propensity: 0.5,
                features: Vec::new(),
                reward: 0.25,
                outcome,
                decided_ms: 0,
                plan: u64::MAX,
            })
            .expect("a reward");
        driver.say(ordered(profile, (number / 10) as i64, 5_000_000)).expect("an order");
    }
    driver.settle().expect("rest");
    let report = report(&mut driver);
    let rows = |count: fn(&impresario_agents::analytics::ArmRow) -> u64| report.arms.iter().map(count).sum::<u64>();
    let made = driver.said::<DecisionMade>().expect("decisions");
    let rewards = driver.said::<RewardObserved>().expect("rewards");
    for row in &report.arms {
        let own = made.iter().filter(|(_, made)| made.group == row.group && made.chosen == row.arm);
        assert_eq!(own.clone().count() as u64, row.decisions);
        assert_eq!(own.filter(|(_, made)| made.explored).count() as u64, row.explored);
        let own = rewards.iter().filter(|(_, reward)| reward.group == row.group && reward.chosen == row.arm);
        assert_eq!(own.clone().filter(|(_, reward)| reward.outcome.clicked).count() as u64, row.clicked);
        assert_eq!(own.count() as i64 * 250_000, row.reward_micros);
    }
    assert_eq!((rows(|row| row.decisions), rows(|row| row.rewarded)), (400, 400));
    let sent = driver.said::<MessageSent>().expect("messages");
    let receipts = driver.said::<ReceiptCame>().expect("receipts");
    let asked = driver.said::<DecisionRequested>().expect("asked");
    let refused = asked.iter().filter(|(_, asked)| asked.channels[0].refused.is_some()).count() as u64;
    for row in &report.channels {
        let own = sent.iter().filter(|(_, sent)| sent.channel == row.channel).count() as u64;
        let by_people = receipts.iter().filter(|(_, came)| came.channel == row.channel && !came.machine).count() as u64;
        assert_eq!(row.sent, own);
        assert_eq!(row.receipts.get("opened").copied().unwrap_or(0), by_people);
        if row.channel == Channel::Sms {
            assert_eq!(row.refused_before.get("consent").copied().unwrap_or(0), refused);
        }
    }
    let groups = report.groups();
    let people: std::collections::BTreeSet<ProfileId> = asked.iter().map(|(_, asked)| asked.profile).collect();
    assert_eq!(groups.iter().map(|row| row.people).sum::<i64>(), people.len() as i64);
    for row in &groups {
        let own = people.iter().filter(|profile| group_of(profile.0) == row.group);
        let last = |profile: &ProfileId| {
            let changes = driver.said::<ProfileChanged>().expect("changes");
            changes
                .iter()
                .rev()
                .find(|(_, changed)| changed.profile == *profile)
                .map_or(0, |(_, one)| one.features[0].1)
        };
        assert_eq!(own.map(last).sum::<i64>(), row.did.orders);
        let messages = rewards.iter().filter(|(_, reward)| reward.group == row.group && reward.outcome.sent);
        assert_eq!(messages.count() as i64, row.did.messages);
    }
}

/// Plays 600 people of whom those who are not held out order more by `effect`; what the goal was said to be.
fn played(effect: u64, seed: u64) -> Vec<GoalProgress> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut driver = driver();
    start(&mut driver, Metric::Orders);
    let groups: Vec<Group> = (0..600).map(|_| group_of(rng.next_u64())).collect();
    for day in 1..=6_i64 {
        for (place, group) in groups.iter().enumerate() {
            let profile = ProfileId(place as u64);
            if day == 1 {
                driver.say(asked(profile, *group, 1)).expect("asked");
            }
            let more = if *group == Group::Holdout { 0 } else { effect };
            if rng.next_u64() % 100 < 15 + more {
                let orders = driver.now_ms() / 86_400_000 + 1;
                driver.say(ordered(profile, orders, orders * 10_000_000)).expect("an order");
            }
        }
        driver.advance_to(day * 24 * HOUR_MS).expect("a day");
    }
    driver.said::<GoalProgress>().expect("progress").into_iter().map(|(_, progress)| progress).collect()
}

#[test]
fn a_goal_is_measured_at_a_bounded_rate_against_its_holdout() {
    let told = played(25, 3);
    assert!((6..=12).contains(&told.len()), "{} times in six days, one of them busy", told.len());
    let last = told.last().expect("progress");
    let [value, low, high] = last.lift.expect("people enough");
    assert!(low > 0.0 && value < high, "{last:?}");
    assert_eq!((last.people, last.reached), (600, false));
    let nothing = played(0, 4);
    let [_, low, high] = nothing.last().expect("progress").lift.expect("people enough");
    assert!(low < 0.0 && high > 0.0, "{low} to {high}");
}

#[test]
fn a_baseline_is_what_was_before_and_stays() {
    let mut driver = driver();
    for place in 0..10 {
        let entered = impresario_agents::segmentation::SegmentEntered {
            segment: "more".into(),
            profile: ProfileId(place),
            reason: impresario_agents::segmentation::Reason {
                by: impresario_agents::segmentation::Trigger::Event,
                because: "".into(),
            },
        };
        driver.say(entered).expect("a member");
        driver.say(ordered(ProfileId(place), 3, 0)).expect("orders");
    }
    driver.advance_to(40 * 24 * HOUR_MS).expect("forty days");
    driver.say(ordered(ProfileId(1), 5, 0)).expect("orders");
    start(&mut driver, Metric::Orders);
    driver.say(ordered(ProfileId(1), 9, 0)).expect("orders");
    driver.settle().expect("rest");
    let told = driver.said::<GoalBaseline>().expect("baselines");
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].1.people, told[0].1.value), (10, 0.2));
    assert_eq!(report(&mut driver).baseline.map(|baseline| baseline.value), Some(0.2));
}

#[test]
fn a_baseline_of_nobody_is_zero_and_no_relative_target_is_measured_against_it() {
    let mut driver = driver();
    let mut goal = Goal::new("More", Metric::Orders);
    goal.target = Some(Target::Relative(0.1));
    driver.say(GoalSet { id: "more".into(), goal: goal.clone() }).expect("a goal");
    driver.say(CampaignStarted { campaign: "more".into(), plan: plan(), revises: false }).expect("a campaign");
    driver.settle().expect("rest");
    let told = driver.said::<GoalBaseline>().expect("baselines");
    let value = told.first().expect("a baseline").1.value;
    assert!(value == 0.0 && value.is_sign_positive(), "{value:?}");
    assert_eq!(target_value(&goal, value), None);
    let note = target_note(&goal, Some(value)).expect("a note");
    assert!(note.contains("0") && note.contains("absolute"), "{note}");
    assert!(target_note(&goal, None).is_some_and(|note| note.contains("baseline")), "not known yet");
    assert_eq!((target_note(&goal, Some(0.5)), target_value(&goal, 0.5)), (None, Some(0.55)));
    goal.target = Some(Target::Absolute(0.3));
    assert_eq!((target_note(&goal, Some(0.0)), target_value(&goal, 0.0)), (None, Some(0.3)));
}

#[test]
fn people_with_more_ids_weigh_less_in_the_holdout() {
    let mut driver = driver();
    start(&mut driver, Metric::Orders);
    // Of the holdout: one with one id and no order, one with two ids and nine orders.
    for (place, ids, orders) in [(1, 1, 0), (2, 2, 9)] {
        driver.say(asked(ProfileId(place), Group::Holdout, ids)).expect("asked");
        driver.say(ordered(ProfileId(place), orders, 0)).expect("orders");
    }
    driver.settle().expect("rest");
    let groups = report(&mut driver).groups();
    let holdout = groups.iter().find(|row| row.group == Group::Holdout).expect("a holdout");
    // Weights one by 0.2 and one by 0.36.
    let expected = (9.0 / 0.36) / (1.0 / 0.2 + 1.0 / 0.36);
    assert!((holdout.value.expect("people") - expected).abs() < 1e-9, "{holdout:?} {expected}");
}
