use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Program, UNCOMPILED, filters, frames::STOPPED};

/// 2026-05-04T08:00:00Z
const NOW_MS: i64 = 1_777_881_600_000;

fn render(source: &str, scope: &Value, html: bool) -> Result<String, String> {
    let program =
        Program::parse(source, html).map_err(|fault| format!("{}:{}: {}", fault.line, fault.column, fault.what))?;
    let zone = TimeZone::get("Europe/Warsaw").expect("a known zone");
    program.render(scope.as_object().expect("an object"), &zone, NOW_MS, 100_000)
}

fn scope() -> Value {
    json!({
        "person": { "first_name": "Anna", "tags": ["b", "a", "a"], "city": null, "points": 7, "vip": true, "evil": "<b>&'\"" },
        "items": [
            { "name": "Shoe", "price": 59.9, "qty": 2, "new": true },
            { "name": "Hat", "price": 20, "qty": 1 },
        ],
        "at": "2026-03-29T00:30:00Z",
        "link": "javascript:alert(1)",
    })
}

fn check(source: &str, expect: &str) {
    assert_eq!(render(source, &scope(), false).as_deref(), Ok(expect), "{source}");
}

#[test]
fn what_is_missing_is_empty_however_deep() {
    check("[{{ nobody }}{{ nobody.knows.this[0].at.all }}{{ person.city.name }}{{ items[9].name }}]", "[]");
    check("{{ nobody.knows | default: 'you' }}", "you");
    check("{{ person.city | default: 'town' }} {{ person.first_name | default: 'x' }}", "town Anna");
    check("{% for x in nobody.x %}{{ x }}{% else %}none{% endfor %}", "none");
    check("{% if nobody.x > 3 %}a{% else %}b{% endif %}{% if nobody.x == nil %}c{% endif %}", "bc");
    check("{{ nobody | upcase | append: '!' | date: '%Y' }}", "!");
    check("{{ false | default: 'd' }}{{ false | default: 'd', allow_false: true }}", "dfalse");
}

#[test]
fn names_are_as_the_author_writes_them() {
    check(
        "{% assign empty_list = 1 %}{% assign nullable = 2 %}{% assign _v = 3 %}{% assign größe = 4 %}{% assign is? = 5 %}{{ empty_list }}{{ nullable }}{{ _v }}{{ größe }}{{ is? }}{{ falsely }}",
        "12345",
    );
    check("{% assign trueness = 'points' %}{{ person[trueness] }}{{ person.größe }}{{ items.0.name }}", "7Shoe");
    check("{% for blank_x in (1..2) %}{{ blank_x }}{{ items[forloop.index0].name }}{% endfor %}", "1Shoe2Hat");
    check("{{ person[nobody] | default: 'x' }}{{ person[items] | default: 'y' }}{{ items[nobody.x].name }}", "xy");
    check("it's {{ \"it's\" }} {{ '\"' }} { {%- if true %}%}{% endif %}", "it's it's \" {%}");
}

#[test]
fn paths_reach_in() {
    check("{{ items[0].name }} {{ items.last.name }} {{ items[-1].qty }} {{ items.size }}", "Shoe Hat 1 2");
    check("{{ person['first_name'] }} {{ person.first_name.size }} {{ items.first.name }}", "Anna 4 Shoe");
    check("{% assign key = 'points' %}{{ person[key] }}", "7");
}

