//! The analytics agents: what campaigns came to.
//!
//! [`Outcomes`] tells, for each person who counts for a campaign, what they do from then on; [`Analytics`] keeps
//! the sums: each campaign's funnel, and each goal's progress against its frozen baseline and its holdout. Sums
//! are of whole numbers and hang on no order, so that whoever counts the journal anew finds the same.

mod agent;
mod baseline;
pub mod interval;
mod person;
mod report;
mod topics;

pub use agent::Analytics;
pub use person::{Outcomes, Person};
pub use report::{ArmRow, ChannelRow, GroupRow, Measured, Report};
pub use topics::{BaselineWanted, Cell, Deeds, OutcomeCounted};
