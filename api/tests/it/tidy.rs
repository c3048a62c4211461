//! The house stays tidy: who may depend on whom, and how large files may grow.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// From the bottom up: a crate may depend on those before it alone.
const ORDER: [&str; 5] =
    ["impresario-store", "impresario-runtime", "impresario-agents", "impresario-scenarios", "impresario-api"];

/// What a crate must not know, beyond what the order says.
const BANNED: [(&str, &[&str]); 5] = [
    ("impresario-store", &["ractor", "axum", "tokio", "linfa"]),
    ("impresario-runtime", &["sled", "axum", "linfa"]),
    ("impresario-agents", &["sled", "ractor", "axum", "tokio"]),
    ("impresario-scenarios", &["sled", "ractor", "axum", "tokio"]),
    ("impresario-api", &["sled", "ractor"]),
];

/// Lines after which a file is two rooms in one.
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each crate's dependencies, those of its tests not among them.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"]).current_dir(root());
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect()
    };
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}

#[test]
fn crates_depend_on_those_below_them_alone() {
    let dependencies = dependencies();
    assert_eq!(dependencies.len(), ORDER.len(), "a crate is missing from the order: {:?}", dependencies.keys());
    for (name, needs) in &dependencies {
        let own = ORDER.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name} is not in the order"));
        for needed in needs {
            if let Some(other) = ORDER.iter().position(|known| known == needed) {
                assert!(other < own, "{name} looks up at {needed}");
            }
        }
        let banned = BANNED.iter().find(|(known, _)| known == name).map(|(_, banned)| *banned).unwrap_or_default();
        for needed in needs {
            assert!(!banned.contains(&needed.as_str()), "{name} must not know {needed}");
        }
    }
}

#[test]
fn no_source_file_has_become_a_heap() {
    let mut heaps = Vec::new();
    let mut folders: Vec<_> =
        ["store", "runtime", "agents", "scenarios", "api"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = std::fs::read_to_string(&path).expect("a source file").lines().count();
                if lines > FILE_LINES_MAX {
                    heaps.push(format!("{} has {lines} lines", path.display()));
                }
            }
        }
    }
    assert!(heaps.is_empty(), "{}", heaps.join("\n"));
}

#[test]
fn the_readme_shows_the_example_agent_as_it_is() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let example = std::fs::read_to_string(root().join("runtime/examples/pacing.rs")).expect("the example");
    assert!(readme.contains(example.trim()), "the README's agent is not runtime/examples/pacing.rs");
    assert!(example.lines().count() < 60, "an agent is to be written in fewer than 60 lines");
}
