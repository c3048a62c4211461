//! What is asked of what is not there is refused by name, and what is in use is not taken away.

use serde_json::{Value, json};

use crate::server::{Server, directory};

fn furnish(server: &Server) {
    let text =
        |text: &str| json!({ "name": text, "sms": { "text": text }, "email": { "subject": text, "text": text } });
    let mut draft = text("Draft");
    draft["test"] = json!(true);
    for (path, body) in [
        ("/api/templates/hello", text("Hello")),
        ("/api/templates/reminder", text("Reminder")),
        ("/api/templates/draft", draft),
        ("/api/offers/ten", json!({ "name": "Ten", "percent": 10, "code": "TEN" })),
        ("/api/offers/spare", json!({ "name": "Spare", "percent": 5, "code": "FIVE" })),
    ] {
        let put = server.control("PUT", path, &body.to_string());
        assert!(matches!(put.status, 200 | 201), "{path}: {}", put.text());
    }
}

fn goal(id: &str) -> Value {
    json!({
        "id": id, "name": "Win back", "metric": "orders", "within": "30d", "target": { "absolute": 0.5 },
        "channels": ["email", "sms"], "templates": ["hello"], "offers": ["ten", "none"], "hours": [9, 18],
    })
}

fn post(server: &Server, path: &str, body: &Value) -> u16 {
    let answer = server.control("POST", path, &body.to_string());
    answer.status
}

/// The answer is `status`, and names all of `named`.
#[track_caller]
fn check(server: &Server, (method, path): (&str, &str), body: &Value, status: u16, named: &[&str]) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.control(method, path, &body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
    let detail = if named.is_empty() { Value::Null } else { answer.json()["detail"].clone() };
    let detail = detail.as_str().unwrap_or_default();
    assert!(named.iter().all(|named| detail.contains(named)), "{method} {path} {body}: {detail}");
}

#[test]
fn what_a_goal_names_is_there() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let goals = |change: Value, named: &[&str]| {
        let mut body = goal("more");
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        check(&server, ("POST", "/api/goals"), &body, 400, named);
    };
    goals(json!({ "situation": "no_such_situation" }), &["`situation`", "purchase_intent"]);
    goals(json!({ "situation": "bounce_surge" }), &["`situation`"]);
    goals(json!({ "strategy": { "fixed": 99 } }), &["`strategy.fixed`", "8 arms"]);
    goals(json!({ "strategy": { "fixed": 9 } }), &["`strategy.fixed`", "8 arms"]);
    goals(json!({ "templates": ["draft"] }), &["`templates[0]`", "test"]);
    // Left out of those that are counted: what can't go by a channel.
    assert_eq!(
        post(&server, "/api/goals", &{
            let mut body = goal("fixed");
            body["strategy"] = json!({ "fixed": 8 });
            body
        }),
        201
    );
}

#[test]
fn a_template_that_can_never_be_sent_is_refused() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    for text in ["{% for i in (1..1000000) %}x{% endfor %}", "{% for i in (1..4000) %}much too long{% endfor %}"] {
        let template = json!({ "name": "Long", "sms": { "text": text } });
        check(&server, ("PUT", "/api/templates/long"), &template, 400, &["`sms.text`", "never"]);
    }
    // What is long for some people only is theirs to be refused.
    let some = "{% for i in (1..context.count) %}much too long{% endfor %}Hello";
    check(&server, ("PUT", "/api/templates/long"), &json!({ "name": "Long", "sms": { "text": some } }), 200, &[]);
}

#[test]
fn what_a_journey_names_is_there() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let journey = |steps: Value| json!({ "name": "Welcome", "steps": steps });
    let steps = |steps: Value, named: &[&str]| {
        check(&server, ("PUT", "/api/journeys/welcome"), &journey(steps), 400, named);
    };
    steps(json!([{ "id": "a", "send": { "template": "nope" } }]), &["`steps[0].send.template`", "`nope`"]);
    steps(json!([{ "id": "a", "send": { "template": "draft" } }]), &["`steps[0].send.template`", "test"]);
    steps(json!([{ "id": "a", "send": { "template": "hello", "channels": ["push"] } }]), &["`steps[0].send.channels`"]);
    steps(
        json!([{ "id": "a", "send": { "template": "hello", "offer": "nope" } }]),
        &["`steps[0].send.offer`", "`nope`"],
    );
    steps(
        json!([{ "id": "a", "wait": { "for": "1h", "on": [{ "segment": "nope" }] } }]),
        &["`steps[0].wait.on[0].segment`", "`nope`"],
    );
    let entry = |entry: Value, named: &[&str]| {
        let mut body = journey(json!([{ "id": "a", "send": { "template": "hello" } }]));
        body["entry"] = entry;
        check(&server, ("PUT", "/api/journeys/welcome"), &body, 400, named);
    };
    entry(json!({ "segment": "nope" }), &["`entry.segment`", "`nope`"]);
    entry(json!({ "situation": "nope" }), &["`entry.situation`", "cart_left"]);
    assert_eq!(server.control("GET", "/api/journeys/welcome", "").status, 404);
}

