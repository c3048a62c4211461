//! Whether messages, decisions and situations came as expected.

use impresario_agents::vocabulary::{Channel, MessageId, Millis, ProfileId, Tracked};
use impresario_runtime::{
    Driver, Topic,
    store::{Entry, Journal, Seq, StoreError},
};
use serde_json::Value;

use super::{
    contacts::{Contacts, Sent},
    crowd::Crowd,
    seen::Seen,
};
use crate::{
    Scenario,
    model::{Expect, ExpectDecision, ExpectJourney, ExpectMessage, ExpectNoMessage, ExpectSituation},
};

/// Causes followed from one entry.
const CAUSES_MAX: usize = 10_000;

/// What is otherwise than expected of messages; `None` for other expectations.
pub(crate) fn check(
    expected: &Expect,
    scenario: &Scenario,
    (seen, crowd): (&Seen, &Crowd),
    driver: &Driver,
) -> Result<Option<Vec<String>>, StoreError> {
    let looked = Looked { scenario, seen, crowd, driver };
    Ok(Some(match expected {
        Expect::Situation(expected) => looked.situation(expected),
        Expect::Message(expected) => looked.message(expected)?,
        Expect::NoMessage(expected) => looked.no_message(expected),
        Expect::Decision(expected) => looked.decision(expected),
        Expect::Journey(expected) => looked.journey(expected),
        _ => return Ok(None),
    }))
}

struct Looked<'a> {
    scenario: &'a Scenario,
    seen: &'a Seen,
    crowd: &'a Crowd,
    driver: &'a Driver,
}

