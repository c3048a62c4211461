//! Files in and out: tables and Segment lines, each row once, through kills; what is damaged is found.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Server, program};

const TABLE: &[&str] = &["--user", "id", "--time", "date", "--event", "Order Completed", "--property", "revenue=sum"];

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file");
        path
    }

    fn import(&self, data: &str, file: &Path, flags: &[&str]) -> (Value, i32) {
        answer(program(&self.path(data)).arg("import").arg(file).args(flags).output().expect("it runs"))
    }

    fn export(&self, data: &str, what: &[&str]) -> String {
        let output = program(&self.path(data)).arg("export").args(what).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn events(&self, data: &str) -> Vec<Value> {
        self.export(data, &["events"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn answer(output: Output) -> (Value, i32) {
    let code = output.status.code().unwrap_or(-1);
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let said = serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&text)));
    (said, code)
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

/// Imports `content`, and compares every event: user, time, name, properties.
fn check(content: impl AsRef<[u8]>, flags: &[&str], expect: &[(&str, &str, &str, Value)]) {
    let desk = Desk::new();
    let (report, code) = desk.import("data", &desk.file("in", content), flags);
    assert_eq!((code, report["rejected"].as_u64()), (0, Some(0)), "{report}");
    let events = desk.events("data");
    let found: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            (text("userId"), text("timestamp"), text("event"), event["properties"].clone())
        })
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn tables_of_all_shapes_are_read() {
    let order = |user, day, revenue: f64| (user, day, "Order Completed", serde_json::json!({ "revenue": revenue }));
    let expect = [order("7", "1997-01-01T00:00:00.000Z", 11.77), order("8", "1997-01-12T00:00:00.000Z", 12.5)];
    let comma = "id,date,sum\n7,1997-01-01,11.77\n8,1997-01-12,12.50\n";
    check(comma, TABLE, &expect);
    check(gz(comma), TABLE, &expect);
    check("\u{feff}id;date;sum\r\n7;1997-01-01;11.77\r\n8;1997-01-12;12.50", TABLE, &expect);
    check("id\tdate\tsum\n\"7\"\t1997-01-01\t11.77\n\n8\t1997-01-12\t12.50\n", TABLE, &expect);
    let pattern = [TABLE, &["--time-format", "%Y%m%d"]].concat();
    check(" id  date  sum\n 7 19970101  11.77\n 8 19970112 12.50\n", &pattern, &expect);
    let bare = ["--user", "1", "--time", "2", "--event", "Order Completed", "--property", "revenue=3"];
    check("7,1997-01-01,11.77\n8,1997-01-12,12.50\n", &bare, &expect);
    let zoned = [TABLE, &["--time-format", "%d.%m.%Y %H:%M", "--zone", "Europe/Warsaw", "--decimal-comma"]].concat();
    check("id;date;sum\n7;01.01.1997 01:00;11,77\n8;12.01.1997 01:00;12,50\n", &zoned, &expect);
}

#[test]
fn a_return_is_an_event_of_its_own_and_products_of_columns_are_exact() {
    let flags = [
        &["--user", "who", "--time", "at", "--time-format", "s", "--event", "Order Completed"][..],
        &["--event-if-negative", "count=Order Refunded", "--property", "revenue=count*price"],
        &["--property", "sku=code:string", "--set", "currency=GBP"],
    ];
    let table = "who,at,count,price,code\nann,0,6,2.55,0012\nann,60,-1,2.55,12\n";
    let properties = |revenue: f64, sku| serde_json::json!({ "currency": "GBP", "revenue": revenue, "sku": sku });
    let expect = [
        ("ann", "1970-01-01T00:00:00.000Z", "Order Completed", properties(15.3, "0012")),
        ("ann", "1970-01-01T00:01:00.000Z", "Order Refunded", properties(2.55, "12")),
    ];
    check(table, &flags.concat(), &expect);
}

#[test]
fn rejected_rows_are_reported_with_line_and_reason() {
    let desk = Desk::new();
    let long = "x".repeat(100_000);
    let table = format!(
        "id,date,sum\n7,1997-01-01,1\n,1997-01-01,1\n8,soon,1\n9,,1\n\"10,1997-01-01,1\n{long}\n11,2999-01-01,1\n12,1997-01-02,2\n"
    );
    let rejects = desk.path("rejects.csv");
    let flags = [TABLE, &["--rejects", rejects.to_str().expect("UTF-8"), "--max-rejects", "6"]].concat();
    let (report, code) = desk.import("data", &desk.file("in.csv", &table), &flags);
    assert_eq!((code, report["imported"].as_u64(), report["rejected"].as_u64()), (0, Some(2), Some(6)), "{report}");
    let lines: Vec<_> = report["rejects"].as_array().expect("a list").iter().map(|one| one["line"].as_u64()).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8].map(Some));
    let reasons: Vec<_> = report["rejects"].as_array().expect("a list").iter().map(|one| &one["reason"]).collect();
    for (reason, part) in reasons.iter().zip(["no person", "not of the format", "no time", "quote", "longer", "future"])
    {
        assert!(reason.as_str().is_some_and(|text| text.contains(part)), "{reason}: {part}");
    }
    assert_eq!(fs::read_to_string(&rejects).expect("the file").lines().count(), 7);
    // More than are allowed: the answer is "no", and the good rows are in all the same.
    let (_, code) = desk.import("other", &desk.file("in.csv", &table), TABLE);
    assert_eq!((code, desk.events("other").len()), (1, 2));
}