#[test]
fn stopping_what_is_not_there_stops_nothing_and_says_so() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let nope = json!({ "campaign": "nope", "why": "smoke" });
    check(&server, ("POST", "/api/sending/stop"), &nope, 404, &["`nope`"]);
    check(&server, ("POST", "/api/sending/resume"), &json!({ "campaign": "nope" }), 404, &["`nope`"]);
    assert_eq!(server.get("/api/sending")["stopped"], json!({}));
    check(&server, ("GET", "/api/campaigns/nope/decisions"), &Value::Null, 404, &["`nope`"]);
    // What was stopped is resumed, also where its goal has gone meanwhile.
    furnish(&server);
    assert_eq!(post(&server, "/api/goals", &goal("more")), 201);
    assert_eq!(post(&server, "/api/sending/stop", &json!({ "campaign": "more", "why": "smoke" })), 200);
    assert_eq!(server.control("DELETE", "/api/goals/more", "").status, 204);
    assert_eq!(post(&server, "/api/sending/resume", &json!({ "campaign": "more" })), 200);
    assert_eq!(server.get("/api/sending")["stopped"], json!({}));
}

#[test]
fn what_is_in_use_is_not_taken_away() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let send = json!({ "id": "a", "send": { "template": "reminder", "offer": "spare" } });
    let journey = json!({ "name": "Remind", "steps": [send] });
    check(&server, ("PUT", "/api/journeys/remind"), &journey, 200, &[]);
    assert_eq!(post(&server, "/api/goals", &goal("more")), 201);
    server.wait_for("/api/goals/more", |goal| goal["campaign"]["status"] == "proposed");
    let mut by_journey = goal("by-journey");
    by_journey["journey"] = json!("remind");
    assert_eq!(post(&server, "/api/goals", &by_journey), 201);
    let segment = json!({ "id": "vip", "name": "VIP", "condition": { "sample": { "percent": 10, "salt": "vip" } } });
    assert_eq!(post(&server, "/api/segments", &segment), 201);
    let welcome = json!({ "name": "Welcome", "entry": { "segment": "vip" }, "steps": [{ "id": "a", "end": {} }] });
    check(&server, ("PUT", "/api/journeys/welcome"), &welcome, 200, &[]);
    for (path, user) in [
        ("/api/segments/vip", "journey `welcome`"),
        ("/api/templates/hello", "goal `more`"),
        ("/api/offers/ten", "goal `more`"),
        ("/api/templates/reminder", "journey `remind`"),
        ("/api/offers/spare", "journey `remind`"),
        ("/api/journeys/remind", "goal `by-journey`"),
    ] {
        check(&server, ("DELETE", path), &Value::Null, 409, &[user]);
    }
    // Once nobody uses it, it goes.
    for path in [
        "/api/goals/more",
        "/api/goals/by-journey",
        "/api/journeys/remind",
        "/api/journeys/welcome",
        "/api/segments/vip",
        "/api/templates/hello",
        "/api/templates/reminder",
        "/api/offers/ten",
        "/api/offers/spare",
    ] {
        assert_eq!(server.control("DELETE", path, "").status, 204, "{path}");
    }
}

#[test]
fn a_field_that_is_wrong_is_named_with_what_may_stand_there() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let goals = |change: Value, named: &[&str]| {
        let mut body = goal("more");
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        check(&server, ("POST", "/api/goals"), &body, 400, named);
        body.as_object_mut().unwrap().remove("id");
        check(&server, ("PUT", "/api/goals/more"), &body, 400, named);
    };
    goals(json!({ "metric": "foo" }), &["`metric`", "`foo`", "`orders`"]);
    goals(json!({ "hours": [24, -1] }), &["`hours[1]`", "-1"]);
    goals(json!({ "channels": ["fax"] }), &["`channels[0]`", "`fax`", "`sms`"]);
    goals(json!({ "audience": { "segment": {} } }), &["`audience.segment`"]);
    goals(json!({ "audience": { "all": [{ "nobody": 1 }] } }), &["`audience.all[0]`", "`nobody`"]);
    goals(json!({ "target": { "relativ": 1 } }), &["`target`", "`relativ`"]);
    goals(json!({ "within": "soon" }), &["`within`"]);
    let journey = json!({ "id": "j", "name": "J", "steps": [{ "id": "a", "send": { "template": "hello", "channels": ["fax"] } }] });
    check(&server, ("POST", "/api/journeys"), &journey, 400, &["`steps[0].send.channels[0]`", "`fax`"]);
    check(
        &server,
        ("POST", "/api/sending/stop"),
        &json!({ "channel": "fax", "why": "x" }),
        400,
        &["`channel`", "`sms`"],
    );
    check(&server, ("PUT", "/api/templates/hello"), &json!({ "name": 7 }), 400, &["`name`"]);
    // What is no JSON at all has a line and a column, and no field.
    let cut = server.control("POST", "/api/goals", "{\"id\": ");
    assert_eq!((cut.status, &cut.json()["code"], &cut.json()["line"]), (400, &json!("malformed_json"), &json!(1)));
}