impl Looked<'_> {
    fn people(&self, names: &[String]) -> impl Iterator<Item = (usize, &str)> {
        let people = self.scenario.people_of(names).into_iter();
        people.filter_map(|index| Some((index, self.scenario.people.get(index)?.name.as_str())))
    }

    fn is(&self, profile: ProfileId, person: usize) -> bool {
        self.crowd.person(profile) == Some(person)
    }

    fn contacts(&self) -> &Contacts {
        &self.seen.facts.contacts
    }

    fn sent_to(&self, person: usize) -> impl Iterator<Item = (MessageId, &Sent)> {
        let sent = self.contacts().order.iter().filter_map(|id| Some((*id, self.contacts().sent.get(id)?)));
        sent.filter(move |(_, sent)| self.is(sent.profile, person))
    }

    fn situation(&self, expected: &ExpectSituation) -> Vec<String> {
        let ExpectSituation { who, kind, resolved, context, none } = expected;
        let mut wrong = Vec::new();
        for (index, name) in self.people(who) {
            let own: Vec<_> = self.contacts().situations.iter().filter(|one| self.is(one.profile, index)).collect();
            let found = own.iter().any(|one| {
                let of = |(key, wanted): (&String, &Value)| one.context.get(key) == Some(wanted);
                *one.kind == **kind && resolved.is_none_or(|over| over == one.resolved) && context.iter().all(of)
            });
            if found == *none {
                let told: Vec<String> = own
                    .iter()
                    .map(|one| {
                        let over = if one.resolved { ", over" } else { "" };
                        format!("{} {}{over}", one.kind, one.context)
                    })
                    .collect();
                let what = if *none { "there is a situation" } else { "there is no such situation" };
                wrong.push(format!("{what} `{kind}` of {name}: {}", some(&told)));
            }
        }
        wrong
    }

    fn message(&self, expected: &ExpectMessage) -> Result<Vec<String>, StoreError> {
        let mut wrong = Vec::new();
        for (index, name) in self.people(&expected.to) {
            let (mut found, mut told) = (0, Vec::new());
            for (id, sent) in self.sent_to(index) {
                let misses = self.misses(expected, id, sent)?;
                if misses.is_empty() {
                    found += 1;
                    continue;
                }
                let at = self.scenario.show(sent.at_ms);
                told.push(format!("{} {} at {at} ({})", sent.template, sent.channel.name(), misses.join(", ")));
            }
            match expected.times {
                Some(times) if times != found => {
                    wrong.push(format!("{name} got {found} such messages, not {times}; others: {}", some(&told)));
                }
                None if found == 0 => {
                    let refused = self.refusals(index, expected.channel, expected.since_ms);
                    let refused =
                        if refused.is_empty() { String::new() } else { format!("; refused: {}", some(&refused)) };
                    wrong.push(format!("{name} got no such message; got {}{refused}", some(&told)));
                }
                _ => {}
            }
        }
        Ok(wrong)
    }

    /// In what a message is otherwise than expected.
    fn misses(&self, expected: &ExpectMessage, id: MessageId, sent: &Sent) -> Result<Vec<String>, StoreError> {
        let ExpectMessage { channel, within_ms, contains, cause, at_ms, since_ms, template, offer, .. } = expected;
        let mut misses = Vec::new();
        let mut miss = |fits: bool, what: &dyn Fn() -> String| {
            if !fits {
                misses.push(what());
            }
        };
        let (why, instead) = self.contacts().asked.get(&id).cloned().unwrap_or_default();
        miss(expected.instead_of.is_none_or(|gone| instead == Some(gone)), &|| match instead {
            Some(gone) => format!("instead of one by {}", gone.name()),
            None => "instead of none".to_owned(),
        });
        let chosen = |wanted: &String| why.as_deref().is_some_and(|why| why.contains(wanted.as_str()));
        miss(expected.chosen.as_ref().is_none_or(chosen), &|| {
            format!("the channel was chosen because: {}", why.as_deref().unwrap_or("nobody chose it"))
        });
        miss(sent.taken == Some(true), &|| "not delivered".to_owned());
        miss(channel.is_none_or(|channel| channel == sent.channel), &|| "another channel".to_owned());
        miss(template.as_ref().is_none_or(|wanted| **wanted == *sent.template), &|| "another template".to_owned());
        let is_offer = |wanted: &String| sent.offer.as_deref().unwrap_or("none") == wanted;
        miss(offer.as_ref().is_none_or(is_offer), &|| "another offer".to_owned());
        miss(cause.as_ref().is_none_or(|cause| **cause == *sent.because), &|| format!("because of `{}`", sent.because));
        miss(at_ms.is_none_or(|at_ms| at_ms == sent.at_ms), &|| "at another time".to_owned());
        miss(since_ms.is_none_or(|since_ms| sent.at_ms >= since_ms), &|| "before".to_owned());
        if !contains.is_empty() {
            let text = self.crowd.inbox.text(id).unwrap_or_default();
            for wanted in contains {
                miss(text.contains(wanted.as_str()), &|| format!("says `{text}`"));
            }
        }
        if let Some(within_ms) = within_ms {
            let came_of = came_of(self.driver.journal(), sent.seq)?;
            let late = came_of.map(|happened_ms| sent.at_ms - happened_ms);
            miss(late.is_some_and(|late| late <= *within_ms), &|| match late {
                Some(late) => format!("{} s after what it comes of", late / 1_000),
                None => "comes of nobody's event".to_owned(),
            });
        }
        Ok(misses)
    }

    /// What was refused to somebody by a channel.
    fn refusals(&self, index: usize, channel: Option<Channel>, since_ms: Option<Millis>) -> Vec<String> {
        let of = self.contacts().refused.iter().filter(|one| self.is(one.profile, index));
        let of = of.filter(|one| channel.is_none() || one.channel.is_none() || one.channel == channel);
        let of = of.filter(|one| since_ms.is_none_or(|since_ms| one.at_ms >= since_ms));
        let mut told: Vec<String> = of.map(|one| format!("{}: {}", one.by.guard, one.by.why)).collect();
        told.sort_unstable();
        told.dedup();
        told
    }

    fn no_message(&self, expected: &ExpectNoMessage) -> Vec<String> {
        let ExpectNoMessage { to, channel, since_ms, because } = expected;
        let mut wrong = Vec::new();
        for (index, name) in self.people(to) {
            let meant = |sent: &Sent| {
                channel.is_none_or(|channel| channel == sent.channel)
                    && since_ms.is_none_or(|since_ms| sent.at_ms >= since_ms)
            };
            for (_, sent) in self.sent_to(index).filter(|(_, sent)| meant(sent)) {
                let at = self.scenario.show(sent.at_ms);
                wrong.push(format!("{name} got {} by {} at {at}", sent.template, sent.channel.name()));
            }
            let Some(because) = because else { continue };
            let refused = self.refusals(index, *channel, *since_ms);
            let guard = because.strip_prefix("no_").unwrap_or(because);
            let held = self.contacts().held_out.iter().any(|(_, profile)| self.is(*profile, index));
            let is = refused.iter().any(|one| one.starts_with(guard) || one.contains(because.as_str()));
            let is = is || (held && because == "holdout");
            if !is {
                wrong.push(format!("{name} was not refused because of `{because}`; refused: {}", some(&refused)));
            }
        }
        wrong
    }

    fn journey(&self, expected: &ExpectJourney) -> Vec<String> {
        let ExpectJourney { who, journey, at, ended, times } = expected;
        let mut wrong = Vec::new();
        for (index, name) in self.people(who) {
            let runs = self.contacts().runs.values();
            let own: Vec<_> = runs.filter(|run| *run.journey == **journey && self.is(run.profile, index)).collect();
            let last = own.last();
            let is = last.map(|run| run.step.as_str());
            if at.as_ref().is_some_and(|wanted| is != Some(wanted) || last.is_none_or(|run| run.ended.is_some())) {
                wrong.push(format!(
                    "{name} is not at step `{}` of {journey}: {last:?}",
                    at.as_deref().unwrap_or_default()
                ));
            }
            if ended.as_ref().is_some_and(|wanted| last.and_then(|run| run.ended.as_ref()) != Some(wanted)) {
                let wanted = ended.as_deref().unwrap_or_default();
                wrong.push(format!("{journey} has not ended as `{wanted}` for {name}: {last:?}"));
            }
            let begun = own.len() as u64;
            if times.map_or(begun == 0, |times| times != begun) {
                wrong.push(format!("{name} has begun {journey} {begun} times"));
            }
        }
        wrong
    }

    fn decision(&self, expected: &ExpectDecision) -> Vec<String> {
        let ExpectDecision { who, campaign, group, nothing, channel, template, offer, withheld, times } = expected;
        let mut wrong = Vec::new();
        for (index, name) in self.people(who) {
            let own: Vec<_> = self.contacts().decided.iter().filter(|one| self.is(one.profile, index)).collect();
            let found = own.iter().filter(|one| {
                let arm = one.arm.as_ref();
                campaign.as_ref().is_none_or(|wanted| **wanted == *one.campaign)
                    && group.as_ref().is_none_or(|wanted| *wanted == format!("{:?}", one.group).to_lowercase())
                    && nothing.is_none_or(|nothing| nothing == arm.is_none())
                    && channel.is_none_or(|wanted| arm.is_some_and(|arm| arm.channel == wanted))
                    && template.as_ref().is_none_or(|wanted| arm.is_some_and(|arm| *arm.template == **wanted))
                    && offer
                        .as_ref()
                        .is_none_or(|wanted| arm.is_some_and(|arm| arm.offer.as_deref().unwrap_or("none") == wanted))
                    && withheld
                        .as_ref()
                        .is_none_or(|wanted| one.withheld.as_ref().is_some_and(|by| *by.guard == **wanted))
            });
            let found = found.count() as u64;
            if times.map_or(found == 0, |times| times != found) {
                let told: Vec<String> = own
                    .iter()
                    .map(|one| {
                        let arm = one.arm.as_ref();
                        let arm = arm.map(|arm| format!("{} {} {:?}", arm.template, arm.channel.name(), arm.offer));
                        let by = one.withheld.as_ref().map(|by| format!(" ({})", by.guard)).unwrap_or_default();
                        format!("{} {:?} {}{by}", one.campaign, one.group, arm.unwrap_or_else(|| "nothing".into()))
                    })
                    .collect();
                wrong.push(format!("there are {found} such decisions for {name}; there are {}", some(&told)));
            }
        }
        wrong
    }
}

