//! From a goal to what its decisions came to.

use impresario_agents::{
    campaigns::{CampaignStarted, Campaigns},
    goals::Goals,
    vocabulary::{DAY_MS, DecisionMade, Group, RewardObserved},
};
use serde_json::json;

use super::play::{goal, shop, visit};
use crate::support::{send, track};

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
