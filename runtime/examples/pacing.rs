//! A complete agent: no customer gets more than two messages within a day; a third one waits.

use impresario_runtime::*;
use serde::{Deserialize, Serialize};

/// A customer is to get a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SendRequested(u64, String);
topic!(SendRequested, "send.requested");

/// It may go out now.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SendAllowed(SendRequested);
topic!(SendAllowed, "send.allowed");

const DAY_MS: i64 = 24 * 3_600_000;

struct Pacing;

impl Agent for Pacing {
    const NAME: &'static str = "pacing";
    type Key = u64; // One state for each customer:
    type State = Vec<i64>; // when the messages of the last day went out, oldest first.

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<SendRequested>(|request| request.0);
    }
}

impl On<SendRequested> for Pacing {
    fn on(&self, sent: &mut Vec<i64>, event: &Event<'_, SendRequested>, step: &mut Step<'_>) -> Result<(), AgentError> {
        sent.retain(|at_ms| at_ms + DAY_MS > step.now_ms());
        if sent.len() < 2 {
            sent.push(step.now_ms());
            step.publish(SendAllowed(event.body.clone()));
        } else {
            // A durable timer asks again, in the instant the oldest of them is a day old.
            step.schedule(sent[0] + DAY_MS, event.body);
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "this is what an example is for")]
fn main() -> Result<(), RuntimeError> {
    let mut driver = Driver::in_memory(Troupe::new().agent(Pacing))?;
    for message in ["welcome", "new shoes", "last call"] {
        driver.say(SendRequested(7, message.into()))?;
    }
    driver.advance_to(2 * DAY_MS)?;
    driver.said::<SendAllowed>()?.iter().for_each(|(at_ms, allowed)| println!("{at_ms:>8} ms: {allowed:?}"));
    driver.stop().map(drop)
}

#[test]
fn the_third_message_of_a_day_waits() {
    let then = test_kit::given(Pacing, 7, vec![10, 20]).at(30).when(&SendRequested(7, "hello".into()));
    assert_eq!((then.scheduled(), then.said::<SendAllowed>()), (vec![10 + DAY_MS], vec![]));
}
