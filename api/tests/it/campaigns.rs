//! Goals that act, their proposals, what runs.

use serde_json::{Value, json};

use crate::server::{Server, directory};

fn goal() -> Value {
    json!({
        "id": "win-back", "name": "Win back", "metric": "orders", "within": "30d", "target": { "relative": 0.1 },
        "channels": ["email", "sms"], "templates": ["hello"], "offers": ["none"], "hours": [9, 18],
        "costs": { "sms": 0.05 }, "budget": { "messages": 100 },
    })
}

/// What the goal names.
fn furnish(server: &Server) {
    let hello =
        json!({ "name": "Hello", "email": { "subject": "Hello", "text": "Hello" }, "sms": { "text": "Hello" } });
    let put = server.control("PUT", "/api/templates/hello", &hello.to_string());
    assert!(matches!(put.status, 200 | 201), "{}", put.text());
}

#[test]
fn a_goal_is_proposed_approved_paused_and_stopped() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let set = server.control("POST", "/api/goals", &goal().to_string());
    assert_eq!(set.status, 201, "{}", set.text());
    let proposed = server.wait_for("/api/goals/win-back", |goal| goal["campaign"]["status"] == "proposed");
    assert_eq!(proposed["campaign"]["proposal"], "win-back.1");
    let proposal = server.get("/api/proposals/win-back.1");
    assert_eq!((&proposal["outcome"], &proposal["blast_radius"]["messages"]), (&json!("open"), &json!(100)));
    assert_eq!(proposal["plan"]["arms"].as_array().map(Vec::len), Some(4));
    // A changed goal makes it void, and another one takes its place.
    let mut changed = goal();
    changed.as_object_mut().unwrap().remove("id");
    changed["hours"] = json!([9]);
    let put = server.control("PUT", "/api/goals/win-back", &changed.to_string());
    assert_eq!(put.status, 200, "{}", put.text());
    server.wait_for("/api/goals/win-back", |goal| goal["campaign"]["proposal"] == "win-back.2");
    let reason = json!({ "reason": "looks right" }).to_string();
    let void = server.control("POST", "/api/proposals/win-back.1/approve", &reason);
    assert_eq!((void.status, void.json()["detail"].as_str().unwrap().starts_with("it is void")), (409, true));
    let approved = server.control("POST", "/api/proposals/win-back.2/approve", &reason);
    assert_eq!((approved.status, &approved.json()["outcome"]), (200, &json!("approved")), "{}", approved.text());
    assert_eq!(server.control("POST", "/api/proposals/win-back.2/reject", &reason).status, 409);
    let campaign = server.wait_for("/api/campaigns/win-back", |campaign| campaign["status"] == "running");
    assert_eq!((campaign["arms"].as_array().map(Vec::len), &campaign["left"]["messages"]), (Some(3), &json!(100)));
    let report = server.get("/api/reports/win-back");
    assert_eq!((report["groups"].as_array().map(Vec::len), report["ended_ms"].is_null()), (Some(3), true), "{report}");
    assert_eq!(server.control("GET", "/api/reports/none", "").status, 404);

    let why = json!({ "why": "the weather" }).to_string();
    let paused = server.control("POST", "/api/goals/win-back/pause", &why);
    assert_eq!((paused.status, &paused.json()["campaign"]["status"]), (200, &json!("paused")), "{}", paused.text());
    assert_eq!(server.get("/api/campaigns/win-back")["why"], "the weather");
    let resumed = server.control("POST", "/api/goals/win-back/resume", "");
    assert_eq!((resumed.status, &resumed.json()["campaign"]["status"]), (200, &json!("running")));
    let stopped = server.control("POST", "/api/goals/win-back/stop", &why);
    assert_eq!((stopped.status, &stopped.json()["campaign"]["status"]), (200, &json!("ended")));
    assert_eq!(server.get("/api/campaigns")["campaigns"][0]["status"], "ended");
    let proposals = server.get("/api/proposals");
    assert_eq!(proposals["proposals"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.get("/api/campaigns/win-back/decisions")["decisions"], json!([]));
}

#[test]
fn what_is_missing_from_a_goal_is_named() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    furnish(&server);
    let check = |change: Value, field: &str| {
        let mut body = goal();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = server.control("POST", "/api/goals", &body.to_string());
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("invalid_body")), "{}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("`{field}`")), "{detail}");
    };
    check(json!({ "metric": "conversion" }), "event");
    check(json!({ "templates": ["hello", "nobody-wrote-this"] }), "templates[1]");
    check(json!({ "templates": ["hello"], "channels": ["push"] }), "templates[0]");
    check(json!({ "offers": ["nobody-made-this"] }), "offers[0]");
    check(json!({ "journey": "nobody-drew-this" }), "journey");
    check(json!({ "metric": "revenue" }), "currency");
    check(json!({ "within": null }), "within");
    check(json!({ "templates": [] }), "templates");
    check(json!({ "channels": [] }), "channels");
    check(json!({ "hours": [25] }), "hours");
    check(json!({ "holdout": 0.9, "random_control": 0.2 }), "random_control");
    check(json!({ "autonomy": "autonomous" }), "blast_radius");
    check(json!({ "guardrails": { "complaint_rate_max": 2 } }), "guardrails.complaint_rate_max");
    check(json!({ "costs": { "sms": -1 } }), "costs.sms");
    check(json!({ "exploration": 0.4 }), "exploration");
    check(json!({ "color": "red" }), "color");
    for (path, status) in [
        ("/api/decisions/d_0000000000000001", 404),
        ("/api/decisions/1", 400),
        ("/api/campaigns/none", 404),
        ("/api/proposals/none.1", 404),
    ] {
        assert_eq!(server.control("GET", path, "").status, status, "{path}");
    }
}
