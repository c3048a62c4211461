//! Journeys: what is done with one person over days, waiting for what they do.

mod topics;

pub use topics::JourneyAsked;
