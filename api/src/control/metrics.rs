//! `/metrics`: what can be counted, in Prometheus' text format. Nothing in it is personal.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{agents::condition, identities};
use crate::{app::App, problem::Problem};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Counters and gauges in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "The key's role is not enough", body = Problem),
    ),
    security(("bearer" = []), ("basic" = [])),
)]
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = Text::default();
    if let Ok((standing, released)) = identities::counts(&app).await {
        text.single("identifiers_quarantined", "gauge", "Identifiers that glue nobody any more.", standing);
        text.single("identifiers_released", "gauge", "Identifiers an operator has released.", released);
    }
    journal(&app, &mut text);
    backups(&app, &mut text);
    sources(&app, &mut text);
    agents(&app, &mut text);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text.0).into_response()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP impresario_{name} {help}\n# TYPE impresario_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.0, "impresario_{name}");
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn journal(app: &App, text: &mut Text) {
    let journal = app.host.journal();
    text.single("journal_entries_total", "counter", "Entries in the journal.", journal.head());
    let (groups, sync_micros) = app.host.writer_counters();
    text.single("journal_groups_total", "counter", "Groups written since the start.", groups);
    text.single("journal_sync_microseconds_total", "counter", "Time spent syncing since the start.", sync_micros);
    text.single("timers_waiting", "gauge", "Timers that wait.", journal.timers_len() as u64);
    text.single("message_ids_known", "gauge", "Message ids remembered.", journal.dedup_len() as u64);
    let metrics = app.host.metrics();
    text.single("journal_queued_commits", "gauge", "Commits that wait for the writer.", metrics.queued_commits as u64);
    text.single("effects_pending", "gauge", "Effects asked for and not yet answered.", metrics.effects_pending);
    text.single("effects_answered_total", "counter", "Effects answered since the start.", metrics.effects_answered);
    text.single("effects_failed_total", "counter", "Effects given up since the start.", metrics.effects_failed);
    text.single("lag_entries", "gauge", "Entries the slowest worker is behind.", app.host.lag());
    text.single("request_bodies_bytes", "gauge", "Bytes of request bodies under way.", app.bodies.held() as u64);
    if let Ok(retention) = app.host.retention() {
        let since =
            retention.kept_since_ms.and_then(|since_ms| u64::try_from(since_ms / 1_000).ok()).unwrap_or_default();
        let help = "What people did before this is forgotten with age, seconds since 1970; 0 for nothing.";
        text.single("retention_kept_since_seconds", "gauge", help, since);
        let help = "Entries forgotten with age since the start.";
        text.single("retention_forgotten_total", "counter", help, retention.forgotten);
        let help = "Entries that are to be forgotten with age, or looked at for it.";
        text.single("retention_waiting_entries", "gauge", help, retention.waiting);
        let help = "Workers that forgetting with age waits for.";
        text.single("retention_held_by_workers", "gauge", help, retention.held_by.len() as u64);
    }
    if let Ok(usage) = journal.usage() {
        text.single("store_file_bytes", "gauge", "Bytes of the store's files.", usage.file_bytes);
        text.single("store_live_bytes", "gauge", "Bytes of the store's keys and values.", usage.live_bytes);
        let help = "1 where the store's file is more than six times its data.";
        text.single("store_wants_compaction", "gauge", help, u64::from(usage.wants_compaction()));
        text.single("disk_free_bytes", "gauge", "Free bytes of the disk.", usage.free_bytes);
    }
}

fn backups(app: &App, text: &mut Text) {
    let (taken, failed) = app.backups.counts();
    text.single("backups_taken_total", "counter", "Backups taken since the start.", taken);
    text.single("backups_failed_total", "counter", "Backups that failed since the start.", failed);
}

fn sources(app: &App, text: &mut Text) {
    let (by_source, unknown) = app.sources.view();
    text.family("events_accepted_total", "counter", "Events taken in, by source.");
    for (source, counts) in &by_source {
        text.sample("events_accepted_total", &[("source", source)], counts.accepted);
    }
    text.family("events_duplicate_total", "counter", "Events whose message id was known, by source.");
    for (source, counts) in &by_source {
        text.sample("events_duplicate_total", &[("source", source)], counts.duplicates);
    }
    text.family("events_duplicate_changed_total", "counter", "Duplicates with another content than the first time.");
    for (source, counts) in &by_source {
        text.sample("events_duplicate_changed_total", &[("source", source)], counts.duplicates_changed);
    }
    text.family("events_rejected_total", "counter", "Events refused, by source and reason.");
    for (source, counts) in &by_source {
        for (reason, count) in &counts.rejected_by_reason {
            text.sample("events_rejected_total", &[("source", source), ("reason", reason)], *count);
        }
    }
    text.family("requests_refused_total", "counter", "Ingest requests refused as a whole, by source and code.");
    for (source, counts) in &by_source {
        for (code, count) in &counts.refused_requests {
            text.sample("requests_refused_total", &[("source", source), ("code", code)], *count);
        }
    }
    for (code, count) in &unknown {
        text.sample("requests_refused_total", &[("source", ""), ("code", code)], *count);
    }
}

fn agents(app: &App, text: &mut Text) {
    let agents = app.host.status();
    type Read = fn(&impresario_runtime::WorkerStatus) -> u64;
    let families: [(&str, &str, &str, Read); 7] = [
        ("agent_lag_entries", "gauge", "Entries a worker is behind.", |worker| worker.lag),
        ("agent_folded_total", "counter", "Entries folded since the start.", |worker| worker.folded),
        ("agent_said_total", "counter", "Entries said since the start.", |worker| worker.said),
        ("agent_busy_microseconds_total", "counter", "Time spent in steps.", |worker| worker.busy_micros),
        ("agent_keys", "gauge", "Keys in memory.", |worker| worker.keys),
        ("agent_restarts_total", "counter", "Restarts since the start.", |worker| worker.restarts),
        ("agent_dead_letters", "gauge", "Entries set aside that wait.", |worker| worker.dead_letters),
    ];
    for (name, kind, help, read) in families {
        text.family(name, kind, help);
        for agent in &agents {
            for worker in &agent.workers {
                let number = worker.worker.to_string();
                text.sample(name, &[("agent", &agent.agent), ("worker", &number)], read(worker));
            }
        }
    }
    text.family("agent_condition", "gauge", "1 for the condition a worker is in.");
    for agent in &agents {
        for worker in &agent.workers {
            let number = worker.worker.to_string();
            let labels = [("agent", &*agent.agent), ("worker", &number), ("condition", condition(worker.condition))];
            text.sample("agent_condition", &labels, 1);
        }
    }
}
