//! Problems as HTTP answers.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use cis_core::api::{PROBLEM_JSON, Problem, ProblemKind};

/// A problem on its way out.
pub(super) struct Failure(pub Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<PathRejection> for Failure {
    fn from(_: PathRejection) -> Self {
        // A name in a path is any text: nothing else can be wrong with it.
        Self(Problem::new(ProblemKind::BadInput, "a name in the path is not valid UTF-8"))
    }
}

impl From<WebSocketUpgradeRejection> for Failure {
    fn from(rejection: WebSocketUpgradeRejection) -> Self {
        let detail = format!("this path speaks WebSocket (RFC 6455) only: {}", rejection.body_text());
        let kind = match rejection {
            WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_) => ProblemKind::BadInput,
            // RFC 9110, 15.5.22; of another version of WebSocket RFC 6455, 4.4.
            _ => ProblemKind::UpgradeRequired,
        };
        Self(Problem::new(kind, detail))
    }
}

impl Failure {
    /// The path is there, the method is not (RFC 9110, 15.5.6).
    pub(super) fn method(method: &Method, path: &str) -> Self {
        let detail = format!("{path} of the API does not take {method}");
        Self(Problem::new(ProblemKind::MethodNotAllowed, detail))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::REQUEST_TIMEOUT {
            // What is still to come of the request is not waited for (RFC 9110, 15.5.9).
            head.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            head.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            head.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}