#[test]
fn an_order_of_less_than_nothing_is_rejected_as_the_door_does() {
    let desk = Desk::new();
    let table = desk.file("in.csv", "id,date,sum\n7,1997-01-01,-1\n8,1997-01-01,0\n9,1997-01-01,-0.00\n");
    let (report, code) = desk.import("data", &table, TABLE);
    assert_eq!((code, report["imported"].as_u64()), (1, Some(2)), "{report}");
    assert_eq!(report["rejects"][0]["reason"], "the money of an order is below zero");
    let (report, code) =
        desk.import("data", &table, &[TABLE, &["--again", "--event-if-negative", "sum=Order Refunded"]].concat());
    assert_eq!((code, report["rejected"].as_u64()), (0, Some(0)), "{report}");
}

#[test]
fn a_wrong_mapping_is_a_wrong_call() {
    let desk = Desk::new();
    let file = desk.file("in.csv", "id,date,sum\n7,1997-01-01,1\n");
    for flags in [&["--user", "name", "--time", "date", "--event", "X"][..], &["--user", "id", "--event", "X"], &[]] {
        let (said, code) = desk.import("data", &file, flags);
        assert_eq!(code, 2, "{flags:?}: {said}");
    }
    assert_eq!(desk.import("data", &desk.path("missing.csv"), TABLE).1, 1);
}

#[test]
fn equal_rows_are_two_and_the_same_file_again_is_nothing() {
    let desk = Desk::new();
    let table = "id,date,sum\n7,1997-01-01,1\n7,1997-01-01,1\n8,1997-01-01,1\n";
    for clock in ["wall", "data"] {
        let flags = [TABLE, &["--clock", clock]].concat();
        let (first, _) = desk.import(clock, &desk.file("in.csv", table), &flags);
        assert_eq!((first["imported"].as_u64(), first["already_there"].as_u64()), (Some(3), Some(0)), "{first}");
        let before = desk.export(clock, &["profiles"]);
        let (again, code) = desk.import(clock, &desk.file("in.csv", table), &flags);
        assert_eq!((again["imported"].as_u64(), again["already_there"].as_u64()), (Some(0), Some(3)), "{again}");
        assert_eq!((code, desk.export(clock, &["profiles"])), (0, before));
        // The file has grown: what is new comes in, also a third of the equal rows.
        let grown = format!("{table}9,1997-01-02,1\n7,1997-01-01,1\n");
        let (grown, _) = desk.import(clock, &desk.file("in.csv", grown), &flags);
        assert_eq!((grown["imported"].as_u64(), grown["already_there"].as_u64()), (Some(2), Some(3)), "{grown}");
    }
}

fn many_rows(rows: usize) -> String {
    let mut table = String::from("id,date,sum\n");
    for row in 0..rows {
        let day = 1 + row * 7 % 28;
        let _ = writeln!(table, "{},1997-{:02}-{day:02},{}", row * 31 % 977, 1 + row * 5 % 12, row % 10);
    }
    table
}

