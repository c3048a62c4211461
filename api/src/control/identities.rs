//! `/api/identities`: identifiers that would glue too many people, and what an operator does about them.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State, http::StatusCode};
use impresario_agents::{
    identity::{Cap, IdentifierReleased, Identity, Quarantine, Quarantined, limits},
    vocabulary::ProfileId,
};
use impresario_runtime::{
    Agent, AgentError, AgentKey, Reading, new_entry,
    store::{Commit, Durability, OUTSIDE, Seq},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Limit, limit_default},
    profiles::ProfileIdText,
};
use crate::{
    app::App,
    http::{PathText, Query, access::Caller},
    problem::Problem,
};

/// How long a command waits for the agent that takes it in.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(5);
/// How often it looks.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// A page of identifiers in quarantine.
#[derive(Serialize, ToSchema)]
struct QuarantineList {
    /// The identifiers, in no order that means anything.
    quarantined: Vec<QuarantinedView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An identifier that glues nobody any more.
#[derive(Serialize, ToSchema)]
struct QuarantinedView {
    /// Its number, by which it is released.
    #[schema(value_type = String)]
    node: ProfileIdText,
    /// `user_id`, `anonymous_id`, `email`, `phone`, `device_token` or `external:SYSTEM`; none where its
    /// text is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Its text, normalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Which cap it passed: `claimants` (too many people claim it), `identifiers` (one too many of its kind for
    /// one person), `person` (the person has too many in all).
    #[schema(value_type = String)]
    cap: Cap,
    /// Since when, milliseconds since 1970 UTC.
    since_ms: i64,
    /// How many claim it, as far as that is remembered (a thousand).
    claimants: usize,
    /// Whose it stays.
    #[schema(value_type = String)]
    profile: ProfileIdText,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(quarantined)).routes(routes!(release))
}

