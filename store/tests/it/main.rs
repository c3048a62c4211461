//! The store from outside: what every engine must do, what a crash may cost, what damage looks like.

mod amplification;
mod backup;
mod conformance;
mod damage;
mod dedup;
mod directory;
mod disk_full;
mod erasure;
mod fixtures;
mod horizon;
mod journal;
mod kill;
mod model;
mod outbox;
mod pages;
mod power_cut;
mod requests;
mod state;
mod support;
mod timers;
mod writer;
