//! The verdict: every guard in order, for one message to one person at one instant.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::RunSeed;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Contacted, GatePolicy, Ledger, Ride, Running, hours_open, quiet_until, zone_of};
use crate::{
    campaigns::Autonomy,
    holdout::Holdout,
    suppression::{AddressHash, WhySuppressed},
    vocabulary::{
        Address, Channel, ChannelVerdict, Contact, Group, Identifier, IdentifierKind, MessageClass, Millis, ProfileId,
        Refusal, StopScope,
    },
};

/// What holds for everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct House {
    /// The shop's own rules.
    pub policy: GatePolicy,
    /// The campaigns there are and were.
    pub campaigns: BTreeMap<Box<str>, Running>,
    /// What sending is stopped of, each with why.
    pub stops: BTreeMap<StopScope, Box<str>>,
    /// Addresses not to be written to.
    pub suppressed: BTreeMap<AddressHash, WhySuppressed>,
}

/// Of one person.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// How they may be reached; none where it was never told.
    pub contact: Option<&'a Contact>,
    /// What they have agreed to and refused.
    pub ledger: &'a Ledger,
    /// What was sent to persuade them.
    pub sent: &'a [Contacted],
    /// Why marketing is held back, if it is.
    pub held_back: Option<&'a str>,
    /// Push tokens that came back as unknown, hashed.
    pub dead: &'a BTreeSet<u64>,
}

/// One message that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// At which instant.
    pub at_ms: Millis,
    /// What sort it is.
    pub class: MessageClass,
    /// By which channel.
    pub channel: Channel,
    /// The topic of consent.
    pub topic: Option<&'a str>,
    /// For which campaign.
    pub campaign: Option<&'a str>,
    /// The decision it comes of, where it comes of one.
    pub ride: Option<Ride<'a>>,
    /// Whether it was let through before: a campaign that has come to its end by itself since then lets it go.
    pub let_through: bool,
    /// What is wrong with its template or offer, if anything.
    pub template: Result<(), &'a str>,
    /// Whether it asks for a grant to be confirmed: then a pending one lets it through.
    pub confirms: bool,
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be sent, to this address.
    Allowed {
        /// Where to.
        address: Address,
        /// Every guard that was asked, in order.
        guards: Vec<Box<str>>,
    },
    /// Not now.
    Held {
        /// When everything is to be checked again; none for when sending is resumed.
        until_ms: Option<Millis>,
        /// By which guard, and why.
        by: Refusal,
    },
    /// Never.
    Refused(Refusal),
}

/// Why a guard does not let a message through.
enum No {
    Until(Option<Millis>, String),
    Never(String),
}

type Answer = Result<(), No>;

fn never(why: impl Into<String>) -> Answer {
    Err(No::Never(why.into()))
}

/// Asks every guard in order; the first that does not let it through decides.
pub fn verdict(ask: &Ask<'_>, person: &Circumstances<'_>, house: &House, seed: &RunSeed) -> Verdict {
    let mut address = None;
    let persuades = ask.class == MessageClass::Marketing;
    let zone = zone_for(person.contact, &house.policy);
    let mut asked: Vec<Box<str>> = Vec::new();
    type Guard<'g> = (&'static str, bool, &'g mut dyn FnMut() -> Answer);
    let guards: [Guard<'_>; 10] = [
        ("stopped", true, &mut || stopped(ask, house)),
        ("autonomy", true, &mut || autonomy(ask, house)),
        ("template", true, &mut || ask.template.map_err(|why| No::Never(why.to_owned()))),
        ("address", true, &mut || addressable(ask, person)),
        ("suppression", true, &mut || {
            address = Some(unsuppressed(ask, person, house, seed)?);
            Ok(())
        }),
        ("consent", true, &mut || consent(ask, person, house)),
        ("holdout", true, &mut || holdout(ask, person, house)),
        ("ticket", persuades, &mut || person.held_back.map_or(Ok(()), never)),
        ("quiet_hours", persuades, &mut || quiet(ask, house, zone.as_ref())),
        ("cap", persuades, &mut || capped(ask, person, house)),
    ];
    for (guard, applies, answer) in guards {
        if !applies {
            continue;
        }
        asked.push(guard.into());
        match answer() {
            Ok(()) => {}
            Err(No::Never(why)) => return Verdict::Refused(Refusal { guard: guard.into(), why: why.into() }),
            Err(No::Until(until_ms, why)) => {
                return Verdict::Held { until_ms, by: Refusal { guard: guard.into(), why: why.into() } };
            }
        }
    }
    match address {
        Some(address) => Verdict::Allowed { address, guards: asked },
        None => Verdict::Refused(Refusal { guard: "address".into(), why: "there is none".into() }),
    }
}

