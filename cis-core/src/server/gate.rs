//! Who may knock over TCP: the checks that a request passes before any route sees it.
//!
//! In this order: it names this node (`Host`), no page of another origin sent it (`Origin`), it shows a token that
//! counts (`Authorization: Bearer`). What the token's holder may do then is decided as for everybody.

use std::net::IpAddr;

use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::errors::Failure;
use super::tokens_api::{Bearer, TokensApi};
use crate::api::web::Callers;
use crate::api::{Problem, ProblemKind};

/// What a client is to show (RFC 6750, 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cis\"");

/// Who sent a request that may go on.
///
/// # Errors
/// The answer to one that may not.
#[allow(clippy::result_large_err, reason = "it goes out as it is")]
pub(super) fn pass<N: TokensApi>(
    node: &N,
    callers: &Callers,
    local: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Bearer, Response> {
    let authority = authority(uri, headers).map_err(|failure| failure.into_response())?;
    if !callers.may_say(authority, local) {
        return Err(misdirected(authority).into_response());
    }
    if let Some(failure) = foreign(callers, headers, authority) {
        return Err(failure.into_response());
    }
    shown(headers).and_then(|token| node.bearer(token)).ok_or_else(stranger)
}

/// The one value of a header; `Err` where there are several, or it is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// By which name the node was called. One in the request's first line counts before the header (RFC 9112, 3.2.2).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
    let host = only(headers, &header::HOST).ok().flatten();
    let detail = "a request names its host once, in the header Host (RFC 9112, 3.2)";
    let host = host.ok_or_else(|| Failure(Problem::new(ProblemKind::BadInput, detail)))?;
    Ok(uri.authority().map_or(host, |authority| authority.as_str()))
}

fn misdirected(authority: &str) -> Failure {
    let detail = format!("this node is not called `{}`", authority.escape_debug());
    let mut problem = Problem::new(ProblemKind::Denied, detail).hint(
        "names by which it may be called besides its address stand in `hosts` of [api] in its configuration",
    );
    // RFC 9110, 15.5.20.
    problem.status = StatusCode::MISDIRECTED_REQUEST.as_u16();
    Failure(problem)
}

fn foreign(callers: &Callers, headers: &HeaderMap, authority: &str) -> Option<Failure> {
    let detail = match only(headers, &header::ORIGIN) {
        Ok(None) => return None,
        Ok(Some(origin)) if callers.may_come(origin, authority) => return None,
        Ok(Some(origin)) => format!("pages of `{}` may not use this node", origin.escape_debug()),
        Err(()) => "a request has one origin".to_owned(),
    };
    let hint = "origins that may stand in `origins` of [api] in its configuration";
    Some(Failure(Problem::new(ProblemKind::Denied, detail).hint(hint)))
}

/// The token of `Authorization: Bearer TOKEN`; the scheme in any case (RFC 9110, 11.1).
fn shown(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, &header::AUTHORIZATION).ok()??.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The same for no token and for one that does not count: which of them it was is nobody's business.
fn stranger() -> Response {
    let problem = Problem::new(ProblemKind::Unauthenticated, "no token was shown that counts here")
        .hint("`cis node token create --role …` on the node's machine makes one");
    let mut response = Failure(problem).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CreateToken, NewTokenView, TokenView};
    use crate::event::Via;
    use crate::ids::{TimestampMs, TokenId};
    use crate::policy::{Principal, Rights, Who};

    /// Of a node there is only what the gate asks.
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

        async fn tokens(&self) -> Result<Vec<TokenView>, Problem> {
            Ok(Vec::new())
        }

        async fn create_token(&self, _: Principal, _: CreateToken) -> Result<NewTokenView, Problem> {
            Err(Problem::new(ProblemKind::Internal, "not asked"))
        }

        async fn revoke_token(&self, _: Principal, _: String) -> Result<TokenView, Problem> {
            Err(Problem::new(ProblemKind::Internal, "not asked"))
        }
    }

    /// The status of the answer; 200: it may go on.
    fn status(uri: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let callers = Callers::new(&[], &["https://board.example.org".to_owned()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let local = "127.0.0.1".parse().unwrap();
        match pass(&Node, &callers, local, &uri.parse().unwrap(), &map) {
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
    fn a_page_of_another_origin_is_refused_whatever_it_shows() {
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "https://board.example.org")]), 200);
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "https://evil.example")]), 403);
        assert_eq!(status("/", &[HOST, RIGHT, ("origin", "null")]), 403);
        let good = ("origin", "https://board.example.org");
        assert_eq!(status("/", &[HOST, RIGHT, good, good]), 403);
    }

    #[test]
    fn a_token_is_shown_once_by_its_scheme() {
        assert_eq!(status("/", &[HOST, ("authorization", "bearer  right")]), 200);
        for wrong in ["Bearer wrong", "Bearer", "right", "Basic right", "Bearer right x"] {
            assert_eq!(status("/", &[HOST, ("authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status("/", &[HOST]), 401);
        assert_eq!(status("/", &[HOST, RIGHT, RIGHT]), 401);
        assert_eq!(status("/", &[HOST, ("x-cis-token", "right")]), 401);
    }
}
