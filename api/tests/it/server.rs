//! The real program, started on a free port and a directory of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Answer, Request};

/// How long the program may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked while waited for.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// A running server. Dropping it kills it, as a crash would.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it said at its start.
    pub(crate) started: Value,
    pub(crate) write_key: String,
    pub(crate) admin_key: String,
}

/// The program on a directory, not yet started.
pub(crate) fn program(data: &Path) -> Command {
    program_of(Path::new(env!("CARGO_BIN_EXE_impresario")), data)
}

/// Another program with Impresario's commands on a directory.
fn program_of(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("IMPRESARIO_")) {
        command.env_remove(name);
    }
    // A full disk of whoever runs the tests is not what they are about.
    command.env("IMPRESARIO_STORAGE_FREE_MIN_PERCENT", "1");
    command.arg("--data").arg(data).arg("--json");
    command
}

/// Settings of a server, as variables.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

impl Server {
    /// Starts on a fresh directory, whose keys it knows then.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, settings: Settings<'_>) -> Self {
        Self::try_start(data, settings).unwrap_or_else(|why| panic!("the server did not start: {why}"))
    }

    /// Its write key and its admin key.
    pub(crate) fn keys(&self) -> (String, String) {
        (self.write_key.clone(), self.admin_key.clone())
    }

    /// Starts again on a directory whose keys are known.
    pub(crate) fn start_again(data: &Path, keys: &(String, String)) -> Self {
        let mut server = Self::start(data);
        (server.write_key, server.admin_key) = keys.clone();
        server
    }

    /// Another program with Impresario's commands, on a fresh directory.
    pub(crate) fn start_program(program: &Path, data: &Path) -> Self {
        Self::try_start_command(program_of(program, data), &[]).unwrap_or_else(|why| panic!("it did not start: {why}"))
    }

    fn try_start(data: &Path, settings: Settings<'_>) -> Result<Self, String> {
        Self::try_start_command(program(data), settings)
    }

    fn try_start_command(mut command: Command, settings: Settings<'_>) -> Result<Self, String> {
        command.args(["serve", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(settings.iter().copied());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        let Ok(started) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let address = text(&started["address"]).trim_start_matches("http://").parse().expect("an address");
        let (write_key, admin_key) = (text(&started["keys"]["write_key"]), text(&started["keys"]["admin_key"]));
        Ok(Self { child, address, started, write_key, admin_key })
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        Request::new("POST", path).key(&self.write_key).body(body.as_ref()).send(self.address)
    }

    /// A control request of the admin.
    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> Answer {
        Request::new(method, path).key(&self.admin_key).body(body.as_bytes()).send(self.address)
    }

    /// What a control request of the admin finds.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.control("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The counts of the one source of a fresh directory.
    pub(crate) fn source(&self) -> Value {
        self.get("/api/sources")["sources"][0].clone()
    }

    /// A key of this role and name.
    pub(crate) fn make_key(&self, role: &str, name: &str) -> (String, String) {
        let body = format!("{{\"role\":\"{role}\",\"name\":\"{name}\"}}");
        let answer = self.control("POST", "/api/keys", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = answer.json();
        (made["id"].as_str().expect("an id").to_owned(), made["key"].as_str().expect("a key").to_owned())
    }

    /// The memory it has resident, mebibytes.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1_024
    }

    /// Waits until the agents have folded all there is.
    pub(crate) fn settle(&self) {
        self.settle_within(PATIENCE);
    }

    pub(crate) fn settle_within(&self, patience: Duration) {
        self.wait_within(patience, "/health/live", |health| health["at_rest"] == true);
    }

    /// Asks until `is_so` says yes to what is found.
    pub(crate) fn wait_for(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(PATIENCE, path, is_so)
    }

    fn wait_within(&self, patience: Duration, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.control("GET", path, "");
            let found = answer.json();
            if answer.status == 200 && is_so(&found) {
                return found;
            }
            assert!(start.elapsed() < patience, "{path} stays at {found}");
            std::thread::sleep(POLL);
        }
    }

    /// The process's number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// Reads its log while it runs, where it is longer than a pipe holds; whole once it has ended.
    pub(crate) fn log(&mut self) -> std::thread::JoinHandle<String> {
        let mut stderr = self.child.stderr.take().expect("its log is read once");
        std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).expect("a log in UTF-8");
            log
        })
    }

    /// Waits for its end; how it ended, and its log.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(POLL);
        };
        let mut log = String::new();
        // None where somebody reads it already.
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).expect("the log is text");
        }
        (status, log)
    }

    /// Stops it as an operator would; its log.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.ended();
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fresh directory; it goes when the first is dropped.
pub(crate) fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    (directory, data)
}
