//! Whether a definition may stand.

use super::{
    definition::{Answer, Case, DelayStep, Does, Entry, Journey, SendStep, StepDefined},
    delay,
};
use crate::{
    segmentation::{Span, check_asked, check_id, check_selector},
    vocabulary::{DAY_MS, Millis},
};

/// Limits of journeys, all in one place.
pub mod limits {
    use crate::vocabulary::{DAY_MS, Millis};

    /// Journeys a directory may have, removed ones included.
    pub const JOURNEYS_MAX: usize = 500;
    /// Versions of one journey that are kept for those who began on them; older ones are gone.
    pub const VERSIONS_MAX: usize = 20;
    /// Steps of one journey.
    pub const STEPS_MAX: usize = 50;
    /// Things one wait waits for, cases of one branch.
    pub const BRANCHES_MAX: usize = 10;
    /// Length of an id, in bytes.
    pub const ID_BYTES_MAX: usize = 64;
    /// Length of a name, in characters.
    pub const NAME_CHARS_MAX: usize = 200;
    /// Length of a definition as JSON, in bytes.
    pub const JOURNEY_BYTES_MAX: usize = 131_072;
    /// Journeys one person may be in at once.
    pub const RUNS_MAX: usize = 20;
    /// Ended journeys remembered of one person.
    pub const PAST_MAX: usize = 32;
    /// People in one journey at once, unless it says less.
    pub const PEOPLE_MAX: u64 = 1_000_000;
    /// The longest wait or delay.
    pub const WAIT_MAX_MS: Millis = 366 * DAY_MS;
    /// Length of what a journey is about, as JSON, in bytes.
    pub const CONTEXT_BYTES_MAX: usize = 8_192;
}

/// Checks a journey before it is defined.
///
/// # Errors
/// What is wrong; the text begins with the field.
pub fn check_journey(id: &str, journey: &Journey) -> Result<(), String> {
    check_id(id).map_err(|why| why.to_string())?;
    if !(1..=limits::NAME_CHARS_MAX).contains(&journey.name.chars().count()) {
        return Err(format!("`name`: 1 to {} characters", limits::NAME_CHARS_MAX));
    }
    match &journey.entry {
        None => {}
        Some(Entry::Situation(kind)) => check_name("entry.situation", kind)?,
        Some(Entry::Segment(segment)) => check_name("entry.segment", segment)?,
        Some(Entry::Event(selector)) => check_selector(selector).map_err(|why| format!("`entry.event`: {why}"))?,
    }
    if let Some(selector) = &journey.conversion {
        check_selector(selector).map_err(|why| format!("`conversion`: {why}"))?;
    }
    if let Some(campaign) = &journey.campaign {
        check_name("campaign", campaign)?;
    }
    if journey.people_max.is_some_and(|most| !(1..=limits::PEOPLE_MAX).contains(&most)) {
        return Err(format!("`people_max`: 1 to {}", limits::PEOPLE_MAX));
    }
    if !(1..=limits::STEPS_MAX).contains(&journey.steps.len()) {
        return Err(format!("`steps`: 1 to {}", limits::STEPS_MAX));
    }
    for (place, step) in journey.steps.iter().enumerate() {
        let path = format!("steps[{place}]");
        let id = check_id(&step.id).map_err(|_| format!("`{path}.id`: 1 to 64 lowercase letters, digits, `-` and `_`"));
        id?;
        if journey.place_of(&step.id) != Some(place) {
            return Err(format!("`{path}.id`: there is a step `{}` already", step.id));
        }
        check_step(journey, place, step, &path)?;
    }
    let bytes = serde_json::to_vec(journey).map_or(usize::MAX, |json| json.len());
    if bytes > limits::JOURNEY_BYTES_MAX {
        return Err(format!("`steps`: the journey is longer than {} bytes of JSON", limits::JOURNEY_BYTES_MAX));
    }
    Ok(())
}

