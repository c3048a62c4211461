//! What must have come of it.

use std::collections::BTreeSet;

use impresario_agents::vocabulary::{Feature, Unit};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{
    awaited::{
        expect_decision, expect_goal, expect_journey, expect_message, expect_no_message, expect_proposal,
        expect_situation,
    },
    events::known,
    file::{ExpectFile, ExpectProfileFile, ExpectSegmentFile, ExpectStateFile, OneOrMore},
    people::Cast,
    read_at,
    time::Calendar,
    wrong,
};
use crate::{
    FormatError,
    model::{Expect, ExpectProfile, ExpectState, StateOf},
};

pub(crate) fn expectation(
    spanned: &Spanned<ExpectFile>,
    cast: &Cast,
    (segments, goals): (&BTreeSet<String>, &BTreeSet<String>),
    calendar: &Calendar,
) -> Result<Expect, FormatError> {
    let names = |who: &Option<Spanned<OneOrMore>>| match who {
        Some(who) => known(who, cast),
        None => Ok(Vec::new()),
    };
    match &spanned.value {
        ExpectFile::Segment(ExpectSegmentFile { name, has, has_not, size }) => {
            if !segments.contains(&name.value) {
                let what = format!("no segment or goal `{}` is defined up to here", name.value);
                return Err(wrong(name, what));
            }
            if has.is_none() && has_not.is_none() && size.is_none() {
                return Err(wrong(spanned, "an expectation on a segment says `has`, `has_not` or `size`"));
            }
            Ok(Expect::Segment { name: name.value.clone(), has: names(has)?, has_not: names(has_not)?, size: *size })
        }
        ExpectFile::Profile(file) => profile(spanned, file, cast, calendar).map(Expect::Profile),
        ExpectFile::State(file) => state(spanned, file, cast).map(Expect::State),
        ExpectFile::Situation(file) => expect_situation(file, cast, false).map(Expect::Situation),
        ExpectFile::NoSituation(file) => expect_situation(file, cast, true).map(Expect::Situation),
        ExpectFile::Message(file) => expect_message(file, cast, calendar).map(Expect::Message),
        ExpectFile::NoMessage(file) => expect_no_message(file, cast, calendar).map(Expect::NoMessage),
        ExpectFile::Decision(file) => expect_decision(file, cast).map(Expect::Decision),
        ExpectFile::Proposal(file) => expect_proposal(file, goals).map(Expect::Proposal),
        ExpectFile::Journey(file) => expect_journey(file, cast).map(Expect::Journey),
        ExpectFile::Goal(file) => expect_goal(file, goals).map(Expect::Goal),
        ExpectFile::DeadLetters(count) => Ok(Expect::DeadLetters(*count)),
        ExpectFile::Profiles(count) => Ok(Expect::Profiles(*count)),
    }
}

fn state(spanned: &Spanned<ExpectFile>, file: &ExpectStateFile, cast: &Cast) -> Result<ExpectState, FormatError> {
    let of = match (&file.who, &file.key) {
        (Some(who), None) => StateOf::People(known(who, cast)?),
        (None, Some(key)) => StateOf::Key(key.clone()),
        _ => return Err(wrong(spanned, "an expectation on a state says `who` or `key`")),
    };
    Ok(ExpectState { agent: file.agent.clone(), of, is: file.is.clone() })
}

fn profile(
    spanned: &Spanned<ExpectFile>,
    file: &ExpectProfileFile,
    cast: &Cast,
    calendar: &Calendar,
) -> Result<ExpectProfile, FormatError> {
    let names = |who: &Option<Spanned<OneOrMore>>| match who {
        Some(who) => known(who, cast),
        None => Ok(Vec::new()),
    };
    let mut features = Vec::new();
    for (name, value) in &file.features {
        features.push((name.clone(), feature(name, value, calendar)?));
    }
    let expect = ExpectProfile {
        who: known(&file.who, cast)?,
        traits: file.traits.clone(),
        features,
        same_as: names(&file.same_as)?,
        not_same_as: names(&file.not_same_as)?,
    };
    let ExpectProfile { traits, features, same_as, not_same_as, .. } = &expect;
    if traits.is_empty() && features.is_empty() && same_as.is_empty() && not_same_as.is_empty() {
        let what = "an expectation on a profile says `traits`, `features`, `same_as` or `not_same_as`";
        return Err(wrong(spanned, what));
    }
    Ok(expect)
}

/// A feature's value in the unit it is kept in: a count, an instant in milliseconds, money in millionths.
fn feature(name: &str, value: &Spanned<Value>, calendar: &Calendar) -> Result<i64, FormatError> {
    let feature = Feature::from_name(name).ok_or_else(|| wrong(value, format!("there is no feature `{name}`")))?;
    match (feature.unit(), &value.value) {
        (Unit::Count, Value::Number(number)) => {
            number.as_i64().ok_or_else(|| wrong(value, format!("`{name}` is a whole number")))
        }
        (Unit::Money, Value::Number(number)) => {
            let micros = number.as_f64().map(|amount| (amount * 1e6).round());
            let micros = micros.filter(|micros| micros.abs() < 9e15);
            micros.map(|micros| micros as i64).ok_or_else(|| wrong(value, format!("`{name}` is an amount of money")))
        }
        (Unit::Instant, Value::String(text)) => {
            let text = Spanned { value: text.clone(), referenced: value.referenced, defined: value.defined };
            read_at(&text, |text| calendar.instant(text)).map(|instant| instant.timestamp().as_millisecond())
        }
        (Unit::Count, _) => Err(wrong(value, format!("`{name}` is a whole number"))),
        (Unit::Money, _) => Err(wrong(value, format!("`{name}` is an amount of money, e.g. 79.90"))),
        (Unit::Instant, _) => Err(wrong(value, format!("`{name}` is an instant, e.g. `day 3 09:00`"))),
    }
}
