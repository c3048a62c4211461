//! A developer's agent: a crate outside the workspace, with a `main` of its own, as the README tells it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::server::{Server, directory};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the clone")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("a copied file");
        }
    }
}

/// The example's folder, copied to where a developer may have it.
fn elsewhere(to: &Path) {
    copy(&root().join("api/examples/own-agent"), to);
    let manifest = std::fs::read_to_string(to.join("Cargo.toml")).expect("its manifest");
    let text = manifest
        .replace("\"../../../", &format!("\"{}/", root().display()))
        .replace("\"../..\"", &format!("\"{}/api\"", root().display()));
    assert!(!text.contains("\"../"), "{text}");
    // Built as the workspace is, and with what it is locked to, so that most is built already.
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let profile = workspace.find("[profile.dev]").and_then(|start| workspace.get(start..)).expect("a profile");
    std::fs::write(to.join("Cargo.toml"), format!("{text}\n{profile}")).expect("a manifest");
    std::fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("a lock file");
}

fn cargo(folder: &Path, target: &Path, what: &str) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(what).arg("--offline").current_dir(folder).env("CARGO_TARGET_DIR", target);
    let output = cargo.output().expect("cargo runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "cargo {what}: {said}");
    assert!(!said.contains("warning: unused"), "{said}");
}

#[test]
fn an_agent_of_ones_own_is_tested_served_and_seen() {
    let (home, data) = directory();
    let folder = home.path().join("own-agent");
    elsewhere(&folder);
    let target = Path::new(env!("CARGO_BIN_EXE_impresario")).ancestors().nth(2).expect("the target folder");
    // Its own test and its scenario, played with crashes on sled, pass.
    cargo(&folder, target, "test");
    cargo(&folder, target, "build");
    let program = target.join("debug/own-agent");
    let server = Server::start_program(&program, &data);
    let batch: Vec<_> = (0..3)
        .map(|order| {
            let properties = json!({ "total": 10, "currency": "EUR", "order_id": order });
            json!({ "type": "track", "userId": "anna", "event": "Order Completed", "properties": properties })
        })
        .collect();
    assert_eq!(server.post("/v1/batch", json!({ "batch": batch }).to_string()).status, 200);
    server.settle();
    let agent = server.get("/api/agents/milestones");
    assert_eq!(agent["workers"][0]["condition"], "running", "{agent}");
    assert!(agent["topics"].as_array().is_some_and(|topics| topics.contains(&json!("profile.changed"))), "{agent}");
    let anna = server.get("/api/profiles/user_id:anna")["id"].clone();
    let state = server.get(&format!("/api/agents/milestones/states/{}", anna.as_str().expect("an id")));
    assert_eq!(state["state"], json!({ "reached": 3 }), "{state}");
    server.stop();
    // Every command knows the agent: its states come out the same when the journal is folded anew.
    let replay = Command::new(&program).args(["replay", "--json", "--data"]).arg(&data).output().expect("it runs");
    let said: Value = serde_json::from_slice(&replay.stdout).expect("an answer");
    assert_eq!((replay.status.code(), &said["same"]), (Some(0), &json!(true)), "{said}");
}

#[test]
fn the_guides_code_is_the_code_that_is_built_and_tested() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let own = "api/examples/own-agent";
    let files = [
        "runtime/examples/pacing.rs".to_owned(),
        format!("{own}/Cargo.toml"),
        format!("{own}/src/main.rs"),
        format!("{own}/src/milestones.rs"),
        format!("{own}/scenarios/third-order.yaml"),
    ];
    let files =
        files.map(|file| std::fs::read_to_string(root().join(&file)).unwrap_or_else(|why| panic!("{file}: {why}")));
    let mut blocks = 0;
    for section in ["## Write an agent", "## From an idea to a scenario"] {
        let (_, text) = readme.split_once(section).unwrap_or_else(|| panic!("no section {section}"));
        let text = text.split_once("\n## ").map_or(text, |(text, _)| text);
        for block in text.split("```").skip(1).step_by(2) {
            let (language, code) = block.split_once('\n').expect("a language");
            if ["rust", "toml", "yaml"].contains(&language) {
                blocks += 1;
                assert!(files.iter().any(|file| file.contains(code.trim())), "in no file that is built:\n{code}");
            }
        }
    }
    assert!(blocks >= 6, "{blocks} blocks of code");
}
