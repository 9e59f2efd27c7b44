//! Paths of the API. All below `/v1`; names in braces are ids or unambiguous short names.

/// `GET`: what this API is, as OpenAPI 3.1.
pub const OPENAPI: &str = "/v1/openapi.json";
/// `GET`: what its streams carry, as AsyncAPI 3.0.
pub const ASYNCAPI: &str = "/v1/asyncapi.json";
/// `GET`: both as a page for people.
pub const DOCS: &str = "/v1/docs";
/// `GET`: [`super::CallerView`].
pub const ME: &str = "/v1/me";
/// `GET`: [`super::NodeView`].
pub const NODE: &str = "/v1/node";
/// `POST` [`super::StopNode`]: ends the node.
pub const NODE_STOP: &str = "/v1/node/stop";
/// `PUT` [`super::PauseNode`]: [`super::NodeView`].
pub const NODE_PAUSE: &str = "/v1/node/pause";
/// `GET`: [`super::PolicyView`]. `POST` [`crate::event::NodeRule`]: [`super::PolicyRuleView`].
pub const NODE_POLICY: &str = "/v1/node/policy";
/// `POST` [`super::CheckPolicy`]: [`super::PolicyCheckView`].
pub const NODE_POLICY_CHECK: &str = "/v1/node/policy/check";
/// `DELETE` removes a rule: [`super::PolicyRuleView`].
pub const NODE_POLICY_RULE: &str = "/v1/node/policy/{number}";
/// `GET` [`super::ListRuns`]: listing of [`super::RunView`]. `POST` [`super::CreateRun`]: [`super::RunView`].
pub const RUNS: &str = "/v1/runs";
/// `GET`: the text of its DAG file, as it was submitted.
pub const RUN_DAG: &str = "/v1/runs/{run}/dag";
/// `GET`: the run as lines that prove what happened, see `federation::export`.
pub const RUN_EXPORT: &str = "/v1/runs/{run}/export";
/// `GET` [`super::ListTasks`]: listing of [`super::TaskView`], in the order of the file.
pub const RUN_TASKS: &str = "/v1/runs/{run}/tasks";
/// `GET`: [`super::TaskView`].
pub const TASK: &str = "/v1/runs/{run}/tasks/{task}";
/// `GET`: listing of [`super::AttemptView`], newest first.
pub const TASK_ATTEMPTS: &str = "/v1/runs/{run}/tasks/{task}/attempts";
/// `GET`: [`super::RunDetail`].
pub const RUN: &str = "/v1/runs/{run}";
/// `POST`: starts a created run. One that was started before is a conflict.
pub const RUN_START: &str = "/v1/runs/{run}/start";
/// `POST` [`super::CancelRun`]: stops it.
pub const RUN_CANCEL: &str = "/v1/runs/{run}/cancel";
/// `POST`: starts nothing new.
pub const RUN_PAUSE: &str = "/v1/runs/{run}/pause";
/// `POST`: goes on.
pub const RUN_RESUME: &str = "/v1/runs/{run}/resume";
/// `POST` [`super::RetryRun`].
pub const RUN_RETRY: &str = "/v1/runs/{run}/retry";
/// `POST` [`super::SetMode`]: [`super::ModeView`].
pub const RUN_MODE: &str = "/v1/runs/{run}/mode";
/// `POST`: this node coordinates it from now on, instead of another one: [`super::RunView`].
pub const RUN_TAKEOVER: &str = "/v1/runs/{run}/takeover";
/// `GET`: [`super::WhyView`].
pub const WHY: &str = "/v1/runs/{run}/tasks/{task}/why";
/// `GET` [`super::ReadHistory`]: listing of [`super::HistoryEntry`], oldest first.
pub const RUN_HISTORY: &str = "/v1/runs/{run}/history";
/// `POST` [`super::Decide`]: approves or rejects a task that waits for it.
pub const TASK_APPROVAL: &str = "/v1/runs/{run}/tasks/{task}/approval";
/// `GET`: [`super::TaskContext`], secrets replaced: what the task would get now.
pub const TASK_CONTEXT: &str = "/v1/runs/{run}/tasks/{task}/context";
/// `POST` [`super::CleanStore`]: removes what ended runs left.
pub const STORE_CLEAN: &str = "/v1/store/clean";
/// `GET` [`super::ReadTime`]: [`super::TimeView`].
pub const RUN_TIME: &str = "/v1/runs/{run}/time";
/// `GET`: listing of [`crate::event::ArtifactRecord`], sorted by path.
pub const TASK_ARTIFACTS: &str = "/v1/runs/{run}/tasks/{task}/artifacts";
/// `GET`: bytes of an artifact of a task, by its path or its blob.
pub const TASK_ARTIFACT: &str = "/v1/runs/{run}/tasks/{task}/artifacts/{artifact}";
/// `GET` [`super::ListNodes`]: listing of [`super::RoomNodeView`].
pub const NODES: &str = "/v1/nodes";
/// `POST` [`super::InviteNodes`]: [`super::InvitationView`].
pub const NODES_INVITE: &str = "/v1/nodes/invite";
/// `POST` [`super::JoinNodes`]: [`super::JoinedView`].
pub const NODES_JOIN: &str = "/v1/nodes/join";
/// `PUT` [`super::DrainNode`]: listing of [`super::RoomNodeView`].
pub const NODES_DRAIN: &str = "/v1/nodes/drain";
/// `POST` [`super::AdmitNode`]: listing of [`super::RoomNodeView`].
pub const NODES_ADMIT: &str = "/v1/nodes/admit";
/// `POST` [`super::RevokeNode`]: listing of [`super::RoomNodeView`].
pub const NODES_REVOKE: &str = "/v1/nodes/revoke";
/// `GET`: [`super::IdentityView`].
pub const IDENTITY: &str = "/v1/identity";
/// `POST` [`super::RotateIdentity`]: [`super::IdentityView`].
pub const IDENTITY_ROTATE: &str = "/v1/identity/rotate";
/// `PUT` [`super::TrustNode`] trusts a node, `DELETE` trusts it no more: [`super::IdentityView`].
pub const IDENTITY_TRUSTED: &str = "/v1/identity/trusted/{did}";
/// `PUT` makes a key void for good: [`super::IdentityView`].
pub const IDENTITY_REVOKED: &str = "/v1/identity/revoked/{did}";
/// `GET`: listing of [`super::GroupView`].
pub const GROUPS: &str = "/v1/groups";
/// `PUT` [`crate::dag::Group`] makes or changes a group of the node; `DELETE` removes it.
pub const GROUP: &str = "/v1/groups/{group}";
/// `GET` [`super::ReadLog`]: bytes, redacted. The log of a task's newest attempt.
pub const TASK_LOG: &str = "/v1/runs/{run}/tasks/{task}/log";
/// `GET` (WebSocket) [`super::FollowEvents`]: text frames, each a JSON array of [`crate::event::Event`].
pub const EVENTS: &str = "/v1/events";
/// `GET` [`super::ListSessions`]: listing of [`super::SessionView`]. `POST` [`super::CreateSession`]: [`super::SessionView`].
pub const SESSIONS: &str = "/v1/sessions";
/// `GET`: [`super::SessionView`].
pub const SESSION: &str = "/v1/sessions/{session}";
/// `POST` [`super::SendInput`]: [`super::InputReceipt`].
pub const SESSION_INPUT: &str = "/v1/sessions/{session}/input";
/// `POST` [`super::KillSession`].
pub const SESSION_KILL: &str = "/v1/sessions/{session}/kill";
/// `GET` [`super::ReadLog`]: bytes, redacted.
pub const SESSION_LOG: &str = "/v1/sessions/{session}/log";
/// `GET` (WebSocket) [`super::Attach`]: binary frames are terminal bytes both ways, text frames
/// [`super::AttachControl`] from the client and [`super::AttachNotice`] from the node.
pub const SESSION_ATTACH: &str = "/v1/sessions/{session}/attach";
/// `GET`: plain text of the present screen.
pub const SESSION_SCREEN: &str = "/v1/sessions/{session}/screen";
/// `GET`: [`super::ExplainView`]: why the monitor thinks of it what it does.
pub const SESSION_EXPLAIN: &str = "/v1/sessions/{session}/explain";
/// `POST` [`super::ReportSession`]: [`super::Reported`].
pub const SESSION_REPORTS: &str = "/v1/sessions/{session}/reports";
/// `GET` [`super::ListInbox`]: listing of [`super::InboxItem`], oldest first.
pub const INBOX: &str = "/v1/inbox";
/// `GET`: [`super::InboxItem`].
pub const INBOX_ITEM: &str = "/v1/inbox/{item}";
/// `POST` [`super::Answer`]: [`super::AnswerReceipt`].
pub const INBOX_ANSWER: &str = "/v1/inbox/{item}/answer";
/// `GET`: listing of [`super::ThreadMessage`], oldest first.
pub const THREAD: &str = "/v1/threads/{item}";
/// `POST` [`super::Ask`]: [`super::AskView`]. The session's own right.
pub const SESSION_ASKS: &str = "/v1/sessions/{session}/asks";
/// `GET` [`super::ReadAsk`]: [`super::AskView`]. `DELETE` takes it back: [`super::AskView`]. The session's own right.
pub const SESSION_ASK: &str = "/v1/sessions/{session}/asks/{item}";
/// `POST` [`super::Say`]. The session's own right.
pub const SESSION_SAY: &str = "/v1/sessions/{session}/say";
/// `POST` [`super::HandIn`]. The session's own right.
pub const SESSION_HAND_IN: &str = "/v1/sessions/{session}/hand-in";

