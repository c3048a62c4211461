//! What this program is made of: licences that may be used, and no crate twice without a reason.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// Licences that ask for no more than to be named.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are there in several versions, each with the reason.
const TWICE: &[(&str, &str)] = &[
    ("hashbrown", "ours; indexmap and clap have their own, sled's fxhash none"),
    ("parking_lot", "sled 0.34.7 asks for 0.11"),
    ("parking_lot_core", "sled 0.34.7 asks for 0.11 of parking_lot"),
    ("syn", "macros are moving from 2 to 3; built, never part of the program"),
];

/// Crates that bring code that is not Rust, each with the reason.
const NOT_RUST: &[(&str, &str)] =
    &[("libmimalloc-sys", "the allocator: entries are made on one thread and dropped on another")];

/// Whether a licence expression can be met by allowed licences: each `AND` part by one of its `OR` parts.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    let one = |licence: &str| ALLOWED.contains(&licence.trim());
    plain.split(" AND ").all(|part| part.split(" OR ").any(one))
}

#[test]
fn every_crate_may_be_used_and_is_there_once() {
    assert!(is_allowed("MIT/Apache-2.0") && is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
    assert!(!is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(root);
    let output = cargo.output().expect("cargo runs");
    if !output.status.success() {
        // Without the sources of all crates there is nothing to look at.
        println!("skipped: {}", String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or_default());
        return;
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let used: Vec<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        if package["source"].is_null() || !used.contains(&text("id")) {
            continue;
        }
        versions.entry(text("name")).or_default().push(text("version"));
        if text("source") != "registry+https://github.com/rust-lang/crates.io-index" {
            wrong.push(format!("{} comes from {}", text("name"), text("source")));
        }
        if !is_allowed(text("license")) {
            wrong.push(format!("{} is under {:?}", text("name"), text("license")));
        }
        if !package["links"].is_null() && text("name").ends_with("-sys") {
            let known = NOT_RUST.iter().any(|(name, _)| *name == text("name"));
            if !known {
                wrong.push(format!("{} links {}", text("name"), text("links")));
            }
        }
    }
    assert!(versions.len() > 100, "{} crates", versions.len());
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !TWICE.iter().any(|(known, _)| known == name) {
            wrong.push(format!("{name} is there as {}", versions.join(" and ")));
        }
    }
    for (name, _) in TWICE {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            wrong.push(format!("{name} is there once by now: strike it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
