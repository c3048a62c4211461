//! The same templates and data through liquidjs, the reference of the field, and through this house's Liquid. What
//! differs is listed with the reason; what is listed and differs no more fails, too.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Program;

/// 2026-05-04T08:00:00Z
const NOW_MS: i64 = 1_777_881_600_000;
const ZONE: &str = "Europe/Warsaw";

/// Reads `{sources, scope}` and says an array of texts, null where there was an error.
const RUNNER: &str = r#"
const { Liquid } = require("liquidjs");
const { sources, scope, zone } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const engine = new Liquid({ timezoneOffset: zone });
const said = sources.map(source => {
  try { return engine.parseAndRenderSync(source, scope); } catch { return null; }
});
process.stdout.write(JSON.stringify(said));
"#;

fn scope() -> Value {
    json!({
        "person": {
            "first_name": "Anna", "last_name": "Zażółć", "city": null, "points": 7, "vip": true, "score": 0.5,
            "tags": ["b", "a", "a", "C"], "note": " two  words\nand more ", "evil": "<b>&'\"</b>", "none": "",
        },
        "items": [
            { "name": "Shoe", "price": 59.9, "qty": 2, "new": true, "kind": "wear" },
            { "name": "Hat", "price": 20, "qty": 1, "kind": "wear" },
            { "name": "Pen", "price": 1.25, "qty": 10, "new": false, "kind": "office" },
        ],
        "numbers": [3, 1, 2], "nested": [[1, 2], [3]], "nothing": [], "object": { "b": 1, "a": [2, "x"] },
        "at": "2026-03-29T00:30:00Z", "later": "2026-03-29T01:30:00+00:00", "day": "2026-05-04",
    })
}

