//! Who may do what: every route, every kind of key, every cell said.

use std::collections::BTreeSet;

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

/// Every route with who may use it. A route that is not here fails the test.
const MATRIX: &[(&str, &str, Opens)] = &[
    ("POST", "/v1/identify", Ingest),
    ("POST", "/v1/track", Ingest),
    ("POST", "/v1/page", Ingest),
    ("POST", "/v1/screen", Ingest),
    ("POST", "/v1/group", Ingest),
    ("POST", "/v1/alias", Ingest),
    ("POST", "/v1/batch", Ingest),
    ("POST", "/v1/import", Ingest),
    ("POST", "/v1/i", Ingest),
    ("POST", "/v1/t", Ingest),
    ("POST", "/v1/p", Ingest),
    ("POST", "/v1/s", Ingest),
    ("POST", "/v1/g", Ingest),
    ("POST", "/v1/a", Ingest),
    ("POST", "/v1/b", Ingest),
    ("POST", "/v1/m", All),
    ("GET", "/v1/projects/{write_key}/settings", All),
    ("GET", "/health/live", All),
    ("GET", "/health/ready", All),
    ("GET", "/api/openapi.json", All),
    ("GET", "/metrics", Viewer),
    ("GET", "/api/agents", Viewer),
    ("GET", "/api/agents/{name}", Viewer),
    ("GET", "/api/agents/{name}/states/{key}", Viewer),
    ("GET", "/api/agents/{name}/dead-letters", Viewer),
    ("POST", "/api/agents/{name}/dead-letters/{seq}/retry", Operator),
    ("DELETE", "/api/agents/{name}/dead-letters/{seq}", Operator),
    ("POST", "/api/agents/{name}/pause", Operator),
    ("POST", "/api/agents/{name}/resume", Operator),
    ("GET", "/api/sources", Viewer),
    ("GET", "/api/profiles", Viewer),
    ("GET", "/api/profiles/{id}", Viewer),
    ("GET", "/api/profiles/{id}/timeline", Viewer),
    ("GET", "/api/segments", Viewer),
    ("POST", "/api/segments", Operator),
    ("POST", "/api/segments/preview", Viewer),
    ("GET", "/api/segments/{id}", Viewer),
    ("PUT", "/api/segments/{id}", Operator),
    ("DELETE", "/api/segments/{id}", Operator),
    ("GET", "/api/segments/{id}/members", Viewer),
    ("GET", "/api/segments/{id}/history", Viewer),
    ("GET", "/api/goals", Viewer),
    ("POST", "/api/goals", Operator),
    ("GET", "/api/goals/{id}", Viewer),
    ("DELETE", "/api/goals/{id}", Operator),
    ("GET", "/api/keys", Admin),
    ("POST", "/api/keys", Admin),
    ("DELETE", "/api/keys/{id}", Admin),
    ("GET", "/api/backups", Admin),
    ("POST", "/api/backups", Admin),
    ("GET", "/api/backups/{name}", Admin),
];

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
    let described = described(&server);
    let rows: BTreeSet<_> = MATRIX.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(described, rows, "a route has no row, or a row no route");
    let mut wrong = Vec::new();
    for (method, path, opens) in MATRIX {
        for ((holder, opened), key) in HOLDERS.iter().zip(&keys) {
            // Nothing is called so: who is let in finds nothing, and changes nothing.
            let path = path
                .replace("{id}", "p_0000000000000000")
                .replace("{name}", "nobody")
                .replace("{write_key}", "x")
                .replace("{seq}", "7")
                .replace("{key}", "x");
            let answer = Request::new(method, &path).key(key).body(b"{}").send(server.address);
            let expected = match (opened.contains(opens), *holder) {
                (true, _) => None,
                (false, "none" | "revoked") => Some(401),
                (false, _) => Some(403),
            };
            let is_so = match expected {
                None => {
                    !matches!(answer.status, 401 | 403 | 404)
                        || answer.status == 404 && answer.text().contains("there is no")
                        || answer.status == 404 && answer.text().contains("nobody has")
                }
                Some(status) => answer.status == status,
            };
            if !is_so || answer.status >= 500 {
                wrong.push(format!("{method} {path} with {holder}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every route the program says it has.
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
    let metrics = server.control("GET", "/metrics", "").text();
    let wrong = Request::new("GET", "/api/keys").key(&format!("{}x", keys[1])).send(server.address);
    assert_eq!(wrong.status, 401);
    let log = server.stop();
    for key in &keys {
        assert!(!log.contains(key.as_str()) && !metrics.contains(key.as_str()) && !wrong.text().contains(key.as_str()));
        assert!(!holds(directory.path(), key.as_bytes()), "a key lies in the data directory");
    }
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
