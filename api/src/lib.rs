//! The faces of Impresario: the command line, the HTTP doors, the configuration.
//!
//! [`cli`] is what the program does; [`server`] hosts the troupe and serves [`ingest`] (events in) and
//! the control API; [`keys`] says who may do what; [`directory`] opens a data directory for whichever
//! command needs one.

mod app;
pub mod bench;
pub mod cli;
pub mod config;
mod control;
pub mod directory;
mod http;
pub mod import;
pub mod ingest;
pub mod keys;
mod past_members;
mod problem;
pub mod server;
