//! What the journal says, as it is read while the play goes on: the trace, and facts for invariants.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::vocabulary::{
    Delivered, EventKind, Identifier, IdentifierKind, MessageReturned, MessageSent, Millis, ProfileChanged, ProfileId,
    ProfileMerged, ProfileParted, ReceiptCame, Tracked,
};
use impresario_runtime::{
    DeadLetter, Topic,
    store::{Entry, Journal, Seq, StoreError},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    contacts::{Contacts, Told},
    guards::Ledger,
    world::{self, Said},
};
use crate::{
    Scenario,
    model::{Action, Send},
    show,
};

/// Everything read of the journal so far.
pub(crate) struct Seen {
    next: Seq,
    zone: TimeZone,
    names: BTreeMap<ProfileId, String>,
    generated: BTreeSet<ProfileId>,
    /// Lines with the places of their entries; `None` is an event of a generated person, only counted.
    lines: Vec<(Seq, Option<String>)>,
    /// Up to here the lines are written already.
    told: Seq,
    pub(crate) facts: Facts,
    /// Makes the ledger of who may be written to, before anything was said.
    ledger: Box<dyn Fn() -> Ledger>,
}

/// What entries say that invariants compare with.
pub(crate) struct Facts {
    pub(crate) contacts: Contacts,
    pub(crate) ledger: Ledger,
    pub(crate) events: u64,
    message_ids: BTreeMap<Box<str>, Seq>,
    /// Events that are in the journal twice.
    pub(crate) twice: Vec<(Seq, Seq)>,
    /// Members by segment, by what was said of entering and leaving.
    pub(crate) members: BTreeMap<String, BTreeSet<ProfileId>>,
    /// What was said of a membership that can't be: in twice, or out while not in.
    pub(crate) odd: Vec<String>,
    /// Of whom something was said since somebody last looked.
    pub(crate) touched: BTreeSet<ProfileId>,
    pub(crate) entered: u64,
    pub(crate) left: u64,
    pub(crate) dead_letters: u64,
    /// Orders made.
    pub(crate) orders: u64,
}

impl Facts {
    fn new(ledger: Ledger) -> Self {
        Self {
            contacts: Contacts::default(),
            ledger,
            events: 0,
            message_ids: BTreeMap::new(),
            twice: Vec::new(),
            members: BTreeMap::new(),
            odd: Vec::new(),
            touched: BTreeSet::new(),
            entered: 0,
            left: 0,
            dead_letters: 0,
            orders: 0,
        }
    }
}