#[test]
fn nobody_is_put_into_deals_and_journeys() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let journey = json!({ "name": "Hello", "steps": [{ "id": "a", "send": { "template": "hello" } }] });
    check(&server, ("PUT", "/api/journeys/hello"), &journey, 200, &[]);
    let nobody = "p_0000000000000007";
    check(&server, ("POST", "/api/journeys/hello/people"), &json!({ "profile": nobody }), 404, &[nobody]);
    let deal = |profile: &str, value: i64| json!({ "profile": profile, "deal": "d", "value_micros": value, "currency": "EUR" });
    check(&server, ("POST", "/api/deals"), &deal(nobody, 1), 404, &[nobody]);
    let seen = json!({ "batch": [{ "type": "track", "userId": "anna", "messageId": "1", "event": "Looked" }] });
    assert_eq!(server.post("/v1/batch", seen.to_string()).status, 200);
    server.settle();
    let profile = server.get("/api/profiles/user_id:anna");
    let anna = profile["id"].as_str().expect("an id");
    check(&server, ("POST", "/api/deals"), &deal(anna, -1), 400, &["`value_micros`"]);
    check(&server, ("POST", "/api/deals"), &deal(anna, 1), 201, &[]);
    check(&server, ("POST", "/api/journeys/hello/people"), &json!({ "profile": anna }), 202, &[]);
}

#[test]
fn a_situation_says_what_it_is_about_and_what_was_found() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let view = |number: u32| {
        json!({ "type": "track", "userId": "anna", "messageId": number.to_string(), "event": "Product Viewed",
            "properties": { "product_id": "SHOE-42", "name": "Runner", "price": 90 } })
    };
    let batch = json!({ "batch": [view(1), view(2), view(3)] });
    assert_eq!(server.post("/v1/batch", batch.to_string()).status, 200);
    server.settle();
    let seen = server.get("/api/situations");
    let [seen] = seen["people"].as_array().map(Vec::as_slice).unwrap_or_default() else { panic!("{seen}") };
    assert_eq!(seen["context"]["product_id"], "SHOE-42", "{seen}");
    assert!(seen["because"].as_str().is_some_and(|why| why.starts_with("3 views")), "{seen}");
}

#[test]
fn a_goal_measured_against_nothing_says_so() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let mut goal = goal("more");
    goal["target"] = json!({ "relative": 0.1 });
    assert_eq!(post(&server, "/api/goals", &goal), 201);
    server.wait_for("/api/goals/more", |goal| goal["campaign"]["status"] == "proposed");
    let proposal = server.get("/api/proposals/more.1");
    let rests_on = proposal["expected"]["rests_on"].as_str().expect("what it rests on").to_owned();
    assert!(rests_on.contains("the target is relative"), "{rests_on}");
    assert_eq!(post(&server, "/api/proposals/more.1/approve", &json!({ "reason": "why not" })), 200);
    let told = server.wait_for("/api/goals/more", |goal| goal["campaign"]["baseline"].is_number());
    let campaign = &told["campaign"];
    assert!(campaign["target_value"].is_null(), "{campaign}");
    assert!(campaign["target_note"].as_str().is_some_and(|note| note.contains("baseline is 0")), "{campaign}");
    assert_eq!(campaign["baseline"].to_string(), "0.0");
    let report = server.get("/api/reports/more");
    assert!(report["target_note"].as_str().is_some_and(|note| note.contains("baseline is 0")), "{report}");
}

#[test]
fn a_decision_says_which_guard_decided() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let seen = json!({ "batch": [
        { "type": "identify", "userId": "anna", "messageId": "1", "traits": { "first_name": "Anna" } },
    ] });
    assert_eq!(server.post("/v1/batch", seen.to_string()).status, 200);
    server.settle();
    let mut goal = goal("more");
    for (name, value) in [
        ("autonomy", json!("autonomous")),
        ("holdout", json!(0)),
        ("random_control", json!(0)),
        ("blast_radius", json!(10)),
        ("budget", json!({ "messages": 10 })),
    ] {
        goal[name] = value;
    }
    assert_eq!(post(&server, "/api/goals", &goal), 201);
    server.wait_for("/api/campaigns/more", |campaign| campaign["status"] == "running");
    let page = server.wait_for("/api/campaigns/more/decisions", |page| page["decisions"][0].is_object());
    let id = page["decisions"][0]["id"].as_str().expect("an id").to_owned();
    let told = server.get(&format!("/api/decisions/{id}"));
    let words = told["words"].as_str().expect("words");
    assert!(words.starts_with("Nothing was done: guard `address` "), "{words}");
    assert!(!words.contains("learned decided"), "{words}");
}
