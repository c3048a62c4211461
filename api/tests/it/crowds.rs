//! Crowds at the door, a small one each: the same commands measure large ones.

use serde_json::{Value, json};

use crate::server::program;

/// What a measurement found.
fn bench(arguments: &[&str], settings: &[(&str, &str)]) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program(directory.path());
    command.arg("bench").args(arguments).envs(settings.iter().copied()).env("TMPDIR", directory.path());
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[test]
fn slow_clients_of_every_kind_are_closed_and_a_good_one_is_served_meanwhile() {
    let settings = [
        ("IMPRESARIO_SERVER_HEADER_MS_MAX", "1000"),
        ("IMPRESARIO_SERVER_BODY_MS_MAX", "1000"),
        ("IMPRESARIO_SERVER_WRITE_MS_MAX", "1000"),
    ];
    let found = bench(&["slow-clients", "--clients", "400"], &settings);
    assert_eq!((&found["open_at_end"], &found["good_errors"]), (&json!(0), &json!(0)), "{found}");
    assert!(found["open_max"].as_u64() >= Some(200), "they were never many: {found}");
    assert!(found["good_requests"].as_u64() > Some(10), "{found}");
}

#[test]
fn many_busy_connections_are_all_served() {
    let found = bench(&["connections", "--connections", "300", "--seconds", "2"], &[]);
    assert_eq!(found["errors"], 0, "{found}");
    assert!(found["requests"].as_u64() >= Some(300), "{found}");
}

#[test]
fn what_is_too_much_is_refused_and_told_when_to_come_again() {
    // Room for few of their bodies at once, so that a slow machine has too much as well.
    let settings = [("IMPRESARIO_SERVER_BODIES_BYTES_MAX", "1048576")];
    let found = bench(&["overload", "--connections", "400", "--seconds", "3", "--after-seconds", "1"], &settings);
    assert!(found["by_status"]["429"].as_u64() > Some(0), "nothing was too much: {found}");
    let statuses: Vec<_> = found["by_status"].as_object().expect("answers").keys().cloned().collect();
    assert_eq!(statuses, ["200", "429"], "{found}");
    assert_eq!((&found["without_retry_after"], &found["broken"]), (&json!(0), &json!(0)), "{found}");
}