/// Identifiers that would have glued too many people, page by page.
#[utoipa::path(
    get, path = "/api/identities/quarantined", tag = "profiles", params(PageQuery),
    responses(
        (status = 200, description = "A page of identifiers", body = QuarantineList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn quarantined(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Json<QuarantineList>, Problem> {
    let limit = query.limit.get();
    let mut after = query.cursor.as_deref().map(node_of_cursor).transpose()?;
    let mut rows = Vec::new();
    while rows.len() < limit {
        let from = after.map(just_after).unwrap_or_default();
        let left = limit - rows.len();
        let read = move |reading: &mut Reading<'_, Quarantine>| {
            let mut found = Vec::new();
            let keys = reading.keys_from(&from, left)?;
            for node in &keys {
                found.extend(reading.get(node)?.filter(|state| state.stands()).map(|state| (*node, state.clone())));
            }
            Ok::<_, AgentError>((keys, found))
        };
        let (keys, found) = app.host.read_worker::<Quarantine, _>(0, read).await??;
        rows.extend(found);
        after = keys.last().copied().filter(|_| keys.len() == left);
        if after.is_none() {
            break;
        }
    }
    let nodes: Vec<_> = rows.iter().map(|(node, _)| *node).collect();
    let read = move |reading: &mut Reading<'_, Identity>| {
        let mut found = Vec::with_capacity(nodes.len());
        for node in nodes {
            let known = reading.get(&node)?;
            found.push(known.map_or((0, node), |known| (known.claimants(), known.person(node))));
        }
        Ok::<_, AgentError>(found)
    };
    let claims = app.host.read_worker::<Identity, _>(0, read).await??;
    let view = |((node, state), (claimants, person)): ((ProfileId, _), (usize, ProfileId))| {
        let Quarantined { identifier, cap, since_ms, .. } = state;
        QuarantinedView {
            node: ProfileIdText(node),
            kind: identifier.as_ref().map(|identifier| identifier.kind.name()),
            value: identifier.map(|identifier| identifier.value.into()),
            cap: cap.unwrap_or(Cap::Claimants),
            since_ms,
            claimants,
            profile: ProfileIdText(person),
        }
    };
    let quarantined = rows.into_iter().zip(claims).map(view).collect();
    Ok(Json(QuarantineList { quarantined, next: after.map(|after| after.to_string()) }))
}

/// Lets an identifier glue again: whoever claimed it, up to a thousand, as the rules say.
#[utoipa::path(
    post, path = "/api/identities/quarantined/{node}/release", tag = "profiles",
    params(("node" = String, Path, description = "The identifier's `node` in the list")),
    responses(
        (status = 202, description = "It is released"),
        (status = 400, description = "Not a number of an identifier", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "It is not in quarantine", body = Problem),
        (status = 409, description = "It would make too large a person", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn release(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(node): PathText,
) -> Result<StatusCode, Problem> {
    let node: ProfileId =
        node.parse().map_err(|_| Problem::invalid_path("an identifier's node is `p_` and sixteen digits"))?;
    let _one_at_a_time = app.defining.lock().await;
    let read = move |reading: &mut Reading<'_, Quarantine>| {
        Ok::<_, AgentError>(reading.get(&node)?.is_some_and(Quarantined::stands))
    };
    if !app.host.read::<Quarantine, _>(&node, read).await?? {
        return Err(Problem::not_found("no such identifier is in quarantine"));
    }
    let size = move |reading: &mut Reading<'_, Identity>| impresario_agents::identity::size_if_released(reading, node);
    if app.host.read::<Identity, _>(&node, size).await?? > limits::PERSON_NODES_MAX {
        return Err(Problem::conflict("it would make one person with more identifiers than anybody may have"));
    }
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries.push(new_entry(app.host.journal(), 0, IdentifierReleased { node })?);
    let receipt = app.submit(commit).await?;
    taken_in(&app, receipt.last).await?;
    tracing::info!(node = %node, by = caller.key.id, "an identifier was released from quarantine");
    Ok(StatusCode::ACCEPTED)
}

/// Waits until the identity agent has taken in the entry at `seq`.
pub(super) async fn taken_in(app: &App, seq: Seq) -> Result<(), Problem> {
    let asking = async {
        while app.host.read_worker::<Identity, _>(0, |reading| reading.seq).await? < seq {
            tokio::time::sleep(ASKED_EVERY).await;
        }
        Ok(())
    };
    let asked: Result<Result<(), Problem>, _> = tokio::time::timeout(TAKEN_IN_WITHIN, asking).await;
    asked.unwrap_or_else(|_| {
        let detail = format!("it is on record, but agent `{}` has not taken it in yet; look again", Identity::NAME);
        Err(Problem::unavailable(detail).retry_after(2))
    })
}

fn node_of_cursor(text: &str) -> Result<ProfileId, Problem> {
    text.parse().map_err(|_| Problem::invalid_query("`cursor` is not one that was given"))
}

fn just_after(node: ProfileId) -> Vec<u8> {
    let mut bytes = node.encode();
    bytes.push(0);
    bytes
}

/// How many identifiers are in quarantine, and how often one was released.
pub(super) async fn counts(app: &App) -> Result<(u64, u64), Problem> {
    let read = |reading: &mut Reading<'_, Quarantine>| -> Result<_, AgentError> {
        let (mut standing, mut released, mut from) = (0, 0, Vec::new());
        loop {
            let keys = reading.keys_from(&from, COUNTED_AT_ONCE)?;
            for node in &keys {
                let stands = reading.get(node)?.is_some_and(Quarantined::stands);
                standing += u64::from(stands);
                released += u64::from(!stands);
            }
            match keys.last() {
                Some(last) if keys.len() == COUNTED_AT_ONCE => from = just_after(*last),
                _ => return Ok((standing, released)),
            }
        }
    };
    Ok(app.host.read_worker::<Quarantine, _>(0, read).await??)
}

/// Identifiers counted at once.
const COUNTED_AT_ONCE: usize = 1_000;
