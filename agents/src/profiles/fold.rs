//! Folding one event into a profile.

use impresario_runtime::store::Seq;
use serde_json::{Value, value::RawValue};

use super::{
    changes::{Changes, write_trait},
    consent::{self, Saying},
    days::day_of,
    identifiers::{KnownIdentifier, Naming, Noted},
    json,
    names::{Meaning, Receipt, meaning},
    newest::{SOURCE_MAX, Write},
    oddity::{Bound, Oddities, Oddity},
    profile::{GROUP_MARK, Profile},
    purchase::Around,
    touch::Origin,
};
use crate::{
    identity::IdentifierClaimed,
    vocabulary::{EventKind, Feature, Identifier, IdentifierKind, Millis, ProfileChanged, ProfileId, Stamp, Tracked},
};

/// Longest name of a trait or group, in bytes.
const NAME_MAX: usize = 255;
/// Largest value of a trait, in bytes as it is kept.
const VALUE_MAX: usize = 2048;
/// Largest value of a trait, in bytes of JSON.
const VALUE_TEXT_MAX: usize = 8192;

/// What came of folding an event.
pub struct Folded {
    /// What changed, to be told.
    pub changed: ProfileChanged,
    /// Whether that may concern how the person can be reached.
    pub contact: bool,
    /// Identifiers that were not known to be named by the event's node, or not from so early.
    pub claims: Vec<IdentifierClaimed>,
}

/// The parts of Segment's `context` that are looked at.
#[derive(Default)]
struct Context<'a> {
    zone: Option<&'a RawValue>,
    traits: Option<&'a RawValue>,
    campaign: Option<&'a RawValue>,
    page: Option<&'a RawValue>,
    device: Option<&'a RawValue>,
    external_ids: Option<&'a RawValue>,
    consent: Option<&'a RawValue>,
}

impl<'a> Context<'a> {
    fn of(event: &'a Tracked, oddities: &mut Oddities) -> Self {
        if event.context.is_empty() {
            return Self::default();
        }
        let names = ["timezone", "traits", "campaign", "page", "device", "externalIds", "consent"];
        let picked = json::pick(event.context.as_str(), &names);
        if picked.broken {
            oddities.count(Oddity::NoObject);
        }
        let [zone, traits, campaign, page, device, external_ids, consent] = picked.values;
        Self { zone, traits, campaign, page, device, external_ids, consent }
    }
}

impl Profile {
    /// Folds an event, filed under the node `anchor`, into the profile `id`. The order events come in makes
    /// no difference.
    pub fn fold(&mut self, id: ProfileId, anchor: ProfileId, event: &Tracked, seq: Seq) -> Folded {
        self.id = Some(id);
        let stamp = Stamp::of(event);
        let mut changes = Changes::default();
        let context = Context::of(event, &mut self.oddities);
        self.count_event(event, stamp, &context, &mut changes);
        let saying = Saying { node: anchor, stamp, source: &event.source };
        let mut own_email_and_phone = [None; 2];
        match event.kind {
            EventKind::Track => self.fold_track(event, saying, &mut changes),
            EventKind::Identify => {
                own_email_and_phone = self.write_traits(event.properties.as_str(), saying, &mut changes);
                if let Some(traits) = context.traits {
                    self.write_traits(traits.get(), saying, &mut changes);
                }
            }
            EventKind::Page => changes.feature(Feature::PAGES, add(&mut self.pages)),
            EventKind::Screen => changes.feature(Feature::SCREENS, add(&mut self.screens)),
            EventKind::Group => self.fold_group(event, stamp),
            EventKind::Alias => {}
        }
        if let Some(consent) = context.consent {
            self.consents.say_context(consent, saying, &mut self.oddities, &mut changes);
        }
        self.fold_touch(event, stamp, &context);
        let identifiers = self.identifiers.iter().len();
        let claims = self.fold_identifiers(anchor, stamp, event, &context, own_email_and_phone);
        self.timeline.add((stamp, seq));
        let contact = changes.contact || identifiers != self.identifiers.iter().len();
        Folded { changed: changes.into_changed(id, seq), contact, claims }
    }

