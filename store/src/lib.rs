//! Impresario store.
