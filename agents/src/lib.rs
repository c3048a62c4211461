//! The troupe: the vocabulary the agents share and the agents themselves.

pub mod analytics;
pub mod campaigns;
pub mod content;
pub mod crm;
pub mod gate;
pub mod goals;
pub mod holdout;
pub mod identity;
pub mod journeys;
pub mod messaging;
pub mod models;
mod packing;
mod parting;
pub mod profiles;
pub mod rhythm;
pub mod segmentation;
pub mod situation;
pub mod suppression;
pub mod vocabulary;

use impresario_runtime::Troupe;

/// Puts a troupe together; those of its agents that keep something of every person get so many workers.
/// [`troupe`] is the one of this crate; a program with agents of its own has another.
pub type Casting = fn(workers: usize) -> Troupe;

/// All agents; those that keep something of every person share the people among `workers` workers.
pub fn troupe(workers: usize) -> Troupe {
    Troupe::new()
        .agent_with_workers(profiles::Profiles, workers)
        .agent(identity::Identity)
        .agent(identity::Quarantine)
        .agent(profiles::Accounts)
        .agent_with_workers(segmentation::Segmentation, workers)
        .agent(segmentation::SegmentSizes)
        .agent(rhythm::Rhythm)
        .agent(goals::Goals)
        .agent_with_workers(campaigns::Enrolment, workers)
        .agent(campaigns::Campaigns)
        .agent(campaigns::Decisions)
        .agent_with_workers(analytics::Outcomes, workers)
        .agent(analytics::Analytics)
        .job::<analytics::BaselineWanted>()
        .agent_with_workers(situation::Situations, workers)
        .agent(situation::IntentLearner)
        .agent(situation::ChannelWatch)
        .agent_with_workers(journeys::Journeys, workers)
        .agent(journeys::JourneyCounts)
        .agent_with_workers(crm::Crm, workers)
        .agent(suppression::Suppressions)
        .agent(content::Library)
        .agent_with_workers(messaging::Messaging, workers)
}
