//! Effects: performed once they are durable, tried again with backoff, answered as entries.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use impresario_store::{Commit, PendingEffect, StoreError};
use tokio::sync::{Semaphore, mpsc};

use super::{
    spawn::{attempt, task},
    stage::Stage,
};
use crate::{
    EffectCall, EffectError,
    entries::{answered, given_up},
};

/// How many times the effects performed at once may wait for their next attempt.
const WAITING_PER_PLACE: usize = 16;

/// Takes effects as they become durable, performs a bounded number at once, until the door closes.
pub(super) async fn dispatch(stage: Arc<Stage>, mut pending: mpsc::UnboundedReceiver<PendingEffect>) {
    let at_once = stage.limits().effects_at_once_max.max(1);
    let taken = Arc::new(Semaphore::new(at_once * WAITING_PER_PLACE));
    let places = Arc::new(Semaphore::new(at_once));
    while let Some(effect) = pending.recv().await {
        let Ok(taking) = Arc::clone(&taken).acquire_owned().await else { return };
        let (stage, places) = (Arc::clone(&stage), Arc::clone(&places));
        task(async move {
            match settle(&stage, &places, &effect).await {
                Ok(()) => {}
                Err(StoreError::Closed | StoreError::Stopped { .. }) => {
                    tracing::debug!(id = %effect.id, "an effect stays in the outbox");
                }
                Err(error) => tracing::error!(%error, id = %effect.id, "an effect's answer can't be written"),
            }
            drop(taking);
        });
    }
}

/// Performs an effect and writes down what came of it. Where the host closes first, it stays in the outbox.
async fn settle(stage: &Stage, places: &Semaphore, effect: &PendingEffect) -> Result<(), StoreError> {
    let name = stage.journal().name_of(effect.topic);
    if !stage.journal().has_effect(&effect.id) {
        stage.effects().pending.fetch_sub(1, Ordering::AcqRel);
        stage.progressed();
        return Ok(());
    }
    let Some((commit, failed)) = perform(stage, places, effect, &name).await? else { return Ok(()) };
    let counts = stage.effects();
    if !stage.journal().has_effect(&effect.id) {
        // Whom it was for has been erased meanwhile.
        counts.pending.fetch_sub(1, Ordering::AcqRel);
        return Ok(());
    }
    let mut outcome = stage.submit(commit).await;
    let mut failed = failed;
    if let Err(error @ StoreError::TooLarge { .. }) = &outcome {
        // What came of it can't be kept: that is visible, too.
        outcome = stage.submit(given_up(stage.journal(), effect, &name, &error.to_string(), 1)?).await;
        failed = true;
    }
    outcome?;
    let count = if failed { &counts.failed } else { &counts.answered };
    count.fetch_add(1, Ordering::Relaxed);
    counts.pending.fetch_sub(1, Ordering::AcqRel);
    stage.progressed();
    Ok(())
}

/// Tries until there is an answer, and whether it is a failure; `None` where the host closes first.
async fn perform(
    stage: &Stage,
    places: &Semaphore,
    effect: &PendingEffect,
    name: &str,
) -> Result<Option<(Commit, bool)>, StoreError> {
    let journal = stage.journal();
    let Some(performer) = stage.performer(name) else {
        return given_up(journal, effect, name, "nobody performs it", 0).map(|commit| Some((commit, true)));
    };
    let (limits, counts) = (stage.limits(), stage.effects());
    for number in 1.. {
        // A place is held for the attempt alone: who waits for the next one holds up nobody.
        let Ok(place) = places.acquire().await else { return Ok(None) };
        if stage.is_shut() {
            return Ok(None);
        }
        counts.attempting.fetch_add(1, Ordering::AcqRel);
        counts.attempts.fetch_add(1, Ordering::Relaxed);
        let call = EffectCall { id: effect.id, attempt: number };
        let (performer, body, past) = (Arc::clone(&performer), effect.body.clone(), Arc::clone(journal));
        let outcome = attempt(async move { performer.perform(body, call, past).await }).await;
        drop(place);
        let commit = match outcome {
            Ok(outcome) => answered(journal, effect, outcome).map(|commit| Some((commit, false))),
            Err(EffectError::Retry { after_ms, .. }) if number < limits.effect_attempts_max => {
                counts.attempting.fetch_sub(1, Ordering::AcqRel);
                let doubled = limits.backoff_ms_min.saturating_mul(1 << number.min(20));
                let wait = after_ms.unwrap_or(doubled).min(limits.backoff_ms_max);
                tokio::time::sleep(Duration::from_millis(wait)).await;
                continue;
            }
            Err(error) => {
                given_up(journal, effect, name, &error.to_string(), number).map(|commit| Some((commit, true)))
            }
        };
        counts.attempting.fetch_sub(1, Ordering::AcqRel);
        return commit;
    }
    Ok(None)
}