    fn count_event(&mut self, event: &Tracked, stamp: Stamp, context: &Context<'_>, changes: &mut Changes) {
        let at_ms = event.at_ms;
        let (first, last) = self.seen.unwrap_or((Millis::MAX, Millis::MIN));
        if at_ms < first {
            changes.feature(Feature::FIRST_SEEN_AT, at_ms);
        }
        if at_ms > last {
            changes.feature(Feature::LAST_SEEN_AT, at_ms);
        }
        self.seen = Some((first.min(at_ms), last.max(at_ms)));
        changes.feature(Feature::EVENTS, add(&mut self.events));
        if let Some(day) = self.days.at(day_of(at_ms)) {
            day.events = day.events.saturating_add(1);
        }
        let zone = context.zone.and_then(json::text);
        if context.zone.is_some() && zone.is_none() {
            self.oddities.count(Oddity::WrongType);
        }
        let other_zone = zone.is_some() && self.hours.zone() != zone.as_deref();
        if !self.hours.add(stamp, zone.as_deref()) {
            self.oddities.count(Oddity::TimeZone);
        }
        changes.contact |= other_zone && self.hours.zone() == zone.as_deref();
    }

    fn fold_track(&mut self, event: &Tracked, saying: Saying<'_>, changes: &mut Changes) {
        let Some(meaning) = meaning(&event.name) else { return };
        let stamp = saying.stamp;
        let Self { days, oddities, bounds, shop, messages, consents, .. } = self;
        match meaning {
            Meaning::Message(channel, receipt) => {
                if matches!(receipt, Receipt::Unsubscribed | Receipt::Complained) {
                    consents.say(channel.name(), false, saying, changes);
                }
                return messages.receive(channel, receipt, event.at_ms, changes);
            }
            Meaning::Subscribed(channel) => return consents.say(channel.name(), true, saying, changes),
            Meaning::TopicChange => return consents.say_topic(event.properties.as_str(), saying, changes),
            _ => {}
        }
        let shop = shop.get_or_insert_default();
        let properties = event.properties.as_str();
        let around = &mut Around { stamp, source: &event.source, days, oddities, bounds, changes };
        match meaning {
            Meaning::ProductViewed => shop.view_product(properties, around),
            Meaning::ProductAdded => shop.change_cart(properties, true, around),
            Meaning::ProductRemoved => shop.change_cart(properties, false, around),
            Meaning::CheckoutStarted => shop.start_checkout(around.changes),
            Meaning::OrderCompleted => shop.complete_order(properties, around),
            Meaning::OrderRefunded => shop.refund_order(properties, around),
            Meaning::OrderCancelled => shop.cancel_order(),
            Meaning::Subscription { trial, state } => shop.subscribe(properties, trial, state, around),
            Meaning::Message(..) | Meaning::Subscribed(_) | Meaning::TopicChange => {}
        }
    }

