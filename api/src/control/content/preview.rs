//! `POST /api/templates/{id}/preview`: what a message would say to one person, sent to nobody.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_agents::{
    content::RenderInput,
    messaging::{Common, Messaging},
    vocabulary::{Channel, Refusal},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    catalog,
    templates::{WarningView, warnings},
};
use crate::{
    app::App,
    control::profiles::{ProfileIdText, find},
    http::{JsonBody, PathText},
    problem::Problem,
};

/// A way to reach a person.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ChannelName {
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Push notification.
    Push,
}

/// What is to be shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// For whom: `p_` and sixteen digits, or a kind and an identifier, e.g. `user_id:42`.
    profile: String,
    /// On which channel.
    channel: ChannelName,
    /// Which of the template's variants; its own texts unless said.
    #[serde(default)]
    variant: Option<String>,
    /// With which offer.
    #[serde(default)]
    offer: Option<String>,
    /// What it is about; the `context` of the template.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    context: Option<serde_json::Map<String, Value>>,
}

/// What a message would say.
#[derive(Serialize, ToSchema)]
struct PreviewView {
    /// To whom.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// The version of the template: the place of the entry that defined it.
    version: u64,
    /// The subject of an e-mail, the title of a push notification.
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    /// Plain text.
    text: String,
    /// HTML, of an e-mail.
    #[serde(skip_serializing_if = "String::is_empty")]
    html: String,
    /// Until when the offer would hold, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_ends_at_ms: Option<i64>,
    /// What of the template may stand, and may not be what was meant.
    warnings: Vec<WarningView>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(preview))
}

/// What a message would say to one person at this moment. Nothing is sent, and nothing is kept.
#[utoipa::path(
    post, path = "/api/templates/{id}/preview", tag = "content", request_body = Trial,
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 200, description = "What it would say", body = PreviewView),
        (status = 400, description = "Not a preview that can be, and why", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such template, or nobody has this identifier", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn preview(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    JsonBody(trial): JsonBody<Trial>,
) -> Result<Json<PreviewView>, Problem> {
    let wanted = id.clone();
    let known = catalog(&app, move |catalog| {
        catalog.template(&wanted).map(|known| (known.template.clone(), catalog.traits_of(&wanted)))
    });
    let known = known.await?.ok_or_else(|| Problem::not_found(format!("there is no template `{id}`")))?;
    let (template, traits) = known;
    let warnings = warnings(&template)?;
    let (profile, person) = find(&app, &trial.profile).await?;
    let channel = match trial.channel {
        ChannelName::Email => Channel::Email,
        ChannelName::Sms => Channel::Sms,
        ChannelName::Push => Channel::Push,
    };
    let level = trial.variant.map_or_else(|| id.clone(), |variant| format!("{id}#{variant}"));
    let traits = Value::Object(person.told_traits(&traits));
    let (features, contact) = (person.features(), person.contact());
    let context = Value::Object(trial.context.unwrap_or_default());
    let now_ms = app.clock.now_ms();
    let common = app.host.read_worker::<Messaging, _>(0, |reading| {
        reading.shared::<Common>().map_or_else(|| "UTC".into(), |common| common.house.policy.zone.clone())
    });
    let zone: Box<str> = match &contact.zone {
        Some(zone) => zone.clone(),
        None => common.await?,
    };
    let rendered = catalog(&app, move |catalog| {
        let input = RenderInput {
            traits: &traits,
            features: &features,
            contact: &contact,
            context: &context,
            now_ms,
            zone: &zone,
            campaign: None,
            message: None,
        };
        catalog.preview(&level, channel, trial.offer.as_deref(), &input)
    });
    let rendered = rendered.await?.map_err(|Refusal { why, .. }| Problem::invalid_body(String::from(why)))?;
    let content = rendered.content;
    Ok(Json(PreviewView {
        profile: ProfileIdText(profile),
        version: rendered.version,
        subject: content.subject.into(),
        text: content.text.into(),
        html: content.html.into(),
        offer_ends_at_ms: rendered.offer.and_then(|offer| offer.ends_ms),
        warnings,
    }))
}
