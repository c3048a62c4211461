//! `/api/journeys`: what is done with people over days, and who is where.

mod names;
mod shape;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::{
    journeys::{
        Definitions, Journey, JourneyAsked, JourneyCount, JourneyCounts, JourneyDefined, JourneyRemoved,
        JourneyStopped, Journeying, Journeys, Outcome, Version, check_journey, limits,
    },
    vocabulary::ProfileId,
};
use impresario_runtime::AgentError;
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::names::is_campaign_of_some;
use self::{
    names::names_are_there,
    shape::{JourneyList, JourneyView, NewRun, RunList, RunView, StepView, VersionView},
};
use super::{
    page::{IdPage, page_of},
    people::{PeoplePage, people},
    profiles::{ProfileIdText, is_somebody},
    say::{is_repeated, say, taken_in, told_again},
    uses::{Thing, is_unused},
};
use crate::{
    app::App,
    http::{JsonBody, PathPair, PathText, Query, access::Caller, idempotency_key, json::from_value},
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(stuck))
        .routes(routes!(one, put, remove))
        .routes(routes!(in_it, begin))
        .routes(routes!(stop))
}

/// All journeys that people may begin.
#[utoipa::path(
    get, path = "/api/journeys", tag = "journeys", params(IdPage),
    responses(
        (status = 200, description = "A page of journeys", body = JourneyList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<IdPage>) -> Result<Json<JourneyList>, Problem> {
    let standing = app.host.read_worker::<Journeys, _>(0, |reading| {
        let all = reading.shared::<Definitions>();
        let standing = all.into_iter().flat_map(Definitions::standing);
        standing.map(|(id, version)| (id.to_owned(), version.clone())).collect::<Vec<_>>()
    });
    let (standing, next) = page_of(standing.await?, &page, |(id, _)| id);
    let mut journeys = Vec::with_capacity(standing.len());
    for (id, version) in standing {
        let count = counted(&app, id.clone()).await?;
        journeys.push(view(id, version, count));
    }
    Ok(Json(JourneyList { journeys, next }))
}

/// Defines a journey: its fields and an `id`.
#[utoipa::path(
    post, path = "/api/journeys", tag = "journeys", request_body = Object,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one is answered as the first was")),
    responses(
        (status = 201, description = "It stands", body = JourneyView),
        (status = 400, description = "Not a journey that can be, and which field is wrong", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There is one of this id, or too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(mut new): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<JourneyView>), Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/journeys")?;
    let id = new.remove("id").and_then(|id| id.as_str().map(str::to_owned));
    // A field nobody knows is told before one that is missing.
    let journey = from_value(Value::Object(new)).map_err(Problem::invalid_body)?;
    let id = id.ok_or_else(|| Problem::invalid_body("`id`: 1 to 64 lowercase letters, digits, `-` and `_`"))?;
    let defined = JourneyDefined { id: id.as_str().into(), journey };
    let _one_at_a_time = app.defining.lock().await;
    if let Some((seq, first)) = told_again::<JourneyDefined>(&app, request)? {
        if first != defined {
            return Err(Problem::conflict("this `Idempotency-Key` belongs to another journey"));
        }
        taken_in::<Journeys>(&app, seq).await?;
        return Ok((StatusCode::CREATED, Json(found(&app, id).await?)));
    }
    if current(&app, &id).await?.is_some() {
        return Err(Problem::conflict(format!("there is a journey `{id}` already; PUT changes it")));
    }
    define(&app, defined, request, &caller).await?;
    Ok((StatusCode::CREATED, Json(found(&app, id).await?)))
}

/// Defines a journey anew, or for the first time. Who is in it finishes as they began.
#[utoipa::path(
    put, path = "/api/journeys/{id}", tag = "journeys", request_body = Object,
    params(
        ("id" = String, Path, description = "The journey's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It stands", body = JourneyView),
        (status = 400, description = "Not a journey that can be, and which field is wrong", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "There are too many", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(journey): JsonBody<Journey>,
) -> Result<Json<JourneyView>, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/journeys/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    // What is as it was makes no new version.
    let same = current(&app, &id).await?.is_some_and(|version| version.journey == journey);
    if !same && !is_repeated(&app, request) {
        define(&app, JourneyDefined { id: id.as_str().into(), journey }, request, &caller).await?;
    }
    Ok(Json(found(&app, id).await?))
}

async fn define(
    app: &App,
    defined: JourneyDefined,
    request: Option<impresario_runtime::store::RequestKey>,
    caller: &Caller,
) -> Result<(), Problem> {
    let id = defined.id.clone();
    if &*id == "stuck" {
        return Err(Problem::invalid_body("`id`: `stuck` is none; it is a path of its own"));
    }
    check_journey(&id, &defined.journey).map_err(Problem::invalid_body)?;
    names_are_there(app, &defined.journey).await?;
    let known = id.clone();
    let full = app.host.read_worker::<Journeys, _>(0, move |reading| {
        let all = reading.shared::<Definitions>();
        all.is_some_and(|all| all.get(&known).is_none() && all.len() >= limits::JOURNEYS_MAX)
    });
    if full.await? {
        return Err(Problem::limit_reached(format!("there are {} journeys already", limits::JOURNEYS_MAX)));
    }
    let seq = say(app, defined, request).await?;
    taken_in::<Journeys>(app, seq).await?;
    tracing::info!(journey = &*id, by = caller.key.id, "a journey was defined");
    Ok(())
}

/// One journey, with how many are where.
#[utoipa::path(
    get, path = "/api/journeys/{id}", tag = "journeys",
    params(("id" = String, Path, description = "The journey's id")),
    responses(
        (status = 200, description = "The journey", body = JourneyView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such journey", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<JourneyView>, Problem> {
    Ok(Json(found(&app, id).await?))
}

/// Removes a journey: nobody begins it any more, who is in it finishes it.
#[utoipa::path(
    delete, path = "/api/journeys/{id}", tag = "journeys",
    params(
        ("id" = String, Path, description = "The journey's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such journey", body = Problem),
        (status = 409, description = "It is in use, and who uses it", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/journeys/{id}"))?;
    let _one_at_a_time = app.defining.lock().await;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    found(&app, id.clone()).await?;
    is_unused(&app, Thing::Journey(id.clone())).await?;
    let seq = say(&app, JourneyRemoved { id: id.as_str().into() }, request).await?;
    taken_in::<Journeys>(&app, seq).await?;
    tracing::info!(journey = id, by = caller.key.id, "a journey was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Who is in a journey now, at which step, page by page.
#[utoipa::path(
    get, path = "/api/journeys/{id}/people", tag = "journeys",
    params(("id" = String, Path, description = "The journey's id"), PeoplePage),
    responses(
        (status = 200, description = "A page of people", body = RunList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn in_it(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(page): Query<PeoplePage>,
) -> Result<Json<RunList>, Problem> {
    let pick = move |profile, own: &Journeying| {
        let runs = own.runs.iter().filter(|run| *run.journey == *id);
        runs.map(|run| (profile, run.clone())).collect::<Vec<_>>()
    };
    let (runs, next) = people::<Journeys, _>(&app, &page, pick).await?;
    let definitions = definitions(&app, runs.iter().map(|(_, run)| (run.journey.clone(), run.version))).await?;
    let view = |(profile, run): (ProfileId, impresario_agents::journeys::Run)| {
        let step = definitions.get(&(run.journey.clone(), run.version));
        let step = step.and_then(|journey| journey.steps.get(usize::from(run.step)));
        RunView {
            profile: ProfileIdText(profile),
            journey: run.journey.into(),
            version: run.version,
            began_at_ms: run.began_ms,
            step: step.map(|step| step.id.to_string()),
            since_ms: Some(run.since_ms),
            until_ms: run.until_ms,
            because: Some(run.because.into()),
            ended_at_ms: None,
            outcome: None,
            why: None,
        }
    };
    Ok(Json(RunList { people: runs.into_iter().map(view).collect(), next }))
}

/// Journeys that could not go on, each with the reason, page by page.
#[utoipa::path(
    get, path = "/api/journeys/stuck", tag = "journeys", params(PeoplePage),
    responses(
        (status = 200, description = "A page of people", body = RunList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn stuck(State(app): State<Arc<App>>, Query(page): Query<PeoplePage>) -> Result<Json<RunList>, Problem> {
    let pick = |profile, own: &Journeying| {
        let stuck = own.past.iter().filter_map(|ended| match ended.outcome {
            Outcome::Stuck(why) => Some(RunView {
                profile: ProfileIdText(profile),
                journey: ended.journey.to_string(),
                version: ended.version,
                began_at_ms: ended.began_ms,
                step: ended.step.as_ref().map(ToString::to_string),
                since_ms: None,
                until_ms: None,
                because: None,
                ended_at_ms: Some(ended.ended_ms),
                outcome: Some(ended.outcome.name().to_owned()),
                why: Some(why.name().to_owned()),
            }),
            _ => None,
        });
        stuck.collect::<Vec<_>>()
    };
    let (people, next) = people::<Journeys, _>(&app, &page, pick).await?;
    Ok(Json(RunList { people, next }))
}

/// Somebody is to begin a journey; its rules of re-entry and its room decide whether they do.
#[utoipa::path(
    post, path = "/api/journeys/{id}/people", tag = "journeys", request_body = NewRun,
    params(
        ("id" = String, Path, description = "The journey's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 202, description = "It is asked for"),
        (status = 400, description = "Not somebody who can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such journey, or nobody of this id", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn begin(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathText(id): PathText,
    JsonBody(new): JsonBody<NewRun>,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("POST /api/journeys/{id}/people"))?;
    found(&app, id.clone()).await?;
    let profile: ProfileId = new.profile.parse().map_err(|why| Problem::invalid_body(format!("`profile`: {why}")))?;
    let context = Value::Object(new.context);
    if serde_json::to_vec(&context).map_or(usize::MAX, |json| json.len()) > limits::CONTEXT_BYTES_MAX {
        let most = limits::CONTEXT_BYTES_MAX;
        return Err(Problem::invalid_body(format!("`context`: at most {most} bytes of JSON")));
    }
    let campaign = new.campaign;
    if campaign.as_ref().is_some_and(|campaign| !(1..=limits::ID_BYTES_MAX).contains(&campaign.len())) {
        return Err(Problem::invalid_body(format!("`campaign`: 1 to {} bytes", limits::ID_BYTES_MAX)));
    }
    if !is_repeated(&app, request) {
        is_somebody(&app, profile).await?;
    }
    let because = "asked".into();
    say(&app, JourneyAsked { journey: id.into(), profile, campaign, context, because }, request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Stops a journey for one person; what it has asked for and was not sent is withdrawn.
#[utoipa::path(
    delete, path = "/api/journeys/{id}/people/{profile}", tag = "journeys",
    params(
        ("id" = String, Path, description = "The journey's id"),
        ("profile" = String, Path, description = "The person's profile id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It has stopped"),
        (status = 400, description = "Not a profile id", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "They are not in it", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn stop(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPair(id, profile): PathPair,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("DELETE /api/journeys/{id}/people/{profile}"))?;
    let profile: ProfileId = profile.parse().map_err(|why| Problem::invalid_path(format!("{why}")))?;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let journey = id.clone();
    let is_in = app.host.read::<Journeys, _>(&profile, move |reading| {
        let own = reading.get(&profile)?;
        Ok::<_, AgentError>(own.is_some_and(|own| own.runs.iter().any(|run| *run.journey == *journey)))
    });
    if !is_in.await?? {
        return Err(Problem::not_found(format!("they are not in journey `{id}`")));
    }
    let by = caller.key.id.as_str().into();
    let seq = say(&app, JourneyStopped { journey: id.as_str().into(), profile, by }, request).await?;
    taken_in::<Journeys>(&app, seq).await?;
    tracing::info!(journey = id, profile = %profile, by = caller.key.id, "a journey was stopped");
    Ok(StatusCode::NO_CONTENT)
}

/// The definitions of these versions, where they are kept.
async fn definitions(
    app: &App,
    wanted: impl Iterator<Item = (Box<str>, u64)>,
) -> Result<BTreeMap<(Box<str>, u64), Journey>, Problem> {
    let wanted: std::collections::BTreeSet<_> = wanted.collect();
    let read = app.host.read_worker::<Journeys, _>(0, move |reading| {
        let all = reading.shared::<Definitions>();
        let found = wanted.into_iter().filter_map(|(id, version)| {
            let journey = all.and_then(|all| all.version(&id, version))?.clone();
            Some(((id, version), journey))
        });
        found.collect()
    });
    Ok(read.await?)
}

/// Whether there is a journey of this id.
pub(super) async fn is_journey(app: &App, id: &str) -> Result<bool, Problem> {
    Ok(current(app, id).await?.is_some())
}

async fn current(app: &App, id: &str) -> Result<Option<Version>, Problem> {
    let id = id.to_owned();
    let read = app.host.read_worker::<Journeys, _>(0, move |reading| {
        reading.shared::<Definitions>().and_then(|all| all.current(&id).cloned())
    });
    Ok(read.await?)
}

async fn counted(app: &App, id: String) -> Result<JourneyCount, Problem> {
    let key = id.clone();
    let read = app.host.read::<JourneyCounts, _>(&id, move |reading| Ok::<_, AgentError>(reading.get(&key)?.cloned()));
    Ok(read.await??.unwrap_or_default())
}

async fn found(app: &App, id: String) -> Result<JourneyView, Problem> {
    let version = current(app, &id).await?;
    let version = version.ok_or_else(|| Problem::not_found(format!("there is no journey `{id}`")))?;
    let count = counted(app, id.clone()).await?;
    Ok(view(id, version, count))
}

fn view(id: String, current: Version, count: JourneyCount) -> JourneyView {
    let versions = count.versions.into_iter().rev().map(|(version, counted)| {
        let mut steps: BTreeMap<Box<str>, StepView> = BTreeMap::new();
        for (step, at) in counted.at {
            steps.entry(step).or_default().at = at;
        }
        for (step, reached) in counted.reached {
            steps.entry(step).or_default().reached = reached;
        }
        let stuck = counted.stuck.into_iter().map(|(why, count)| (why.name(), count)).collect();
        let (entered, running, outcomes) = (counted.entered, counted.running, counted.outcomes);
        VersionView { version, entered, running, steps, outcomes, stuck }
    });
    JourneyView {
        id,
        version: current.version,
        defined_at_ms: current.at_ms,
        journey: current.journey,
        running: count.running,
        turned_away: count.turned_away,
        versions: versions.collect(),
    }
}
