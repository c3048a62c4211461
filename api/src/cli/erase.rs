//! `impresario erase`: forgets one person, with the server stopped.

use std::fmt;

use clap::Args;
use impresario_agents::vocabulary::ProfileId;
use serde::Serialize;

use super::{CommandError, Common, existing, export::at_rest, output::Output};

/// The arguments of `erase`.
#[derive(Args, Clone, Debug)]
pub struct EraseArgs {
    /// Who: `p_` and sixteen digits, or a kind and an identifier, e.g. `user_id:42` or `email:anna@example.test`
    pub person: String,
}

#[derive(Debug, Serialize)]
struct Report {
    profile: String,
    entries_erased: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is forgotten, {} entries are erased; `impresario compact` takes what the files still hold of them",
            self.profile, self.entries_erased
        )
    }
}

/// Runs `erase`.
///
/// # Errors
/// There is no such directory, nobody has this identifier, or the directory's error.
pub fn run(common: &Common, args: &EraseArgs, output: &Output) -> Result<(), CommandError> {
    let directory = existing(common)?;
    let mut driver = at_rest(common, &directory)?;
    let person = super::export::person(&mut driver, &args.person)?;
    driver.erase(person.into())?;
    driver.settle()?;
    let status = driver.erasure(person.into())?.filter(|status| status.done_ms.is_some());
    let status = status.ok_or_else(|| CommandError::No("the erasure was asked for and is not done".into()))?;
    driver.stop()?;
    directory.journal.close()?;
    output.answer(&Report {
        profile: ProfileId(status.person.0).to_string(),
        entries_erased: status.entries.unwrap_or_default(),
    });
    Ok(())
}
