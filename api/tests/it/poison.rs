//! Poison entries: parked, the person's next event goes on, listed, retried and dropped through the API.

use impresario_agents::vocabulary::{Identifier, IdentifierKind, ProfileId, Tracked};
use impresario_api::directory::DataDirectory;
use impresario_runtime::{
    AgentKey, Topic,
    store::{Commit, Durability, JournalLimits, NewEntry, OUTSIDE, SledOptions},
};
use serde_json::json;

use crate::server::{Server, directory};

/// Puts entries that nobody can read among a person's, as a broken program might have.
fn spoil(data: &std::path::Path, person: ProfileId, count: u64) {
    let options = SledOptions { free_min_percent: 0, ..SledOptions::default() };
    let directory = DataDirectory::open(data, &options, JournalLimits::default()).expect("the directory");
    let journal = directory.journal;
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    for number in 0..count {
        commit.entries.push(NewEntry {
            partition: person.partition(),
            topic: journal.name(Tracked::NAME).expect("a name"),
            cause: 0,
            dedup: 0,
            fingerprint: 0,
            body: format!("\u{1}nobody can read this {number}").into_bytes().into(),
            decoded: None,
        });
    }
    let now_ms = journal.last_at().expect("entries");
    journal.commit_one(now_ms, commit).expect("a commit");
    journal.close().expect("a close");
}

#[test]
fn a_poison_entry_is_parked_listed_retried_and_dropped_and_its_person_goes_on() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let keys = server.keys();
    let say = |server: &Server, id: u32| {
        let body = json!({ "userId": "u1", "event": "E", "messageId": format!("m{id}") });
        assert_eq!(server.post("/v1/track", body.to_string()).status, 200);
    };
    say(&server, 1);
    server.settle();
    server.stop();
    let person = Identifier::new(IdentifierKind::UserId, "u1").expect("an identifier").node();
    spoil(&data, person, 2);
    let server = Server::start_again(&data, &keys);
    say(&server, 2);
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], 2, "the next event goes on");
    let path = "/api/agents/profiles/dead-letters";
    let letters = server.get(path)["dead_letters"].clone();
    let letters = letters.as_array().expect("letters");
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["topic"] == "event.tracked"), "{letters:?}");
    let status = server.get("/api/agents/profiles");
    assert!(status["workers"].as_array().is_some_and(|all| all.iter().all(|one| one["restarts"] == 0)), "{status}");
    let seqs: Vec<u64> = letters.iter().map(|letter| letter["seq"].as_u64().expect("a place")).collect();
    // Retried, it fails again and still waits; dropped, it is gone, also after a kill.
    let retried = server.control("POST", &format!("{path}/{}/retry", seqs[0]), "");
    assert!((200..300).contains(&retried.status), "{}", retried.text());
    server.settle();
    assert_eq!(server.get(path)["dead_letters"].as_array().map(Vec::len), Some(2));
    for seq in &seqs {
        let dropped = server.control("DELETE", &format!("{path}/{seq}"), "");
        assert!((200..300).contains(&dropped.status), "{}", dropped.text());
    }
    server.settle();
    assert_eq!(server.get(path)["dead_letters"], json!([]));
    drop(server);
    let server = Server::start_again(&data, &keys);
    say(&server, 3);
    server.settle();
    assert_eq!(server.get(path)["dead_letters"], json!([]));
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], 3);
}
