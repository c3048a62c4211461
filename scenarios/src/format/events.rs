//! What named people do, event by event.

use impresario_agents::vocabulary::{EventKind, Millis};
use serde_saphyr::Spanned;

use super::{
    EVENTS_MAX,
    file::{EventFile, OneOrMore},
    people::{Cast, said},
    read_at, time, wrong,
};
use crate::{
    FormatError,
    model::{Action, Planned, Send},
};

/// Says which names there are when one is not known.
pub(crate) fn known(who: &Spanned<OneOrMore>, cast: &Cast) -> Result<Vec<String>, FormatError> {
    for name in who.value.names() {
        if !cast.names.contains_key(name) {
            return Err(wrong(who, format!("there is nobody called `{name}`")));
        }
    }
    Ok(who.value.names().to_vec())
}

/// The events of one line, in order of people, then of times.
pub(crate) fn events(spanned: &Spanned<EventFile>, at_ms: Millis, cast: &Cast) -> Result<Vec<Planned>, FormatError> {
    let file = &spanned.value;
    let names = known(&file.who, cast)?;
    let times = file.times.as_ref().map_or(1, |times| times.value);
    let every_ms = file.every.as_ref().map(|every| read_at(every, time::duration_ms)).transpose()?;
    let late_ms = file.late.as_ref().map(|late| read_at(late, time::duration_ms)).transpose()?.unwrap_or(0);
    if times == 0 || times as usize > EVENTS_MAX {
        return Err(wrong(spanned, format!("`times` is 1 to {EVENTS_MAX}")));
    }
    if (times > 1) != every_ms.is_some() {
        return Err(wrong(spanned, "`times` and `every` belong together, and `times` is more than 1"));
    }
    let people: Vec<usize> = names.iter().filter_map(|name| cast.names.get(name)).flatten().copied().collect();
    if let Some(message_id) = &file.message_id
        && (people.len() > 1 || times > 1 || message_id.value.is_empty() || message_id.value.len() > 100)
    {
        return Err(wrong(message_id, "`message_id` names one event, in 1 to 100 characters"));
    }
    let every_ms = every_ms.unwrap_or(0);
    if people.len().saturating_mul(times as usize) > EVENTS_MAX {
        return Err(wrong(spanned, format!("this alone makes more than {EVENTS_MAX} events")));
    }
    if i64::from(times).saturating_mul(every_ms) > time::LENGTH_MAX_MS || late_ms > time::LENGTH_MAX_MS {
        return Err(wrong(spanned, "a scenario lasts a hundred years at most"));
    }
    let mut planned = Vec::new();
    for time in 0..i64::from(times) {
        let at_ms = at_ms + time * every_ms;
        for index in &people {
            let send = event(spanned, *index, at_ms - late_ms, cast)?;
            planned.push(Planned { at_ms, line: spanned.referenced.line(), action: Action::Send(Box::new(send)) });
        }
    }
    Ok(planned)
}

fn event(spanned: &Spanned<EventFile>, index: usize, happened_ms: Millis, cast: &Cast) -> Result<Send, FormatError> {
    let file = &spanned.value;
    let person = cast.people.get(index).ok_or_else(|| wrong(spanned, "there is no such person"))?;
    let (kind, name) = kind(spanned)?;
    let mut send = said(person, index, kind, happened_ms);
    name.clone_into(&mut send.name);
    send.message_id = file.message_id.as_ref().map(|id| id.value.clone());
    if let Some(device) = &file.device {
        send.anonymous_id = Some(device.clone());
    }
    if file.anonymous {
        send.user_id = None;
        // What would tell the person: a token belongs to whoever is known.
        send.context.remove("device");
        if send.anonymous_id.is_none() {
            return Err(wrong(
                spanned,
                format!("{} has no `device`: an anonymous event would be nobody's", person.name),
            ));
        }
    }
    let belongs = |there: bool, what: &str, to: &str| match there {
        true => Err(wrong(spanned, format!("`{what}` belongs to {to}"))),
        false => Ok(()),
    };
    match kind {
        EventKind::Identify => {
            belongs(file.properties.is_some(), "properties", "track, page and screen; identify has traits")?;
            belongs(file.traits.is_some(), "traits", "group; write identify: { name: value }")?;
            send.properties = person.traits.clone();
            send.properties.extend(file.identify.clone().unwrap_or_default());
            for (system, id) in &person.external {
                let ids = send.context.entry("externalIds").or_insert_with(|| serde_json::json!([]));
                let id = serde_json::json!({ "id": id, "type": system, "collection": "users", "encoding": "none" });
                if let Some(ids) = ids.as_array_mut() {
                    ids.push(id);
                }
            }
        }
        EventKind::Group => {
            belongs(file.properties.is_some(), "properties", "track, page and screen; group has traits")?;
            send.group_id = Some(std::mem::take(&mut send.name));
            send.properties = file.traits.clone().unwrap_or_default();
        }
        EventKind::Alias => {
            belongs(file.properties.is_some() || file.traits.is_some(), "properties", "other events, not to alias")?;
            let other = cast.names.get(&send.name).filter(|people| people.len() == 1);
            let other = other.and_then(|people| cast.people.get(*people.first()?)).map(|person| person.id.clone());
            send.previous_id = Some(other.unwrap_or_else(|| send.name.clone()));
            send.name = String::new();
            send.anonymous_id = None;
        }
        _ => {
            belongs(file.traits.is_some(), "traits", "identify and group; track, page and screen have properties")?;
            send.properties = file.properties.clone().unwrap_or_default();
        }
    }
    Ok(send)
}

/// Which call it is, and the name in it.
fn kind(spanned: &Spanned<EventFile>) -> Result<(EventKind, &str), FormatError> {
    let EventFile { track, page, screen, group, alias, identify, .. } = &spanned.value;
    let said = [
        (EventKind::Track, track.as_deref()),
        (EventKind::Page, page.as_deref()),
        (EventKind::Screen, screen.as_deref()),
        (EventKind::Group, group.as_deref()),
        (EventKind::Alias, alias.as_deref()),
        (EventKind::Identify, identify.as_ref().map(|_| "")),
    ];
    let mut said = said.into_iter().filter_map(|(kind, name)| Some((kind, name?)));
    match (said.next(), said.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(wrong(spanned, "an event is one of track, page, screen, identify, group, alias")),
        _ => Err(wrong(spanned, "an event is only one of track, page, screen, identify, group, alias")),
    }
}
