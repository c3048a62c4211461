//! Which channel a step's message goes by, and which one next.

use impresario_agents::vocabulary::InsteadOf;

use super::*;

fn by_best() -> Value {
    json!({
        "name": "Best", "reentry": "always",
        "steps": [
            {"id": "hello", "send": {"template": "hello", "channels": ["best"]}},
            {"id": "wait", "wait": {"for": "6h", "on": [{"receipt": ["clicked"], "then": "done"}]}},
            {"id": "never", "end": {"outcome": "silent"}},
            {"id": "done", "end": {"outcome": "answered"}}
        ]
    })
}

#[test]
fn the_next_channel_is_taken_where_one_fails_and_which_it_stands_in_for_is_told() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 7 * HOUR).unwrap();
    let push = said::<MessageRequested>(&driver)[0].id;
    let_through(&mut driver, push, Channel::Push);
    assert_eq!(way(&driver).last().unwrap().0, "remind", "its channel has not taken it yet");
    answer(&mut driver, push, Channel::Push, Some("the token is unknown"));
    let asked = said::<MessageRequested>(&driver);
    assert_eq!(asked.iter().map(|asked| asked.channel).collect::<Vec<_>>(), [Channel::Push, Channel::Email]);
    let by = Refusal { guard: "channel".into(), why: "the token is unknown".into() };
    assert_eq!(asked[1].instead_of, Some(InsteadOf { message: push, channel: Channel::Push, by }));
    sent(&mut driver, asked[1].id, Channel::Email);
    assert_eq!(outcomes(&driver), [Outcome::Finished("finished".into())]);
}

#[test]
fn a_message_that_comes_back_before_its_channel_says_so_has_failed_too() {
    let mut driver = waiting_for_an_answer();
    driver.advance_to(START + 7 * HOUR).unwrap();
    let push = said::<MessageRequested>(&driver)[0].id;
    let_through(&mut driver, push, Channel::Push);
    receipt(&mut driver, push, ReceiptKind::Bounced, false);
    assert_eq!(said::<MessageRequested>(&driver).len(), 2);
    answer(&mut driver, push, Channel::Push, None);
    assert_eq!(way(&driver).last().unwrap().0, "remind", "it is the other one that is waited for");
}

#[test]
fn what_chose_the_channel_is_told() {
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "best", by_best());
    for number in 1..=2 {
        let_through(&mut driver, MessageId(number), Channel::Sms);
        receipt(&mut driver, MessageId(number), ReceiptKind::Clicked, false);
        let_through(&mut driver, MessageId(number + 10), Channel::Email);
    }
    begin(&mut driver, "best");
    let asked = said::<MessageRequested>(&driver).pop().unwrap();
    let why = asked.channel_because.as_deref();
    assert_eq!((asked.channel, why), (Channel::Sms, Some("answered 2 of 2 by sms, 0 of 0 by push, 0 of 2 by email")));
}

#[test]
fn what_is_answered_is_out_before_its_channel_says_so() {
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "best", by_best());
    begin(&mut driver, "best");
    let asked = said::<MessageRequested>(&driver).pop().unwrap();
    let_through(&mut driver, asked.id, asked.channel);
    receipt(&mut driver, asked.id, ReceiptKind::Clicked, false);
    assert_eq!(outcomes(&driver), [Outcome::Finished("answered".into())]);
}

#[test]
fn what_its_channel_gives_back_is_waited_for_and_an_answer_that_never_comes_counts_as_sent() {
    let mut driver = driver(&journal(), stage(2));
    define(&mut driver, "best", by_best());
    begin(&mut driver, "best");
    let asked = said::<MessageRequested>(&driver).pop().unwrap();
    let_through(&mut driver, asked.id, asked.channel);
    let by = Refusal { guard: "late".into(), why: "too long ago".into() };
    let until_ms = START + 12 * HOUR;
    let (id, channel) = (asked.id, asked.channel);
    let returned =
        MessageReturned { id, profile: anna(), campaign: None, decision: None, arm: None, channel, until_ms, by };
    driver.say(returned).unwrap();
    driver.advance_to(until_ms).unwrap();
    assert_eq!(way(&driver).last().unwrap().0, "hello");
    let_through(&mut driver, asked.id, asked.channel);
    driver.advance_to(until_ms + HOUR).unwrap();
    assert_eq!(way(&driver).last().unwrap().0, "wait");
}
