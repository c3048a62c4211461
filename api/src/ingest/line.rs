//! One event of a file, a JSON object with its `type`, as exports of Segment hold them.

use impresario_agents::vocabulary::Tracked;

use super::{
    event::{Envelope, tracked},
    item::Item,
    reject::Reason,
    scan::check_raw,
    time::read_time,
};
use crate::config::IngestLimits;

/// An event of a file, judged as the door would. It happened at its `timestamp` (which is set right
/// already), else `originalTimestamp`, else `sentAt`; it counts as received then. Its message id is
/// empty where it has none of its own.
///
/// # Errors
/// Why it is not taken, in words that hold nothing personal.
pub(crate) fn event_of_line(text: &str, source: &str, limits: &IngestLimits) -> Result<Tracked, String> {
    judged_line(text, source, limits).map_err(|reason| reason.to_string())
}

fn judged_line(text: &str, source: &str, limits: &IngestLimits) -> Result<Tracked, Reason> {
    if text.len() > limits.event_bytes_max {
        return Err(Reason::TooLarge);
    }
    check_raw(text, 0, limits)?;
    let item: Item<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if text.trim_start().starts_with('{') => Reason::WrongType("a field"),
        _ => Reason::NotAnObject,
    })?;
    let envelope = Envelope {
        source,
        received_at_ms: i64::MAX,
        request: 0,
        sent_at_ms: None,
        context: None,
        data_clock: true,
        limits,
    };
    let mut event = tracked(&item, None, 0, &envelope)?;
    let at_ms = match &item.timestamp {
        Some(text) if !text.0.is_empty() => read_time(&text.0, "timestamp")?,
        _ => event.original_at_ms.ok_or(Reason::Missing("`timestamp`"))?,
    };
    event.at_ms = at_ms;
    event.received_at_ms = at_ms;
    if item.message_id.is_none_or(|id| id.0.is_empty()) {
        event.message_id = "".into();
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<(&str, i64), &str>) {
        let found = judged_line(text, "import", &IngestLimits::default());
        let found = found.map(|event| (event.message_id.to_string(), event.at_ms)).map_err(Reason::code);
        assert_eq!(found, expect.map(|(id, at)| (id.to_owned(), at)), "{text}");
    }

    #[test]
    fn lines_are_judged_as_at_the_door() {
        let at = "\"timestamp\":\"1970-01-01T00:00:01Z\"";
        check(&format!(r#"{{"type":"track","event":"A","userId":"u",{at}}}"#), Ok(("", 1_000)));
        check(&format!(r#"{{"type":"page","messageId":"m","anonymousId":"a",{at}}}"#), Ok(("m", 1_000)));
        let both = "\"originalTimestamp\":\"1970-01-01T00:00:09Z\"";
        check(&format!(r#"{{"type":"track","event":"A","userId":"u",{at},{both}}}"#), Ok(("", 1_000)));
        check(&format!(r#"{{"type":"track","event":"A","userId":"u",{both}}}"#), Ok(("", 9_000)));
        check(r#"{"type":"track","event":"A","userId":"u"}"#, Err("missing_field"));
        check(&format!(r#"{{"type":"track","event":"A",{at}}}"#), Err("missing_id"));
        check(&format!(r#"{{"type":"track","userId":"u",{at}}}"#), Err("missing_field"));
        check(&format!(r#"{{"type":"buy","userId":"u",{at}}}"#), Err("unknown_type"));
        check(r#"{"type":"track","event":"A","userId":"u","timestamp":"soon"}"#, Err("bad_timestamp"));
        check(&format!(r#"{{"type":"track","event":5,"userId":"u",{at}}}"#), Err("wrong_type"));
        check("{", Err("not_an_object"));
        check("[1]", Err("not_an_object"));
        check("x", Err("not_an_object"));
        check(&format!(r#"{{"type":"track","event":"A","userId":"\ud800",{at}}}"#), Err("lone_surrogate"));
    }
}