    /// Writes the traits of the object `object`; its `email` and `phone`, raw.
    fn write_traits<'a>(
        &mut self,
        object: &'a str,
        saying: Saying<'_>,
        changes: &mut Changes,
    ) -> [Option<&'a RawValue>; 2] {
        let stamp = saying.stamp;
        let source = json::cut(saying.source, SOURCE_MAX);
        let mut email_and_phone = [None; 2];
        let read = json::each_field(object, |name, value| {
            let place = match name {
                "email" => email_and_phone.first_mut(),
                "phone" => email_and_phone.last_mut(),
                _ => None,
            };
            if let Some(place) = place {
                *place = Some(value).filter(|value| value.get() != "null");
            }
            if let Some((channel, granted)) = consent::of_trait(name, value) {
                self.consents.say(channel.name(), granted, saying, changes);
            } else if name == "consent"
                && let Some(listed) = consent::of_list(value)
            {
                listed.for_each(|(channel, granted)| self.consents.say(channel.name(), granted, saying, changes));
            }
            if let Some(value) = usable_trait(name, value, &mut self.oddities) {
                let write = Write { name: name.into(), value, stamp, source: source.into() };
                write_trait(&mut self.traits, write, &mut self.bounds, changes);
            }
        });
        if !read {
            self.oddities.count(Oddity::NoObject);
        }
        email_and_phone
    }

    fn fold_group(&mut self, event: &Tracked, stamp: Stamp) {
        let group_id = event.group_id.as_deref().unwrap_or_default();
        if group_id.is_empty() || group_id.len() > NAME_MAX || group_id.contains(GROUP_MARK) {
            return self.oddities.count(Oddity::GroupId);
        }
        let Self { groups, oddities, bounds, .. } = self;
        let source = json::cut(&event.source, SOURCE_MAX);
        let mut write = |name: String, value| {
            groups.set(Write { name: name.into(), value, stamp, source: source.into() });
            bounds.note(Bound::Groups, groups.take_surplus().is_none());
        };
        write(format!("{group_id}{GROUP_MARK}"), Value::Bool(true));
        let read = json::each_field(event.properties.as_str(), |name, value| {
            if let Some(value) = usable_trait(name, value, oddities) {
                write(format!("{group_id}{GROUP_MARK}{name}"), value);
            }
        });
        if !read {
            oddities.count(Oddity::NoObject);
        }
    }

    fn fold_touch(&mut self, event: &Tracked, stamp: Stamp, context: &Context<'_>) {
        let mut origin = Origin { page: context.page, campaign: context.campaign, ..Origin::default() };
        if event.kind == EventKind::Page {
            [origin.url, origin.referrer] = json::pick(event.properties.as_str(), &["url", "referrer"]).values;
        }
        if origin.is_told() {
            self.touches.get_or_insert_default().add(stamp, &origin);
        }
    }

    /// Takes in the identifiers an event names; those not known of this person are to be claimed.
    fn fold_identifiers(
        &mut self,
        anchor: ProfileId,
        stamp: Stamp,
        event: &Tracked,
        context: &Context<'_>,
        [email, phone]: [Option<&RawValue>; 2],
    ) -> Vec<IdentifierClaimed> {
        let (kind, value) = match (&event.user_id, &event.anonymous_id) {
            (Some(user_id), _) => (IdentifierKind::UserId, user_id),
            (None, Some(anonymous_id)) => (IdentifierKind::AnonymousId, anonymous_id),
            (None, None) => return Vec::new(),
        };
        if self.identifiers.note(&kind, value, anchor, stamp) == Noted::New {
            self.add_identifier(kind, value.as_str().into(), anchor, stamp);
        }
        let mut naming = Naming { named: Vec::new(), oddities: &mut self.oddities };
        naming.call(event);
        naming.traits(email, phone);
        if let Some(traits) = context.traits {
            let [email, phone] = json::pick(traits.get(), &["email", "phone"]).values;
            naming.traits(email, phone);
        }
        context.device.into_iter().for_each(|device| naming.device(device));
        context.external_ids.into_iter().for_each(|ids| naming.external_ids(ids));
        let mut claims = Vec::new();
        for named in naming.named {
            let as_it_came = !matches!(named.kind, IdentifierKind::Email | IdentifierKind::Phone);
            let known = as_it_came && !named.by_alias;
            if known && self.identifiers.note(&named.kind, &named.text, anchor, stamp) == Noted::Known {
                continue;
            }
            let Some(identifier) = Identifier::new(named.kind, &named.text) else {
                self.oddities.count(Oddity::Identifier);
                continue;
            };
            match self.identifiers.note(&identifier.kind, &identifier.value, anchor, stamp) {
                Noted::New => {
                    self.add_identifier(identifier.kind.clone(), identifier.value.clone(), anchor, stamp);
                }
                // An alias says more than that the two were named together.
                Noted::Known if !named.by_alias && !known => continue,
                Noted::Known | Noted::Claim => {}
            }
            let (node, by_alias) = (identifier.node(), named.by_alias);
            claims.push(IdentifierClaimed { node, identifier, anchor, stamp, by_alias });
        }
        claims
    }

    fn add_identifier(&mut self, kind: IdentifierKind, value: Box<str>, anchor: ProfileId, stamp: Stamp) {
        let known = KnownIdentifier::new(kind, value, anchor, stamp);
        self.bounds.note(Bound::Identifiers, self.identifiers.add(known));
    }
}

fn add(count: &mut u32) -> i64 {
    *count = count.saturating_add(1);
    (*count).into()
}

/// The value of a trait that is well named and not too large.
pub(super) fn usable_trait(name: &str, value: &RawValue, oddities: &mut Oddities) -> Option<Value> {
    if name.is_empty() || name.len() > NAME_MAX {
        oddities.count(Oddity::TraitName);
        return None;
    }
    let text = Some(value.get()).filter(|text| text.len() <= VALUE_TEXT_MAX);
    let read = text.and_then(|text| serde_json::from_str(text).ok());
    let fits = read.filter(|value| json::weight(value) <= VALUE_MAX);
    if fits.is_none() {
        oddities.count(Oddity::TraitValue);
    }
    fits
}
