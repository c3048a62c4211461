//! The troupe: the vocabulary the agents share and the agents themselves.

pub mod goals;
pub mod profiles;
pub mod rhythm;
pub mod segmentation;
pub mod vocabulary;

use impresario_runtime::Troupe;

/// All agents, each keyed one with `workers` workers.
pub fn troupe(workers: usize) -> Troupe {
    Troupe::new().agent_with_workers(profiles::Profiles, workers)
}
