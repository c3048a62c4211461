//! Templates and offers over HTTP, and a message all the way to a file.

use serde_json::{Value, json};

use crate::server::{Server, directory};

fn welcome() -> Value {
    json!({
        "name": "Welcome",
        "class": "transactional",
        "email": {
            "subject": "Hello {{ person.first_name }}",
            "html": "<p>{{ person.first_name }}: {{ offer.percent }}% off until {{ offer.until }}</p>",
            "text": "{{ offer.name }} for {{ person.first_name | default: 'you' }}",
        },
        "sms": { "text": "{{ context.product }} {{ person.nick | default: 'friend' }}" },
        "variants": { "short": { "email": { "subject": "Hi!" } } },
        "locales": { "pl": { "email": { "subject": "Witaj {{ person.first_name }}" } } },
    })
}

fn put(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.control("PUT", path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn a_template_is_defined_previewed_changed_and_removed() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let ten = json!({ "name": "Ten off", "percent": 10.0, "code": "TEN", "valid_minutes": 360 });
    assert_eq!(put(&server, "/api/offers/ten", &ten)["offer"], ten);
    let first = put(&server, "/api/templates/welcome", &welcome());
    assert_eq!(first["levels"], json!(["welcome", "welcome#short"]));
    let warned = first["warnings"].as_array().map(Vec::len);
    assert_eq!(warned, Some(1), "a variant that is not translated: {first}");
    // What is as it was makes no new version.
    assert_eq!(put(&server, "/api/templates/welcome", &welcome())["version"], first["version"]);

    let traits = json!({ "firstName": "An<na", "email": "anna@example.test", "locale": "en-GB" });
    let identify = json!({ "userId": "anna", "traits": traits });
    assert_eq!(server.post("/v1/identify", identify.to_string()).status, 200);
    server.settle();
    let preview = |body: &Value| server.control("POST", "/api/templates/welcome/preview", &body.to_string());
    let seen = preview(&json!({ "profile": "user_id:anna", "channel": "email", "offer": "ten" })).json();
    assert_eq!((&seen["subject"], &seen["text"]), (&json!("Hello An<na"), &json!("Ten off for An<na")), "{seen}");
    assert!(seen["html"].as_str().is_some_and(|html| html.starts_with("<p>An&lt;na: 10% off until ")), "{seen}");
    assert_eq!(seen["warnings"], first["warnings"], "{seen}");
    let short =
        preview(&json!({ "profile": "email:anna@example.test", "channel": "email", "variant": "short" })).json();
    assert_eq!(short["subject"], "Hi!", "{short}");
    let context = json!({ "product": "Shoe" });
    let sms = preview(&json!({ "profile": "user_id:anna", "channel": "sms", "context": context })).json();
    assert_eq!(sms["text"], "Shoe friend");
    assert_eq!(preview(&json!({ "profile": "user_id:nobody", "channel": "sms" })).status, 404);
    let push = preview(&json!({ "profile": "user_id:anna", "channel": "push" }));
    assert_eq!(push.status, 400);
    assert!(push.text().contains("has no part for push"), "{}", push.text());

    // What is wrong is named, with its place.
    let mut wrong = welcome();
    wrong["email"]["html"] = "<p>\n {% fi x %}".into();
    let refused = server.control("PUT", "/api/templates/welcome", &wrong.to_string());
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (400, &json!("invalid_body")), "{problem}");
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(5)), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("`email.html`")), "{problem}");
    let mut mute = welcome();
    mute["email"]["text"] = Value::Null;
    let refused = server.control("PUT", "/api/templates/welcome", &mute.to_string());
    assert!(refused.status == 400 && refused.text().contains("`email.text`"), "{}", refused.text());
    let both = json!({ "name": "Both", "percent": 10, "amount": 5, "currency": "EUR" }).to_string();
    assert!(server.control("PUT", "/api/offers/both", &both).text().contains("`percent`"));

    // A version stays to be looked at.
    let mut changed = welcome();
    changed["name"] = "Welcome again".into();
    let second = put(&server, "/api/templates/welcome", &changed);
    assert!(second["version"].as_u64() > first["version"].as_u64());
    let path = format!("/api/templates/welcome?version={}", first["version"]);
    assert_eq!(server.get(&path)["template"]["name"], "Welcome");
    assert_eq!(server.control("GET", "/api/templates/welcome?version=1", "").status, 404);
    assert_eq!(server.get("/api/templates")["templates"][0]["name"], "Welcome again");

    assert_eq!(server.control("DELETE", "/api/templates/welcome", "").status, 204);
    assert_eq!(server.control("GET", "/api/templates/welcome", "").status, 404);
    assert_eq!(server.control("DELETE", "/api/offers/ten", "").status, 204);
    assert_eq!(server.control("DELETE", "/api/offers/ten", "").status, 404);
}

#[test]
fn a_journeys_message_is_a_file_that_a_person_can_open() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let ten = json!({ "name": "Ten off", "percent": 10, "valid_minutes": 360 });
    put(&server, "/api/offers/ten", &ten);
    put(&server, "/api/templates/welcome", &welcome());
    let send = json!({ "template": "welcome", "offer": "ten", "channels": ["email"], "class": "transactional", "within": "1d" });
    let steps = json!([{ "id": "hello", "send": send }]);
    let journey = json!({ "name": "Welcome", "entry": { "event": { "name": "Signed Up" } }, "steps": steps });
    put(&server, "/api/journeys/welcome", &journey);
    let traits = json!({ "first_name": "Anna", "email": "anna@example.test", "consent": ["email"], "locale": "pl" });
    let identify = json!({ "type": "identify", "userId": "anna", "messageId": "1", "traits": traits });
    let signed_up = json!({ "type": "track", "userId": "anna", "messageId": "2", "event": "Signed Up" });
    let batch = json!({ "batch": [identify, signed_up] });
    assert_eq!(server.post("/v1/batch", batch.to_string()).status, 200);
    server.settle();
    let days: Vec<_> = std::fs::read_dir(data.join("outbox")).expect("an outbox").flatten().collect();
    let files: Vec<_> = days
        .iter()
        .flat_map(|day| std::fs::read_dir(day.path()).expect("a day").flatten())
        .map(|file| file.path())
        .collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("m_") && name.ends_with(".html") && !name.contains("anna"), "{name}");
    let page = std::fs::read_to_string(file).expect("a page");
    assert!(page.contains("<td>Witaj Anna</td>") && page.contains("<td>anna@example.test</td>"), "{page}");
    assert!(page.contains("10% off until") && page.contains("<pre>Ten off for Anna</pre>"), "{page}");
    let anna = server.get("/api/profiles/user_id:anna")["id"].as_str().expect("an id").to_owned();
    // Whoever is erased has no files any more.
    assert_eq!(server.control("DELETE", &format!("/api/profiles/{anna}"), "").status, 202);
    let gone = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        !file.exists()
    });
    assert!(gone, "{name}");
}