#[test]
fn tags_do_what_liquid_says() {
    check("{% if person.vip and person.points >= 7 %}y{% endif %}", "y");
    check("{% unless person.vip %}n{% elsif person.points == 7 %}seven{% endunless %}", "seven");
    // What is further right binds first.
    check("{% if true or false and false %}y{% endif %}", "y");
    check("{% if false and true or true %}y{% else %}n{% endif %}", "n");
    check("{% case person.points %}{% when 1, 2 %}few{% when 7 or 8 %}some{% else %}many{% endcase %}", "some");
    check(
        "{% for i in (1..5) limit: 3 offset: 1 %}{{ i }}{% unless forloop.last %},{% endunless %}{% endfor %}",
        "2,3,4",
    );
    check(
        "{% for i in (1..9) reversed %}{% if i == 7 %}{% continue %}{% endif %}{% if i < 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "9865",
    );
    check(
        "{% for a in (1..2) %}{% for b in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.index }} {% endfor %}{% endfor %}",
        "11 12 21 22 ",
    );
    check(
        "{% for i in (1..4) limit: 2 %}{{ i }}{% endfor %}-{% for i in (1..4) offset: continue %}{{ i }}{% endfor %}",
        "12-34",
    );
    check("{% capture x %}a{{ person.points }}{% endcapture %}{{ x | upcase }}{{ x.size }}", "A72");
    check("{% increment n %}{% increment n %}{% decrement m %}", "01-1");
    check("{% for i in (1..3) %}{% cycle 'odd', 'even' %} {% endfor %}", "odd even odd ");
    check(
        "{% raw %}{{ not }} {% this %}{% endraw %}{% comment %}{{ nor that {% endcomment %}{% # nor this %}.",
        "{{ not }} {% this %}.",
    );
    check("a {%- if true -%} b {%- endif -%} c", "abc");
    check("{{- person.points -}} x", "7x");
    check("{% echo person.first_name | upcase %}", "ANNA");
    check("{% if person.tags contains 'a' %}y{% endif %}{% if person.first_name contains 'nn' %}y{% endif %}", "yy");
    check("{% if person.city == blank %}b{% endif %}{% if person.tags != empty %}e{% endif %}", "be");
    check("{{ '}}' }}", "}}");
}

#[test]
fn filters_do_what_liquid_says() {
    check("{{ 'a,b,,c,' | split: ',' | size }}{{ 'a b' | split: ' ' | join: '+' }}", "4a+b");
    check("{{ person.tags | sort | uniq | join: ', ' }}", "a, b");
    check(
        "{{ items | map: 'name' | join }} {{ items | where: 'new' | size }} {{ items | where: 'qty', 1 | map: 'name' | first }}",
        "Shoe Hat 1 Hat",
    );
    check("{{ items | sum: 'qty' }} {{ items | sort: 'price' | map: 'name' | join }}", "3 Hat Shoe");
    check("{% assign found = items | find: 'name', 'Hat' %}{{ found.price }}", "20");
    check(
        "{{ 7 | divided_by: 2 }} {{ 7.0 | divided_by: 2 }} {{ -7 | divided_by: 2 }} {{ -7 | modulo: 3 }} {{ 7 | divided_by: 0 }}",
        "3 3.5 -4 2 ",
    );
    check(
        "{{ '3' | plus: 4 }} {{ 10 | times: 0.9 }} {{ 1.005 | round: 2 }} {{ 2.5 | round }} {{ 1.2 | ceil }} {{ -3 | abs }}",
        "7 9 1.01 3 2 3",
    );
    check(
        "{{ 19.99 | times: 100 }} {{ 0.1 | plus: 0.2 }} {{ 9223372036854775807 | plus: 1 }}",
        "1999 0.3 9223372036854776000",
    );
    check("{{ 3 | at_least: 5 }} {{ 3 | at_most: 2 }}", "5 2");
    check(
        "{{ 'hELLO wORLD' | capitalize }} {{ 'abcdef' | truncate: 5 }} {{ 'a b c' | truncatewords: 2 }}",
        "Hello world ab... a b...",
    );
    check("{{ 'hello' | slice: 1, 3 }} {{ 'hello' | slice: -3, 2 }} {{ 'hello' | slice: 1 }}", "ell ll e");
    check(
        "{{ 'a-b-a' | replace: 'a', 'x' }} {{ 'a-b-a' | replace_first: 'a', 'x' }} {{ 'a-b-a' | remove_last: 'a' }}",
        "x-b-x x-b-a a-b-",
    );
    check("{{ 'a b&c/ü' | url_encode }} {{ 'a%20b+c' | url_decode }}", "a%20b%26c%2F%C3%BC a b c");
    check(
        "{{ '<p>Hi <b>you</b></p><script>x</script>' | strip_html }} {{ '<&amp;' | escape_once }}",
        "Hi you &lt;&amp;",
    );
    check("{{ ' x ' | strip }}|{{ 'a\nb' | newline_to_br }}|{{ 'a\nb' | strip_newlines }}", "x|a<br />\nb|ab");
    check(
        "{{ items | json | size }} {{ person.tags | reverse | first }} {{ person.tags | compact | concat: person.tags | size }}",
        "83 a 6",
    );
}