/// `GET`: [`super::MatrixAccountView`]. `POST` [`super::LoginMatrix`]: [`super::MatrixAccountView`].
/// `DELETE` [`super::LogoutMatrix`].
pub const MATRIX_ACCOUNT: &str = "/v1/matrix/account";
/// `GET`: listing of [`super::MatrixRoomView`]. `POST` [`super::CreateMatrixRoom`]: [`super::MatrixRoomView`].
pub const MATRIX_ROOMS: &str = "/v1/matrix/rooms";
/// `POST` [`super::JoinMatrixRoom`]: [`super::MatrixRoomView`].
pub const MATRIX_JOIN: &str = "/v1/matrix/join";
/// `POST` [`super::InviteToMatrixRoom`]: [`super::MatrixRoomView`]. A room is named by id, alias or link.
pub const MATRIX_INVITE: &str = "/v1/matrix/rooms/{room}/invite";
/// `POST` [`super::RecoverRuns`]: [`super::RecoverReport`]. A room is named by id, alias or link.
pub const MATRIX_RECOVER: &str = "/v1/matrix/rooms/{room}/recover";
/// `GET`: [`super::AuditReport`].
pub const MATRIX_AUDIT: &str = "/v1/matrix/rooms/{room}/audit";
/// `GET` [`super::ReadMatrixRoom`]: [`super::MatrixRoomEvents`].
pub const MATRIX_EVENTS: &str = "/v1/matrix/rooms/{room}/events";

