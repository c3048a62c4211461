//! The messaging agent and the gate in front of it.

mod between;
mod oracle;
mod random;
mod restart;
mod returned;
mod spend;
mod stage;
mod sums;
mod way;
