//! The troupe: the vocabulary the agents share and the agents themselves.

pub mod goals;
pub mod profiles;
pub mod rhythm;
pub mod segmentation;
pub mod vocabulary;
