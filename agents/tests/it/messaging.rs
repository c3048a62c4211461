//! The messaging agent and the gate in front of it.

mod stage;
mod way;
