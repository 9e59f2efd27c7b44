//! Checks of a request over TCP before any route sees it.
//!
//! In this order: `Host` names this node; a page that sent it has an allowed `Origin`; it has a valid token (`Authorization:
//! Bearer`, or `Sec-WebSocket-Protocol` for a WebSocket of a page, which cannot send that header). The rights of the token's
//! owner are checked elsewhere, as for all callers.

use std::net::IpAddr;

use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};

use super::cors;
use super::errors::Failure;
use super::tokens_api::{Bearer, TokensApi};
use cis_core::api::web::Callers;
use cis_core::api::{Problem, ProblemKind};

/// The required authentication scheme (RFC 6750, 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cis\"");

/// The WebSocket protocol that the node speaks. Browsers send it together with their token.
pub(super) const WEB_SOCKET_PROTOCOL: &str = "cis.v1";
/// Prefix of the token among the protocols of a WebSocket.
const WEB_SOCKET_BEARER: &str = "cis.bearer.";

/// The outcome of the checks.
pub(super) struct Checked {
    /// The origin of the page that sent the request, if it may read the answer.
    pub(super) page: Option<HeaderValue>,
    /// The sender of the request, or the answer to a request that is refused.
    pub(super) outcome: Result<Bearer, Response>,
}

/// Checks a request.
pub(super) fn check<N: TokensApi>(
    node: &N,
    callers: &Callers,
    local: IpAddr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Checked {
    let page = match host_and_origin(callers, local, uri, headers) {
        Ok(page) => page,
        Err(failure) => return Checked { page: None, outcome: Err(failure.into_response()) },
    };
    if page.is_some()
        && let Some(answer) = cors::preflight(method, headers)
    {
        return Checked { page, outcome: Err(answer) };
    }
    let bearer = token(headers).and_then(|token| node.bearer(token));
    Checked { page, outcome: bearer.ok_or_else(unauthenticated) }
}

/// Checks `Host` and `Origin`; returns the origin of the page that sent the request, if one did.
fn host_and_origin(
    callers: &Callers,
    local: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Failure> {
    let authority = authority(uri, headers)?;
    if !callers.is_host(authority, local) {
        return Err(misdirected(authority));
    }
    match wrong_origin(callers, headers, authority) {
        Some(failure) => Err(failure),
        None => Ok(headers.get(header::ORIGIN).cloned()),
    }
}

/// Removes the token from the headers of a request, so that no handler can disclose it.
pub(super) fn hide_token(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    if let Some(protocols) = headers.remove(header::SEC_WEBSOCKET_PROTOCOL) {
        let is_ours = |one: &str| one.trim() == WEB_SOCKET_PROTOCOL;
        if protocols.to_str().is_ok_and(|all| all.split(',').any(is_ours)) {
            let ours = HeaderValue::from_static(WEB_SOCKET_PROTOCOL);
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
        }
    }
}

/// Returns the value of a header. `Err`: it has several values, or is not text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Returns the host that a request names. The one in its first line takes precedence over the header (RFC 9112, 3.2.2).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
    let host = only(headers, &header::HOST).ok().flatten();
    let detail = "a request names its host once, in the header Host (RFC 9112, 3.2)";
    let host = host.ok_or_else(|| Failure(Problem::new(ProblemKind::BadInput, detail)))?;
    Ok(uri.authority().map_or(host, |authority| authority.as_str()))
}

fn misdirected(authority: &str) -> Failure {
    let detail = format!("`{}` is not a name of this node", authority.escape_debug());
    Failure(
        Problem::new(ProblemKind::Misdirected, detail)
            .hint("to accept this name, add it to `hosts` in [api] of the node's configuration"),
    )
}

fn wrong_origin(callers: &Callers, headers: &HeaderMap, authority: &str) -> Option<Failure> {
    let detail = match only(headers, &header::ORIGIN) {
        Ok(None) => return None,
        Ok(Some(origin)) if callers.allows_origin(origin, authority) => return None,
        Ok(Some(origin)) => format!("pages of `{}` may not use this node", origin.escape_debug()),
        Err(()) => "a request has one origin".to_owned(),
    };
    let hint = "to allow an origin, add it to `origins` in [api] of the node's configuration";
    Some(Failure(Problem::new(ProblemKind::Denied, detail).hint(hint)))
}

/// Returns the token of `Authorization: Bearer TOKEN` (the scheme in any case, RFC 9110, 11.1), or of a WebSocket without that
/// header the token among its protocols.
fn token(headers: &HeaderMap) -> Option<&str> {
    if !headers.contains_key(header::AUTHORIZATION) && headers.contains_key(header::UPGRADE) {
        let protocols = only(headers, &header::SEC_WEBSOCKET_PROTOCOL).ok()??;
        let mut tokens = protocols.split(',').filter_map(|one| one.trim().strip_prefix(WEB_SOCKET_BEARER));
        return tokens.next().filter(|_| tokens.next().is_none());
    }
    let (scheme, token) = only(headers, &header::AUTHORIZATION).ok()??.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The answer is the same for a missing and for an invalid token, so that it tells nothing about tokens.
fn unauthenticated() -> Response {
    let problem = Problem::new(ProblemKind::Unauthenticated, "the token is missing or invalid")
        .hint("to create a token, run `cis node token create --role …` on the node's machine");
    let mut response = Failure(problem).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{CreateToken, NewTokenView, TokenView};
    use cis_core::event::Via;
    use cis_core::ids::{TimestampMs, TokenId};
    use cis_core::policy::{Permit, Principal, Rights, Who, act};

    /// A node with tokens only.
    struct Node;

    impl TokensApi for Node {
        fn bearer(&self, token: &str) -> Option<Bearer> {
            let id = TokenId::from_parts(1, 1);
            let who = Who::Token { id, name: "a".to_owned() };
            let principal = Principal { who, via: Via::Http, rights: Rights::Viewer };
            (token == "right").then_some(Bearer { token: id, principal })
        }

        fn counts_for(&self, _: TokenId) -> Option<TimestampMs> {
            None
        }

        fn token_changes(&self) -> tokio::sync::watch::Receiver<u64> {
            tokio::sync::watch::channel(0).1
        }

        async fn tokens(&self, _: Permit<act::ControlTokens>) -> Result<Vec<TokenView>, Problem> {
            Ok(Vec::new())
        }

        async fn create_token(
            &self,
            _: Permit<act::ControlTokens>,
            _: CreateToken,
        ) -> Result<NewTokenView, Problem> {
            Err(Problem::new(ProblemKind::Internal, "not asked"))
        }

        async fn revoke_token(&self, _: Permit<act::ControlTokens>, _: String) -> Result<TokenView, Problem> {
            Err(Problem::new(ProblemKind::Internal, "not asked"))
        }
    }

    /// Returns the status of the answer, 200 for a request that passes.
    fn status(uri: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let callers = Callers::new(&[], &["https://board.example.org".to_owned()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let local = "127.0.0.1".parse().unwrap();
        let method =
            if map.contains_key("access-control-request-method") { Method::OPTIONS } else { Method::GET };
        match check(&Node, &callers, local, &method, &uri.parse().unwrap(), &map).outcome {
            Ok(_) => 200,
            Err(response) => response.status().as_u16(),
        }
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7443");
    const RIGHT: (&str, &str) = ("authorization", "Bearer right");

    #[test]
    fn a_request_names_this_node_once() {
        assert_eq!(status("/", &[HOST, RIGHT]), 200);
        assert_eq!(status("/", &[RIGHT]), 400);
        assert_eq!(status("/", &[HOST, HOST, RIGHT]), 400);
        assert_eq!(status("/", &[("host", "evil.example"), RIGHT]), 421);
        assert_eq!(status("https://evil.example/", &[HOST, RIGHT]), 421);
        assert_eq!(status("https://127.0.0.1/", &[HOST, RIGHT]), 200);
    }

    #[test]
    fn a_page_of_another_origin_is_refused_with_any_token() {
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "https://board.example.org")]), 200);
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "https://evil.example")]), 403);
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "null")]), 403);
        let good = ("origin", "https://board.example.org");
        let asks = ("access-control-request-method", "POST");
        assert_eq!(status("/", &[HOST, good, asks]), 204, "a preflight has no token");
        assert_eq!(status("/", &[HOST, ("origin", "https://evil.example"), asks]), 403);
        assert_eq!(status("/", &[HOST, asks]), 401);
        assert_eq!(status("/", &[HOST, RIGHT, good, good]), 403);
    }

    #[test]
    fn a_request_has_one_token_of_the_right_scheme() {
        assert_eq!(status("/", &[HOST, ("authorization", "bearer  right")]), 200);
        for wrong in ["Bearer wrong", "Bearer", "right", "Basic right", "Bearer right x"] {
            assert_eq!(status("/", &[HOST, ("authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status("/", &[HOST]), 401);
        assert_eq!(status("/", &[HOST, RIGHT, RIGHT]), 401);
        assert_eq!(status("/", &[HOST, ("x-cis-token", "right")]), 401);
        let upgrade = ("upgrade", "websocket");
        let protocols = |text: &'static str| status("/", &[HOST, upgrade, ("sec-websocket-protocol", text)]);
        assert_eq!(protocols("cis.v1, cis.bearer.right"), 200);
        for wrong in ["cis.v1", "cis.bearer.wrong", "right", "cis.bearer.right, cis.bearer.right"] {
            assert_eq!(protocols(wrong), 401, "{wrong}");
        }
        let alone = ("sec-websocket-protocol", "cis.bearer.right");
        assert_eq!(status("/", &[HOST, alone]), 401, "no WebSocket");
    }

    #[test]
    fn the_token_is_removed_before_the_routes() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer right"));
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("cis.bearer.right, cis.v1"));
        hide_token(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["sec-websocket-protocol"], "cis.v1");
    }
}
