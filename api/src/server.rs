//! The server: the host with its agents inside, the HTTP doors outside.
//!
//! Connections are accepted and served here rather than by `axum::serve`, which never closes slow
//! ones: the head, the body and each part of an answer have their time, and connections their number.
//! A stop closes the door, lets requests under way end and the agents come to rest, writes
//! everything, and ends; a second signal ends at once.

mod connection;
mod signal;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use impresario_agents::Casting;
use impresario_runtime::{Host, RuntimeError, WallClock};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use self::signal::{Signals, end_at_once};
use crate::{
    app::{App, DirectoryClock},
    channels::Channels,
    config::Config,
    control,
    directory::DataDirectory,
    keys::KeyRing,
};

/// How often the disk is looked at.
const DISK_EVERY: Duration = Duration::from_secs(1);
/// Looks at the disk between two times the counts are kept.
const LOOKS_PER_KEEPING: u32 = 5;
/// Connections the system holds until they are accepted.
const BACKLOG: u32 = 4_096;
/// Pause after a connection could not be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server could not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The runtime's or the store's error.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// It can't listen there.
    #[error("could not listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's error.
        error: std::io::Error,
    },
    /// The system gives no threads or signals.
    #[error("could not {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: std::io::Error,
    },
}

/// Runs the server until it is told to stop. `listening` is called once it can be reached.
///
/// # Errors
/// It can't listen, the host can't start, or the last state could not be written.
pub fn run(
    directory: DataDirectory,
    clock: DirectoryClock,
    config: Config,
    ring: KeyRing,
    casting: Casting,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.threads)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| ServerError::System { what: "start the HTTP threads", error })?;
    let served = runtime.block_on(async {
        let address = config.server.listen;
        // First of all: whoever can't listen must not have started agents.
        let listener = listen(address).map_err(|error| ServerError::Listen { address, error })?;
        let address = listener.local_addr().map_err(|error| ServerError::Listen { address, error })?;
        let DataDirectory { journal, seed } = directory;
        let troupe = config.storage.govern(casting(config.agents.workers)).states_in_memory(config.agents.states_max);
        let channels = Channels::new(Path::new(&config.data));
        let troupe = channels.join(troupe);
        let host = Host::start(journal, troupe, seed, clock.shared(), config.agents.threads)?;
        let app = Arc::new(App::new(host, clock, config, ring, &seed, Arc::clone(&channels))?);
        channels.belong_to(&app);
        // Whoever is told that it runs may tell it to stop at once.
        let mut signals = Signals::new().map_err(|error| ServerError::System { what: "wait for signals", error })?;
        listening(address);
        serve(&app, listener, &mut signals).await;
        tokio::select! {
            biased;
            () = signals.next() => end_at_once(),
            stopped = stop(&app) => stopped,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// A listener with room for a crowd that comes at once.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until a signal comes and what is under way has ended.
async fn serve(app: &Arc<App>, listener: TcpListener, signals: &mut Signals) {
    let router = control::router(Arc::clone(app));
    let settings = connection::Settings::of(&app.config.server);
    let places = Arc::new(Semaphore::new(app.config.server.connections_max));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    // What was erased before the start is forgotten before anybody is answered.
    app.forget_erased();
    let mut housekeeping = tokio::time::interval(DISK_EVERY);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => break,
            _ = housekeeping.tick() => {
                app.look_at_disk();
                app.forget_erased();
                looks += 1;
                if looks.is_multiple_of(LOOKS_PER_KEEPING) {
                    let app = Arc::clone(app);
                    connections.spawn(async move { app.keep_counts().await });
                }
                while connections.try_join_next().is_some() {}
            }
            accepted = listener.accept() => match accepted {
                // Beyond the limit a connection is closed unheard.
                Ok((stream, _)) => if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let serving = connection::serve(stream, router.clone(), settings, closed.clone(), place);
                    connections.spawn(serving);
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    tracing::info!("stopping: the door is closed, what is under way ends");
    drop(listener);
    app.close_door();
    let _ = closing.send(true);
    let drain = Duration::from_millis(app.config.server.drain_ms_max);
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = signals.next() => end_at_once(),
        ended = tokio::time::timeout(drain, ended) => if ended.is_err() {
            tracing::warn!(waited_ms = app.config.server.drain_ms_max, "stopping before all requests ended");
        },
    }
    connections.abort_all();
}

/// Lets the agents come to rest, writes everything, and closes the journal.
async fn stop(app: &App) -> Result<(), ServerError> {
    app.backups.end();
    app.keep_counts().await;
    // On a held clock nothing new can come due; on the wall clock the agents have their time.
    let drain = Duration::from_millis(app.config.server.drain_ms_max);
    app.host.stop(drain).await?;
    app.host.journal().close().map_err(RuntimeError::from)?;
    tracing::info!("stopped");
    Ok(())
}

/// The clock a directory is served by: `wall`, `data`, or the instant a held clock starts at.
///
/// # Errors
/// Neither of these, or `data` for a directory with no data yet.
pub fn clock_of(setting: &str, directory: &DataDirectory) -> Result<DirectoryClock, String> {
    use impresario_runtime::{Clock, HeldClock};
    let last_at = directory.journal.last_at();
    let start = match setting {
        "wall" => return Ok(DirectoryClock::Wall),
        "data" => last_at.ok_or("a directory with no data has no time yet: give an instant instead of `data`")?,
        instant => {
            let instant: impresario_agents::segmentation::Instant =
                instant.parse().map_err(|error| format!("the clock is `wall`, `data` or an instant: {error}"))?;
            last_at.map_or(instant.ms(), |last| last.max(instant.ms()))
        }
    };
    if start > WallClock.now_ms() {
        return Err("a clock that moves with the data does not start in the future".into());
    }
    Ok(DirectoryClock::Data(Arc::new(HeldClock::at(start))))
}
