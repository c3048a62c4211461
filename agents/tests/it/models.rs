//! What learns, against its own laws.

mod longrun;
mod policy;
mod trial;
