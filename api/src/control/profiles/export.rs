//! Everything held of one customer, streamed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame;
use impresario_agents::vocabulary::ProfileId;
use impresario_runtime::{Gatherer, RuntimeError, store::Journal};
use tokio::sync::mpsc;

use crate::{
    app::App,
    person_data::{EntryLines, end_line, profile_line, state_line},
    problem::Problem,
};

/// Pieces that may wait for a slow reader.
const PIECES_MAX: usize = 8;
/// Bytes of one piece, about.
const PIECE_BYTES: usize = 32 << 10;

type Piece = Result<Bytes, std::io::Error>;

/// A body of pieces made elsewhere.
struct Pieces(mpsc::Receiver<Piece>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Why the lines end before their time.
#[derive(Debug)]
enum Ended {
    /// Nobody reads any more.
    Unread,
    Broken(String),
}

impl From<RuntimeError> for Ended {
    fn from(error: RuntimeError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<impresario_runtime::store::StoreError> for Ended {
    fn from(error: impresario_runtime::store::StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<serde_json::Error> for Ended {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The answer: the customer, what agents keep of them, and all their entries.
pub(super) async fn answer(app: &App, id: ProfileId, view: &impl serde::Serialize) -> Result<Response, Problem> {
    let unsaid = |error: serde_json::Error| {
        tracing::error!(%error, profile = %id, "a person can't be written as JSON");
        Problem::internal("the person can't be written as JSON; see the server's log")
    };
    let mut head = profile_line(view).map_err(unsaid)?;
    for status in app.host.status() {
        match app.host.state_json(&status.agent, &id.to_string()).await {
            Ok(Some(state)) => head.extend(state_line(&status.agent, &state).map_err(unsaid)?),
            // Its keys are no people, or it keeps nothing of this one.
            Ok(None) | Err(RuntimeError::UnknownKey { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    let (journal, gatherer) = (Arc::clone(app.host.journal()), app.host.gatherer());
    app.detached(move || match gather(&journal, gatherer, id, head, &pieces) {
        Ok(()) | Err(Ended::Unread) => {}
        Err(Ended::Broken(why)) => {
            tracing::error!(why, profile = %id, "an export of a person has broken off");
            let _ = pieces.blocking_send(Err(std::io::Error::other("the export has broken off")));
        }
    })?;
    let mut response = Body::new(Pieces(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{id}.jsonl\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn gather(
    journal: &Journal,
    mut gatherer: Gatherer,
    id: ProfileId,
    head: Vec<u8>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Ended> {
    let send = |piece: Vec<u8>| pieces.blocking_send(Ok(piece.into())).map_err(|_| Ended::Unread);
    let mut piece = head;
    let mut lines = EntryLines::of(journal);
    gatherer.gather(id.into(), |entry| {
        piece.extend(lines.line(entry)?);
        if piece.len() >= PIECE_BYTES {
            send(std::mem::take(&mut piece))?;
        }
        Ok::<(), Ended>(())
    })?;
    piece.extend(end_line(lines.count)?);
    send(piece)
}
