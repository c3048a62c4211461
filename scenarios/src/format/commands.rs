//! What operators, providers and programs say beside customers' events.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    content::{Offer, OfferDefined, Template, TemplateDefined, TemplateRemoved, check_offer, check_template},
    gate::{GatePolicy, GatePolicySet, check_policy},
    journeys::{Journey, JourneyDefined, check_journey},
    vocabulary::{
        Channel, MessageClass, MessageId, MessageRequested, Millis, SendingResumed, SendingStopped, StopScope,
    },
};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::{
    awaited,
    events::known,
    file::{File, TimelineFile},
    messages::{self, MessageFile, ScopeFile, channel_of},
    people::{Cast, said},
    wrong,
};
use crate::{
    FormatError,
    model::{Action, Planned, Receipt, Saying},
};

/// Who says it, where a name is asked for.
const OPERATOR: &str = "operator";

/// Templates, offers, journeys and the messaging policy that are there from the start.
pub(crate) fn say_content(file: &File, at_ms: Millis, planned: &mut Vec<Planned>) -> Result<(), FormatError> {
    define_templates(&file.templates, at_ms, planned)?;
    for (id, spanned) in &file.offers {
        let offer: Offer = read(id, spanned)?;
        check_offer(&offer).map_err(|why| wrong(spanned, format!("offer `{id}`: {why}")))?;
        say(
            Saying::new(format!("define offer {id}"), OfferDefined { id: id.as_str().into(), offer }),
            spanned,
            at_ms,
            planned,
        );
    }
    if let Some(gate) = &file.gate {
        let policy: GatePolicy = serde_json::from_value(Value::Object(gate.value.clone()))
            .map_err(|error| wrong(gate, format!("`gate`: {error}")))?;
        check_policy(&policy).map_err(|why| wrong(gate, format!("`gate`: {why}")))?;
        say(Saying::new("gate", GatePolicySet { policy }), gate, at_ms, planned);
    }
    define_journeys(&file.journeys, at_ms, planned)
}

/// A template as the API takes it; its name in the file is its id.
pub(crate) fn define_templates(
    templates: &IndexMap<String, Spanned<Map<String, Value>>>,
    at_ms: Millis,
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    for (id, spanned) in templates {
        let template: Template = read(id, spanned)?;
        check_template(&template).map_err(|why| wrong(spanned, format!("template `{id}`: {why}")))?;
        say(
            Saying::new(format!("define template {id}"), TemplateDefined { id: id.as_str().into(), template }),
            spanned,
            at_ms,
            planned,
        );
    }
    Ok(())
}

fn say<T>(saying: Saying, place: &Spanned<T>, at_ms: Millis, planned: &mut Vec<Planned>) {
    planned.push(Planned { at_ms, line: place.referenced.line(), action: Action::Say(saying) });
}

/// What offers take off a price, in hundredths.
pub(crate) fn discounts(file: &File) -> Result<BTreeMap<String, f64>, FormatError> {
    let mut discounts = BTreeMap::new();
    for (id, spanned) in &file.offers {
        let offer: Offer = read(id, spanned)?;
        discounts.extend(offer.percent.map(|percent| (id.clone(), percent)));
    }
    Ok(discounts)
}

/// A journey as the API takes it; its name in the file is its id.
pub(crate) fn define_journeys(
    journeys: &IndexMap<String, Spanned<Map<String, Value>>>,
    at_ms: Millis,
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    for (id, spanned) in journeys {
        let journey: Journey = read(id, spanned)?;
        check_journey(id, &journey).map_err(|why| wrong(spanned, format!("journey `{id}`: {why}")))?;
        let defined = JourneyDefined { id: id.as_str().into(), journey };
        say(Saying::new(format!("define journey {id}"), defined), spanned, at_ms, planned);
    }
    Ok(())
}

/// The API's JSON, called by its name in the file unless it says its own.
fn read<T: DeserializeOwned>(id: &str, spanned: &Spanned<Map<String, Value>>) -> Result<T, FormatError> {
    let mut members = spanned.value.clone();
    members.entry("name").or_insert_with(|| id.into());
    serde_json::from_value(Value::Object(members)).map_err(|error| wrong(spanned, format!("`{id}`: {error}")))
}

/// The kill switch.
pub(crate) fn stop_everything() -> Saying {
    let stopped = SendingStopped { scope: StopScope::Everything, by: OPERATOR.into(), why: "a twin".into() };
    Saying::new("stop for the twin", stopped)
}

