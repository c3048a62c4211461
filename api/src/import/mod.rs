//! Importing files: Segment calls as JSON lines, and tables with a mapping of their columns.
//!
//! In reading order: [`Mapping`] says what the columns mean; [`Source`] and [`records`] cut a file
//! into rows; [`Table`] and [`segment`] make events of them; the [`Ledger`] knows which rows the
//! directory has had; the [`Feed`] puts them in order; [`load`] takes them into a data directory, or [`remote`]
//! sends them to a running server.
//!
//! Memory is bounded: a row is at most 64 KiB, and a row costs some 20 bytes for being known again,
//! and 24 more while it is put in the order of time.

mod cells;
mod decimal;
mod feed;
mod instant;
mod ledger;
pub mod limits;
pub mod load;
mod mapping;
pub mod records;
mod rejects;
pub mod remote;
pub mod segment;
mod source;
mod table;

pub use cells::{CELLS_MAX, Separator};
pub use decimal::Decimal;
pub use feed::{Batch, Feed, Rules, Stop, Totals};
pub use instant::TimeFormat;
pub use ledger::{Ledger, Marks, RowId, Seen};
pub use mapping::{FileFormat, Mapping, pair};
pub use rejects::{Reject, Rejects};
pub use source::{Place, Source};
pub use table::{Fault, RowEvent, Table};
