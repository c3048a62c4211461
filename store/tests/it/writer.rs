//! Group commit: many callers, one sync, every answer true and in order.

use std::{
    sync::{
        Arc, Barrier, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use impresario_store::{
    Commit, Durability, Journal, JournalLimits, MemoryEngine, OUTSIDE, StoreError, TimerKey, TimerOp, Writer,
};
use parking_lot::Mutex;

use crate::support::{NOON, Owner, bodies, commit, in_memory, on_sled, open, send};

fn start(journal: &Arc<Journal>) -> (Owner, Arc<Writer>) {
    let owner = Owner::default();
    let writer = Arc::new(Writer::start(Arc::clone(journal), owner.clone()).expect("a writer"));
    (owner, writer)
}

#[test]
fn many_threads_share_syncs_and_each_answer_is_durable() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(engine.clone());
    let topic = journal.name("t").expect("a name");
    let (_, writer) = start(&journal);
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let (writer, engine) = (Arc::clone(&writer), Arc::clone(&engine));
            thread::spawn(move || {
                for number in 0..30 {
                    let body = format!("{thread}-{number}");
                    let receipt = send(&writer, commit(topic, [&body])).recv().expect("an answer").expect("a receipt");
                    // What a power cut would leave at this moment.
                    if number % 10 == 0 {
                        let left = bodies(&open(Arc::new(engine.fork())));
                        assert_eq!(left.get(receipt.first as usize - 1).map(AsRef::as_ref), Some(body.as_bytes()));
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("durable answers"));
    let (groups, _) = writer.counters();
    assert!((1..=480).contains(&groups));
    assert_eq!(journal.head(), 480);
    assert_eq!(journal.verify(|_| {}).expect("a report").damage, Vec::new());
}

/// While one group is held up, what comes meanwhile goes into the next one together.
#[test]
fn what_waits_goes_in_as_one_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let (held, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let first = AtomicBool::new(true);
    let (bell_held, bell_go_on) = (Arc::clone(&held), Arc::clone(&go_on));
    *owner.0.on_bell.lock() = Some(Box::new(move || {
        if first.swap(false, Ordering::AcqRel) {
            bell_held.wait();
            bell_go_on.wait();
        }
    }));
    let answer = send(&writer, commit(topic, ["first"]));
    held.wait();
    let (order, ordered) = mpsc::channel();
    for number in 0..200 {
        let order = order.clone();
        let reply = Box::new(move |outcome: Result<_, StoreError>| {
            let _ = order.send((number, outcome.expect("a receipt")));
        });
        writer.send(commit(topic, [number.to_string()]), Some(reply)).expect("a place");
    }
    let before = writer.counters().0;
    go_on.wait();
    answer.recv().expect("an answer").expect("a receipt");
    for number in 0..200 {
        let (replied, receipt) = ordered.recv().expect("an answer");
        assert_eq!((replied, receipt.first), (number, number + 2), "answers come in the order of the queue");
    }
    writer.close();
    assert_eq!(writer.counters().0, before + 2, "one group before, one for all that waited");
}

#[test]
fn a_refused_commit_does_not_hurt_its_neighbours() {
    let (_, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let mut wrong = commit(topic, ["wrong"]);
    wrong.entries[0].partition = 999;
    let answers = [commit(topic, ["one"]), wrong, commit(topic, ["two"])].map(|commit| send(&writer, commit));
    let answers = answers.map(|answer| answer.recv().expect("an answer").map(|receipt| receipt.first));
    assert!(matches!(answers, [Ok(1), Err(StoreError::Invalid(_)), Ok(2)]), "{answers:?}");
    assert_eq!(*owner.0.failed.lock(), None);
}

#[test]
fn a_full_queue_says_busy() {
    let engine = Arc::new(MemoryEngine::new());
    let limits = JournalLimits { queue_commits_max: 2, ..JournalLimits::default() };
    let journal = Journal::open(engine, limits).expect("a journal");
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let (held, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (bell_held, bell_go_on) = (Arc::clone(&held), Arc::clone(&go_on));
    let first = AtomicBool::new(true);
    *owner.0.on_bell.lock() = Some(Box::new(move || {
        if first.swap(false, Ordering::AcqRel) {
            bell_held.wait();
            bell_go_on.wait();
        }
    }));
    let mut answers = vec![send(&writer, commit(topic, ["0"]))];
    held.wait();
    answers.extend([send(&writer, commit(topic, ["1"])), send(&writer, commit(topic, ["2"]))]);
    let refused = writer.try_send(commit(topic, ["3"]), Box::new(|_| {}));
    assert!(matches!(refused, Err(StoreError::Busy)));
    // One that waits for a place gets it.
    let waiting = Arc::clone(&writer);
    let patient = thread::spawn(move || send(&waiting, commit(topic, ["4"])).recv().expect("an answer").is_ok());
    go_on.wait();
    assert!(patient.join().expect("no deadlock"));
    assert!(answers.into_iter().all(|answer| answer.recv().expect("an answer").is_ok()));
    assert_eq!(bodies(&journal), ["0", "1", "2", "4"]);
}

#[test]
fn what_waits_too_long_behind_full_groups_is_refused() {
    let limits = JournalLimits { group_entries_max: 3, queue_wait_max: Duration::ZERO, ..JournalLimits::default() };
    let journal = Journal::open(Arc::new(MemoryEngine::new()), limits).expect("a journal");
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let (held, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (bell_held, bell_go_on) = (Arc::clone(&held), Arc::clone(&go_on));
    let first = AtomicBool::new(true);
    *owner.0.on_bell.lock() = Some(Box::new(move || {
        if first.swap(false, Ordering::AcqRel) {
            bell_held.wait();
            bell_go_on.wait();
        }
    }));
    let mut answers = vec![send(&writer, commit(topic, ["0"]))];
    held.wait();
    let mut patient = None;
    for number in 1..=6 {
        let (reply, answer) = mpsc::channel();
        let reply = Box::new(move |outcome| drop(reply.send(outcome)));
        writer.try_send(commit(topic, [number.to_string()]), reply).expect("a place");
        answers.push(answer);
        if number == 4 {
            // An agent's own, which nobody could send again.
            patient = Some(send(&writer, commit(topic, ["agent"])));
        }
    }
    go_on.wait();
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.recv().expect("an answer")).collect();
    let busy = outcomes.iter().map(|outcome| matches!(outcome, Err(StoreError::Busy)));
    // A single group's worth is taken however long it waited: the writer was held up, and has caught up.
    assert_eq!(busy.collect::<Vec<_>>(), [false, false, false, false, true, true, true]);
    assert!(patient.expect("sent").recv().expect("an answer").is_ok());
    assert_eq!(bodies(&journal), ["0", "1", "2", "3", "agent"]);
    assert!(send(&writer, commit(topic, ["after"])).recv().expect("an answer").is_ok());
}

/// Both would wait for the writer's own thread, which is the one that asks.
#[test]
fn a_reply_may_send_and_may_drop_the_last_handle() {
    let (_, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let (_, writer) = start(&journal);
    let (done, wait) = mpsc::channel();
    let own = Arc::new(Mutex::new(Some(Arc::clone(&writer))));
    let gone: Weak<Writer> = Arc::downgrade(&writer);
    let taken = Arc::clone(&own);
    let reply = Box::new(move |_| {
        let writer = taken.lock().take().expect("the handle");
        for number in 0..5_000 {
            let _ = writer.send(commit(topic, [number.to_string()]), None);
        }
        drop(writer);
        let _ = done.send(());
    });
    let handle = own.lock();
    writer.send(commit(topic, ["first"]), Some(reply)).expect("a place");
    drop(writer);
    drop(handle);
    wait.recv().expect("no deadlock");
    assert!(gone.upgrade().is_none(), "the last handle went on the writer's thread");
}

#[test]
fn a_panic_of_the_writer_stops_the_journal_and_hangs_nobody() {
    let (_, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let (reply, answer) = mpsc::channel();
    let kept: mpsc::Sender<()> = reply.clone();
    writer
        .send(
            commit(topic, ["panics"]),
            Some(Box::new(move |_| {
                let _kept = kept;
                panic!("a reply that panics");
            })),
        )
        .expect("a place");
    drop(reply);
    assert!(answer.recv().is_err(), "the reply is dropped");
    writer.close();
    assert!(owner.0.failed.lock().as_ref().is_some_and(|error| error.contains("panicked")));
    assert!(matches!(journal.commit_one(NOON, commit(topic, ["x"])), Err(StoreError::Stopped { .. })));
    assert!(matches!(writer.send(commit(topic, ["x"]), None), Err(StoreError::Closed)));
}

#[test]
fn closing_writes_and_syncs_what_waits() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(engine.clone());
    let topic = journal.name("t").expect("a name");
    let (_, writer) = start(&journal);
    for number in 0..1_000 {
        let mut written = commit(topic, [number.to_string()]);
        written.durability = Durability::Written;
        writer.send(written, None).expect("a place");
    }
    writer.close();
    assert_eq!(open(Arc::new(engine.fork())).head(), 1_000);
    assert!(matches!(writer.send(Commit::new(OUTSIDE), None), Err(StoreError::Closed)));
}

#[test]
fn what_nobody_waits_for_is_synced_when_all_is_quiet() {
    let engine = Arc::new(MemoryEngine::new());
    let journal = open(engine.clone());
    let topic = journal.name("t").expect("a name");
    let (_, writer) = start(&journal);
    let mut written = commit(topic, ["x"]);
    written.durability = Durability::Written;
    send(&writer, written).recv().expect("an answer").expect("a receipt");
    while open(Arc::new(engine.fork())).head() == 0 {
        thread::yield_now();
    }
}

#[test]
fn timers_fire_by_the_owners_clock() {
    let (_, journal) = in_memory();
    let topic = journal.name("t").expect("a name");
    let (owner, writer) = start(&journal);
    let bells = Arc::new(AtomicU64::new(0));
    let (rung, rings) = mpsc::channel();
    let count = Arc::clone(&bells);
    *owner.0.on_bell.lock() = Some(Box::new(move || {
        count.fetch_add(1, Ordering::AcqRel);
        let _ = rung.send(());
    }));
    let mut setting = commit(topic, ["set"]);
    let key = TimerKey { due_ms: NOON + 3_600_000, seq: 0, writer: 0, index: 0 };
    setting.timers.push(TimerOp::Set { key, partition: 0, topic, body: b"an hour later".as_slice().into() });
    send(&writer, setting).recv().expect("an answer").expect("a receipt");
    rings.recv().expect("a bell");
    owner.0.now_ms.store(NOON + 3_600_000, Ordering::Release);
    rings.recv().expect("a bell, though nothing was sent");
    assert_eq!(bodies(&journal), ["set", "an hour later"]);
    assert_eq!(bells.load(Ordering::Acquire), 2);
}
