//! `/api/profiles`: one customer, by any identifier, and what they did.

mod export;
mod person;
mod timeline;
mod unmerge;

use std::{collections::BTreeSet, sync::Arc};

use axum::{Extension, Json, extract::State, http::StatusCode, response::Response};
use impresario_agents::{
    identity::Identity,
    profiles::{Found, KnownIdentifier, Profile, Profiles, look_at, node_of},
    segmentation::{Definitions, Segmentation},
    vocabulary::ProfileId,
};
use impresario_runtime::{AgentError, Reading};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::person::{Membership, view as person_view};
use self::{person::PersonView, timeline::EventView};
use super::{
    erasures::{self, ErasureView, ForgetsView},
    page::{Cursor, Limit, limit_default},
};
use crate::{
    app::App,
    http::{PathText, Query, access::Caller},
    problem::Problem,
};

/// Pointers followed from an identifier to its profile at most; each goes to a lower number.
const HOPS_MAX: usize = 64;

/// A page of profiles.
#[derive(Serialize, ToSchema)]
struct ProfileList {
    /// The profiles, in no order that means anything.
    profiles: Vec<ProfileRow>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One customer in a list.
#[derive(Serialize, ToSchema)]
struct ProfileRow {
    /// The profile's id.
    #[schema(value_type = String)]
    id: ProfileIdText,
    /// Events of any sort.
    events: u32,
    /// When the first one happened, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen_at_ms: Option<i64>,
    /// When the last one happened, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at_ms: Option<i64>,
}

/// A page of what a customer did.
#[derive(Serialize, ToSchema)]
struct Timeline {
    /// The profile's id.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// The events, the latest first. The newest hundred of a person are kept at hand.
    events: Vec<EventView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A profile's id as people see it.
#[derive(Clone, Copy)]
pub(super) struct ProfileIdText(pub(super) ProfileId);

impl Serialize for ProfileIdText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Where the page begins: `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// Where the page begins: `next` of the page before.
    cursor: Option<u64>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, erase))
        .routes(routes!(events))
        .routes(routes!(export))
        .routes(routes!(unmerge::unmerge))
}

/// All profiles, page by page.
#[utoipa::path(
    get, path = "/api/profiles", tag = "profiles", params(PageQuery),
    responses(
        (status = 200, description = "A page of profiles", body = ProfileList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(query): Query<PageQuery>) -> Result<Json<ProfileList>, Problem> {
    let limit = query.limit.get();
    let mut rows = Vec::new();
    let mut place = query.cursor.unwrap_or_default();
    let workers = app.host.workers::<Profiles>();
    while place.worker < workers && rows.len() < limit {
        let (from, left) = (place.from(), limit - rows.len());
        let page = app.host.read_worker::<Profiles, _>(place.worker, move |reading| {
            let keys = reading.keys_from(&from, left)?;
            let mut page = Vec::with_capacity(keys.len());
            for id in keys {
                // A node that was only begun, for a profile on its way to it, is nobody yet.
                let profile = reading.get(&id)?;
                page.push((id, profile.filter(|profile| profile.events > 0).map(|profile| row(id, profile))));
            }
            Ok::<_, AgentError>(page)
        });
        let page = page.await??;
        place = match page.last() {
            Some((last, _)) if page.len() == left => Cursor { worker: place.worker, after: Some(*last) },
            _ => Cursor { worker: place.worker + 1, after: None },
        };
        rows.extend(page.into_iter().filter_map(|(_, row)| row));
    }
    let next = (place.worker < workers).then(|| place.to_string());
    Ok(Json(ProfileList { profiles: rows, next }))
}

fn row(id: ProfileId, profile: &Profile) -> ProfileRow {
    ProfileRow {
        id: ProfileIdText(id),
        events: profile.events,
        first_seen_at_ms: profile.seen.map(|seen| seen.0),
        last_seen_at_ms: profile.seen.map(|seen| seen.1),
    }
}

/// One customer, by the profile's id or any identifier.
#[utoipa::path(
    get, path = "/api/profiles/{id}", tag = "profiles",
    params((
        "id" = String, Path,
        description = "`p_` and sixteen digits, or a kind and an identifier: `user_id:42`, `email:anna@example.test`, \
                       `anonymous_id:..`, `phone:..`, `device_token:..`, `external:SYSTEM:..`; percent-encoded",
    )),
    responses(
        (status = 200, description = "The customer", body = PersonView),
        (status = 400, description = "Not an identifier", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<PersonView>, Problem> {
    let (id, profile) = find(&app, &id).await?;
    let memberships = memberships(&app, id).await?;
    let disputed = disputed(&app, id, &profile).await?;
    Ok(Json(person::view(id, &profile, memberships, &disputed, app.clock.now_ms())))
}

/// The segments a customer is in.
async fn memberships(app: &App, id: ProfileId) -> Result<Vec<Membership>, Problem> {
    let memberships = app
        .host
        .read::<Segmentation, _>(&id, move |reading| {
            let definitions = reading.shared::<Definitions>();
            let person = reading.get(&id)?;
            let memberships = person.zip(definitions);
            Ok::<_, AgentError>(memberships.map(|(person, definitions)| Segmentation::memberships(person, definitions)))
        })
        .await??;
    let memberships = memberships.unwrap_or_default().into_iter();
    Ok(memberships.map(|(segment, since_ms)| Membership { segment: segment.into(), since_ms }).collect())
}

/// Erases one customer: everything held of them is forgotten, and stays forgotten when the journal is folded
/// anew. Asked for once, it is done in the background, also after a crash. Asked again, it changes nothing.
#[utoipa::path(
    delete, path = "/api/profiles/{id}", tag = "profiles",
    params(("id" = String, Path, description = "As for one customer")),
    responses(
        (status = 200, description = "It was done before", body = ErasureView),
        (status = 202, description = "It is under way", body = ErasureView),
        (status = 400, description = "Not an identifier", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn erase(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(text): PathText,
) -> Result<(StatusCode, Json<ErasureView>), Problem> {
    let (id, profile) = match find(&app, &text).await {
        Ok(found) => found,
        Err(problem) => {
            // Whoever asks again for the same profile is told how it stands.
            let known = text.parse::<ProfileId>().ok();
            let status = known.map(|id| app.host.erasure(id.into())).transpose()?.flatten().ok_or(problem)?;
            let code = if status.done_ms.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
            return Ok((code, Json(erasures::view(&app, &status))));
        }
    };
    let forgets = ForgetsView {
        identifiers: profile.identifiers.iter().count(),
        traits: profile.traits.iter().filter(|write| !write.value.is_null()).count(),
        events: profile.events,
        segments: memberships(&app, id).await?.len(),
    };
    let status = app.host.erase(id.into()).await?;
    app.channels.rest();
    tracing::info!(profile = %id, by = caller.key.id, "a person is to be erased");
    let mut answer = erasures::view(&app, &status);
    answer.forgets = Some(forgets);
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Everything held of one customer, as JSON lines: the customer, what each agent keeps of them, every entry
/// of the journal that is theirs in order (events as Segment calls), and how many that were.
#[utoipa::path(
    get, path = "/api/profiles/{id}/export", tag = "profiles",
    params(("id" = String, Path, description = "As for one customer")),
    responses(
        (status = 200, description = "JSON lines", content_type = "application/x-ndjson", body = String),
        (status = 400, description = "Not an identifier", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 429, description = "Too many such questions at once", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn export(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let (id, profile) = find(&app, &id).await?;
    let memberships = memberships(&app, id).await?;
    tracing::info!(profile = %id, by = caller.key.id, "everything of a person is exported");
    let disputed = disputed(&app, id, &profile).await?;
    export::answer(&app, id, &person::view(id, &profile, memberships, &disputed, app.clock.now_ms())).await
}

/// What a customer did, the latest first.
#[utoipa::path(
    get, path = "/api/profiles/{id}/timeline", tag = "profiles",
    params(("id" = String, Path, description = "As for one customer"), TimelineQuery),
    responses(
        (status = 200, description = "A page of events", body = Timeline),
        (status = 400, description = "Not an identifier, or not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 429, description = "Too many such questions at once", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn events(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<Timeline>, Problem> {
    let (id, profile) = find(&app, &id).await?;
    let mut places = profile.timeline().map(|(_, seq)| seq).peekable();
    if let Some(last) = query.cursor {
        // Events of one millisecond have an order of their own: the place itself is looked for.
        let _ = places.by_ref().find(|seq| *seq == last);
    }
    let page: Vec<_> = places.by_ref().take(query.limit.get()).collect();
    let next = places.peek().and(page.last()).map(ToString::to_string);
    let journal = Arc::clone(app.host.journal());
    let events = app.aside(move || timeline::events(&journal, &page)).await??;
    Ok(Json(Timeline { profile: ProfileIdText(id), events, next }))
}

/// Whose a node is.
async fn person_of(app: &App, node: ProfileId) -> Result<ProfileId, Problem> {
    let read = move |reading: &mut Reading<'_, Identity>| {
        Ok::<_, AgentError>(reading.get(&node)?.map_or(node, |found| found.person(node)))
    };
    Ok(app.host.read::<Identity, _>(&node, read).await??)
}

/// Which of a customer's identifiers belong to somebody else.
async fn disputed(app: &App, id: ProfileId, profile: &Profile) -> Result<BTreeSet<ProfileId>, Problem> {
    let nodes: Vec<_> = profile.identifiers.iter().filter_map(KnownIdentifier::node).collect();
    let read = move |reading: &mut Reading<'_, Identity>| {
        let mut found = BTreeSet::new();
        for node in nodes {
            if reading.get(&node)?.is_some_and(|known| known.person(node) != id) {
                found.insert(node);
            }
        }
        Ok::<_, AgentError>(found)
    };
    Ok(app.host.read::<Identity, _>(&id, read).await??)
}

/// Refuses where nobody has this id, nor has had it.
pub(super) async fn is_somebody(app: &App, id: ProfileId) -> Result<(), Problem> {
    let found = find(app, &id.to_string()).await;
    found.map(drop).map_err(|_| Problem::not_found(format!("there is nobody of the id `{id}`")))
}

/// The profile behind an id or identifier, wherever it has gone.
pub(super) async fn find(app: &App, text: &str) -> Result<(ProfileId, Profile), Problem> {
    let wrong = || {
        Problem::invalid_path(
            "a profile is named by `p_` and sixteen digits, or by a kind and an identifier, e.g. `user_id:42`",
        )
    };
    let node = node_of(text).ok_or_else(wrong)?;
    let mut id = person_of(app, node).await?;
    for _ in 0..HOPS_MAX {
        let found = app.host.read::<Profiles, _>(&id, move |reading| look_at(reading, id, Profile::clone));
        match found.await?? {
            Found::At(next) => id = next,
            Found::Live(profile) => return Ok((id, profile)),
            Found::Nobody => break,
        }
    }
    Err(Problem::not_found("nobody has this identifier"))
}
