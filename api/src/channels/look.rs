//! The gate, asked once more right before a channel acts.

use std::{collections::BTreeSet, time::Duration};

use impresario_agents::{
    campaigns::{CampaignEnded, CampaignStarted},
    gate::{GatePolicySet, NotNow, last_look as ask},
    messaging::{Common, ConsentConfirmed, Messaging},
    profiles::Profiles,
    suppression::{AddressSuppressed, SuppressionLifted},
    vocabulary::{
        Deliver, MarketingHeld, MessageWithdrawn, ProfileId, ProfileMerged, ReceiptCame, Refusal, SendingResumed,
        SendingStopped, Tracked,
    },
};
use impresario_runtime::{
    Agent, AgentError, AgentKey, EffectError, Reading, Topic,
    store::{Entry, Journal, Seq, StoreError},
};

use crate::app::App;

/// How long what was acknowledged may take to be taken in.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(5);
/// Profiles that became one another's in a row; each goes to a lower number.
const HOPS_MAX: usize = 64;

/// What concerns everybody, and so every message.
const OF_ALL: [&str; 7] = [
    SendingStopped::NAME,
    SendingResumed::NAME,
    GatePolicySet::NAME,
    AddressSuppressed::NAME,
    SuppressionLifted::NAME,
    CampaignStarted::NAME,
    CampaignEnded::NAME,
];
/// What is said of one person that the gate must know before anything else goes to them.
const OF_ONE: [&str; 4] = [ReceiptCame::NAME, ConsentConfirmed::NAME, MarketingHeld::NAME, MessageWithdrawn::NAME];

/// All that the person of a message that may go is known by.
pub(super) struct Concerned(BTreeSet<ProfileId>);

impl Concerned {
    /// Whether an entry after `seen` may concern the message, so that the gate must be asked again. What agents
    /// say of it comes after it.
    pub(super) fn since(&self, journal: &Journal, seen: Seq) -> Result<bool, StoreError> {
        let number = |name: &&str| journal.known_name(name);
        let of_all: Vec<_> = OF_ALL.iter().filter_map(number).collect();
        let of_one: Vec<_> = OF_ONE.iter().filter_map(number).collect();
        let tracked = journal.known_name(Tracked::NAME);
        let merged = journal.known_name(ProfileMerged::NAME);
        let concerns = |entry: &Entry| {
            if entry.erased.is_some() || of_all.contains(&entry.topic) {
                return Ok(true);
            }
            if of_one.contains(&entry.topic) {
                return Ok(self.0.iter().any(|id| id.partition() == entry.partition));
            }
            if Some(entry.topic) == tracked {
                return Ok(self.0.contains(&entry.decode::<Tracked>(Tracked::VERSION)?.node()));
            }
            if Some(entry.topic) == merged {
                let ProfileMerged { loser, winner, .. } = entry.decode(ProfileMerged::VERSION)?;
                return Ok(self.0.contains(loser) || self.0.contains(winner));
            }
            Ok::<_, StoreError>(false)
        };
        let (head, mut next) = (journal.head(), seen + 1);
        while next <= head {
            let Some(chunk) = journal.chunk(next)? else { return Ok(true) };
            for entry in chunk.from(next) {
                if concerns(entry)? {
                    return Ok(true);
                }
            }
            next = chunk.last() + 1;
        }
        Ok(false)
    }
}

/// What a person's keeper says.
enum Said {
    /// It may go.
    Yes(Concerned),
    /// It may not.
    No(NotNow),
    /// They have become somebody else.
    At(ProfileId),
}

/// Why a message may not go any more, or whose entries concern it from here on. What is on record at this moment
/// counts.
pub(super) async fn last_look(
    app: &App,
    message: &Deliver,
    let_through_ms: i64,
) -> Result<Result<Concerned, NotNow>, EffectError> {
    // What comes in goes to `profiles` first, and what it says of that to the gate.
    taken_in(app, Profiles::NAME).await?;
    taken_in(app, Messaging::NAME).await?;
    let mut profile = message.profile;
    for _ in 0..HOPS_MAX {
        // A clock that the data carry along has no present beside the journal's.
        let now_ms = if app.clock.is_wall() { app.clock.now_ms() } else { let_through_ms };
        let (seed, message) = (app.seed, message.clone());
        let read = app.host.read::<Messaging, _>(&profile, move |reading: &mut Reading<'_, Messaging>| {
            if let Some(next) = reading.moved_to(&profile)? {
                return Ok(Said::At(next));
            }
            let Some(common) = reading.shared::<Common>() else { return Ok(gone()) };
            let Some(person) = reading.get(&profile)? else { return Ok(gone()) };
            let person = person.circumstances();
            let said = ask(&message, (let_through_ms, now_ms), &person, &common.house, &seed);
            let ids = person.contact.into_iter().flat_map(|contact| &contact.ids).copied();
            let all = ids.chain([profile, message.profile]);
            Ok::<_, AgentError>(said.map_or_else(Said::No, |()| Said::Yes(Concerned(all.collect()))))
        });
        match read.await.map_err(super::again)?.map_err(super::again)? {
            Said::Yes(concerned) => return Ok(Ok(concerned)),
            Said::No(why) => return Ok(Err(why)),
            Said::At(next) => profile = next,
        }
    }
    Ok(Err(never("who the person has become can't be told")))
}

fn gone() -> Said {
    Said::No(never("nothing is known of the person any more"))
}

fn never(why: &str) -> NotNow {
    NotNow::Refused(Refusal { guard: "address".into(), why: why.into() })
}

/// The present; a clock that the data carry along has none beside the journal's.
pub(super) fn now_ms(app: &App) -> i64 {
    if app.clock.is_wall() { app.clock.now_ms() } else { app.host.now_ms() }
}

async fn taken_in(app: &App, agent: &'static str) -> Result<(), EffectError> {
    let head = app.host.journal().head();
    app.host.said(agent, head, TAKEN_IN_WITHIN).await.map_err(super::again)
}
