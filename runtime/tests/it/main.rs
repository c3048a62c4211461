//! The runtime's tests, on toy agents.

mod busy;
mod clock;
mod crash;
mod crash_points;
mod determinism;
mod effects;
mod folding;
mod fragile;
mod hold;
mod host;
mod limits;
mod storm;
mod supervision;
mod support;
mod toys;
mod versions;
