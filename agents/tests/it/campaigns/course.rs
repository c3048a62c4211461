//! A campaign whose goal, or what it sends, is changed while it runs.

use impresario_agents::{
    campaigns::{Autonomy, CampaignEnded, CampaignStarted, Campaigns},
    content::{OfferDefined, OfferRemoved, TemplateDefined},
    goals::{GoalSet, GoalState, Goals, PlanProposed, ProposalAnswered, ProposalClosed, ProposalOutcome},
    vocabulary::{
        Channel, DAY_MS, DecisionMade, MessageId, MessageRefused, Refusal, RewardObserved, SendingResumed,
        SendingStopped, StopScope,
    },
};
use impresario_runtime::Driver;
use serde_json::json;

use super::play::{goal, shop, visit};

fn state(driver: &mut Driver) -> GoalState {
    let key = "more".to_owned();
    driver.read::<Goals, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap()
}

fn set(driver: &mut Driver, set: &GoalSet) {
    driver.say(set.clone()).unwrap();
    driver.settle().unwrap();
}

fn asking() -> GoalSet {
    let mut set = goal("more");
    set.goal.autonomy = Autonomy::Recommend;
    set
}

fn approve(driver: &mut Driver, number: u32) {
    let (by, reason) = ("ops".into(), "looks right".into());
    driver.say(ProposalAnswered { goal: "more".into(), number, approved: true, by, reason }).unwrap();
    driver.settle().unwrap();
}

fn text(id: &str, says: &str) -> TemplateDefined {
    let template = json!({ "name": id, "email": { "subject": says, "text": says }, "sms": { "text": says } });
    TemplateDefined { id: id.into(), template: serde_json::from_value(template).unwrap() }
}

fn started(driver: &Driver) -> Vec<CampaignStarted> {
    driver.said::<CampaignStarted>().unwrap().into_iter().map(|(_, started)| started).collect()
}

#[test]
fn another_name_changes_nothing_of_what_runs_and_another_template_begins_nothing_anew() {
    let mut driver = shop(2);
    visit(&mut driver, 0..20);
    let mut wanted = goal("more");
    set(&mut driver, &wanted);
    driver.advance_to(driver.now_ms() + DAY_MS).unwrap();
    let before = state(&mut driver);
    wanted.goal.name = "Another name".into();
    set(&mut driver, &wanted);
    let after = state(&mut driver);
    assert_eq!(started(&driver).len(), 1);
    assert_eq!((after.running.as_ref().unwrap().since_ms, after.baseline.clone()), {
        (before.running.unwrap().since_ms, before.baseline)
    });
    // The first template goes, another one comes.
    let first = wanted.goal.templates.remove(0);
    wanted.goal.templates.push("newcomer".into());
    set(&mut driver, &wanted);
    let [old, new] = started(&driver).try_into().unwrap();
    assert!(new.revises && !old.revises);
    assert!(new.plan.arms.starts_with(&old.plan.arms), "arms keep their numbers");
    let gone: Vec<_> = (1_u16..).zip(&new.plan.arms).filter(|(_, arm)| arm.template == first).collect();
    assert!(!gone.is_empty());
    assert_eq!(new.plan.retired, gone.into_iter().map(|(number, _)| number).collect::<Vec<_>>());
    assert_eq!(state(&mut driver).running.unwrap().since_ms, after.running.unwrap().since_ms);
    // Rewards of what was decided before come in, and are counted at the arm that was sent.
    driver.advance_to(driver.now_ms() + 30 * DAY_MS).unwrap();
    let rewards = driver.said::<RewardObserved>().unwrap();
    let key = "more".to_owned();
    let campaign = driver.read::<Campaigns, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap();
    for (number, tally) in (0_u16..).zip(&campaign.arms) {
        let own = rewards.iter().filter(|(_, reward)| reward.chosen == number && reward.outcome.sent);
        assert_eq!(tally.sent, own.count() as u64, "arm {number}");
    }
    assert!(new.plan.retired.iter().any(|arm| campaign.arms[usize::from(*arm)].rewarded > 0), "none was tried before");
}