#[test]
fn more_filters_of_the_field() {
    check("{% assign g = items | group_by: 'qty' %}{{ g | map: 'name' | join }} {{ g[0].items[0].name }}", "2 1 Shoe");
    check(
        "{{ items | reject: 'new' | map: 'name' | join }} {{ items | has: 'qty', 2 }} {{ items | find_index: 'qty', 1 }}",
        "Hat true 1",
    );
    check("{{ person.tags | push: 'c' | shift | join }} {{ person.tags | unshift: 'c' | pop | join }}", "a a c c b a");
    check(
        "{{ person.tags | array_to_sentence_string }}, {{ 'a' | split: ',' | array_to_sentence_string: 'or' }}",
        "b, a, and a, a",
    );
    check(
        "{{ 'Zażółć' | base64_encode | base64_decode }} {{ '?' | base64_decode }} {{ ' a \n b ' | normalize_whitespace }}",
        "Zażółć   a b ",
    );
    check(
        "{{ 'Hello, Wörld!' | slugify }} {{ 'a b  c' | number_of_words }} {{ '3.9' | to_integer }}",
        "hello-wörld 3 3",
    );
    check(
        "{{ at | date_to_xmlschema }} {{ at | date_to_rfc822 }}",
        "2026-03-29T01:30:00+01:00 Sun, 29 Mar 2026 01:30:00 +0100",
    );
    check(
        "{{ at | date_to_string }}, {{ at | date_to_long_string }}, {{ at | date: '%H', 'America/New_York' }}",
        "29 Mar 2026, 29 March 2026, 20",
    );
    check(
        "{% tablerow x in (1..3) cols: 2 %}{{ x }}{% endtablerow %}",
        "<tr class=\"row1\"><td class=\"col1\">1</td><td class=\"col2\">2</td></tr><tr class=\"row2\"><td class=\"col1\">3</td></tr>",
    );
    check(
        "{{ person | json }}",
        "{\"city\":null,\"evil\":\"<b>&'\\\"\",\"first_name\":\"Anna\",\"points\":7,\"tags\":[\"b\",\"a\",\"a\"],\"vip\":true}",
    );
    check("{% for field in person %}{{ field[0] }} {% endfor %}", "city evil first_name points tags vip ");
}

#[test]
fn dates_are_read_as_data_writes_them() {
    // The night the clocks go forward in Warsaw.
    check("{{ at | date: '%Y-%m-%d %H:%M' }}", "2026-03-29 01:30");
    check("{{ '2026-03-29T01:30:00Z' | date: '%H:%M %:z' }}", "03:30 +02:00");
    check(
        "{{ '2026-05-04' | date: '%-d %B %Y' }} {{ 1777881600 | date: '%H' }} {{ 1777881600000 | date: '%H' }}",
        "4 May 2026 10 10",
    );
    check("{{ 'now' | date: '%Y-%m-%dT%H' }} {{ 'soon' | date: '%Y' }}", "2026-05-04T10 soon");
}

