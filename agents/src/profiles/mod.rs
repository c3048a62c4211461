//! The profiles agent: one customer out of many identifiers.
