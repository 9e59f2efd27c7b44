//! Logs of sessions of other nodes that those nodes uploaded when they ended.
//!
//! Owns when such a copy is read in place of the node, and filters it once more: its writer may lie.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::time::timeout;

use crate::files::Stop;
use crate::node::Node;
use crate::transfers::TransferError;
use cis_core::api::log_pieces::LogPiece;
use cis_core::api::{Problem, ProblemKind, ReadLog, TaskNodeView};
use cis_core::event::{Actor, UploadedLog};
use cis_core::ids::SessionId;
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::sanitizer::Sanitizer;

/// A copy comes within this time.
const TIME_MAX: Duration = Duration::from_secs(30);
/// The same where other people wait as well.
const TAIL_TIME_MAX: Duration = Duration::from_secs(5);
/// Filtered at a time, bytes.
const PIECE_BYTES: usize = 64 << 10;

/// A copy of the log of an attempt.
pub(crate) struct LogCopy {
    log: UploadedLog,
    /// Bytes of the output; none: not known.
    total: Option<u64>,
}

impl LogCopy {
    /// Whether it has the output byte by byte: nothing was cut or replaced.
    pub(crate) fn is_exact(&self) -> bool {
        self.total == Some(self.log.size)
    }

    /// Where in it that byte of the output is, or about where: its end is the output's.
    fn place_of(&self, from: u64) -> u64 {
        let to_end = self.total.unwrap_or(self.log.size).saturating_sub(from);
        self.log.size.saturating_sub(to_end)
    }
}

/// The end of the log of a session of another node.
pub(crate) enum TailElsewhere {
    /// As plain text, of the copy that the node uploaded.
    Copy(String),
    /// What people call the node: there is no copy, or it cannot be had now.
    OnNode(String),
}

impl Node {
    /// What people call the node that has the log of a session; none: it is this node, or nothing was printed.
    pub(crate) async fn log_holder(&self, session: SessionId) -> Result<Option<String>, Problem> {
        let Some(did) = self.read(move |reader| reader.node_of(session)).await? else { return Ok(None) };
        let total = self.read(move |reader| reader.session_output(session)).await?;
        if self.identity.is_or_was(&did) || total == Some(0) {
            return Ok(None);
        }
        let room = match self.session_view(session).await?.run {
            Some(run) => self.read(move |reader| reader.run(run)).await?.room,
            None => None,
        };
        let room = room.unwrap_or_default();
        let announced = self.shared.announced().remove(&room).unwrap_or_default();
        let name = self.node_name(&room, &did, announced.get(&did));
        Ok(Some(TaskNodeView { did, name }.label().to_owned()))
    }

    /// The last `bytes` of the log of a session that another node has or had; none as for [`Self::log_holder`].
    pub(crate) async fn tail_elsewhere(
        &self,
        session: SessionId,
        bytes: usize,
    ) -> Result<Option<TailElsewhere>, Problem> {
        let Some(holder) = self.log_holder(session).await? else { return Ok(None) };
        let stop = Stop::default();
        let fetched = match self.log_copy(session).await? {
            Some(copy) => timeout(TAIL_TIME_MAX, self.fetch_log(&copy.log, &stop)).await.ok(),
            None => None,
        };
        let Some(Ok(copy)) = fetched else { return Ok(Some(TailElsewhere::OnNode(holder))) };
        let tail = tokio::task::spawn_blocking(move || crate::logs::tail_of_copy(&copy, bytes)).await;
        Ok(Some(tail.map_or(TailElsewhere::OnNode(holder), TailElsewhere::Copy)))
    }

    /// The copy of the log of a session of another node; none: there is none, or it has not ended.
    pub(crate) async fn log_copy(&self, session: SessionId) -> Result<Option<LogCopy>, Problem> {
        let Some(node) = self.read(move |reader| reader.node_of(session)).await? else { return Ok(None) };
        if self.identity.is_or_was(&node) {
            return Ok(None);
        }
        let view = self.session_view(session).await?;
        let of = (view.run, view.task, view.attempt);
        let (Some(run), Some(task), Some(attempt), false) = (of.0, of.1, of.2, view.state.is_live()) else {
            return Ok(None);
        };
        let log = self.read(move |reader| reader.uploaded_log(run, &task, attempt)).await?;
        let total = self.read(move |reader| reader.session_output(session)).await?;
        Ok(log.map(|log| LogCopy { log, total }))
    }

    /// The log of a session of another node of which there is a copy. The node itself is asked only where the copy is another one.
    pub(crate) async fn log_or_copy(
        &self,
        session: SessionId,
        copy: LogCopy,
        query: &ReadLog,
        by: Actor,
    ) -> Result<BoxStream<'static, LogPiece>, Problem> {
        if copy.is_exact()
            && let Ok(pieces) = self.read_copy(&copy, query).await
        {
            return Ok(pieces);
        }
        let there = match self.elsewhere(session).await {
            Ok(Some(place)) => self.log_elsewhere(place, query.clone(), by).await,
            Ok(None) => return self.read_copy(&copy, query).await,
            Err(problem) => Err(problem),
        };
        match there {
            Ok(pieces) => Ok(pieces),
            Err(problem) => self.read_copy(&copy, query).await.map_err(|_| problem),
        }
    }

    async fn read_copy(
        &self,
        copy: &LogCopy,
        query: &ReadLog,
    ) -> Result<BoxStream<'static, LogPiece>, Problem> {
        let fetched = timeout(TIME_MAX, self.fetch_log(&copy.log, &Stop::default())).await;
        let mut bytes = fetched.unwrap_or(Err(TransferError::Late)).map_err(|error| {
            let detail = format!("the copy of the log cannot be had: {error}");
            Problem::new(ProblemKind::Conflict, detail)
        })?;
        let from = query.from.map_or(0, |from| copy.place_of(from));
        bytes.drain(..usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len())));
        let filter = Sanitizer::new(crate::logs::form_of(query), Arc::new(Redactor::default()), Mask::Stars);
        let pieces = stream::unfold(Some((bytes, 0, filter)), |state| async move {
            let (bytes, at, mut filter) = state?;
            let (mut shown, end) = (Vec::new(), bytes.len().min(at + PIECE_BYTES));
            filter.push(&bytes[at..end], &mut shown);
            if end < bytes.len() {
                let piece = LogPiece { bytes: shown, next: None, last: false };
                return Some((piece, Some((bytes, end, filter))));
            }
            filter.finish(&mut shown);
            Some((LogPiece { bytes: shown, next: None, last: true }, None))
        });
        Ok(pieces.boxed())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use cis_core::ids::BlobId;

    #[test]
    fn the_end_of_a_copy_is_the_end_of_the_output() {
        let log =
            |size| UploadedLog { sha256: BlobId("0".repeat(64)), size, start: 0, of: size, media: json!({}) };
        let whole = LogCopy { log: log(100), total: Some(100) };
        assert!(whole.is_exact());
        assert_eq!([0, 40, 100, 101].map(|from| whole.place_of(from)), [0, 40, 100, 100]);
        let cut = LogCopy { log: log(100), total: Some(1000) };
        assert!(!cut.is_exact());
        assert_eq!([0, 899, 900, 990, 2000].map(|from| cut.place_of(from)), [0, 0, 0, 90, 100]);
        let unknown = LogCopy { log: log(100), total: None };
        assert!(!unknown.is_exact() && unknown.place_of(30) == 30);
    }
}
