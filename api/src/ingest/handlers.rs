//! The routes of the ingest door.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use impresario_agents::vocabulary::{EventKind, Tracked};
use impresario_runtime::{
    Clock, Topic, WallClock,
    store::{Commit, Durability, NewEntry, OUTSIDE, codec},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    parse::{Body, Door, Parsed},
    reject::Reason,
    sources::{AcceptedView, SHOWN_OF_A_REQUEST},
};
use crate::{
    app::{App, DirectoryClock},
    http::{
        BodyRules, PathText,
        access::{presented_key, unknown_key},
        pour_away, read_body,
    },
    keys::{KeyRecord, Role},
    problem::Problem,
};

/// Bytes of a `Host` header that is said back at most.
const HOST_BYTES_MAX: usize = 255;

/// The answer to everything that was taken in.
#[derive(Serialize, ToSchema)]
pub struct Success {
    /// Always true.
    pub success: bool,
}

/// One event of Segment's tracking API. Fields not named here are accepted and not kept.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what is read by hand")]
#[schema(rename_all = "camelCase")]
pub struct SegmentEvent {
    /// Which call it is; needed in a batch, elsewhere the path says it.
    #[schema(rename = "type", example = "track")]
    kind: Option<String>,
    /// The client's id of this event, at most 100 characters: a repeated one is dropped.
    message_id: Option<String>,
    /// The person's id in the shop's own database. This or `anonymousId` must be there.
    user_id: Option<String>,
    /// The person's id on one device before they are known.
    anonymous_id: Option<String>,
    /// The earlier id an `alias` joins to `userId`.
    previous_id: Option<String>,
    /// The group of a `group` call.
    group_id: Option<String>,
    /// The event's name; must be there for `track`.
    event: Option<String>,
    /// The name of a page or screen.
    name: Option<String>,
    /// When it happened, ISO 8601.
    timestamp: Option<String>,
    /// When it happened by the client's clock, ISO 8601; goes before `timestamp`.
    original_timestamp: Option<String>,
    /// When it was sent by the client's clock, ISO 8601.
    sent_at: Option<String>,
    /// What is known of a track, page or screen.
    #[schema(value_type = Option<Object>)]
    properties: Option<()>,
    /// What is known of the person or group.
    #[schema(value_type = Option<Object>)]
    traits: Option<()>,
    /// Where it comes from.
    #[schema(value_type = Option<Object>)]
    context: Option<()>,
    /// The write key, where the request has no `Authorization` header.
    write_key: Option<String>,
}

/// A batch of Segment's tracking API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of what is read by hand")]
#[schema(rename_all = "camelCase")]
pub struct SegmentBatch {
    /// The events, each with its `type`.
    batch: Vec<SegmentEvent>,
    /// When it was sent by the client's clock, ISO 8601, where the events don't say.
    sent_at: Option<String>,
    /// Context for all events; an event's own goes before it, key by key.
    #[schema(value_type = Option<Object>)]
    context: Option<()>,
    /// The write key, where the request has no `Authorization` header.
    write_key: Option<String>,
}

macro_rules! doors {
    ($($name:ident $path:tt $kind:expr, $body:ty, $summary:tt;)*) => {
        $(
            #[doc = $summary]
            #[utoipa::path(
                post, path = $path, tag = "ingest", request_body = $body,
                responses(
                    (status = 200, description = "Taken in, and on disk", body = Success),
                    (status = 400, description = "Not JSON, or not an event; nothing was taken in", body = Problem),
                    (status = 401, description = "No write key, or an unknown one", body = Problem),
                    (status = 403, description = "Not a write key", body = Problem),
                    (status = 408, description = "The body took too long", body = Problem),
                    (status = 413, description = "Too large; nothing was taken in", body = Problem),
                    (status = 429, description = "Too much waits already, or the agents are too far behind; try again", body = Problem),
                    (status = 503, description = "Stopping, or stopped on an error; try again", body = Problem),
                    (status = 507, description = "The disk is too full", body = Problem),
                ),
                security(("basic" = []), ("bearer" = []), ()),
            )]
            async fn $name(State(app): State<Arc<App>>, request: Request) -> Response {
                take(&app, request, $kind).await
            }
        )*

        /// The routes of the ingest door.
        pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
            OpenApiRouter::new()$(.routes(routes!($name)))*
                .routes(routes!(settings))
                .routes(routes!(metrics_dropped))
        }
    };
}

