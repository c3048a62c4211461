//! Who is in a segment, now or at an instant, and how its size went.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use axum::{Json, extract::State};
use impresario_agents::{
    segmentation::{Definitions, Instant, Members, Segmentation, members_at},
    vocabulary::ProfileId,
};
use impresario_runtime::AgentError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{segment, sizes};
use crate::{
    app::App,
    control::{
        page::{Cursor, Limit, limit_default},
        profiles::ProfileIdText,
    },
    http::{PathText, Query},
    problem::Problem,
};

/// People looked at in one question to an agent: it folds nothing meanwhile.
const PEOPLE_A_QUESTION: usize = 2_048;
/// People looked at for one page; a page may end with fewer members than asked for.
const PEOPLE_A_PAGE: usize = 100_000;

/// A page of members.
#[derive(Serialize, ToSchema)]
struct MemberList {
    /// How many members there are; told for a given instant, see the segment for the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    /// The members, in no order that means anything. A page may be short while there is a next one.
    members: Vec<MemberView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One member.
#[derive(Serialize, ToSchema)]
struct MemberView {
    /// The profile's id.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// Since when, milliseconds since 1970 UTC.
    since_ms: i64,
}

/// How a segment's size went, day by day.
#[derive(Serialize, ToSchema)]
struct History {
    /// The segment's id.
    segment: String,
    /// Members now.
    size: u64,
    /// The days on which somebody entered or left, oldest first; the last 1,100 of them.
    days: Vec<DayView>,
}

/// One UTC day.
#[derive(Serialize, ToSchema)]
struct DayView {
    /// Its date, e.g. `1998-03-01`.
    date: String,
    /// How often somebody entered.
    entered: u64,
    /// How often somebody left.
    left: u64,
    /// Members at its end.
    size: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MembersQuery {
    /// At which instant (RFC 3339, or a date); the present unless said.
    #[param(value_type = Option<String>)]
    at: Option<Instant>,
    /// Where the page begins: `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(members)).routes(routes!(history))
}

/// Who is in a segment, or was at an instant.
#[utoipa::path(
    get, path = "/api/segments/{id}/members", tag = "segments",
    params(("id" = String, Path, description = "The segment's id"), MembersQuery),
    responses(
        (status = 200, description = "A page of members", body = MemberList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such segment", body = Problem),
        (status = 429, description = "Too many such questions at once", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn members(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(query): Query<MembersQuery>,
) -> Result<Json<MemberList>, Problem> {
    let segment = segment(&app, &id).await?;
    let place = query.cursor.unwrap_or_default();
    let limit = query.limit.get();
    match query.at {
        Some(at) => {
            let found = past_members(&app, segment.defined.id, at.ms()).await?;
            Ok(Json(page_of(&found, place.after, limit)))
        }
        None => Ok(Json(members_now(&app, segment.defined.id, place, limit).await?)),
    }
}

/// Who was in a segment at an instant. The pages of one answer are cut from one reading of the journal.
async fn past_members(app: &App, segment: Box<str>, at_ms: i64) -> Result<Arc<Members>, Problem> {
    if let Some(found) = app.past_members.get(&segment, at_ms) {
        return Ok(found);
    }
    // Journal time never goes back: what lies before its last entry stays as it is.
    let is_past = app.host.journal().last_at().is_some_and(|last| at_ms < last);
    let journal = Arc::clone(app.host.journal());
    let id = segment.clone();
    let found = Arc::new(app.aside(move || members_at(&journal, &id, at_ms)).await??);
    if is_past {
        app.past_members.keep(segment, at_ms, Arc::clone(&found));
    }
    Ok(found)
}

fn page_of(found: &Members, after: Option<ProfileId>, limit: usize) -> MemberList {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = found.range((from, Bound::Unbounded));
    let page: Vec<_> = rest.by_ref().take(limit).map(|(profile, since_ms)| member(*profile, *since_ms)).collect();
    let next = rest.next().and(page.last()).map(|last| Cursor { worker: 0, after: Some(last.profile.0) }.to_string());
    MemberList { size: Some(found.len()), members: page, next }
}

async fn members_now(app: &App, id: Box<str>, start: Cursor, limit: usize) -> Result<MemberList, Problem> {
    let id: Arc<str> = id.into();
    let workers = app.host.workers::<Segmentation>();
    let mut place = start;
    let mut members = Vec::new();
    let mut looked_at = 0;
    while place.worker < workers && members.len() < limit && looked_at < PEOPLE_A_PAGE {
        let (id, from, left) = (Arc::clone(&id), place.from(), limit - members.len());
        let question = app.host.read_worker::<Segmentation, _>(place.worker, move |reading| {
            let definitions = reading.shared::<Definitions>();
            let keys = reading.keys_from(&from, PEOPLE_A_QUESTION)?;
            let mut found = Vec::new();
            let mut last = None;
            let mut count = 0;
            for profile in keys {
                if found.len() == left {
                    break;
                }
                let since = reading
                    .get(&profile)?
                    .zip(definitions)
                    .and_then(|(person, definitions)| Segmentation::member_since(person, definitions, &id));
                found.extend(since.map(|since_ms| member(profile, since_ms)));
                last = Some(profile);
                count += 1;
            }
            Ok::<_, AgentError>((found, last, count))
        });
        let (found, last, count) = question.await??;
        looked_at += count;
        members.extend(found);
        place = match last {
            Some(last) if count == PEOPLE_A_QUESTION || members.len() == limit => {
                Cursor { worker: place.worker, after: Some(last) }
            }
            _ => Cursor { worker: place.worker + 1, after: None },
        };
    }
    let next = (place.worker < workers).then(|| place.to_string());
    Ok(MemberList { size: None, members, next })
}

fn member(profile: ProfileId, since_ms: i64) -> MemberView {
    MemberView { profile: ProfileIdText(profile), since_ms }
}

/// How a segment's size went, day by day.
#[utoipa::path(
    get, path = "/api/segments/{id}/history", tag = "segments",
    params(("id" = String, Path, description = "The segment's id")),
    responses(
        (status = 200, description = "The days", body = History),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such segment", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn history(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<History>, Problem> {
    let segment = segment(&app, &id).await?;
    let size = sizes(&app, vec![segment.defined.id.to_string()]).await?.into_iter().next().unwrap_or_default();
    Ok(Json(History { segment: id, size: size.size, days: days(&size.days) }))
}

fn days(days: &BTreeMap<i32, impresario_agents::segmentation::DayOfSegment>) -> Vec<DayView> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = days.iter().filter_map(|(day, counts)| {
        let date = epoch.checked_add(jiff::Span::new().try_days(*day).ok()?).ok()?;
        Some(DayView { date: date.to_string(), entered: counts.entered, left: counts.left, size: counts.size })
    });
    days.collect()
}