fn stopped(ask: &Ask<'_>, house: &House) -> Answer {
    let campaign = ask.campaign.map(|campaign| StopScope::Campaign(campaign.into()));
    let scopes = [Some(StopScope::Everything), Some(StopScope::Channel(ask.channel)), campaign];
    match scopes.into_iter().flatten().find_map(|scope| Some((house.stops.get(&scope)?, scope))) {
        Some((why, _)) => Err(No::Until(None, why.to_string())),
        None => Ok(()),
    }
}

fn autonomy(ask: &Ask<'_>, house: &House) -> Answer {
    let Some(campaign) = ask.campaign else { return Ok(()) };
    let Some(running) = house.campaigns.get(campaign) else { return never("the campaign is not running") };
    if let Some(why) = running.ended.as_ref().filter(|_| !(running.finished && ask.let_through)) {
        return never(format!("the campaign has ended: {why}"));
    }
    if running.autonomy == Autonomy::Observe {
        return never("the campaign only observes");
    }
    ask.ride.map_or(Ok(()), |ride| running.covers(&ride, ask.channel)).map_err(No::Never)
}

/// The hash of a push token, as it is remembered where it is dead.
pub(crate) fn token_hash(token: &str) -> u64 {
    Identifier { kind: IdentifierKind::DeviceToken, value: token.into() }.node().0
}

fn usable<'a>(ask: &Ask<'_>, person: &Circumstances<'a>) -> impl Iterator<Item = &'a Address> {
    let (channel, dead) = (ask.channel, person.dead);
    let all = person.contact.into_iter().flat_map(|contact| &contact.addresses);
    let alive = move |address: &&Address| channel != Channel::Push || !dead.contains(&token_hash(&address.value));
    all.filter(move |address| address.channel == channel).filter(alive)
}

fn addressable(ask: &Ask<'_>, person: &Circumstances<'_>) -> Answer {
    if person.contact.is_none() {
        return never("nothing is known of the person");
    }
    match usable(ask, person).next() {
        Some(_) => Ok(()),
        None => never(format!("there is none for {}", ask.channel.name())),
    }
}

/// The keyed hash of an address, as it is suppressed; none for a push token.
pub(crate) fn hash_of(address: &Address, seed: &RunSeed) -> Option<AddressHash> {
    let kind = match address.channel {
        Channel::Email => IdentifierKind::Email,
        Channel::Sms => IdentifierKind::Phone,
        Channel::Push => return None,
    };
    AddressHash::of(seed, &Identifier::new(kind, &address.value)?)
}

fn unsuppressed(ask: &Ask<'_>, person: &Circumstances<'_>, house: &House, seed: &RunSeed) -> Result<Address, No> {
    let mut why = "the address can't be checked";
    for address in usable(ask, person) {
        match hash_of(address, seed).map(|hash| house.suppressed.get(&hash)) {
            Some(None) => return Ok(address.clone()),
            None if address.channel == Channel::Push => return Ok(address.clone()),
            Some(Some(because)) => {
                why = match because {
                    WhySuppressed::Erased => "its owner was erased",
                    WhySuppressed::Unsubscribed => "its owner has unsubscribed",
                    WhySuppressed::Complained => "its owner has complained",
                    WhySuppressed::Bounced => "there is nobody at it",
                };
            }
            None => {}
        }
    }
    Err(No::Never(why.to_owned()))
}

fn consent(ask: &Ask<'_>, person: &Circumstances<'_>, house: &House) -> Answer {
    let Some(contact) = person.contact else { return never("nothing is known of the person") };
    let of = (ask.channel, ask.topic);
    person.ledger.refuses(of, contact, &house.policy, ask.confirms).map_err(No::Never)
}

fn holdout(ask: &Ask<'_>, person: &Circumstances<'_>, house: &House) -> Answer {
    let Some(contact) = person.contact else { return never("nothing is known of the person") };
    if contact.ids.is_empty() && (house.policy.holdout_share > 0.0 || ask.campaign.is_some()) {
        return never("the person has no id to draw by");
    }
    if Holdout::global(house.policy.holdout_share).holds(contact.ids.iter().copied()) {
        return never("the person is in the shop's holdout");
    }
    let running = ask.campaign.and_then(|campaign| Some((campaign, house.campaigns.get(campaign)?)));
    if let Some((campaign, running)) = running
        && Holdout::of_goal(campaign, running.holdout_share).holds(contact.ids.iter().copied())
    {
        return never("the person is in the goal's holdout");
    }
    Ok(())
}

