//! Goals, plans, decisions, rewards, played together on the driver.

mod loops;
mod play;
