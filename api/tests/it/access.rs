//! Who may do what: every route, every kind of key, every cell said.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    http::Request,
    server::{Server, directory},
};

/// Who lets whom in.
#[derive(Clone, Copy, PartialEq)]
enum Opens {
    /// Everybody.
    All,
    /// Ingest keys.
    Ingest,
    /// Viewer, operator and admin keys.
    Viewer,
    /// Operator and admin keys.
    Operator,
    /// Admin keys.
    Admin,
}

use Opens::{Admin, All, Ingest, Operator, Viewer};

/// Routes that are not as [`rule`] says, each with its reason.
const OTHERWISE: &[(&str, &str, Opens)] = &[
    // Clients' own metrics are dropped unread, and a browser asks for its settings before it has anything.
    ("POST", "/v1/m", All),
    ("GET", "/v1/projects/{write_key}/settings", All),
    ("GET", "/api/openapi.json", All),
    ("GET", "/metrics", Viewer),
    // A question whose body is too long for a query.
    ("POST", "/api/segments/preview", Viewer),
    ("POST", "/api/templates/{id}/preview", Viewer),
    // All that is known of a person, to be handed out.
    ("GET", "/api/profiles/{id}/export", Operator),
];

/// Who may use a route by what it is: who sends events, who looks, who changes, who hands out keys.
fn rule(method: &str, path: &str) -> Opens {
    if let Some(row) = OTHERWISE.iter().find(|row| row.0 == method && row.1 == path) {
        return row.2;
    }
    match method {
        _ if path.starts_with("/v1/") => Ingest,
        _ if path.starts_with("/health/") => All,
        // A backup holds everybody, and the table of keys.
        _ if path.starts_with("/api/keys") || path.starts_with("/api/backups") => Admin,
        "GET" => Viewer,
        _ => Operator,
    }
}

/// Keys from none at all upwards; what each opens.
const HOLDERS: [(&str, &[Opens]); 6] = [
    ("none", &[All]),
    ("revoked", &[All]),
    ("ingest", &[All, Ingest]),
    ("viewer", &[All, Viewer]),
    ("operator", &[All, Viewer, Operator]),
    ("admin", &[All, Viewer, Operator, Admin]),
];

