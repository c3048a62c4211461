//! `kill -9` in mid-write: what was acknowledged is there, in order, and nothing half.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use impresario_store::{Commit, CursorMove, Journal, NameId, OUTSIDE, Writer};

use crate::support::{Owner, Random, each, entry, noise, on_sled, open, send, sled};

const DIRECTORY: &str = "IMPRESARIO_TEST_KILL_DIRECTORY";
const THREADS: u64 = 4;

/// The child: four threads commit, each entry `thread, number`, and print what is acknowledged.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let engine = sled(&directory);
    let journal = open(Arc::new(engine));
    let topic = journal.name("counted").expect("a name");
    let writer = Arc::new(Writer::start(Arc::clone(&journal), Owner::default()).expect("a writer"));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (writer, journal) = (Arc::clone(&writer), Arc::clone(&journal));
            let worker = journal.name(&format!("worker/{thread}")).expect("a name");
            std::thread::spawn(move || run(&writer, &journal, topic, worker, thread))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("killed before"));
}

fn run(writer: &Writer, journal: &Journal, topic: NameId, worker: NameId, thread: u64) {
    let mut cursor = journal.cursor(worker);
    for number in number_after(journal, thread).. {
        // The row of a state goes with its entry and is as new as it, also where it is large.
        let length = if number.is_multiple_of(16) { 20_000 } else { 60 };
        let mut commit = Commit::new(OUTSIDE);
        commit.durability = impresario_store::Durability::Synced;
        commit.entries.push(entry(topic, format!("{thread} {number}")));
        let state = [number.to_be_bytes().to_vec(), noise(number, length)].concat();
        commit.writes.push(Journal::state_write(worker, b"state", number, &state));
        let to = journal.head();
        commit.cursor = Some(CursorMove { worker, expect: cursor, to });
        cursor = to;
        let receipt = send(writer, commit).recv().expect("an answer").expect("a receipt");
        // One write, so that a kill can't cut a line that is read as whole.
        let line = format!("ACK {thread} {number} {}\n", receipt.first);
        std::io::stderr().write_all(line.as_bytes()).expect("a pipe");
    }
}

fn number_after(journal: &Journal, thread: u64) -> u64 {
    let own = each(journal, |entry| parse(&entry.body)).into_iter().filter(|(of, _)| *of == thread);
    own.map(|(_, number)| number + 1).max().unwrap_or(1)
}

fn parse(body: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(body).expect("text");
    let (thread, number) = text.split_once(' ').expect("two numbers");
    (thread.parse().expect("a thread"), number.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    kills(8);
}

#[test]
#[ignore = "full size: cargo full r1"]
fn r1_kills_of_the_store_alone() {
    kills(500);
}

fn kills(rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    let mut random = Random(11);
    for round in 0..rounds {
        acknowledged.extend(write_until_killed(directory.path(), 1 + random.below(400)));
        check(directory.path(), &acknowledged, round);
    }
    assert!(acknowledged.len() >= rounds, "something was acknowledged in every round");
}

/// Kills the child after so many acknowledgements, wherever it is then; all it had acknowledged.
fn write_until_killed(directory: &Path, after: usize) -> Vec<(u64, u64, u64)> {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stderr.take().expect("its output"));
    let mut acknowledged = Vec::new();
    for line in output.lines() {
        let line = line.expect("text");
        let Some(numbers) = line.strip_prefix("ACK ") else { panic!("the child says {line}") };
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().expect("a number")).collect();
        acknowledged.push((numbers[0], numbers[1], numbers[2]));
        if acknowledged.len() == after {
            child.kill().expect("a kill");
        }
    }
    child.wait().expect("an end");
    acknowledged
}

fn check(directory: &Path, acknowledged: &[(u64, u64, u64)], round: usize) {
    let journal = on_sled(directory);
    let found = each(&journal, |entry| parse(&entry.body));
    for (thread, number, seq) in acknowledged {
        let at = usize::try_from(*seq).expect("a place") - 1;
        assert_eq!(found.get(at), Some(&(*thread, *number)), "round {round}: entry {seq} was acknowledged");
    }
    for thread in 0..THREADS {
        let numbers: Vec<u64> = found.iter().filter(|(of, _)| *of == thread).map(|(_, number)| *number).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "round {round}: nothing doubled, nothing missing");
        let worker = journal.name(&format!("worker/{thread}")).expect("a name");
        let state = journal.state(worker, b"state").expect("a state");
        assert_eq!(state.map(|row| row.seq), numbers.last().copied(), "round {round}: state and entry go together");
    }
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new(), "round {round}");
    journal.close().expect("a close");
}
