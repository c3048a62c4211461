//! Many identifiers, one customer.

use impresario_agents::{
    identity::{Identity, IdentityConflict},
    profiles::{EventForwarded, Profile, Profiles},
    vocabulary::{EventKind, IdentifierKind, ProfileChanged, ProfileId, ProfileMerged, Tracked},
};
use impresario_runtime::{Driver, Reading};
use serde_json::json;

use crate::support::{START, With, event, node, profile, profiles, said, send, track, user};

const WORKERS: [usize; 2] = [1, 3];

fn page(message_id: &str, minute: i64) -> Tracked {
    event(EventKind::Page, message_id, START + minute * 60_000)
}

fn identify(message_id: &str, minute: i64) -> Tracked {
    event(EventKind::Identify, message_id, START + minute * 60_000)
}

fn alias(message_id: &str, minute: i64) -> Tracked {
    event(EventKind::Alias, message_id, START + minute * 60_000)
}

fn anonymous(driver: &mut Driver, id: &str) -> Option<ProfileId> {
    profile(driver, node(IdentifierKind::AnonymousId, id)).and_then(|profile| profile.id)
}

/// What a customer was seen with that is somebody else's.
fn disputed(driver: &mut Driver, profile: &Profile) -> Vec<String> {
    let known: Vec<_> = profile.identifiers.iter().cloned().collect();
    let is_theirs = |driver: &mut Driver, node: ProfileId| {
        let read = |reading: &mut Reading<'_, Identity>| reading.get(&node).unwrap().map(|found| found.person(node));
        driver.read::<Identity, _>(&node, read).unwrap() == profile.id
    };
    known
        .iter()
        .filter(|known| !is_theirs(driver, known.node().unwrap()))
        .map(|known| known.value.to_string())
        .collect()
}

fn assert_one_change_an_event(driver: &Driver) {
    let mut changed: Vec<_> = said::<ProfileChanged>(driver).iter().map(|changed| changed.event).collect();
    changed.retain(|event| *event != 0);
    changed.sort_unstable();
    assert_eq!(changed.len(), said::<Tracked>(driver).len());
    changed.dedup();
    assert_eq!(changed.len(), said::<Tracked>(driver).len());
}

#[test]
fn an_anonymous_visitor_becomes_the_user_they_turn_out_to_be() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        send(&mut driver, [page("m1", 0).anonymous("phone"), page("m2", 1).anonymous("phone")]);
        assert_eq!(anonymous(&mut driver, "phone"), Some(node(IdentifierKind::AnonymousId, "phone")));
        send(&mut driver, [identify("m3", 2).user("anna").anonymous("phone")]);
        send(&mut driver, [page("m4", 3).anonymous("phone")]);
        let anna = user(&mut driver, "anna");
        assert_eq!((anna.events, anna.pages), (4, 3));
        assert_eq!(anna.id, anonymous(&mut driver, "phone"));
        assert_one_change_an_event(&driver);
        let merged = said::<ProfileMerged>(&driver);
        assert_eq!(
            merged,
            [ProfileMerged {
                loser: node(IdentifierKind::AnonymousId, "phone"),
                winner: node(IdentifierKind::UserId, "anna"),
                decided: merged[0].decided,
            }]
        );
        let at_the_merge = said::<ProfileChanged>(&driver).into_iter().find(|changed| changed.event == 0).unwrap();
        let features: Vec<_> = at_the_merge.features.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let expect = [("first_seen_at", START), ("events", 3), ("pages", 2)];
        assert_eq!(features, expect.map(|(name, value)| (name.to_owned(), value)));
    }
}

#[test]
fn two_devices_of_one_user_are_one_customer() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        send(
            &mut driver,
            [
                page("m1", 0).anonymous("phone"),
                page("m2", 1).anonymous("laptop"),
                track("Signed In", "anna", "m3", START + 120_000, &json!({})).anonymous("phone"),
                track("Signed In", "anna", "m4", START + 180_000, &json!({})).anonymous("laptop"),
                page("m5", 4).anonymous("laptop"),
            ],
        );
        let anna = user(&mut driver, "anna");
        assert_eq!(anna.events, 5);
        let known: Vec<_> = anna.identifiers.iter().map(|known| (known.kind.name(), known.value.as_ref())).collect();
        let expect = [("user_id", "anna"), ("anonymous_id", "laptop"), ("anonymous_id", "phone")];
        assert_eq!(known, expect.map(|(kind, value)| (kind.to_owned(), value)));
        assert_one_change_an_event(&driver);
    }
}

