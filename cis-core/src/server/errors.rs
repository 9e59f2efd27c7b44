//! Problems as HTTP answers.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::{PROBLEM_JSON, Problem, ProblemKind};

/// A problem on its way out.
pub(super) struct Failure(pub Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let detail = format!("the request body is not right: {}", rejection.body_text());
        let mut problem = Problem::new(ProblemKind::BadInput, detail);
        // Too long, or not said to be JSON. Everything else is a bad request, whether it is JSON or not.
        if let status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) =
            rejection.status()
        {
            problem.status = status.as_u16();
        }
        Self(problem)
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self(Problem::new(
            ProblemKind::BadInput,
            format!("the query is not right: {}", rejection.body_text()),
        ))
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self(Problem::new(ProblemKind::BadInput, format!("the path is not right: {}", rejection.body_text())))
    }
}

impl From<WebSocketUpgradeRejection> for Failure {
    fn from(rejection: WebSocketUpgradeRejection) -> Self {
        let detail = format!("this path speaks WebSocket (RFC 6455) only: {}", rejection.body_text());
        let mut problem = Problem::new(ProblemKind::BadInput, detail);
        if !matches!(rejection, WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_)) {
            // RFC 9110, 15.5.22; of another version of WebSocket RFC 6455, 4.4.
            problem.status = StatusCode::UPGRADE_REQUIRED.as_u16();
        }
        Self(problem)
    }
}

impl Failure {
    /// The path is there, the method is not (RFC 9110, 15.5.6).
    pub(super) fn method(method: &Method, path: &str) -> Self {
        let detail = format!("{path} of the API does not take {method}");
        let mut problem = Problem::new(ProblemKind::BadInput, detail);
        problem.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UPGRADE_REQUIRED {
            head.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            head.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}