fn check_name(path: &str, name: &str) -> Result<(), String> {
    if (1..=limits::ID_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(format!("`{path}`: 1 to {} bytes", limits::ID_BYTES_MAX))
}

fn check_span(path: &str, span: Span) -> Result<(), String> {
    let longest: Millis = limits::WAIT_MAX_MS;
    if (1_000..=longest).contains(&span.ms()) {
        return Ok(());
    }
    Err(format!("`{path}`: 1s to {}d", longest / DAY_MS))
}

fn check_step(journey: &Journey, place: usize, step: &StepDefined, path: &str) -> Result<(), String> {
    let later = |field: &str, named: Option<&str>| match named.map(|id| (id, journey.place_of(id))) {
        None => Ok(()),
        Some((id, None)) => Err(format!("`{path}.{field}`: there is no step `{id}`")),
        Some((_, Some(to))) if to > place => Ok(()),
        Some((id, Some(_))) => Err(format!("`{path}.{field}`: step `{id}` comes earlier; a journey only goes on")),
    };
    let several = |field: &str, count: usize| {
        let some = (1..=limits::BRANCHES_MAX).contains(&count);
        if some { Ok(()) } else { Err(format!("`{path}.{field}`: 1 to {}", limits::BRANCHES_MAX)) }
    };
    let Some(does) = step.does() else {
        return Err(format!("`{path}`: exactly one of `decide`, `send`, `wait`, `branch`, `delay`, `end`"));
    };
    match does {
        Does::Decide(decide) => {
            if let Some(campaign) = &decide.campaign {
                check_name(&format!("{path}.decide.campaign"), campaign)?;
            }
            later("decide.then", decide.then.as_deref())?;
            later("decide.nothing", decide.nothing.as_deref())
        }
        Does::Send(send) => {
            check_send(send, path)?;
            later("send.then", send.then.as_deref())?;
            later("send.refused", send.refused.as_deref())
        }
        Does::Wait(wait) => {
            check_span(&format!("{path}.wait.for"), wait.lasts)?;
            several("wait.on", wait.on.len())?;
            for (number, answer) in wait.on.iter().enumerate() {
                check_answer(answer, &format!("{path}.wait.on[{number}]"))?;
                later(&format!("wait.on[{number}].then"), answer.then.as_deref())?;
            }
            later("wait.timeout", wait.timeout.as_deref())
        }
        Does::Branch(branch) => {
            several("branch.cases", branch.cases.len())?;
            for (number, case) in branch.cases.iter().enumerate() {
                check_case(case, &format!("{path}.branch.cases[{number}]"))?;
                later(&format!("branch.cases[{number}].then"), Some(&case.then))?;
            }
            later("branch.else", branch.otherwise.as_deref())
        }
        Does::Delay(delay) => {
            check_delay(delay, path)?;
            later("delay.then", delay.then.as_deref())
        }
        Does::End(end) => match &end.outcome {
            Some(outcome) => check_name(&format!("{path}.end.outcome"), outcome),
            None => Ok(()),
        },
    }
}

fn check_send(send: &SendStep, path: &str) -> Result<(), String> {
    check_name(&format!("{path}.send.template"), &send.template)?;
    for (field, name) in [("offer", &send.offer), ("topic", &send.topic), ("because", &send.because)] {
        if let Some(name) = name {
            check_name(&format!("{path}.send.{field}"), name)?;
        }
    }
    if !(1..=4).contains(&send.channels.len()) {
        return Err(format!("`{path}.send.channels`: 1 to 4"));
    }
    send.within.map_or(Ok(()), |within| check_span(&format!("{path}.send.within"), within))
}

fn check_answer(answer: &Answer, path: &str) -> Result<(), String> {
    match answer {
        Answer { event: Some(selector), receipt: None, segment: None, .. } => {
            check_selector(selector).map_err(|why| format!("`{path}.event`: {why}"))
        }
        Answer { event: None, receipt: Some(kinds), segment: None, .. } => {
            let some = (1..=7).contains(&kinds.len());
            if some { Ok(()) } else { Err(format!("`{path}.receipt`: 1 to 7")) }
        }
        Answer { event: None, receipt: None, segment: Some(segment), .. } => {
            check_name(&format!("{path}.segment"), segment)
        }
        _ => Err(format!("`{path}`: exactly one of `event`, `receipt`, `segment`")),
    }
}

fn check_case(case: &Case, path: &str) -> Result<(), String> {
    match case {
        Case { condition: Some(condition), ended: None, .. } => {
            check_asked(condition).map_err(|why| format!("`{path}.condition`: {why}"))
        }
        Case { condition: None, ended: Some(ended), .. } => check_name(&format!("{path}.ended"), ended),
        _ => Err(format!("`{path}`: exactly one of `condition`, `ended`")),
    }
}

fn check_delay(step: &DelayStep, path: &str) -> Result<(), String> {
    match (&step.lasts, &step.until) {
        (Some(span), None) if step.zone.is_none() => check_span(&format!("{path}.delay.for"), *span),
        (None, Some(_)) => delay::until(step, 0).map(drop).map_err(|why| format!("`{path}.delay.{why}")),
        (Some(_), None) => Err(format!("`{path}.delay.zone`: only with `until`")),
        _ => Err(format!("`{path}.delay`: exactly one of `for`, `until`")),
    }
}
