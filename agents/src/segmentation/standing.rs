//! How a person stands to segments, and when to look again.

use impresario_runtime::Step;

use super::{
    Reason, SegmentEntered, SegmentLeft, Trigger,
    definitions::Definitions,
    evaluate::View,
    person::{Person, Standing},
    topics::MembershipDue,
    truth::{FOREVER, Truth},
};
use crate::vocabulary::{Millis, ProfileChanged};

/// The segments that look at what has changed.
pub(super) fn touched_by(changed: &ProfileChanged, definitions: &Definitions, touched: &mut Vec<u32>) {
    for (feature, _) in &changed.features {
        touched.extend(definitions.looking_at_feature(*feature));
    }
    for name in changed.traits.keys() {
        touched.extend(definitions.looking_at_trait(name));
    }
}

/// Looks at `segments` again, and at whatever looks at those that change.
pub(super) fn look_again(
    person: &mut Person,
    definitions: &Definitions,
    segments: &[u32],
    by: Trigger,
    step: &mut Step<'_>,
) {
    if segments.is_empty() || person.profile.is_none() || person.settling {
        return;
    }
    let now = step.now_ms();
    // By rank, so that a segment comes after those it looks at; the highest last, to be taken off first.
    let mut queue: Vec<Turn> = segments.iter().map(|place| Turn::new(definitions, *place, by)).collect();
    queue.sort_unstable_by(Turn::later_first);
    queue.dedup_by_key(|turn| turn.place);
    let mut earliest = FOREVER;
    while let Some(turn) = queue.pop() {
        let Some(truth) = truth_of(person, definitions, turn.place, now) else { continue };
        let before = person.standing(turn.place).copied();
        let since = before.and_then(|standing| standing.since);
        if truth.holds != since.is_some() {
            for place in definitions.looking_at_segment(turn.place) {
                if !queue.iter().any(|waiting| waiting.place == *place) {
                    queue.push(Turn::new(definitions, *place, Trigger::Segment));
                    queue.sort_unstable_by(Turn::later_first);
                }
            }
            tell(person, definitions, turn.place, truth.holds, since, turn.by, step);
        }
        let since = truth.holds.then(|| since.unwrap_or(now));
        let until = Some(truth.until).filter(|until| *until != FOREVER);
        let after = Standing { segment: turn.place, since, until };
        if before.is_none_or(|before| before != after) {
            person.set_standing(after);
        }
        earliest = earliest.min(truth.until);
    }
    wake_by(person, earliest, step);
}

/// A segment whose turn it is to be looked at.
struct Turn {
    rank: u32,
    place: u32,
    by: Trigger,
}

impl Turn {
    fn new(definitions: &Definitions, place: u32, by: Trigger) -> Self {
        Self { rank: definitions.rank(place), place, by }
    }

    fn later_first(&self, other: &Self) -> std::cmp::Ordering {
        (other.rank, other.place).cmp(&(self.rank, self.place))
    }
}

/// The truth about a segment; `None` while its past, or that of a segment it looks at, is still being
/// looked at: who is not in a segment yet is not outside of it.
fn truth_of(person: &Person, definitions: &Definitions, place: u32, now: Millis) -> Option<Truth> {
    let segment = definitions.at(place)?;
    if segment.removed {
        return Some(Truth::forever(false));
    }
    if !definitions.is_settled(place) {
        return None;
    }
    definitions.plan(place).map(|plan| plan.root.truth(View { person, definitions, now }))
}

/// Whether looking at `segments` again would change anything.
pub(super) fn would_change(person: &Person, definitions: &Definitions, segments: &[u32], now: Millis) -> bool {
    !person.settling
        && segments.iter().any(|place| {
            let Some(truth) = truth_of(person, definitions, *place, now) else { return false };
            let standing = person.standing(*place);
            let until = standing.and_then(|standing| standing.until).unwrap_or(FOREVER);
            truth.holds != standing.is_some_and(|standing| standing.since.is_some()) || truth.until != until
        })
}

fn tell(
    person: &Person,
    definitions: &Definitions,
    place: u32,
    enters: bool,
    since: Option<Millis>,
    by: Trigger,
    step: &mut Step<'_>,
) {
    let (Some(profile), Some(segment)) = (person.profile, definitions.at(place)) else { return };
    let view = View { person, definitions, now: step.now_ms() };
    let because = match definitions.plan(place) {
        Some(plan) => plan.root.explain(view, enters),
        None => "the segment was removed".into(),
    };
    let reason = Reason { by, because: because.into() };
    let segment = segment.defined.id.clone();
    if enters {
        step.publish(SegmentEntered { segment, profile, reason });
    } else {
        let since_ms = since.unwrap_or_else(|| step.now_ms());
        step.publish(SegmentLeft { segment, profile, reason, since_ms });
    }
}

/// A profile that is no more leaves all its segments.
pub(super) fn leave_all(
    leaving: &mut Person,
    definitions: &Definitions,
    by: Trigger,
    because: &str,
    step: &mut Step<'_>,
) {
    if let Some(wake) = leaving.wake.take() {
        step.cancel(wake);
    }
    let Some(profile) = leaving.profile else { return };
    for standing in std::mem::take(&mut leaving.standings) {
        let (Some(since_ms), Some(segment)) = (standing.since, definitions.at(standing.segment)) else { continue };
        let reason = Reason { by, because: because.into() };
        step.publish(SegmentLeft { segment: segment.defined.id.clone(), profile, reason, since_ms });
    }
}

/// The timer has fired: looks at what may have changed through time alone, and sets the next one.
pub(super) fn time_has_come(person: &mut Person, definitions: &Definitions, step: &mut Step<'_>) {
    let now = step.now_ms();
    if person.wake.is_some_and(|wake| wake.due_ms > now) {
        // An earlier timer that could not be taken back any more.
        step.unchanged();
        return;
    }
    person.wake = None;
    if person.settling {
        // All is looked at once everything has been told again.
        return;
    }
    let due: Vec<u32> = person
        .standings
        .iter()
        .filter(|standing| standing.until.is_some_and(|until| until <= now))
        .map(|standing| standing.segment)
        .collect();
    look_again(person, definitions, &due, Trigger::Time, step);
    for place in due.into_iter().filter(|place| !definitions.is_settled(*place)) {
        // Nobody need be woken for it: once its past is in, everybody is looked at again.
        let since = person.member_since(place);
        person.set_standing(Standing { segment: place, since, until: None });
    }
    let next = person.standings.iter().filter_map(|standing| standing.until).min();
    wake_by(person, next.unwrap_or(FOREVER), step);
}

/// Makes sure to look again at `instant` at the latest. A timer that is earlier stays: what it finds
/// to do then is to set the next one, which costs less than moving it at every event.
fn wake_by(person: &mut Person, instant: Millis, step: &mut Step<'_>) {
    let Some(profile) = person.profile else { return };
    if instant == FOREVER || person.wake.is_some_and(|wake| wake.due_ms <= instant) {
        return;
    }
    if let Some(later) = person.wake.take() {
        step.cancel(later);
    }
    person.wake = Some(step.schedule(instant, &MembershipDue { profile }));
}
