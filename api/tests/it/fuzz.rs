//! Fuzzing: real inputs, changed at random, into everything that reads what others wrote. Nothing panics, and
//! nothing takes a second. Tests spend a small fixed budget; `cargo run --release -p impresario-api --example fuzz`
//! spends as long as it is told.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use impresario_agents::segmentation::{SegmentDefined, check};
use impresario_api::{
    config::{IngestLimits, check_text, reference},
    import::{
        Mapping, Table,
        records::{Cut, Next, Records},
    },
    ingest,
};
use impresario_runtime::{
    new_entry,
    store::{Commit, Durability, Engine, Journal, JournalLimits, MemoryEngine, OUTSIDE, Op, WriteBatch},
    topic,
};
use impresario_scenarios::Scenario;
use serde::{Deserialize, Serialize};

/// How long one input may take.
const INPUT_MAX: Duration = Duration::from_secs(1);
/// Bytes an input may grow to.
const INPUT_BYTES_MAX: usize = 256 * 1024;

/// Something that reads what others wrote.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Real inputs to begin from.
    corpus: Vec<Vec<u8>>,
    read: fn(&[u8]),
}

/// All of them.
pub(crate) fn targets() -> Vec<Target> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    vec![
        Target { name: "events", corpus: texts(EVENTS), read: events },
        Target { name: "segment", corpus: texts(SEGMENTS), read: segment },
        Target { name: "scenario", corpus: scenarios(), read: scenario },
        Target { name: "journal", corpus: journal_blocks(), read: journal },
        Target { name: "import", corpus: texts(TABLES), read: import },
        Target { name: "config", corpus: vec![reference().to_string().into_bytes()], read: config },
    ]
}

const EVENTS: &[&str] = &[
    r#"{"batch":[{"type":"track","userId":"u1","event":"Order Completed","messageId":"m1","timestamp":"2026-05-04T08:00:00.123+02:00","properties":{"revenue":49.9,"products":[{"product_id":"A","price":"1e3"}]},"context":{"ip":"::1"}}],"sentAt":"2026-05-04T08:00:01Z"}"#,
    r#"{"batch":[{"type":"identify","anonymousId":"a\ud83d\ude00","traits":{"email":"anna@example.test","x":null}},{"type":"alias","userId":"u","previousId":"a"},{"type":"group","userId":"u","groupId":"g"},{"type":"page","userId":"u","name":"Home"}],"context":{"a":{"b":[1,-0.0,1E-9]}},"writeKey":"k"}"#,
];

const SEGMENTS: &[&str] = &[
    r#"{"id":"s","name":"S","condition":{"all":[{"event":{"name":"Order Completed","where":[{"property":"currency","op":"=","value":"EUR"}],"aggregate":"sum","property":"revenue","window":{"last":"90d"},"op":">=","value":100}},{"not":{"trait":{"name":"plan","op":"contains","value":"pro"}}}]}}"#,
    r#"{"id":"t","name":"T","condition":{"any":[{"sequence":{"first":{"name":"A"},"then":{"name":"B"},"within":"2h","followed":false,"window":{"last":"3d"}}},{"absent":{"name":"C","window":{"from":"2026-01-01","to":"2026-02-01"}}},{"sample":{"percent":12.5}},{"score":{"name":"churn_risk","op":">=","value":0.9}},{"segment":"s"},{"feature":{"name":"value.EUR","op":"<","value":-1}}]}}"#,
];

const TABLES: &[&str] = &[
    "id,date,sum,name\n1,1997-01-01T00:00:00Z,29.33,\"a \"\"b\"\", c\"\n2,1997-01-12,\"1.234,50\",x\n",
    " 00001 19970101  1   11.77\n 00002 19970112  5   77.00\n",
    "\u{feff}id;date;sum\r\n7;01/12/2010 08:26;-4,5\r\n",
    "{\"type\":\"track\",\"userId\":\"u\",\"event\":\"E\",\"timestamp\":\"1970-01-01T00:00:01Z\"}\n",
];

fn scenarios() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = std::fs::read_dir(folder).expect("scenarios").flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort_unstable();
    files.iter().map(|path| std::fs::read(path).expect("a scenario")).collect()
}

fn events(input: &[u8]) {
    let _ = ingest::look(input, &IngestLimits::default());
}

fn segment(input: &[u8]) {
    if let Ok(defined) = serde_json::from_slice::<SegmentDefined>(input) {
        let _ = check(&defined, &BTreeMap::new());
    }
}

fn scenario(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Scenario::parse(text);
    }
}

fn config(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = check_text(text, "impresario.toml");
    }
}

