//! `/api/decisions`: why this was done, or nothing was: all that was looked at, and what came of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use impresario_agents::{
    campaigns::{CampaignStarted, DecisionRecord, Decisions, features},
    messaging::Fate,
    vocabulary::{
        DecisionId, DecisionMade, DecisionRequested, Group, MessageRefused, MessageReturned, MessageSent,
        RewardObserved,
    },
};
use impresario_runtime::{
    AgentError, Topic,
    store::{Journal, Seq},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    campaigns::{ArmView, arm_view},
    messaging::last_fate,
};
use crate::{app::App, http::PathText, problem::Problem};

/// An arm that could be chosen.
#[derive(Serialize, ToSchema)]
struct CandidateView {
    #[serde(flatten)]
    arm: ArmView,
    /// How likely it was to be chosen.
    propensity: f32,
}

/// A decision, explained.
#[derive(Serialize, ToSchema)]
struct DecisionView {
    /// Its id.
    id: String,
    /// In words.
    words: String,
    /// Which campaign.
    campaign: String,
    /// Whom it is about.
    profile: String,
    /// When it was made, milliseconds since 1970 UTC.
    at_ms: i64,
    /// When it is to be done, as far as was known.
    due_ms: i64,
    /// `policy`, `random` or `holdout`.
    #[schema(value_type = String)]
    group: Group,
    /// The chosen arm.
    chosen: ArmView,
    /// How likely it was chosen.
    propensity: f32,
    /// Whether another arm than the one believed best was chosen.
    explored: bool,
    /// Why nothing was done though it was not the policy's own choice: `guard`, `why`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    withheld: Option<Value>,
    /// The arms that could be chosen, the likeliest first.
    candidates: Vec<CandidateView>,
    /// The person, as they were looked at, by name.
    features: BTreeMap<String, f32>,
    /// Hash of the model that decided.
    model: Box<str>,
    /// The place of the entry that started the plan it rode on.
    plan: u64,
    /// What the gate said of each channel: `channel`, `from_ms`, `hours`, `refused`.
    #[schema(value_type = Vec<Object>)]
    verdicts: Value,
    /// What was set aside of the campaign's bounds.
    #[schema(value_type = Object)]
    reserved: Value,
    /// What it was about.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    context: Value,
    /// The message that came of it. Its `status`: `refused` or `held` with the guard and why; `sent` with the guards that let it
    /// through; then `delivered`, with its last `receipt`, or `failed`, with `why`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    message: Option<Value>,
    /// The reward, once its attribution window is over, and what it is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    reward: Option<Value>,
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(one))
}

/// An entry's body with when it came and what it came of; none where it is erased, or another topic.
fn said<T: Topic + Clone>(journal: &Journal, seq: Seq) -> Result<Option<(T, i64, Seq)>, Problem> {
    let Some(chunk) = journal.chunk(seq)? else { return Ok(None) };
    let topic = journal.known_name(T::NAME);
    let entry = chunk.get(seq).filter(|entry| entry.erased.is_none() && Some(entry.topic) == topic);
    let Some(entry) = entry else { return Ok(None) };
    Ok(Some((entry.decode::<T>(T::VERSION)?.clone(), entry.at_ms, entry.cause)))
}

