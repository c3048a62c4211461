//! Whether what was sent could be sent, found from the journal alone: a second opinion on the gate.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    campaigns::Plan,
    holdout::Holdout,
    vocabulary::{
        Channel, EventKind, Identifier, IdentifierKind, MessageClass, Millis, ProfileId, ReceiptCame, ReceiptKind,
        Stamp, Tracked,
    },
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::contacts::Sent;
use crate::{Invariant, Scenario};

/// What was said, in order, of who may be written to, and who was.
pub(crate) struct Ledger {
    always: Vec<Invariant>,
    /// By node, where it is known; else the scenario's own holds.
    zones: BTreeMap<ProfileId, TimeZone>,
    zone: TimeZone,
    /// Whose a node has become.
    whose: BTreeMap<ProfileId, ProfileId>,
    /// The last word on a channel, by node.
    consents: BTreeMap<(ProfileId, Channel), (Stamp, bool)>,
    /// User ids and anonymous ids that came with each node.
    ids: BTreeMap<ProfileId, BTreeSet<ProfileId>>,
    sends: BTreeMap<ProfileId, Vec<(Millis, Channel)>>,
    campaigns: BTreeMap<Box<str>, Spent>,
    /// What does not hold, in words.
    pub(crate) odd: Vec<String>,
}

#[derive(Default)]
struct Spent {
    messages: u64,
    cost_micros: i64,
    people: BTreeSet<ProfileId>,
}

