//! The ingest door: Segment's HTTP tracking API, so that existing clients work by changing their host.
//!
//! A request is read ([`crate::http`]), parsed with its texts borrowed from the body, judged event
//! by event, and committed as one: the answer comes once it is on disk. What is wrong with a
//! whole request refuses all of it; what is wrong with one event of a batch refuses that event and
//! is counted for its source.

mod call;
mod event;
pub mod handlers;
mod item;
mod line;
mod look;
mod parse;
mod reject;
mod scan;
pub mod sources;
mod time;

pub(crate) use call::{Call, instant};
pub(crate) use event::check_order;
pub use event::{ID_BYTES_MAX, MESSAGE_ID_CHARS_MAX, NAME_BYTES_MAX};
pub(crate) use handlers::{dedup_hash, dedup_key};
pub(crate) use line::event_of_line;
pub use look::look;
pub use reject::RejectionView;
pub use time::EARLIEST_MS;
