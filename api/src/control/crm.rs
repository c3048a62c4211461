//! `/api/deals`, `/api/leads`, `/api/tasks`: what sales and support see and say.

mod shape;

use std::{cmp::Reverse, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use impresario_agents::{
    crm::{
        Crm, Deal, DealCreated, DealLost, DealStageChanged, DealStatus, DealWon, ID_BYTES_MAX, LeadSettings, LeadsSet,
        Relation, TEXT_BYTES_MAX, Task, TaskDone, check_leads,
    },
    vocabulary::ProfileId,
};
use impresario_runtime::{
    AgentError,
    store::{RequestKey, Seq},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::shape::{
    ChangedDeal, DealList, DealView, LeadList, LeadPage, LeadPart, LeadView, NewDeal, TaskList, TaskView,
};
use super::{
    people::{PeoplePage, people},
    profiles::{ProfileIdText, is_somebody},
    say::{is_repeated, say, taken_in},
};
use crate::{
    app::App,
    http::{JsonBody, PathPair, Query, access::Caller, idempotency_key},
    problem::Problem,
};

/// People a worker is asked about at once for the list of leads.
const LEADS_A_QUESTION: usize = 5_000;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(deals, create))
        .routes(routes!(change))
        .routes(routes!(leads))
        .routes(routes!(settings, set))
        .routes(routes!(tasks))
        .routes(routes!(done))
}

