//! `/api/accounts`: what `group` calls name, with who belongs to it.

use std::sync::Arc;

use axum::{Json, extract::State};
use impresario_agents::{
    identity::Identity,
    profiles::{Account, Accounts, after_account, member_of_key},
};
use impresario_runtime::{AgentError, Reading};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Limit, limit_default},
    profiles::ProfileIdText,
};
use crate::{
    app::App,
    http::{PathText, Query},
    problem::Problem,
};

/// A page of accounts.
#[derive(Serialize, ToSchema)]
struct AccountList {
    /// The accounts, by id.
    accounts: Vec<AccountView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One account.
#[derive(Serialize, ToSchema)]
struct AccountView {
    /// Its id: the `groupId` of `group` calls.
    id: String,
    /// What is said of it, by the last who said it.
    #[schema(value_type = Object)]
    traits: Map<String, Value>,
    /// How many user ids and devices belong to it.
    members: u32,
    /// When the first call named it, milliseconds since 1970 UTC.
    first_at_ms: i64,
    /// When the last call named it, milliseconds since 1970 UTC.
    last_at_ms: i64,
}

/// A page of an account's members.
#[derive(Serialize, ToSchema)]
struct MemberList {
    /// The members. Somebody with several user ids or devices may be listed once for each.
    members: Vec<MemberView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Somebody who belongs to an account.
#[derive(Serialize, ToSchema)]
struct MemberView {
    /// The customer.
    #[schema(value_type = String)]
    profile: ProfileIdText,
    /// When they were first said to belong to it, milliseconds since 1970 UTC.
    since_ms: i64,
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
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(members))
}

fn view(id: String, account: &Account) -> AccountView {
    let traits = account.traits.iter().filter(|write| !write.value.is_null());
    let (first_at_ms, last_at_ms) = account.seen.unwrap_or_default();
    AccountView {
        id,
        traits: traits.map(|write| (write.name.to_string(), write.value.clone())).collect(),
        members: account.members,
        first_at_ms,
        last_at_ms,
    }
}

/// All accounts, page by page.
#[utoipa::path(
    get, path = "/api/accounts", tag = "accounts", params(PageQuery),
    responses(
        (status = 200, description = "A page of accounts", body = AccountList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn list(State(app): State<Arc<App>>, Query(query): Query<PageQuery>) -> Result<Json<AccountList>, Problem> {
    let limit = query.limit.get();
    let mut from = query.cursor.map(|id| after_account(&id)).unwrap_or_default();
    let read = move |reading: &mut Reading<'_, Accounts>| {
        let mut found = Vec::new();
        while found.len() < limit {
            // Its members come right behind an account, so the next account is one jump away.
            let Some(id) = reading.keys_from(&from, 1)?.pop() else { break };
            from = after_account(&id);
            found.extend(reading.get(&id)?.map(|account| view(id, account)));
        }
        Ok::<_, AgentError>(found)
    };
    let accounts = app.host.read_worker::<Accounts, _>(0, read).await??;
    let next = accounts.last().filter(|_| accounts.len() == limit).map(|last| last.id.clone());
    Ok(Json(AccountList { accounts, next }))
}

/// One account.
#[utoipa::path(
    get, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account's id, percent-encoded")),
    responses(
        (status = 200, description = "The account", body = AccountView),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such account", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn one(State(app): State<Arc<App>>, PathText(id): PathText) -> Result<Json<AccountView>, Problem> {
    find(&app, id).await.map(Json)
}

async fn find(app: &App, id: String) -> Result<AccountView, Problem> {
    let missing = || Problem::not_found("there is no such account");
    if id.contains('\0') {
        return Err(missing());
    }
    let read = move |reading: &mut Reading<'_, Accounts>| {
        Ok::<_, AgentError>(reading.get(&id)?.map(|account| view(id, account)))
    };
    app.host.read_worker::<Accounts, _>(0, read).await??.ok_or_else(missing)
}

/// Who belongs to an account, page by page.
#[utoipa::path(
    get, path = "/api/accounts/{id}/members", tag = "accounts",
    params(("id" = String, Path, description = "The account's id, percent-encoded"), PageQuery),
    responses(
        (status = 200, description = "A page of members", body = MemberList),
        (status = 400, description = "Not a page that can be", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
        (status = 404, description = "There is no such account", body = Problem),
        (status = 503, description = "The agent can't answer now", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn members(
    State(app): State<Arc<App>>,
    PathText(id): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<MemberList>, Problem> {
    let id = find(&app, id).await?.id;
    let limit = query.limit.get();
    let prefix = format!("{id}\0");
    let mut from = format!("{prefix}{}", query.cursor.unwrap_or_default()).into_bytes();
    // A page begins after its cursor; the first one with the first member.
    from.push(0);
    let read = move |reading: &mut Reading<'_, Accounts>| {
        let mut found = Vec::new();
        for key in reading.keys_from(&from, limit)?.iter().filter(|key| key.starts_with(&prefix)) {
            let since_ms = reading.get(key)?.and_then(|member| member.seen).unwrap_or_default().0;
            found.extend(member_of_key(key).map(|node| (node, since_ms)));
        }
        Ok::<_, AgentError>(found)
    };
    let found = app.host.read_worker::<Accounts, _>(0, read).await??;
    let next = found.last().filter(|_| found.len() == limit).map(|(node, _)| node.to_string());
    let read = move |reading: &mut Reading<'_, Identity>| {
        let mut people = Vec::with_capacity(found.len());
        for (node, since_ms) in found {
            let person = reading.get(&node)?.map_or(node, |known| known.person(node));
            people.push(MemberView { profile: ProfileIdText(person), since_ms });
        }
        Ok::<_, AgentError>(people)
    };
    let members = app.host.read_worker::<Identity, _>(0, read).await??;
    Ok(Json(MemberList { members, next }))
}