/// What an entry of the timeline has operators, providers and programs say.
pub(crate) fn commands(
    entry: &TimelineFile,
    at_ms: Millis,
    (cast, goals): (&Cast, &BTreeSet<String>),
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    for (spanned, name) in
        entry.approve.iter().flat_map(|names| names.value.names().iter().map(move |name| (names, name)))
    {
        if !goals.contains(name) {
            return Err(wrong(spanned, format!("no goal `{name}` is set up to here")));
        }
        let action = Action::Answer { goal: name.clone(), approved: true, why: "it is well".to_owned() };
        planned.push(Planned { at_ms, line: spanned.referenced.line(), action });
    }
    for reject in &entry.reject {
        let (goal, why) = (awaited::goal(&reject.value.goal, goals)?, reject.value.why.clone());
        let action = Action::Answer { goal, approved: false, why };
        planned.push(Planned { at_ms, line: reject.referenced.line(), action });
    }
    let mut say_at = |line: u64, saying: Saying| planned.push(Planned { at_ms, line, action: Action::Say(saying) });
    for id in entry.remove_template.iter().flat_map(|removed| removed.value.names()) {
        let line = entry.remove_template.as_ref().map_or(0, |removed| removed.referenced.line());
        say_at(line, Saying::new(format!("remove template {id}"), TemplateRemoved { id: id.as_str().into() }));
    }
    if let Some(scope) = &entry.stop {
        let stopped =
            SendingStopped { scope: self::scope(scope)?, by: OPERATOR.into(), why: "as the scenario says".into() };
        say_at(scope.referenced.line(), Saying::new(format!("stop {:?}", stopped.scope), stopped));
    }
    if let Some(scope) = &entry.resume {
        let resumed = SendingResumed { scope: self::scope(scope)?, by: OPERATOR.into() };
        say_at(scope.referenced.line(), Saying::new(format!("resume {:?}", resumed.scope), resumed));
    }
    for message in &entry.messages {
        for requested in self::messages(message, at_ms, cast)? {
            say_at(message.referenced.line(), Saying::new(format!("message {}", requested.id), requested));
        }
    }
    for receipt in &entry.receipts {
        let file = &receipt.value;
        let channel = messages::channel(&file.channel)?;
        for name in known(&file.who, cast)? {
            for person in cast.names.get(&name).into_iter().flatten().copied() {
                let action = Action::Receipt(Receipt { person, channel, kind: file.kind, machine: file.machine });
                planned.push(Planned { at_ms, line: receipt.referenced.line(), action });
            }
        }
    }
    if let Some(withdrawn) = &entry.withdraw_consent {
        let file = &withdrawn.value;
        for name in known(&file.who, cast)? {
            for index in cast.names.get(&name).into_iter().flatten().copied() {
                let Some(person) = cast.people.get(index) else { continue };
                let mut send = said(person, index, impresario_agents::vocabulary::EventKind::Identify, at_ms);
                for channel in file.channel.value.names() {
                    let channel = channel_of(channel)
                        .ok_or_else(|| wrong(&file.channel, format!("`{channel}` is no channel: email, sms, push")))?;
                    send.properties.insert(format!("{}_opt_out", channel.name()), Value::Bool(true));
                }
                let action = Action::Send(Box::new(send));
                planned.push(Planned { at_ms, line: withdrawn.referenced.line(), action });
            }
        }
    }
    Ok(())
}

fn scope(spanned: &Spanned<ScopeFile>) -> Result<StopScope, FormatError> {
    Ok(match &spanned.value {
        ScopeFile::Everything => StopScope::Everything,
        ScopeFile::Channel(name) => {
            let channel: Option<Channel> = channel_of(name);
            let what = || wrong(spanned, format!("`{name}` is no channel: email, sms, push"));
            StopScope::Channel(channel.ok_or_else(what)?)
        }
        ScopeFile::Campaign(id) => StopScope::Campaign(id.as_str().into()),
    })
}

/// A message to each of some people, as a program asks for it.
fn messages(spanned: &Spanned<MessageFile>, at_ms: Millis, cast: &Cast) -> Result<Vec<MessageRequested>, FormatError> {
    let file = &spanned.value;
    let channel = messages::channel(&file.channel)?;
    let mut requested = Vec::new();
    for name in known(&file.to, cast)? {
        for index in cast.names.get(&name).into_iter().flatten() {
            let person = cast.people.get(*index);
            let node = person.and_then(|person| Some(person.identifiers.first()?.node()));
            let (Some(person), Some(profile)) = (person, node) else { continue };
            let own = file.id.clone().unwrap_or_else(|| format!("line {} at {at_ms}", spanned.referenced.line()));
            requested.push(MessageRequested {
                id: MessageId::of(format!("{own} to {}", person.name).as_bytes(), 0),
                profile,
                class: if file.transactional { MessageClass::Transactional } else { MessageClass::Marketing },
                campaign: None,
                decision: None,
                template: file.template.as_str().into(),
                offer: file.offer.as_deref().map(Into::into),
                channel,
                topic: file.topic.as_deref().map(Into::into),
                at_ms,
                until_ms: None,
                context: if file.context.is_empty() { Value::Null } else { json!(file.context) },
                because: "asked_for".into(),
                channel_because: None,
                instead_of: None,
            });
        }
    }
    Ok(requested)
}
