//! One person erased and exported over HTTP, and no file, log, metric or error tells of people.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{Server, directory, program};

/// A person whose every word can be found again.
struct Canary {
    user: String,
    words: Vec<String>,
}

fn canary(number: usize) -> Canary {
    let user = format!("canary-user-{number:04}");
    let words = vec![
        format!("Canary{number:04}@Example.test"),
        format!("+4860077{number:04}"),
        format!("Canaryname{number:04}"),
        format!("canarycity{number:04}"),
    ];
    Canary { user, words }
}

impl Canary {
    /// What a shop sends of them.
    fn calls(&self) -> Vec<Value> {
        let [email, phone, name, city] = self.words.as_slice() else { return Vec::new() };
        let id = |what: &str| format!("{}-{what}", self.user);
        vec![
            json!({ "type": "identify", "userId": self.user, "anonymousId": id("device"), "messageId": id("i"),
                    "traits": { "email": email, "phone": phone, "first_name": name, "address": { "city": city } } }),
            json!({ "type": "track", "userId": self.user, "event": "Order Completed", "messageId": id("o"),
                    "properties": { "total": 5, "currency": "EUR", "order_id": id("o"), "email": email } }),
            json!({ "type": "page", "anonymousId": id("device"), "name": name, "messageId": id("p") }),
        ]
    }

    /// Everything of them, in every spelling that may be looked for.
    fn spellings(&self) -> Vec<String> {
        let plain = self.words.iter().chain([&self.user]);
        plain.flat_map(|word| [word.clone(), word.to_lowercase(), STANDARD.encode(word)]).collect()
    }

    fn found_in(&self, text: &[u8]) -> Vec<String> {
        let mut found = self.spellings();
        found.retain(|word| memchr::memmem::find(text, word.as_bytes()).is_some());
        found
    }
}

/// All files of a directory.
pub(crate) fn files(path: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(path).expect("a directory") {
        let file = file.expect("a file").path();
        all.extend(if file.is_dir() { files(&file) } else { std::fs::read(&file).expect("a file") });
    }
    all
}

fn define(server: &Server) {
    let condition = json!({ "trait": { "name": "email", "op": "contains", "value": "Canary" } });
    let body = json!({ "id": "canaries", "name": "Canaries", "condition": condition }).to_string();
    assert_eq!(server.control("POST", "/api/segments", &body).status, 201);
}

fn run(data: &Path, arguments: &[&str]) -> (bool, Value) {
    let output = program(data).args(arguments).output().expect("it runs");
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

#[test]
fn after_an_erasure_and_a_compaction_no_file_holds_the_person() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    define(&server);
    let (anna, bob) = (canary(1), canary(2));
    let batch: Vec<Value> = anna.calls().into_iter().chain(bob.calls()).collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": batch }).to_string()).status, 200);
    server.settle();
    server.wait_for("/api/segments/canaries", |segment| segment["size"] == 2);

    let path = format!("/api/profiles/user_id:{}", anna.user);
    let export = server.control("GET", &format!("{path}/export"), "");
    assert_eq!(export.status, 200, "{}", export.text());
    let text = export.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["profile"]["features"]["events"], 3, "{text}");
    assert_eq!(lines.iter().filter(|line| line["event"].is_object()).count(), 3, "{text}");
    assert!(lines.iter().any(|line| line["agent"] == "segmentation"), "{text}");
    assert!(lines.iter().any(|line| line["topic"] == "segment.entered"), "{text}");
    assert_eq!(lines.last().expect("lines")["whole"], true);
    assert!(anna.words.iter().all(|word| text.contains(word)) && bob.found_in(text.as_bytes()).is_empty());

    let asked = server.control("DELETE", &path, "");
    assert_eq!((asked.status, &asked.json()["forgets"]["events"]), (202, &json!(3)), "{}", asked.text());
    let job = asked.json()["job"].as_str().expect("a job").to_owned();
    let done = server.wait_for(&job, |erasure| erasure["status"] == "done");
    assert!(done["entries_erased"].as_u64() > Some(5), "{done}");
    let profile = done["profile"].as_str().expect("an id").to_owned();
    assert_eq!(server.control("GET", &path, "").status, 404);
    assert_eq!(server.control("DELETE", &path, "").status, 404);
    assert_eq!(server.control("DELETE", &format!("/api/profiles/{profile}"), "").status, 200);
    assert_eq!(server.get("/api/erasures")["erasures"][0]["profile"], json!(profile));
    assert_eq!(server.get("/api/segments/canaries")["size"], 1);
    let members = server.get("/api/segments/canaries/members?at=2999-01-01T00:00:00Z");
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1));
    server.signal(Signal::TERM);
    let (status, log) = server.ended();
    assert!(status.success() && anna.found_in(log.as_bytes()).is_empty(), "{log}");

    let (verified, report) = run(&data, &["verify"]);
    assert!(verified && report["erased"].as_u64() > Some(5), "{report}");
    let (same, report) = run(&data, &["replay"]);
    assert!(same, "{report}");
    assert!(run(&data, &["compact"]).0);
    let all = files(&data);
    assert_eq!(anna.found_in(&all), Vec::<String>::new());
    assert!(!bob.found_in(&all).is_empty(), "the look finds what is there");
    assert!(run(&data, &["verify"]).0);

    // The same by command, with the server stopped.
    let file = data.with_extension("jsonl");
    let name = format!("user_id:{}", bob.user);
    let (exported, report) = run(&data, &["export", "person", &name, "--output", file.to_str().expect("a path")]);
    assert!(exported && report["written"].as_u64() > Some(5), "{report}");
    assert!(!bob.found_in(&std::fs::read(&file).expect("a file")).is_empty());
    let (erased, report) = run(&data, &["erase", &name]);
    assert!(erased && report["entries_erased"].as_u64() > Some(5), "{report}");
    assert!(!run(&data, &["erase", &name]).0, "there is nobody to erase");
    assert!(run(&data, &["replay"]).0 && run(&data, &["compact"]).0);
    assert_eq!(bob.found_in(&files(&data)), Vec::<String>::new());
}

