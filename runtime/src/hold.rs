//! Holding an agent: an operator's word, on record, that outlives the process.

use impresario_store::{Commit, Durability, Journal, OUTSIDE, RequestKey, StoreError};
use serde::{Deserialize, Serialize};

use crate::{Topic, new_entry};

/// An operator holds an agent: it folds nothing until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHeld {
    /// The agent.
    pub agent: String,
    /// Who says so, e.g. the id of a key.
    pub by: String,
}

impl Topic for AgentHeld {
    const NAME: &'static str = "agent.held";
}

/// An operator lets an agent go on, also one that was suspended for its failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentResumed {
    /// The agent.
    pub agent: String,
    /// Who says so.
    pub by: String,
}

impl Topic for AgentResumed {
    const NAME: &'static str = "agent.resumed";
}

fn meta(agent: &str) -> String {
    format!("held/{agent}")
}

/// Whether an agent was held when the directory was last open.
pub(crate) fn is_held(journal: &Journal, agent: &str) -> Result<bool, StoreError> {
    Ok(journal.meta(&meta(agent))?.is_some_and(|stored| stored.first() == Some(&1)))
}

/// The commit that keeps it, with what was said as an entry.
pub(crate) fn commit(
    journal: &Journal,
    agent: &str,
    by: &str,
    held: bool,
    request: Option<RequestKey>,
) -> Result<Commit, StoreError> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.request = request;
    let (agent, by) = (agent.to_owned(), by.to_owned());
    commit.writes.push(Journal::meta_write(&meta(&agent), &[u8::from(held)]));
    commit.entries.push(match held {
        true => new_entry(journal, 0, AgentHeld { agent, by })?,
        false => new_entry(journal, 0, AgentResumed { agent, by })?,
    });
    Ok(commit)
}
