//! A campaign's report sums to the journal at every instant, whatever the whole troupe has played.

use std::collections::BTreeMap;

use impresario_agents::{
    analytics::{Analytics, Report},
    campaigns::Autonomy,
    goals::{Goal, GoalSet, Metric},
    journeys::JourneyDefined,
    vocabulary::{
        Channel, DecisionId, DecisionMade, Delivered, Group, MessageRefused, MessageSent, ReceiptCame, ReceiptKind,
        RewardObserved,
    },
};
use impresario_runtime::Driver;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

use super::stage::{HOUR_MS, at_noon, identify};
use crate::support::{said, track};

/// Counts by any key.
type Counts<K> = BTreeMap<K, u64>;

fn counts<K: Ord>(keys: impl IntoIterator<Item = K>) -> Counts<K> {
    let mut counts = Counts::new();
    keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

/// Those of a report's rows that are not zero.
fn some<K: Ord>(rows: impl IntoIterator<Item = (K, u64)>) -> Counts<K> {
    rows.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn check(driver: &mut Driver, when: &str) -> u64 {
    let key = "more".to_owned();
    let read = driver.read::<Analytics, _>(&key, |reading| reading.get(&key).unwrap().cloned());
    let report: Report = read.unwrap().unwrap();
    let made = said::<DecisionMade>(driver);
    let of: BTreeMap<DecisionId, (Group, u16)> = made.iter().map(|made| (made.id, (made.group, made.chosen))).collect();
    let sent: Vec<_> = said::<MessageSent>(driver).into_iter().filter(|sent| sent.campaign.is_some()).collect();
    let arms = |count: fn(&impresario_agents::analytics::ArmRow) -> u64| {
        some(report.arms.iter().map(|row| ((row.group, row.arm), count(row))))
    };
    let channels = |count: fn(&impresario_agents::analytics::ChannelRow) -> u64| {
        some(report.channels.iter().map(|row| (row.channel, count(row))))
    };
    assert_eq!(arms(|row| row.decisions), counts(of.values().copied()), "decisions {when}");
    let by_arm = counts(sent.iter().filter_map(|sent| of.get(&sent.decision?).copied()));
    assert_eq!(arms(|row| row.sent), by_arm, "sent by arm {when}");
    assert_eq!(channels(|row| row.sent), counts(sent.iter().map(|sent| sent.channel)), "sent by channel {when}");
    let apart = counts(sent.iter().filter(|sent| sent.decision.is_none()).map(|sent| sent.channel));
    assert_eq!(channels(|row| row.of_journeys), apart, "of journeys {when}");
    let sum = |counts: &Counts<Channel>| counts.values().sum::<u64>();
    let all = arms(|row| row.sent).values().sum::<u64>();
    assert_eq!(all + sum(&channels(|row| row.of_journeys)), sum(&channels(|row| row.sent)), "arms and channels {when}");
    let rewards = said::<RewardObserved>(driver);
    assert_eq!(arms(|row| row.rewarded), counts(rewards.iter().map(|it| (it.group, it.chosen))), "rewards {when}");
    let clicked = rewards.iter().filter(|it| it.outcome.clicked).map(|it| (it.group, it.chosen));
    assert_eq!(arms(|row| row.clicked), counts(clicked), "clicks {when}");
    let taken = said::<Delivered>(driver).into_iter().filter(|it| it.campaign.is_some() && it.failed.is_none());
    assert_eq!(channels(|row| row.delivered), counts(taken.map(|it| it.channel)), "delivered {when}");
    let refused = said::<MessageRefused>(driver).into_iter().filter(|it| it.campaign.is_some());
    assert_eq!(
        channels(|row| row.refused.values().sum()),
        counts(refused.map(|it| it.channel)),
        "refused when they were due {when}"
    );
    let withheld = counts(made.iter().filter_map(|made| Some(made.withheld.as_ref()?.guard.clone())));
    assert_eq!(report.withheld, withheld, "withheld {when}");
    all
}

fn play(seed: u64) -> (u64, u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut driver = at_noon();
    let mut goal = Goal::new("More orders", Metric::Orders);
    (goal.autonomy, goal.blast_radius, goal.budget.messages) = (Autonomy::Autonomous, Some(1_000), Some(60));
    (goal.channels, goal.templates) = (vec![Channel::Email, Channel::Sms], vec!["hello".into()]);
    goal.offers = vec!["ten".into(), "none".into()];
    (goal.holdout, goal.random_control) = (0.2, 0.2);
    goal.every = serde_json::from_value(json!("1d")).unwrap();
    goal.attribution = serde_json::from_value(json!("12h")).unwrap();
    driver.say(GoalSet { id: "more".into(), goal }).unwrap();
    let steps = json!([{ "id": "a", "send": { "template": "hello", "offer": "ten", "channels": ["push", "sms"] } }]);
    let journey = json!({
        "name": "Bought", "entry": { "event": { "name": "Rated" } }, "campaign": "more", "reentry": "always", "steps": steps,
    });
    let journey = serde_json::from_value(journey).unwrap();
    driver.say(JourneyDefined { id: "rated".into(), journey }).unwrap();
    driver.settle().unwrap();
    let mut sent = 0;
    for number in 0..60_u64 {
        let user = format!("user-{}", rng.next_u64() % 25);
        let (now_ms, id) = (driver.now_ms(), format!("{number}"));
        match rng.next_u64() % 6 {
            0 | 1 => {
                let consent: Vec<_> = ["email", "sms", "push"].into_iter().filter(|_| rng.next_u64() % 3 > 0).collect();
                let traits = json!({
                    "first_name": user, "email": format!("{user}@example.test"),
                    "phone": format!("+48600100{:03}", number), "consent": consent,
                });
                driver.say(identify(&user, now_ms, &traits)).unwrap();
            }
            2 => {
                driver.say(track("Rated", &user, &id, now_ms, &json!({}))).unwrap();
            }
            3 => {
                let order = json!({ "total": 20, "currency": "USD", "order_id": id });
                driver.say(track("Order Completed", &user, &id, now_ms, &order)).unwrap();
            }
            4 => {
                let all = said::<MessageSent>(&driver);
                if let Some(of) = all.get(rng.next_u64() as usize % all.len().max(1)) {
                    let kind = if rng.next_u64() % 2 == 0 { ReceiptKind::Opened } else { ReceiptKind::Clicked };
                    let MessageSent { id, profile, campaign, channel, .. } = of.clone();
                    driver.say(ReceiptCame { id, profile, campaign, channel, kind, machine: false }).unwrap();
                }
            }
            _ => {
                driver.advance_to(now_ms + (1 + (rng.next_u64() % 30) as i64) * HOUR_MS).unwrap();
            }
        }
        driver.settle().unwrap();
        sent = check(&mut driver, &format!("after {number} of seed {seed}"));
    }
    driver.advance_to(driver.now_ms() + 48 * HOUR_MS).unwrap();
    driver.settle().unwrap();
    sent = sent.max(check(&mut driver, &format!("at the end of seed {seed}")));
    (sent, said::<RewardObserved>(&driver).len() as u64)
}

#[test]
fn at_every_instant_of_a_random_history_arms_and_channels_sum_to_the_journal() {
    for seed in 1..=4 {
        let (sent, rewarded) = play(seed);
        assert!(sent > 5 && rewarded > 0, "seed {seed} plays too little: {sent} sent, {rewarded} rewards");
    }
}