#[test]
fn faults_say_where() {
    let check = |source: &str, expect: &str| {
        assert_eq!(render(source, &scope(), false), Err(expect.to_owned()), "{source}");
    };
    check("a\nbc {% fi x %}", "2:7: there is no tag `fi`");
    check("{{ a | nosuch }}", "1:8: there is no filter `nosuch`");
    check("{% if a %}", "1:4: `if` has no `endif`");
    check("x{% endif %}", "1:5: `endif` ends nothing here");
    check("{% if a %}{% endfor %}", "1:14: `endfor` where `elsif` or `else` or `endif` was awaited");
    check("{{ a", "1:1: `{{` has no `}}` within 4096 bytes");
    check("{{ 'a }}", "1:4: ' is not closed");
    check("é {{ a b }}", "1:8: `b` is not understood here");
    check("{% for x of y %}{% endfor %}", "1:10: `in` is missing");
    check("{{ a | replace }}", "1:8: filter `replace` takes 1 to 2 values, and has 0");
    check("{% break %}", "1:4: `break` is in no `for`");
    check("{{ 99999999999999999999 }}", "1:4: `99999999999999999999` is too large a number");
    check("{% include 'x' %}", "1:4: there is no tag `include`");
    check("{{ a | append: (1..3) }}", "1:16: a range stands at the beginning of an output or after `in`");
    check(&"{% if a %}".repeat(33), "1:324: blocks may be nested 32 deep");
}

#[test]
fn html_stays_the_authors() {
    let html =
        |source: &str, expect: &str| assert_eq!(render(source, &scope(), true).as_deref(), Ok(expect), "{source}");
    html(
        "<p title=\"{{ person.evil }}\">{{ person.evil }}</p>",
        "<p title=\"&lt;b&gt;&amp;&#39;&quot;\">&lt;b&gt;&amp;&#39;&quot;</p>",
    );
    html("{{ person.evil | escape }} {{ '<i>' }}", "&lt;b&gt;&amp;&#39;&quot; <i>");
    html("{% capture x %}<b>{{ person.evil }}</b>{% endcapture %}{{ x }}", "<b>&lt;b&gt;&amp;&#39;&quot;</b>");
    html("{% assign y = person.evil | append: '<i>' %}{{ y }}", "&lt;b&gt;&amp;&#39;&quot;&lt;i&gt;");
    html("<a href=\"{{ link }}\">x</a>", "<a href=\"#\">x</a>");
    html("<a href='{{ ' java\tscript:x' }}'>x</a>", "<a href='#'>x</a>");
    html(
        "<a href=\"https://shop.test/?a={{ link | url_encode }}\">",
        "<a href=\"https://shop.test/?a=javascript%3Aalert%281%29\">",
    );
    html(
        "{% if person.vip %}<td class=\"{{ person.points }}{% else %}<td class=\"no{% endif %}\">{{ items[0].name }}</td>",
        "<td class=\"7\">Shoe</td>",
    );
    for wrong in [
        "<p title={{ person.evil }}>",
        "<p {{ person.evil }}>",
        "<{{ person.evil }}>",
        "<script>var x = '{{ person.evil }}'</script>",
        "<a onclick=\"go('{{ person.evil }}')\">",
    ] {
        assert!(Program::parse(wrong, true).is_err(), "{wrong}");
    }
}

