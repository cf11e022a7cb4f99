//! Backups of the running service, and checkpoints on demand.

use std::io::{self, BufWriter, Write};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use crate::pipeline::live::Refusal;

/// Pieces of a backup that wait to be sent, and their size in bytes.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 256 << 10;

/// A checkpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct Savepoint {
    /// Its number.
    number: u64,
}

/// Makes a checkpoint now, and answers when it is durable
#[utoipa::path(
    post,
    path = "/v1/savepoint",
    tag = "operation",
    responses(
        (status = 200, body = Savepoint),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn savepoint(State(api): State<Api>) -> Result<Json<Savepoint>, Problem> {
    let (reply, answer) = oneshot::channel();
    api.0.live.savepoint(move |result| _ = reply.send(result));
    let number = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    Ok(Json(Savepoint { number }))
}

/// All that the service keeps, as of one moment, while it goes on
///
/// An archive (tar, compressed with zstd) for `sequor restore`. It is whole where `backup.json` is its last file.
#[utoipa::path(
    post,
    path = "/v1/backup",
    tag = "operation",
    responses(
        (status = 200, body = String, content_type = "application/zstd"),
        (status = 409, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn backup(State(api): State<Api>) -> Result<Response, Problem> {
    let Some(backup) = api.0.live.backup() else {
        let detail = "another backup is being made: wait until it is done";
        return Err(Problem::new(StatusCode::CONFLICT, "busy", detail));
    };
    let (pieces, sent) = mpsc::channel(PIECES);
    // It may take longer than a request may.
    tokio::task::spawn_blocking(move || {
        let mut to = BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces.clone()));
        let audit = api.0.audit.tail();
        if let Err(error) = backup.write(&[("audit", audit)], &mut to).and_then(|()| to.flush()) {
            tracing::warn!(%error, "a backup broke off");
            // Whoever reads it sees that it has no end.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    let body = stream::unfold(sent, |mut sent| async move { Some((sent.recv().await?, sent)) });
    let kind = HeaderValue::from_static("application/zstd");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response())
}

/// Writes to whoever reads the answer.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
