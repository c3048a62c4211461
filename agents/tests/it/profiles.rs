//! Profiles: who is who, and what is known of them.

mod history;
mod identity;
mod order;
