//! What learns, against its own laws.

mod policy;
