//! The events of the load: made before the clock starts, and only patched while it runs.

use std::fmt::Write;

/// Bodies of batches, with the places that make each event its own.
pub struct Bodies {
    bodies: Vec<Body>,
    next: usize,
    sent: u64,
    whom: Whom,
    connection: u64,
    state: u64,
}

/// Of whom the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Of so many people, by chance.
    Anybody(u64),
    /// Of each person of a range once, then of any of them.
    EachOf(u64, u64),
}

impl Whom {
    fn next(self, sent: u64, random: u64) -> u64 {
        match self {
            Self::Anybody(people) => random % people.clamp(1, PEOPLE_MAX),
            Self::EachOf(from, to) if from + sent <= to.min(PEOPLE_MAX) => from + sent - 1,
            Self::EachOf(from, to) => from + random % to.min(PEOPLE_MAX).saturating_sub(from).max(1),
        }
    }
}

struct Body {
    text: Vec<u8>,
    /// Where the twelve digits of each message id, and the eight of each user id, begin.
    places: Vec<(usize, usize)>,
}

const DIFFERENT_BODIES: usize = 16;
const MESSAGE_DIGITS: usize = 12;
const USER_DIGITS: usize = 8;
const PEOPLE_MAX: u64 = 99_999_999;

impl Bodies {
    /// Bodies of `batch` events each, that happened at `timestamp` (RFC 3339). No two `connection`s (below 10,000)
    /// send the same event.
    pub fn new(connection: u64, batch: usize, whom: Whom, timestamp: &str) -> Self {
        // SplitMix64; a different stream for each connection.
        let mut state = connection.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        let bodies = (0..DIFFERENT_BODIES).map(|_| Body::new(&mut state, batch, timestamp)).collect();
        Self { bodies, next: 0, sent: 0, whom, connection, state }
    }

    /// The next batch; no event of it was sent before.
    pub fn next_batch(&mut self) -> &[u8] {
        self.next = (self.next + 1) % self.bodies.len().max(1);
        let Some(body) = self.bodies.get_mut(self.next) else { return &[] };
        for (message, user) in &body.places {
            self.sent += 1;
            // Four digits say which connection, eight count.
            put_digits(&mut body.text, *message, 4, self.connection);
            put_digits(&mut body.text, *message + 4, MESSAGE_DIGITS - 4, self.sent);
            let user_number = self.whom.next(self.sent, random(&mut self.state));
            put_digits(&mut body.text, *user, USER_DIGITS, user_number);
        }
        &body.text
    }

    /// Bytes of an event, on average.
    pub fn event_bytes(&self) -> usize {
        let bytes: usize = self.bodies.iter().map(|body| body.text.len()).sum();
        let events: usize = self.bodies.iter().map(|body| body.places.len()).sum();
        bytes / events.max(1)
    }
}

impl Body {
    fn new(state: &mut u64, batch: usize, timestamp: &str) -> Self {
        let mut text = String::from("{\"batch\":[");
        let mut places = Vec::with_capacity(batch);
        for index in 0..batch {
            if index > 0 {
                text.push(',');
            }
            let dice = random(state) % 100;
            let product = random(state) % 5_000;
            let cents = random(state) % 20_000 + 100;
            let _ = write!(text, "{{\"type\":\"{}\",\"messageId\":\"bench-", kind(dice));
            let message = text.len();
            text.push_str("000000000000\",\"userId\":\"user-");
            places.push((message, text.len()));
            text.push_str("00000000\",");
            let (euros, cents) = (cents / 100, cents % 100);
            let _ = match dice {
                0..65 => write!(
                    text,
                    "\"event\":\"Product Viewed\",\"properties\":{{\"product_id\":\"SKU-{product:05}\",\
                     \"category\":\"shoes\",\"price\":{euros}.{cents:02},\"currency\":\"EUR\"}},"
                ),
                65..75 => write!(
                    text,
                    "\"event\":\"Product Added\",\"properties\":{{\"product_id\":\"SKU-{product:05}\",\
                     \"quantity\":1,\"price\":{euros}.{cents:02},\"currency\":\"EUR\"}},"
                ),
                75..80 => write!(
                    text,
                    "\"event\":\"Order Completed\",\"properties\":{{\"order_id\":\"O-{product:05}\",\
                     \"revenue\":{euros}.{cents:02},\"currency\":\"EUR\"}},"
                ),
                80..95 => write!(
                    text,
                    "\"name\":\"Product\",\"properties\":{{\"path\":\"/p/{product:05}\",\"title\":\"Product {product}\"}},"
                ),
                _ => write!(text, "\"traits\":{{\"plan\":\"pro\",\"city\":\"Warsaw\",\"age\":{}}},", 18 + product % 60),
            };
            let _ = write!(
                text,
                "\"context\":{{\"library\":{{\"name\":\"analytics-node\",\"version\":\"2.1.0\"}}}},\
                 \"timestamp\":\"{timestamp}\"}}"
            );
        }
        let _ = write!(text, "],\"sentAt\":\"{timestamp}\"}}");
        Self { text: text.into_bytes(), places }
    }
}

fn kind(dice: u64) -> &'static str {
    match dice {
        0..80 => "track",
        80..95 => "page",
        _ => "identify",
    }
}

fn put_digits(text: &mut [u8], at: usize, digits: usize, mut number: u64) {
    for place in text.get_mut(at..at + digits).unwrap_or_default().iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn batches_are_json_of_the_usual_size_and_no_event_comes_twice() {
        let mut ids = BTreeSet::new();
        for connection in 0..2 {
            let mut bodies = Bodies::new(connection, 50, Whom::Anybody(1_000), "2026-05-04T08:00:00.000Z");
            for _ in 0..40 {
                let body: serde_json::Value = serde_json::from_slice(bodies.next_batch()).expect("JSON");
                for event in body["batch"].as_array().expect("a list") {
                    assert!(ids.insert(event["messageId"].as_str().expect("an id").to_owned()));
                    assert!(event["userId"].as_str().is_some_and(|user| user < "user-00001000"));
                }
            }
            assert!((250..320).contains(&bodies.event_bytes()), "{}", bodies.event_bytes());
        }
        assert_eq!(ids.len(), 2 * 40 * 50);
    }

    #[test]
    fn each_of_a_range_comes_once_and_then_anybody_of_it() {
        let mut bodies = Bodies::new(0, 10, Whom::EachOf(20, 45), "2026-05-04T08:00:00.000Z");
        let mut users = Vec::new();
        for _ in 0..10 {
            let body: serde_json::Value = serde_json::from_slice(bodies.next_batch()).expect("JSON");
            users.extend(body["batch"].as_array().expect("a list").iter().map(|event| event["userId"].to_string()));
        }
        let expect: Vec<String> = (20..45).map(|user| format!("\"user-{user:08}\"")).collect();
        assert_eq!(users[..25], expect);
        assert!(users[25..].iter().all(|user| expect.contains(user)));
    }
}
