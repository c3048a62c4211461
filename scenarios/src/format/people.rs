//! Who there is: named people, and populations with habits the system never sees.

use std::{collections::BTreeMap, sync::Arc};

use impresario_agents::vocabulary::{EventKind, Identifier, IdentifierKind, Millis};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::{
    EVENTS_MAX, PEOPLE_MAX,
    chance::Chance,
    file::{HabitFile, PersonFile, PopulationFile},
    messages::{self, channel},
    read_at,
    time::{self, Calendar},
    wrong,
};
use crate::{
    FormatError,
    model::{Action, Fate, Person, Planned, Send},
};

const DAY_MS: Millis = 86_400_000;

/// A push token that is none: of somebody who is otherwise like another.
const NO_TOKEN: &str = "none";

/// A name that stands for everybody of the scenario.
pub(crate) const EVERYBODY: &str = "everybody";

/// Everybody, by number and by name, and what generated people will do.
pub(crate) struct Cast {
    pub(crate) people: Vec<Person>,
    pub(crate) names: BTreeMap<String, Vec<usize>>,
    habits: Vec<Habit>,
}

struct Habit {
    person: usize,
    line: u64,
    track: String,
    properties: Map<String, Value>,
    gap_ms: Millis,
    spread: u32,
    begin_ms: Millis,
    stop_ms: Option<Millis>,
    chance: Chance,
}

pub(crate) fn cast(
    file: &IndexMap<String, Spanned<PersonFile>>,
    seed: u64,
    calendar: &Calendar,
) -> Result<Cast, FormatError> {
    let mut cast = Cast { people: Vec::new(), names: BTreeMap::new(), habits: Vec::new() };
    for (name, person) in file {
        if name == EVERYBODY {
            return Err(wrong(person, format!("`{EVERYBODY}` stands for all people; choose another name")));
        }
        let first = cast.people.len();
        match &person.value.population {
            Some(population) => populate(&mut cast, name, person, population, (seed, calendar))?,
            None => {
                let like = like(file, person)?;
                cast.people.push(make(name, person, like)?);
            }
        }
        if cast.people.len() > PEOPLE_MAX {
            return Err(wrong(person, format!("there are more than {PEOPLE_MAX} people")));
        }
        cast.names.insert(name.clone(), (first..cast.people.len()).collect());
    }
    cast.names.insert(EVERYBODY.to_owned(), (0..cast.people.len()).collect());
    Ok(cast)
}

/// The person whose ways this one shares.
fn like<'a>(
    file: &'a IndexMap<String, Spanned<PersonFile>>,
    person: &'a Spanned<PersonFile>,
) -> Result<Option<&'a PersonFile>, FormatError> {
    let Some(like) = &person.value.like else { return Ok(None) };
    let model = file.get(&like.value).ok_or_else(|| wrong(like, format!("there is nobody called `{}`", like.value)))?;
    if model.value.like.is_some() || model.value.population.is_some() {
        return Err(wrong(like, format!("`{}` is itself like somebody or a population", like.value)));
    }
    Ok(Some(&model.value))
}