#[test]
fn a_common_email_joins_two_devices() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        send(
            &mut driver,
            [
                identify("m1", 0).anonymous("phone").properties(&json!({ "email": " Anna@Example.test " })),
                identify("m2", 1).anonymous("laptop").context(&json!({ "traits": { "email": "anna@example.test" } })),
            ],
        );
        let email = node(IdentifierKind::Email, "anna@example.test");
        let lowest =
            email.min(node(IdentifierKind::AnonymousId, "phone")).min(node(IdentifierKind::AnonymousId, "laptop"));
        let joined = profile(&mut driver, email).unwrap();
        assert_eq!((joined.id, joined.events), (Some(lowest), 2));
        assert_eq!(anonymous(&mut driver, "phone"), Some(lowest));
        assert_eq!(anonymous(&mut driver, "laptop"), Some(lowest));
    }
}

#[test]
fn an_alias_joins_two_users_and_the_ranking_one_stays() {
    for workers in WORKERS {
        for (from, to) in [("old", "new"), ("new", "old")] {
            let mut driver = profiles(workers);
            send(
                &mut driver,
                [
                    track("A", "old", "m1", START, &json!({})),
                    track("B", "new", "m2", START, &json!({})),
                    alias("m3", 1).user(to).previous(from),
                    track("A", "old", "m4", START, &json!({})),
                ],
            );
            let joined = user(&mut driver, "old");
            let lowest = node(IdentifierKind::UserId, "old").min(node(IdentifierKind::UserId, "new"));
            assert_eq!((joined.id, joined.events), (Some(lowest), 4));
            assert_eq!(user(&mut driver, "new"), joined);
            assert_eq!(said::<IdentityConflict>(&driver), []);
        }
    }
}

#[test]
fn an_alias_of_an_anonymous_id_joins_it() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        send(&mut driver, [page("m1", 0).anonymous("phone"), alias("m2", 1).user("anna").previous("phone")]);
        let anna = user(&mut driver, "anna");
        assert_eq!(anna.events, 2);
        assert_eq!(anonymous(&mut driver, "phone"), anna.id);
    }
}

#[test]
fn what_two_users_share_stays_with_the_first() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        let sign_in =
            |user: &str, message: &str, at| track("Signed In", user, message, at, &json!({})).anonymous("kiosk");
        send(&mut driver, [sign_in("anna", "m1", START)]);
        send(&mut driver, [sign_in("bob", "m2", START + 1), sign_in("bob", "m3", START + 2)]);
        send(&mut driver, [page("m4", 9).anonymous("kiosk")]);
        assert_eq!(user(&mut driver, "anna").events, 2);
        let bob = user(&mut driver, "bob");
        assert_eq!(bob.events, 2);
        assert_eq!(disputed(&mut driver, &bob), ["kiosk"]);
        let conflicts = said::<IdentityConflict>(&driver);
        assert_eq!(conflicts.len(), 1, "told once, not with each event");
        assert_eq!(conflicts[0].holder, node(IdentifierKind::UserId, "anna"));
        assert_eq!(conflicts[0].claimant, node(IdentifierKind::UserId, "bob"));
        assert_one_change_an_event(&driver);
    }
}

#[test]
fn a_user_id_told_by_the_way_never_joins_two_users() {
    for workers in WORKERS {
        for bob_first in [true, false] {
            let mut driver = profiles(workers);
            let external = json!({ "externalIds": [{ "id": "bob", "type": "user_id", "collection": "users", "encoding": "none" }] });
            let bob = || track("A", "bob", "m1", START, &json!({}));
            let anna = || track("B", "anna", "m2", START, &json!({})).context(&external);
            if bob_first {
                send(&mut driver, [bob()]);
                send(&mut driver, [anna()]);
            } else {
                send(&mut driver, [anna()]);
                send(&mut driver, [bob()]);
            }
            assert_ne!(user(&mut driver, "anna").id, user(&mut driver, "bob").id);
            assert_eq!(said::<IdentityConflict>(&driver).len(), 1);
        }
    }
}