/// Sources that come to the same.
const SAME: &[&str] = &[
    "{{ person.first_name }} {{ person.last_name }}",
    "{{ nobody }}|{{ nobody.knows.this }}|{{ person.city.name }}|{{ items[9].name }}",
    "{{ nobody.knows | default: 'you' }}",
    "{{ person.city | default: 'town' }}",
    "{{ person.none | default: 'empty' }}",
    "{{ false | default: 'd' }}",
    "{{ false | default: 'd', allow_false: true }}",
    "{{ nothing | default: 'no items' }}",
    r#"{{ person['first_name'] }} {{ person["city"] }}"#,
    "{{ items[0].name }} {{ items.first.name }} {{ items.last.name }}",
    "{{ items[-1].name }}",
    "{{ items.size }} {{ person.tags.size }} {{ person.first_name.size }} {{ person.last_name.size }}",
    "{% assign key = 'points' %}{{ person[key] }}",
    "{% assign at = 1 %}{{ items[at].name }}",
    "{{ person[nobody] | default: 'none' }}",
    "{{ object.a[1] }}{{ object.a.first }}",
    "{{ person.points }} {{ person.score }} {{ person.vip }}",
    r#"{{ 'a' }}{{ "b" }}{{ 1 }}{{ -1 }}{{ 1.5 }}{{ true }}{{ nil }}"#,
    "{{ person.tags }}",
    "{{ nested }}",
    "{{ 2.0 }}",
    "{% if person.vip %}y{% else %}n{% endif %}",
    "{% if nobody %}y{% else %}n{% endif %}",
    "{% if person.none %}y{% else %}n{% endif %}",
    "{% if 0 %}y{% else %}n{% endif %}",
    "{% if nothing %}y{% else %}n{% endif %}",
    "{% if person.points > 5 and person.points < 10 %}y{% endif %}",
    "{% if true or false and false %}y{% else %}n{% endif %}",
    "{% if false and true or true %}y{% else %}n{% endif %}",
    "{% if true and false and false or true %}y{% else %}n{% endif %}",
    "{% if person.points == 7 %}y{% endif %}{% if person.points != 7 %}n{% endif %}",
    "{% if person.points == '7' %}y{% else %}n{% endif %}",
    "{% if 1 == 1.0 %}y{% else %}n{% endif %}",
    "{% if nobody == nil %}y{% endif %}{% if person.city == null %}y{% endif %}",
    "{% if nobody == empty %}y{% else %}n{% endif %}",
    "{% if person.none == empty %}y{% else %}n{% endif %}",
    "{% if nothing == empty %}y{% else %}n{% endif %}",
    "{% if person.none == blank %}y{% else %}n{% endif %}",
    "{% if nobody == blank %}y{% else %}n{% endif %}",
    "{% if '  ' == blank %}y{% else %}n{% endif %}",
    "{% if false == blank %}y{% else %}n{% endif %}",
    "{% if person.tags contains 'a' %}y{% else %}n{% endif %}",
    "{% if person.first_name contains 'nn' %}y{% else %}n{% endif %}",
    "{% if nobody contains 'a' %}y{% else %}n{% endif %}",
    "{% if numbers contains 3 %}y{% else %}n{% endif %}",
    "{% if 'a' < 'b' %}y{% else %}n{% endif %}",
    "{% if 'a' < 1 %}y{% else %}n{% endif %}",
    "{% if nobody < 1 %}y{% else %}n{% endif %}",
    "{% if nobody.x > 3 %}a{% elsif person.points > 3 %}b{% else %}c{% endif %}",
    "{% if person.first_name == 'Anna' or nobody %}y{% endif %}",
    "{% unless person.vip %}n{% else %}y{% endunless %}",
    "{% unless person.vip %}n{% elsif person.points == 7 %}seven{% endunless %}",
    "{% if empty %}y{% else %}n{% endif %}",
    "{% if person.tags == person.tags %}y{% else %}n{% endif %}",
    "{% case person.points %}{% when 1, 2 %}few{% when 7 or 8 %}some{% else %}many{% endcase %}",
    "{% case person.first_name %}{% when 'Bob' %}b{% when 'Anna' %}a{% endcase %}",
    "{% case nobody %}{% when nil %}nil{% else %}else{% endcase %}",
    "{% case person.points %} x {% when '7' %}text{% when 7 %}number{% endcase %}",
    "{% case person.vip %}{% when true %}t{% when false %}f{% endcase %}",
    "{% case 'x' %}{% when 'y' %}y{% endcase %}",
    "{% for i in items %}{{ i.name }},{% endfor %}",
    "{% for i in (1..3) %}{{ i }}{% endfor %}",
    "{% for i in (1..person.points) %}{{ i }}{% endfor %}",
    "{% for i in (3..1) %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in nothing %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in nobody.x %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in (1..5) limit: 2 %}{{ i }}{% endfor %}",
    "{% for i in (1..5) limit: 3 offset: 1 %}{{ i }}{% endfor %}",
    "{% for i in (1..5) offset: 3 %}{{ i }}{% endfor %}",
    "{% for i in (1..5) reversed %}{{ i }}{% endfor %}",
    "{% for i in (1..5) reversed limit: 2 %}{{ i }}{% endfor %}",
    "{% for i in (1..5) limit: 2 %}{{ i }}{% endfor %}-{% for i in (1..5) offset: continue %}{{ i }}{% endfor %}",
    "{% for i in (1..3) %}{{ forloop.index }}{{ forloop.index0 }}{{ forloop.rindex }}{{ forloop.rindex0 }}{{ forloop.first }}{{ forloop.last }}{{ forloop.length }} {% endfor %}",
    "{% for i in (1..9) %}{% if i == 3 %}{% continue %}{% endif %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for a in (1..2) %}{% for b in (1..2) %}{{ a }}{{ b }}{% break %}{% endfor %}{% endfor %}",
    "{% for p in object %}{{ p[0] }}={{ p[1] }};{% endfor %}",
    "{% for c in person.first_name %}{{ c }};{% endfor %}",
    "{% for i in items %}{{ i.nobody.x }}{% endfor %}.",
    "{% for i in items %}{% assign last = i.name %}{% endfor %}{{ last }}{{ i }}",
    "{% tablerow i in (1..3) cols: 2 %}{{ i }}{% endtablerow %}",
    "{% tablerow i in items %}{{ i.name }}{% endtablerow %}",
    "{% tablerow i in (1..5) cols: 3 limit: 4 offset: 1 %}{{ i }}{% endtablerow %}",
    "{% assign x = person.first_name | upcase %}{{ x }}",
    "{% assign x = 'a' %}{% assign x = x | append: 'b' %}{{ x }}",
    "{% assign person = 'shadow' %}{{ person }}",
    "{% capture x %}a{{ person.points }}{% endcapture %}{{ x | upcase }}{{ x.size }}",
    "{% capture 'x' %}q{% endcapture %}{{ x }}",
    "{% increment n %}{% increment n %}{% decrement m %}{{ n }}",
    "{% for i in (1..3) %}{% cycle 'odd', 'even' %} {% endfor %}",
    "{% cycle 'a', 'b' %}{% cycle 'a', 'b' %}{% cycle 'g': 'a', 'b' %}",
    "{% cycle person.first_name, 'b' %}{% cycle person.first_name, 'b' %}",
    "{% raw %}{{ not }} {% this %}{% endraw %}",
    "{% comment %}{{ nor that }} {% if %}{% endcomment %}.",
    "{% # nor this %}.",
    "{% echo person.first_name | upcase %}",
    "a {%- if true -%} b {%- endif -%} c",
    "x  {{- person.points -}}  y",
    "\t{%- assign a = 1 -%}\tz",
    "{{ '}}' }}{{ '%}' }}",
    r#"it's "{{ person.first_name }}" {"#,
    "{{ person.first_name | upcase | downcase | capitalize }}",
    "{{ 'hELLO wORLD' | capitalize }}",
    "{{ 'ążźć' | upcase }}",
    "{{ 'a' | append: 'b' | prepend: 'c' }}{{ 1 | append: 2 }}{{ nobody | append: 'x' }}{{ 'x' | append: nobody }}",
    "{{ 'a-b-a' | replace: 'a', 'x' }} {{ 'a-b-a' | replace_first: 'a', 'x' }} {{ 'a-b-a' | replace_last: 'a', 'x' }}",
    "{{ 'a-b-a' | remove: 'a' }} {{ 'a-b-a' | remove_first: 'a' }} {{ 'a-b-a' | remove_last: 'a' }}",
    "{{ 'a.b.c' | replace: '.', '-' }}",
    "[{{ '  x ' | strip }}][{{ '  x ' | lstrip }}][{{ '  x ' | rstrip }}]",
    "{{ 'a b' | newline_to_br }}{{ person.note | newline_to_br }}",
    "{{ person.note | strip_newlines }}",
    "{{ person.note | normalize_whitespace }}",
    "{{ person.note | number_of_words }}",
    "{{ '<p>Hi <b>you</b></p><script>x</script><!-- c -->' | strip_html }}",
    "{{ '1 &lt; 2 & 3' | escape_once }}",
    "{{ 'a-b_c.d~e' | url_encode }}",
    "{{ 'a%20b+c' | url_decode }}",
    "{{ 'abcdefgh' | truncate: 5 }} {{ 'abcdefgh' | truncate: 5, '' }} {{ 'abc' | truncate: 5 }}",
    "{{ 'abcdefgh' | truncate: 2 }}",
    "{{ 'hello' | slice: 1, 3 }} {{ 'hello' | slice: -3, 2 }} {{ 'hello' | slice: 1 }}",
    "{{ numbers | slice: 1, 2 | join: ',' }}",
    "{{ 'hello' | size }} {{ numbers | size }} {{ 5 | size }} {{ nobody | size }}",
    "{{ 'a,b,,c' | split: ',' | join: '|' }} {{ 'a b' | split: ' ' | first }} {{ 'abc' | split: '' | join: '-' }}",
    "{{ 'a,b,' | split: ',' | size }}",
    "{{ '' | split: ',' | size }}",
    "{{ person.tags | join }} {{ person.tags | join: ', ' }} {{ nobody | join: ',' }}",
    "{{ person.tags | sort | join: ',' }}",
    "{{ person.tags | sort_natural | join: ',' }}",
    "{{ numbers | sort | join: ',' }} {{ numbers | reverse | join: ',' }}",
    "{{ items | sort: 'price' | map: 'name' | join: ',' }}",
    "{{ items | sort: 'new' | map: 'name' | join: ',' }}",
    "{{ items | sort_natural: 'name' | map: 'name' | join: ',' }}",
    "{{ items | map: 'name' | join: ',' }} {{ items | map: 'nobody' | join: ',' }}",
    "{{ items | where: 'new' | map: 'name' | join: ',' }} {{ items | where: 'kind', 'wear' | map: 'name' | join: ',' }}",
    "{{ items | where: 'new', false | map: 'name' | join: ',' }}",
    "{{ items | reject: 'new' | map: 'name' | join: ',' }} {{ items | reject: 'kind', 'wear' | map: 'name' | join: ',' }}",
    "{{ items | has: 'kind', 'office' }} {{ items | has: 'kind', 'x' }} {{ items | has: 'new' }}",
    "{% assign f = items | find: 'name', 'Hat' %}{{ f.price }}{% assign g = items | find: 'name', 'X' %}[{{ g.price }}]",
    "{{ items | find_index: 'name', 'Hat' }}[{{ items | find_index: 'name', 'X' }}]",
    "{% assign groups = items | group_by: 'kind' %}{% for g in groups %}{{ g.name }}:{{ g.items | map: 'name' | join: '+' }} {% endfor %}",
    "{{ items | sum: 'qty' }} {{ numbers | sum }} {{ items | sum: 'nobody' }}",
    "{{ items | map: 'new' | compact | size }}",
    "{{ numbers | concat: person.tags | join: ',' }}",
    "{{ numbers | push: 4 | join: ',' }} {{ numbers | unshift: 0 | join: ',' }} {{ numbers | pop | join: ',' }} {{ numbers | shift | join: ',' }}",
    "{{ numbers | first }} {{ numbers | last }} {{ nothing | first }}",
    "{{ numbers | array_to_sentence_string }} {{ person.tags | array_to_sentence_string: 'or' }}",
    "{{ object | json }}",
    "{{ items.first | json }}",
    "{{ 'hello ü' | base64_encode }} {{ 'aGVsbG8gw7w=' | base64_decode }}",
    "{{ 'x' | plus: 1 }}",
    "{{ nobody | plus: 1 }}",
    "{{ 8 | divided_by: 2 }} {{ 7.0 | divided_by: 2 }}",
    "{{ 7 | modulo: 3 }} {{ -7 | modulo: 3 }}",
    "{{ 1.2 | ceil }} {{ 1.8 | floor }} {{ -3 | abs }} {{ '1.2' | ceil }}",
    "{{ 2.5 | round }} {{ 1.234 | round: 2 }} {{ 2 | round }} {{ -2.5 | round }}",
    "{{ 1.005 | round: 2 }}",
    "{{ 3 | at_least: 5 }} {{ 3 | at_most: 2 }} {{ 3 | at_least: 1 }}",
    "{{ 1000000 | times: 1000000 }} {{ 1.5 | times: 2 }}",
    "{{ day | date: '%-d %B %Y' }}",
    "{{ at | date: '%a %A %b %e %j %y %I %l %p %P %M %S %%' }}",
    "{{ at | date: '%s %z %:z' }}",
    "{{ 1777881600 | date: '%Y-%m-%d %H:%M' }}",
    "{{ '1777881600' | date: '%Y' }}",
    "{{ 'soon' | date: '%Y' }} {{ nobody | date: '%Y' }}",
    "{{ at | date: '%H:%M', 'America/New_York' }}",
    "{{ at | date }}",
    "{{ at | date_to_xmlschema }}",
    "{{ at | date_to_rfc822 }}",
    "{{ at | date_to_string }} {{ at | date_to_long_string }}",
    "{{ 'Hello, Wörld! x' | slugify }}",
    "{{ person.tags | where: 'x' | size }}",
    "{{ nobody | upcase | append: '!' }}",
    "{{ nobody | map: 'x' | join }}[{{ nobody | first }}]",
    "{{ nobody | sort | size }}{{ nobody | sum }}",
    "{% assign empty_list = 'a' | split: ',' %}{{ empty_list | size }}{% assign nullable = 1 %}{{ nullable }}",
    "{% nosuch %}",
    "{% if person.vip %}",
    "{{ person.first_name",
    "{% for x of items %}{% endfor %}",
    "{{ (1..3) | join: ',' }}",
    "{% assign r = (1..3) %}{{ r | size }}{% for i in r %}{{ i }}{% endfor %}",
    "{% if items.size > 2 %}many{% endif %}{% if person.tags.first == 'b' %}b{% endif %}",
    "{% include 'x' %}",
    "{% render 'x' %}",
    "{{ person.evil }}",
    "{{ 'a' | append }}",
    "{% for i in items limit: nobody %}{{ i.name }}{% endfor %}",
    "{% for i in numbers %}{{ i }}{% unless forloop.last %}, {% endunless %}{% endfor %}",
    "{% assign n = numbers | sort | reverse %}{{ n | first }}{{ n.last }}",
    "{{ person.first_name | slice: 0 | upcase }}",
    r#"{{ "a'b" }}{{ 'a"b' }}"#,
];

