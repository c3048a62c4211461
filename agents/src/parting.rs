//! People who become one, and people who become several, for agents that keep a little of each.

use impresario_runtime::{Agent, AgentError, Event, Keys, Step, store::Seq};

use crate::vocabulary::{ProfileId, ProfileMerged, ProfileParted};

/// What is kept of a person by an agent that listens to [`ProfileMerged`] and [`ProfileParted`].
pub(crate) trait OfPerson: Sized {
    /// The place of the decision by which the person last became several; 0 for never.
    fn decided(&mut self) -> &mut Seq;

    /// What stays when a person begins anew: their events are told again, what was said of them is not.
    fn begin_again(self) -> Self;
}

/// The state of the loser becomes the winner's, unless the two were parted again before this news came.
pub(crate) fn merged<A>(
    keys: &mut Keys<'_, A>,
    event: &Event<'_, ProfileMerged>,
    step: &mut Step<'_>,
) -> Result<(), AgentError>
where
    A: Agent<Key = ProfileId>,
    A::State: OfPerson + Clone,
{
    let ProfileMerged { loser, winner, decided } = *event.body;
    let last = keys.get(&loser)?.cloned().map_or(0, |mut state| *state.decided());
    if last <= decided {
        keys.hand_over(&loser, &winner, step)?;
    }
    Ok(())
}

/// A profile becomes another one's, or a person of its own again.
pub(crate) fn parted<A>(keys: &mut Keys<'_, A>, event: &Event<'_, ProfileParted>) -> Result<(), AgentError>
where
    A: Agent<Key = ProfileId>,
    A::State: OfPerson,
{
    let profile = event.profile;
    if let Some(heir) = event.heir {
        keys.point_anew(&profile, &heir)?;
    } else if let Some(old) = keys.begin_anew(&profile)? {
        keys.change(&profile, |state| {
            *state = old.begin_again();
            *state.decided() = event.decided;
            Ok(())
        })?;
    }
    Ok(())
}
