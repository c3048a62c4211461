//! What is wrong in a file is told with its line, its column, and in words.

use impresario_scenarios::Scenario;

/// A whole scenario with one line replaced.
fn with(find: &str, replace: &str) -> String {
    const WHOLE: &str = r#"scenario: tried
start: 2026-05-04T08:00:00+02:00[Europe/Warsaw]
seed: 1
people:
  anna: { id: anna, email: anna@example.test }
  crowd: { population: { count: 2, habits: [ { track: Product Viewed, every: 1d } ] } }
segments:
  buyers: { condition: { event: { name: Order Completed, op: ">=", value: 1 } } }
timeline:
  - at: 09:00
    events: [ { who: anna, track: Order Completed } ]
  - at: 10:00
    expect: [ { segment: { name: buyers, has: anna } } ]
faults: { rotate_workers: 1 }
always: [ journal_verifies ]
"#;
    assert!(WHOLE.contains(find), "`{find}` is not in it");
    WHOLE.replacen(find, replace, 1)
}

#[test]
fn the_whole_one_is_right() {
    Scenario::parse(&with("seed: 1", "seed: 1")).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn errors_tell_where_and_what() {
    let wrong = [
        ("seed: 1", "seed: 1\nsead: 2"),
        ("seed: 1", "seed: one"),
        ("seed: 1\n", ""),
        ("seed: 1", "seed: 1\nseed: 2"),
        ("scenario: tried", "scenario: Tried It"),
        ("[Europe/Warsaw]", ""),
        ("{ id: anna,", "{ like: nobody,"),
        ("{ id: anna,", "{ nickname: anna,"),
        ("email: anna@example.test", "email: anna"),
        ("email: anna@example.test", "zone: Europe/Atlantis"),
        ("count: 2", "count: 0"),
        ("every: 1d", "every: 1 day"),
        ("every: 1d", "every: 1d, per_day: 2"),
        ("condition: { event:", "condition: { evnet:"),
        ("op: \">=\"", "op: \">>\""),
        ("name: Order Completed, op", "nane: Order Completed, op"),
        ("condition: { event: { name: Order Completed, op: \">=\", value: 1 } }", "condition: { segment: nowhere }"),
        ("at: 09:00", "at: nine"),
        ("at: 10:00", "at: 08:30"),
        ("at: 10:00", "at: 2026-03-29 02:30"),
        ("who: anna, track: Order Completed", "who: bert, track: Order Completed"),
        ("track: Order Completed }", "track: Order Completed, page: Home }"),
        ("track: Order Completed }", "properties: { a: 1 } }"),
        ("track: Order Completed }", "track: Order Completed, times: 3 }"),
        ("track: Order Completed }", "track: Order Completed, late: soon }"),
        ("track: Order Completed }", "track: Order Completed, anonymous: true }"),
        ("track: Order Completed }", "track: Order Completed, anonymous: yes }"),
        ("name: buyers, has: anna", "name: sellers, has: anna"),
        ("name: buyers, has: anna", "name: buyers"),
        ("name: buyers, has: anna", "name: buyers, has: [anna, bert]"),
        ("segment: { name: buyers, has: anna }", "profile: { who: anna, features: { oders: 1 } }"),
        ("segment: { name: buyers, has: anna }", "profile: { who: anna, features: { orders: many } }"),
        ("segment: { name: buyers, has: anna }", "weather: fine"),
        ("    expect: [ { segment: { name: buyers, has: anna } } ]\n", "    expect: []\n"),
        ("rotate_workers: 1", "kills: [ { at: 09:30, after_commit: 3 } ]"),
        ("rotate_workers: 1", "panics: [ { agent: profiles, event: 1, times: 3 } ]"),
        ("rotate_workers: 1", "panics: [ { agent: profiles, event: 99, times: 1 } ]"),
        ("rotate_workers: 1", "panics: [ { agent: nobody, event: 1, times: 1 } ]"),
        ("rotate_workers: 1", "late: { share: half, by: 1h }"),
        ("rotate_workers: 1", "duplicates: { share: 5%, within: 2d }"),
        ("journal_verifies", "journal_is_fine"),
        ("timeline:", "timeline: ["),
    ];
    let told = wrong.map(|(find, replace)| {
        let error = Scenario::parse(&with(find, replace)).err();
        let error = error.map_or_else(|| "NOTHING IS WRONG".to_owned(), |error| error.to_string());
        format!("{}  =>  {error}", replace.replace('\n', "\\n"))
    });
    insta::assert_snapshot!(told.join("\n"));
}
