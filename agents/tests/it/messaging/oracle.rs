//! What the journal alone says of every message that was sent: whether anything was against it. Written without a
//! look at the gate, and as simple as can be.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    campaigns::{Autonomy, CampaignEnded, CampaignStarted},
    content::TemplateDefined,
    gate::{GatePolicy, GatePolicySet},
    messaging::ConsentConfirmed,
    suppression::{AddressHash, AddressSuppressed, SuppressionLifted},
    vocabulary::{
        Channel, Contact, ContactChanged, DecisionMade, Deliver, Delivered, Identifier, IdentifierKind, MarketingFreed,
        MarketingHeld, MessageClass, MessageId, MessageRequested, MessageReturned, MessageSent, Millis, ProfileId,
        ProfileMerged, ProfileParted, ReceiptCame, ReceiptKind, SendingResumed, SendingStopped, StopScope,
    },
};
use impresario_runtime::{
    Driver, Topic, each_entry,
    store::{Entry, Journal, Seq, StoreError},
};

pub(super) const SEED: [u8; 32] = [7; 32];

/// Something the oracle goes by.
enum Word {
    Contact(ContactChanged),
    Merged(ProfileMerged),
    /// The loser's state has come to the winner.
    United(ProfileMerged),
    Parted(ProfileParted),
    Receipt(ReceiptCame),
    Confirmed(ConsentConfirmed),
    Held(MarketingHeld),
    Freed(MarketingFreed),
    Stopped(SendingStopped),
    Resumed(SendingResumed),
    Policy(GatePolicySet),
    Started(CampaignStarted),
    Ended(CampaignEnded),
    Template(TemplateDefined),
    Suppressed(AddressSuppressed),
    Lifted(SuppressionLifted),
    Requested(MessageRequested),
    Decided(DecisionMade),
    Returned(MessageReturned),
    Answered(Delivered),
}

fn read<T: Topic + Clone>(journal: &Journal, entry: &Entry) -> Option<T> {
    (Some(entry.topic) == journal.known_name(T::NAME)).then(|| entry.decode::<T>(T::VERSION).unwrap().clone())
}

fn word(journal: &Journal, entry: &Entry) -> Option<Word> {
    macro_rules! first {
        ($($what:ident),*) => {
            $(if let Some(body) = read(journal, entry) { return Some(Word::$what(body)); })*
        };
    }
    first!(Contact, Merged, Receipt, Confirmed, Held, Freed, Stopped, Resumed, Policy, Started, Ended);
    first!(Template, Suppressed, Lifted, Requested, Decided, Returned, Parted, Answered);
    None
}

/// What was wished, by whichever way.
struct Wish {
    profile: ProfileId,
    class: MessageClass,
    topic: Option<Box<str>>,
    at_ms: Millis,
    plan: Option<Seq>,
}

#[derive(Default)]
struct Person {
    contact: Option<Contact>,
    /// Of those they have become one with, until it is told anew.
    others: Vec<Contact>,
    ids: BTreeSet<ProfileId>,
    /// Refused other than by the profile: only a grant after this instant takes it back.
    barred: BTreeMap<String, Millis>,
    confirmed: BTreeSet<Box<str>>,
    held: bool,
    sent: Vec<(MessageId, Millis, Channel, Option<Box<str>>)>,
}

impl Person {
    fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contact.iter().chain(&self.others)
    }

    /// Granted, refused, or nothing said.
    fn consent(&self, of: &str) -> Option<bool> {
        let said = self.contacts().flat_map(|contact| &contact.consents).filter(|said| *said.of == *of);
        let barrier = self.barred.get(of).copied();
        let granted = said.map(|said| said.granted && barrier.is_none_or(|barrier_ms| said.at_ms > barrier_ms)).min();
        granted.or(barrier.map(|_| false))
    }

    fn bar(&mut self, of: &str, at_ms: Millis) {
        let known = self.contacts().flat_map(|contact| &contact.consents).filter(|said| *said.of == *of);
        let until_ms = known.map(|said| said.at_ms).fold(at_ms, Millis::max);
        let barrier = self.barred.entry(of.to_owned()).or_insert(until_ms);
        *barrier = until_ms.max(*barrier);
        self.confirmed.remove(of);
    }
}

