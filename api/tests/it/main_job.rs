//! The main job on real input: who is slipping away, told from the CDNOW purchases, against a count over
//! the raw file that knows nothing of the program but what its documentation says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use impresario_agents::vocabulary::{Identifier, IdentifierKind};
use serde_json::Value;

use crate::server::{Server, directory, program};

/// How many gaps of everybody's length are added to a person's own; as documented.
const SHRINKAGE: i64 = 3;
/// Mean gaps after which a risk of 0.9 is passed: -ln(1 - 0.9), in millionths.
const GAPS_MICROS: i128 = 2_302_585;
const DAY_MS: i64 = 86_400_000;

/// One line of the file.
struct Purchase {
    customer: String,
    at_ms: i64,
}

/// The real data; `None`, saying so, where it is missing.
fn cdnow() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cdnow/CDNOW_master.txt");
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is missing", path.display());
    None
}

/// Every purchase, in the order of time; those of one day in the order of the file.
fn purchases(path: &Path) -> Vec<Purchase> {
    let text = std::fs::read_to_string(path).expect("the file is read");
    let mut all: Vec<_> = text.lines().skip(1).filter_map(purchase).collect();
    all.sort_by_key(|purchase| purchase.at_ms);
    all
}

fn purchase(line: &str) -> Option<Purchase> {
    let mut columns = line.split_whitespace();
    let customer = columns.next()?.to_owned();
    let date = columns.next()?;
    let number = |range: std::ops::Range<usize>| date.get(range)?.parse().ok();
    let day = days_since_1970(number(0..4)?, number(4..6)?, number(6..8)?);
    Some(Purchase { customer, at_ms: day * DAY_MS })
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// What is known of one customer at some instant.
struct Orders {
    first: i64,
    last: i64,
    days: BTreeSet<i64>,
}

impl Orders {
    fn gaps(&self) -> (i64, i64) {
        (self.days.len() as i64 - 1, self.last - self.first)
    }
}

/// Who is slipping away at the end of the millisecond `at_ms`, counted by brute force.
fn slipping_away(purchases: &[Purchase], at_ms: i64) -> BTreeSet<String> {
    let mut customers: BTreeMap<&str, Orders> = BTreeMap::new();
    let (mut gaps, mut gaps_ms, mut said_at, mut mean) = (0_i64, 0_i64, 0_i64, None);
    for purchase in purchases.iter().filter(|purchase| purchase.at_ms <= at_ms) {
        let fresh = Orders { first: purchase.at_ms, last: purchase.at_ms, days: BTreeSet::new() };
        let orders = customers.entry(&purchase.customer).or_insert(fresh);
        let before = if orders.days.is_empty() { (0, 0) } else { orders.gaps() };
        orders.days.insert(purchase.at_ms / DAY_MS);
        orders.last = orders.last.max(purchase.at_ms);
        let after = orders.gaps();
        if before == after {
            continue;
        }
        gaps += after.0 - before.0;
        gaps_ms += after.1 - before.1;
        let quarter = (said_at + 3) / 4;
        if gaps > 0 && (said_at == 0 || gaps >= said_at + quarter || gaps <= said_at - quarter) {
            said_at = gaps;
            mean = Some((gaps_ms / gaps).max(1));
        }
    }
    let Some(mean) = mean else { return BTreeSet::new() };
    let is_late = |orders: &Orders| {
        let (own_gaps, own_ms) = orders.gaps();
        let expected =
            (i128::from(SHRINKAGE) * i128::from(mean) + i128::from(own_ms)) / i128::from(SHRINKAGE + own_gaps);
        at_ms >= orders.last + (expected.max(1) * GAPS_MICROS / 1_000_000) as i64
    };
    customers.into_iter().filter(|(_, orders)| is_late(orders)).map(|(customer, _)| customer.to_owned()).collect()
}

/// Dates of the data's own time at which the answers are compared.
const DATES: [(i64, i64, i64); 5] = [(1997, 2, 1), (1997, 5, 1), (1997, 10, 1), (1998, 2, 15), (1998, 6, 30)];
const GOAL: &str = r#"{"id":"slipping-away","name":"Who is slipping away?","metric":"churn_risk"}"#;
const TRIAL: &str = r#"{"at":"AT","condition":{"score":{"model":"churn_risk","op":">=","value":0.9}}}"#;
const SEGMENT: &str = "/api/segments/slipping-away";

#[test]
fn who_is_slipping_away_is_what_a_count_over_the_raw_file_says() {
    let Some(file) = cdnow() else { return };
    let purchases = purchases(&file);
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("IMPRESARIO_CLOCK", "1997-01-01")]);
    let keys = server.keys();
    assert_eq!(server.control("POST", "/api/goals", GOAL).status, 201);
    server.stop();

    kill_in_the_middle(import(&data, &file).spawn().expect("the import starts"), &data);
    let again = import_whole(&data, &file);
    let number = |report: &Value, name: &str| report[name].as_u64().unwrap_or_default();
    assert!(number(&again, "already_there") > 0, "it was killed before anything was in: {again}");
    assert!(number(&again, "imported") > 0, "it was killed after all was in: {again}");
    assert_eq!(number(&again, "already_there") + number(&again, "imported"), purchases.len() as u64);
    let once_more = import_whole(&data, &file);
    assert_eq!(number(&once_more, "imported"), 0, "{once_more}");

    let server = serve(&data, &keys);
    for (year, month, day) in DATES {
        let at_ms = days_since_1970(year, month, day) * DAY_MS;
        let at = format!("{year:04}-{month:02}-{day:02}");
        let expected = profiles_of(&slipping_away(&purchases, at_ms));
        assert!(!expected.is_empty());
        assert_same(&members(&server, Some(&at)), &expected, &at);
        // A trial at that date goes by everybody's rhythm of that date.
        let trial = TRIAL.replace("AT", &at);
        let trial = server.control("POST", "/api/segments/preview", &trial).json();
        assert_eq!(number(&trial, "size"), expected.len() as u64, "{at}: {trial}");
    }
    let present = members(&server, None);
    let last = days_since_1970(1998, 6, 30) * DAY_MS;
    assert_same(&present, &profiles_of(&slipping_away(&purchases, last)), "the present");
    assert_eq!(number(&server.get(SEGMENT), "size"), present.len() as u64);
    server.stop();

    // Set after the import, the goal's segment is filled from the past: the same people.
    let (_directory, data) = directory();
    import_whole(&data, &file);
    let server = Server::start_with(&data, &[("IMPRESARIO_CLOCK", "1998-06-30")]);
    assert_eq!(server.control("POST", "/api/goals", GOAL).status, 201);
    let is_full = |segment: &Value| segment["ready"] == true && number(segment, "size") == present.len() as u64;
    server.wait_for(SEGMENT, is_full);
    server.settle();
    assert_same(&members(&server, None), &present, "the goal set after the import");
    server.stop();
}

