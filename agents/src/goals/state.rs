//! One goal as it stands.

use std::collections::BTreeSet;

use impresario_runtime::store::{Seq, TimerKey};
use serde::{Deserialize, Serialize};

use super::{Goal, GoalBaseline, GoalProgress, Metric, Proposal, Tripwires};
use crate::{campaigns::Plan, segmentation::Span, vocabulary::Millis};

/// One goal as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GoalState {
    /// What is wanted; `None` once it has ended.
    pub goal: Option<Goal>,
    /// When it was set, milliseconds since 1970 UTC.
    pub set_at_ms: Millis,
    /// When it ended.
    pub ended_at_ms: Option<Millis>,
    /// The place of the [`GoalSet`](super::GoalSet) that stands.
    pub version: Seq,
    /// People in its audience now.
    pub audience: u64,
    /// The place of the audience's definition, and the workers that have looked at everybody for it.
    pub(super) filling: Option<(Seq, BTreeSet<u16>)>,
    /// Proposals made so far.
    pub(super) numbers: u32,
    /// The newest proposals, oldest first.
    pub proposals: Vec<Proposal>,
    /// What is in force.
    pub running: Option<Running>,
    /// Why nothing is sent though a plan is in force.
    pub paused: Option<Paused>,
    /// What its campaign's messages came to.
    pub tripwires: Tripwires,
    /// Why its last campaign ended, and when.
    pub campaign_ended: Option<(Box<str>, Millis)>,
    /// The metric when the campaign began.
    pub baseline: Option<GoalBaseline>,
    /// The metric as last measured.
    pub progress: Option<GoalProgress>,
}

/// A plan in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The plan.
    pub plan: Plan,
    /// The goal's version it was compiled from.
    pub version: Seq,
    /// The proposal it was; none where it started by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<u32>,
    /// Most people the audience may have; none where the plan's blast radius alone binds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_max: Option<u64>,
    /// Since when the campaign runs.
    pub since_ms: Millis,
    /// What it is measured by, and over which horizon: another one begins another measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<(Metric, Option<Span>)>,
    /// The timer of its horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) horizon: Option<TimerKey>,
}

/// Sending for a goal is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who stopped it.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
    /// When.
    pub at_ms: Millis,
    /// What runs is not what was approved any more: approving what it is now lifts this. Anything else somebody must
    /// resume.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outgrown: bool,
}

impl GoalState {
    /// Whether the audience of the goal as it stands is filled from the past.
    pub fn is_filled(&self) -> bool {
        self.filling.is_none()
    }

    /// Whether there is such a goal, or was.
    pub fn is_known(&self) -> bool {
        self.goal.is_some() || self.ended_at_ms.is_some()
    }

    /// The proposal that waits for an answer.
    pub fn open_proposal(&self) -> Option<&Proposal> {
        self.proposals.iter().rev().find(|proposal| proposal.is_open())
    }
}
