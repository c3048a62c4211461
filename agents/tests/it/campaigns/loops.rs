//! From a goal to what its decisions came to.

use impresario_agents::{
    campaigns::{CampaignStarted, Campaigns},
    goals::Goals,
    vocabulary::{Channel, DAY_MS, DecisionMade, EventKind, Group, IdentifierKind, RewardObserved},
};
use impresario_runtime::Driver;
use serde_json::json;

use super::play::{OpenGate, casting, goal, group_of, shop, visit};
use crate::support::{With, driver, event, journal, node, send, track};

#[test]
fn an_autonomous_goal_decides_for_everybody_in_its_audience_and_learns_what_came_of_it() {
    for workers in [1, 3] {
        let mut driver = shop(workers);
        visit(&mut driver, 0..20);
        driver.say(goal("more")).unwrap();
        driver.settle().unwrap();
        assert_eq!(driver.said::<CampaignStarted>().unwrap().len(), 1);
        visit(&mut driver, 20..40);
        let made = driver.said::<DecisionMade>().unwrap();
        assert_eq!(made.len(), 40, "who was there before the plan, and who came later");
        assert!(made.iter().all(|(_, made)| made.arm.is_some() != (made.group == Group::Holdout || made.chosen == 0)));
        // Three of those who were written to order: half a day later.
        driver.advance_to(driver.now_ms() + DAY_MS / 2).unwrap();
        let now_ms = driver.now_ms();
        let order = |place: usize| {
            let properties = json!({"order_id": format!("o-{place}"), "revenue": 20, "currency": "USD"});
            track("Order Completed", &format!("user-{place}"), &format!("order-{place}"), now_ms, &properties)
        };
        send(&mut driver, (0..3).map(order));
        driver.advance_to(now_ms + 4 * DAY_MS).unwrap();
        let rewards = driver.said::<RewardObserved>().unwrap();
        assert_eq!(rewards.len(), 40, "every decision comes to something, whatever its group");
        let conversions: u32 = rewards.iter().map(|(_, reward)| reward.outcome.conversions).sum();
        let revenue: i64 = rewards.iter().map(|(_, reward)| reward.outcome.revenue_micros).sum();
        assert_eq!((conversions, revenue), (3, 60_000_000));
        let sum: f32 = rewards.iter().map(|(_, reward)| reward.reward).sum();
        assert_eq!(sum, 3.0);
        // A week on, everybody is due again.
        driver.advance_to(driver.now_ms() + 4 * DAY_MS).unwrap();
        assert_eq!(driver.said::<DecisionMade>().unwrap().len(), 80);
        let goal =
            driver.read::<Goals, _>(&"more".to_owned(), |reading| reading.get(&"more".to_owned()).unwrap().cloned());
        assert_eq!(goal.unwrap().unwrap().audience, 40);
        let campaign = driver
            .read::<Campaigns, _>(&"more".to_owned(), |reading| reading.get(&"more".to_owned()).unwrap().cloned());
        let campaign = campaign.unwrap().unwrap();
        assert_eq!(campaign.groups.iter().map(|tally| tally.rewarded).sum::<u64>(), 40);
        assert!(campaign.bounds.taken.people <= 40 && campaign.sent == campaign.bounds.taken.messages);
    }
}

