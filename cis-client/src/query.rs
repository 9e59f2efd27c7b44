//! Query strings of requests. A value is written as in JSON, and as text without its quotes.

use cis_core::api::paths::encode;
use cis_core::api::{
    Attach, CancelRun, FollowEvents, GroupPlace, ListInbox, ListNodes, ListRuns, ListSessions, ListTasks,
    LogoutMatrix, Page, ReadAsk, ReadHistory, ReadLog, ReadMatrixRoom, ReadTime, ReadVerification,
};
use serde_json::{Value, json};

/// A request's query, appended to its path.
pub(super) trait ToQuery {
    /// `path?name=value&…`, or `path` where nothing is asked for.
    fn on(&self, path: String) -> String;
}

/// Appends a field, unless it asks for nothing.
fn put(path: &mut String, name: &str, value: Value) {
    let text = match value {
        Value::Null | Value::Bool(false) => return,
        Value::String(text) => text,
        other => other.to_string(),
    };
    // In names and values this character is encoded.
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(name);
    path.push('=');
    encode(&text, path);
}

macro_rules! queries {
    ($($request:ident: $($field:ident),+;)+) => {
        $(impl ToQuery for $request {
            fn on(&self, mut path: String) -> String {
                $(put(&mut path, stringify!($field), json!(self.$field));)+
                path
            }
        })+
    };
}

queries! {
    ListRuns: open, state, dag, sort, limit, after;
    ListNodes: room;
    GroupPlace: room;
    ListTasks: state, limit, after;
    ListSessions: all, run, standalone, limit, after;
    Page: limit, after;
    ListInbox: run, session, limit, after;
    ReadAsk: wait_ms, leaves;
    LogoutMatrix: forget;
    ReadMatrixRoom: since, wait_ms;
    ReadVerification: after, wait_ms;
    ReadLog: from, follow, plain, colors, marks, attempt;
    CancelRun: now;
    ReadTime: totals;
    ReadHistory: task, limit, after;
    FollowEvents: run, after;
    Attach: cols, rows, read_only, from, marks;
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::CreatedOrder;
    use cis_core::event::RunState;

    #[test]
    fn only_what_is_asked_for_is_written_and_any_text_is_encoded() {
        assert_eq!(ListRuns::default().on("/v1/runs".into()), "/v1/runs");
        let asked = ListRuns {
            open: true,
            state: Some(RunState::Running),
            dag: Some("d".into()),
            sort: Some(CreatedOrder::NewestFirst),
            limit: Some(5),
            after: Some("a&b=ä".into()),
        };
        let query = "open=true&state=running&dag=d&sort=-created_ms&limit=5&after=a%26b%3D%C3%A4";
        assert_eq!(asked.on("/v1/runs".into()), format!("/v1/runs?{query}"));
        let log =
            ReadLog { from: Some(7), follow: true, plain: true, colors: true, marks: true, attempt: Some(2) };
        assert_eq!(log.on("/l".into()), "/l?from=7&follow=true&plain=true&colors=true&marks=true&attempt=2");
        let attach = Attach { cols: Some(80), rows: Some(24), read_only: true, from: Some(9), marks: true };
        assert_eq!(attach.on("/a".into()), "/a?cols=80&rows=24&read_only=true&from=9&marks=true");
        let follow = FollowEvents { run: Some("x".into()), after: Some(0) };
        assert_eq!(follow.on("/e".into()), "/e?run=x&after=0");
    }
}
