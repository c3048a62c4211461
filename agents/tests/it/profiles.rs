//! Profiles: who is who, and what is known of them.

mod identity;
