//! The faces of Impresario: the command line, the HTTP doors, the configuration.
//!
//! [`cli`] is what the program does; [`directory`] opens a data directory for whichever command
//! needs one.

pub mod cli;
pub mod directory;
