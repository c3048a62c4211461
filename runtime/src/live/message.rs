//! What a worker's actor hears.

use crate::worker::AnyWorker;

/// A question to a worker's state.
pub(super) type Question = Box<dyn FnOnce(&mut dyn AnyWorker) + Send>;

/// What a worker's actor hears. Never a business message.
pub(super) enum WorkerMessage {
    /// Fold what must be folded again, and begin. The first message of all.
    Open,
    /// There may be something to read.
    Bell,
    /// A question.
    Ask(Question),
    /// Write changed state: what is due, or all of it; then say so.
    WriteBehind { all: bool, done: Option<tokio::sync::oneshot::Sender<()>> },
}