#[test]
fn an_import_killed_in_the_middle_and_run_again_ends_the_same() {
    let desk = Desk::new();
    let file = desk.file("in.csv", many_rows(12_000));
    let flags = [TABLE, &["--clock", "data"]].concat();
    let (whole, code) = desk.import("whole", &file, &flags);
    assert_eq!((code, whole["imported"].as_u64()), (0, Some(12_000)));
    let start = || {
        let mut command = program(&desk.path("killed"));
        command.arg("import").arg(&file).args(&flags).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it runs")
    };
    // Killed again and again, each time a little further in.
    for at_bytes in [1 << 20, 2 << 20, 4 << 20] {
        let mut child = start();
        let log = desk.path("killed").join("sled/db");
        let far = || fs::metadata(&log).is_ok_and(|file| file.len() >= at_bytes);
        while !far() && child.try_wait().expect("its state").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }
    let (last, code) = desk.import("killed", &file, &flags);
    let rows = ["imported", "already_there"].map(|name| last[name].as_u64().unwrap_or_default());
    assert_eq!((code, rows.iter().sum::<u64>()), (0, 12_000), "{last}");
    let sorted = |data: &str, what: &str| {
        let mut lines: Vec<_> = desk.export(data, &[what]).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("killed", "events"), sorted("whole", "events"));
    assert_eq!(sorted("killed", "profiles"), sorted("whole", "profiles"));
}

#[test]
fn what_is_exported_is_read_back_the_same() {
    let desk = Desk::new();
    let lines = [
        r#"{"type":"identify","messageId":"m1","userId":"ann","traits":{"email":"ann@example.test","note":"=1+1"},"timestamp":"1997-01-01T10:00:00.000Z"}"#,
        r#"{"type":"track","messageId":"m2","userId":"ann","event":"Order Completed","properties":{"revenue":12.5,"currency":"EUR"},"timestamp":"1997-01-02T10:00:00.000Z"}"#,
        r#"{"type":"page","messageId":"m3","anonymousId":"dev-1","name":"Home","properties":{"path":"/"},"timestamp":"1997-01-03T10:00:00.000Z","context":{"ip":"10.0.0.1"}}"#,
        r#"{"type":"alias","messageId":"m4","userId":"ann","previousId":"dev-1","timestamp":"1997-01-04T10:00:00.000Z"}"#,
        r#"{"type":"group","messageId":"m5","userId":"ann","groupId":"g","traits":{"plan":"pro"},"timestamp":"1997-01-05T10:00:00.000Z"}"#,
        r#"{"type":"track","messageId":"m2","userId":"ann","event":"Order Completed","timestamp":"1997-01-06T10:00:00.000Z"}"#,
    ];
    let (report, code) = desk.import("one", &desk.file("in.jsonl", lines.join("\n")), &["--clock", "data"]);
    assert_eq!(
        (code, report["imported"].as_u64(), report["already_there"].as_u64()),
        (0, Some(5), Some(1)),
        "{report}"
    );
    let exported = desk.export("one", &["events"]);
    let (report, code) = desk.import("two", &desk.file("out.jsonl", &exported), &["--clock", "data"]);
    assert_eq!((code, report["imported"].as_u64()), (0, Some(5)), "{report}");
    assert_eq!(desk.export("two", &["events"]), exported);
    assert_eq!(desk.export("two", &["profiles"]), desk.export("one", &["profiles"]));
    let table = desk.export("one", &["profiles", "--format", "csv"]);
    assert_eq!(table.lines().next(), Some("id,identifiers,traits,features,time_zone,segments"));
}

#[test]
fn what_is_exported_is_known_where_it_came_from() {
    let desk = Desk::new();
    desk.import("data", &desk.file("in.csv", "id,date,sum\nann,1997-01-01,1\nann,1997-01-01,1\n"), TABLE);
    let exported = desk.export("data", &["events"]);
    let (report, code) = desk.import("data", &desk.file("out.jsonl", &exported), &[]);
    let rows = ["imported", "already_there"].map(|name| report[name].as_u64());
    assert_eq!((code, rows), (0, [Some(0), Some(2)]), "{report}");
    assert_eq!(desk.export("data", &["events"]), exported);
}