#[test]
fn rendering_ends_and_says_where() {
    let stops = |source: &str| {
        let stopped = render(source, &scope(), false);
        assert!(stopped.is_err(), "{source}: {} bytes", stopped.unwrap_or_default().len());
    };
    let check = |source: &str, expect: &str| {
        assert_eq!(render(source, &scope(), false), Err(expect.to_owned()), "{source}");
    };
    check(
        "a\n{% for a in (1..5000) %}\n\n{% for b in (1..5000) %}{% assign x = b %}{% endfor %}{% endfor %}",
        "line 4: it takes more than 100000 steps",
    );
    check("\n{% for a in (1..1000000000) %}{% endfor %}", "line 2: a range may have 5000 numbers");
    check(
        "{{ 1 }}\n{% assign x = 'xxxxxxxxxxxxxxxx' %}{% for a in (1..60) %}\n{% assign x = x | append: x %}{% endfor %}",
        "line 3: a value on its way through the filters is too large",
    );
    check(
        "{% for a in (1..5000) %}\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}",
        "line 1: it comes to more than 100000 bytes",
    );
    check(
        "{% for a in (1..5000) %}{% capture x %}\n{{ x }}{{ x }}aaaaaaaaaaaaa{% endcapture %}{% endfor %}",
        "line 2: what is captured comes to more than 65536 bytes",
    );
    check(
        "{% case 1 %}{% when 1 %}\n{% for a in (1..5000) %}{% tablerow b in (1..5000) %}{% endtablerow %}{% endfor %}{% endcase %}",
        "line 2: it comes to more than 100000 bytes",
    );
    let nodes = "{% capture x %}{% endcapture %}".repeat(2_500);
    check(&format!("{{% for a in (1..50) %}}{nodes}{{% endfor %}}"), "line 1: it takes more than 100000 steps");
    let said = |bytes_max| {
        let program = Program::parse("abc\n{{ 'defg' }}", false).expect("it is understood");
        program.render(scope().as_object().expect("an object"), &TimeZone::UTC, NOW_MS, bytes_max)
    };
    assert_eq!(said(8), Ok("abc\ndefg".to_owned()));
    assert_eq!(said(7), Err("line 2: it comes to more than 7 bytes".to_owned()));
    stops("{% for a in (1..5000) %}{% for b in (1..5000) %}{% if a %}{% endif %}{% endfor %}{% endfor %}");
    stops("{% for a in (1..5000) %}{% for b in (1..5000) %}{% endfor %}{% endfor %}");
    stops(
        "{% for a in (1..5000) %}{% for b in (1..5000) %}{% case a %}{% when 1 %}{% endcase %}{% endfor %}{% endfor %}",
    );
    stops("{% for a in (1..5000) %}{% for b in (1..5000) %}{% capture x %}{% endcapture %}{% endfor %}{% endfor %}");
    stops("{% for a in (1..5000) %}{% for b in (1..5000) %}{% assign x = nobody.knows %}{% endfor %}{% endfor %}");
    stops("{% assign x = (1..5000) %}{% for a in (1..5000) %}{% assign y = x %}{% endfor %}");
    stops("{% assign x = (1..5000) %}{% for a in (1..60) %}{% assign x = x | push: x %}{% endfor %}{{ x | json }}");
    stops("{% assign x = (1..5000) | join %}{% for a in (1..5000) %}{% if x contains x %}{% endif %}{% endfor %}");
    stops("{% for a in (1..5000) %}{% for b in (1..5000) %}{% assign x = b %}{% endfor %}{% endfor %}");
    stops("{% for a in (1..1000000000) %}{% endfor %}");
    stops("{% assign x = 'xxxxxxxxxxxxxxxx' %}{% for a in (1..60) %}{% assign x = x | append: x %}{% endfor %}");
    stops("{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for a in (1..8) %}{% assign x = x | replace: 'a', x %}{% endfor %}");
    stops("{% assign x = (1..5000) %}{% for a in (1..60) %}{% assign x = x | concat: x %}{% endfor %}");
    stops("{% for a in (1..5000) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}");
    stops("{% for a in (1..5000) %}{% capture x %}{{ x }}{{ x }}aaaaaaaaaaaaa{% endcapture %}{% endfor %}");
}

