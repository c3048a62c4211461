//! Campaigns: what a goal is compiled to, who is due for a decision, which arm it is, and what it came to.

mod topics;

pub use topics::{
    Autonomy, Budget, CampaignEnded, CampaignStarted, DecisionWanted, Plan, PlanTrigger, RewardSpec, Strategy,
};