/// The person's zone, else the workspace's; `None` where neither can be told.
pub(super) fn zone_for(contact: Option<&Contact>, policy: &GatePolicy) -> Option<TimeZone> {
    let own = contact.and_then(|contact| contact.zone.as_deref()).and_then(zone_of);
    own.or_else(|| zone_of(&policy.zone))
}

fn quiet(ask: &Ask<'_>, house: &House, zone: Option<&TimeZone>) -> Answer {
    let Some(quiet) = house.policy.quiet_hours.get(&ask.channel) else { return Ok(()) };
    let Some(until_ms) = zone.and_then(|zone| quiet_until(zone, quiet, ask.at_ms)) else {
        return never("the hour of the person's day can't be told");
    };
    if until_ms <= ask.at_ms {
        return Ok(());
    }
    Err(No::Until(Some(until_ms), format!("quiet from {} to {}", quiet.from, quiet.to)))
}

fn capped(ask: &Ask<'_>, person: &Circumstances<'_>, house: &House) -> Answer {
    let mut held: Option<(Millis, String)> = None;
    for cap in &house.policy.caps {
        let what = || {
            let of = cap.channel.map_or("any channel", Channel::name);
            let topic = cap.topic.as_deref().map(|topic| format!(" of {topic}")).unwrap_or_default();
            format!("at most {} by {of}{topic} in {} h", cap.at_most, cap.within_ms / 3_600_000)
        };
        match cap.free_at(person.sent, ask.channel, ask.topic, ask.at_ms) {
            None => return never(what()),
            Some(free_ms) if free_ms > ask.at_ms && held.as_ref().is_none_or(|(until_ms, _)| *until_ms < free_ms) => {
                held = Some((free_ms, what()));
            }
            Some(_) => {}
        }
    }
    match held {
        Some((until_ms, why)) => Err(No::Until(Some(until_ms), why)),
        None => Ok(()),
    }
}

/// Which of a campaign's groups a person is in.
pub fn group_of(campaign: &str, running: &Running, contact: Option<&Contact>, policy: &GatePolicy) -> Group {
    let ids: &[ProfileId] = contact.map_or(&[], |contact| &contact.ids);
    let drawn = |holdout: Holdout| holdout.holds(ids.iter().copied());
    if drawn(Holdout::global(policy.holdout_share)) || drawn(Holdout::of_goal(campaign, running.holdout_share)) {
        return Group::Holdout;
    }
    // Drawn among those who are left, so that the share is one of all.
    let left = (1.0 - running.holdout_share).max(f64::EPSILON);
    let random = Holdout { salt: format!("random:{campaign}").into(), share: (running.random_share / left).min(1.0) };
    if drawn(random) { Group::Random } else { Group::Policy }
}

/// What the gate says of each channel before anything is decided, and the zone it goes by.
pub fn look(
    campaign: &str,
    at_ms: Millis,
    person: &Circumstances<'_>,
    house: &House,
    seed: &RunSeed,
) -> (Vec<ChannelVerdict>, Box<str>) {
    let running = house.campaigns.get(campaign);
    let of_channel = |channel: Channel| {
        let ask = Ask {
            at_ms,
            class: MessageClass::Marketing,
            channel,
            topic: running.and_then(|running| running.topic.as_deref()),
            campaign: Some(campaign),
            ride: None,
            let_through: false,
            template: Ok(()),
            confirms: false,
        };
        let hours = hours_open(house.policy.quiet_hours.get(&channel));
        let (from_ms, refused) = match verdict(&ask, person, house, seed) {
            Verdict::Allowed { .. } => (at_ms, None),
            Verdict::Held { until_ms: Some(until_ms), .. } => (until_ms, None),
            Verdict::Held { until_ms: None, by } | Verdict::Refused(by) => (at_ms, Some(by)),
        };
        ChannelVerdict { channel, from_ms, hours, refused }
    };
    let own = person.contact.and_then(|contact| contact.zone.clone()).filter(|zone| zone_of(zone).is_some());
    (Channel::ALL.into_iter().map(of_channel).collect(), own.unwrap_or_else(|| house.policy.zone.clone()))
}