/// Sources that don't, and why not.
const DIFFERENT: &[(&str, &str)] = &[
    ("{{ object }}", "an object is said as JSON, not as `[object Object]`"),
    (
        "{% for a in (1..2) %}{% for b in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.index }} {% endfor %}{% endfor %}",
        "liquidjs has no `parentloop`, which Shopify's Liquid has",
    ),
    ("{{ person.evil | escape }}", "another spelling of the same mark: `&quot;`, not `&#34;`"),
    ("{{ person.evil | xml_escape }}", "another spelling of the same mark: `&quot;`, not `&#34;`"),
    ("{{ 'a b&c/ü' | url_encode }}", "a space is `%20`, which is one in a path too, not `+`"),
    (
        "{{ 'one two three' | truncatewords: 2 }} {{ 'one two' | truncatewords: 2 }} {{ 'one two three' | truncatewords: 1, '--' }}",
        "liquidjs marks as cut what is not",
    ),
    (
        "{{ person.tags | uniq | join: ',' }} {{ items | uniq: 'kind' | map: 'name' | join: ',' }}",
        "liquidjs does not look at the field `uniq` is given, which Shopify's does",
    ),
    (r#"{{ person.tags | json }} {{ 'a"b' | json }} {{ nobody | json }}"#, "JSON of nothing is `null`"),
    (
        "{{ 3 | plus: 4 }} {{ '3' | plus: '4' }} {{ 3 | minus: 4 }} {{ 3 | times: 4 }} {{ 0.1 | plus: 0.2 }}",
        "people see no noise of binary fractions",
    ),
    ("{{ 7 | divided_by: 2 }}", "whole numbers divide to whole ones, as in Shopify's"),
    ("{{ 7 | divided_by: 0 }}", "nothing is said rather than `Infinity`"),
    (
        "{{ '12abc' | to_integer }} {{ 3.9 | to_integer }}",
        "what is no number counts as nought, and a whole number is whole",
    ),
    ("{{ 19.99 | times: 100 }}", "people see no noise of binary fractions"),
    (
        "{{ at | date: '%Y-%m-%d %H:%M' }} {{ later | date: '%H:%M' }}",
        "an instant is said in the person's zone, whatever offset it is written with",
    ),
    ("{{ person.first_name | nosuch }}", "a filter that is not there is refused when the template is saved"),
    ("{% liquid assign x = 1 %}{{ x }}", "there is no tag `liquid`: the line of a fault would not be its own"),
    ("{{ person.vip and nobody }}", "conditions stand in `if` alone, as in Shopify's"),
    ("{{ items | where_exp: 'i', 'i.qty > 1' | size }}", "a text is never compiled while rendering"),
    ("{{ person.evil | raw }}", "nothing takes the escaping of data away"),
    ("{{ 99999999999999999999 }}", "a number that can't be counted is refused when the template is saved"),
    ("{{ 1e3 }}", "liquidjs says nothing for what it does not understand; here it is refused"),
    ("{% for i in (1..2000000) %}x{% endfor %}", "a list has a limit"),
];

/// Where `.ci/run` puts what is not Rust.
fn installed() -> PathBuf {
    std::env::temp_dir().join("impresario-clients/node/node_modules")
}

fn node(script: &str) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", installed()).env("TZ", ZONE).args(["-e", script]);
    node
}

