//! The program as its users meet it: the real binary, over real sockets, on a real directory.
#![expect(
    clippy::disallowed_methods,
    reason = "a test of a real process waits in real time, with an end to its patience"
)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod access;
mod answers;
mod audit;
mod backups;
mod bad_input;
mod bench;
mod between;
mod campaigns;
mod clients;
mod content;
mod control;
mod crowds;
mod disk;
mod duplicates;
mod durability;
mod erasure;
mod evaluate;
mod fuzz;
mod http;
mod import;
mod ingest;
mod kills;
mod limits;
mod load;
mod log_lines;
mod main_job;
mod messaging;
mod operations;
#[cfg(feature = "otlp")]
mod otlp;
mod own_agent;
mod poison;
mod retention;
mod server;
mod slow;
mod stolen;
mod tidy;
