//! The segmentation agent: who is in which segment, exactly, at every instant.
