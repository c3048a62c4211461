//! `impresario bench`.

use clap::Args;

use super::{CommandError, Common, output::Output};

/// The arguments of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {}

/// Runs `bench`.
///
/// # Errors
/// As the command says.
pub fn run(_: &Common, _: &BenchArgs, _: &Output) -> Result<(), CommandError> {
    Err(CommandError::Usage("`bench` is not part of this build".into()))
}
