//! Messages in scenario files: what people do with them, what operators and providers say, what is expected.

use std::collections::BTreeMap;

use impresario_agents::vocabulary::{Channel, Millis, ReceiptKind};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{
    chance::Chance,
    file::OneOrMore,
    read_at,
    time::{self, Calendar},
    wrong,
};
use crate::{
    FormatError, Invariant,
    answers::{Answers, Ways},
};

/// Times on a scale of likelihoods.
const MULTIPLIER_MAX: f64 = 1_000.0;

/// What people of a population do with messages, from an instant on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswersFile {
    pub(crate) from: Option<Spanned<String>>,
    pub(crate) opens: Option<Spanned<String>>,
    pub(crate) clicks: Option<Spanned<String>>,
    pub(crate) buys: Option<Spanned<String>>,
    pub(crate) unsubscribes: Option<Spanned<String>>,
    pub(crate) complains: Option<Spanned<String>>,
    pub(crate) machines: Option<Spanned<String>>,
    pub(crate) after: Option<Spanned<String>>,
    pub(crate) fatigue: Option<Spanned<FatigueFile>>,
    pub(crate) order: Option<String>,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
    /// Sorts of people, each with a share and by how much messages fit them.
    #[serde(default)]
    pub(crate) types: IndexMap<String, Spanned<TypeFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FatigueFile {
    pub(crate) less: Spanned<String>,
    pub(crate) within: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeFile {
    pub(crate) share: Spanned<String>,
    #[serde(default)]
    pub(crate) channels: IndexMap<String, Spanned<f64>>,
    #[serde(default)]
    pub(crate) templates: IndexMap<String, Spanned<f64>>,
    #[serde(default)]
    pub(crate) offers: IndexMap<String, Spanned<f64>>,
    #[serde(default)]
    pub(crate) hours: IndexMap<String, Spanned<f64>>,
}

/// A message that a program asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageFile {
    pub(crate) to: Spanned<OneOrMore>,
    pub(crate) template: String,
    pub(crate) offer: Option<String>,
    pub(crate) channel: Spanned<String>,
    pub(crate) topic: Option<String>,
    #[serde(default)]
    pub(crate) transactional: bool,
    /// Its own name, for asking twice for one message.
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) context: Map<String, Value>,
}

/// What a provider says of the newest message to somebody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) channel: Spanned<String>,
    pub(crate) kind: ReceiptKind,
    #[serde(default)]
    pub(crate) machine: bool,
}

/// An answer to a goal's newest proposal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectFile {
    pub(crate) goal: Spanned<String>,
    pub(crate) why: String,
}

/// What sending is stopped of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeFile {
    Everything,
    Channel(String),
    Campaign(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectSituationFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) kind: String,
    pub(crate) resolved: Option<bool>,
    #[serde(default)]
    pub(crate) context: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectMessageFile {
    pub(crate) to: Spanned<OneOrMore>,
    pub(crate) channel: Option<Spanned<String>>,
    pub(crate) within: Option<Spanned<String>>,
    pub(crate) contains: Option<OneOrMore>,
    pub(crate) cause: Option<String>,
    pub(crate) at: Option<Spanned<String>>,
    pub(crate) since: Option<Spanned<String>>,
    pub(crate) template: Option<String>,
    pub(crate) offer: Option<String>,
    pub(crate) instead_of: Option<Spanned<String>>,
    pub(crate) chosen: Option<String>,
    pub(crate) times: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectNoMessageFile {
    pub(crate) to: Spanned<OneOrMore>,
    pub(crate) channel: Option<Spanned<String>>,
    pub(crate) since: Option<Spanned<String>>,
    pub(crate) because: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectDecisionFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) campaign: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) nothing: Option<bool>,
    pub(crate) channel: Option<Spanned<String>>,
    pub(crate) template: Option<String>,
    pub(crate) offer: Option<String>,
    pub(crate) withheld: Option<String>,
    pub(crate) times: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectProposalFile {
    pub(crate) goal: Spanned<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) number: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectJourneyFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) journey: String,
    pub(crate) at: Option<String>,
    pub(crate) ended: Option<String>,
    pub(crate) times: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectGoalFile {
    pub(crate) name: Spanned<String>,
    pub(crate) running: Option<bool>,
    pub(crate) paused: Option<bool>,
    pub(crate) reached: Option<bool>,
    pub(crate) at_least: Option<f64>,
    pub(crate) at_most: Option<f64>,
    pub(crate) lifted: Option<bool>,
    pub(crate) ended: Option<String>,
}

