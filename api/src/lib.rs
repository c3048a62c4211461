//! The faces of Impresario: the command line, the HTTP doors, the configuration.
//!
//! [`cli`] is what the program does; [`server`] hosts the troupe and serves [`ingest`] (events in) and
//! the control API; [`keys`] says who may do what; [`directory`] opens a data directory for whichever
//! command needs one.

pub mod allocator;
mod app;
mod backups;
pub mod bench;
mod channels;
pub mod cli;
pub mod config;
mod control;
pub mod directory;
mod http;
pub mod import;
pub mod ingest;
pub mod keys;
#[cfg(feature = "otlp")]
mod otlp;
mod past_members;
mod person_data;
mod problem;
pub mod server;

/// The whole program, for a `main` of one's own: every command with this troupe, of which
/// [`impresario_agents::troupe`] is the plain one. The exit code is the command's.
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     impresario_api::run(|workers| impresario_agents::troupe(workers).agent(Visits))
/// }
/// ```
pub fn run(casting: impresario_agents::Casting) -> std::process::ExitCode {
    cli::main(casting)
}
