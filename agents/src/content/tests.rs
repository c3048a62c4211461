use serde_json::{Value, json};

use super::*;
use crate::vocabulary::{Channel, Contact, Feature};

/// 2026-05-04T08:00:00Z
const NOW_MS: i64 = 1_777_881_600_000;

fn template(value: &Value) -> Template {
    serde_json::from_value(value.clone()).expect("a template")
}

fn hello() -> Value {
    json!({
        "name": "Hello",
        "topic": "news",
        "email": { "subject": "Hello {{ person.first_name }}", "text": "You have {{ features.orders }} orders" },
        "sms": { "text": "{{ offer.percent }}% off until {{ offer.until }}, code {{ offer.code }}" },
        "variants": {
            "short": { "email": { "subject": "Hi" }, "locales": { "pl": { "email": { "subject": "Hej" } } } },
        },
        "locales": { "pl": { "email": { "subject": "Witaj" } }, "pt-BR": { "email": { "subject": "Oi" } } },
    })
}

fn catalog(value: &Value) -> Catalog {
    let mut catalog = Catalog::default();
    let defined = TemplateDefined { id: "hello".into(), template: template(value) };
    catalog.define_template(&defined, 5, NOW_MS).expect("it stands");
    let offer = json!({ "name": "Ten", "percent": 10, "code": "TEN", "valid_minutes": 480, "currency": "EUR", "discount_max": 20 });
    let offer = serde_json::from_value(offer).expect("an offer");
    catalog.define_offer(&OfferDefined { id: "ten".into(), offer }, 6, NOW_MS).expect("it stands");
    catalog
}

fn render(
    catalog: &Catalog,
    level: &str,
    channel: Channel,
    offer: Option<&str>,
    locale: &str,
) -> Result<Rendered, String> {
    let contact = Contact { locale: Some(locale.into()), ..Contact::default() };
    let input = RenderInput {
        traits: &json!({ "firstName": "Anna\r\nBcc: all@example.test" }),
        features: &[(Feature::ORDERS, 3)],
        contact: &contact,
        context: &Value::Null,
        now_ms: NOW_MS,
        zone: "Europe/Warsaw",
        campaign: None,
        message: None,
    };
    catalog.render(level, channel, offer, &input).map_err(|refusal| format!("{}: {}", refusal.guard, refusal.why))
}

#[test]
fn what_can_be_read_comes_before_what_is_tried_out() {
    let catalog = catalog(&hello());
    let subject = |level: &str, locale: &str| {
        let rendered = render(&catalog, level, Channel::Email, None, locale).expect("rendered");
        rendered.content.subject.to_string()
    };
    // A header has one line, whatever the data says.
    assert_eq!(subject("hello", "en"), "Hello Anna Bcc: all@example.test");
    assert_eq!(subject("hello#short", "en"), "Hi");
    assert_eq!((subject("hello", "pl-PL"), subject("hello#short", "pl")), ("Witaj".into(), "Hej".into()));
    assert_eq!((subject("hello#short", "pt_br"), subject("hello", "pt")), ("Oi".into(), subject("hello", "en")));
    assert_eq!(&*catalog.levels("hello").join(" "), "hello hello#short");
    assert_eq!(catalog.traits_of("hello#short"), ["firstName".into(), "first_name".into()] as [Box<str>; 2]);
}

#[test]
fn an_offer_ends_so_long_after_the_sending() {
    let catalog = catalog(&hello());
    let rendered = render(&catalog, "hello", Channel::Sms, Some("ten"), "en").expect("rendered");
    assert_eq!(&*rendered.content.text, "10% off until 18:00, code TEN");
    let offer = rendered.offer.expect("an offer");
    assert_eq!((offer.ends_ms, offer.discount_max_micros), (Some(NOW_MS + 480 * 60_000), Some(20_000_000)));
    let version = catalog.check("hello", Channel::Sms, Some("ten")).expect("it may be");
    assert_eq!((version.version, version.topic.as_deref()), (5, Some("news")));
}

#[test]
fn what_may_not_be_rendered_is_refused_with_the_reason() {
    let mut catalog = catalog(&hello());
    let check = |catalog: &Catalog, level: &str, channel, offer, expect: &str| {
        assert_eq!(render(catalog, level, channel, offer, "en").map(|_| ()), Err(expect.to_owned()));
    };
    check(&catalog, "other", Channel::Sms, None, "template: there is no template `other`");
    check(&catalog, "hello#long", Channel::Sms, None, "template: template `hello` has no variant `long`");
    check(&catalog, "hello", Channel::Push, None, "template: template `hello` has no part for push");
    check(&catalog, "hello", Channel::Sms, Some("two"), "template: there is no offer `two`");
    let mut draft = hello();
    draft["test"] = true.into();
    draft["sms"]["text"] = "{{ nobody }}".into();
    let defined = TemplateDefined { id: "hello".into(), template: template(&draft) };
    catalog.define_template(&defined, 9, NOW_MS).expect("it stands");
    check(
        &catalog,
        "hello",
        Channel::Email,
        None,
        "template: template `hello` is marked as a test, and they are not on its list",
    );
    draft["test"] = false.into();
    let defined = TemplateDefined { id: "hello".into(), template: template(&draft) };
    catalog.define_template(&defined, 12, NOW_MS).expect("it stands");
    check(&catalog, "hello", Channel::Sms, None, "template: `sms.text` of template `hello`: it comes to nothing");
    let versions: Vec<_> = catalog.template("hello").expect("there").versions.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(versions, [12, 9, 5]);
    catalog.remove_template(&TemplateRemoved { id: "hello".into() }, 13, NOW_MS).expect("it was there");
    check(&catalog, "hello", Channel::Sms, None, "template: there is no template `hello`");
}

