//! `impresario evaluate`: what learns, measured at small size, and what is said of files that are wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::server::program;

/// One of the shared data files; none where they are not there.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// The answer, or what went wrong, and the exit code.
fn evaluate(what: &[&str], path: &Path, flags: &[&str]) -> (Value, i32) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = program(folder.path()).arg("evaluate").args(what).arg(path).args(flags).output().expect("it runs");
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let said = serde_json::from_slice(text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(text).into_owned()));
    (said, output.status.code().unwrap_or(-1))
}

#[test]
fn the_regret_is_told_by_player_and_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arms.csv");
    let rows: String = (0..12).map(|arm| format!("{},{},0.{}\n", arm / 3, arm % 3, 10 + 5 * arm)).collect();
    fs::write(&path, format!("content,hour,p_from_0\n{rows}")).expect("a file");
    let (said, code) = evaluate(&["bandit", "--env"], &path, &["--rounds", "2000", "--runs", "2"]);
    assert_eq!(code, 0, "{said}");
    let last = |player: &str| {
        let marks = said["regret"][player].as_array().unwrap_or_else(|| panic!("{player} in {said}"));
        assert_eq!(marks.len(), 10);
        assert_eq!(marks[9]["round"], 2_000);
        assert!(marks.windows(2).all(|two| two[0]["regret"].as_f64() <= two[1]["regret"].as_f64()));
        marks[9]["regret"].as_f64().expect("a number")
    };
    let uniform = last("uniform");
    assert!(last("policy") < uniform / 2.0, "{said}");
    // The mean of 12 arms is 0.275 under the best.
    assert!((uniform / 2_000.0 - 0.275).abs() < 0.02, "{uniform}");
    assert_eq!(said["regret_mean"], said["regret"]["policy"][9]["regret"]);

    let (said, code) =
        evaluate(&["bandit", "--env"], &path, &["--rounds", "100", "--runs", "1", "--policies", "project"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(said["regret"].as_object().map(serde_json::Map::len), Some(1), "{said}");
}

#[test]
fn the_long_run_is_told_cold_and_warm() {
    let Some(path) = shared("ltv_mdp") else { return };
    let flags = ["--people", "100", "--weeks", "8", "--cohorts", "1", "--runs", "1", "--reward-noise", "0.5"];
    let (said, code) = evaluate(&["ltv", "--env"], &path, &flags);
    assert_eq!(code, 0, "{said}");
    for learned in ["cold", "warm"] {
        let share = |name: &str| said[learned][name].as_f64().unwrap_or_else(|| panic!("{name} in {said}"));
        assert!(share("share_of_optimum") > share("share_of_optimum_for_ever"), "{said}");
        assert!((0.0..=1.0).contains(&share("still_subscribed")), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arms.csv");
    let (said, code) = evaluate(&["bandit", "--env"], &path, &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.to_string().contains("arms.csv"), "{said}");
    let cases = [
        ("content,chance\n0,0.1\n", vec!["line 1", "p_from_0"]),
        ("content,p_from_0\n0,0.1\n1,often\n", vec!["line 3", "p_from_0", "often"]),
        ("content,p_from_0\n0,0.1\n1,1.5\n", vec!["line 3", "p_from_0", "1.5"]),
        ("content,p_from_soon\n0,0.1\n", vec!["line 1", "p_from_soon"]),
        ("content,p_from_0\n0\n", vec!["line 2"]),
        ("content,p_from_0\n", vec!["no rows"]),
    ];
    for (content, wanted) in cases {
        fs::write(&path, content).expect("a file");
        let (said, code) = evaluate(&["bandit", "--env"], &path, &[]);
        assert_eq!(code, 2, "{content}: {said}");
        let text = said.to_string();
        for part in wanted.iter().chain(&["arms.csv"]) {
            assert!(text.contains(part), "{content}: {text} without {part}");
        }
    }
}
