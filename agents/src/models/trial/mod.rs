//! What learns, tried against worlds whose truth is known and against what was logged: the pure part of
//! `impresario evaluate`.

pub mod bandit;
pub mod ltv;
pub mod replay;
mod rivals;
