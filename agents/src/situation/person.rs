//! What is kept of one person, and when it is a situation. Pure.

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::{
    intent::{Subject, View, ViewLog},
    settings::Watching,
};
use crate::{
    parting::OfPerson,
    segmentation::Span,
    vocabulary::{DAY_MS, Millis, ProfileId, Stamp},
};

/// Situations remembered of one person after they are over, so that none is told twice.
const OVER_MAX: usize = 32;
/// How long after somebody has looked at a product again an order is put down to it, for learning.
pub(super) const HORIZON_MS: Millis = 7 * DAY_MS;

/// Why a situation is over.
pub(super) const ORDERED: &str = "ordered";

/// Which situation of a person it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They look at something again and again.
    PurchaseIntent,
    /// Their cart lies there.
    CartLeft,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::PurchaseIntent, Self::CartLeft];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PurchaseIntent => "purchase_intent",
            Self::CartLeft => "cart_left",
        }
    }
}

/// A situation of a person that is not over, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    /// Its id.
    #[serde(rename = "i")]
    pub id: Box<str>,
    /// Which it is.
    #[serde(rename = "k")]
    pub kind: Kind,
    #[serde(rename = "s")]
    pub(super) subject: Subject,
    /// When it began, event time.
    #[serde(rename = "b")]
    pub since_ms: Millis,
    /// The last instant it is of: views and changes up to there don't make another one.
    #[serde(rename = "l")]
    pub last_ms: Millis,
    /// When it was told, journal time.
    #[serde(rename = "t")]
    pub told_ms: Millis,
    /// The event that tells what it is about; 0 for none.
    #[serde(rename = "e", default)]
    pub event: Seq,
    /// What was found, in words.
    #[serde(rename = "w", default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
    /// Why it is over, and since when; none while it stands.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub over: Option<(Box<str>, Millis)>,
}

/// A cart that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cart {
    /// How many units.
    pub(super) items: i64,
    /// When it last changed, event time.
    pub(super) changed: Stamp,
    /// The place of the event that last put something in.
    pub(super) event: Seq,
}

/// Somebody has looked at a product again: what comes of it is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Episode {
    pub(super) began_ms: Millis,
    pub(super) met: u16,
}

/// What is kept of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watched {
    #[serde(rename = "v", skip_serializing_if = "ViewLog::is_empty")]
    pub(super) views: ViewLog,
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub(super) last_order_ms: Option<Millis>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub(super) cart: Option<Cart>,
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub(super) episode: Option<Episode>,
    /// The earliest instant time is waited for; none where nothing is.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub(super) wake_ms: Option<Millis>,
    #[serde(rename = "s", skip_serializing_if = "Vec::is_empty")]
    pub(super) situations: Vec<Situation>,
    #[serde(rename = "d", skip_serializing_if = "is_never")]
    decided: Seq,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_never(seq: &Seq) -> bool {
    *seq == 0
}

impl OfPerson for Watched {
    fn decided(&mut self) -> &mut Seq {
        &mut self.decided
    }

    fn begin_again(self) -> Self {
        let Self { situations, wake_ms, decided, .. } = self;
        Self { situations, wake_ms, decided, ..Self::default() }
    }
}

/// What has been found to be a situation; it is told with its context.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    pub(super) since_ms: Millis,
    pub(super) last_ms: Millis,
    /// The event that tells what it is about.
    pub(super) event: Seq,
    pub(super) because: Box<str>,
}

impl Watched {
    /// The situations that stand, and those that are over and remembered.
    pub fn situations(&self) -> &[Situation] {
        &self.situations
    }

    fn standing(&self, kind: Kind) -> impl Iterator<Item = &Situation> {
        self.situations.iter().filter(move |situation| situation.kind == kind && situation.over.is_none())
    }

    /// The last instant that earlier situations of `subject` have used up.
    fn used_until(&self, kind: Kind, subject: Subject) -> Millis {
        let own = self.situations.iter().filter(|known| known.kind == kind && known.subject == subject);
        let used = own.map(|known| known.last_ms).max().unwrap_or(Millis::MIN);
        used.max(self.last_order_ms.unwrap_or(Millis::MIN))
    }