/// All deals, page by page.
#[utoipa::path(
    get, path = "/api/deals", tag = "crm", params(PeoplePage),
    responses(
        (status = 200, description = "A page of deals", body = DealList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn deals(State(app): State<Arc<App>>, Query(page): Query<PeoplePage>) -> Result<Json<DealList>, Problem> {
    let pick = |profile, own: &Relation| own.deals.iter().map(|(id, deal)| view(profile, id, deal)).collect::<Vec<_>>();
    let (deals, next) = people::<Crm, _>(&app, &page, pick).await?;
    Ok(Json(DealList { deals, next }))
}

/// Begins a deal, or tells anew what it is.
#[utoipa::path(
    post, path = "/api/deals", tag = "crm", request_body = NewDeal,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 201, description = "It is on record", body = DealView),
        (status = 400, description = "Not a deal that can be, and which field is wrong", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is nobody of this id", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewDeal>,
) -> Result<(StatusCode, Json<DealView>), Problem> {
    let request = idempotency_key(&headers, &caller, "POST /api/deals")?;
    let profile: ProfileId = new.profile.parse().map_err(|why| Problem::invalid_body(format!("`profile`: {why}")))?;
    check_text("deal", &new.deal, 1, ID_BYTES_MAX)?;
    check_text("name", &new.name, 0, TEXT_BYTES_MAX)?;
    let stage = new.stage.unwrap_or_else(|| "new".into());
    check_text("stage", &stage, 1, TEXT_BYTES_MAX)?;
    let is_code = new.currency.len() == 3 && new.currency.bytes().all(|letter| letter.is_ascii_uppercase());
    if !(is_code || new.currency.is_empty() && new.value_micros == 0) {
        return Err(Problem::invalid_body("`currency`: three capital letters (ISO 4217)"));
    }
    if new.value_micros < 0 {
        return Err(Problem::invalid_body("`value_micros`: not below 0"));
    }
    let deal = new.deal.clone();
    if !is_repeated(&app, request) {
        is_somebody(&app, profile).await?;
        let created = DealCreated {
            profile,
            deal: new.deal,
            name: new.name,
            stage,
            value_micros: new.value_micros,
            currency: new.currency,
            at_ms: now_ms(&app),
            by: caller.key.id.as_str().into(),
        };
        let seq = say(&app, created, request).await?;
        taken_in::<Crm>(&app, seq).await?;
    }
    Ok((StatusCode::CREATED, Json(found(&app, profile, &deal).await?)))
}

/// Says what becomes of a deal: `{"stage": ..}`, `{"won": true}` or `{"lost": WHY}`.
#[utoipa::path(
    put, path = "/api/deals/{profile}/{deal}", tag = "crm", request_body = ChangedDeal,
    params(
        ("profile" = String, Path, description = "The person's profile id"),
        ("deal" = String, Path, description = "The deal's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 200, description = "It is on record", body = DealView),
        (status = 400, description = "Not what can become of a deal", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such deal", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPair(profile, deal): PathPair,
    JsonBody(changed): JsonBody<ChangedDeal>,
) -> Result<Json<DealView>, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("PUT /api/deals/{profile}/{deal}"))?;
    let profile: ProfileId = profile.parse().map_err(|why| Problem::invalid_path(format!("{why}")))?;
    found(&app, profile, &deal).await?;
    if !is_repeated(&app, request) {
        let seq = say_change(&app, profile, &deal, changed, request, &caller).await?;
        taken_in::<Crm>(&app, seq).await?;
    }
    Ok(Json(found(&app, profile, &deal).await?))
}

async fn say_change(
    app: &App,
    profile: ProfileId,
    deal: &str,
    changed: ChangedDeal,
    request: Option<RequestKey>,
    caller: &Caller,
) -> Result<Seq, Problem> {
    let (deal, at_ms, by): (Box<str>, _, Box<str>) = (deal.into(), now_ms(app), caller.key.id.as_str().into());
    match changed {
        ChangedDeal { stage: Some(stage), won: None, lost: None } => {
            check_text("stage", &stage, 1, TEXT_BYTES_MAX)?;
            say(app, DealStageChanged { profile, deal, stage, at_ms, by }, request).await
        }
        ChangedDeal { stage: None, won: Some(true), lost: None } => {
            say(app, DealWon { profile, deal, at_ms, by }, request).await
        }
        ChangedDeal { stage: None, won: None, lost: Some(why) } => {
            check_text("lost", &why, 0, TEXT_BYTES_MAX)?;
            say(app, DealLost { profile, deal, why, at_ms, by }, request).await
        }
        _ => Err(Problem::invalid_body("exactly one of `stage`, `won` (true) and `lost`")),
    }
}

/// Leads by their score now, the highest first, each with what it is made of.
#[utoipa::path(
    get, path = "/api/leads", tag = "crm", params(LeadPage),
    responses(
        (status = 200, description = "A page of leads", body = LeadList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn leads(State(app): State<Arc<App>>, Query(page): Query<LeadPage>) -> Result<Json<LeadList>, Problem> {
    let after = page.cursor.as_deref().map(place_of).transpose()?;
    let (limit, now) = (page.limit.get(), now_ms(&app));
    // The best of all workers; never more than a page and one is kept.
    let mut best: Vec<(Reverse<i64>, ProfileId, bool, Vec<LeadPart>)> = Vec::new();
    for worker in 0..app.host.workers::<Crm>() {
        let mut from = Vec::new();
        loop {
            let begin = from.clone();
            let question = app.host.read_worker::<Crm, _>(worker, move |reading| {
                let settings = reading.shared::<LeadSettings>().cloned().unwrap_or_default();
                let keys = reading.keys_from(&begin, LEADS_A_QUESTION)?;
                let mut found = Vec::new();
                for profile in &keys {
                    let Some(own) = reading.get(profile)?.filter(|own| own.lead) else { continue };
                    let parts = own.deeds.parts(&settings, now);
                    let score: i64 = parts.iter().map(|(_, worth)| worth).sum();
                    if after.is_none_or(|after| after < (Reverse(score), *profile)) {
                        let parts = parts.into_iter().map(|(deed, worth)| (deed.name(), worth)).collect::<Vec<_>>();
                        found.push((Reverse(score), *profile, own.hot, parts));
                    }
                }
                found.sort();
                found.truncate(limit + 1);
                Ok::<_, AgentError>((found, keys.len(), keys.last().copied()))
            });
            let (found, looked_at, last) = question.await??;
            best.extend(found.into_iter().map(|(score, profile, hot, parts)| {
                let part = |(deed, worth_milli)| LeadPart { deed, worth_milli };
                (score, profile, hot, parts.into_iter().map(part).collect())
            }));
            best.sort_by_key(|(score, profile, ..)| (*score, *profile));
            best.truncate(limit + 1);
            match last {
                Some(last) if looked_at == LEADS_A_QUESTION => {
                    from = super::page::Cursor { worker, after: Some(last) }.from();
                }
                _ => break,
            }
        }
    }
    let more = best.len() > limit;
    best.truncate(limit);
    let next = best.last().filter(|_| more).map(|(Reverse(score), profile, ..)| format!("{score}.{profile}"));
    let view = |(Reverse(score_milli), profile, hot, parts)| LeadView {
        profile: ProfileIdText(profile),
        score_milli,
        hot,
        parts,
    };
    Ok(Json(LeadList { leads: best.into_iter().map(view).collect(), next }))
}

fn place_of(cursor: &str) -> Result<(Reverse<i64>, ProfileId), Problem> {
    let wrong = || Problem::invalid_query("`cursor` is not one that was given");
    let (score, profile) = cursor.split_once('.').ok_or_else(wrong)?;
    Ok((Reverse(score.parse().map_err(|_| wrong())?), profile.parse().map_err(|_| wrong())?))
}

/// How leads are scored.
#[utoipa::path(
    get, path = "/api/leads/settings", tag = "crm",
    responses(
        (status = 200, description = "The settings", body = Object),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn settings(State(app): State<Arc<App>>) -> Result<Json<LeadSettings>, Problem> {
    let read = app.host.read_worker::<Crm, _>(0, |reading| reading.shared::<LeadSettings>().cloned());
    Ok(Json(read.await?.unwrap_or_default()))
}

/// Sets how leads are scored; what is left out is as it is at first.
#[utoipa::path(
    put, path = "/api/leads/settings", tag = "crm", request_body = Object,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing")),
    responses(
        (status = 200, description = "They stand", body = Object),
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
    JsonBody(new): JsonBody<LeadSettings>,
) -> Result<Json<LeadSettings>, Problem> {
    let request = idempotency_key(&headers, &caller, "PUT /api/leads/settings")?;
    check_leads(&new).map_err(Problem::invalid_body)?;
    let _one_at_a_time = app.defining.lock().await;
    if !is_repeated(&app, request) {
        let seq = say(&app, LeadsSet { settings: new, by: caller.key.id.as_str().into() }, request).await?;
        taken_in::<Crm>(&app, seq).await?;
    }
    settings(State(Arc::clone(&app))).await
}

/// Open tasks for people, page by page.
#[utoipa::path(
    get, path = "/api/tasks", tag = "crm", params(PeoplePage),
    responses(
        (status = 200, description = "A page of tasks", body = TaskList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn tasks(State(app): State<Arc<App>>, Query(page): Query<PeoplePage>) -> Result<Json<TaskList>, Problem> {
    let pick = |profile, own: &Relation| {
        let view = |task: &Task| TaskView {
            id: task.id.to_string(),
            profile: ProfileIdText(profile),
            kind: task.kind.name(),
            why: task.why.to_string(),
            since_ms: task.at_ms,
        };
        own.tasks.iter().filter(|task| task.done.is_none()).map(view).collect::<Vec<_>>()
    };
    let (tasks, next) = people::<Crm, _>(&app, &page, pick).await?;
    Ok(Json(TaskList { tasks, next }))
}

/// A task is done.
#[utoipa::path(
    post, path = "/api/tasks/{profile}/{id}/done", tag = "crm",
    params(
        ("profile" = String, Path, description = "Whom it is about"),
        ("id" = String, Path, description = "The task's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated one changes nothing"),
    ),
    responses(
        (status = 204, description = "It is done"),
        (status = 400, description = "Not a profile id", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such open task", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn done(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPair(profile, id): PathPair,
) -> Result<StatusCode, Problem> {
    let request = idempotency_key(&headers, &caller, &format!("POST /api/tasks/{profile}/{id}/done"))?;
    let profile: ProfileId = profile.parse().map_err(|why| Problem::invalid_path(format!("{why}")))?;
    if is_repeated(&app, request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let task = id.clone();
    let is_open = app.host.read::<Crm, _>(&profile, move |reading| {
        let tasks = reading.get(&profile)?.map(|own| own.tasks.as_slice()).unwrap_or_default();
        Ok::<_, AgentError>(tasks.iter().any(|known| *known.id == *task && known.done.is_none()))
    });
    if !is_open.await?? {
        return Err(Problem::not_found("there is no such open task"));
    }
    let said = TaskDone { id: id.into(), profile, by: caller.key.id.as_str().into() };
    let seq = say(&app, said, request).await?;
    taken_in::<Crm>(&app, seq).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_text(field: &str, text: &str, least: usize, most: usize) -> Result<(), Problem> {
    if (least..=most).contains(&text.len()) {
        return Ok(());
    }
    Err(Problem::invalid_body(format!("`{field}`: {least} to {most} bytes")))
}

/// The present by the journal, whose clock this may be.
fn now_ms(app: &App) -> i64 {
    app.host.now_ms()
}

async fn found(app: &App, profile: ProfileId, id: &str) -> Result<DealView, Problem> {
    let deal: Box<str> = id.into();
    let read = app.host.read::<Crm, _>(&profile, move |reading| {
        let own = reading.get(&profile)?;
        Ok::<_, AgentError>(own.and_then(|own| own.deals.get(&deal)).map(|known| view(profile, &deal, known)))
    });
    read.await??.ok_or_else(|| Problem::not_found("there is no such deal"))
}

fn view(profile: ProfileId, id: &str, deal: &Deal) -> DealView {
    DealView {
        profile: ProfileIdText(profile),
        deal: id.to_owned(),
        name: deal.name.to_string(),
        stage: deal.stage.to_string(),
        status: match deal.status {
            DealStatus::Open => "open",
            DealStatus::Won => "won",
            DealStatus::Lost => "lost",
        },
        why: deal.why.to_string(),
        value_micros: deal.value_micros,
        currency: deal.currency.to_string(),
        changed_at_ms: deal.at_ms,
    }
}
