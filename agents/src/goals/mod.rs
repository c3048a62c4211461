//! The goals agent: what an operator wants becomes a segment that serves it, and, where it says what may be
//! done, a plan: proposed to people, or started by itself inside its bounds.
//!
//! One state a goal holds the goal, its audience's size, its proposals and what runs, so an answer to a
//! proposal and a change of what it was about are always in one order. Nothing starts from a proposal but
//! the very plan that was looked at: a goal, a template, an offer or a journey that was changed since, an audience
//! that grew by more than a tenth, or an expiry make it void.

mod agent;
mod compile;
mod content;
mod course;
mod estimate;
mod goal;
mod guard;
mod names;
mod proposal;
mod state;
mod target;
mod topics;

pub use agent::Goals;
pub use compile::{Catalogue, Missing, audience_max, compile, limits, missing, missing_of};
pub use content::Known;
pub use estimate::{blast_radius, difference, expected, target_value};
pub use goal::{Direction, Goal, Guardrails, Metric, NO_OFFER, Target, threshold};
pub use guard::Tripwires;
pub use names::unusable;
pub use proposal::{PROPOSAL_LASTS_MS, PROPOSALS_MAX, Proposal};
pub use state::{GoalState, Paused, Running};
pub use target::target_note;
pub use topics::{
    BlastRadius, BudgetSpent, Difference, Expected, GoalBaseline, GoalEnded, GoalProgress, GoalSet, GoalStopped,
    PlanProposed, ProposalAnswered, ProposalClosed, ProposalOutcome,
};

use crate::segmentation::{DefinitionError, check_id};

/// Checks a goal's id; the rest is checked with the segment it makes.
///
/// # Errors
/// What is wrong.
pub fn check_goal_id(id: &str) -> Result<(), DefinitionError> {
    check_id(id)
}
