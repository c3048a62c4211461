//! Impresario scenarios.
