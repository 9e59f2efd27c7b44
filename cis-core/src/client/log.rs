//! A log, read piece by piece.

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;

use super::ClientError;
use super::http::{Body, Client};

/// The bytes of a log; with `follow` it ends when the session does.
#[derive(Debug)]
pub struct LogStream<'a> {
    client: &'a Client,
    body: Incoming,
    /// Dropping it would tell the connection that nobody needs it any more.
    _connection: SendRequest<Body>,
}

impl LogStream<'_> {
    /// The next bytes; none at the end. May be dropped while it waits without losing any.
    ///
    /// # Errors
    /// [`ClientError::Io`]: the node went away before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| self.client.broken(error))?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All that is left, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while all.len() < limit
            && let Some(bytes) = self.next().await?
        {
            all.extend_from_slice(&bytes[..bytes.len().min(limit - all.len())]);
        }
        Ok(all)
    }
}

impl Client {
    pub(super) async fn log(&self, path: &str) -> Result<LogStream<'_>, ClientError> {
        let (body, connection) = self.open(path).await?;
        Ok(LogStream { client: self, body, _connection: connection })
    }
}