#[derive(Default)]
struct Oracle {
    heirs: BTreeMap<ProfileId, ProfileId>,
    /// The decision by which each was last parted.
    decided: BTreeMap<ProfileId, Seq>,
    people: BTreeMap<ProfileId, Person>,
    policy: GatePolicy,
    stops: BTreeSet<StopScope>,
    campaigns: BTreeMap<Box<str>, (Seq, CampaignStarted, bool)>,
    templates: BTreeMap<Box<str>, TemplateDefined>,
    /// As they were when the plan of each campaign started.
    planned: BTreeMap<Box<str>, BTreeMap<Box<str>, TemplateDefined>>,
    suppressed: BTreeSet<AddressHash>,
    wishes: BTreeMap<MessageId, Vec<Wish>>,
}

fn drawn(ids: &BTreeSet<ProfileId>, salt: &str, share: f64) -> bool {
    ids.iter().any(|id| {
        let hash = blake3::hash(&[b"holdout", id.0.to_le_bytes().as_slice(), salt.as_bytes()].concat());
        let number = hash.as_bytes().iter().take(7).rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        (number >> 3) as f64 / (1_u64 << 53) as f64 <= share && share > 0.0
    })
}

impl Oracle {
    fn who(&self, mut profile: ProfileId) -> ProfileId {
        // Heirs that are just being told anew may point to each other.
        for _ in 0..=self.heirs.len() {
            let Some(heir) = self.heirs.get(&profile) else { break };
            profile = *heir;
        }
        profile
    }

    fn person(&mut self, profile: ProfileId) -> &mut Person {
        let who = self.who(profile);
        self.people.entry(who).or_default()
    }

    fn hear(&mut self, seq: Seq, at_ms: Millis, word: Word) {
        match word {
            Word::Contact(changed) if self.heirs.contains_key(&changed.profile) => {}
            Word::Contact(changed) => {
                let person = self.person(changed.profile);
                person.ids.extend(&changed.contact.ids);
                (person.contact, person.others) = (Some(changed.contact), Vec::new());
                let lost: Vec<_> =
                    person.confirmed.iter().filter(|of| person.consent(of) != Some(true)).cloned().collect();
                person.confirmed.retain(|of| !lost.contains(of));
            }
            Word::Merged(merged) => self.follow(&merged),
            Word::United(merged) => self.unite(&merged, at_ms),
            Word::Parted(parted) => self.part(&parted),
            Word::Receipt(came) if matches!(came.kind, ReceiptKind::Unsubscribed | ReceiptKind::Complained) => {
                self.person(came.profile).bar(came.channel.name(), at_ms);
            }
            Word::Receipt(_) => {}
            Word::Confirmed(confirmed) => {
                let person = self.person(confirmed.profile);
                if person.consent(&confirmed.of) == Some(true) {
                    person.confirmed.insert(confirmed.of);
                }
            }
            Word::Held(held) => self.person(held.profile).held = true,
            Word::Freed(freed) => self.person(freed.profile).held = false,
            Word::Stopped(stopped) => drop(self.stops.insert(stopped.scope)),
            Word::Resumed(resumed) => drop(self.stops.remove(&resumed.scope)),
            Word::Policy(set) => self.policy = set.policy,
            Word::Started(started) => {
                self.planned.insert(started.campaign.clone(), self.templates.clone());
                self.campaigns.insert(started.campaign.clone(), (seq, started, true));
            }
            Word::Ended(ended) => {
                self.campaigns.entry(ended.campaign).and_modify(|(_, _, runs)| *runs = false);
            }
            Word::Template(defined) => drop(self.templates.insert(defined.id.clone(), defined)),
            Word::Suppressed(suppressed) => drop(self.suppressed.insert(suppressed.address)),
            Word::Lifted(lifted) => drop(self.suppressed.remove(&lifted.address)),
            // Its channel has not acted: it is as if it had not been sent.
            Word::Returned(returned) => {
                self.person(returned.profile).sent.retain(|(id, ..)| *id != returned.id);
            }
            // It has reached nobody.
            Word::Answered(Delivered { id, profile, failed: Some(_), .. }) => {
                self.person(profile).sent.retain(|(known, ..)| *known != id);
            }
            Word::Answered(_) => {}
            Word::Requested(asked) => {
                let topic = asked.topic.or_else(|| self.topic_of(asked.campaign.as_deref()));
                let MessageRequested { profile, class, at_ms, .. } = asked;
                self.wish(asked.id, Wish { profile, class, topic, at_ms, plan: None });
            }
            Word::Decided(made) => {
                let topic = self.topic_of(Some(&made.campaign));
                let DecisionMade { profile, at_ms, .. } = made;
                let wish = Wish { profile, class: MessageClass::Marketing, topic, at_ms, plan: Some(made.plan) };
                self.wish(MessageId::of_decision(made.id), wish);
            }
        }
    }

