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

#[test]
fn the_example_of_the_readme_is_a_scenario_that_passes() {
    let readme = std::fs::read_to_string(super::folder().join("README.md")).expect("the readme");
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let scenario = Scenario::parse(example).unwrap_or_else(|error| panic!("{error}"));
    let outcome = impresario_scenarios::run(&scenario, &Default::default()).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
}

#[test]
fn a_file_cut_short_or_with_a_byte_changed_is_an_error_at_worst() {
    let text = std::fs::read_to_string(super::folder().join("agents-break.yaml")).expect("a scenario");
    let mut read = 0;
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)).step_by(7) {
        read += u32::from(Scenario::parse(&text[..at]).is_ok());
        for byte in ["", " ", "-", "9", "\t", "{", "\"", "\u{0}", "&a ", "*a", "!", "é"] {
            let mut changed = text.clone();
            changed.insert_str(at, byte);
            read += u32::from(Scenario::parse(&changed).is_ok());
        }
    }
    assert!(read > 100, "{read}: comments and blanks may change");
}

#[test]
fn numbers_out_of_all_bounds_are_errors() {
    let wrong = [
        ("seed: 1", "seed: 99999999999999999999"),
        ("count: 2", "count: 4000000000"),
        ("every: 1d", "every: 99999999999999999999d"),
        ("every: 1d", "every: 0s"),
        ("track: Order Completed }", "track: Order Completed, times: 4000000000, every: 1s }"),
        ("track: Order Completed }", "track: Order Completed, times: 200000, every: 36525d }"),
        ("track: Order Completed }", "track: Order Completed, late: 99999d }"),
        ("at: 10:00", "at: +999999999d"),
        ("at: 10:00", "at: day 99999999999 10:00"),
    ];
    for (find, replace) in wrong {
        assert!(Scenario::parse(&with(find, replace)).is_err(), "{replace}");
    }
}
