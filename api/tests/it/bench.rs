//! Every measurement of `bench`, small: that it can be taken, not what it comes to.

use serde_json::Value;

use crate::server::program;

fn bench(what: &str, flags: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program(&folder.path().join("unused"));
    command.arg("bench").arg(what).args(flags);
    if what != "replay" {
        command.arg("--directory").arg(folder.path());
    }
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0, "it leaves nothing behind");
    serde_json::from_slice(&output.stdout).expect("one answer")
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {report}"))
}

#[test]
fn what_segments_cost_can_be_measured() {
    let report = bench(
        "segments",
        &[
            "--profiles=1200",
            "--few-profiles=100",
            "--segments=30",
            "--events=400",
            "--rounds=1",
            "--batch=50",
            "--connections=4",
            "--person-events=200",
        ],
    );
    assert!(number(&report, "/by_segments/ratio") > 0.0);
    assert!(number(&report, "/by_profiles/micros_many") > 0.0);
    // Everybody who has looked at a product; others have come in meanwhile.
    assert!(number(&report, "/sweep/members") > 0.0, "{report}");
    assert!(number(&report, "/back_fill/entries") > 1_200.0, "{report}");
    assert_eq!(report["worst"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_restart_can_be_measured() {
    let flags = ["--profiles=300", "--events=3000", "--segments=10", "--batch=50", "--connections=3"];
    let report = bench("restart", &flags);
    assert_eq!(report["events"], 3_000);
    assert!(number(&report, "/disk_by_raw") > 0.0);
    assert!(number(&report, "/after_kill/ready_s") > 0.0);
    assert!(number(&report, "/after_kill/folded_s") >= number(&report, "/after_kill/ready_s"));
}

#[test]
fn a_replay_can_be_measured() {
    let flags = ["--profiles=40", "--events=1000", "--segments=10", "--people=5", "--days=4"];
    let report = bench("replay", &flags);
    assert_eq!(report["same"], true);
    assert!(number(&report, "/entries") >= 2_000.0);
    assert!(number(&report, "/scenario/events") > 5.0);
}

#[test]
fn an_import_can_be_measured() {
    let report = bench("import", &["--rows=2000", "--profiles=50"]);
    assert_eq!((&report["table"]["rows"], &report["tenth"]["rows"]), (&2_000.into(), &200.into()));
    assert!(number(&report, "/table/seconds") > 0.0);
}
