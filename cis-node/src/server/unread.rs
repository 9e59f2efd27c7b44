//! What a handler leaves of a request's body is read and thrown away before the answer goes out.
//!
//! A connection that is closed with unread bytes in it is reset (unix(7)), and its client, which may
//! still be writing, would see a broken pipe in place of the answer that says why it was refused.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;

use super::body::RUN_BYTES_MAX;

/// A client that writes more slowly is not waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);

type Shared = Arc<Mutex<BodyDataStream>>;

/// Middleware: see the module.
pub(super) async fn read_to_its_end(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let shared: Shared = Arc::new(Mutex::new(body.into_data_stream()));
    let parts = stream::unfold(Arc::clone(&shared), |shared| async move {
        let part = shared.lock().await.next().await;
        part.map(|part| (part, shared))
    });
    let response = next.run(Request::from_parts(head, Body::from_stream(parts))).await;
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest did not arrive in time: the connection is closed without it.
        return response;
    }
    // Whatever comes of it, there is an answer.
    let _ = tokio::time::timeout(WAIT_MAX, discard(&mut *shared.lock().await, RUN_BYTES_MAX)).await;
    response
}

/// The same for a request that no handler sees. Who waits to be told to go on (RFC 9110, 10.1.1) sends nothing.
pub(super) async fn throw_away(request: Request) {
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        let mut body = request.into_body().into_data_stream();
        let _ = tokio::time::timeout(WAIT_MAX, discard(&mut body, RUN_BYTES_MAX)).await;
    }
}

async fn discard(body: &mut BodyDataStream, bytes_max: usize) {
    let mut bytes = 0;
    while let Some(Ok(part)) = body.next().await {
        bytes += part.len();
        if bytes > bytes_max {
            return;
        }
    }
}