/// What liquidjs says; none where it is not installed.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn liquidjs(sources: &[&str]) -> Option<Vec<Value>> {
    let found = node("require.resolve('liquidjs')").output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: node has no liquidjs");
        return None;
    }
    let mut child = node(RUNNER).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
    let input = json!({ "sources": sources, "scope": scope(), "zone": ZONE }).to_string();
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    Some(serde_json::from_slice(&output.stdout).expect("an array"))
}

fn own(source: &str) -> Value {
    let zone = TimeZone::get(ZONE).expect("a known zone");
    let program = match Program::parse(source, false) {
        Ok(program) => program,
        Err(_) => return Value::Null,
    };
    let said = program.render(scope().as_object().expect("an object"), &zone, NOW_MS, 100_000);
    said.map_or(Value::Null, Value::String)
}

#[test]
fn templates_come_to_what_they_come_to_in_liquidjs() {
    let sources: Vec<&str> = SAME.iter().copied().chain(DIFFERENT.iter().map(|(source, _)| *source)).collect();
    let Some(theirs) = liquidjs(&sources) else { return };
    assert_eq!(theirs.len(), sources.len());
    let mut wrong = Vec::new();
    for (place, (source, theirs)) in sources.iter().zip(&theirs).enumerate() {
        let ours = own(source);
        if (ours == *theirs) != (place < SAME.len()) {
            let short = |said: &Value| said.to_string().chars().take(200).collect::<String>();
            wrong.push(format!("{source}\n  liquidjs: {}\n  here:     {}", short(theirs), short(&ours)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), sources.len(), wrong.join("\n"));
}