    fn topic_of(&self, campaign: Option<&str>) -> Option<Box<str>> {
        self.campaigns.get(campaign?)?.1.plan.topic.clone()
    }

    fn wish(&mut self, id: MessageId, wish: Wish) {
        self.wishes.entry(id).or_default().push(wish);
    }

    /// Whether the two were parted again before this news.
    fn is_late(&self, merged: &ProfileMerged) -> bool {
        self.decided.get(&merged.loser).is_some_and(|decided| *decided > merged.decided)
    }

    /// From here on, whatever concerns the loser concerns the winner.
    fn follow(&mut self, merged: &ProfileMerged) {
        if !self.is_late(merged) && self.who(merged.winner) != merged.loser {
            self.heirs.entry(merged.loser).or_insert(merged.winner);
        }
    }

    /// What was refused other than by the profile, held back and sent stays; all else is told again.
    fn part(&mut self, parted: &ProfileParted) {
        let profile = parted.profile;
        self.decided.insert(profile, parted.decided);
        let old = self.people.remove(&profile).unwrap_or_default();
        if let Some(heir) = parted.heir {
            self.heirs.insert(profile, heir);
        } else {
            self.heirs.remove(&profile);
            let Person { barred, held, sent, .. } = old;
            self.people.insert(profile, Person { barred, held, sent, ..Person::default() });
        }
    }

    /// What is known of the loser has come to the winner.
    fn unite(&mut self, merged: &ProfileMerged, at_ms: Millis) {
        let loser = merged.loser;
        if self.is_late(merged) || self.who(loser) == loser {
            return;
        }
        let lost = self.people.remove(&loser).unwrap_or_default();
        let person = self.person(loser);
        // What either refuses at this moment other than by the profile, both refuse.
        let refuses = |person: &Person| {
            let barred = person.barred.keys().filter(|of| person.consent(of) == Some(false));
            barred.cloned().collect::<Vec<_>>()
        };
        let barred = [refuses(person), refuses(&lost)].concat();
        person.others.extend(lost.contact.into_iter().chain(lost.others));
        person.ids.extend(lost.ids);
        for (of, at_ms) in lost.barred {
            let own = person.barred.entry(of).or_insert(at_ms);
            *own = at_ms.max(*own);
        }
        barred.iter().for_each(|of| person.bar(of, at_ms));
        person.confirmed.extend(lost.confirmed);
        person.held |= lost.held;
        person.sent.extend(lost.sent);
    }

