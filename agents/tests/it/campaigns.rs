//! Goals, plans, decisions, rewards, played together on the driver.

mod bounds;
mod course;
mod loops;
mod play;
mod proposals;
