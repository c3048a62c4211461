//! Proposals: answered once, void where anything has changed, expired in time (R21, R22).

use impresario_agents::{
    campaigns::{Autonomy, CampaignEnded, CampaignStarted},
    goals::{
        GoalEnded, GoalSet, GoalState, Goals, PROPOSAL_LASTS_MS, PlanProposed, ProposalAnswered, ProposalClosed,
        ProposalOutcome,
    },
    vocabulary::{
        Channel, DAY_MS, DecisionMade, MessageSent, ReceiptCame, ReceiptKind, SendingResumed, SendingStopped,
        SituationDetected, SituationOf,
    },
};
use impresario_runtime::Driver;
use proptest::{prelude::*, test_runner::TestRunner};

use super::play::{goal, shop, visit};

fn asking(id: &str) -> GoalSet {
    let mut set = goal(id);
    set.goal.autonomy = Autonomy::Recommend;
    set.goal.blast_radius = None;
    set
}

fn answer(number: u32, approved: bool) -> ProposalAnswered {
    ProposalAnswered { goal: "more".into(), number, approved, by: "ops".into(), reason: "looks right".into() }
}

fn state(driver: &mut Driver) -> GoalState {
    let key = "more".to_owned();
    driver.read::<Goals, _>(&key, |reading| reading.get(&key).unwrap().cloned()).unwrap().unwrap()
}

fn outcomes(driver: &Driver) -> Vec<(u32, ProposalOutcome)> {
    driver.said::<ProposalClosed>().unwrap().into_iter().map(|(_, closed)| (closed.number, closed.outcome)).collect()
}

#[test]
fn nothing_starts_before_somebody_approves_it_and_one_answer_counts() {
    let mut driver = shop(2);
    visit(&mut driver, 0..20);
    driver.say(asking("more")).unwrap();
    driver.settle().unwrap();
    let proposed = driver.said::<PlanProposed>().unwrap();
    let (_, proposed) = proposed.first().unwrap();
    assert_eq!((proposed.number, proposed.audience, proposed.blast_radius.people), (1, 20, 22));
    assert!(proposed.diff.iter().all(|change| change.from.is_null()), "nothing runs that could be changed");
    assert!(driver.said::<DecisionMade>().unwrap().is_empty());
    driver.say(answer(1, true)).unwrap();
    driver.say(answer(1, false)).unwrap();
    driver.settle().unwrap();
    assert_eq!(outcomes(&driver), [(1, ProposalOutcome::Approved)]);
    assert_eq!(driver.said::<DecisionMade>().unwrap().len(), 20);
    assert!(state(&mut driver).running.is_some());
}

#[test]
fn a_proposal_expires_and_a_changed_goal_makes_it_void() {
    let mut driver = shop(1);
    visit(&mut driver, 0..5);
    driver.say(asking("more")).unwrap();
    driver.settle().unwrap();
    driver.advance_to(driver.now_ms() + PROPOSAL_LASTS_MS + 1).unwrap();
    driver.say(answer(1, true)).unwrap();
    driver.settle().unwrap();
    assert_eq!(outcomes(&driver), [(1, ProposalOutcome::Expired)]);
    let mut changed = asking("more");
    changed.goal.templates.pop();
    driver.say(changed).unwrap();
    driver.settle().unwrap();
    driver.say(asking("more")).unwrap();
    driver.say(answer(2, true)).unwrap();
    driver.settle().unwrap();
    assert_eq!(outcomes(&driver), [(1, ProposalOutcome::Expired), (2, ProposalOutcome::Void)]);
    assert!(driver.said::<CampaignStarted>().unwrap().is_empty());
}

#[test]
fn an_audience_that_grew_by_more_than_a_tenth_stops_what_runs_until_it_is_approved_again() {
    let mut driver = shop(1);
    visit(&mut driver, 0..20);
    driver.say(asking("more")).unwrap();
    driver.settle().unwrap();
    driver.say(answer(1, true)).unwrap();
    driver.settle().unwrap();
    visit(&mut driver, 20..22);
    assert!(driver.said::<SendingStopped>().unwrap().is_empty(), "a tenth more is what was approved");
    visit(&mut driver, 22..23);
    let stopped = driver.said::<SendingStopped>().unwrap();
    assert_eq!(stopped.len(), 1);
    assert!(stopped[0].1.why.contains("23 people; 22 were approved"), "{}", stopped[0].1.why);
    visit(&mut driver, 23..30);
    // Whoever resumes it does not approve it.
    let scope = stopped[0].1.scope.clone();
    driver.say(SendingResumed { scope, by: "ops".into() }).unwrap();
    driver.settle().unwrap();
    driver.advance_to(driver.now_ms() + DAY_MS).unwrap();
    let reached = |driver: &Driver| {
        let made = driver.said::<DecisionMade>().unwrap();
        let sent = made.iter().filter(|(_, made)| made.arm.is_some());
        let mut who: Vec<_> = sent.map(|(_, made)| made.profile).collect();
        who.sort();
        who.dedup();
        who.len()
    };
    assert!(reached(&driver) <= 22);
    assert!(state(&mut driver).paused.is_some());
    driver.say(asking("more")).unwrap();
    driver.settle().unwrap();
    let last = driver.said::<PlanProposed>().unwrap().pop().unwrap().1;
    assert_eq!(last.audience, 30);
    driver.say(answer(last.number, true)).unwrap();
    driver.settle().unwrap();
    assert!(state(&mut driver).paused.is_none());
    driver.advance_to(driver.now_ms() + 8 * DAY_MS).unwrap();
    assert!(reached(&driver) > 22);
}