    /// What is against a message that was sent.
    fn against(&mut self, sent: &MessageSent, at_ms: Millis, (to, left): (Option<&str>, bool)) -> Vec<String> {
        let who = self.who(sent.profile);
        let mut found = Vec::new();
        let wish = self
            .wishes
            .get(&sent.id)
            .and_then(|wishes| wishes.iter().find(|wish| self.who(wish.profile) == who && wish.at_ms <= at_ms));
        let Some(wish) = wish else { return vec!["nobody has asked for it, or not by now".to_owned()] };
        let template = self.templates.get(&sent.template.0);
        let planned = sent.campaign.as_ref().and_then(|campaign| self.planned.get(campaign)?.get(&sent.template.0));
        let owed = template.is_some_and(|defined| defined.template.class == MessageClass::Transactional);
        let owed = owed && wish.class == MessageClass::Transactional;
        let topic = wish.topic.clone().or_else(|| template.and_then(|defined| defined.template.topic.clone()));
        let plan = wish.plan;
        let mut say = |is: bool, what: &str| is.then(|| found.push(what.to_owned()));
        say(template.is_none(), "no template");
        say(plan.is_some() && template != planned, "it is not what it was when its plan started");
        say(!owed && sent.class == MessageClass::Transactional, "it persuades, and was sent as owed");
        let stopped = [Some(StopScope::Everything), Some(StopScope::Channel(sent.channel))];
        let campaign = sent.campaign.clone().map(StopScope::Campaign);
        say(stopped.into_iter().chain([campaign]).flatten().any(|scope| self.stops.contains(&scope)), "a stop");
        let mut campaign_share = 0.0;
        if let Some(campaign) = &sent.campaign {
            let known = self.campaigns.get(campaign);
            say(!known.is_some_and(|(_, _, runs)| *runs), "the campaign does not run");
            if let Some((seq, started, _)) = known {
                say(started.plan.autonomy == Autonomy::Observe, "it only observes");
                say(plan.is_some_and(|plan| plan != *seq), "another plan");
                campaign_share = started.plan.holdout_share;
            }
        }
        let Some(person) = self.people.get(&who) else { return vec!["nothing is known of them".to_owned()] };
        let policy = &self.policy;
        say(drawn(&person.ids, "", policy.holdout_share), "the shop's holdout");
        let salt = format!("goal:{}", sent.campaign.as_deref().unwrap_or_default());
        say(drawn(&person.ids, &salt, campaign_share), "the goal's holdout");
        let name = sent.channel.name();
        let of_topic = topic.iter().flat_map(|topic| [format!("topic:{topic}"), format!("{name}:{topic}")]);
        let refused = of_topic.clone().chain([name.to_owned()]).any(|of| person.consent(&of) == Some(false));
        say(refused, "consent was refused");
        let granted: Vec<String> = of_topic.skip(1).step_by(2).chain([name.to_owned()]).collect();
        let granted: Vec<_> = granted.iter().filter(|of| person.consent(of) == Some(true)).collect();
        say(policy.grant_required.contains(&sent.channel) && granted.is_empty(), "consent was never granted");
        let confirmed = granted.is_empty() || granted.iter().any(|of| person.confirmed.contains(of.as_str()));
        say(!owed && policy.double_opt_in.contains(&sent.channel) && !confirmed, "consent is not confirmed");
        let theirs = |to: &str| person.contacts().flat_map(|contact| &contact.addresses).any(|a| *a.value == *to);
        say(left && to.is_none_or(|to| !theirs(to)), "the address is not theirs");
        say(
            to.and_then(|to| hash_of(sent.channel, to)).is_some_and(|hash| self.suppressed.contains(&hash)),
            "suppressed",
        );
        if !owed {
            say(person.held, "marketing is held back");
            say(self.is_quiet(person, sent.channel, at_ms), "quiet hours");
            for cap in &policy.caps {
                let of = |channel: Channel, of: Option<&str>| {
                    cap.channel.is_none_or(|capped| capped == channel)
                        && cap.topic.as_deref().is_none_or(|topic| Some(topic) == of)
                };
                let since_ms = at_ms - cap.within_ms;
                let before = person.sent.iter().filter(|(_, sent_ms, ..)| *sent_ms > since_ms);
                let before = before.filter(|(_, _, channel, topic)| of(*channel, topic.as_deref())).count();
                let full = of(sent.channel, topic.as_deref()) && before as u64 >= u64::from(cap.at_most);
                say(full, &format!("a cap: {cap:?}, {before} before"));
            }
            self.person(who).sent.push((sent.id, at_ms, sent.channel, topic));
        }
        found
    }

    fn is_quiet(&self, person: &Person, channel: Channel, at_ms: Millis) -> bool {
        let Some(quiet) = self.policy.quiet_hours.get(&channel) else { return false };
        let own = person.contact.as_ref().or(person.others.first()).and_then(|contact| contact.zone.clone());
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap();
        let zoned = own.and_then(|zone| at.in_tz(&zone).ok()).or_else(|| at.in_tz(&self.policy.zone).ok());
        let shown = zoned.unwrap().strftime("%H:%M").to_string();
        let (from, to) = (&*quiet.from, &*quiet.to);
        // `HH:MM` sorts as time does.
        if from < to {
            from <= shown.as_str() && shown.as_str() < to
        } else {
            shown.as_str() >= from || shown.as_str() < to
        }
    }
}

pub(super) fn hash_of(channel: Channel, to: &str) -> Option<AddressHash> {
    let kind = match channel {
        Channel::Email => IdentifierKind::Email,
        Channel::Sms => IdentifierKind::Phone,
        Channel::Push => return None,
    };
    AddressHash::of(&SEED, &Identifier::new(kind, to)?)
}

