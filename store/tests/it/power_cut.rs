//! Measure 1: an acknowledgement means flushed and synced. Tried by power cuts.
//!
//! What is simulated: a disk that keeps of sled's log only what it held when `sync_data` last
//! returned, and of what was written since any choice of 4 KiB pages, new or old, each by itself. So
//! an engine that does not sync, or syncs before it flushes, or reuses space whose new home is not
//! synced yet, loses acknowledged data here. Not simulated: a disk that lies about a sync, and pages
//! torn in themselves. Names of files survive: the engine syncs its directory at opening.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use impresario_store::{Disk, Durability, Engine, Journal, Op, SledEngine, SledOptions, WriteBatch, Writer};
use parking_lot::Mutex;

use crate::support::{NOON, Owner, Random, bodies, commit, noise, on_sled, open, put, send, sled_options};

const PAGE: usize = 4_096;

/// Keeps what a power cut keeps: the log as of the last sync.
#[derive(Debug, Default)]
struct Platter {
    log: Mutex<Vec<u8>>,
    syncs: Mutex<u64>,
}

impl Disk for Platter {
    fn sync_data(&self, file: &File) -> std::io::Result<()> {
        // sled may shorten its file meanwhile.
        let mut log = vec![0; usize::try_from(file.metadata()?.len()).expect("a size")];
        let mut read = 0;
        while read < log.len() {
            match file.read_at(&mut log[read..], read as u64)? {
                0 => log.truncate(read),
                more => read += more,
            }
        }
        *self.log.lock() = log;
        *self.syncs.lock() += 1;
        Ok(())
    }

    fn space(&self, _: &Path) -> std::io::Result<(u64, u64)> {
        Ok((1 << 40, 1 << 40))
    }
}

fn on(platter: &Arc<Platter>) -> SledOptions {
    let disk: Arc<dyn Disk> = Arc::<Platter>::clone(platter);
    SledOptions { disk, ..sled_options() }
}

/// Copies a data directory as a power cut would leave it. No sync ends meanwhile, so whatever is written
/// while the copy is made was not synced.
fn cut(from: &Path, to: &Path, platter: &Platter, random: &mut Random) {
    let synced = platter.log.lock();
    let _ = fs::remove_dir_all(to);
    for folder in ["", "sled"] {
        fs::create_dir_all(to.join(folder)).expect("a directory");
        for file in fs::read_dir(from.join(folder)).expect("files") {
            let file = file.expect("a file");
            if file.path().is_file() {
                fs::copy(file.path(), to.join(folder).join(file.file_name())).expect("a copy");
            }
        }
    }
    let written = fs::read(from.join("sled/db")).expect("the log");
    let mut left = Vec::new();
    for at in (0..synced.len().max(written.len())).step_by(PAGE) {
        let page = |log: &[u8]| {
            let mut page = log.get(at..log.len().min(at + PAGE)).unwrap_or_default().to_vec();
            page.resize(PAGE, 0);
            page
        };
        left.extend(if random.below(2) == 0 { page(&synced) } else { page(&written) });
    }
    let length = if random.below(2) == 0 { synced.len() } else { written.len() };
    left.resize(length.max(synced.len()), 0);
    fs::write(to.join("sled/db"), left).expect("the log");
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut() {
    between_writes(20);
    in_mid_write(20);
}

#[test]
#[ignore = "full size: cargo full r3"]
fn r3_power_cuts() {
    between_writes(500);
    in_mid_write(500);
}

/// Many callers at once write through the one writer; the power goes at any moment of that.
fn in_mid_write(cuts: usize) {
    let _alone = crate::support::MUCH_WRITING.lock();
    const CALLERS: u64 = 4;
    const CUTS_A_DIRECTORY: usize = 20;
    let mut random = Random(9);
    let mut acknowledged_in_all = 0;
    for first in (0..cuts).step_by(CUTS_A_DIRECTORY) {
        let directory = tempfile::tempdir().expect("a directory");
        let platter = Arc::new(Platter::default());
        let journal = open(Arc::new(SledEngine::open(directory.path(), &on(&platter)).expect("an engine")));
        let topic = journal.name("noise").expect("a name");
        let writer = Writer::start(Arc::clone(&journal), Owner::default()).expect("a writer");
        // How many of each caller's entries were acknowledged.
        let acknowledged: Vec<AtomicU64> = (0..CALLERS).map(|_| AtomicU64::new(0)).collect();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (caller, acknowledged) in acknowledged.iter().enumerate() {
                let (writer, ended) = (&writer, &ended);
                scope.spawn(move || {
                    for number in 0_u64.. {
                        let length = 40 + (number * 7_919 % 6_000) as usize;
                        let head = [(caller as u64).to_be_bytes(), number.to_be_bytes()].concat();
                        let body = [head, noise(number, length)].concat();
                        send(writer, commit(topic, [body])).recv().expect("an answer").expect("a receipt");
                        acknowledged.store(number + 1, Ordering::Release);
                        if ended.load(Ordering::Acquire) {
                            return;
                        }
                    }
                });
            }
            for number in 0..CUTS_A_DIRECTORY.min(cuts - first) {
                let image = tempfile::tempdir().expect("a directory");
                // The next cut comes after some more has been written.
                let until = journal.head() + 1 + random.below(40) as u64;
                while journal.head() < until {
                    std::thread::yield_now();
                }
                let before: Vec<_> = acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect();
                cut(directory.path(), image.path(), &platter, &mut random);
                acknowledged_in_all += check_callers(image.path(), &before, first + number);
            }
            ended.store(true, Ordering::Release);
        });
        writer.close();
        journal.close().expect("a close");
    }
    assert!(acknowledged_in_all > cuts as u64, "{acknowledged_in_all} were acknowledged before a cut");
}

