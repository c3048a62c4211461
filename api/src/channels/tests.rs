//! From a template to a file, and what stops it on the way.

use std::{path::Path, sync::Arc, time::Duration};

use impresario_agents::{
    content::{OfferDefined, TemplateDefined},
    gate::{GatePolicy, GatePolicySet},
    messaging::Messaging,
    profiles::node_of,
    vocabulary::{
        Channel, Deliver, Delivered, EventKind, MessageClass, MessageId, MessageRequested, ProfileId, RawJson,
        SendingStopped, StopScope, Tracked,
    },
};
use impresario_runtime::{
    Agent, EffectCall, EffectError, Host, Topic, new_entry,
    store::{Commit, Durability, EffectId, JournalLimits, OUTSIDE, Seq, SledOptions},
};
use serde_json::{Value, json};

use super::Channels;
use crate::{
    app::{App, DirectoryClock},
    config::Config,
    directory::DataDirectory,
    keys::KeyRing,
};

const WITHIN: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Arc<App> {
    let directory = DataDirectory::open(data, &SledOptions::default(), JournalLimits::default()).expect("opened");
    let clock = DirectoryClock::Wall;
    let config = Config::default();
    let channels = Channels::new(data);
    let troupe = channels.join(impresario_agents::troupe(2));
    let DataDirectory { journal, seed } = directory;
    let host = Host::start(journal, troupe, seed, clock.shared(), 2).expect("started");
    let app = App::new(host, clock, config, KeyRing::default(), &seed, Arc::clone(&channels)).expect("an app");
    let app = Arc::new(app);
    channels.belong_to(&app);
    app
}

async fn say<T: Topic>(app: &App, what: T) -> Seq {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.entries.push(new_entry(app.host.journal(), 0, what).expect("an entry"));
    match app.submit(commit).await {
        Ok(receipt) => receipt.first,
        Err(problem) => panic!("{}", problem.code),
    }
}

fn identify(app: &App, user: &str, traits: &Value) -> Tracked {
    let now_ms = app.host.now_ms();
    Tracked {
        kind: EventKind::Identify,
        message_id: format!("{user} {traits}").into(),
        user_id: Some(user.into()),
        anonymous_id: None,
        previous_id: None,
        group_id: None,
        name: "".into(),
        at_ms: now_ms,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: now_ms,
        properties: RawJson::from_checked(traits.to_string()),
        context: RawJson::default(),
        source: "test".into(),
        kept_node: Default::default(),
    }
}

fn of(user: &str) -> ProfileId {
    node_of(&format!("user_id:{user}")).expect("a node")
}

fn requested(user: &str, channel: Channel) -> MessageRequested {
    MessageRequested {
        id: MessageId::of(user.as_bytes(), channel as u32),
        profile: of(user),
        class: MessageClass::Marketing,
        campaign: None,
        decision: None,
        template: "hello".into(),
        offer: Some("ten".into()),
        channel,
        topic: None,
        at_ms: 0,
        until_ms: None,
        context: json!({ "product": "Shoe" }),
        because: "test".into(),
        channel_because: None,
        instead_of: None,
    }
}

async fn furnish(app: &App) {
    let policy = GatePolicy { quiet_hours: Default::default(), ..GatePolicy::default() };
    say(app, GatePolicySet { policy }).await;
    let template = json!({
        "name": "Hello",
        "email": {
            "subject": "{{ person.first_name }}: {{ offer.percent }}% off",
            "html": "<p>{{ person.first_name }}, {{ context.product }} for {{ offer.code }}</p>",
            "text": "Hello {{ person.firstName | default: 'you' }}",
        },
        "sms": { "text": "{{ person.first_name }} {{ offer.percent }}% off until {{ offer.until }}" },
    });
    let template = serde_json::from_value(template).expect("a template");
    say(app, TemplateDefined { id: "hello".into(), template }).await;
    let offer = json!({ "name": "Ten", "percent": 10, "code": "TEN", "valid_minutes": 360 });
    say(app, OfferDefined { id: "ten".into(), offer: serde_json::from_value(offer).expect("an offer") }).await;
}

async fn arrives(app: &App, user: &str) {
    let email = format!("{user}@example.test");
    let traits = json!({ "first_name": "An\r\nna <b>", "email": email, "consent": ["email", "sms"] });
    say(app, identify(app, user, &traits)).await;
}

