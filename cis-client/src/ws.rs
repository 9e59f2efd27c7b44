//! WebSockets to a node.

use std::time::Duration;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, http::Uri};

use super::endpoint::Wire;
use super::http::{ANSWER_TIME_MAX, check_names, problem_of};
use super::{Client, ClientError};

pub(super) type Socket = WebSocketStream<Wire>;

/// No message of a node is longer.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

impl Client {
    /// A WebSocket to `path`, which may have a query.
    pub(super) async fn upgrade(&self, path: &str) -> Result<Socket, ClientError> {
        self.upgrade_within(ANSWER_TIME_MAX, path).await
    }

    /// The same, if the node answers the handshake within `limit`.
    pub(super) async fn upgrade_within(&self, limit: Duration, path: &str) -> Result<Socket, ClientError> {
        check_names(path)?;
        let uri: Uri =
            format!("ws://{}{path}", self.endpoint().authority()).parse().map_err(ClientError::protocol)?;
        let mut request = ClientRequestBuilder::new(uri);
        if let Some((name, token)) = self.token()
            && let Ok(token) = token.to_str()
        {
            request = request.with_header(name.as_str(), token);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let stream = self.endpoint().connect().await?;
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match tokio::time::timeout(limit, handshake).await {
            Ok(answer) => answer.map(|(socket, _)| socket).map_err(|error| self.ws_error(error)),
            // The kernel takes connections also for a process that is stopped.
            Err(_) => Err(ClientError::Timeout { seconds: limit.as_secs() }),
        }
    }

    pub(super) fn ws_error(&self, error: Error) -> ClientError {
        match error {
            Error::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                problem_of(response.status().as_u16(), body).into()
            }
            Error::Io(source) => self.io(source),
            Error::ConnectionClosed | Error::AlreadyClosed => {
                self.io(std::io::ErrorKind::ConnectionReset.into())
            }
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
                | tokio_tungstenite::tungstenite::error::ProtocolError::HandshakeIncomplete,
            ) => self.io(std::io::ErrorKind::ConnectionReset.into()),
            other => ClientError::protocol(other),
        }
    }
}