#[test]
fn a_catalog_read_back_renders_the_same() {
    let catalog = catalog(&hello());
    let bytes = serde_json::to_vec(&catalog).expect("written");
    let mut read: Catalog = serde_json::from_slice(&bytes).expect("read");
    impresario_runtime::Shared::restored(&mut read);
    let both = [&catalog, &read].map(|catalog| render(catalog, "hello#short", Channel::Email, None, "pl"));
    assert!(both[0].is_ok() && both[0] == both[1], "{both:?}");
}

#[test]
fn what_is_wrong_is_named() {
    let check = |change: &dyn Fn(&mut Value), expect: &str| {
        let mut value = hello();
        change(&mut value);
        let found = check_template(&template(&value)).map(|_| ()).map_err(|error| error.to_string());
        assert!(matches!(&found, Err(why) if why.starts_with(expect)), "{expect}: {found:?}");
    };
    check(&|value| value["name"] = "".into(), "`name`");
    check(&|value| value["email"]["text"] = " ".into(), "`email.text`: plain text is missing");
    check(
        &|value| value["sms"]["text"] = "a\n{{ b | c }}".into(),
        "`sms.text`, line 2, column 8: there is no filter `c`",
    );
    check(&|value| value["email"]["subject"] = "a\nb".into(), "`email.subject`: one line");
    check(&|value| value["variants"]["Big"] = json!({}), "`variants.Big`");
    check(&|value| value["variants"]["short"]["push"] = json!({ "title": "a" }), "`variants.short.push.title`");
    check(&|value| value["locales"]["polish"] = json!({}), "`locales.polish`");
    check(&|value| value["sms"]["text"] = "x".repeat(200_000).into(), "`sms.text`: at most");
    let warnings =
        check_template(&template(&json!({ "name": "W", "sms": { "text": "a {{ nam }}{{ person | json }}" } })));
    let seen: Vec<_> = warnings.expect("it stands").into_iter().map(|warning| (warning.column, warning.what)).collect();
    assert_eq!((seen.len(), seen[0].0, seen[1].0), (2, 6, 15), "{seen:?}");
    let names = "{{ features.orders }}{{ features.ordrs }}{{ features.value.EUR }}{{ offer.kode }}{{ message.id }}{{ context.any.thing }}\
                 {% assign offer = 1 %}";
    let large = json!({ "subject": "a", "text": names, "html": "x".repeat(110_000) });
    let warned = |email: &Value| {
        let warnings = check_template(&template(&json!({ "name": "W", "email": email }))).expect("it stands");
        warnings.into_iter().map(|warning| (warning.field, warning.what)).collect::<Vec<_>>()
    };
    let expect = [
        ("email.html", "mail readers cut off what comes after 102000 bytes"),
        ("email.text", "there is no `features.ordrs`: it is empty"),
    ];
    assert_eq!(warned(&large), expect.map(|(field, what)| (field.to_owned(), what.to_owned())));
    let small = json!({ "subject": "a", "text": "{{ offer.kode }}", "html": "x" });
    assert_eq!(warned(&small), [("email.text".to_owned(), "there is no `offer.kode`: it is empty".to_owned())]);
    let offer = |value: Value| {
        let offer: Offer = serde_json::from_value(value).expect("an offer");
        check_offer(&offer).map_err(|error| error.to_string().split(':').next().unwrap_or_default().to_owned())
    };
    assert_eq!(offer(json!({ "name": "a", "percent": 0 })), Err("`percent`".into()));
    assert_eq!(offer(json!({ "name": "a" })), Err("`percent`".into()));
    assert_eq!(offer(json!({ "name": "a", "amount": 5 })), Err("`currency`".into()));
    assert_eq!(offer(json!({ "name": "a", "amount": 5, "currency": "EUR", "code": "A B" })), Err("`code`".into()));
    assert_eq!(
        offer(json!({ "name": "a", "amount": 5, "currency": "EUR", "valid_minutes": 0 })),
        Err("`valid_minutes`".into())
    );
    assert_eq!(offer(json!({ "name": "a", "amount": 5, "currency": "EUR" })), Ok(()));
}
