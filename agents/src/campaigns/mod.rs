//! Campaigns: what a goal is compiled to, who is due for a decision, which arm it is, and what it came to.
//!
//! [`Enrolment`] (a state a person) says who is due and, at the end of a decision's window, what it came to.
//! [`Campaigns`] (a state a campaign) decides inside the campaign's bounds and learns. [`Decisions`] (a state a
//! decision) knows where each is on the journal and settles what it took of the bounds.

mod agent;
mod bounds;
mod choose;
mod decide;
mod decisions;
pub mod enrolment;
pub mod features;
mod moments;
mod state;
mod topics;

pub use agent::Campaigns;
pub use bounds::{Bounds, cost_of};
pub use decisions::{DecisionRecord, DecisionSettled, Decisions};
pub use enrolment::Enrolment;
pub use state::{Campaign, Stop, Tally};
pub use topics::{
    Autonomy, Budget, CampaignEnded, CampaignStarted, DecisionWanted, Plan, PlanTrigger, RewardSpec, SpendAnswered,
    SpendAsked, SpendSettled, Strategy,
};