impl Ledger {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut zones = BTreeMap::new();
        for person in &scenario.people {
            let Some(zone) = person.zone.as_ref().and_then(|zone| TimeZone::get(zone).ok()) else { continue };
            zones.extend(person.identifiers.iter().map(|known| (known.node(), zone.clone())));
        }
        Self {
            always: scenario.always.clone(),
            zones,
            zone: scenario.zone.clone(),
            whose: BTreeMap::new(),
            consents: BTreeMap::new(),
            ids: BTreeMap::new(),
            sends: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            odd: Vec::new(),
        }
    }

    fn root(&self, node: ProfileId) -> ProfileId {
        let mut at = node;
        while let Some(next) = self.whose.get(&at).filter(|next| **next != at) {
            at = *next;
        }
        at
    }

    /// Two profiles are one.
    pub(crate) fn merged(&mut self, loser: ProfileId, winner: ProfileId) {
        let (loser, winner) = (self.root(loser), self.root(winner));
        if loser == winner {
            return;
        }
        self.whose.insert(loser, winner);
        let ids = self.ids.remove(&loser).unwrap_or_default();
        self.ids.entry(winner).or_default().extend(ids);
        let mut sends = self.sends.remove(&loser).unwrap_or_default();
        let all = self.sends.entry(winner).or_default();
        all.append(&mut sends);
        all.sort_unstable();
    }

    /// A customer's event: ids, and what it says of consent.
    pub(crate) fn tracked(&mut self, event: &Tracked) {
        let root = self.root(event.node());
        let known = [(IdentifierKind::UserId, &event.user_id), (IdentifierKind::AnonymousId, &event.anonymous_id)];
        for (kind, id) in known {
            let node = id.as_ref().and_then(|id| Identifier::new(kind, id)).map(|known| known.node());
            self.ids.entry(root).or_default().extend(node);
        }
        if event.kind != EventKind::Identify {
            return;
        }
        let Ok(traits) = serde_json::from_str::<Map<String, Value>>(event.properties.as_str()) else { return };
        for channel in Channel::ALL {
            let name = channel.name();
            let mut said = Vec::new();
            if let Some(Value::Array(listed)) = traits.get("consent") {
                said.push(listed.iter().any(|one| one.as_str() == Some(name)));
            }
            for (suffix, grants) in [("consent", true), ("opt_in", true), ("opt_out", false), ("unsubscribed", false)] {
                if let Some(Value::Bool(flag)) = traits.get(&format!("{name}_{suffix}")) {
                    said.push(*flag == grants);
                }
            }
            // Of one event that says both, the refusal counts.
            if let Some(granted) = said.into_iter().reduce(|one, other| one && other) {
                self.say((event.node(), channel), Stamp::of(event), granted);
            }
        }
    }

    /// A reader who wants no more, or complains.
    pub(crate) fn receipt(&mut self, receipt: &ReceiptCame, at_ms: Millis) {
        if matches!(receipt.kind, ReceiptKind::Unsubscribed | ReceiptKind::Complained) {
            self.say((receipt.profile, receipt.channel), Stamp(at_ms, u32::MAX), false);
        }
    }

    fn say(&mut self, of: (ProfileId, Channel), stamp: Stamp, granted: bool) {
        let known = self.consents.entry(of).or_insert((stamp, granted));
        if known.0 < stamp || (known.0 == stamp && !granted) {
            *known = (stamp, granted);
        }
    }

    /// Whether a person has agreed to a channel, and none of their nodes has refused it.
    fn consents(&self, root: ProfileId, channel: Channel) -> bool {
        let of = self.consents.iter().filter(|((node, by), _)| *by == channel && self.root(*node) == root);
        let mut said = of.map(|(_, (_, granted))| *granted).peekable();
        said.peek().is_some() && said.all(|granted| granted)
    }

    /// A message was let through: whatever speaks against it is noted.
    pub(crate) fn sent(&mut self, sent: &Sent, who: &str, plan: Option<&Plan>) {
        let root = self.root(sent.profile);
        let persuades = sent.class == MessageClass::Marketing;
        if persuades {
            self.sends.entry(root).or_default().push((sent.at_ms, sent.channel));
        }
        if let Some(campaign) = &sent.campaign {
            let cost = plan.and_then(|plan| plan.costs_micros.iter().find(|(by, _)| *by == sent.channel));
            let spent = self.campaigns.entry(campaign.clone()).or_default();
            spent.messages += 1;
            spent.cost_micros += cost.map_or(0, |(_, micros)| *micros);
            spent.people.insert(root);
        }
        for invariant in self.always.clone() {
            if let Some(what) = self.breaks(&invariant, sent, root, plan).filter(|_| persuades) {
                self.odd.push(format!("{what}: {who} got {} by {}", sent.template, sent.channel.name()));
            }
        }
    }

    /// A message's channel has not taken it: it counts towards no cap.
    pub(crate) fn reached_nobody(&mut self, sent: &Sent) {
        let root = self.root(sent.profile);
        if let Some(sends) = self.sends.get_mut(&root)
            && let Some(place) = sends.iter().position(|known| *known == (sent.at_ms, sent.channel))
        {
            sends.remove(place);
        }
    }

    /// A message that was let through has not left: it counts nowhere.
    pub(crate) fn returned(&mut self, sent: &Sent, plan: Option<&Plan>) {
        self.reached_nobody(sent);
        if let Some(spent) = sent.campaign.as_ref().and_then(|campaign| self.campaigns.get_mut(campaign)) {
            let cost = plan.and_then(|plan| plan.costs_micros.iter().find(|(by, _)| *by == sent.channel));
            spent.messages -= 1;
            spent.cost_micros -= cost.map_or(0, |(_, micros)| *micros);
        }
    }

    fn breaks(&self, invariant: &Invariant, sent: &Sent, root: ProfileId, plan: Option<&Plan>) -> Option<String> {
        match invariant {
            Invariant::ConsentRespected if !self.consents(root, sent.channel) => {
                Some("consent respected: there is none".to_owned())
            }
            Invariant::FrequencyCap { max, per_ms, channel } => {
                let of = self.sends.get(&root).into_iter().flatten();
                let within = of
                    .filter(|(at_ms, by)| *at_ms > sent.at_ms - per_ms && channel.is_none_or(|channel| channel == *by));
                let count = within.count();
                (count > *max as usize).then(|| format!("frequency cap: {count} messages, more than {max}"))
            }
            Invariant::QuietHoursRespected { from, until } => {
                let zone = self.zones.get(&root).or_else(|| self.zones.get(&sent.profile)).unwrap_or(&self.zone);
                let at = Timestamp::from_millisecond(sent.at_ms).unwrap_or_default().to_zoned(zone.clone());
                let minute = i16::from(at.hour()) * 60 + i16::from(at.minute());
                let quiet =
                    if from <= until { (*from..*until).contains(&minute) } else { minute >= *from || minute < *until };
                quiet.then(|| format!("quiet hours respected: it is {}", at.strftime("%H:%M")))
            }
            Invariant::HoldoutUntouched => {
                let (campaign, plan) = sent.campaign.as_ref().zip(plan)?;
                let ids = self.ids.get(&root).into_iter().flatten().copied();
                let held = Holdout::of_goal(campaign, plan.holdout_share).holds(ids);
                held.then(|| format!("holdout untouched: held out of {campaign}"))
            }
            Invariant::BudgetRespected => {
                let (campaign, plan) = sent.campaign.as_ref().zip(plan)?;
                let spent = self.campaigns.get(campaign)?;
                let people = spent.people.len() as u64;
                let over = [
                    plan.budget.messages.is_some_and(|max| spent.messages > max).then_some("messages"),
                    plan.budget.cost_micros.is_some_and(|max| spent.cost_micros > max).then_some("money"),
                    (people > plan.blast_radius).then_some("people"),
                ];
                let over = over.into_iter().flatten().next()?;
                Some(format!("budget respected: {campaign} takes more {over} than it may"))
            }
            _ => None,
        }
    }
}
