//! CORS headers (WHATWG fetch, 3.2), by which a browser lets pages of other origins read answers.
//!
//! [`super::gate`] decides which origins are allowed. Pages show their token themselves: the API uses no cookies, so credentials are
//! never allowed.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, if-none-match, if-range, range");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "allow, cis-session, content-range, etag, idempotent-replayed, location, www-authenticate",
);
/// How long a browser may keep the answer to a preflight, s.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

const ASKS_FOR_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Answers a preflight; none: the request is not one. Preflights have no token, and the answer is the same for every node.
pub(super) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    let asks = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let head = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ];
        let mut response = (StatusCode::NO_CONTENT, head).into_response();
        if headers.contains_key(ASKS_FOR_PRIVATE) {
            response.headers_mut().insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
        }
        response
    })
}

/// Lets pages of this origin read an answer.
pub(super) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
