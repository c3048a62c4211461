//! How a word finds its person: a profile may have become another one's.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step, Topic, store::Seq};

use super::{
    Correspondent, Messaging, receipts, send, spend,
    topics::{ConsentConfirmed, Forwarded, MessageDue, MessagingForwarded, ResumePage},
};
use crate::{
    campaigns::SpendAnswered,
    parting,
    vocabulary::{
        DecisionMade, Delivered, MarketingFreed, MarketingHeld, MessageRequested, MessageWithdrawn, PersonDescribed,
        PersonTold, ProfileId, ProfileMerged, ProfileParted, ReceiptCame,
    },
};

/// People looked at in one page after sending was resumed.
const PAGE_PEOPLE: usize = 512;

/// What a word does to the person it is about.
trait Word: Topic + Clone {
    const WHAT: Forwarded;

    fn take(&self, profile: ProfileId, person: &mut Correspondent, step: &mut Step<'_>) -> Result<(), AgentError>;
}

macro_rules! word {
    ($topic:ident, $what:ident, |$word:ident, $profile:ident, $person:ident, $step:ident| $do:expr) => {
        impl Word for $topic {
            const WHAT: Forwarded = Forwarded::$what;

            fn take(
                &self,
                $profile: ProfileId,
                $person: &mut Correspondent,
                $step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                let ($word, _) = (self, $profile);
                let _ = $word;
                $do
            }
        }

        impl OnMany<$topic> for Messaging {
            fn on_many(
                &self,
                keys: &mut Keys<'_, Self>,
                event: &Event<'_, $topic>,
                step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                take_at(keys, event.profile, event.body, event.seq, step)
            }
        }
    };
}

word!(PersonDescribed, Described, |word, profile, person, step| send::described(profile, person, word, step));
word!(DecisionMade, Decision, |word, profile, person, step| send::decided(profile, person, word, step));
word!(MessageRequested, Request, |word, profile, person, step| {
    send::requested(profile, person, word.clone(), None, step)
});
word!(MessageWithdrawn, Withdrawn, |word, profile, person, step| {
    if let Some(mut pending) = send::take_out(person, word.id, step) {
        send::withdraw(person, &mut pending, word.because.clone(), step);
    } else if let Some(leaving) = person.leaving.iter_mut().find(|leaving| leaving.request.id == word.id) {
        // It may be out by now; where its channel gives it back, it is not tried again.
        leaving.withdrawn = Some(word.because.clone());
    }
    Ok(())
});
word!(MessageDue, Due, |word, profile, person, step| send::attempt(profile, person, word.id, None, step));
word!(PersonTold, Told, |word, profile, person, step| send::attempt(profile, person, word.message, Some(word), step));
word!(Delivered, Delivered, |word, profile, person, step| receipts::delivered(profile, person, word, step));
word!(SpendAnswered, Spend, |word, profile, person, step| spend::answered(profile, person, word, step));
word!(ReceiptCame, Receipt, |word, profile, person, step| receipts::receipt(person, word, step));
word!(ConsentConfirmed, Confirmed, |word, profile, person, step| {
    let confirmed = person.ledger.confirm(&word.of, step.now_ms());
    if confirmed { Ok(()) } else { Err(AgentError::Reject("there is no grant to confirm".into())) }
});
word!(MarketingHeld, Held, |word, profile, person, step| {
    let _ = &step;
    person.held_back = Some(word.why.clone());
    Ok(())
});
word!(MarketingFreed, Freed, |word, profile, person, step| {
    let _ = &step;
    person.held_back = None;
    Ok(())
});

fn take_at<T: Word>(
    keys: &mut Keys<'_, Messaging>,
    from: ProfileId,
    word: &T,
    entry: Seq,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let mut profile = from;
    while let Some(next) = keys.moved_to(&profile)? {
        if !keys.owns(&next) {
            step.publish(MessagingForwarded { profile: next, what: T::WHAT, entry });
            return Ok(());
        }
        profile = next;
    }
    keys.change(&profile, |person| word.take(profile, person, step))?;
    Ok(())
}

impl OnMany<MessagingForwarded> for Messaging {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, MessagingForwarded>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let MessagingForwarded { profile, what, entry } = *event.body;
        macro_rules! forward {
            ($($what:ident: $topic:ident),*) => {
                match what {
                    $(Forwarded::$what => {
                        // What was erased on the way is nobody's any more.
                        let Some(held) = step.entry_if_kept::<$topic>(entry)? else { return Ok(()) };
                        take_at(keys, profile, held.body()?, entry, step)
                    })*
                }
            };
        }
        forward!(
            Described: PersonDescribed, Decision: DecisionMade, Request: MessageRequested,
            Withdrawn: MessageWithdrawn, Due: MessageDue, Told: PersonTold, Delivered: Delivered,
            Spend: SpendAnswered,
            Receipt: ReceiptCame, Confirmed: ConsentConfirmed, Held: MarketingHeld, Freed: MarketingFreed
        )
    }
}

impl OnMany<ResumePage> for Messaging {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ResumePage>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let page = keys.after(event.after.as_ref(), PAGE_PEOPLE)?;
        for profile in &page {
            let held: Vec<_> = match keys.get(profile)? {
                Some(person) => person.pending.iter().filter(|pending| pending.stopped).collect(),
                None => continue,
            };
            let held: Vec<_> = held.into_iter().map(|pending| pending.request.id).collect();
            if held.is_empty() {
                continue;
            }
            keys.change(profile, |person| {
                held.into_iter().try_for_each(|id| send::attempt(*profile, person, id, None, step))
            })?;
        }
        if page.len() == PAGE_PEOPLE {
            let next = ResumePage { worker: event.worker, after: page.last().copied() };
            step.publish_to(step.worker_partition(), next);
        }
        Ok(())
    }
}

impl OnMany<ProfileMerged> for Messaging {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::merged(keys, event, step)
    }
}

impl OnMany<ProfileParted> for Messaging {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::parted(keys, event)
    }
}
