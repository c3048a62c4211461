//! What an agent is, and the house it lives in.
//!
//! An [`Agent`] folds entries of the journal into state and says what comes of it; all it may ask of
//! the world goes through its [`Step`]. A [`Troupe`] is a set of agents. The [`Host`] plays it live,
//! on supervised actors; the [`Driver`] plays the same troupe on one thread and a held clock, for
//! replay, scenarios and imports. This crate knows nothing of marketing or HTTP.

mod about;
mod agent;
mod clock;
mod digest;
mod disturbance;
mod driver;
mod effect;
mod entries;
mod erasure;
mod error;
mod hold;
mod home;
mod journal_reader;
mod keys;
mod letters;
mod limits;
mod live;
mod moved;
mod retention;
pub mod rng;
mod routes;
mod slots;
mod status;
mod step;
mod subject;
mod supervision;
pub mod test_kit;
mod topic;
mod troupe;
mod versions;
mod worker;

pub use agent::{Agent, Checkpoint, Event, Held, On, OnMany, OnShared, Shared};
pub use clock::{Clock, HeldClock, WallClock};
pub use digest::{Digest, journal_digest};
pub use driver::Driver;
pub use effect::{Effect, EffectCall, EffectError, EffectFailed, Job, JobPast, Performing};
pub use entries::{each_entry, new_entry};
pub use erasure::ErasureStatus;
pub use error::{AgentError, Failure, FailureKind, RuntimeError};
pub use hold::{AgentHeld, AgentResumed};
pub use impresario_store as store;
pub use keys::{Keys, Reading};
pub use letters::{DeadLetter, WaitingLetter};
pub use limits::RuntimeLimits;
pub use live::{Gatherer, Host};
pub use retention::{RETENTION_DAYS_MIN, RetentionStatus};
pub use rng::RunSeed;
pub use routes::Routes;
pub use status::{AgentMetrics, AgentStatus, Condition, KeyState, Metrics, WorkerStatus};
pub use step::{Past, Step};
pub use subject::{ErasureAsked, SubjectErased, SubjectForgotten, SubjectId};
pub use supervision::{Supervision, Verdict};
pub use topic::{AgentKey, Topic};
pub use troupe::{Troupe, run_seed};
