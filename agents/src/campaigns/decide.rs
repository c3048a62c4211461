//! One decision. Pure: the campaign as it stands, what is asked, the instant, and a draw of the decision's own.

use impresario_runtime::RunSeed;
use rand_chacha::ChaCha8Rng;

use super::{
    Autonomy, Plan, Strategy,
    bounds::wanted,
    choose::{Candidates, chance, draw, evenly},
    moments::PersonClock,
    state::Campaign,
};
use crate::{
    models::policy::{Choice, PolicyError},
    vocabulary::{DecisionMade, DecisionRequested, Group, Millis, Refusal, Reserved},
};

/// An arm that may be chosen: its number, when it would be done, what it takes of the bounds.
struct Eligible {
    arm: u16,
    at_ms: Millis,
    wanted: Reserved,
}

fn refusal(guard: &str, why: impl Into<Box<str>>) -> Refusal {
    Refusal { guard: guard.into(), why: why.into() }
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
    for (number, arm) in plan.standing_arms() {
        let Some(verdict) = asked.channels.iter().find(|verdict| verdict.channel == arm.channel) else { continue };
        let Some(at_ms) = clock.moment(arm, verdict, now_ms) else {
            // That a channel has no address tells least: what another one lacks goes before it.
            if refused.as_ref().is_none_or(|known: &Refusal| &*known.guard == "address" && verdict.refused.is_some()) {
                refused = verdict.refused.clone();
            }
            continue;
        };
        let wanted = wanted(plan, arm.channel, arm.offer.as_deref(), asked.reached_before);
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
pub(super) fn decide(
    campaign: &mut Campaign,
    asked: &DecisionRequested,
    now_ms: Millis,
    seed: &RunSeed,
) -> DecisionMade {
    let model = campaign.model_hash();
    let campaign = &*campaign;
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
        model: model.clone(),
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
    let choice = choose(campaign, plan, asked, &numbers, &mut chance(seed, asked.id));
    let Choice { chosen, propensity, candidates, explored } = match choice {
        Ok(choice) => choice,
        // What can't be looked at is not guessed at: nothing is done, and it can be seen why.
        Err(why) => return nothing(refusal("model", why.to_string())),
    };
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
        explored,
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

/// Chooses among the arms that may be chosen, and nothing.
fn choose(
    campaign: &Campaign,
    plan: &Plan,
    asked: &DecisionRequested,
    eligible: &[u16],
    rng: &mut ChaCha8Rng,
) -> Result<Choice, PolicyError> {
    let drawn = |candidates: Candidates, rng: &mut ChaCha8Rng| {
        let (chosen, propensity) = draw(&candidates, rng);
        Choice { chosen, propensity, candidates, explored: true }
    };
    let always = |arm: u16| {
        let chosen = if eligible.contains(&arm) { arm } else { 0 };
        Choice { chosen, propensity: 1.0, candidates: vec![(chosen, 1.0)], explored: false }
    };
    if asked.group == Group::Random {
        return Ok(drawn(evenly(eligible), rng));
    }
    match plan.strategy {
        Strategy::Uniform => Ok(drawn(evenly(eligible), rng)),
        Strategy::Fixed(arm) => Ok(always(arm)),
        Strategy::AbThenCommit { rewards } => Ok(match campaign.best_of_test(rewards) {
            Some(arm) => always(arm),
            None => drawn(evenly(eligible), rng),
        }),
        Strategy::Learn => {
            let with_nothing: Vec<u16> = std::iter::once(0).chain(eligible.iter().copied()).collect();
            let policy = campaign.policy.as_ref().ok_or(PolicyError::Size)?;
            policy.decide(&asked.features, &with_nothing, plan.exploration_floor, rng)
        }
    }
}
