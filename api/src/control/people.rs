//! Pages of the people an agent keeps something of.

use impresario_agents::vocabulary::ProfileId;
use impresario_runtime::{Agent, AgentError};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{Cursor, Limit, limit_default};
use crate::{app::App, problem::Problem};

/// People looked at in one question to the agent.
const PEOPLE_A_QUESTION: usize = 1_000;
/// People looked at for one page; a page may be short, or empty, and still have a next one.
const PEOPLE_A_PAGE: usize = 20_000;

/// A page of people.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeoplePage {
    /// Where the page begins: `next` of the page before.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Cursor>,
    /// At most about so many people; several rows may be of one person.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Limit,
}

/// A page of what `pick` finds of the people agent `A` keeps something of, and where the next one begins. All rows
/// of one person are on one page.
pub(super) async fn people<A, T>(
    app: &App,
    page: &PeoplePage,
    pick: impl Fn(ProfileId, &A::State) -> Vec<T> + Clone + Send + 'static,
) -> Result<(Vec<T>, Option<String>), Problem>
where
    A: Agent<Key = ProfileId>,
    T: Send + 'static,
{
    let (workers, limit) = (app.host.workers::<A>(), page.limit.get());
    let mut place = page.cursor.unwrap_or_default();
    let (mut rows, mut looked_at) = (Vec::new(), 0);
    while place.worker < workers && rows.len() < limit && looked_at < PEOPLE_A_PAGE {
        let (from, left, pick) = (place.from(), limit - rows.len(), pick.clone());
        let question = app.host.read_worker::<A, _>(place.worker, move |reading| {
            let keys = reading.keys_from(&from, PEOPLE_A_QUESTION)?;
            let (mut found, mut last, mut count) = (Vec::new(), None, 0);
            for profile in keys {
                if found.len() >= left {
                    break;
                }
                if let Some(state) = reading.get(&profile)? {
                    found.extend(pick(profile, state));
                }
                last = Some(profile);
                count += 1;
            }
            Ok::<_, AgentError>((found, last, count))
        });
        let (found, last, count) = question.await??;
        looked_at += count;
        rows.extend(found);
        place = match last {
            Some(last) if count == PEOPLE_A_QUESTION || rows.len() >= limit => {
                Cursor { worker: place.worker, after: Some(last) }
            }
            _ => Cursor { worker: place.worker + 1, after: None },
        };
    }
    let next = (place.worker < workers).then(|| place.to_string());
    Ok((rows, next))
}
