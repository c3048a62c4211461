//! Effects: performed once they are durable, tried again with backoff, answered as entries.

use std::{sync::Arc, time::Duration};

use impresario_store::{Commit, PendingEffect, StoreError};
use tokio::sync::{Semaphore, mpsc};

use super::{host::Stage, spawn::task};
use crate::{
    EffectCall, EffectError,
    driver::{answered, given_up},
};

/// Takes effects as they become durable, performs a bounded number at once, until the door closes.
pub(super) async fn dispatch(stage: Arc<Stage>, mut pending: mpsc::UnboundedReceiver<PendingEffect>) {
    let places = Arc::new(Semaphore::new(stage.limits().effects_at_once_max));
    while let Some(effect) = pending.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stage = Arc::clone(&stage);
        task(async move {
            let answer = perform(&stage, &effect).await;
            match answer {
                Ok(Some(commit)) => stage.send(commit),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, id = %effect.id, "an effect's answer can't be written"),
            }
            drop(place);
        });
    }
}

/// Tries until there is an answer. `None` where the host closes first: the effect stays in the outbox.
async fn perform(stage: &Stage, effect: &PendingEffect) -> Result<Option<Commit>, StoreError> {
    let name = stage.journal().name_of(effect.topic);
    let Some(performer) = stage.performer(&name) else {
        return given_up(stage.journal(), effect, &name, "nobody performs it", 0).map(Some);
    };
    let limits = stage.limits();
    for attempt in 1.. {
        let call = EffectCall { id: effect.id, attempt };
        match performer.perform(effect.body.clone(), call, Arc::clone(stage.journal())).await {
            Ok(outcome) => return answered(stage.journal(), effect, outcome).map(Some),
            Err(EffectError::Retry { after_ms, .. }) if attempt < limits.effect_attempts_max => {
                let doubled = limits.backoff_ms_min.saturating_mul(1 << attempt.min(20));
                let wait = after_ms.unwrap_or(doubled).min(limits.backoff_ms_max);
                tokio::time::sleep(Duration::from_millis(wait)).await;
                if stage.is_closing() {
                    return Ok(None);
                }
            }
            Err(error) => return given_up(stage.journal(), effect, &name, &error.to_string(), attempt).map(Some),
        }
    }
    Ok(None)
}
