//! `/api/profiles/{id}/unmerge`: a merge is undone.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};
use impresario_agents::{
    identity::{Identity, Node, UnmergeAsked},
    profiles::{Profiles, node_of},
};
use impresario_runtime::{
    AgentError, Reading, new_entry,
    store::{Commit, Durability, OUTSIDE},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::identities;
use super::{ProfileIdText, find, person_of};
use crate::{
    app::App,
    http::{JsonBody, PathText, access::Caller},
    problem::Problem,
};

/// Which identifier is somebody else's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unmerge {
    /// A kind and an identifier of this customer: `user_id:42`, `anonymous_id:..`, `email:..`, `phone:..`,
    /// `device_token:..`, `external:SYSTEM:..`.
    identifier: String,
}

/// What follows.
#[derive(Serialize, ToSchema)]
pub(crate) struct Unmerged {
    /// The customer the identifier was taken from.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// Who has the identifier now.
    #[schema(value_type = String)]
    parted: ProfileIdText,
}

/// Takes an identifier, and all that hangs on it alone, out of a customer, for good: each of the two has the
/// events that came with their own identifiers, and the same identifiers don't glue them again.
#[utoipa::path(
    post, path = "/api/profiles/{id}/unmerge", tag = "profiles",
    params(("id" = String, Path, description = "As for one customer")),
    request_body = Unmerge,
    responses(
        (status = 202, description = "The two are being restored", body = Unmerged),
        (status = 400, description = "Not an identifier", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 409, description = "The identifier is not this customer's, or all they are known by, or events of theirs are forgotten with age", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
pub(crate) async fn unmerge(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
    JsonBody(asked): JsonBody<Unmerge>,
) -> Result<(StatusCode, Json<Unmerged>), Problem> {
    let wrong = || Problem::invalid_body("`identifier` is a kind and a text, e.g. `user_id:42`");
    let node = node_of(&asked.identifier).filter(|_| !asked.identifier.starts_with("p_")).ok_or_else(wrong)?;
    let (profile, _) = find(&app, &id).await?;
    let _one_at_a_time = app.defining.lock().await;
    let read = move |reading: &mut Reading<'_, Identity>| {
        let found = reading.get(&node)?.filter(|found| found.person(node) == profile);
        let of = found.map(Node::can_be_parted);
        Ok::<_, AgentError>(of.zip(reading.get(&profile)?.map(|root| root.members().len())))
    };
    match app.host.read::<Identity, _>(&node, read).await?? {
        Some((true, members)) if members > 1 => {}
        Some(_) => return Err(Problem::conflict("nothing was joined to this identifier that it could be parted from")),
        None => return Err(Problem::conflict("this identifier is not this customer's")),
    }
    if let Some(horizon) = app.host.journal().horizon() {
        let read = move |reading: &mut Reading<'_, Profiles>| {
            let known = reading.get(&profile)?;
            Ok::<_, AgentError>(known.is_some_and(|known| known.began_before(horizon.before, horizon.since_ms)))
        };
        if app.host.read::<Profiles, _>(&profile, read).await?? {
            let since = crate::ingest::instant(horizon.since_ms);
            return Err(Problem::conflict(format!(
                "the two can't be restored: events of this customer from before {since} are forgotten with age"
            )));
        }
    }
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries.push(new_entry(app.host.journal(), 0, UnmergeAsked { node })?);
    let receipt = app.submit(commit).await?;
    identities::taken_in(&app, receipt.last).await?;
    tracing::info!(profile = %profile, by = caller.key.id, "a merge is undone");
    let parted = person_of(&app, node).await?;
    Ok((StatusCode::ACCEPTED, Json(Unmerged { profile: ProfileIdText(profile), parted: ProfileIdText(parted) })))
}
