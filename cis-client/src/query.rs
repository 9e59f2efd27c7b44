//! Query strings, written by hand: the few fields there are do not need another serializer.

use std::fmt::Write as _;

use cis_core::api::paths::encode;
use cis_core::api::{
    Attach, CancelRun, CreatedOrder, FollowEvents, GroupPlace, ListInbox, ListNodes, ListRuns, ListSessions,
    ListTasks, LogoutMatrix, Page, ReadAsk, ReadHistory, ReadLog, ReadMatrixRoom, ReadTime, ReadVerification,
};
use cis_core::event::{RunState, TaskState};

/// A path with its query under construction.
pub(super) struct Query {
    text: String,
    filled: bool,
}

impl Query {
    fn new(path: String) -> Self {
        Self { text: path, filled: false }
    }

    fn name(&mut self, name: &str) {
        self.text.push(if self.filled { '&' } else { '?' });
        self.filled = true;
        self.text.push_str(name);
        self.text.push('=');
    }

    fn flag(mut self, name: &str, on: bool) -> Self {
        if on {
            self.name(name);
            self.text.push_str("true");
        }
        self
    }

    fn number(mut self, name: &str, value: Option<impl Into<u64>>) -> Self {
        if let Some(value) = value {
            self.name(name);
            let _ = write!(self.text, "{}", value.into());
        }
        self
    }

    fn text(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.name(name);
            encode(value, &mut self.text);
        }
        self
    }
}

/// A request's query, appended to its path.
pub(super) trait ToQuery {
    /// `path?name=value&…`, or `path` where nothing is asked for.
    fn on(&self, path: String) -> String;
}

impl ToQuery for ListRuns {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .flag("open", self.open)
            .text("state", self.state.map(RunState::as_str))
            .text("dag", self.dag.as_deref())
            .text("sort", self.sort.map(CreatedOrder::as_str))
            .number("limit", self.limit)
            .text("after", self.after.as_deref())
            .text
    }
}

impl ToQuery for ListNodes {
    fn on(&self, path: String) -> String {
        Query::new(path).text("room", self.room.as_deref()).text
    }
}

impl ToQuery for GroupPlace {
    fn on(&self, path: String) -> String {
        Query::new(path).text("room", self.room.as_deref()).text
    }
}

impl ToQuery for ListTasks {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .text("state", self.state.map(TaskState::as_str))
            .number("limit", self.limit)
            .text("after", self.after.as_deref())
            .text
    }
}

impl ToQuery for ListSessions {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .flag("all", self.all)
            .text("run", self.run.as_deref())
            .flag("standalone", self.standalone)
            .number("limit", self.limit)
            .text("after", self.after.as_deref())
            .text
    }
}

impl ToQuery for Page {
    fn on(&self, path: String) -> String {
        Query::new(path).number("limit", self.limit).text("after", self.after.as_deref()).text
    }
}

impl ToQuery for ListInbox {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .text("run", self.run.as_deref())
            .text("session", self.session.as_deref())
            .number("limit", self.limit)
            .text("after", self.after.as_deref())
            .text
    }
}

impl ToQuery for ReadAsk {
    fn on(&self, path: String) -> String {
        Query::new(path).number("wait_ms", self.wait_ms).flag("leaves", self.leaves).text
    }
}

impl ToQuery for LogoutMatrix {
    fn on(&self, path: String) -> String {
        Query::new(path).flag("forget", self.forget).text
    }
}

impl ToQuery for ReadMatrixRoom {
    fn on(&self, path: String) -> String {
        Query::new(path).text("since", self.since.as_deref()).number("wait_ms", self.wait_ms).text
    }
}

impl ToQuery for ReadVerification {
    fn on(&self, path: String) -> String {
        Query::new(path).number("after", self.after).number("wait_ms", self.wait_ms).text
    }
}

impl ToQuery for ReadLog {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .number("from", self.from)
            .flag("follow", self.follow)
            .flag("plain", self.plain)
            .flag("colors", self.colors)
            .flag("marks", self.marks)
            .number("attempt", self.attempt)
            .text
    }
}

impl ToQuery for CancelRun {
    fn on(&self, path: String) -> String {
        Query::new(path).flag("now", self.now).text
    }
}

impl ToQuery for ReadTime {
    fn on(&self, path: String) -> String {
        Query::new(path).flag("totals", self.totals).text
    }
}

impl ToQuery for ReadHistory {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .text("task", self.task.as_deref())
            .number("limit", self.limit)
            .text("after", self.after.as_deref())
            .text
    }
}

impl ToQuery for FollowEvents {
    fn on(&self, path: String) -> String {
        Query::new(path).text("run", self.run.as_deref()).number("after", self.after).text
    }
}

impl ToQuery for Attach {
    fn on(&self, path: String) -> String {
        Query::new(path)
            .number("cols", self.cols)
            .number("rows", self.rows)
            .flag("read_only", self.read_only)
            .number("from", self.from)
            .flag("marks", self.marks)
            .text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