/// The first things of a list, or that there are none.
fn some(told: &[String]) -> String {
    match told {
        [] => "none".to_owned(),
        _ => told.iter().take(6).cloned().collect::<Vec<_>>().join("; "),
    }
}

/// When the customer's event happened that an entry comes of.
fn came_of(journal: &Journal, seq: Seq) -> Result<Option<Millis>, StoreError> {
    let tracked = journal.known_name(Tracked::NAME);
    let mut happened_ms = None;
    origin(journal, seq, |entry| {
        if Some(entry.topic) == tracked && happened_ms.is_none() {
            happened_ms = Some(entry.at_ms);
        }
    })?;
    Ok(happened_ms)
}

/// Follows the causes of an entry to the one from outside; false where they lead nowhere.
pub(crate) fn origin(journal: &Journal, seq: Seq, mut look: impl FnMut(&Entry)) -> Result<bool, StoreError> {
    let mut next = seq;
    for _ in 0..CAUSES_MAX {
        let Some(chunk) = journal.chunk(next)? else { return Ok(false) };
        let Some(entry) = chunk.get(next) else { return Ok(false) };
        look(entry);
        match entry.cause {
            0 => return Ok(true),
            cause if cause < next => next = cause,
            _ => return Ok(false),
        }
    }
    Ok(false)
}
