//! `ETag`, `Cache-Control` and compression of answers.
//!
//! A handler that knows more of its answer sets these headers itself.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::encoding;

/// Clients may keep the answer, and must ask whether it has changed.
pub(super) const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The answer never changes.
pub(super) const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Nobody may keep the answer.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");

/// Middleware that completes answers.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let wanted = request.headers().get(header::IF_NONE_MATCH).cloned();
    let coding = encoding::accepted(request.headers());
    let mut response = next.run(request).await;
    let looks = method == Method::GET || method == Method::HEAD;
    let status = response.status();
    let is_there = status.is_success() || status == StatusCode::NOT_MODIFIED;
    let cache = if looks && is_there { ASK_AGAIN } else { NEVER };
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(cache);
    if method != Method::GET {
        return response;
    }
    if response.status() == StatusCode::OK {
        response = tagged(response).await;
        if is_known(&wanted, response.headers()) {
            return not_modified(response);
        }
    }
    encoding::encode(response, coding)
}

/// Adds an `ETag` made of the content to a document without one.
async fn tagged(response: Response) -> Response {
    let is_document = encoding::essence(response.headers())
        .is_some_and(|kind| matches!(kind, "application/json" | "text/html"));
    if !is_document || response.headers().contains_key(header::ETAG) {
        return response;
    }
    // A stream is not collected in memory.
    let Some(length) = response.body().size_hint().exact() else { return response };
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::try_from(length).unwrap_or(usize::MAX)).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // Sessions choose parts of answers: none may make another answer with the same tag.
    let digest = Sha256::digest(&bytes);
    // The tag is weak because the same content may be compressed.
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{}\"", hex::encode(&digest[..16]))) {
        head.headers.insert(header::ETAG, tag);
    }
    Response::from_parts(head, Body::from(bytes))
}

/// Whether `If-None-Match` names the `ETag` of an answer, by the weak comparison of RFC 9110, 13.1.2.
pub(super) fn is_known(wanted: &Option<HeaderValue>, headers: &HeaderMap) -> bool {
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let wanted = wanted.as_ref().and_then(|wanted| wanted.to_str().ok());
    let (Some(tag), Some(wanted)) = (tag, wanted) else { return false };
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    wanted.trim() == "*" || wanted.split(',').any(|one| strong(one) == strong(tag))
}

/// Makes an answer a 304 without content.
pub(super) fn not_modified(response: Response) -> Response {
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_RANGE] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("W/\"ab\""));
        let knows = |wanted: &'static str| is_known(&Some(HeaderValue::from_static(wanted)), &headers);
        for wanted in ["W/\"ab\"", "\"ab\"", "\"x\", W/\"ab\"", "*"] {
            assert!(knows(wanted), "{wanted}");
        }
        for wanted in ["\"x\"", "ab", ""] {
            assert!(!knows(wanted), "{wanted}");
        }
        assert!(!is_known(&None, &headers));
    }
}
