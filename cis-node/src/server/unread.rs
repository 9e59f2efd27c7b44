//! What a handler leaves of a request's body is read and thrown away: a short one before the answer goes out, a longer one after it.
//!
//! The answer does not wait for it: a client that is refused knows that before it has sent its body. A connection that is closed
//! with unread bytes in it is reset (unix(7)), and a client that is still writing would see a broken pipe in place of the
//! answer, so it stays open until the rest was read, or was too long or too slow. Then it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::Mutex;

use super::body::RUN_BYTES_MAX;

/// A client that writes more slowly is not waited for.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A body that says to be no longer is waited for before the answer, so that the connection stays open, bytes.
const SHORT_BYTES_MAX: u64 = 64 << 10;
/// For so long.
const SHORT_WAIT_MAX: Duration = Duration::from_secs(1);

type Shared = Arc<Mutex<BodyDataStream>>;

/// Middleware: see the module.
pub(super) async fn read_to_its_end(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let expects = request.headers().contains_key(EXPECT);
    let is_short = request.body().size_hint().upper().is_some_and(|bytes| bytes <= SHORT_BYTES_MAX);
    let (head, body) = request.into_parts();
    let shared: Shared = Arc::new(Mutex::new(body.into_data_stream()));
    let begun = Arc::new(AtomicBool::new(false));
    let parts = stream::unfold((Arc::clone(&shared), Arc::clone(&begun)), |(shared, begun)| async move {
        begun.store(true, Ordering::Relaxed);
        let part = shared.lock().await.next().await;
        part.map(|part| (part, (shared, begun)))
    });
    let mut response = next.run(Request::from_parts(head, Body::from_stream(parts))).await;
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest did not arrive in time: the connection is closed without it.
        return response;
    }
    if expects && !begun.load(Ordering::Relaxed) {
        // Reading would tell the client to send the body (RFC 9110, 10.1.1).
        close(&mut response);
        return response;
    }
    let has_ended = match shared.try_lock() {
        Ok(mut body) if is_short => ends_soon(&mut body).await,
        // All of it may have been read.
        Ok(mut body) => matches!(body.next().now_or_never(), Some(None)),
        Err(_) => false,
    };
    if !has_ended {
        close(&mut response);
        tokio::spawn(async move { discard(&mut *shared.lock().await).await });
    }
    response
}

/// The same for a request that no handler sees. Who waits to be told to go on (RFC 9110, 10.1.1) sends nothing.
pub(super) fn throw_away(request: Request, response: &mut Response) {
    close(response);
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        let mut body = request.into_body().into_data_stream();
        tokio::spawn(async move { discard(&mut body).await });
    }
}

/// The next request would begin somewhere in the rest of this one.
fn close(response: &mut Response) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Reads a short rest. Returns whether that was all.
async fn ends_soon(body: &mut BodyDataStream) -> bool {
    let read = async { while let Some(Ok(_)) = body.next().await {} };
    tokio::time::timeout(SHORT_WAIT_MAX, read).await.is_ok()
}

/// Reads the rest, within the limits. Dropping the body then closes the connection.
async fn discard(body: &mut BodyDataStream) {
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(part)) = body.next().await {
            bytes += part.len();
            if bytes > RUN_BYTES_MAX {
                return;
            }
        }
    };
    // Whatever comes of it, the answer is given.
    let _ = tokio::time::timeout(WAIT_MAX, read).await;
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware;
    use axum::routing::post;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    /// Returns the answer to a request with this body, if it does not wait for more of the body.
    fn answer(body: Body) -> Option<Response> {
        let refuse = || async { StatusCode::FORBIDDEN };
        let routes = Router::new().route("/", post(refuse)).layer(middleware::from_fn(read_to_its_end));
        let request = Request::builder().method("POST").uri("/").body(body).unwrap();
        TowerToHyperService::new(routes).call(request).now_or_never().map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_refusal_does_not_wait_for_the_body() {
        let part = || stream::iter([Ok::<_, std::io::Error>("part")]);
        let unfinished = answer(Body::from_stream(part().chain(stream::pending()))).unwrap();
        assert_eq!(unfinished.status(), StatusCode::FORBIDDEN);
        assert_eq!(unfinished.headers()[CONNECTION], "close");
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 10)));
        assert_eq!(answer(Body::from_stream(endless)).unwrap().headers()[CONNECTION], "close");
        // A short one that comes costs no connection.
        let whole = answer(Body::from("part")).unwrap();
        assert!(!whole.headers().contains_key(CONNECTION));
    }
}
