//! Tasks and threads: the one place where they are started.

use std::future::Future;

use crate::EffectError;

/// Runs blocking work off the agents' threads.
#[expect(clippy::disallowed_methods, reason = "the one door to blocking threads")]
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EffectError> + Send + 'static,
) -> Result<T, EffectError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(EffectError::Fail(format!("the work did not end: {error}"))))
}

/// Starts a task beside the others.
#[expect(clippy::disallowed_methods, reason = "the one door to new tasks")]
pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// Waits for `work` on this thread; for the driver, which has no runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, EffectError>>) -> Result<T, EffectError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(EffectError::Fail(format!("no runtime to perform it on: {error}"))),
    }
}