/// Whatever is written and whatever the data says: no panic, an end, no mark of HTML that is not the author's.
mod law {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that come together to sources, most of them with something wrong.
    fn source() -> impl Strategy<Value = String> {
        let filter = proptest::sample::select(filters::NAMES);
        let operand = proptest::sample::select(vec![
            "evil",
            "list",
            "list[0]",
            "list.first.x",
            "deep.a.b.c",
            "number",
            "'a'",
            "-3",
            "2.5",
            "(1..9)",
            "empty",
            "nobody.at[all]",
            "x",
            "forloop.index",
            "9223372036854775807",
        ]);
        let call = (filter, operand.clone(), operand.clone(), 0..3);
        let output = (operand.clone(), proptest::collection::vec(call, 0..4)).prop_map(|(head, calls)| {
            let calls = calls.into_iter().map(|(filter, one, two, given)| match given {
                0 => format!(" | {filter}"),
                1 => format!(" | {filter}: {one}"),
                _ => format!(" | {filter}: {one}, {two}"),
            });
            format!("{head}{}", calls.collect::<String>())
        });
        let fixed = proptest::sample::select(vec![
            "{% capture x %}",
            "{% else %}",
            "{% endfor %}",
            "{% endfor %}",
            "{% endif %}",
            "{% endcapture %}",
            "{% cycle evil, number %}{% increment x %}",
            "{% tablerow x in list cols: 2 %}",
            "{% for y in (1..4000) %}",
            "{% endtablerow %}",
            "{% case evil %}{% when number %}",
            "{% endcase %}",
        ]);
        let piece = prop_oneof![
            3 => output.clone().prop_map(|output| format!("{{{{ {output} }}}}")),
            1 => output.prop_map(|output| format!("{{% assign x = {output} %}}")),
            2 => operand.clone().prop_map(|list| format!("{{% for x in {list} %}}a{{{{ x }}}}{{% endfor %}}")),
            1 => operand.prop_map(|value| format!("{{%- if {value} contains evil -%}}b{{% endif %}}")),
            2 => fixed.prop_map(str::to_owned),
            2 => "[a-z \n{}%|.\u{e9}\u{1F600}-]{0,12}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn data() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(Value::from("<script>alert('{{ evil }}')</script>\r\nBcc: x\u{2028}")),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let fields = proptest::collection::btree_map("[a-c]", inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Value::from),
                fields.prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn no_source_and_no_data_breaks_it(source in source(), evil in data(), list in data(), number in any::<f64>()) {
            let scope = json!({ "evil": evil, "list": list, "deep": { "a": evil }, "number": number });
            for html in [false, true] {
                let program = match Program::parse(&source, html) {
                    Ok(program) => program,
                    Err(fault) => {
                        // What nothing is wrong with is taken by the crates' parser.
                        prop_assert!(fault.what != UNCOMPILED, "{source}");
                        continue;
                    }
                };
                let scope = scope.as_object().expect("an object");
                let said = program.render(scope, &TimeZone::UTC, NOW_MS, 10_000);
                let again = Program::parse(&source, html).expect("as before");
                prop_assert_eq!(&again.render(scope, &TimeZone::UTC, NOW_MS, 10_000), &said);
                if let Err(why) = &said {
                    prop_assert!(why.starts_with("line "), "{why}");
                    // Nothing in the sources and the data is so long that a filter can't take it.
                    prop_assert!(!why.contains(STOPPED), "{source}: {why}");
                }
                if let Ok(said) = said {
                    prop_assert!(said.len() <= 10_000);
                    // The sources have no mark of HTML, but for the `<br />` of a filter and the rows of a table.
                    let said = said.replace("<br />", "");
                    let may_have_marks = !html || source.contains("tablerow");
                    prop_assert!(may_have_marks || !said.contains(['<', '>', '"', '\'']), "{said}");
                }
            }
        }

        #[test]
        fn any_text_is_compiled_or_refused(source in ".{0,200}", html in any::<bool>()) {
            if let Err(fault) = Program::parse(&source, html) {
                prop_assert!(fault.what != UNCOMPILED, "{source}");
                prop_assert!(fault.line >= 1 && fault.column >= 1);
            }
        }
    }
}