#[test]
fn a_pause_outlives_every_change_but_its_being_resumed() {
    let mut driver = shop(1);
    visit(&mut driver, 0..5);
    let mut wanted = goal("more");
    set(&mut driver, &wanted);
    let scope = StopScope::Campaign("more".into());
    let stop = SendingStopped { scope: scope.clone(), by: "boss".into(), why: "complaints".into() };
    driver.say(stop).unwrap();
    driver.settle().unwrap();
    wanted.goal.name = "Another name".into();
    set(&mut driver, &wanted);
    wanted.goal.templates.pop();
    set(&mut driver, &wanted);
    let mut narrower = asking();
    narrower.goal.templates.pop();
    set(&mut driver, &narrower);
    let open = state(&mut driver).open_proposal().unwrap().proposed.number;
    approve(&mut driver, open);
    assert!(state(&mut driver).running.is_some());
    assert_eq!(&*state(&mut driver).paused.unwrap().why, "complaints");
    assert!(driver.said::<SendingResumed>().unwrap().is_empty());
    driver.say(SendingResumed { scope, by: "boss".into() }).unwrap();
    driver.settle().unwrap();
    assert!(state(&mut driver).paused.is_none());
}

#[test]
fn what_is_sent_is_what_was_approved() {
    let mut driver = shop(2);
    visit(&mut driver, 0..5);
    driver.say(text("hello", "Hello")).unwrap();
    let mut wanted = asking();
    wanted.goal.templates = vec!["hello".into()];
    set(&mut driver, &wanted);
    // Changed while the proposal waits: it is void, and what it has become is proposed.
    driver.say(text("hello", "Buy now")).unwrap();
    driver.settle().unwrap();
    approve(&mut driver, 1);
    let closed = driver.said::<ProposalClosed>().unwrap();
    assert_eq!(closed.iter().map(|(_, closed)| closed.outcome).collect::<Vec<_>>(), [ProposalOutcome::Void]);
    assert!(started(&driver).is_empty());
    let proposed = driver.said::<PlanProposed>().unwrap();
    assert_eq!(proposed.last().unwrap().1.number, 2);
    // Defined again as it is, it has not changed.
    driver.say(text("hello", "Buy now")).unwrap();
    driver.settle().unwrap();
    approve(&mut driver, 2);
    assert_eq!(started(&driver).len(), 1);
    // Changed while it runs: it is stopped until what it has become is approved.
    driver.say(text("hello", "Buy two")).unwrap();
    driver.settle().unwrap();
    assert!(state(&mut driver).paused.is_some_and(|paused| paused.outgrown));
    assert_eq!(driver.said::<SendingStopped>().unwrap().len(), 1);
    approve(&mut driver, 3);
    assert!(state(&mut driver).paused.is_none());
    assert_eq!(started(&driver).len(), 2);
    // What is none of its business does not concern it.
    driver.say(text("other", "Else")).unwrap();
    driver.settle().unwrap();
    assert_eq!(driver.said::<PlanProposed>().unwrap().len(), 3);
}

/// The newest proposal.
fn newest(driver: &Driver) -> u32 {
    driver.said::<PlanProposed>().unwrap().pop().unwrap().1.number
}

#[test]
fn whoever_resumes_or_sets_it_again_does_not_approve_what_it_has_become() {
    let resumed = || SendingResumed { scope: StopScope::Campaign("more".into()), by: "boss".into() };
    // The text was changed, or more people have come.
    for text_changes in [true, false] {
        let mut driver = shop(1);
        visit(&mut driver, 0..10);
        driver.say(text("hello", "Hello")).unwrap();
        let mut wanted = asking();
        wanted.goal.templates = vec!["hello".into()];
        set(&mut driver, &wanted);
        approve(&mut driver, 1);
        // It is paused already when it changes.
        let (scope, by) = (StopScope::Campaign("more".into()), "boss".into());
        driver.say(SendingStopped { scope, by, why: "a look".into() }).unwrap();
        match text_changes {
            true => drop(driver.say(text("hello", "Buy now")).unwrap()),
            false => visit(&mut driver, 10..15),
        }
        driver.settle().unwrap();
        driver.say(resumed()).unwrap();
        driver.settle().unwrap();
        assert!(state(&mut driver).paused.is_some_and(|paused| paused.outgrown), "{text_changes}");
        // The goal set again as it is closes what was proposed, and it is proposed again.
        set(&mut driver, &wanted);
        assert!(state(&mut driver).paused.is_some_and(|paused| paused.outgrown), "{text_changes}");
        assert!(state(&mut driver).open_proposal().is_some(), "{text_changes}");
        let number = newest(&driver);
        approve(&mut driver, number);
        assert!(state(&mut driver).paused.is_none(), "{text_changes}");
    }
}

