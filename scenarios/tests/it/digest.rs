//! The same in another process, with another time zone, language and log level.

use std::process::Command;

use impresario_scenarios::{RunOptions, read_scenario, run, scenario_files};

/// Set for the other process: it says what it came to and ends.
const CHILD: &str = "IMPRESARIO_SCENARIOS_CHILD";

/// Every scenario, twice.
fn traces() -> String {
    let files = scenario_files(&[super::folder()]).unwrap_or_else(|error| panic!("{error}"));
    let played = files.iter().map(|file| {
        let scenario = read_scenario(file).unwrap_or_else(|error| panic!("{error}"));
        let once = || {
            let outcome = run(&scenario, &RunOptions::default()).unwrap_or_else(|error| panic!("{error}"));
            format!("{}\n{}\n{}\n", outcome.digest, outcome.trace, outcome.state)
        };
        let (first, again) = (once(), once());
        assert!(first == again, "{}: first:\n{first}\nagain:\n{again}", file.display());
        first
    });
    played.collect()
}

#[test]
fn another_process_in_another_land_comes_to_the_same_to_the_byte() {
    if let Ok(path) = std::env::var(CHILD) {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::sink).init();
        std::fs::write(path, traces()).expect("the parent's file");
        return;
    }
    let here = traces();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("traces");
    let this_test = "digest::another_process_in_another_land_comes_to_the_same_to_the_byte";
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", this_test, "--test-threads=1"])
        .env(CHILD, &path)
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("RUST_LOG", "trace")
        .output()
        .expect("the other process");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let there = std::fs::read_to_string(&path).expect("what the other process came to");
    assert!(here == there, "here:\n{here}\nthere:\n{there}");
}
