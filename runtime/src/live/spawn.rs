//! Tasks and threads: the one place where they are started.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{EffectError, worker::panic_text};

/// Runs blocking work off the agents' threads.
#[expect(clippy::disallowed_methods, reason = "the one door to blocking threads")]
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EffectError> + Send + 'static,
) -> Result<T, EffectError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(broken(error)))
}

/// Starts a task beside the others.
#[expect(clippy::disallowed_methods, reason = "the one door to new tasks")]
pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// One attempt at something outside, as a task of its own: a panic there is a failure like another.
#[expect(clippy::disallowed_methods, reason = "the one door to new tasks")]
pub(crate) async fn attempt<T: Send + 'static>(
    work: impl Future<Output = Result<T, EffectError>> + Send + 'static,
) -> Result<T, EffectError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(broken(error)))
}

fn broken(error: tokio::task::JoinError) -> EffectError {
    match error.try_into_panic() {
        Ok(panic) => EffectError::Fail(panic_text(panic.as_ref())),
        Err(error) => EffectError::Fail(format!("the work did not end: {error}")),
    }
}

/// Long work on an agents' thread: the other actors go on beside it.
pub(crate) fn long_work<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// A runtime on the caller's thread, made when it is first needed; for the driver, which has none of
/// its own.
#[derive(Default)]
pub(crate) struct OwnRuntime(Option<tokio::runtime::Runtime>);

impl OwnRuntime {
    /// Waits for the work that `start` begins; a panic in it is a failure like another.
    pub(crate) fn block_on<T, F>(&mut self, start: impl FnOnce() -> F) -> Result<T, EffectError>
    where
        F: Future<Output = Result<T, EffectError>>,
    {
        let runtime = match self.0.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(|error| EffectError::Fail(format!("no runtime to perform it on: {error}")))?,
        };
        let runtime = self.0.insert(runtime);
        let performed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { start().await })));
        performed.unwrap_or_else(|panic| Err(EffectError::Fail(panic_text(panic.as_ref()))))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // A runtime must not be dropped where blocking is not allowed; this one may be dropped anywhere.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
