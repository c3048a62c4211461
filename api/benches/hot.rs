//! The door's hot pure functions: `cargo hot` runs them beside those of the other crates.

use divan::{Bencher, black_box, counter::BytesCount};
use impresario_api::{
    config::IngestLimits,
    import::{Mapping, Table, segment},
};

fn main() {
    divan::main();
}

const TRACK: &str = r#"{"type":"track","messageId":"0190f0a2-7c9b-7d1e-8a3c-000000000001","userId":"user-1","event":"Product Viewed","properties":{"product_id":"SKU-00042","category":"shoes","price":79.90,"currency":"EUR"},"context":{"library":{"name":"analytics-node","version":"2.1.0"}},"timestamp":"2026-05-04T08:00:00.000Z"}"#;

/// Parsing and judging one call, as at the door.
#[divan::bench]
fn parse_an_event(bencher: Bencher<'_, '_>) {
    let limits = IngestLimits::default();
    bencher.counter(BytesCount::of_str(TRACK)).bench(|| segment::event(black_box(TRACK), &limits));
}

/// A row of a table as an event.
#[divan::bench]
fn read_a_row(bencher: Bencher<'_, '_>) {
    const ROW: &str = "o42,c1234,2026-05-04T08:00:00Z,79.90,EUR";
    let mut mapping = Mapping { user: Some("customer".into()), time: Some("time".into()), ..Mapping::default() };
    mapping.event = Some("Order Completed".into());
    mapping.properties.insert("revenue".into(), "total".into());
    mapping.properties.insert("currency".into(), "currency".into());
    let table = Table::new(&mapping, "order,customer,time,total,currency").unwrap_or_else(|why| panic!("{why}"));
    bencher.counter(BytesCount::of_str(ROW)).bench(|| table.event(black_box(ROW)));
}
