//! The server under measurement: started as its own process, looked at from outside.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;

use super::{BenchError, Client, Watch, failed, processor_of, rss_mib_of};

/// A write key and an admin key.
pub type Keys = (String, String);

const SETTLE_PAUSE: Duration = Duration::from_millis(2);

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The key events are sent with.
    pub write_key: String,
    /// The key of the control API.
    pub admin_key: String,
}

impl Server {
    /// Starts this very program as a server over an empty directory.
    ///
    /// # Errors
    /// It does not start, or does not say where it is.
    pub fn start(directory: &Path, more: &[&str]) -> Result<Self, BenchError> {
        Self::spawn(directory, more, None)
    }

    /// Starts it again over the directory of a server that has ended, whose keys these are.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(directory: &Path, keys: Keys) -> Result<Self, BenchError> {
        Self::spawn(directory, &[], Some(keys))
    }

    fn spawn(directory: &Path, more: &[&str], keys: Option<Keys>) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(failed("find this program"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--json", "--port", "0", "--data"]).arg(directory).args(more);
        command.env("IMPRESARIO_LOG_LEVEL", "warn").env("IMPRESARIO_STORAGE_FREE_MIN_PERCENT", "2");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(failed("start the server"))?;
        let mut line = String::new();
        let out = child.stdout.take();
        let read = out.map(|out| BufReader::new(out).read_line(&mut line)).transpose();
        read.map_err(failed("read what the server says"))?;
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |path: &str| said.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let address = text("/address").and_then(|at| at.strip_prefix("http://").and_then(|at| at.parse().ok()));
        let said_keys = text("/keys/write_key").zip(text("/keys/admin_key"));
        match address.zip(keys.or(said_keys)) {
            Some((address, (write_key, admin_key))) => Ok(Self { child, address, write_key, admin_key }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(BenchError::Server("the server did not say where it listens and its keys".into()))
            }
        }
    }

    /// Its keys, for starting it again.
    pub fn keys(&self) -> Keys {
        (self.write_key.clone(), self.admin_key.clone())
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// It ends with an error, or can't be told.
    pub fn stop(mut self) -> Result<(), BenchError> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let told = pid.map(|pid| kill_process(pid, Signal::TERM)).transpose();
        told.map_err(|error| failed("tell the server to stop")(error.into()))?;
        let status = self.child.wait().map_err(failed("wait for the server"))?;
        if status.success() { Ok(()) } else { Err(BenchError::Server(format!("the server ended with {status}"))) }
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until it takes events in.
    ///
    /// # Errors
    /// It takes longer than `within`.
    pub fn ready(&self, within: Duration) -> Result<(), BenchError> {
        let mut client = self.admin()?;
        let watch = Watch::start();
        while client.ask("GET", "/health/ready", &[])?.0 != 200 {
            if watch.passed() > within {
                return Err(BenchError::Server(format!("the server is not ready after {} s", within.as_secs())));
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
        Ok(())
    }

    /// Processor time it has used so far.
    pub fn processor(&self) -> Duration {
        processor_of(self.child.id())
    }

    /// A client with the admin key.
    ///
    /// # Errors
    /// The system's.
    pub fn admin(&self) -> Result<Client, BenchError> {
        Ok(Client::connect(self.address, &self.admin_key)?)
    }

    /// Defines segments.
    ///
    /// # Errors
    /// The system's, or the server's refusal.
    pub fn define(&self, definitions: &[Value]) -> Result<(), BenchError> {
        let mut admin = self.admin()?;
        for definition in definitions {
            admin.json("POST", "/api/segments", definition.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Waits until every agent has folded everything.
    ///
    /// # Errors
    /// It takes longer than `within`.
    pub fn settled(&self, within: Duration) -> Result<(), BenchError> {
        let mut client = self.admin()?;
        let watch = Watch::start();
        while self.metrics(&mut client)?.lag > 0 {
            if watch.passed() > within {
                return Err(BenchError::Server(format!("the agents did not catch up within {} s", within.as_secs())));
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
        Ok(())
    }

    /// What the server counts of its work.
    ///
    /// # Errors
    /// The system's, or no such answer.
    pub fn metrics(&self, client: &mut Client) -> Result<Stages, BenchError> {
        let (status, text) = client.ask("GET", "/metrics", &[])?;
        let text = std::str::from_utf8(text).unwrap_or_default();
        if status != 200 {
            return Err(BenchError::Server(format!("/metrics was answered {status}")));
        }
        Ok(Stages::read(text))
    }

    /// Resident memory in MiB: now, and at its highest.
    pub fn rss_mib(&self) -> (u64, u64) {
        rss_mib_of(self.child.id())
    }

    /// Descriptors it holds open.
    pub fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, |all| all.count() as u64)
    }

    /// Processor time of its threads so far, in milliseconds, by thread name.
    pub fn thread_millis(&self) -> BTreeMap<String, u64> {
        let mut by_name = BTreeMap::new();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        for task in tasks.into_iter().flatten().flatten() {
            let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
            let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
            let name = stat.get(open + 1..close).unwrap_or_default();
            let mut fields = stat.get(close + 2..).unwrap_or_default().split(' ').skip(11);
            let mut ticks = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
            // The kernel's clock tick is 10 ms on every Linux there is.
            *by_name.entry(name.to_owned()).or_default() += (ticks() + ticks()) * 10;
        }
        by_name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the time goes, as the server counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// Entries in the journal.
    pub entries: u64,
    /// Who entered and left segments.
    pub segment_changes: u64,
    /// Groups written.
    pub groups: u64,
    /// Microseconds spent syncing.
    pub sync_micros: u64,
    /// Entries the slowest worker is behind.
    pub lag: u64,
    /// Microseconds each agent's workers spent in steps.
    pub agent_micros: BTreeMap<String, u64>,
}

impl Stages {
    fn read(text: &str) -> Self {
        let mut stages = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value = value.parse().unwrap_or_default();
            match name {
                "impresario_journal_entries_total" => stages.entries = value,
                "impresario_journal_groups_total" => stages.groups = value,
                "impresario_journal_sync_microseconds_total" => stages.sync_micros = value,
                "impresario_lag_entries" => stages.lag = value,
                _ if name.starts_with("impresario_agent_folded_total{agent=\"segment-sizes\"") => {
                    stages.segment_changes += value;
                }
                _ => {
                    let labels = name.strip_prefix("impresario_agent_busy_microseconds_total{agent=\"");
                    if let Some((agent, _)) = labels.and_then(|labels| labels.split_once('"')) {
                        *stages.agent_micros.entry(agent.to_owned()).or_default() += value;
                    }
                }
            }
        }
        stages
    }

    /// What was added since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let agents = self.agent_micros.iter();
        let agents = agents.map(|(agent, micros)| {
            (agent.clone(), micros - before.agent_micros.get(agent).copied().unwrap_or_default())
        });
        Self {
            entries: self.entries - before.entries,
            segment_changes: self.segment_changes - before.segment_changes,
            groups: self.groups - before.groups,
            sync_micros: self.sync_micros - before.sync_micros,
            lag: self.lag,
            agent_micros: agents.collect(),
        }
    }
}
