//! Real tracking clients, unchanged but for their host, against the real server, through refusals and lost answers.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    between::{Between, Fate},
    server::{POLL, Server, directory, program},
};

/// How often a client says everything it can say.
const ROUNDS: usize = 6;

/// How long a client may take for all it says.
const PATIENCE: Duration = Duration::from_secs(120);

/// What becomes of the first requests: no batch is refused twice in a row.
const FATES: [Fate; 9] = [
    Fate::Pass,
    Fate::Refuse(429),
    Fate::Pass,
    Fate::LoseAnswer,
    Fate::Pass,
    Fate::Refuse(503),
    Fate::Pass,
    Fate::Deny(503),
    Fate::Pass,
];

/// One round of every client, by call and name.
const ROUND: [(&str, &str); 7] = [
    ("page", "Home"),
    ("identify", ""),
    ("track", "Order Completed"),
    ("page", "Shoes"),
    ("screen", "Start"),
    ("group", ""),
    ("alias", ""),
];

#[test]
fn segments_python_client_says_every_event_once() {
    check(python("segment.analytics", "segment_python.py"), &[]);
}

#[test]
fn rudderstacks_python_client_says_every_event_once() {
    check(python("rudderstack.analytics", "rudder_python.py"), &[]);
}

#[test]
fn segments_node_client_says_every_event_once() {
    check(node(&["@segment/analytics-node"], "segment_node.cjs"), &[]);
}

#[test]
fn rudderstacks_node_client_says_every_event_once() {
    check(node(&["@rudderstack/rudder-sdk-node"], "rudder_node.cjs"), &[]);
}

#[test]
fn segments_browser_client_says_every_event_once_from_a_page_of_another_origin() {
    if !PathBuf::from("/usr/bin/chromium").exists() {
        println!("skipped: there is no /usr/bin/chromium");
        return;
    }
    let needed = ["@segment/analytics-next/package.json", "playwright-core"];
    check(node(&needed, "segment_browser.cjs"), &[("track", "Beacon")]);
}

/// Where `.ci/run` puts what is not Rust.
fn installed() -> PathBuf {
    std::env::temp_dir().join("impresario-clients")
}

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients")
}

fn python(module: &str, script: &str) -> Result<Command, String> {
    let own = installed().join("bin/python");
    let python = || Command::new(if own.exists() { own.as_os_str() } else { "python3".as_ref() });
    let found = python().args(["-c", &format!("import {module}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return Err(format!("python3 has no {module}"));
    }
    let mut command = python();
    command.arg(scripts().join(script));
    Ok(command)
}

fn node(packages: &[&str], script: &str) -> Result<Command, String> {
    let node = || {
        let mut node = Command::new("node");
        node.env("NODE_PATH", installed().join("node/node_modules"));
        node
    };
    for package in packages {
        let found = node().args(["-e", "require.resolve(process.argv[1])", package]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(format!("node has no {package}"));
        }
    }
    let mut command = node();
    command.arg(scripts().join(script));
    Ok(command)
}

/// Runs the client through a go-between; at the end every event is there, once. `more` is what it says besides,
/// in its last round.
fn check(client: Result<Command, String>, more: &[(&str, &str)]) {
    let mut client = match client {
        Ok(client) => client,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let between = Between::start(server.address, &FATES);
    let host = format!("http://{}", between.address);
    client.args([&host, &server.write_key, "shopper", &ROUNDS.to_string()]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = client.spawn().expect("the client runs");
    let stdin = running.stdin.take().expect("standard input is piped");
    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw).expect("a process id");
    let ending = std::thread::spawn(move || running.wait_with_output());
    let mut expected: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..ROUNDS {
        expected.extend(ROUND.map(|(call, name)| (format!("{call} {name} {round}"), 1)));
    }
    expected.extend(more.iter().map(|(call, name)| (format!("{call} {name} {}", ROUNDS - 1), 1)));
    let all = expected.len() as u64;
    let start = Instant::now();
    while server.source()["accepted"].as_u64().unwrap_or(0) < all && !ending.is_finished() {
        if start.elapsed() > PATIENCE {
            let _ = kill_process(pid, Signal::KILL);
            panic!("the client has said too little after {PATIENCE:?}: {}", server.source());
        }
        std::thread::sleep(POLL);
    }
    // It ends when it has nobody to listen to.
    drop(stdin);
    let output = ending.join().expect("waited for").expect("the client has run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.settle();
    let requests = between.requests();
    assert!(requests >= FATES.len(), "{requests} requests: not every fate was met");
    let source = server.source();
    assert_eq!(source["accepted"], all, "{source}");
    assert_eq!(source["rejected"], 0, "{source}");
    assert!(source["duplicates"].as_u64() >= Some(2), "what was taken did not come again: {source}");
    let person = server.get("/api/profiles/user_id:shopper-user");
    assert_eq!(person["features"]["events"], all, "those of the devices are theirs: {person}");
    assert_eq!(person["features"]["value.EUR"], "299.40");
    assert_eq!(person["traits"]["plan"], "pro");
    assert_eq!(server.get("/api/profiles/email:shopper@example.test")["id"], person["id"]);
    server.stop();
    let exported = program(&data).args(["export", "events"]).output().expect("the export runs");
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for line in String::from_utf8_lossy(&exported.stdout).lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        *found.entry(mark_of(&event)).or_default() += 1;
    }
    assert_eq!(found, expected);
}

/// What an event is called and which round it is of.
fn mark_of(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let of_alias = || text("previousId").rsplit('-').next().and_then(|round| round.parse().ok());
    let round = event["properties"]["round"].as_u64().or_else(|| event["traits"]["round"].as_u64()).or_else(of_alias);
    format!("{} {}{} {}", text("type"), text("event"), text("name"), round.map_or(-1, u64::cast_signed))
}