impl Seen {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut names = BTreeMap::new();
        let mut generated = BTreeSet::new();
        let mut name = |kind: IdentifierKind, value: &str, name: String| {
            if let Some(identifier) = Identifier::new(kind, value) {
                names.entry(identifier.node()).or_insert(name);
            }
        };
        for person in &scenario.people {
            name(IdentifierKind::UserId, &person.id, person.name.clone());
        }
        for person in &scenario.people {
            for identifier in &person.identifiers {
                let label = match &identifier.kind {
                    IdentifierKind::AnonymousId => identifier.value.to_string(),
                    kind => format!("{}'s {}", person.name, kind.name()),
                };
                name(identifier.kind.clone(), &identifier.value, label);
            }
        }
        for planned in &scenario.actions {
            if let Action::Send(send) = &planned.action {
                let Send { anonymous_id, previous_id, .. } = send.as_ref();
                for (kind, id) in [(IdentifierKind::AnonymousId, anonymous_id), (IdentifierKind::UserId, previous_id)] {
                    if let Some(id) = id {
                        name(kind, id, id.clone());
                    }
                }
            }
        }
        for person in scenario.people.iter().filter(|person| person.generated) {
            generated.extend(person.identifiers.iter().map(Identifier::node));
        }
        let zone = scenario.zone.clone();
        let facts = Facts::new(Ledger::new(scenario));
        let scenario = scenario.clone();
        let ledger = Box::new(move || Ledger::new(&scenario));
        Self { next: 1, zone, names, generated, lines: Vec::new(), told: 0, facts, ledger }
    }

    /// A profile as people call it.
    pub(crate) fn name(&self, profile: ProfileId) -> String {
        self.names.get(&profile).cloned().unwrap_or_else(|| profile.to_string())
    }

    /// An instant as people read it on their clocks.
    pub(crate) fn show(&self, at_ms: Millis) -> String {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        show::show(&at.to_zoned(self.zone.clone()))
    }

    /// Reads what the journal has got since.
    pub(crate) fn read(&mut self, journal: &Journal) -> Result<(), StoreError> {
        let from = self.next;
        impresario_runtime::each_entry(journal, from, |entry| {
            self.next = entry.seq + 1;
            self.take(journal, entry)
        })
    }

    /// The process has died, and its journal may end earlier: reads the facts anew, and takes back
    /// the lines of what is lost.
    pub(crate) fn reread(&mut self, journal: &Journal) -> Result<(), StoreError> {
        let head = journal.head();
        self.lines.retain(|(seq, _)| *seq <= head);
        self.told = head.min(self.next - 1);
        self.next = 1;
        self.facts = Facts::new((self.ledger)());
        self.read(journal)
    }

    /// Writes a line of the play itself.
    pub(crate) fn note(&mut self, at_ms: Millis, who: &str, what: &str) {
        self.push(self.next - 1, at_ms, who, what);
    }

    /// The trace, one line a thing.
    pub(crate) fn trace(&self) -> String {
        let mut text = String::new();
        let mut quiet = 0;
        for line in self.lines.iter().map(|(_, line)| line.as_deref()).chain([Some("")]) {
            let Some(line) = line else {
                quiet += 1;
                continue;
            };
            if quiet > 0 {
                let events = if quiet == 1 { "event" } else { "events" };
                text += &format!("                         ... {quiet} {events} of generated people\n");
                quiet = 0;
            }
            if !line.is_empty() {
                text += line;
                text.push('\n');
            }
        }
        text
    }

    fn line(&mut self, entry: &Entry, who: &str, what: &str) {
        if entry.seq > self.told {
            self.push(entry.seq, entry.at_ms, who, what);
        }
    }

    fn push(&mut self, seq: Seq, at_ms: Millis, who: &str, what: &str) {
        let at = self.show(at_ms);
        self.lines.push((seq, Some(format!("{at}  {who:<14}  {what}"))));
    }

    fn take(&mut self, journal: &Journal, entry: &Entry) -> Result<(), StoreError> {
        if entry.erased.is_some() {
            return Ok(());
        }
        let topic = journal.name_of(entry.topic);
        if topic == MessageReturned::NAME {
            let returned: &MessageReturned = entry.decode(MessageReturned::VERSION)?;
            let Facts { contacts, ledger, .. } = &mut self.facts;
            if let Some(sent) = contacts.sent.get(&returned.id) {
                let plan = sent.campaign.as_ref().and_then(|campaign| contacts.plans.get(campaign));
                ledger.returned(sent, plan);
            }
        }
        if topic == Delivered::NAME {
            let delivered: &Delivered = entry.decode(Delivered::VERSION)?;
            let Facts { contacts, ledger, .. } = &mut self.facts;
            if let Some(sent) = contacts.sent.get(&delivered.id).filter(|_| delivered.failed.is_some()) {
                ledger.reached_nobody(sent);
            }
        }
        if let Some(told) = self.facts.contacts.take(&topic, entry)? {
            self.contact(&topic, entry, told)?;
            return Ok(());
        }
        match topic.as_str() {
            Tracked::NAME => self.tracked(entry, entry.decode(Tracked::VERSION)?),
            ProfileMerged::NAME => {
                let ProfileMerged { loser, winner, .. } = entry.decode(ProfileMerged::VERSION)?;
                self.facts.touched.extend([*loser, *winner]);
                self.facts.ledger.merged(*loser, *winner);
                let what = format!("is also {}", self.name(*loser));
                self.tell(entry, *winner, &what);
            }
            ProfileChanged::NAME => {
                let ProfileChanged { profile, .. } = entry.decode(ProfileChanged::VERSION)?;
                self.facts.touched.insert(*profile);
            }
            ProfileParted::NAME => {
                let parted: &ProfileParted = entry.decode(ProfileParted::VERSION)?;
                self.facts.touched.insert(parted.profile);
                if let Some(Said::Person { profile, what }) = world::said(&topic, entry, |profile| self.name(profile))?
                {
                    self.tell(entry, profile, &what);
                }
            }
            DeadLetter::NAME => {
                let letter: &DeadLetter = entry.decode(DeadLetter::VERSION)?;
                self.facts.dead_letters += 1;
                let what = format!("set an entry aside after it failed: {}", letter.why);
                self.line(entry, &letter.agent, &what);
            }
            _ => match world::said(&topic, entry, |profile| self.name(profile))? {
                Some(Said::Person { profile, what }) => self.tell(entry, profile, &what),
                Some(Said::Entered { segment, profile, why }) => {
                    self.facts.entered += 1;
                    self.facts.touched.insert(profile);
                    if !self.facts.members.entry(segment.clone()).or_default().insert(profile) {
                        self.facts.odd.push(format!("{} entered `{segment}` twice", self.name(profile)));
                    }
                    self.line(entry, &self.name(profile), &format!("entered {segment} ({why})"));
                }
                Some(Said::Left { segment, profile, why, erased }) => {
                    self.facts.left += 1;
                    self.facts.touched.insert(profile);
                    let was_in = self.facts.members.entry(segment.clone()).or_default().remove(&profile);
                    if !was_in && !erased {
                        self.facts.odd.push(format!("{} left `{segment}` without being in it", self.name(profile)));
                    }
                    self.line(entry, &self.name(profile), &format!("left {segment} ({why})"));
                }
                Some(Said::Operator(what)) => self.line(entry, "operator", &what),
                Some(Said::Everybody(what)) => self.line(entry, "everybody", &what),
                None => {}
            },
        }
        Ok(())
    }

    /// Something about messages: the guards have a look, and the trace gets its line.
    fn contact(&mut self, topic: &str, entry: &Entry, told: Told) -> Result<(), StoreError> {
        if topic == MessageSent::NAME {
            let id = entry.decode::<MessageSent>(MessageSent::VERSION)?.id;
            let name = self.name(entry.decode::<MessageSent>(MessageSent::VERSION)?.profile);
            let Facts { contacts, ledger, .. } = &mut self.facts;
            if let Some(sent) = contacts.sent.get(&id) {
                let plan = sent.campaign.as_ref().and_then(|campaign| contacts.plans.get(campaign));
                ledger.sent(sent, &name, plan);
            }
        }
        if topic == ReceiptCame::NAME {
            self.facts.ledger.receipt(entry.decode(ReceiptCame::VERSION)?, entry.at_ms);
        }
        match told {
            Told::Person(profile, what) => self.tell(entry, profile, &what),
            Told::Operator(what) => self.line(entry, "operator", &what),
            Told::Everybody(what) => self.line(entry, "everybody", &what),
            Told::Nothing => {}
        }
        Ok(())
    }

    fn tracked(&mut self, entry: &Entry, tracked: &Tracked) {
        self.facts.events += 1;
        self.facts.ledger.tracked(tracked);
        self.facts.orders += u64::from(tracked.name.as_str() == "Order Completed");
        if let Some(first) = self.facts.message_ids.insert(tracked.message_id.as_str().into(), entry.seq) {
            self.facts.twice.push((first, entry.seq));
        }
        let verb = match tracked.kind {
            EventKind::Track => tracked.name.to_string(),
            EventKind::Page => format!("saw page {}", tracked.name),
            EventKind::Screen => format!("saw screen {}", tracked.name),
            EventKind::Identify => "is".to_owned(),
            EventKind::Group => format!("belongs to {}", tracked.group_id.as_deref().unwrap_or_default()),
            EventKind::Alias => format!("was {} before", tracked.previous_id.as_deref().unwrap_or_default()),
        };
        let properties = if tracked.properties.is_empty() { "" } else { tracked.properties.as_str() };
        let device = tracked.user_id.as_ref().and(tracked.anonymous_id.as_ref());
        let device = device.map(|device| format!(" on {device}")).unwrap_or_default();
        let late = match entry.at_ms - tracked.at_ms {
            0 => String::new(),
            late_ms => format!(" [{} ago]", length(late_ms)),
        };
        let what = [verb.as_str(), properties].join(" ");
        self.tell(entry, tracked.node(), &format!("{}{device}{late}", what.trim_end()));
    }

    /// Generated people are only counted.
    fn tell(&mut self, entry: &Entry, profile: ProfileId, what: &str) {
        if self.generated.contains(&profile) {
            if entry.seq > self.told {
                self.lines.push((entry.seq, None));
            }
            return;
        }
        self.line(entry, &self.name(profile), what);
    }
}

/// A length of time in its two largest units.
fn length(ms: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = ms;
    let mut parts = Vec::new();
    for (unit_ms, unit) in units {
        if rest / unit_ms > 0 && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    parts.join(" ")
}
