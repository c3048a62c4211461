//! `impresario evaluate`: what learns, measured against worlds whose truth is known and against what was logged.

mod bandit;
mod ltv;
mod policy;
mod table;

use clap::{Args, Subcommand};

use super::{CommandError, Common, output::Output};

/// The arguments of `evaluate`.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What can be measured.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// The campaigns' policy and its rivals on a table of arms whose chances are known: regret by round
    Bandit(bandit::BanditArgs),
    /// Planning for the long run, on cohorts of simulated customers: share of the best there is
    Ltv(ltv::LtvArgs),
    /// The policy on a randomised log: online replay, and the value of what it learned
    Policy(policy::PolicyArgs),
}

/// Runs `evaluate`.
///
/// # Errors
/// A file that is not as it should be, by file, line and column.
pub fn run(_: &Common, args: &EvaluateArgs, output: &Output) -> Result<(), CommandError> {
    match &args.what {
        What::Bandit(args) => bandit::run(args, output),
        What::Ltv(args) => ltv::run(args, output),
        What::Policy(args) => policy::run(args, output),
    }
}
