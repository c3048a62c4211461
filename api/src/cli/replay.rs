//! `impresario replay`.

use clap::Args;

use super::{CommandError, Common, output::Output};

/// The arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {}

/// Runs `replay`.
///
/// # Errors
/// As the command says.
pub fn run(_: &Common, _: &ReplayArgs, _: &Output) -> Result<(), CommandError> {
    Err(CommandError::Usage("`replay` is not part of this build".into()))
}