#[test]
fn on_the_first_day_whoever_answers_text_messages_gets_a_text_message() {
    let mut driver = shop(1);
    let now_ms = driver.now_ms();
    // Even numbers answer text messages, odd ones e-mails.
    let answers = |place: usize| if place.is_multiple_of(2) { Channel::Sms } else { Channel::Email };
    for place in 0..200_usize {
        let (answered, other) = if place.is_multiple_of(2) { ("SMS", "Email") } else { ("Email", "SMS") };
        let delivered = (0..10).flat_map(|number| [(answered, "Delivered", number), (other, "Delivered", number)]);
        let receipts = delivered.chain((0..6).map(|number| (answered, "Link Clicked", number)));
        let events = receipts.map(|(channel, what, number)| {
            let (user, id) = (format!("user-{place}"), format!("{channel}-{what}-{place}-{number}"));
            track(&format!("{channel} {what}"), &user, &id, now_ms, &json!({}))
        });
        send(&mut driver, events.collect::<Vec<_>>());
    }
    driver.say(goal("more")).unwrap();
    driver.settle().unwrap();
    let who = |place: usize| (node(IdentifierKind::UserId, &format!("user-{place}")), answers(place));
    let people: std::collections::BTreeMap<_, _> = (0..200).map(who).collect();
    let made = driver.said::<DecisionMade>().unwrap();
    let of = |group: Group| made.iter().map(|(_, made)| made).filter(move |made| made.group == group);
    let right = |made: &&DecisionMade| made.arm.as_ref().map(|arm| arm.channel) == people.get(&made.profile).copied();
    let (all, right) = (of(Group::Policy).count(), of(Group::Policy).filter(right).count());
    assert!(right * 100 >= all * 85, "{right} of {all}");
    // Chance looks at nobody's answers.
    assert!(made.iter().all(|(_, made)| made.group == group_of(made.profile)));
    assert!(of(Group::Random).count() > 5 && of(Group::Random).all(|made| made.propensity == 0.25));
}

#[test]
fn two_profiles_that_become_one_keep_their_decisions_and_an_order_counts_once_for_each() {
    for workers in [1, 3] {
        let mut driver = shop(workers);
        driver.say(goal("more")).unwrap();
        driver.settle().unwrap();
        visit(&mut driver, 0..30);
        let now_ms = driver.now_ms();
        // Each odd one is the even one before it.
        let joined = (0..15_usize).map(|place| {
            let (other, user) = (format!("user-{}", place * 2 + 1), format!("user-{}", place * 2));
            event(EventKind::Alias, &format!("alias-{place}"), now_ms).user(&user).previous(&other)
        });
        send(&mut driver, joined.collect::<Vec<_>>());
        driver.advance_to(now_ms + DAY_MS).unwrap();
        let (again_ms, properties) = (driver.now_ms(), json!({"order_id": "1", "revenue": 10, "currency": "USD"}));
        send(&mut driver, [track("Order Completed", "user-1", "order", again_ms, &properties)]);
        driver.advance_to(again_ms + 5 * DAY_MS).unwrap();
        let rewards = driver.said::<RewardObserved>().unwrap();
        let mut ids: Vec<_> = rewards.iter().map(|(_, reward)| reward.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), rewards.len()), (30, 30), "each decision comes to something once");
        let conversions: u32 = rewards.iter().map(|(_, reward)| reward.outcome.conversions).sum();
        let revenue: i64 = rewards.iter().map(|(_, reward)| reward.outcome.revenue_micros).sum();
        assert_eq!((conversions, revenue), (1, 10_000_000), "to the latest decision alone");
    }
}

#[test]
fn who_was_overdue_while_nobody_was_at_work_is_due_once() {
    let journal = journal();
    let troupe = || casting(2).agent_with_workers(OpenGate, 2);
    let mut before = driver(&journal, troupe());
    before.say(goal("more")).unwrap();
    before.settle().unwrap();
    visit(&mut before, 0..50);
    let now_ms = before.now_ms();
    assert_eq!(before.said::<DecisionMade>().unwrap().len(), 50);
    before.stop().unwrap();
    // Ten days later: one decision each is due, not one for each week, and every window is over.
    let mut after = Driver::start(journal, troupe(), [7; 32], now_ms + 10 * DAY_MS).unwrap();
    after.settle().unwrap();
    assert_eq!(after.said::<DecisionMade>().unwrap().len(), 100);
    let of_first = |reward: &RewardObserved| reward.decided_ms < now_ms + DAY_MS;
    let rewards = after.said::<RewardObserved>().unwrap();
    assert_eq!(rewards.iter().filter(|(_, reward)| of_first(reward)).count(), 50);
}
