//! What sales and support know of one person. Pure.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::{TaskKind, lead::Deeds};
use crate::{
    parting::OfPerson,
    vocabulary::{DAY_MS, Millis, Stamp},
};

/// Deals, tickets and tasks kept of one person; of more, closed and old ones go first.
const EACH_MAX: usize = 50;
/// How long a ticket of which nothing more is heard holds marketing back.
pub(super) const TICKET_HOLDS_MS: Millis = 30 * DAY_MS;

/// How a deal stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DealStatus {
    /// It is worked on.
    #[default]
    Open,
    /// It is won.
    Won,
    /// It is lost.
    Lost,
}

/// One deal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deal {
    /// Its name for people.
    pub name: Box<str>,
    /// Its stage.
    pub stage: Box<str>,
    /// What it is worth, millionths of the currency.
    pub value_micros: i64,
    /// Three letters (ISO 4217); empty where no value is told.
    pub currency: Box<str>,
    /// How it stands.
    pub status: DealStatus,
    /// Why it is lost.
    pub why: Box<str>,
    /// When it last changed, event time.
    pub at_ms: Millis,
    /// When what it is was last told, event time.
    told_ms: Option<Millis>,
}

/// A task for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: Box<str>,
    /// Why.
    pub kind: TaskKind,
    /// Why, in words.
    pub why: Box<str>,
    /// Since when, milliseconds since 1970 UTC.
    pub at_ms: Millis,
    /// Who did it, and when; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<(Box<str>, Millis)>,
}