fn make(name: &str, spanned: &Spanned<PersonFile>, like: Option<&PersonFile>) -> Result<Person, FormatError> {
    let file = &spanned.value;
    let mut traits = like.and_then(|like| like.traits.clone()).unwrap_or_default();
    traits.extend(file.traits.clone().unwrap_or_default());
    let consent = file.consent.as_ref().or_else(|| like.and_then(|like| like.consent.as_ref()));
    if let Some(consent) = consent {
        traits.insert("consent".into(), json!(consent));
    }
    let zone = file.zone.as_ref().or_else(|| like.and_then(|like| like.zone.as_ref()));
    if let Some(zone) = zone {
        TimeZone::get(&zone.value).map_err(|_| wrong(zone, format!("`{}` is no time zone", zone.value)))?;
    }
    let id = file.id.clone().unwrap_or_else(|| name.to_owned());
    let external: Vec<_> = file.external.iter().flatten().map(|(kind, id)| (kind.clone(), id.clone())).collect();
    let mut identifiers = Vec::new();
    let mut add = |kind: IdentifierKind, text: &str| {
        let what = || format!("`{text}` can't be {name}'s {}", kind.name());
        let identifier = Identifier::new(kind.clone(), text).ok_or_else(|| wrong(spanned, what()))?;
        identifiers.push(identifier);
        Ok(())
    };
    let push = file.push.as_ref().filter(|token| token.as_str() != NO_TOKEN);
    add(IdentifierKind::UserId, &id)?;
    for (kind, text) in [
        (IdentifierKind::AnonymousId, &file.device),
        (IdentifierKind::Email, &file.email),
        (IdentifierKind::Phone, &file.phone),
        (IdentifierKind::DeviceToken, &push.cloned()),
    ] {
        if let Some(text) = text {
            add(kind, text)?;
        }
    }
    for (kind, text) in &external {
        add(IdentifierKind::External(kind.as_str().into()), text)?;
    }
    for (key, value) in [("email", &file.email), ("phone", &file.phone)] {
        if let Some(value) = value {
            traits.insert(key.into(), json!(value));
        }
    }
    let answers = file.answers.as_ref().or_else(|| like.and_then(|like| like.answers.as_ref()));
    let after = file.answers_after.as_ref().or_else(|| like.and_then(|like| like.answers_after.as_ref()));
    let answers = answers.map(|answers| messages::of_person(answers, after)).transpose()?;
    let bounces = file.bounces.iter().flatten().map(channel).collect::<Result<_, _>>()?;
    Ok(Person {
        name: name.to_owned(),
        id,
        device: file.device.clone(),
        identifiers,
        external,
        push: push.cloned(),
        zone: zone.map(|zone| zone.value.clone()),
        traits,
        generated: false,
        answers: answers.map(Arc::new),
        bounces,
    })
}

fn populate(
    cast: &mut Cast,
    name: &str,
    person: &Spanned<PersonFile>,
    population: &Spanned<PopulationFile>,
    (seed, calendar): (u64, &Calendar),
) -> Result<(), FormatError> {
    let PersonFile { like, id, email, phone, push, device, external, .. } = &person.value;
    let own = [id, email, phone, push, device].iter().any(|own| own.is_some());
    if own || external.is_some() || like.is_some() {
        return Err(wrong(
            person,
            "a population has `zone`, `consent` and `traits` alone; its people get ids of their own",
        ));
    }
    let PopulationFile { count, seed: own_seed, habits, answers } = &population.value;
    if count.value == 0 || count.value as usize > PEOPLE_MAX {
        return Err(wrong(count, format!("`count` is 1 to {PEOPLE_MAX}")));
    }
    // Two populations differ even where a file gives both the same seed.
    let seed = own_seed.unwrap_or(seed);
    let sorts = messages::sorts(answers, calendar)?;
    for number in 1..=count.value {
        let member = format!("{name}-{number}");
        let index = cast.people.len();
        let mut made = make(&member, person, None)?;
        made.generated = true;
        if let Some(sorts) = &sorts {
            // Whoever is to get messages can be reached.
            let email = format!("{member}@example.test");
            let phone = format!("+48{:09}", 500_000_000 + index);
            made.push = Some(format!("token-{member}"));
            made.traits.insert("email".into(), json!(email));
            made.traits.insert("phone".into(), json!(phone));
            let known = [(IdentifierKind::Email, email), (IdentifierKind::Phone, phone)];
            made.identifiers.extend(known.into_iter().filter_map(|(kind, text)| Identifier::new(kind, &text)));
            let mut chance = Chance::new(seed, &format!("sort of {name}"), u64::from(number));
            made.answers = Some(Arc::new(sorts.of(&mut chance)));
        }
        cast.names.insert(member, vec![index]);
        cast.people.push(made);
        for (which, habit) in habits.iter().enumerate() {
            let purpose = format!("habit {which} of {name}");
            let chance = Chance::new(seed, &purpose, u64::from(number));
            cast.habits.push(self::habit(index, habit, chance)?);
        }
    }
    Ok(())
}