fn import(data: &Path, file: &Path) -> Command {
    let mut command = program(data);
    command.arg("import").arg(file).args(["--clock", "data", "--user", "customer_id", "--time", "date"]);
    command.args(["--time-format", "%Y%m%d", "--event", "Order Completed", "--property", "revenue=dollar_value"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn import_whole(data: &Path, file: &Path) -> Value {
    let output = import(data, file).output().expect("the import runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report in JSON")
}

/// Kills the import once a good part of the data is on disk.
fn kill_in_the_middle(mut child: Child, data: &Path) {
    const A_GOOD_PART: u64 = 12 << 20;
    let log = data.join("sled/db");
    let is_there = || std::fs::metadata(&log).is_ok_and(|file| file.len() >= A_GOOD_PART);
    while !is_there() && child.try_wait().expect("its state").is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
}

fn serve(data: &Path, keys: &(String, String)) -> Server {
    let mut server = Server::start_with(data, &[("IMPRESARIO_CLOCK", "data")]);
    (server.write_key, server.admin_key) = keys.clone();
    server
}

fn members(server: &Server, at: Option<&str>) -> BTreeSet<String> {
    let at = at.map(|at| format!("&at={at}")).unwrap_or_default();
    let mut all = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("{SEGMENT}/members?limit=1000{at}{cursor}"));
        let members = page["members"].as_array().cloned().unwrap_or_default();
        all.extend(members.iter().filter_map(|member| member["profile"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn profiles_of(customers: &BTreeSet<String>) -> BTreeSet<String> {
    let node = |customer: &String| Identifier::new(IdentifierKind::UserId, customer).map(|id| id.node().to_string());
    customers.iter().filter_map(node).collect()
}

fn assert_same(found: &BTreeSet<String>, expected: &BTreeSet<String>, when: &str) {
    let (missing, surplus) = (expected.difference(found).count(), found.difference(expected).count());
    assert!(
        missing == 0 && surplus == 0,
        "{when}: {} members, {} expected; {missing} are missing, {surplus} too many",
        found.len(),
        expected.len()
    );
}