/// What is known of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Relation {
    /// Their deals, by id.
    #[serde(rename = "d", skip_serializing_if = "BTreeMap::is_empty")]
    pub deals: BTreeMap<Box<str>, Deal>,
    /// Their tickets, by id: when last heard of, and whether open.
    #[serde(rename = "t", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tickets: BTreeMap<Box<str>, (Stamp, bool)>,
    /// The open tickets for which somebody was asked to speak to them.
    #[serde(rename = "s", skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) seen_to: BTreeSet<Box<str>>,
    /// Open tickets as last said; none where marketing is not held back.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<u32>,
    /// Whether they are a lead.
    #[serde(rename = "l", skip_serializing_if = "std::ops::Not::not")]
    pub lead: bool,
    /// Whether they were last said to be hot.
    #[serde(rename = "w", skip_serializing_if = "std::ops::Not::not")]
    pub hot: bool,
    /// What they did.
    #[serde(rename = "e")]
    pub deeds: Deeds,
    /// Tasks, the newest last.
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// A question that is asked because of a complaint.
    #[serde(rename = "q", skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<u64>,
    /// Events of deals that did not say which deal.
    #[serde(rename = "u", skip_serializing_if = "is_zero")]
    pub unnamed_deals: u32,
    #[serde(rename = "p", skip_serializing_if = "is_never")]
    decided: Seq,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_never(seq: &Seq) -> bool {
    *seq == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl OfPerson for Relation {
    fn decided(&mut self) -> &mut Seq {
        &mut self.decided
    }

    fn begin_again(self) -> Self {
        Self { tickets: BTreeMap::new(), seen_to: BTreeSet::new(), deeds: Deeds::default(), unnamed_deals: 0, ..self }
    }
}

impl Relation {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Tickets that hold marketing back now.
    pub fn open_tickets(&self, now_ms: Millis) -> u32 {
        let open = self.tickets.values().filter(|(stamp, open)| *open && now_ms < stamp.0 + TICKET_HOLDS_MS);
        open.count() as u32
    }

    /// Whether there is reason to ask somebody to speak to them because of a ticket: one that holds marketing back and
    /// that nobody was asked to see to. Where what holds it is not known, whoever asks has a reason.
    pub(super) fn see_to_tickets(&mut self, now_ms: Millis) -> bool {
        let open = self.tickets.iter().filter(|(_, (stamp, open))| *open && now_ms < stamp.0 + TICKET_HOLDS_MS);
        let open: BTreeSet<_> = open.map(|(id, _)| id.clone()).collect();
        let is_new = open.is_empty() || !open.is_subset(&self.seen_to);
        if is_new {
            self.seen_to = open;
        }
        is_new
    }

    /// A ticket is opened or closed; of several words the last by event time counts.
    pub(super) fn ticket(&mut self, id: &str, stamp: Stamp, open: bool) {
        let known = self.tickets.entry(id.into()).or_insert((stamp, open));
        if known.0 < stamp {
            *known = (stamp, open);
            if !open {
                self.seen_to.remove(id);
            }
        }
        while self.tickets.len() > EACH_MAX {
            let oldest = self.tickets.iter().min_by_key(|(_, (stamp, open))| (*open, *stamp));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.tickets.remove(&oldest);
            self.seen_to.remove(&oldest);
        }
    }

    /// What a deal is; what was told later stands.
    pub(super) fn deal_told(&mut self, created: &super::DealCreated) {
        let deal = self.deals.entry(created.deal.clone()).or_default();
        if deal.told_ms.is_none_or(|told| told <= created.at_ms) {
            deal.told_ms = Some(created.at_ms);
            deal.name = created.name.clone();
            (deal.value_micros, deal.currency) = (created.value_micros, created.currency.clone());
        }
        self.deal_moved(&created.deal, Some(&created.stage), DealStatus::Open, "", created.at_ms);
    }

    /// How a deal stands; of several words the last by event time counts, and of one instant the one that ends it.
    pub(super) fn deal_moved(&mut self, id: &str, stage: Option<&str>, status: DealStatus, why: &str, at_ms: Millis) {
        let deal = self.deals.entry(id.into()).or_default();
        if (at_ms, status) >= (deal.at_ms, deal.status) || deal.stage.is_empty() && deal.status == DealStatus::Open {
            deal.stage = stage.map_or_else(|| deal.stage.clone(), Into::into);
            (deal.status, deal.why, deal.at_ms) = (status, why.into(), at_ms.max(deal.at_ms));
        }
        while self.deals.len() > EACH_MAX {
            let oldest = self.deals.iter().min_by_key(|(_, deal)| (deal.status == DealStatus::Open, deal.at_ms));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.deals.remove(&oldest);
        }
    }

    /// Whether a task of this kind is open.
    pub(super) fn has_open(&self, kind: TaskKind) -> bool {
        self.tasks.iter().any(|task| task.kind == kind && task.done.is_none())
    }

    pub(super) fn add_task(&mut self, task: Task) {
        self.tasks.push(task);
        while self.tasks.len() > EACH_MAX {
            let done = self.tasks.iter().position(|task| task.done.is_some());
            self.tasks.remove(done.unwrap_or_default());
        }
    }

    /// Takes in what is known of somebody who turned out to be this person.
    pub(super) fn merge(&mut self, other: Self) {
        for (id, (stamp, open)) in other.tickets {
            self.ticket(&id, stamp, open);
        }
        for (id, deal) in other.deals {
            match self.deals.get(&id) {
                Some(own) if own.at_ms >= deal.at_ms => {}
                _ => drop(self.deals.insert(id, deal)),
            }
        }
        self.seen_to.extend(other.seen_to);
        self.deeds.merge(other.deeds);
        self.unnamed_deals = self.unnamed_deals.saturating_add(other.unnamed_deals);
        (self.lead, self.hot) = (self.lead || other.lead, self.hot || other.hot);
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.extend(other.tasks);
        tasks.sort_by(|one, other| (one.at_ms, &one.id).cmp(&(other.at_ms, &other.id)));
        tasks.dedup_by(|one, other| one.id == other.id);
        tasks.into_iter().for_each(|task| self.add_task(task));
        // What either was last said to be, so that the winner is told anew.
        self.held = self.held.or(other.held);
        self.asked = self.asked.or(other.asked);
        self.decided = self.decided.max(other.decided);
    }
}
