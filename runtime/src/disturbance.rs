//! Breaking an agent on purpose, so that what follows can be tried.

use std::sync::Arc;

use impresario_store::{Entry, Journal};

/// Looks at an entry before an agent (by name) folds it, and may break it there.
pub(crate) type Disturbance = Arc<dyn Fn(&Journal, &str, &Entry) + Send + Sync>;