/// `GET`: [`super::MatrixStandingView`].
pub const MATRIX_STANDING: &str = "/v1/matrix/device";
/// `POST` [`super::RecoverMatrix`]: [`super::MatrixStandingView`]. `PUT`: [`super::NewRecoveryView`].
pub const MATRIX_RECOVERY: &str = "/v1/matrix/recovery";
/// `POST` [`super::BeginVerification`]: [`super::VerificationView`].
pub const MATRIX_VERIFICATIONS: &str = "/v1/matrix/verifications";
/// `GET` [`super::ReadVerification`], `POST` [`super::SayVerification`]: [`super::VerificationView`].
pub const MATRIX_VERIFICATION: &str = "/v1/matrix/verifications/{id}";
/// `POST` [`super::BeginMatrixSso`]: [`super::MatrixSsoView`].
pub const MATRIX_SSO: &str = "/v1/matrix/sso";

/// `GET`: listing of [`super::TokenView`]. `POST` [`super::CreateToken`]: [`super::NewTokenView`]. Over the Unix socket alone.
pub const TOKENS: &str = "/v1/tokens";
/// `DELETE` makes it void, by its id or its name: [`super::TokenView`]. Over the Unix socket alone.
pub const TOKEN: &str = "/v1/tokens/{name}";

/// `path` with its braces filled, one value each, percent-encoded.
#[must_use]
pub fn fill(path: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(path.len() + 32);
    let mut values = values.iter();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        if let Some(value) = values.next() {
            encode(value, &mut out);
        }
        rest = after.split_once('}').map_or("", |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
pub fn encode(value: &str, out: &mut String) {
    use std::fmt::Write as _;
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn filled_paths_hold_any_name() {
        assert_eq!(super::fill(super::WHY, &["a/b", "x y"]), "/v1/runs/a%2Fb/tasks/x%20y/why");
    }
}