#[test]
fn an_approval_and_a_change_that_cross_each_other_start_nothing_that_was_not_looked_at() {
    for workers in 1..4 {
        let mut driver = shop(workers);
        visit(&mut driver, 0..5);
        driver.say(text("hello", "Hello")).unwrap();
        let mut wanted = asking();
        wanted.goal.templates = vec!["hello".into()];
        set(&mut driver, &wanted);
        driver.say(text("hello", "Buy now")).unwrap();
        approve(&mut driver, 1);
        assert!(started(&driver).is_empty(), "{workers} workers");
    }
}

#[test]
fn an_autonomous_goal_goes_on_with_what_its_offers_are_now() {
    let mut driver = shop(1);
    visit(&mut driver, 0..5);
    let offer = |amount: f64| {
        let offer = json!({ "name": "Off", "amount": amount, "currency": "USD" });
        OfferDefined { id: "off".into(), offer: serde_json::from_value(offer).unwrap() }
    };
    driver.say(offer(5.0)).unwrap();
    let mut wanted = goal("more");
    (wanted.goal.offers, wanted.goal.discounts) = (vec!["off".into()], Default::default());
    wanted.goal.budget.discount_micros = Some(1_000_000_000);
    set(&mut driver, &wanted);
    driver.say(offer(90.0)).unwrap();
    driver.settle().unwrap();
    let plans = started(&driver);
    let most: Vec<_> = plans.iter().map(|started| started.plan.discounts_micros[0].1).collect();
    assert_eq!(most, [5_000_000, 90_000_000]);
    assert!(plans[1].revises);
    driver.say(OfferRemoved { id: "off".into() }).unwrap();
    driver.settle().unwrap();
    let last = started(&driver).pop().unwrap().plan;
    assert_eq!(last.standing_arms().count(), 0, "an offer that nobody bounds can't be kept to a budget");
    assert!(driver.said::<CampaignEnded>().unwrap().is_empty());
}

#[test]
fn what_was_approved_is_who_was_in_it_and_a_tenth_whatever_the_blast_radius() {
    let mut driver = shop(1);
    visit(&mut driver, 0..10);
    let mut wanted = asking();
    wanted.goal.blast_radius = Some(1_000);
    set(&mut driver, &wanted);
    approve(&mut driver, 1);
    visit(&mut driver, 10..11);
    assert!(state(&mut driver).paused.is_none());
    visit(&mut driver, 11..12);
    assert!(state(&mut driver).paused.is_some_and(|paused| paused.outgrown));
}

#[test]
fn whoever_lost_their_turn_to_a_passing_state_of_the_campaign_is_due_again_soon() {
    for (guard, again) in [("autonomy", 1), ("stopped", 1), ("consent", 0)] {
        let mut driver = shop(1);
        visit(&mut driver, 0..20);
        set(&mut driver, &goal("more"));
        let decided = |driver: &Driver| driver.said::<DecisionMade>().unwrap();
        let (_, made) = decided(&driver).into_iter().find(|(_, made)| made.arm.is_some()).unwrap();
        let by = Refusal { guard: guard.into(), why: "test".into() };
        let refused = MessageRefused {
            id: MessageId::of_decision(made.id),
            profile: made.profile,
            campaign: Some("more".into()),
            decision: Some(made.id),
            channel: Channel::Email,
            by,
        };
        driver.say(refused).unwrap();
        driver.settle().unwrap();
        assert_eq!(decided(&driver).len(), 20);
        driver.advance_to(driver.now_ms() + DAY_MS / 12).unwrap();
        let later = decided(&driver).into_iter().skip(20).map(|(_, made)| made.profile);
        assert_eq!(later.collect::<Vec<_>>(), vec![made.profile; again], "{guard}");
    }
}
