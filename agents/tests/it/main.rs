//! The agents, played on the driver.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod analytics;
mod campaigns;
mod crm;
mod erasure;
mod journeys;
mod messaging;
mod models;
mod oracle;
mod profiles;
mod retention;
mod segmentation;
mod situation;
mod support;