doors! {
    identify "/v1/identify" Some(EventKind::Identify), SegmentEvent, "Who a person is.";
    track "/v1/track" Some(EventKind::Track), SegmentEvent, "What a person did.";
    page "/v1/page" Some(EventKind::Page), SegmentEvent, "A web page seen.";
    screen "/v1/screen" Some(EventKind::Screen), SegmentEvent, "An app screen seen.";
    group "/v1/group" Some(EventKind::Group), SegmentEvent, "The group a person belongs to.";
    alias "/v1/alias" Some(EventKind::Alias), SegmentEvent, "Two ids are one person.";
    batch "/v1/batch" None, SegmentBatch, "Many events at once.";
    import "/v1/import" None, SegmentBatch, "Many events of the past at once.";
    identify_short "/v1/i" Some(EventKind::Identify), SegmentEvent, "Short for `/v1/identify`.";
    track_short "/v1/t" Some(EventKind::Track), SegmentEvent, "Short for `/v1/track`.";
    page_short "/v1/p" Some(EventKind::Page), SegmentEvent, "Short for `/v1/page`.";
    screen_short "/v1/s" Some(EventKind::Screen), SegmentEvent, "Short for `/v1/screen`.";
    group_short "/v1/g" Some(EventKind::Group), SegmentEvent, "Short for `/v1/group`.";
    alias_short "/v1/a" Some(EventKind::Alias), SegmentEvent, "Short for `/v1/alias`.";
    batch_short "/v1/b" None, SegmentBatch, "Short for `/v1/batch`.";
}

/// The settings a browser client asks for at its start: its events go to where it asked, and nothing
/// goes anywhere else.
#[utoipa::path(
    get, path = "/v1/projects/{write_key}/settings", tag = "ingest",
    params(("write_key" = String, Path, description = "The client's write key; it is said back, and not looked up")),
    responses((status = 200, description = "Settings", body = Object)),
)]
async fn settings(PathText(write_key): PathText, headers: HeaderMap) -> Response {
    let mut response = Json(browser_settings(&write_key, &headers)).into_response();
    // They name the host they were asked of: no cache may give them to somebody else.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Without a `Segment.io` of its own here, the client sends to Segment's servers, whatever the page says; without
/// the rate of nought it sends what it measures of itself there.
fn browser_settings(write_key: &str, headers: &HeaderMap) -> Value {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut destination = json!({ "apiKey": write_key });
    if let Some(host) = text("host").filter(|host| is_host(host)) {
        // Whoever speaks TLS for this server says so.
        let protocol = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        destination["apiHost"] = json!(format!("{host}/v1"));
        destination["protocol"] = json!(protocol);
    }
    let enabled = json!({ "__default": { "enabled": true, "integrations": {} } });
    json!({
        "integrations": { "Segment.io": destination },
        "plan": { "track": &enabled, "identify": &enabled, "group": &enabled },
        "metrics": { "sampleRate": 0 },
        "edgeFunction": {},
    })
}

/// A name or address, with or without a port.
fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(fits)
}

/// What clients measure of themselves: taken, and dropped.
#[utoipa::path(
    post, path = "/v1/m", tag = "ingest",
    responses((status = 200, description = "Dropped", body = Success)),
)]
async fn metrics_dropped() -> Response {
    success()
}

