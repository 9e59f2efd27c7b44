//! Any answer of the API as it is, by its path.

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::CONTENT_TYPE;

use super::http::Body;
use super::{Client, ClientError};

/// An answer, piece by piece.
#[derive(Debug)]
pub struct RawAnswer<'a> {
    client: &'a Client,
    body: Incoming,
    is_json: bool,
    /// Dropping it would tell the connection that nobody needs it any more.
    _connection: SendRequest<Body>,
}

impl Client {
    /// What `GET PATH` answers; the path begins with `/` and may have a query.
    ///
    /// # Errors
    /// As every call. A path that only speaks WebSocket answers with a problem that says so.
    pub async fn get_raw(&self, path: &str) -> Result<RawAnswer<'_>, ClientError> {
        let (response, connection) = self.open(path).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
        Ok(RawAnswer { client: self, body: response.into_body(), is_json, _connection: connection })
    }
}

impl RawAnswer<'_> {
    /// It is one JSON document.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// The next bytes; none at the end.
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
}