/// Each caller's entries are there from the first on, none twice, none missing of those acknowledged.
fn check_callers(image: &Path, acknowledged: &[u64], cut: usize) -> u64 {
    let after = on_sled(image);
    let mut found = vec![0; acknowledged.len()];
    for body in bodies(&after) {
        let word = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().expect("a number"));
        let (caller, number) = (word(0) as usize, word(8));
        assert_eq!(number, found[caller], "cut {cut}, caller {caller}: in order, once each");
        assert!(body[16..] == noise(number, body.len() - 16), "cut {cut}: the entry is whole");
        found[caller] += 1;
    }
    for (caller, (found, acknowledged)) in found.iter().zip(acknowledged).enumerate() {
        assert!(found >= acknowledged, "cut {cut}, caller {caller}: {found} of {acknowledged} are left");
    }
    assert_eq!(after.verify(|_| {}).expect("a report").damage, Vec::new(), "cut {cut}");
    acknowledged.iter().sum()
}

fn between_writes(rounds: u64) {
    let mut random = Random(5);
    for round in 0..rounds {
        let (directory, image) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let platter = Arc::new(Platter::default());
        let engine = Arc::new(SledEngine::open(directory.path(), &on(&platter)).expect("an engine"));
        let journal = open(engine);
        let topic = journal.name("noise").expect("a name");
        let mut acknowledged = Vec::new();
        for number in 0..random.below(60) as u64 {
            let length = random.below(20_000);
            let body = noise(number + round * 1_000, length);
            let mut written = commit(topic, [&body]);
            if random.below(3) == 0 {
                written.durability = Durability::Written;
                put(&journal, NOON, written);
                continue;
            }
            put(&journal, NOON, written);
            acknowledged = bodies(&journal);
        }
        cut(directory.path(), image.path(), &platter, &mut random);
        let after = on_sled(image.path());
        let found = bodies(&after);
        assert!(found.len() >= acknowledged.len(), "round {round}: {} of {}", found.len(), acknowledged.len());
        assert_eq!(&found[..acknowledged.len()], acknowledged.as_slice(), "round {round}");
        assert_eq!(found, bodies(&journal)[..found.len()], "round {round}: a prefix of what was committed");
        assert!(found.is_empty() || after.name_of(topic) == "noise", "round {round}: a name is as durable as its use");
    }
}

/// Space freed and used again must not cost what is synced, and what is left is a prefix of the commits.
#[test]
fn overwritten_values_outlive_power_cuts() {
    let _alone = crate::support::MUCH_WRITING.lock();
    const KEYS: usize = 500;
    let mut random = Random(8);
    let directory = tempfile::tempdir().expect("a directory");
    let platter = Arc::new(Platter::default());
    let engine = SledEngine::open(directory.path(), &on(&platter)).expect("an engine");
    let mut written: Vec<(usize, u64)> = Vec::new();
    let mut synced = 0;
    for number in 0..6_000_u64 {
        let key = random.below(KEYS);
        let value = [number.to_be_bytes().to_vec(), noise(number, 4_000)].concat();
        let ops = vec![Op::Put(key.to_be_bytes().to_vec(), Bytes::from(value))];
        let durability = if number % 20 == 19 { Durability::Synced } else { Durability::Written };
        engine.commit(WriteBatch { expect: Vec::new(), ops }, durability).expect("a commit");
        written.push((key, number));
        synced = if durability == Durability::Synced { written.len() } else { synced };
        if number % 500 != 490 {
            continue;
        }
        let image = tempfile::tempdir().expect("a directory");
        cut(directory.path(), image.path(), &platter, &mut random);
        let after = crate::support::sled(image.path());
        let mut found = vec![None; KEYS];
        for (key, value) in after.scan(b"", None, usize::MAX).expect("a scan") {
            let key = usize::from_be_bytes(key.as_ref().try_into().expect("a number"));
            let number = u64::from_be_bytes(value[..8].try_into().expect("a number"));
            assert!(value[8..] == noise(number, 4_000), "the value is whole");
            found[key] = Some(number);
        }
        let last = found.iter().flatten().max().map_or(0, |number| *number as usize + 1);
        assert!(last >= synced, "after {number}: {last} of {synced} synced commits are left");
        let mut expected = vec![None; KEYS];
        written[..last].iter().for_each(|(key, number)| expected[*key] = Some(*number));
        assert_eq!(found, expected, "after {number}");
    }
    let file_bytes = engine.usage().expect("sizes").file_bytes;
    assert!(file_bytes < 6_000 * 4_000 * 3 / 4, "space was used again: {file_bytes} bytes");
}

#[test]
fn an_acknowledgement_waits_for_exactly_one_sync() {
    let directory = tempfile::tempdir().expect("a directory");
    let platter = Arc::new(Platter::default());
    let engine = Arc::new(SledEngine::open(directory.path(), &on(&platter)).expect("an engine"));
    let journal = Journal::open(Arc::<SledEngine>::clone(&engine), Default::default()).expect("a journal");
    let topic = journal.name("t").expect("a name");
    let before = *platter.syncs.lock();
    let mut written = commit(topic, [b"written"]);
    written.durability = Durability::Written;
    put(&journal, NOON, written);
    assert_eq!(*platter.syncs.lock(), before, "nobody waits for the disk");
    put(&journal, NOON, commit(topic, [b"synced"]));
    assert_eq!(*platter.syncs.lock(), before + 1);
    assert_eq!(engine.syncs(), before + 1);
    assert!(platter.log.lock().windows(6).any(|bytes| bytes == b"synced"), "the sync came after the flush");
}