/// What must hold after every step, some with a figure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InvariantFile {
    MembershipMatchesEntries,
    MembershipMatchesJournal,
    SizeMatchesMembers,
    NoDuplicateEvents,
    JournalVerifies,
    NoDeadLetters,
    FaultsChangeNothing,
    NoDuplicateMessage,
    ConsentRespected,
    FrequencyCap(CapFile),
    QuietHoursRespected(QuietFile),
    HoldoutUntouched,
    EveryMessageHasACause,
    BudgetRespected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapFile {
    max: u32,
    per: Spanned<String>,
    channel: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuietFile {
    from: Spanned<String>,
    until: Spanned<String>,
}

pub(crate) fn invariant(spanned: &Spanned<InvariantFile>) -> Result<Invariant, FormatError> {
    Ok(match &spanned.value {
        InvariantFile::MembershipMatchesEntries => Invariant::MembershipMatchesEntries,
        InvariantFile::MembershipMatchesJournal => Invariant::MembershipMatchesJournal,
        InvariantFile::SizeMatchesMembers => Invariant::SizeMatchesMembers,
        InvariantFile::NoDuplicateEvents => Invariant::NoDuplicateEvents,
        InvariantFile::JournalVerifies => Invariant::JournalVerifies,
        InvariantFile::NoDeadLetters => Invariant::NoDeadLetters,
        InvariantFile::FaultsChangeNothing => Invariant::FaultsChangeNothing,
        InvariantFile::NoDuplicateMessage => Invariant::NoDuplicateMessage,
        InvariantFile::ConsentRespected => Invariant::ConsentRespected,
        InvariantFile::FrequencyCap(CapFile { max, per, channel: by }) => Invariant::FrequencyCap {
            max: *max,
            per_ms: read_at(per, time::duration_ms)?,
            channel: by.as_ref().map(channel).transpose()?,
        },
        InvariantFile::QuietHoursRespected(QuietFile { from, until }) => {
            Invariant::QuietHoursRespected { from: minute(from)?, until: minute(until)? }
        }
        InvariantFile::HoldoutUntouched => Invariant::HoldoutUntouched,
        InvariantFile::EveryMessageHasACause => Invariant::EveryMessageHasACause,
        InvariantFile::BudgetRespected => Invariant::BudgetRespected,
    })
}

fn minute(text: &Spanned<String>) -> Result<i16, FormatError> {
    let time = time::time_of_day(&text.value).ok_or_else(|| wrong(text, "a time of day is written `21:00`"))?;
    Ok(i16::from(time.hour()) * 60 + i16::from(time.minute()))
}

/// A channel by its name.
pub(crate) fn channel(name: &Spanned<String>) -> Result<Channel, FormatError> {
    channel_of(&name.value).ok_or_else(|| wrong(name, format!("`{}` is no channel: email, sms, push", name.value)))
}

/// A channel by its name.
pub(crate) fn channel_of(name: &str) -> Option<Channel> {
    Channel::ALL.into_iter().find(|channel| channel.name() == name)
}

/// A share such as `30%` or `0.5%`, from 0 to 1.
pub(crate) fn share(text: &Spanned<String>) -> Result<f64, FormatError> {
    let number = text.value.strip_suffix('%').and_then(|digits| digits.trim_end().parse::<f64>().ok());
    let number = number.filter(|share| (0.0..=100.0).contains(share));
    let number = number.ok_or_else(|| wrong(text, format!("`{}` is not a share; write `0%` to `100%`", text.value)))?;
    Ok(number / 100.0)
}

/// Two lengths of time, `10m..5h`.
fn range(text: &Spanned<String>) -> Result<(Millis, Millis), FormatError> {
    let read = |text: &str| {
        let (low, high) = text.split_once("..").ok_or_else(|| format!("`{text}` is no range; write e.g. `10m..5h`"))?;
        let range = (time::duration_ms(low)?, time::duration_ms(high)?);
        if range.0 > range.1 { Err(format!("`{text}` ends before it begins")) } else { Ok(range) }
    };
    read_at(text, read)
}

/// What a named person does with messages: how likely one by each channel is answered.
pub(crate) fn of_person(
    answers: &Spanned<IndexMap<String, Spanned<f64>>>,
    after: Option<&Spanned<String>>,
) -> Result<Answers, FormatError> {
    let mut ways = Ways { clicks: 1.0, opens: 1.0, only_channels: true, ..Ways::default() };
    for (name, likely) in &answers.value {
        let channel =
            channel_of(name).ok_or_else(|| wrong(likely, format!("`{name}` is no channel: email, sms, push")))?;
        if !(0.0..=1.0).contains(&likely.value) {
            return Err(wrong(likely, "how likely is a number from 0 to 1"));
        }
        ways.channels.insert(channel, likely.value);
    }
    if let Some(after) = after {
        ways.after_ms = range(after)?;
    }
    Ok(Answers { phases: vec![(Millis::MIN, ways)] })
}

/// What each sort of a population's people does with messages; a person's sort is chance.
pub(crate) struct Sorts {
    phases: Vec<Phase>,
}

/// From an instant on: what all have in common, and the sorts with their shares.
type Phase = (Millis, Ways, Vec<(f64, TypeWays)>);

#[derive(Clone)]
struct TypeWays {
    channels: BTreeMap<Channel, f64>,
    templates: BTreeMap<String, f64>,
    offers: BTreeMap<String, f64>,
    hours: [f64; 24],
}

pub(crate) fn sorts(files: &[Spanned<AnswersFile>], calendar: &Calendar) -> Result<Option<Sorts>, FormatError> {
    let mut phases: Vec<Phase> = Vec::new();
    for spanned in files {
        let file = &spanned.value;
        let from_ms = match &file.from {
            Some(from) => read_at(from, |text| calendar.instant(text))?.timestamp().as_millisecond(),
            None => Millis::MIN,
        };
        if phases.last().is_some_and(|(last, _, _)| *last >= from_ms) {
            return Err(wrong(spanned, "each of `answers` but the first has `from`, later than the one before"));
        }
        let shares = |text: &Option<Spanned<String>>| text.as_ref().map(share).transpose();
        let mut ways = Ways {
            opens: shares(&file.opens)?.unwrap_or(0.0),
            clicks: shares(&file.clicks)?.unwrap_or(0.0),
            buys: shares(&file.buys)?.unwrap_or(0.0),
            unsubscribes: shares(&file.unsubscribes)?.unwrap_or(0.0),
            complains: shares(&file.complains)?.unwrap_or(0.0),
            machines: shares(&file.machines)?.unwrap_or(0.0),
            properties: file.properties.clone(),
            ..Ways::default()
        };
        if let Some(after) = &file.after {
            ways.after_ms = range(after)?;
        }
        if let Some(fatigue) = &file.fatigue {
            ways.fatigue = Some((share(&fatigue.value.less)?, read_at(&fatigue.value.within, time::duration_ms)?));
        }
        if let Some(order) = &file.order {
            ways.order.clone_from(order);
        }
        let mut types = Vec::new();
        for spanned in file.types.values() {
            types.push((share(&spanned.value.share)?, type_ways(spanned)?));
        }
        let sum: f64 = types.iter().map(|(share, _)| share).sum();
        if !types.is_empty() && (sum - 1.0).abs() > 1e-9 {
            return Err(wrong(spanned, format!("the shares of `types` make {:.1}%, not 100%", sum * 100.0)));
        }
        phases.push((from_ms, ways, types));
    }
    Ok((!phases.is_empty()).then_some(Sorts { phases }))
}

fn type_ways(spanned: &Spanned<TypeFile>) -> Result<TypeWays, FormatError> {
    let file = &spanned.value;
    let check = |times: &Spanned<f64>| match times.value {
        value if (0.0..=MULTIPLIER_MAX).contains(&value) => Ok(value),
        _ => Err(wrong(times, format!("by how much is 0 to {MULTIPLIER_MAX}"))),
    };
    let read = |map: &IndexMap<String, Spanned<f64>>| {
        map.iter().map(|(key, times)| Ok((key.clone(), check(times)?))).collect::<Result<BTreeMap<_, _>, FormatError>>()
    };
    let mut channels = BTreeMap::new();
    for (name, times) in &file.channels {
        let channel = channel_of(name).ok_or_else(|| wrong(times, format!("`{name}` is no channel")))?;
        channels.insert(channel, check(times)?);
    }
    let mut hours = [1.0; 24];
    for (name, times) in &file.hours {
        let what = || wrong(times, format!("`{name}` is no hours of the day; write e.g. `8-11`"));
        let (low, high) = name.split_once('-').ok_or_else(what)?;
        let (low, high): (usize, usize) =
            low.parse().ok().zip(high.parse().ok()).filter(|(low, high)| low <= high).ok_or_else(what)?;
        let times = check(times)?;
        hours.get_mut(low..=high).ok_or_else(what)?.fill(times);
    }
    Ok(TypeWays { channels, templates: read(&file.templates)?, offers: read(&file.offers)?, hours })
}

impl Sorts {
    /// What one person of the population does; of which sort they are is `chance`.
    pub(crate) fn of(&self, chance: &mut Chance) -> Answers {
        const PARTS: i64 = 1 << 40;
        let draw = chance.below(PARTS) as f64 / PARTS as f64;
        let phase = |(from_ms, ways, types): &Phase| {
            let mut ways = ways.clone();
            let mut up_to = 0.0;
            let sort = types.iter().find(|(share, _)| {
                up_to += share;
                draw < up_to
            });
            if let Some((_, sort)) = sort.or(types.last()) {
                ways.channels.clone_from(&sort.channels);
                ways.templates.clone_from(&sort.templates);
                ways.offers.clone_from(&sort.offers);
                ways.hours = sort.hours;
            }
            (*from_ms, ways)
        };
        Answers { phases: self.phases.iter().map(phase).collect() }
    }
}

pub(super) fn instant(text: &Option<Spanned<String>>, calendar: &Calendar) -> Result<Option<Millis>, FormatError> {
    let read = |text: &Spanned<String>| read_at(text, |text| calendar.instant(text));
    Ok(text.as_ref().map(read).transpose()?.map(|instant| instant.timestamp().as_millisecond()))
}

pub(super) fn channels(name: &Option<Spanned<String>>) -> Result<Option<Channel>, FormatError> {
    name.as_ref().map(channel).transpose()
}
