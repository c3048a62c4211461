//! The gate, asked once more right before a channel acts.

use std::time::Duration;

use impresario_agents::{
    gate::last_look as ask,
    messaging::{Common, Messaging},
    profiles::Profiles,
    vocabulary::{Deliver, ProfileId, Refusal},
};
use impresario_runtime::{Agent, AgentError, EffectError, Reading};

use crate::app::App;

/// How long what was acknowledged may take to be taken in.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(5);
/// Profiles that became one another's in a row; each goes to a lower number.
const HOPS_MAX: usize = 64;

/// What a person's keeper says.
enum Said {
    /// It may go, or may not.
    Verdict(Option<Refusal>),
    /// They have become somebody else.
    At(ProfileId),
}

/// Why a message may not go any more; none where it may. What is on record at this moment counts.
pub(super) async fn last_look(
    app: &App,
    message: &Deliver,
    let_through_ms: i64,
) -> Result<Option<Refusal>, EffectError> {
    // What comes in goes to `profiles` first, and what it says of that to the gate.
    taken_in(app, Profiles::NAME).await?;
    taken_in(app, Messaging::NAME).await?;
    let mut profile = message.profile;
    for _ in 0..HOPS_MAX {
        // A clock that the data carry along has no present beside the journal's.
        let now_ms = if app.clock.is_wall() { app.clock.now_ms() } else { let_through_ms };
        let (seed, message) = (app.seed, message.clone());
        let read = app.host.read::<Messaging, _>(&profile, move |reading: &mut Reading<'_, Messaging>| {
            if let Some(next) = reading.moved_to(&profile)? {
                return Ok(Said::At(next));
            }
            let Some(common) = reading.shared::<Common>() else { return Ok(gone()) };
            let Some(person) = reading.get(&profile)? else { return Ok(gone()) };
            let said = ask(&message, (let_through_ms, now_ms), &person.circumstances(), &common.house, &seed);
            Ok::<_, AgentError>(Said::Verdict(said.err()))
        });
        match read.await.map_err(super::again)?.map_err(super::again)? {
            Said::Verdict(said) => return Ok(said),
            Said::At(next) => profile = next,
        }
    }
    Ok(Some(Refusal { guard: "address".into(), why: "who the person has become can't be told".into() }))
}

fn gone() -> Said {
    Said::Verdict(Some(Refusal { guard: "address".into(), why: "nothing is known of the person any more".into() }))
}

async fn taken_in(app: &App, agent: &'static str) -> Result<(), EffectError> {
    let head = app.host.journal().head();
    app.host.folded(agent, head, TAKEN_IN_WITHIN).await.map_err(super::again)
}
