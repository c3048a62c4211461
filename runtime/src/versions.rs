//! States of another version of their agent: folded again from the journal, or refused.

use impresario_store::{Commit, Journal, OUTSIDE};

use crate::{RuntimeError, troupe::AnyAgent};

/// The version of directories that never said one.
const FIRST: u8 = 1;

/// Looks whether what is written of an agent's states is of its version. States of an older one are
/// forgotten: state is a cache of the journal, and its workers fold it again as they start. What was
/// erased from the journal stays forgotten.
///
/// # Errors
/// States of a newer version than this program knows; states of an older one where part of what they were
/// folded from is forgotten with age, unless `from_kept`; the store's error.
pub(crate) fn settle(
    journal: &Journal,
    agent: &dyn AnyAgent,
    workers: usize,
    from_kept: bool,
) -> Result<(), RuntimeError> {
    let (name, known) = (agent.name(), agent.state_version());
    let key = format!("states/{name}");
    let said = journal.meta(&key)?;
    // An agent that has never run on this directory has written nothing.
    let is_new = said.is_none() && journal.known_name(&format!("{name}/0")).is_none();
    let first = if is_new { known } else { FIRST };
    let found = said.as_ref().and_then(|said| said.first().copied()).unwrap_or(first);
    if found > known {
        return Err(RuntimeError::Setup(format!(
            "the states of agent `{name}` have version {found}, this program knows up to {known}; use the program that \
             wrote them, or a newer one"
        )));
    }
    let horizon = journal.horizon();
    if let Some(horizon) = horizon.filter(|_| is_new) {
        let since_ms = horizon.since_ms;
        tracing::warn!(
            agent = name,
            since_ms,
            "a new agent starts from what is kept: what was before is forgotten with age"
        );
    }
    if found < known && horizon.is_some() && !from_kept {
        return Err(RuntimeError::Setup(format!(
            "the states of agent `{name}` have version {found}, this program's have {known}, and part of the journal \
             they were folded from is forgotten with age: folded again, they would lack what came of it. Use the program \
             that wrote them, or set storage.refold = \"from-kept\" to go on with what is kept"
        )));
    }
    if found < known {
        tracing::warn!(agent = name, found, known, "states of an older version are folded again from the journal");
        let names =
            (0..workers).map(|worker| journal.name(&format!("{name}/{worker}"))).collect::<Result<Vec<_>, _>>()?;
        journal.forget_states(journal.name(name)?, &names)?;
    }
    if said.is_none() || found != known {
        let mut commit = Commit::new(OUTSIDE);
        commit.writes.push(Journal::meta_write(&key, &[known]));
        journal.commit_one(journal.last_at().unwrap_or(i64::MIN), commit)?;
    }
    Ok(())
}
