//! `impresario verify`.

use clap::Args;

use super::{CommandError, Common, output::Output};

/// The arguments of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {}

/// Runs `verify`.
///
/// # Errors
/// As the command says.
pub fn run(_: &Common, _: &VerifyArgs, _: &Output) -> Result<(), CommandError> {
    Err(CommandError::Usage("`verify` is not part of this build".into()))
}