#[test]
fn a_flipped_byte_is_found_and_a_whole_journal_folds_to_the_same() {
    let desk = Desk::new();
    desk.import("data", &desk.file("in.csv", many_rows(2_000)), TABLE);
    let run = |what: &str| answer(program(&desk.path("data")).arg(what).output().expect("it runs"));
    let (report, code) = run("verify");
    assert_eq!((code, report["whole"].as_bool()), (0, Some(true)), "{report}");
    let (report, code) = run("replay");
    assert_eq!((code, report["same"].as_bool()), (0, Some(true)), "{report}");
    let log = desk.path("data").join("sled/db");
    let mut bytes = fs::read(&log).expect("the log");
    // In every block that says it, wherever the log has it.
    let name = b"Order Completed";
    let places: Vec<_> = (0..bytes.len()).filter(|place| bytes[*place..].starts_with(name)).collect();
    assert!(!places.is_empty(), "an event's name stands in its block as it is");
    for place in places {
        bytes[place] ^= 0x40;
    }
    fs::write(&log, &bytes).expect("the log");
    for snapshot in fs::read_dir(desk.path("data").join("sled")).expect("a folder").flatten() {
        if snapshot.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(snapshot.path()).expect("removed");
        }
    }
    let (said, code) = run("verify");
    assert_eq!(code, 1, "{said}");
    let nowhere = program(&desk.path("nowhere")).arg("verify").output().expect("it runs");
    assert_eq!(answer(nowhere).1, 2);
    assert!(!desk.path("nowhere").exists());
}

#[test]
fn a_table_does_not_count_again_unnoticed_under_another_mapping() {
    let desk = Desk::new();
    // Longer than what a file is told by, so that one that has grown is the same.
    let long = "x".repeat(1_200);
    let table = format!("id,date,sum,note\n1,2026-05-04,9.50,{long}\n2,2026-05-05,3,\n");
    let rows = desk.file("rows.csv", &table);
    let imported = |answer: &(Value, i32)| (answer.0["imported"].as_u64(), answer.0["already_there"].as_u64());
    assert_eq!(imported(&desk.import("data", &rows, TABLE)), (Some(2), Some(0)));
    let other = [TABLE, &["--set", "currency=EUR"]].concat();
    let (refused, code) = desk.import("data", &rows, &other);
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("another mapping")), "{refused}");
    assert_eq!((code, desk.events("data").len()), (2, 2));
    let rows = desk.file("rows.csv", table + "3,2026-05-06,4,\n");
    assert_eq!(imported(&desk.import("data", &rows, TABLE)), (Some(1), Some(2)));
    assert_eq!(desk.import("data", &rows, &other).1, 2);
    let again = [&other[..], &["--again"]].concat();
    assert_eq!(imported(&desk.import("data", &rows, &again)), (Some(3), Some(0)));
    // Now both are known.
    assert_eq!(imported(&desk.import("data", &rows, &other)), (Some(0), Some(3)));
    assert_eq!(imported(&desk.import("data", &rows, TABLE)), (Some(0), Some(3)));
}

#[test]
fn what_was_imported_is_known_at_the_door() {
    let desk = Desk::new();
    let call = r#"{"type":"track","messageId":"m-1","userId":"u1","event":"E","timestamp":"2026-05-04T08:00:00Z"}"#;
    let calls = desk.file("calls.jsonl", call);
    let (report, code) = desk.import("data", &calls, &[]);
    assert_eq!((report["imported"].as_u64(), code), (Some(1), 0), "{report}");
    let server = Server::start(&desk.path("data"));
    assert_eq!(server.post("/v1/track", call).status, 200);
    assert_eq!(server.post("/v1/track", call.replace("m-1", "m-2")).status, 200);
    server.settle();
    server.stop();
    let ids: Vec<_> = desk.events("data").iter().map(|event| event["messageId"].to_string()).collect();
    assert_eq!(ids, ["\"m-1\"", "\"m-2\""]);
}

#[test]
fn files_are_sent_to_a_running_server() {
    let desk = Desk::new();
    let mut table = String::from("id,date,sum\n");
    for row in 0..1_500 {
        let _ = writeln!(table, "{},2026-05-04,{row}.25", row % 40);
    }
    let rows = desk.file("rows.csv", table);
    let server = Server::start(&desk.path("data"));
    let url = format!("http://{}", server.address);
    let key = server.write_key.clone();
    let send = |key: &str| {
        let flags = [TABLE, &["--url", &url, "--key", key]].concat();
        desk.import("elsewhere", &rows, &flags)
    };
    let (refused, code) = send("ingest_wrong");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("401")), "{refused}");
    assert_eq!(code, 1);
    for _ in 0..2 {
        let (report, code) = send(&key);
        assert_eq!((report["acknowledged"].as_u64(), report["rejected"].as_u64(), code), (Some(1_500), Some(0), 0));
    }
    server.settle();
    let person = server.get("/api/profiles/user_id:7");
    assert_eq!(person["features"]["orders"], 38, "{person}");
    server.stop();
    assert_eq!(desk.events("data").len(), 1_500, "the second time changes nothing");
    assert!(!desk.path("elsewhere").exists());
}