#[test]
fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let keys = HOLDERS.map(|(holder, _)| match holder {
        "none" => String::new(),
        "revoked" => {
            let (id, key) = server.make_key("admin", "revoked");
            assert_eq!(server.control("DELETE", &format!("/api/keys/{id}"), "").status, 204);
            key
        }
        role => server.make_key(role, "matrix").1,
    });
    let routes = described(&server);
    for row in OTHERWISE {
        assert!(routes.contains(&(row.0.to_owned(), row.1.to_owned())), "{} {} is no route", row.0, row.1);
    }
    assert!(routes.len() > 45, "{} routes", routes.len());
    let mut wrong = Vec::new();
    for (method, path) in &routes {
        let opens = rule(method, path);
        for ((holder, opened), key) in HOLDERS.iter().zip(&keys) {
            // Nothing is called so: who is let in finds nothing, and changes nothing.
            let path = called_nothing(path);
            let answer = Request::new(method, &path).key(key).body(b"{}").send(server.address);
            let code = if answer.status < 400 { Value::Null } else { answer.json()["code"].clone() };
            let is_so = match (opened.contains(&opens), *holder) {
                // Let in: whatever it finds, it is neither the door nor a missing route that says no.
                (true, _) => !matches!(answer.status, 401 | 403 | 405) && !answer.text().contains("no route has"),
                (false, "none") if opens == Ingest => answer.status == 401 || code == "missing_id",
                (false, "none") => answer.status == 401 && code == "no_key",
                (false, "revoked") => answer.status == 401 && code == "unknown_key",
                (false, _) => answer.status == 403 && code == "wrong_role",
            };
            if !is_so || answer.status >= 500 {
                wrong.push(format!("{method} {path} with {holder}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The path with names that nothing has; a parameter of a new name is nothing either.
fn called_nothing(path: &str) -> String {
    let part = |part: &str| match part {
        "{id}" => "p_0000000000000000".to_owned(),
        "{seq}" => "7".to_owned(),
        "{name}" => "nobody".to_owned(),
        _ if part.starts_with('{') => "x".to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Every route the program says it has: a test beside the router holds that it has no others.
fn described(server: &Server) -> BTreeSet<(String, String)> {
    let document = Request::new("GET", "/api/openapi.json").send(server.address).json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths").clone();
    let of = |(path, item): (String, serde_json::Value)| {
        let methods = item.as_object().expect("methods").keys().cloned().collect::<Vec<_>>();
        methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
    };
    paths.into_iter().flat_map(of).collect()
}

#[test]
fn a_revoked_key_opens_nothing_from_the_next_request_on() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let (id, key) = server.make_key("ingest", "shop");
    let send = || {
        let event = br#"{"userId":"u","event":"E"}"#;
        Request::new("POST", "/v1/track").key(&key).body(event).send(server.address)
    };
    assert_eq!(send().status, 200);
    assert_eq!(server.control("DELETE", &format!("/api/keys/{id}"), "").status, 204);
    let refused = send();
    assert_eq!((refused.status, &refused.json()["code"]), (401, &"unknown_key".into()));
    // Two keys of one name are one source: what one sent, the other's repetition is known for.
    let [one, two] = [server.make_key("ingest", "rotated").1, server.make_key("ingest", "rotated").1];
    for key in [&one, &two] {
        let event = br#"{"userId":"u","event":"E","messageId":"same"}"#;
        assert_eq!(Request::new("POST", "/v1/track").key(key).body(event).send(server.address).status, 200);
    }
    let sources = server.get("/api/sources");
    let rotated = sources["sources"].as_array().expect("sources").iter().find(|source| source["source"] == "rotated");
    let rotated = rotated.expect("the source");
    assert_eq!((&rotated["accepted"], &rotated["duplicates"]), (&1.into(), &1.into()));
}

#[test]
fn keys_are_shown_once_and_never_written_down() {
    let (directory, data) = directory();
    let server = Server::start(&data);
    let (_, viewer) = server.make_key("viewer", "v");
    let listed = server.control("GET", "/api/keys", "").text();
    let keys = [server.write_key.clone(), server.admin_key.clone(), viewer];
    for key in &keys {
        assert!(!listed.contains(key.as_str()), "{listed}");
        let prefix = &key[..key.find('_').expect("a prefix") + 7];
        assert!(listed.contains(prefix), "{prefix} is not in {listed}");
    }
    for key in &keys {
        // The role, then 256 bits in base64 without padding.
        let chance = key.split_once('_').expect("a prefix").1;
        assert_eq!((chance.len(), chance.bytes().all(is_base64)), (43, true), "{key}");
    }
    // Where a key should not be, it is not repeated: in a path, a query, a body, another header.
    for (method, path, body) in [
        ("GET", format!("/api/profiles/{}", keys[1]), String::new()),
        ("GET", format!("/api/agents/{}", keys[1]), String::new()),
        ("GET", format!("/api/profiles?cursor={}", keys[1]), String::new()),
        ("GET", format!("/{}", keys[1]), String::new()),
        ("DELETE", format!("/api/segments/{}", keys[1]), String::new()),
        ("POST", "/api/segments".to_owned(), json!({ "id": keys[1] }).to_string()),
    ] {
        let answer = server.control(method, &path, &body);
        assert!(answer.status >= 400, "{method} {path}: {}", answer.text());
    }
    let event = json!({ "userId": "u1", "event": "E", "writeKey": keys[0] }).to_string();
    let by_body = Request::new("POST", "/v1/track").body(event.as_bytes()).send(server.address);
    assert_eq!(by_body.status, 200, "{}", by_body.text());
    server.settle();
    let events = server.get("/api/profiles/user_id:u1/timeline").to_string();
    assert!(!events.contains(keys[0].as_str()), "{events}");
    let metrics = server.control("GET", "/metrics", "").text();
    let wrong = Request::new("GET", "/api/keys").key(&format!("{}x", keys[1])).send(server.address);
    assert_eq!(wrong.status, 401);
    let log = server.stop();
    for key in &keys {
        assert!(!log.contains(key.as_str()) && !metrics.contains(key.as_str()) && !wrong.text().contains(key.as_str()));
        assert!(!holds(directory.path(), key.as_bytes()), "a key lies in the data directory");
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether any file below `path` holds these bytes.
fn holds(path: &std::path::Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(path).expect("a directory").flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let file = std::fs::read(&path).expect("a file");
        file.windows(bytes.len()).any(|window| window == bytes)
    })
}
