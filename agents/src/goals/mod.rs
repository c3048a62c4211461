//! Goals: what the operator wants.