#[test]
fn long_chains_of_anonymous_ids_end_in_one_profile() {
    for workers in WORKERS {
        let mut driver = profiles(workers);
        let links = 40;
        let link = |index: i64| {
            let anonymous = format!("device-{}", index * 17 % links);
            let email = |index: i64| format!("a{}@example.test", index * 17 % links);
            let context = json!({ "externalIds": [{ "id": email(index + 1), "type": "email" }] });
            let traits = json!({ "email": email(index) });
            identify(&format!("m{index}"), index).anonymous(&anonymous).properties(&traits).context(&context)
        };
        send(&mut driver, (0..links).map(link));
        let first = anonymous(&mut driver, "device-0").unwrap();
        for index in 0..links {
            assert_eq!(anonymous(&mut driver, &format!("device-{index}")), Some(first));
        }
        assert_eq!(profile(&mut driver, first).unwrap().events, 40);
        assert_one_change_an_event(&driver);
    }
}

#[test]
fn events_of_a_joined_device_are_forwarded_to_the_worker_that_keeps_the_customer() {
    let mut driver = profiles(3);
    let device = |index: i64| format!("device-{index}");
    let join =
        |index: i64| track("Signed In", "anna", &format!("j{index}"), START, &json!({})).anonymous(&device(index));
    send(&mut driver, (0..9).map(join));
    send(&mut driver, (0..9).map(|index| page(&format!("p{index}"), index).anonymous(&device(index))));
    let forwarded = said::<EventForwarded>(&driver);
    assert!((1..9).contains(&forwarded.len()), "some devices are on another worker: {}", forwarded.len());
    assert_eq!(user(&mut driver, "anna").pages, 9);
    assert_eq!(driver.workers::<Profiles>(), 3);
    assert_one_change_an_event(&driver);
}

#[test]
fn device_tokens_and_external_ids_lead_to_the_customer() {
    let mut driver = profiles(3);
    let context = json!({
        "device": { "token": "tok-1" },
        "externalIds": [
            { "id": 77, "type": "salesforce", "collection": "users", "encoding": "none" },
            { "id": "acme", "type": "salesforce", "collection": "accounts", "encoding": "none" },
            { "id": "x", "type": "hashed", "collection": "users", "encoding": "sha256" },
            "what",
        ],
    });
    send(&mut driver, [track("Opened", "anna", "m1", START, &json!({})).context(&context)]);
    let anna = user(&mut driver, "anna");
    for (kind, text) in [(IdentifierKind::DeviceToken, "tok-1"), (IdentifierKind::External("salesforce".into()), "77")]
    {
        assert_eq!(profile(&mut driver, node(kind, text)).as_ref(), Some(&anna));
    }
    assert_eq!(anna.identifiers.iter().count(), 3);
    assert_eq!(anna.oddities.iter().map(|(_, times)| times).sum::<u32>(), 2);
}

#[test]
fn an_email_among_the_properties_of_an_event_names_nobody() {
    let mut driver = profiles(1);
    send(&mut driver, [track("Invited", "anna", "m1", START, &json!({ "email": "bob@example.test" }))]);
    assert_eq!(user(&mut driver, "anna").identifiers.iter().count(), 1);
    assert_eq!(profile(&mut driver, node(IdentifierKind::Email, "bob@example.test")), None);
}

#[test]
fn placeholders_join_nobody() {
    let mut driver = profiles(1);
    for (user, message) in [("anna", "m1"), ("bob", "m2")] {
        let traits = json!({ "email": "null", "phone": "000000" });
        send(&mut driver, [identify(message, 0).user(user).anonymous("undefined").properties(&traits)]);
    }
    assert_ne!(user(&mut driver, "anna").id, user(&mut driver, "bob").id);
    assert_eq!(user(&mut driver, "anna").identifiers.iter().count(), 1);
    assert_eq!(said::<IdentityConflict>(&driver), []);
}