/// The files of the outbox, by name.
fn files(data: &Path) -> Vec<(String, String)> {
    let Ok(days) = std::fs::read_dir(data.join("outbox")) else { return Vec::new() };
    let days = days.flatten().flat_map(|day| std::fs::read_dir(day.path()).expect("a day").flatten());
    let mut files: Vec<_> = days
        .map(|file| {
            let name = file.file_name().into_string().expect("a name");
            (name, std::fs::read_to_string(file.path()).unwrap_or_default())
        })
        .collect();
    files.sort();
    files
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_message_is_rendered_and_lies_in_the_outbox() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let app = open(directory.path());
        furnish(&app).await;
        arrives(&app, "anna").await;
        app.host.settled(WITHIN).await.expect("settled");
        say(&app, requested("anna", Channel::Email)).await;
        app.host.settled(WITHIN).await.expect("settled");
        let files = files(directory.path());
        let [(name, text)] = files.as_slice() else { panic!("{files:?}") };
        assert_eq!(*name, format!("{}.{}.html", MessageId::of(b"anna", 0), of("anna")));
        assert!(text.contains("<td>An na &lt;b&gt;: 10% off</td>"), "{text}");
        assert!(text.contains("&lt;p&gt;An") && text.contains("&amp;lt;b&amp;gt;, Shoe for TEN"), "{text}");
        assert!(text.contains("<td>anna@example.test</td>"), "{text}");
        app.host.stop(WITHIN).await.expect("stopped");
    });
}

/// Whether the gate stops a message that it had let through, by the time the channel would act.
async fn is_stopped(app: &App, user: &str, seq: Seq) -> Option<String> {
    let delivered = deliver(app, user, seq).await;
    assert_eq!(delivered.failed, None, "what the gate stops is no failure of the channel");
    delivered.held.map(|held| {
        let what = if held.for_good { "stopped" } else { "held" };
        format!("{what} by the gate: {}: {}", held.by.guard, held.by.why)
    })
}

async fn deliver(app: &App, user: &str, seq: Seq) -> Delivered {
    let message = Deliver {
        id: MessageId::of(user.as_bytes(), 9),
        profile: of(user),
        campaign: None,
        channel: Channel::Email,
        class: MessageClass::Marketing,
        topic: None,
        address: format!("{user}@example.test").into(),
        content: Default::default(),
    };
    let call = EffectCall { id: EffectId { seq, writer: 0, index: 0 }, attempt: 1 };
    let delivered: Result<_, EffectError> = app.channels.deliver(message, &call).await;
    delivered.expect("an answer")
}

#[test]
fn what_was_acknowledged_before_the_channel_acts_stops_it() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let app = open(directory.path());
        furnish(&app).await;
        for user in ["anna", "bob", "cleo"] {
            arrives(&app, user).await;
        }
        // Nothing waits for the agents here: the channel itself must.
        let refuses = identify(&app, "anna", &json!({ "email_opt_out": true }));
        let seq = say(&app, refuses).await;
        let stopped = is_stopped(&app, "anna", seq).await.expect("stopped");
        assert!(stopped.starts_with("stopped by the gate: consent: "), "{stopped}");
        assert_eq!(is_stopped(&app, "bob", seq).await, None);
        assert_eq!(files(directory.path()).len(), 1);
        let stop = SendingStopped { scope: StopScope::Everything, by: "test".into(), why: "a fire".into() };
        let seq = say(&app, stop).await;
        assert_eq!(is_stopped(&app, "cleo", seq).await.as_deref(), Some("held by the gate: stopped: a fire"));
        // What is out is out, and is not sent again.
        assert_eq!(is_stopped(&app, "bob", seq - 1).await, None);
        assert_eq!(files(directory.path()).len(), 1);
        app.host.stop(WITHIN).await.expect("stopped");
    });
}

#[test]
fn nothing_goes_out_after_an_acknowledged_refusal() {
    const PEOPLE: usize = 150;
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let app = open(directory.path());
        furnish(&app).await;
        for number in 0..PEOPLE {
            arrives(&app, &format!("user-{number}")).await;
        }
        app.host.settled(WITHIN).await.expect("settled");
        let mut held = Vec::new();
        for number in 0..PEOPLE {
            let user = format!("user-{number}");
            say(&app, requested(&user, Channel::Email)).await;
            // Sometimes at once, sometimes a few commits later.
            for other in 0..number % 4 {
                say(&app, identify(&app, &format!("other-{number}-{other}"), &json!({}))).await;
            }
            say(&app, identify(&app, &user, &json!({ "email_opt_out": true }))).await;
            let mark = format!(".{}.html", of(&user));
            if !files(directory.path()).iter().any(|(name, _)| name.ends_with(&mark)) {
                held.push(mark);
            }
        }
        app.host.settled(WITHIN).await.expect("settled");
        let out = files(directory.path());
        let late: Vec<_> = held.iter().filter(|mark| out.iter().any(|(name, _)| name.ends_with(*mark))).collect();
        assert!(late.is_empty(), "{late:?}");
        assert!(!held.is_empty(), "no refusal came in time: nothing was tried");
        let lag = app.host.folded(Messaging::NAME, app.host.journal().head(), WITHIN).await;
        lag.expect("all taken in");
        app.host.stop(WITHIN).await.expect("stopped");
    });
}