    /// Whether views of `view`'s product or its category are purchase intent now.
    pub(super) fn intent(&self, view: &View, watching: &Watching, now_ms: Millis) -> Option<Found> {
        let product = (Subject::Product(view.product), watching.product_views(), "");
        let category = (Subject::Category(view.category), watching.settings.category_views, " of one category");
        let known = [product, category].into_iter().filter(|(subject, ..)| *subject != Subject::Category(0));
        for (subject, wanted, of) in known {
            let stands = self.standing(Kind::PurchaseIntent);
            // One category has one intent, be it for a product of it.
            let mut stands = stands.filter(|known| known.subject == subject || matches!(subject, Subject::Category(_)));
            if stands.next().is_some() {
                continue;
            }
            let after = self.used_until(Kind::PurchaseIntent, subject);
            let within_ms = wanted.within.ms();
            let close = self.views.close_together(subject, after, wanted.views, within_ms);
            let Some((first, last)) = close.filter(|(_, last)| now_ms - last.stamp.0 < within_ms) else { continue };
            return Some(Found {
                kind: Kind::PurchaseIntent,
                subject,
                since_ms: first.stamp.0,
                last_ms: last.stamp.0,
                event: last.event,
                because: format!("{} views{of} within {}, no order", wanted.views, wanted.within).into(),
            });
        }
        None
    }

    /// A standing intent for what was viewed goes on.
    pub(super) fn prolong(&mut self, view: &View) {
        for known in &mut self.situations {
            let own = known.subject == Subject::Product(view.product)
                || view.category != 0 && known.subject == Subject::Category(view.category);
            if known.kind == Kind::PurchaseIntent && known.over.is_none() && own {
                known.last_ms = known.last_ms.max(view.stamp.0);
            }
        }
    }

    /// Whether the cart has lain long enough to be left behind.
    pub(super) fn cart_left(&self, watching: &Watching, now_ms: Millis) -> Option<Found> {
        let cart = self.cart?;
        let changed_ms = cart.changed.0;
        let (after, lasts) = (watching.settings.cart_left_after, watching.settings.cart_lasts);
        let subject = Subject::Product(0);
        let lies = now_ms >= changed_ms.saturating_add(after.ms());
        let late = now_ms >= changed_ms.saturating_add(after.ms()).saturating_add(lasts.ms());
        let used = changed_ms <= self.used_until(Kind::CartLeft, subject);
        if !lies || late || used || self.standing(Kind::CartLeft).next().is_some() {
            return None;
        }
        Some(Found {
            kind: Kind::CartLeft,
            subject,
            since_ms: changed_ms,
            last_ms: changed_ms,
            event: cart.event,
            because: format!("{} in the cart, no order for {after}", cart.items).into(),
        })
    }

    /// Remembers what was found, under its id; none where it was told already.
    pub(super) fn stands(&mut self, profile: ProfileId, found: &Found, now_ms: Millis) -> Option<Box<str>> {
        let id = id_of(profile, found);
        if self.situations.iter().any(|known| known.id == id) {
            return None;
        }
        let Found { kind, subject, since_ms, last_ms, event, ref because } = *found;
        self.situations.push(Situation {
            id: id.clone(),
            kind,
            subject,
            since_ms,
            last_ms,
            told_ms: now_ms,
            event,
            because: because.clone(),
            over: None,
        });
        self.forget_surplus();
        Some(id)
    }

    /// Whether an intent has enough views after the last order to go on, though it began before it: the order
    /// came late.
    pub(super) fn goes_on(&self, situation: &Situation, watching: &Watching) -> bool {
        let wanted = match situation.subject {
            Subject::Product(_) => watching.product_views(),
            Subject::Category(_) => watching.settings.category_views,
        };
        let after = self.last_order_ms.unwrap_or(Millis::MIN);
        let left = self.views.close_together(situation.subject, after, wanted.views, wanted.within.ms());
        situation.kind == Kind::PurchaseIntent && left.is_some()
    }

