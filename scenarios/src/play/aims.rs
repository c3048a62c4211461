//! Goals and their proposals, as they stand.

use impresario_agents::goals::{GoalState, Goals, ProposalAnswered, ProposalOutcome};
use impresario_runtime::{Driver, RuntimeError};

use super::world;
use crate::model::{ExpectGoal, ExpectProposal};

fn state(driver: &mut Driver, goal: &str) -> Result<Option<GoalState>, RuntimeError> {
    let key = goal.to_owned();
    let read = driver.read::<Goals, _>(&key, |reading| reading.get(&key).map(Option::<&GoalState>::cloned))?;
    read.map_err(world::unread)
}

/// The answer to a goal's newest proposal, open or not; `None` where there is none.
pub(super) fn answer(
    driver: &mut Driver,
    goal: &str,
    approved: bool,
    why: &str,
) -> Result<Option<ProposalAnswered>, RuntimeError> {
    let newest = state(driver, goal)?.and_then(|state| Some(state.proposals.last()?.proposed.number));
    let (by, reason) = ("operator".into(), why.into());
    Ok(newest.map(|number| ProposalAnswered { goal: goal.into(), number, approved, by, reason }))
}

fn name(outcome: ProposalOutcome) -> &'static str {
    match outcome {
        ProposalOutcome::Open => "open",
        ProposalOutcome::Approved => "approved",
        ProposalOutcome::Rejected => "rejected",
        ProposalOutcome::Expired => "expired",
        ProposalOutcome::Void => "void",
    }
}

pub(super) fn proposal(
    expected: &ExpectProposal,
    driver: &mut Driver,
    wrong: &mut Vec<String>,
) -> Result<(), RuntimeError> {
    let ExpectProposal { goal, outcome, number } = expected;
    let state = state(driver, goal)?.unwrap_or_default();
    let newest = state.proposals.last();
    let is = newest.map_or("none", |proposal| name(proposal.outcome));
    if outcome.as_ref().is_some_and(|wanted| wanted != is) {
        let wanted = outcome.as_deref().unwrap_or_default();
        let why = newest.and_then(|proposal| proposal.why.as_deref()).unwrap_or("nothing was said");
        wrong.push(format!("the proposal of goal `{goal}` is {is}, not {wanted}: {why}"));
    }
    let is = newest.map_or(0, |proposal| proposal.proposed.number);
    if number.is_some_and(|wanted| wanted != is) {
        wrong.push(format!("the newest proposal of goal `{goal}` is number {is}"));
    }
    Ok(())
}

pub(super) fn goal(expected: &ExpectGoal, driver: &mut Driver, wrong: &mut Vec<String>) -> Result<(), RuntimeError> {
    let ExpectGoal { goal, running, paused, reached, at_least, at_most, lifted, ended } = expected;
    let state = state(driver, goal)?.unwrap_or_default();
    let progress = state.progress.as_ref();
    let is_lifted = progress.and_then(|progress| progress.lift).is_some_and(|[_, low, _]| low > 0.0);
    let flags = [
        ("running", running, state.running.is_some()),
        ("paused", paused, state.paused.is_some()),
        ("reached", reached, progress.is_some_and(|progress| progress.reached)),
        ("lifted over its holdout", lifted, is_lifted),
    ];
    for (what, wanted, is) in flags {
        if wanted.is_some_and(|wanted| wanted != is) {
            let not = if is { "" } else { "not " };
            wrong.push(format!("goal `{goal}` is {not}{what}; its progress is {progress:?}"));
        }
    }
    let value = progress.map(|progress| progress.value);
    let low = at_least.is_some_and(|wanted| value.is_none_or(|value| value < wanted));
    let high = at_most.is_some_and(|wanted| value.is_none_or(|value| value > wanted));
    if low || high {
        wrong.push(format!("goal `{goal}` is measured as {value:?}, not {at_least:?} to {at_most:?}"));
    }
    if let Some(wanted) = ended {
        let why = state.campaign_ended.as_ref().map_or("it has not ended", |(why, _)| why);
        if !why.contains(wanted.as_str()) {
            wrong.push(format!("goal `{goal}` ended because of `{wanted}`? {why}"));
        }
    }
    Ok(())
}