fn success() -> Response {
    let mut response = HttpBody::from(r#"{"success":true}"#).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Takes in one request: one event of `kind`, or a batch.
async fn take(app: &App, request: Request, kind: Option<EventKind>) -> Response {
    let now_ms = app.clock.now_ms();
    match taken(app, request, kind, now_ms).await {
        Ok(()) => success(),
        Err((source, problem)) => {
            app.sources.refused(source.as_deref(), now_ms, &problem);
            problem.into_response()
        }
    }
}

type Refused = (Option<Arc<str>>, Problem);

async fn taken(app: &App, request: Request, kind: Option<EventKind>, now_ms: i64) -> Result<(), Refused> {
    let (parts, body) = request.into_parts();
    let by_header = writer(app, &parts.headers).map_err(|problem| (None, problem))?;
    let source = by_header.as_ref().map(|key| Arc::clone(&key.name));
    let refused = |problem: Problem| (source.clone(), problem);
    if let Err(problem) = app.pace().await {
        pour_away(body, app.config.ingest.batch_bytes_max).await;
        return Err(refused(problem));
    }
    let rules = BodyRules {
        bodies: &app.bodies,
        bytes_max: app.config.ingest.batch_bytes_max,
        within: Duration::from_millis(app.config.server.body_ms_max),
    };
    let (bytes, _hold) = read_body(body, &parts.headers, &rules).await.map_err(refused)?;
    let (commit, source, parsed, shown) = {
        let body = Body::read(&bytes, kind, &app.config.ingest).map_err(refused)?;
        let key = match by_header {
            Some(key) => key,
            None => writer_of(app, body.write_key()).map_err(refused)?,
        };
        let source = key.name;
        let refused = |problem: Problem| (Some(Arc::clone(&source)), problem);
        let mut parsed = judged(app, body, &source).map_err(refused)?;
        if app.config.server.parse_only {
            return Ok(());
        }
        let first_shown = parsed.events.len().saturating_sub(SHOWN_OF_A_REQUEST);
        let shown: Vec<_> = parsed.events.iter().skip(first_shown).map(|(event, _)| AcceptedView::of(event)).collect();
        let commit = commit_of(app, &source, std::mem::take(&mut parsed.events)).map_err(refused)?;
        (commit, source, parsed, shown)
    };
    let refused = |problem: Problem| (Some(Arc::clone(&source)), problem);
    let events = commit.entries.len() as u64;
    if events > 0 {
        let receipt = app.submit(commit).await.map_err(refused)?;
        app.sources.accepted(&source, now_ms, events, &receipt, shown);
    }
    app.sources.rejected(&source, now_ms, &parsed.rejected);
    match (kind, parsed.rejected.first()) {
        // A batch is taken in as far as it is good; who sent one bad event is told.
        (Some(_), Some(rejection)) => Err(refused(problem_of(rejection.reason))),
        _ => Ok(()),
    }
}

fn problem_of(reason: Reason) -> Problem {
    let status = if reason == Reason::TooLarge { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
    Problem::new(status, reason.code(), "The event was not taken in", reason.to_string())
}

/// The ingest key in the headers, if there is a key.
fn writer(app: &App, headers: &HeaderMap) -> Result<Option<KeyRecord>, Problem> {
    presented_key(headers)?.map(|key| writer_of(app, Some(&key))).transpose()
}

fn writer_of(app: &App, presented: Option<&str>) -> Result<KeyRecord, Problem> {
    let presented = presented.ok_or_else(|| {
        Problem::no_key("send the write key as the user of Basic authorization, as Bearer, or as `writeKey`")
    })?;
    let key = app.keys.find(presented).ok_or_else(unknown_key)?;
    if key.role != Role::Ingest {
        return Err(Problem::wrong_role(format!("the key's role is {}, ingest is needed", key.role.name())));
    }
    Ok(key)
}

/// The events of a body, with the times of this directory's clock.
fn judged(app: &App, body: Body<'_>, source: &str) -> Result<Parsed, Problem> {
    let limits = &app.config.ingest;
    let request = app.next_request();
    let DirectoryClock::Data(clock) = &app.clock else {
        let door = Door { received_at_ms: app.clock.now_ms(), request, data_clock: false, limits };
        return body.events(source, &door);
    };
    // Data may carry its clock along, but never past the real present.
    let door = Door { received_at_ms: WallClock.now_ms(), request, data_clock: true, limits };
    let mut parsed = body.events(source, &door)?;
    for (event, _) in &mut parsed.events {
        if event.original_at_ms.is_none() {
            event.at_ms = clock.now_ms();
        }
    }
    if let Some(latest) = parsed.events.iter().map(|(event, _)| event.at_ms).max() {
        clock.advance_to(latest);
    }
    let now_ms = clock.now_ms();
    parsed.events.iter_mut().for_each(|(event, _)| event.received_at_ms = now_ms);
    Ok(parsed)
}

fn commit_of(app: &App, source: &str, events: Vec<(Tracked, bool)>) -> Result<Commit, Problem> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries.reserve(events.len());
    for (event, has_own_id) in events {
        // An id made here is new by itself.
        let (dedup, fingerprint) = match has_own_id {
            true => (dedup_hash(&app.dedup_key, source, &event.message_id), fingerprint(&event)),
            false => (0, 0),
        };
        commit.entries.push(NewEntry {
            partition: event.partition().unwrap_or_default(),
            topic: app.tracked,
            cause: 0,
            dedup,
            fingerprint,
            body: codec::encode(Tracked::VERSION, &event)?,
            decoded: Some(Arc::new(event)),
        });
    }
    Ok(commit)
}

/// The key of a directory's hashes of message ids, by its seed.
pub(crate) fn dedup_key(seed: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("impresario message ids", seed)
}

/// The keyed hash of a message id of a source; never 0, which would mean none.
pub(crate) fn dedup_hash(key: &[u8; 32], source: &str, message_id: &str) -> u64 {
    let mut text = [0_u8; 1_024];
    let parts = [source.as_bytes(), &[0], message_id.as_bytes()];
    let mut length = 0;
    for part in parts {
        if let Some(place) = text.get_mut(length..length + part.len()) {
            place.copy_from_slice(part);
        }
        length += part.len();
    }
    let hash = blake3::keyed_hash(key, text.get(..length).unwrap_or_default());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// A fingerprint of what an event says, the same when the client sends it again; never 0, which would
/// mean none. Times and context are left out: a client may set them anew when it tries again.
///
/// It is kept with the id, so it must stay the same function (wyhash's mixing step over words of eight bytes).
fn fingerprint(event: &Tracked) -> u32 {
    let ids = [&event.user_id, &event.anonymous_id, &event.previous_id, &event.group_id];
    let ids = ids.map(|id| id.as_deref().unwrap_or_default());
    let mut sum = event.kind as u64;
    for text in ids.into_iter().chain([&*event.name, event.properties.as_str()]) {
        sum = mixed(sum, text.len() as u64);
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            sum = mixed(sum, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        sum = mixed(sum, u64::from_le_bytes(last));
    }
    ((sum ^ (sum >> 32)) as u32).max(1)
}

fn mixed(sum: u64, word: u64) -> u64 {
    let product = u128::from(sum ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(word ^ 0x8bb8_4b93_962e_acc9);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_told_apart_by_source_and_never_hash_to_none() {
        let key = [7; 32];
        let long = "ł".repeat(100);
        let pairs = [("a", "1"), ("a", "2"), ("b", "1"), ("a1", ""), ("a", long.as_str())];
        let hashes: Vec<_> = pairs.iter().map(|(source, id)| dedup_hash(&key, source, id)).collect();
        for (place, hash) in hashes.iter().enumerate() {
            assert_ne!(*hash, 0);
            assert!(!hashes[..place].contains(hash));
        }
        assert_ne!(dedup_hash(&[8; 32], "a", "1"), hashes[0]);
    }
}
