//! What is expected of situations, messages, decisions, proposals, goals and journeys, as a file says it.

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use super::{
    events::known,
    messages::{
        ExpectDecisionFile, ExpectGoalFile, ExpectJourneyFile, ExpectMessageFile, ExpectNoMessageFile,
        ExpectProposalFile, ExpectSituationFile, channels, instant,
    },
    people::Cast,
    read_at,
    time::{self, Calendar},
    wrong,
};
use crate::{
    FormatError,
    model::{
        ExpectDecision, ExpectGoal, ExpectJourney, ExpectMessage, ExpectNoMessage, ExpectProposal, ExpectSituation,
    },
};

pub(crate) fn expect_situation(
    file: &ExpectSituationFile,
    cast: &Cast,
    none: bool,
) -> Result<ExpectSituation, FormatError> {
    let who = known(&file.who, cast)?;
    let (kind, context) = (file.kind.clone(), file.context.clone());
    Ok(ExpectSituation { who, kind, resolved: file.resolved, context, none })
}

pub(crate) fn expect_message(
    file: &ExpectMessageFile,
    cast: &Cast,
    calendar: &Calendar,
) -> Result<ExpectMessage, FormatError> {
    Ok(ExpectMessage {
        to: known(&file.to, cast)?,
        channel: channels(&file.channel)?,
        within_ms: file.within.as_ref().map(|within| read_at(within, time::duration_ms)).transpose()?,
        contains: file.contains.as_ref().map(|texts| texts.names().to_vec()).unwrap_or_default(),
        cause: file.cause.clone(),
        at_ms: instant(&file.at, calendar)?,
        since_ms: instant(&file.since, calendar)?,
        template: file.template.clone(),
        offer: file.offer.clone(),
        instead_of: channels(&file.instead_of)?,
        chosen: file.chosen.clone(),
        times: file.times,
    })
}

pub(crate) fn expect_no_message(
    file: &ExpectNoMessageFile,
    cast: &Cast,
    calendar: &Calendar,
) -> Result<ExpectNoMessage, FormatError> {
    Ok(ExpectNoMessage {
        to: known(&file.to, cast)?,
        channel: channels(&file.channel)?,
        since_ms: instant(&file.since, calendar)?,
        because: file.because.clone(),
    })
}

/// A goal that is set up to here.
pub(crate) fn goal(name: &Spanned<String>, goals: &BTreeSet<String>) -> Result<String, FormatError> {
    match goals.contains(&name.value) {
        true => Ok(name.value.clone()),
        false => Err(wrong(name, format!("no goal `{}` is set up to here", name.value))),
    }
}

pub(crate) fn expect_proposal(
    file: &ExpectProposalFile,
    goals: &BTreeSet<String>,
) -> Result<ExpectProposal, FormatError> {
    let ExpectProposalFile { goal, outcome, number } = file;
    Ok(ExpectProposal { goal: self::goal(goal, goals)?, outcome: outcome.clone(), number: *number })
}

pub(crate) fn expect_goal(file: &ExpectGoalFile, goals: &BTreeSet<String>) -> Result<ExpectGoal, FormatError> {
    let ExpectGoalFile { name, running, paused, reached, at_least, at_most, lifted, ended } = file;
    Ok(ExpectGoal {
        goal: goal(name, goals)?,
        running: *running,
        paused: *paused,
        reached: *reached,
        at_least: *at_least,
        at_most: *at_most,
        lifted: *lifted,
        ended: ended.clone(),
    })
}

pub(crate) fn expect_journey(file: &ExpectJourneyFile, cast: &Cast) -> Result<ExpectJourney, FormatError> {
    let ExpectJourneyFile { who, journey, at, ended, times } = file;
    let (journey, at, ended) = (journey.clone(), at.clone(), ended.clone());
    Ok(ExpectJourney { who: known(who, cast)?, journey, at, ended, times: *times })
}

pub(crate) fn expect_decision(file: &ExpectDecisionFile, cast: &Cast) -> Result<ExpectDecision, FormatError> {
    Ok(ExpectDecision {
        who: known(&file.who, cast)?,
        campaign: file.campaign.clone(),
        group: file.group.clone(),
        nothing: file.nothing,
        channel: channels(&file.channel)?,
        template: file.template.clone(),
        offer: file.offer.clone(),
        withheld: file.withheld.clone(),
        times: file.times,
    })
}
