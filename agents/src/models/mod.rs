//! What learns: pure and deterministic, one folder a model. Parameters are checked once; then a model is asked
//! (`decide`, `posterior`) and taught (`learn`). No clock, no I/O; chance is passed in or drawn from what was
//! learned, and sums go in one order, so the same entries make the same model to the bit.

pub mod longrun;
mod matrix;
mod normal;
pub mod policy;
pub mod trial;
