//! Real tracking clients against the real server.

use std::process::Command;

use serde_json::json;

use crate::server::{Server, directory};

/// The client, through a go-between that loses the first answer and says 503 instead.
const SEGMENT: &str = include_str!("segment_client.py");

#[test]
fn segments_own_python_client_is_understood_and_its_retries_count_once() {
    let installed = Command::new("python3").args(["-c", "import segment.analytics"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        println!("skipped: python3 has no segment-analytics-python");
        return;
    }
    let (_directory, data) = directory();
    let server = Server::start(&data);
    for (round, gzip) in [("plain", "0"), ("gzip", "1")] {
        let mut client = Command::new("python3");
        client.args(["-c", SEGMENT, &format!("http://{}", server.address), &server.write_key, round, gzip]);
        let output = client.output().expect("python3 runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim(), "503 200", "the go-between answered");
    }
    server.settle();
    let source = server.source();
    assert_eq!((&source["accepted"], &source["rejected"]), (&json!(14), &json!(0)), "{source}");
    assert_eq!(source["duplicates"], 14, "each batch came twice");
    for round in ["plain", "gzip"] {
        let person = server.get(&format!("/api/profiles/user_id:{round}-user"));
        // Six calls of the person, and the one of the device that an alias made theirs.
        assert_eq!(person["features"]["events"], 7, "{person}");
        assert_eq!(person["features"]["value.EUR"], "49.90");
        assert_eq!(person["traits"]["plan"], "pro");
        assert_eq!(server.get(&format!("/api/profiles/email:{round}@example.test"))["id"], person["id"]);
    }
}
