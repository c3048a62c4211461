//! `impresario config`: the reference of the configuration, as a file to begin from.

use clap::Args;

use super::{CommandError, Common, output::Output};
use crate::config::reference;

/// The arguments of `config`.
///
/// Prints a configuration file with every key at its default, what it is, what it may be, and the
/// variable that goes before it. A file named with `--config`, and the variables, are checked first.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {}

/// Runs `config`.
///
/// # Errors
/// The file or a variable is not as it should be, by name.
pub fn run(common: &Common, _: &ConfigArgs, output: &Output) -> Result<(), CommandError> {
    common.config()?;
    output.answer(&reference());
    Ok(())
}
