//! The agents' hot pure functions: `cargo hot` runs them beside those of the other crates.

use divan::{Bencher, black_box};
use impresario_agents::{
    content::{Catalog, OfferDefined, RenderInput, TemplateDefined},
    models::policy::{Factor, Policy, PolicyParams, RewardKind},
    profiles::Profile,
    segmentation::{Condition, SegmentDefined, Trial},
    vocabulary::{Channel, Contact, EventKind, Feature, ProfileChanged, RawJson, Tracked},
};
use serde_json::json;

const START_MS: i64 = 1_777_852_800_000;
const HOUR_MS: i64 = 3_600_000;

fn main() {
    divan::main();
}

fn event(kind: EventKind, name: &str, properties: &str) -> Tracked {
    Tracked {
        kind,
        message_id: "0190f0a2-7c9b-7d1e-8a3c-000000000001".into(),
        user_id: Some("user-1".into()),
        anonymous_id: Some("device-1".into()),
        previous_id: None,
        group_id: None,
        name: name.into(),
        at_ms: START_MS,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: START_MS,
        properties: RawJson::from_checked(properties),
        context: RawJson::default(),
        source: "bench".into(),
        kept_node: Default::default(),
    }
}

fn order() -> Tracked {
    event(EventKind::Track, "Order Completed", r#"{"order_id":"o-1","revenue":25.5,"currency":"EUR"}"#)
}

/// An event every hour, folded into one customer.
#[divan::bench(args = ["view", "order", "identify"])]
fn fold_into_a_profile(bencher: Bencher<'_, '_>, what: &str) {
    let mut event = match what {
        "view" => event(EventKind::Track, "Product Viewed", r#"{"product_id":"SHOE-42","price":79.9}"#),
        "order" => order(),
        _ => event(EventKind::Identify, "", r#"{"email":"anna@example.test","plan":"gold","city":"Gdynia"}"#),
    };
    let (mut profile, mut seq) = (Profile::default(), 0);
    let id = event.node();
    bencher.bench_local(move || {
        seq += 1;
        event.at_ms += HOUR_MS;
        black_box(profile.fold(id, id, &event, seq));
    });
}

/// A hundred segments, half of them over rolling windows, of which all look at the events that come.
fn hundred() -> Trial {
    let defined = (0..100).map(|place| {
        let window = if place % 2 == 0 { json!({ "last": format!("{}d", 1 + place % 30) }) } else { json!({}) };
        let condition = match place % 4 {
            0 | 1 => json!({ "event": { "name": "Order Completed", "window": window, "op": ">=", "value": place } }),
            2 => json!({ "event": { "name": "Order Completed", "aggregate": "sum", "property": "revenue",
                "window": window, "op": ">=", "value": 100 * place } }),
            _ => json!({ "feature": { "name": "orders", "op": ">=", "value": place } }),
        };
        let condition: Condition = serde_json::from_value(condition).unwrap_or_else(|error| panic!("{error}"));
        let id: Box<str> = format!("s{place}").into();
        SegmentDefined { name: id.clone(), id, condition, goal: None }
    });
    Trial::new(defined).unwrap_or_else(|error| panic!("{error}"))
}

/// Folding an order of somebody who orders every day into what a hundred segments measure.
#[divan::bench]
fn fold_into_100_segments(bencher: Bencher<'_, '_>) {
    let (mut trial, mut event, mut orders) = (hundred(), order(), 0);
    bencher.bench_local(move || {
        orders += 1;
        event.at_ms += 24 * HOUR_MS;
        let features = vec![(Feature::ORDERS, orders)];
        let changed =
            ProfileChanged { profile: event.node(), event: 1, features, traits: Default::default(), rhythm: None };
        black_box(trial.fold(&changed, &event, event.at_ms))
    });
}

/// Looking at a person with a year of daily orders beside a hundred segments.
#[divan::bench]
fn judge_100_segments(bencher: Bencher<'_, '_>) {
    let (mut trial, mut event) = (hundred(), order());
    for orders in 1..=365 {
        event.at_ms += 24 * HOUR_MS;
        let features = vec![(Feature::ORDERS, orders)];
        let changed =
            ProfileChanged { profile: event.node(), event: 1, features, traits: Default::default(), rhythm: None };
        trial.fold(&changed, &event, event.at_ms);
    }
    bencher.bench_local(move || black_box(trial.judge(event.at_ms)));
}

/// A choice among 384 arms for a person of 30 features, with the likelihood of each.
#[divan::bench]
fn decide_among_384_arms(bencher: Bencher<'_, '_>) {
    let levels = [12_u16, 8, 4];
    let factors = levels.map(|count| Factor {
        name: count.to_string().into(),
        levels: (0..count).map(|level| level.to_string().into()).collect(),
    });
    let params = PolicyParams {
        factors: factors.into(),
        arms: (0..384).map(|arm| vec![arm / 32, arm / 4 % 8, arm % 4]).collect(),
        features: 30,
        reward: RewardKind::Chance,
    };
    let policy = Policy::new(params).unwrap_or_else(|error| panic!("{error}"));
    let (person, eligible): (Vec<f32>, Vec<u16>) =
        ((0..30_u8).map(|feature| f32::from(feature) / 15.0 - 1.0).collect(), (0..=384).collect());
    let mut rng = impresario_runtime::rng::stream(&[7; 32], "bench", &[], 0);
    bencher.bench_local(move || black_box(policy.decide(&person, &eligible, 0.0005, &mut rng)));
}

/// One message for one person: an offer, a list, conditions and dates, in subject, plain text and HTML.
#[divan::bench]
fn render_an_email(bencher: Bencher<'_, '_>) {
    let line =
        "{% for item in context.items %}{{ forloop.index }}. {{ item.name }} {{ item.price | round: 2 }}\n{% endfor %}";
    let row = "{% for item in context.items %}<tr><td><a href=\"{{ item.url }}?utm={{ person.city | url_encode }}\">\
               {{ item.name }}</a></td><td>{{ item.price | round: 2 }}</td></tr>{% endfor %}";
    let end = "{% if person.vip and person.points > 1000 %}Thank you!{% else %}See you{% endif %} \
               Until {{ offer.ends_at | date: '%d.%m.%Y %H:%M' }} with {{ offer.code }}";
    let template = json!({ "name": "Bench", "email": {
        "subject": "{{ person.first_name | default: 'Hello' }}, {{ offer.percent }}% off until {{ offer.until }}",
        "text": format!("Hello {{{{ person.first_name | default: 'you' }}}},\n{{{{ features.orders }}}} orders.\n{line}{end}"),
        "html": format!("<h1>Hello {{{{ person.first_name | default: 'you' }}}}</h1><table>{row}</table><p>{end}</p>"),
    } });
    let template =
        TemplateDefined { id: "bench".into(), template: serde_json::from_value(template).expect("a template") };
    let offer = json!({ "name": "Ten", "percent": 10, "code": "TEN", "valid_minutes": 480 });
    let offer = OfferDefined { id: "ten".into(), offer: serde_json::from_value(offer).expect("an offer") };
    let mut catalog = Catalog::default();
    catalog.define_template(&template, 1, START_MS).expect("it stands");
    catalog.define_offer(&offer, 2, START_MS).expect("it stands");
    let traits = json!({ "first_name": "Anna", "last_name": "Kowalska", "city": "Łódź", "points": 1234, "vip": true });
    let item = |name: &str, price: f64| json!({ "name": name, "price": price, "url": "https://shop.test/p/1" });
    let context = json!({ "items": [item("Shoe", 59.9), item("Hat", 20.0), item("Pen", 1.25)] });
    let contact = Contact { locale: Some("pl".into()), ..Contact::default() };
    let input = RenderInput {
        traits: &traits,
        features: &[(Feature::ORDERS, 3), (Feature::LAST_ORDER_AT, START_MS)],
        contact: &contact,
        context: &context,
        now_ms: START_MS,
        zone: "Europe/Warsaw",
        campaign: None,
        message: None,
    };
    bencher.bench_local(|| black_box(catalog.render("bench", Channel::Email, Some("ten"), &input).expect("rendered")));
}