fn habit(person: usize, spanned: &Spanned<HabitFile>, mut chance: Chance) -> Result<Habit, FormatError> {
    let HabitFile { track, properties, every, per_day, differ, spread, begin, stop } = &spanned.value;
    let every = every.as_ref().map(|every| read_at(every, time::duration_ms)).transpose()?;
    let per_day = per_day.as_ref().map(|rate| match rate.value {
        per_day if (0.001..=1_000.0).contains(&per_day) => Ok((DAY_MS as f64 / per_day) as Millis),
        _ => Err(wrong(rate, "`per_day` is 0.001 to 1000")),
    });
    let gap_ms = match (every, per_day.transpose()?) {
        (Some(gap_ms), None) | (None, Some(gap_ms)) if gap_ms >= 1_000 => gap_ms,
        _ => return Err(wrong(spanned, "a habit has either `every: 9d` or `per_day: 0.5`, at least a second apart")),
    };
    let share = |text: &Option<Spanned<String>>| text.as_ref().map(|text| read_at(text, time::percent)).transpose();
    let after = |text: &Option<Spanned<String>>| text.as_ref().map(|text| read_at(text, time::duration_ms)).transpose();
    let (differ, spread) = (share(differ)?.unwrap_or(20), share(spread)?.unwrap_or(30));
    let gap_ms = chance.around(gap_ms, differ);
    Ok(Habit {
        person,
        line: spanned.referenced.line(),
        track: track.clone(),
        properties: properties.clone(),
        gap_ms,
        spread,
        begin_ms: after(begin)?.unwrap_or(0),
        stop_ms: after(stop)?,
        chance,
    })
}

impl Cast {
    /// What generated people do from `start_ms` to `end_ms`, in order of time.
    pub(crate) fn live(&mut self, start_ms: Millis, end_ms: Millis) -> Result<Vec<Planned>, FormatError> {
        let mut planned = Vec::new();
        for (index, person) in self.people.iter().enumerate().filter(|(_, person)| person.generated) {
            if person.answers.is_some() {
                let mut send = said(person, index, EventKind::Identify, start_ms);
                send.properties = person.traits.clone();
                planned.push(Planned { at_ms: start_ms, line: 0, action: Action::Send(Box::new(send)) });
            }
        }
        for habit in &mut self.habits {
            let until = habit.stop_ms.map_or(end_ms, |stop| (start_ms + stop).min(end_ms));
            let mut at_ms = start_ms + habit.begin_ms + habit.chance.below(habit.gap_ms);
            while at_ms < until {
                if planned.len() >= EVENTS_MAX {
                    let what = format!("the habits make more than {EVENTS_MAX} events");
                    return Err(FormatError { line: habit.line, column: 0, what });
                }
                // Whole seconds, as a person would write them.
                let at = at_ms / 1_000 * 1_000;
                if let Some(person) = self.people.get(habit.person) {
                    let mut send = said(person, habit.person, EventKind::Track, at);
                    send.name.clone_from(&habit.track);
                    send.properties = habit
                        .properties
                        .iter()
                        .map(|(key, value)| (key.clone(), pick(value, &mut habit.chance)))
                        .collect();
                    planned.push(Planned { at_ms: at, line: habit.line, action: Action::Send(Box::new(send)) });
                }
                at_ms += habit.chance.around(habit.gap_ms, habit.spread);
            }
        }
        planned.sort_by_key(|planned| planned.at_ms);
        Ok(planned)
    }
}

/// An event of a person, as yet with nothing in it; it gets its number when all is in order.
pub(crate) fn said(person: &Person, index: usize, kind: EventKind, happened_ms: Millis) -> Send {
    let mut context = Map::new();
    if let Some(zone) = &person.zone {
        context.insert("timezone".into(), json!(zone));
    }
    if let Some(token) = &person.push {
        context.insert("device".into(), json!({ "token": token }));
    }
    Send {
        number: 0,
        message_id: None,
        person: index,
        kind,
        name: String::new(),
        user_id: Some(person.id.clone()),
        anonymous_id: person.device.clone(),
        previous_id: None,
        group_id: None,
        properties: Map::new(),
        context,
        happened_ms,
        fate: Fate::AsPlanned,
    }
}

/// `20..80` is a whole number of that range; anything else is itself.
pub(crate) fn pick(value: &Value, chance: &mut Chance) -> Value {
    let range = value.as_str().and_then(|text| {
        let (low, high) = text.split_once("..")?;
        let (low, high): (i64, i64) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        (low <= high && high - low < i64::from(u32::MAX)).then_some((low, high))
    });
    match range {
        Some((low, high)) => json!(low + chance.below(high - low + 1)),
        None => value.clone(),
    }
}