    /// Ends what `ends` tells a reason for; those that ended.
    pub(super) fn end(
        &mut self,
        now_ms: Millis,
        ends: impl Fn(&Situation) -> Option<&'static str>,
    ) -> Vec<(Box<str>, Kind, &'static str)> {
        let mut ended = Vec::new();
        for known in self.situations.iter_mut().filter(|known| known.over.is_none()) {
            if let Some(why) = ends(known) {
                known.over = Some((why.into(), now_ms));
                if why == ORDERED {
                    // What came after a late order is of another one.
                    known.last_ms = known.last_ms.min(self.last_order_ms.unwrap_or(Millis::MAX));
                }
                ended.push((known.id.clone(), known.kind, why));
            }
        }
        ended
    }

    fn forget_surplus(&mut self) {
        while self.situations.len() > OVER_MAX {
            let over = self.situations.iter().position(|known| known.over.is_some());
            self.situations.remove(over.unwrap_or_default());
        }
    }

    /// An order: what came before it counts no more.
    pub(super) fn ordered(&mut self, at_ms: Millis) {
        self.last_order_ms = self.last_order_ms.max(Some(at_ms));
        self.views.forget(at_ms);
    }

    /// The next instant at which time alone changes something.
    pub(super) fn next_ms(&self, watching: &Watching) -> Option<Millis> {
        let ends = self.situations.iter().filter(|known| known.over.is_none()).map(|known| over_at(known, watching));
        let cart = self.cart.filter(|cart| {
            cart.changed.0 > self.used_until(Kind::CartLeft, Subject::Product(0))
                && self.standing(Kind::CartLeft).next().is_none()
        });
        let cart = cart.map(|cart| cart.changed.0.saturating_add(watching.settings.cart_left_after.ms()));
        let episode = self.episode.map(|episode| episode.began_ms.saturating_add(HORIZON_MS));
        ends.chain(cart).chain(episode).min()
    }

    /// Takes in what is kept of somebody who turned out to be this person.
    pub(super) fn merge(&mut self, other: Self) {
        self.last_order_ms = self.last_order_ms.max(other.last_order_ms);
        self.views.merge(other.views);
        if let Some(last) = self.last_order_ms {
            self.views.forget(last);
        }
        self.cart = self.cart.max_by_change(other.cart);
        self.episode = match (self.episode, other.episode) {
            (Some(own), Some(other)) => {
                Some(Episode { began_ms: own.began_ms.min(other.began_ms), met: own.met | other.met })
            }
            (own, other) => own.or(other),
        };
        for situation in other.situations {
            if !self.situations.iter().any(|known| known.id == situation.id) {
                self.situations.push(situation);
            }
        }
        self.situations.sort_by(|a, b| (a.told_ms, &a.id).cmp(&(b.told_ms, &b.id)));
        self.forget_surplus();
        self.decided = self.decided.max(other.decided);
    }
}

trait MaxByChange {
    fn max_by_change(self, other: Self) -> Self;
}

impl MaxByChange for Option<Cart> {
    fn max_by_change(self, other: Self) -> Self {
        match (self, other) {
            (Some(own), Some(other)) if other.changed > own.changed => Some(other),
            (own, other) => own.or(other),
        }
    }
}

/// When a situation is over by time alone.
pub(super) fn over_at(situation: &Situation, watching: &Watching) -> Millis {
    let lasts: Span = match situation.kind {
        Kind::PurchaseIntent => watching.settings.intent_lasts,
        Kind::CartLeft => watching.settings.cart_lasts,
    };
    // From when it was last seen, but never before it could be acted upon.
    situation.last_ms.saturating_add(lasts.ms()).max(situation.told_ms.saturating_add(1))
}

fn id_of(profile: ProfileId, found: &Found) -> Box<str> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"situation").update(&profile.0.to_le_bytes()).update(found.kind.name().as_bytes());
    let (tag, subject) = match found.subject {
        Subject::Product(number) => (0, number),
        Subject::Category(number) => (1, number),
    };
    hasher.update(&[tag]).update(&subject.to_le_bytes()).update(&found.since_ms.to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    format!("s_{:016x}", u64::from_le_bytes([a, b, c, d, e, f, g, h])).into()
}
