//! Profiles: who is who, and what is known of them.

mod features;
mod history;
mod hostile;
mod identity;
mod order;
mod parting;
mod shuffled;
mod who;