#[test]
fn a_surge_of_complaints_takes_a_campaigns_autonomy_away_at_once() {
    let mut driver = shop(1);
    driver.say(goal("more")).unwrap();
    driver.settle().unwrap();
    let surge = SituationDetected {
        id: "s".into(),
        kind: "complaint_surge".into(),
        of: SituationOf::Channel(Channel::Sms),
        since_ms: 0,
        context: serde_json::Value::Null,
        because: "9 of 100".into(),
    };
    driver.say(surge).unwrap();
    driver.settle().unwrap();
    assert!(state(&mut driver).paused.is_some());
    visit(&mut driver, 0..5);
    assert!(driver.said::<DecisionMade>().unwrap().iter().all(|(_, made)| made.arm.is_none()));
}

#[test]
fn a_broken_guardrail_stops_a_campaign_at_once_until_somebody_resumes_it() {
    let mut driver = shop(1);
    let mut set = goal("more");
    set.goal.guardrails.unsubscribe_rate_max = Some(0.02);
    driver.say(set).unwrap();
    driver.settle().unwrap();
    visit(&mut driver, 0..200);
    let sent = driver.said::<MessageSent>().unwrap();
    assert!(sent.len() > 50);
    for (place, (_, sent)) in sent.iter().take(20).enumerate() {
        let receipt = ReceiptCame {
            id: sent.id,
            profile: sent.profile,
            campaign: sent.campaign.clone(),
            channel: sent.channel,
            kind: ReceiptKind::Unsubscribed,
            machine: false,
        };
        driver.say(receipt).unwrap();
        driver.settle().unwrap();
        if !driver.said::<SendingStopped>().unwrap().is_empty() {
            assert!(place > 2, "two or three of so many may be chance");
            assert!(state(&mut driver).paused.unwrap().why.contains("unsubscriptions"));
            return;
        }
    }
    panic!("the guardrail held nothing");
}

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    Set(usize),
    Answer(u32, bool),
    End,
    Visit(usize),
    Wait(i64),
    Settle,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        2 => (1_usize..3).prop_map(Next::Set),
        5 => (1_u32..6, any::<bool>()).prop_map(|(number, approved)| Next::Answer(number, approved)),
        1 => Just(Next::End),
        2 => (1_usize..6).prop_map(Next::Visit),
        1 => (0_i64..8).prop_map(Next::Wait),
        4 => Just(Next::Settle),
    ]
}

/// What the journal says must hold of every start: it is the very plan that was looked at and approved, in time,
/// and by an approval that came after the last change of the goal.
fn check(driver: &Driver) -> Result<(), TestCaseError> {
    let (starts, proposals) = (driver.said::<CampaignStarted>().unwrap(), driver.said::<PlanProposed>().unwrap());
    let closed = driver.said::<ProposalClosed>().unwrap();
    let approved: Vec<_> = closed.iter().filter(|(_, closed)| closed.outcome == ProposalOutcome::Approved).collect();
    prop_assert_eq!(starts.len(), approved.len(), "every start has its approval");
    let templates: Vec<_> = driver.said::<GoalSet>().unwrap().into_iter().map(|(_, set)| set.goal.templates).collect();
    for ((at_ms, start), (_, closed)) in starts.iter().zip(approved) {
        let (_, proposed) = proposals.iter().find(|(_, proposed)| proposed.number == closed.number).unwrap();
        prop_assert_eq!(&start.plan, &proposed.plan, "what was looked at starts, and nothing else");
        prop_assert!(*at_ms < proposed.expires_at_ms);
        prop_assert!(templates.len() <= 20);
    }
    let mut numbers: Vec<_> = closed.iter().map(|(_, closed)| closed.number).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    prop_assert_eq!(numbers.len(), all, "a proposal is closed once");
    Ok(())
}

fn interleavings(cases: u32) {
    let mut runner = TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    let ran = runner.run(&proptest::collection::vec(next(), 1..40), |steps| {
        let mut driver = shop(1);
        let (mut people, mut standing, mut sets) = (0, false, 0);
        for step in steps {
            match step {
                Next::Set(templates) if sets < 20 => {
                    let mut set = asking("more");
                    set.goal.templates.truncate(templates);
                    (standing, sets) = (true, sets + 1);
                    driver.say(set).unwrap();
                }
                Next::Set(_) => {}
                Next::Answer(number, approved) => drop(driver.say(answer(number, approved)).unwrap()),
                Next::End if standing => {
                    standing = false;
                    driver.say(GoalEnded { id: "more".into() }).unwrap();
                }
                Next::End => {}
                Next::Visit(more) => {
                    visit(&mut driver, people..people + more);
                    people += more;
                }
                Next::Wait(days) => driver.advance_to(driver.now_ms() + days * DAY_MS).unwrap(),
                Next::Settle => driver.settle().unwrap(),
            }
        }
        driver.settle().unwrap();
        check(&driver)?;
        let (starts, ends) = (driver.said::<CampaignStarted>().unwrap(), driver.said::<CampaignEnded>().unwrap());
        prop_assert!(ends.len() <= starts.len());
        // Nobody is written to by a plan that never started.
        let made = driver.said::<DecisionMade>().unwrap();
        prop_assert!(!starts.is_empty() || made.is_empty());
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn a_hundred_interleavings_of_answers_and_changes_leak_nothing() {
    interleavings(100);
}

#[test]
#[ignore = "a thousand interleavings: cargo full r21"]
fn r21_a_thousand_interleavings_of_answers_and_changes_leak_nothing() {
    interleavings(1_000);
}
