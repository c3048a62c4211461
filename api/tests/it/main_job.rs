//! The main job on real input: who is slipping away, told from the CDNOW purchases, against a count over
//! the raw file that knows nothing of the program but what its documentation says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// How many gaps of everybody's length are added to a person's own; as documented.
const SHRINKAGE: i64 = 3;
/// Mean gaps after which a risk of 0.9 is passed: -ln(1 - 0.9), in millionths.
const GAPS_MICROS: i128 = 2_302_585;
const DAY_MS: i64 = 86_400_000;

/// One line of the file.
pub(crate) struct Purchase {
    pub(crate) customer: String,
    pub(crate) at_ms: i64,
}

/// The real data; `None`, saying so, where it is missing.
pub(crate) fn cdnow() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cdnow/CDNOW_master.txt");
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is missing", path.display());
    None
}

/// Every purchase, in the order of time; those of one day in the order of the file.
pub(crate) fn purchases(path: &Path) -> Vec<Purchase> {
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
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
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
pub(crate) fn slipping_away(purchases: &[Purchase], at_ms: i64) -> BTreeSet<String> {
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
        let expected = (i128::from(SHRINKAGE) * i128::from(mean) + i128::from(own_ms)) / i128::from(SHRINKAGE + own_gaps);
        at_ms >= orders.last + (expected.max(1) * GAPS_MICROS / 1_000_000) as i64
    };
    customers.into_iter().filter(|(_, orders)| is_late(orders)).map(|(customer, _)| customer.to_owned()).collect()
}
