//! Logs of sessions of other nodes that those nodes uploaded when they ended.
//!
//! Owns when such a copy is read in place of the node, and filters it once more: whoever wrote it may lie.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::time::timeout;

use crate::files::Stop;
use crate::node::Node;
use crate::transfers::TransferError;
use cis_core::api::log_pieces::LogPiece;
use cis_core::api::{Problem, ReadLog};
use cis_core::ids::SessionId;
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::sanitizer::Sanitizer;

/// The node itself is asked when a copy does not come within this time.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Filtered at a time, bytes.
const PIECE_BYTES: usize = 64 << 10;

impl Node {
    /// The log of a session of another node, where that uploaded it; none: it did not, or it cannot be had.
    pub(crate) async fn uploaded_log(
        &self,
        session: SessionId,
        query: &ReadLog,
    ) -> Result<Option<BoxStream<'static, LogPiece>>, Problem> {
        let Some(node) = self.read(move |reader| reader.node_of(session)).await? else { return Ok(None) };
        if self.identity.is_or_was(&node) {
            return Ok(None);
        }
        let view = self.session_view(session).await?;
        let (Some(run), Some(task), Some(attempt)) = (view.run, view.task, view.attempt) else {
            return Ok(None);
        };
        let Some(log) = self.read(move |reader| reader.uploaded_log(run, &task, attempt)).await? else {
            return Ok(None);
        };
        let bytes = match timeout(TIME_MAX, self.fetch_log(&log, &Stop::default())).await {
            Ok(fetched) => fetched,
            Err(_) => Err(TransferError::Late),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::debug!(%session, %error, "the copy of a log cannot be had");
                return Ok(None);
            }
        };
        let from = query.from.and_then(|from| usize::try_from(from).ok()).unwrap_or(0);
        let bytes = bytes.get(from..).unwrap_or_default().to_vec();
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
        Ok(Some(pieces.boxed()))
    }
}