/// `IMPRESARIO_TEST_CANARIES=1000` for the full size.
#[test]
fn no_log_metric_or_error_tells_of_people() {
    let people: usize = std::env::var("IMPRESARIO_TEST_CANARIES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let (_directory, data) = directory();
    let mut server = Server::start_with(&data, &[("IMPRESARIO_LOG_LEVEL", "trace")]);
    let log = server.log();
    define(&server);
    let canaries: Vec<_> = (0..people).map(canary).collect();
    let mut said = Vec::new();
    for canary in &canaries {
        let batch = json!({ "batch": canary.calls() }).to_string();
        assert_eq!(server.post("/v1/batch", batch).status, 200);
        // What is refused tells of nobody, either.
        let email = &canary.words[0];
        for (path, body) in [
            ("/v1/track", json!({ "userId": canary.user, "properties": { "email": email } }).to_string()),
            ("/v1/identify", json!({ "userId": canary.user, "traits": email }).to_string()),
            ("/v1/track", format!("{{\"userId\":\"{}\",\"event\":\"{email}", canary.user)),
            ("/v1/batch", json!({ "batch": [{ "type": email, "userId": canary.user }] }).to_string()),
        ] {
            said.extend(server.post(path, body).body);
        }
        for path in [format!("/api/profiles/email:{email}x"), format!("/api/profiles/{email}")] {
            said.extend(server.control("GET", &path.replace('+', "%2B"), "").body);
        }
    }
    server.settle();
    for path in ["/metrics", "/health/live", "/health/ready", "/api/agents", "/api/segments", "/api/segments/canaries"]
    {
        said.extend(server.control("GET", path, "").body);
    }
    for canary in canaries.iter().take(5) {
        assert_eq!(server.control("DELETE", &format!("/api/profiles/user_id:{}", canary.user), "").status, 202);
    }
    server.wait_for("/api/erasures", |list| {
        list["erasures"].as_array().is_some_and(|all| all.len() == 5 && all.iter().all(|one| one["status"] == "done"))
    });
    said.extend(server.control("GET", "/api/erasures", "").body);
    server.signal(Signal::TERM);
    let (status, _) = server.ended();
    let log = log.join().expect("a log");
    assert!(status.success(), "{log}");
    assert!(log.contains("a person is to be erased"), "the log is there: {log}");
    said.extend(log.into_bytes());
    for canary in &canaries {
        assert_eq!(canary.found_in(&said), Vec::<String>::new());
    }
}
