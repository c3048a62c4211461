//! `impresario export`.

use clap::Args;

use super::{CommandError, Common, output::Output};

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {}

/// Runs `export`.
///
/// # Errors
/// As the command says.
pub fn run(_: &Common, _: &ExportArgs, _: &Output) -> Result<(), CommandError> {
    Err(CommandError::Usage("`export` is not part of this build".into()))
}
