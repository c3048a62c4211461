//! `/api/situations`: significant changes of people and channels, and when something is one.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap};
use impresario_agents::{
    situation::{
        ChannelWatch, Evidence, IntentLearner, Settings, Situations, SituationsSet, Views, Watched, Watching,
        check_settings, context_of,
    },
    vocabulary::{Channel, Tracked},
};
use impresario_runtime::{
    AgentError, Topic,
    store::{Journal, Seq},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    people::{PeoplePage, people},
    profiles::ProfileIdText,
    say::{is_repeated, say, taken_in},
};
use crate::{
    app::App,
    http::{JsonBody, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// A page of situations.
#[derive(Serialize, ToSchema)]
struct SituationList {
    /// What stands on channels; on the first page alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<ChannelSituation>,
    /// Those of people: what stands, and what was over lately.
    people: Vec<PersonSituation>,
    /// Where the next page begins; none on the last one. A page may be short, or empty, and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A surge that stands on a channel.
#[derive(Serialize, ToSchema)]
struct ChannelSituation {
    /// Its id.
    id: String,
    /// `bounce_surge` or `complaint_surge`.
    kind: String,
    /// `email`, `sms` or `push`.
    channel: &'static str,
}

/// A situation of a person.
#[derive(Serialize, ToSchema)]
struct PersonSituation {
    /// Its id.
    id: String,
    /// `purchase_intent` or `cart_left`.
    kind: &'static str,
    /// Whose.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// What it is about, e.g. `{"product_id": "SHOE-42"}`; empty where the event that told is not kept any more.
    #[schema(value_type = Object)]
    context: Map<String, Value>,
    /// What was found, in words.
    because: String,
    /// When it began, event time, milliseconds since 1970 UTC.
    since_ms: i64,
    /// When it was last seen, event time.
    last_ms: i64,
    /// When it was told.
    told_at_ms: i64,
    /// Why it is over: `ordered`, `emptied`, `time`; none while it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    over: Option<String>,
    /// Since when it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_at_ms: Option<i64>,
}

/// When something is a situation, and what was learned.
#[derive(Serialize, ToSchema)]
struct SettingsView {
    /// As set by an operator.
    #[schema(value_type = Object)]
    settings: Settings,
    /// Views of one product that are purchase intent now.
    #[schema(value_type = Object)]
    product_views_in_force: Views,
    /// Why another setting than the operator's is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    learned: Option<String>,
    /// Times somebody looked at a product again and then ordered.
    episodes_ordered: u64,
    /// Times they did not.
    episodes_not_ordered: u64,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(settings, set))
}

/// Situations that stand, and those that were over lately, page by page.
#[utoipa::path(
    get, path = "/api/situations", tag = "situations", params(PeoplePage),
    responses(
        (status = 200, description = "A page of situations", body = SituationList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(page): Query<PeoplePage>) -> Result<Json<SituationList>, Problem> {
    let mut channels = Vec::new();
    if page.cursor.is_none() {
        for channel in Channel::ALL {
            let key = channel.name().to_owned();
            let of = key.clone();
            let read = app.host.read::<ChannelWatch, _>(&key, move |reading| {
                Ok::<_, AgentError>(reading.get(&of)?.map(|state| state.standing.clone()))
            });
            let standing = read.await??.unwrap_or_default().into_iter();
            channels.extend(standing.map(|(kind, id)| ChannelSituation {
                id: id.into(),
                kind: kind.into(),
                channel: channel.name(),
            }));
        }
    }
    let pick = |profile, watched: &Watched| {
        let all = watched.situations().iter().map(|known| {
            let view = PersonSituation {
                id: known.id.to_string(),
                kind: known.kind.name(),
                profile: ProfileIdText(profile),
                context: Map::new(),
                because: known.because.to_string(),
                since_ms: known.since_ms,
                last_ms: known.last_ms,
                told_at_ms: known.told_ms,
                over: known.over.as_ref().map(|(why, _)| why.to_string()),
                over_at_ms: known.over.as_ref().map(|(_, at_ms)| *at_ms),
            };
            (view, known.event)
        });
        all.collect::<Vec<_>>()
    };
    let (found, next) = people::<Situations, _>(&app, &page, pick).await?;
    let journal = app.host.journal();
    let with_context = |(view, event)| Ok(PersonSituation { context: context(journal, event)?, ..view });
    let people = found.into_iter().map(with_context).collect::<Result<_, Problem>>()?;
    Ok(Json(SituationList { channels, people, next }))
}

/// What the event at `seq` tells of a product, where it is kept.
fn context(journal: &Journal, seq: Seq) -> Result<Map<String, Value>, Problem> {
    let Some(chunk) = journal.chunk(seq)? else { return Ok(Map::new()) };
    let topic = journal.known_name(Tracked::NAME);
    let entry = chunk.get(seq).filter(|entry| entry.erased.is_none() && Some(entry.topic) == topic);
    Ok(match entry {
        Some(entry) => context_of(entry.decode::<Tracked>(Tracked::VERSION)?),
        None => Map::new(),
    })
}

/// When something is a situation, and what was learned from who then ordered.
#[utoipa::path(
    get, path = "/api/situations/settings", tag = "situations",
    responses(
        (status = 200, description = "The settings", body = SettingsView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn settings(State(app): State<Arc<App>>) -> Result<Json<SettingsView>, Problem> {
    Ok(Json(view(&app).await?))
}

/// Sets when something is a situation; what is left out is as it is at first.
#[utoipa::path(
    put, path = "/api/situations/settings", tag = "situations", request_body = Object,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 200, description = "They stand", body = SettingsView),
        (status = 400, description = "Not settings that can be, and which field is wrong", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn set(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(settings): JsonBody<Settings>,
) -> Result<Json<SettingsView>, Problem> {
    let request = idempotency_key(&headers, &caller, "PUT /api/situations/settings")?;
    check_settings(&settings).map_err(Problem::invalid_body)?;
    let _one_at_a_time = app.defining.lock().await;
    if !is_repeated(&app, request) {
        let by = caller.key.id.as_str().into();
        let seq = say(&app, SituationsSet { settings, by }, request).await?;
        taken_in::<Situations>(&app, seq).await?;
        tracing::info!(by = caller.key.id, "when something is a situation was set");
    }
    Ok(Json(view(&app).await?))
}

async fn view(app: &App) -> Result<SettingsView, Problem> {
    let watching = app.host.read_worker::<Situations, _>(0, |reading| reading.shared::<Watching>().cloned());
    let watching = watching.await?.unwrap_or_default();
    let seen = app.host.read::<IntentLearner, _>(&(), |reading| Ok::<_, AgentError>(reading.get(&())?.cloned()));
    let Evidence { ordered, not_ordered, .. } = seen.await??.unwrap_or_default();
    let learned = Some(watching.because.to_string()).filter(|why| watching.settings.learn && !why.is_empty());
    Ok(SettingsView {
        product_views_in_force: watching.product_views(),
        settings: watching.settings,
        learned,
        episodes_ordered: ordered,
        episodes_not_ordered: not_ordered,
    })
}
