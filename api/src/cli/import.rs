//! `impresario import`.

use clap::Args;

use super::{CommandError, Common, output::Output};

/// The arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {}

/// Runs `import`.
///
/// # Errors
/// As the command says.
pub fn run(_: &Common, _: &ImportArgs, _: &Output) -> Result<(), CommandError> {
    Err(CommandError::Usage("`import` is not part of this build".into()))
}
