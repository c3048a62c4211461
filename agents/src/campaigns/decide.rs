//! One decision. Pure: the campaign as it stands, what is asked, the instant, and a draw of the decision's own.

use impresario_runtime::RunSeed;

use super::{
    Autonomy, Plan, Strategy,
    bounds::cost_of,
    choose::{Candidates, chance, draw, evenly},
    moments::PersonClock,
    state::Campaign,
};
use crate::vocabulary::{Arm, DecisionMade, DecisionRequested, Group, Millis, Refusal, Reserved};

/// An arm that may be chosen: its number, when it would be done, what it takes of the bounds.
struct Eligible {
    arm: u16,
    at_ms: Millis,
    wanted: Reserved,
}

fn refusal(guard: &str, why: impl Into<Box<str>>) -> Refusal {
    Refusal { guard: guard.into(), why: why.into() }
}

fn wanted(plan: &Plan, arm: &Arm, asked: &DecisionRequested) -> Reserved {
    Reserved {
        messages: 1,
        people: u64::from(!asked.reached_before),
        cost_micros: cost_of(plan, arm.channel),
        discount_micros: 0,
    }
}

/// The arms that may be chosen, or why there is none.
fn eligible(
    campaign: &Campaign,
    plan: &Plan,
    asked: &DecisionRequested,
    now_ms: Millis,
) -> Result<Vec<Eligible>, Refusal> {
    let clock = PersonClock::of(&asked.zone);
    let (mut found, mut refused) = (Vec::new(), None);
    for (arm, number) in plan.arms.iter().zip(1_u16..) {
        let Some(verdict) = asked.channels.iter().find(|verdict| verdict.channel == arm.channel) else { continue };
        let Some(at_ms) = clock.moment(arm, verdict, now_ms) else {
            refused = refused.or_else(|| verdict.refused.clone());
            continue;
        };
        let wanted = wanted(plan, arm, asked);
        match campaign.bounds.fits(plan, &wanted) {
            Ok(()) => found.push(Eligible { arm: number, at_ms, wanted }),
            // What the campaign itself may not do any more goes before what a person's channel may not.
            Err(bound) => refused = Some(bound),
        }
    }
    if found.is_empty() {
        let nothing = || refusal("channel", "no channel may be used, or at none of the plan's hours");
        return Err(refused.unwrap_or_else(nothing));
    }
    Ok(found)
}

/// Decides.
pub(super) fn decide(campaign: &Campaign, asked: &DecisionRequested, now_ms: Millis, seed: &RunSeed) -> DecisionMade {
    let nothing = |withheld: Refusal| DecisionMade {
        id: asked.id,
        campaign: asked.campaign.clone(),
        profile: asked.profile,
        group: asked.group,
        arm: None,
        withheld: Some(withheld),
        chosen: 0,
        propensity: 1.0,
        candidates: vec![(0, 1.0)],
        features: asked.features.clone(),
        model: campaign.model_hash(),
        explored: false,
        plan: campaign.plan_seq,
        at_ms: now_ms,
        context: asked.context.clone(),
        reserved: Reserved::default(),
    };
    let Some(plan) = campaign.running() else {
        return nothing(refusal("stopped", "the campaign does not run"));
    };
    if asked.group == Group::Holdout {
        return nothing(refusal("holdout", "left alone, to measure against"));
    }
    if let Some(stop) = &campaign.stopped {
        return nothing(refusal("stopped", format!("the campaign was stopped: {}", stop.why)));
    }
    let eligible = match eligible(campaign, plan, asked, now_ms) {
        Ok(eligible) => eligible,
        Err(why) => return nothing(why),
    };
    let numbers: Vec<u16> = eligible.iter().map(|eligible| eligible.arm).collect();
    let mut rng = chance(seed, asked.id);
    let (candidates, best) = candidates(campaign, plan, asked, &numbers);
    let (chosen, propensity) = draw(&candidates, &mut rng);
    let choice = eligible.into_iter().find(|eligible| eligible.arm == chosen);
    let observes = plan.autonomy == Autonomy::Observe;
    let made = DecisionMade {
        withheld: choice
            .as_ref()
            .filter(|_| observes)
            .map(|_| refusal("autonomy", "observe: it decides and touches nobody")),
        chosen,
        propensity,
        candidates,
        explored: best.is_some_and(|best| best != chosen),
        ..nothing(refusal("", ""))
    };
    match choice.filter(|_| !observes) {
        Some(Eligible { arm, at_ms, wanted }) => {
            let arm = plan.arms.get(usize::from(arm).wrapping_sub(1)).cloned();
            DecisionMade { arm, at_ms, reserved: wanted, ..made }
        }
        None => made,
    }
}

/// How likely each arm is, and the one that is best as far as is known.
fn candidates(
    campaign: &Campaign,
    plan: &Plan,
    asked: &DecisionRequested,
    eligible: &[u16],
) -> (Candidates, Option<u16>) {
    if asked.group == Group::Random {
        return (evenly(eligible), None);
    }
    match plan.strategy {
        Strategy::Uniform => (evenly(eligible), None),
        Strategy::Fixed(arm) if eligible.contains(&arm) => (vec![(arm, 1.0)], Some(arm)),
        Strategy::Fixed(_) => (vec![(0, 1.0)], Some(0)),
        Strategy::AbThenCommit { rewards } => match campaign.best_of_test(rewards) {
            Some(arm) if eligible.contains(&arm) => (vec![(arm, 1.0)], Some(arm)),
            Some(_) => (vec![(0, 1.0)], Some(0)),
            None => (evenly(eligible), None),
        },
        Strategy::Learn => (evenly(eligible), None),
    }
}