fn import(input: &[u8]) {
    let flags = |time: &str, format: &str| Mapping {
        user: Some("1".into()),
        time: Some(time.into()),
        time_format: Some(format.into()),
        event: Some("E".into()),
        properties: [("revenue".to_owned(), "3*4".to_owned()), ("x".to_owned(), "3:number".to_owned())].into(),
        ..Mapping::default()
    };
    for (mapping, cut) in [(flags("2", "iso"), Cut::Quoted(b',')), (flags("2", "%Y%m%d"), Cut::Lines)] {
        let mut table: Option<Table> = None;
        let mut records = Records::new(input, cut, 64 * 1024);
        loop {
            match records.read().expect("bytes in memory can be read") {
                Next::End => break,
                Next::Refused { .. } => {}
                Next::Record(record) => {
                    let Ok(row) = std::str::from_utf8(record.bytes) else { continue };
                    if table.is_none() {
                        table = Table::new(&mapping, row).ok();
                    }
                    if let Some(table) = &table {
                        let _ = table.event(row);
                    }
                }
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Mapping::from_toml(text);
    }
}

#[derive(Serialize, Deserialize)]
struct Said(String);
topic!(Said, "fuzz.said");

/// A journal as its engine holds it: every row, one behind the other, with their lengths.
fn journal_blocks() -> Vec<Vec<u8>> {
    let engine = Arc::new(MemoryEngine::new());
    let journal = Journal::open(Arc::<MemoryEngine>::clone(&engine), JournalLimits::default()).expect("a journal");
    for group in 0..6_u64 {
        let mut commit = Commit::new(OUTSIDE);
        commit.durability = Durability::Synced;
        for number in 0..=group * 7 {
            let said = Said(format!("body {number} of {group} {}", "x".repeat(number as usize * 5)));
            let mut entry = new_entry(&journal, group * 100 + number + 1, said).expect("an entry");
            entry.partition = number as u16 % 3;
            commit.entries.push(entry);
        }
        journal.commit_one(group as i64, commit).expect("a commit");
    }
    let mut rows = Vec::new();
    for (key, value) in engine.scan(&[], None, 10_000).expect("rows") {
        for part in [&key, &value] {
            rows.extend_from_slice(&u32::try_from(part.len()).expect("a short row").to_be_bytes());
            rows.extend_from_slice(part);
        }
    }
    vec![rows]
}

fn journal(input: &[u8]) {
    let engine = MemoryEngine::new();
    let mut batch = WriteBatch::default();
    let mut rest = input;
    let mut part = || {
        let (length, after) = rest.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize % 65_536;
        let (part, after) = after.split_at(length.min(after.len()));
        rest = after;
        Some(part.to_vec())
    };
    while let (Some(key), Some(value)) = (part(), part()) {
        if !key.is_empty() && key.len() <= 1_024 {
            batch.ops.push(Op::Put(key, value.into()));
        }
    }
    if engine.commit(batch, Durability::Written).is_err() {
        return;
    }
    // Damage is refused or reported with its place; a journal that opens can be read to its end.
    let Ok(journal) = Journal::open(Arc::new(engine), JournalLimits::default()) else { return };
    let _ = journal.verify(|_| ());
    for seq in 1..=journal.head().min(200) {
        let _ = journal.chunk(seq);
    }
}

/// What was found wrong with one input.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) what: String,
    pub(crate) input: Vec<u8>,
}

impl Target {
    /// Reads the input of this seed: a panic or a second is a finding.
    pub(crate) fn try_seed(&self, seed: u64) -> Result<usize, Found> {
        let mut chance = Chance(seed);
        let input = self.mutant(&mut chance);
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.read)(&input)));
        let took = start.elapsed();
        let what = match outcome {
            Err(_) => "it panics".to_owned(),
            Ok(()) if took > INPUT_MAX => format!("it takes {} ms", took.as_millis()),
            Ok(()) => return Ok(input.len()),
        };
        Err(Found { what: format!("{} with seed {seed}: {what}", self.name), input })
    }

    fn mutant(&self, chance: &mut Chance) -> Vec<u8> {
        let mut input = chance.one_of(&self.corpus).clone();
        for _ in 0..chance.below(8) {
            self.mutate(&mut input, chance);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, chance: &mut Chance) {
        const BYTES: &[u8] = b"\0\"\\{}[]:,;'\n\r\t -+.0e9\xff\x80\xc3&*!|>#%@`=";
        const WORDS: &[&str] = &[
            "null",
            "true",
            "-1",
            "0",
            "1e999",
            "-9223372036854775808",
            "18446744073709551615",
            "0.1e-400",
            "NaN",
            "\\ud800",
            "\\u0000",
            "9999-12-31T23:59:60Z",
            "-000001-01-01",
            "2026-02-29",
            "{\"not\":",
            "[[[[[[[[",
            "\"\"",
            "&a [*a]",
            "!!binary ",
            "everybody",
            "999999999d",
            "0s",
            "[server]",
            "\u{202e}",
            "💥",
        ];
        let place = chance.below(input.len() + 1);
        let length = chance.below(64.min(input.len() - place) + 1);
        match chance.below(9) {
            0 if place < input.len() => input[place] ^= 1 << chance.below(8),
            1 if place < input.len() => input[place] = *chance.one_of(BYTES),
            2 => drop(input.drain(place..place + length)),
            3 => {
                let copy = input[place..place + length].to_vec();
                let times = if chance.below(20) == 0 { 2_000 } else { 1 + chance.below(4) };
                input.splice(place..place, copy.repeat(times));
            }
            4 => drop(input.splice(place..place, chance.one_of(WORDS).bytes())),
            5 => input.truncate(place),
            6 => {
                let other = chance.one_of(&self.corpus);
                let from = chance.below(other.len() + 1);
                let to = from + chance.below(other.len() - from + 1);
                input.splice(place..place + length, other[from..to].iter().copied());
            }
            7 => drop(input.splice(place..place + length, chance.one_of(WORDS).bytes())),
            _ => input.insert(place, *chance.one_of(BYTES)),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a seed tells the whole input.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = self.below(of.len());
        &of[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_panics_or_takes_a_second() {
        const INPUTS: u64 = 400;
        let begin: u64 = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("seeds {begin} to {} for each target", begin + INPUTS - 1);
        for target in targets() {
            for seed in begin..begin + INPUTS {
                if let Err(Found { what, input }) = target.try_seed(seed) {
                    panic!("{what}: {}", String::from_utf8_lossy(&input).escape_debug());
                }
            }
        }
    }

    #[test]
    fn a_reader_that_breaks_is_found() {
        let broken = Target { name: "broken", corpus: vec![b"abc".to_vec()], read: |input| assert!(input.len() < 40) };
        assert!((1..2_000).any(|seed| broken.try_seed(seed).is_err()));
    }
}