/// All that is against the messages that were sent; nothing where all is well.
pub(super) fn violations(driver: &Driver, delivered: &[Deliver]) -> Vec<String> {
    let journal = driver.journal();
    let (mut words, mut sends) = (Vec::new(), BTreeMap::<Seq, Vec<(Millis, MessageSent)>>::new());
    // What was on its way from one person to the one they have become counts from when it is there.
    let ways = ["message.forwarded", "messaging.state.moved"].map(|name| journal.known_name(name));
    let (mut forwarded, mut returns) = (BTreeMap::new(), BTreeMap::<MessageId, usize>::new());
    each_entry::<StoreError>(journal, 1, |entry| {
        if ways.contains(&Some(entry.topic)) {
            forwarded.insert(entry.cause, (entry.seq, entry.at_ms));
        }
        if let Some(sent) = read::<MessageSent>(journal, entry) {
            sends.entry(entry.cause).or_default().push((entry.at_ms, sent));
        } else if let Some(returned) = read::<MessageReturned>(journal, entry) {
            *returns.entry(returned.id).or_default() += 1;
            // It is so from when it was heard of.
            words.push((entry.cause, entry.at_ms, Word::Returned(returned)));
        } else if let Some(word) = word(journal, entry) {
            words.push((entry.seq, entry.at_ms, word));
        }
        Ok(())
    })
    .unwrap();
    let there = |seq: Seq, at_ms: Millis| {
        let mut place = (seq, at_ms);
        while let Some(next) = forwarded.get(&place.0) {
            place = *next;
        }
        place
    };
    let mut heard = BTreeMap::<Seq, Vec<(Millis, Word)>>::new();
    for (seq, at_ms, word) in words {
        let (arrives, arrives_ms) = there(seq, at_ms);
        match word {
            Word::Merged(merged) => {
                let united = (arrives_ms, Word::United(merged.clone()));
                heard.entry(seq).or_default().push((at_ms, Word::Merged(merged)));
                heard.entry(arrives).or_default().push(united);
            }
            word => heard.entry(arrives).or_default().push((arrives_ms, word)),
        }
    }
    let mut found = Vec::new();
    let mut acted = BTreeSet::new();
    for deliver in delivered {
        if !acted.insert(deliver.id) {
            found.push(format!("{}: delivered twice", deliver.id));
        }
    }
    let (mut oracle, mut seen) = (Oracle::default(), BTreeMap::<MessageId, usize>::new());
    let mut returned = BTreeMap::<MessageId, usize>::new();
    for seq in 1..=journal.head() {
        for (at_ms, word) in heard.remove(&seq).unwrap_or_default() {
            if let Word::Returned(MessageReturned { id, .. }) = &word {
                *returned.entry(*id).or_default() += 1;
            }
            oracle.hear(seq, at_ms, word);
        }
        for (at_ms, sent) in sends.remove(&seq).unwrap_or_default() {
            let times = seen.entry(sent.id).or_default();
            *times += 1;
            if *times > returned.get(&sent.id).copied().unwrap_or_default() + 1 {
                found.push(format!("{}: sent twice", sent.id));
            }
            let left = *times > returns.get(&sent.id).copied().unwrap_or_default();
            let to = delivered.iter().find(|deliver| deliver.id == sent.id).map(|deliver| &*deliver.address);
            let against = oracle.against(&sent, at_ms, (to, left));
            found.extend(against.into_iter().map(|what| format!("{} at entry {seq}: {what}", sent.id)));
        }
    }
    found
}

/// Agents that fell over something, which is nothing they may do whatever comes.
pub(super) fn fallen(driver: &Driver) -> Vec<String> {
    let agents: Vec<_> = driver.status().into_iter().map(|status| status.agent).collect();
    let letters = agents.iter().flat_map(|agent| {
        let letters = driver.dead_letters(agent, 0, 1_000).unwrap().into_iter();
        letters.filter(|letter| letter.why.contains("panicked")).map(move |letter| (agent, letter))
    });
    letters
        .map(|(agent, letter)| format!("{agent} fell over {} at {}: {}", letter.topic, letter.seq, letter.why))
        .collect()
}