/// Explains one decision: the candidates with their likelihoods, the person as they were seen, what the gate
/// said, the message that came of it, and the reward.
#[utoipa::path(
    get, path = "/api/decisions/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The decision's id, `d_` and sixteen hexadecimal digits")),
    responses(
        (status = 200, description = "The decision", body = DecisionView),
        (status = 400, description = "Not an id of a decision", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such decision, or its person was erased", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<DecisionView>, Problem> {
    let id: DecisionId =
        id.parse().map_err(|_| Problem::invalid_path("a decision is `d_` and 16 hexadecimal digits"))?;
    let read = app.host.read::<Decisions, _>(&id, move |reading| Ok::<_, AgentError>(reading.get(&id)?.cloned()));
    let missing = || Problem::not_found(format!("there is no decision `{id}`, or its person was erased"));
    let record: DecisionRecord = read.await??.ok_or_else(missing)?;
    let journal = app.host.journal();
    let (made, at_ms, cause) = said::<DecisionMade>(journal, record.made)?.ok_or_else(missing)?;
    let asked = said::<DecisionRequested>(journal, cause)?.map(|(asked, ..)| asked);
    let plan = said::<CampaignStarted>(journal, made.plan)?.map(|(started, ..)| started.plan);
    let mut message = message(journal, &record)?;
    if let (Some(message), Some((id, _))) = (&mut message, record.message)
        && message["status"] == "sent"
    {
        let fate = last_fate(&app, made.profile, id).await?;
        became_of(message, fate.as_ref());
    }
    let reward = match record.rewarded {
        Some(seq) => said::<RewardObserved>(journal, seq)?.map(
            |(observed, at_ms, _)| json!({ "reward": observed.reward, "at_ms": at_ms, "outcome": observed.outcome }),
        ),
        None => None,
    };
    let mut candidates: Vec<_> = made
        .candidates
        .iter()
        .map(|(arm, propensity)| CandidateView { arm: arm_view(plan.as_ref(), *arm), propensity: *propensity })
        .collect();
    candidates.sort_by(|one, other| other.propensity.total_cmp(&one.propensity).then(one.arm.arm.cmp(&other.arm.arm)));
    let names = features::NAMES.iter().map(|name| (*name).to_owned());
    Ok(Json(DecisionView {
        words: words(&made, message.as_ref(), reward.as_ref()),
        id: made.id.to_string(),
        campaign: made.campaign.to_string(),
        profile: made.profile.to_string(),
        at_ms,
        due_ms: made.at_ms,
        group: made.group,
        chosen: arm_view(plan.as_ref(), made.chosen),
        propensity: made.propensity,
        explored: made.explored,
        withheld: made.withheld.as_ref().and_then(|withheld| serde_json::to_value(withheld).ok()),
        candidates,
        features: names.zip(made.features.iter().copied()).collect(),
        model: made.model.clone(),
        plan: made.plan,
        verdicts: asked.map(|asked| serde_json::to_value(asked.channels).unwrap_or_default()).unwrap_or(json!([])),
        reserved: serde_json::to_value(made.reserved).unwrap_or_default(),
        context: made.context,
        message,
        reward,
    }))
}

/// What became of its message.
fn message(journal: &Journal, record: &DecisionRecord) -> Result<Option<Value>, Problem> {
    let Some((id, seq)) = record.message else { return Ok(None) };
    if let Some((sent, at_ms, _)) = said::<MessageSent>(journal, seq)? {
        let (template, version) = sent.template;
        return Ok(Some(json!({
            "id": id.to_string(), "status": "sent", "at_ms": at_ms, "channel": sent.channel,
            "template": template, "template_version": version, "offer": sent.offer, "guards": sent.guards,
        })));
    }
    if let Some((returned, at_ms, _)) = said::<MessageReturned>(journal, seq)? {
        return Ok(Some(json!({
            "id": id.to_string(), "status": "held", "at_ms": at_ms, "channel": returned.channel,
            "until_ms": returned.until_ms, "by": returned.by,
        })));
    }
    Ok(said::<MessageRefused>(journal, seq)?.map(|(refused, at_ms, _)| {
        json!({ "id": id.to_string(), "status": "refused", "at_ms": at_ms, "channel": refused.channel, "by": refused.by })
    }))
}

/// What is said of a message that was let through: its channel has taken it or not, and what came of it.
fn became_of(message: &mut Value, fate: Option<&(i64, Fate)>) {
    match fate {
        Some((_, Fate::Failed(why))) => {
            message["status"] = json!("failed");
            message["why"] = json!(why);
        }
        Some((_, Fate::Delivered)) => message["status"] = json!("delivered"),
        Some((_, Fate::Receipt(kind))) => {
            message["status"] = json!("delivered");
            message["receipt"] = json!(kind);
        }
        _ => {}
    }
}

/// What became of its message, as a sentence.
fn message_words(message: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    match message["status"].as_str() {
        Some("refused") => {
            let by = &message["by"];
            format!(" Its message was refused by guard `{}`: {}.", text(&by["guard"]), text(&by["why"]))
        }
        Some("held") => {
            let by = &message["by"];
            format!(" Its message is held by guard `{}`: {}.", text(&by["guard"]), text(&by["why"]))
        }
        Some("failed") => format!(" Its message was let through and did not go out: {}.", text(&message["why"])),
        Some("delivered") => match message["receipt"].as_str() {
            Some(receipt) if receipt != "delivered" => format!(" Its message was delivered, then {receipt}."),
            _ => " Its message was delivered.".to_owned(),
        },
        _ => " Its message was sent.".to_owned(),
    }
}

/// The decision in a few sentences.
fn words(made: &DecisionMade, message: Option<&Value>, reward: Option<&Value>) -> String {
    let share = |likely: f32| format!("{:.1} %", f64::from(likely) * 100.0);
    let who = match made.group {
        Group::Policy => "What was learned decided",
        Group::Random => "Chance decided, to have something to measure against",
        Group::Holdout => "The person is left alone, to have something to measure against",
    };
    let what = match (&made.arm, &made.withheld) {
        // That they are left alone says it all; else it was a guard, and neither chance nor what was learned.
        (_, Some(withheld)) if made.group == Group::Holdout && &*withheld.guard == "holdout" => {
            return format!("{who}: nothing was done.{}", reward_words(reward));
        }
        (_, Some(withheld)) => {
            return format!(
                "Nothing was done: guard `{}` withheld it: {}.{}",
                withheld.guard,
                withheld.why,
                reward_words(reward)
            );
        }
        (None, None) => format!("for nothing, which had a likelihood of {}", share(made.propensity)),
        (Some(arm), None) => {
            let offer = arm.offer.as_ref().map(|offer| format!(" with `{offer}`")).unwrap_or_default();
            let hour = arm.hour.map(|hour| format!(" from {hour}:00 of their day")).unwrap_or_default();
            let others = made.candidates.len().saturating_sub(1);
            let likely = share(made.propensity);
            format!(
                "for `{}`{offer} by {}{hour}, {likely} likely among {others} others",
                arm.template,
                arm.channel.name()
            )
        }
    };
    let explored = if made.explored && made.arm.is_some() && made.group == Group::Policy {
        " Another was believed better: this one was tried to learn."
    } else {
        ""
    };
    let message = message.map(message_words).unwrap_or_default();
    format!("{who}: {what}.{explored}{message}{}", reward_words(reward))
}

fn reward_words(reward: Option<&Value>) -> String {
    let reward = reward.and_then(|reward| reward.get("reward"));
    reward.map(|reward| format!(" It came to {reward}.")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use impresario_agents::vocabulary::ReceiptKind;

    use super::*;

    #[test]
    fn what_became_of_its_message_is_told_with_the_guard_and_the_reason() {
        let told = |fate: Option<Fate>| {
            let mut message = json!({ "status": "sent" });
            became_of(&mut message, fate.map(|fate| (7, fate)).as_ref());
            message_words(&message)
        };
        assert_eq!(told(None), " Its message was sent.");
        assert_eq!(told(Some(Fate::Delivered)), " Its message was delivered.");
        let stopped = Fate::Failed("the channel is full".into());
        let words = " Its message was let through and did not go out: the channel is full.";
        assert_eq!(told(Some(stopped)), words);
        let opened = Fate::Receipt(ReceiptKind::Opened);
        assert_eq!(told(Some(opened)), " Its message was delivered, then opened.");
        let refused = json!({ "status": "refused", "by": { "guard": "cap", "why": "2 within 7 days" } });
        assert_eq!(message_words(&refused), " Its message was refused by guard `cap`: 2 within 7 days.");
    }
}
