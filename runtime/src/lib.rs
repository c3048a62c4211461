//! Impresario runtime.

pub mod topic;

pub use topic::Topic;
