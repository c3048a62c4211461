//! Goals, plans, decisions, rewards, played together on the driver.

mod bounds;
mod loops;
mod play;
mod proposals;
