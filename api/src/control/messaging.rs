//! `/api/messaging/policy`: what the gate goes by; `/api/profiles/{id}/messages`: what became of each message.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::HeaderMap};
use impresario_agents::{
    gate::{GatePolicy, GatePolicySet, check_policy},
    messaging::{Common, Correspondent, Fate, Letter, Messaging},
    vocabulary::{Channel, MessageClass, MessageId, Millis, ProfileId, ReceiptKind, Refusal},
};
use impresario_runtime::{AgentError, Reading};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Limit, limit_default},
    profiles::{ProfileIdText, find},
    say::{is_repeated, say, taken_in},
};
use crate::{
    app::App,
    http::{JsonBody, PathText, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// Profiles that became one another's in a row; each goes to a lower number.
const HOPS_MAX: usize = 64;

/// A page of a person's messages.
#[derive(Serialize, ToSchema)]
struct MessageList {
    /// The person's profile.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// Why nothing that persuades is sent to them, where it is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<String>,
    /// The messages, the latest first. The newest two hundred of a person are kept at hand.
    messages: Vec<MessageView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One message to a person, wherever it has got to.
#[derive(Serialize, ToSchema)]
struct MessageView {
    /// Its id.
    id: String,
    /// `email`, `sms` or `push`.
    #[schema(value_type = String)]
    channel: Channel,
    /// `marketing` or `transactional`, as it was asked for.
    #[schema(value_type = String)]
    class: MessageClass,
    /// The template.
    template: String,
    /// The offer in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<String>,
    /// For which campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<String>,
    /// Which decision it comes of.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    /// What brought it about.
    #[serde(skip_serializing_if = "String::is_empty")]
    because: String,
    /// Why by this channel, where a journey let the person's own answers choose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_because: Option<String>,
    /// The message of the same step that did not go: by which channel, and who refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead_of: Option<InsteadOfView>,
    /// What it has come to: `what` of the last of its fates.
    status: &'static str,
    /// When it was let through and given to its channel, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at_ms: Option<Millis>,
    /// What was said of it, the oldest first: each verdict of the gate, what the channel said, each receipt.
    fates: Vec<FateView>,
}

/// A message that did not go, in whose place another one was asked for.
#[derive(Serialize, ToSchema)]
struct InsteadOfView {
    /// Its id.
    id: String,
    /// `email`, `sms` or `push`.
    #[schema(value_type = String)]
    channel: Channel,
    /// The guard that refused it; `channel` where its channel has not taken it.
    guard: String,
    /// Why.
    why: String,
}

/// What was said of a message.
#[derive(Default, Serialize, ToSchema)]
struct FateView {
    /// When, milliseconds since 1970 UTC.
    at_ms: Millis,
    /// `asked`, `held`, `refused`, `withdrawn`, `sent`, `delivered`, `failed`, or a receipt: `opened`, `clicked`,
    /// `bounced`, `complained`, `unsubscribed`, `replied`, `arrived`.
    what: &'static str,
    /// Which guard held or refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// When everything is checked again; none where it waits for sending to be resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<Millis>,
    /// Every guard that let it through, in the order they were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MessagesQuery {
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(policy, set_policy)).routes(routes!(messages))
}

/// What the gate goes by: quiet hours, frequency caps, the shop's holdout, how consent is proved.
#[utoipa::path(
    get, path = "/api/messaging/policy", tag = "content",
    responses(
        (status = 200, description = "The policy", body = Object),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn policy(State(app): State<Arc<App>>) -> Result<Json<GatePolicy>, Problem> {
    standing(&app).await
}

/// Sets what the gate goes by, whole; what is left out is as it is at first. What waits is checked by it.
#[utoipa::path(
    put, path = "/api/messaging/policy", tag = "content", request_body = Object,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 200, description = "It stands", body = Object),
        (status = 400, description = "Not a policy that can be gone by, and which field is wrong", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 409, description = "This `Idempotency-Key` belongs to another request", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn set_policy(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(policy): JsonBody<GatePolicy>,
) -> Result<Json<GatePolicy>, Problem> {
    let request = idempotency_key(&headers, &caller, "PUT /api/messaging/policy")?;
    check_policy(&policy).map_err(|error| Problem::invalid_body(format!("`{}`: {}", error.place, error.what)))?;
    let _one_at_a_time = app.defining.lock().await;
    if !is_repeated(&app, request) {
        let seq = say(&app, GatePolicySet { policy }, request).await?;
        taken_in::<Messaging>(&app, seq).await?;
        tracing::info!(by = caller.key.id, "what the gate goes by was set");
    }
    standing(&app).await
}

async fn standing(app: &App) -> Result<Json<GatePolicy>, Problem> {
    let read = app.host.read_worker::<Messaging, _>(0, |reading| {
        reading.shared::<Common>().map(|common| common.house.policy.clone()).unwrap_or_default()
    });
    Ok(Json(read.await?))
}

/// What became of each message to a customer, and why: the latest first.
#[utoipa::path(
    get, path = "/api/profiles/{id}/messages", tag = "profiles",
    params(("id" = String, Path, description = "As for one customer"), MessagesQuery),
    responses(
        (status = 200, description = "A page of messages", body = MessageList),
        (status = 400, description = "Not an identifier, or not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "Nobody has this identifier", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn messages(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<MessageList>, Problem> {
    let (profile, _) = find(&app, &id).await?;
    let (cursor, limit) = (query.cursor, query.limit.get());
    let page = move |person: &Correspondent| {
        let mut letters = person.letters.iter().rev().peekable();
        if let Some(last) = &cursor {
            let _ = letters.by_ref().find(|letter| letter.id.to_string() == *last);
        }
        let messages: Vec<_> = letters.by_ref().take(limit).map(view).collect();
        let next = letters.peek().and(messages.last()).map(|last| last.id.clone());
        (person.held_back.as_deref().map(ToOwned::to_owned), messages, next)
    };
    let (held_back, messages, next) = correspondent(&app, profile, page).await?.unwrap_or_default();
    Ok(Json(MessageList { profile: ProfileIdText(profile), held_back, messages, next }))
}

/// Looks at what the messaging agent keeps of a person, wherever it has gone.
async fn correspondent<R: Send + 'static>(
    app: &App,
    profile: ProfileId,
    look: impl FnOnce(&Correspondent) -> R + Clone + Send + 'static,
) -> Result<Option<R>, Problem> {
    let (mut at, mut hops) = (profile, 0);
    loop {
        let look = look.clone();
        let read = app.host.read::<Messaging, _>(&at, move |reading: &mut Reading<'_, Messaging>| {
            let found = match reading.moved_to(&at)? {
                Some(next) => Err(next),
                None => Ok(reading.get(&at)?.map(look)),
            };
            Ok::<Result<_, ProfileId>, AgentError>(found)
        });
        match read.await?? {
            Err(next) if hops < HOPS_MAX => (at, hops) = (next, hops + 1),
            Err(_) => return Err(Problem::not_found("nobody has this identifier")),
            Ok(found) => return Ok(found),
        }
    }
}

/// What became of one message last; none where it is not among the newest of its person.
pub(super) async fn last_fate(app: &App, profile: ProfileId, id: MessageId) -> Result<Option<(Millis, Fate)>, Problem> {
    let last = move |person: &Correspondent| {
        person.letters.iter().find(|letter| letter.id == id).and_then(|letter| letter.fates.last().cloned())
    };
    Ok(correspondent(app, profile, last).await?.flatten())
}

fn view(letter: &Letter) -> MessageView {
    let fates: Vec<_> = letter.fates.iter().map(|(at_ms, fate)| fate_view(*at_ms, fate)).collect();
    MessageView {
        id: letter.id.to_string(),
        channel: letter.channel,
        class: letter.class,
        template: letter.template.to_string(),
        offer: letter.offer.as_deref().map(ToOwned::to_owned),
        campaign: letter.campaign.as_deref().map(ToOwned::to_owned),
        decision: letter.decision.map(|decision| decision.to_string()),
        because: letter.because.to_string(),
        channel_because: letter.channel_because.as_deref().map(ToOwned::to_owned),
        instead_of: letter.instead_of.as_ref().map(|gone| InsteadOfView {
            id: gone.message.to_string(),
            channel: gone.channel,
            guard: gone.by.guard.to_string(),
            why: gone.by.why.to_string(),
        }),
        status: fates.last().map_or("asked", |fate| fate.what),
        sent_at_ms: letter.sent_ms(),
        fates,
    }
}

fn fate_view(at_ms: Millis, fate: &Fate) -> FateView {
    let of = |what| FateView { at_ms, what, ..FateView::default() };
    let by = |what, Refusal { guard, why }: &Refusal| FateView {
        guard: Some(guard.to_string()),
        why: Some(why.to_string()),
        ..of(what)
    };
    match fate {
        Fate::Asked => of("asked"),
        Fate::Held { until_ms, by: refusal } => FateView { until_ms: *until_ms, ..by("held", refusal) },
        Fate::Refused(refusal) => by("refused", refusal),
        Fate::Withdrawn(why) => FateView { why: Some(why.to_string()), ..of("withdrawn") },
        Fate::Sent(guards) => FateView { guards: guards.iter().map(ToString::to_string).collect(), ..of("sent") },
        Fate::Delivered => of("delivered"),
        Fate::Failed(why) => FateView { why: Some(why.to_string()), ..of("failed") },
        Fate::Receipt(kind) => of(match kind {
            ReceiptKind::Delivered => "arrived",
            ReceiptKind::Opened => "opened",
            ReceiptKind::Clicked => "clicked",
            ReceiptKind::Bounced => "bounced",
            ReceiptKind::Complained => "complained",
            ReceiptKind::Unsubscribed => "unsubscribed",
            ReceiptKind::Replied => "replied",
        }),
    }
}
