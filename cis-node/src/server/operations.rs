//! The table of the API: every operation with its route, its words and its handler.
//!
//! Owns which operations there are, and in which order documents show them. The tables of other files are put together here.

use std::sync::Arc;

use super::describe::{self, Documents, Operations, operations};
use super::node_api::NodeApi;
use super::routes::{
    cancel_run, clean_store, create_run, create_session, explain, get_node, get_run, get_session, groups,
    history, kill_session, list_runs, list_sessions, pause_node, pause_run, put_group, remove_group,
    report_session, resume_run, retry_run, screen, send_input, set_mode, start_run, stop_node, take_over_run,
    times,
};
use super::{
    identity_routes, inbox_routes, matrix_routes, me_routes, nodes_routes, policy_routes, streams,
    tasks_routes, tokens_routes, verification_routes,
};
use cis_core::api::paths;
use cis_core::policy::Action;

/// What the API says of itself; no node is needed for that.
#[must_use]
pub fn documents<N: NodeApi>() -> Documents {
    operations::<N>().documents()
}

/// Everything that the API can do: each row makes a route and its description.
pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    runs::<N>()
        .with(tasks_routes::operations::<N>())
        .with(sessions::<N>())
        .with(inbox_routes::operations::<N>())
        .with(others::<N>())
        .with(me_routes::operations::<N>(|| operations::<N>().actions()))
        .with(describe::routes::<N>(documents::<N>))
        .with(policy_routes::operations::<N>())
        .with(tokens_routes::operations::<N>())
        .with(identity_routes::operations::<N>())
        .with(nodes_routes::operations::<N>())
        .with(matrix_routes::operations::<N>())
        .with(verification_routes::operations::<N>())
}

fn runs<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists runs, newest first.
        list_runs: GET paths::RUNS, Runs, Action::See, [] => list_runs::<N>;
        /// Makes a run of a DAG file, and starts it.
        ///
        /// The body is the file itself (`application/toml`), or JSON with its text. With `start=false` the run waits to be started;
        /// with `validate_only` nothing is made. What is wrong with the file stands in `diagnostics` of the problem, with
        /// the place.
        create_run: POST paths::RUNS, Runs, Action::ControlRun(None), [NotFound, Conflict] => create_run::<N>;
        /// Shows a run with its tasks.
        get_run: GET paths::RUN, Runs, Action::See, [NotFound, Ambiguous] => get_run::<N>;
        /// Reads the DAG file that a run was made of.
        get_run_dag: GET paths::RUN_DAG, Runs, Action::ReadSession(None), [NotFound, Ambiguous] => tasks_routes::dag_text::<N>;
        /// Reads a run out of its room as a file that can be checked without the room.
        ///
        /// JSON lines: what the owners of the room said, and the signed journal of the run. `cis dag verify` checks them.
        export_run: GET paths::RUN_EXPORT, Runs, Action::ReadMatrix, [NotFound, Conflict] => tasks_routes::export::<N>;
        /// Starts a created run.
        ///
        /// One that was started before is a conflict.
        start_run: POST paths::RUN_START, Runs, Action::ControlRun(None), [NotFound, Conflict] => start_run::<N>;
        /// Cancels a run: its sessions are ended.
        ///
        /// Tasks with the trigger `always` and handlers still run, also if it is cancelled again; `now` ends these as well.
        cancel_run: POST paths::RUN_CANCEL, Runs, Action::ControlRun(None), [NotFound, Conflict] => cancel_run::<N>;
        /// Pauses a run: nothing new starts, and nothing is stopped.
        pause_run: POST paths::RUN_PAUSE, Runs, Action::ControlRun(None), [NotFound, Conflict] => pause_run::<N>;
        /// Lets a paused run go on.
        resume_run: POST paths::RUN_RESUME, Runs, Action::ControlRun(None), [NotFound, Conflict] => resume_run::<N>;
        /// Runs tasks of an ended run again.
        retry_run: POST paths::RUN_RETRY, Runs, Action::ControlRun(None), [NotFound, Conflict] => retry_run::<N>;
        /// Switches how an open run is executed, and which room follows it.
        set_mode: POST paths::RUN_MODE, Runs, Action::ControlRun(None), [NotFound, Conflict] => set_mode::<N>;
        /// Has this node coordinate an open run of another one.
        ///
        /// It has to be one whose tasks the nodes of a room share, and this node has to read that room. It is answered
        /// when this node coordinates the run. The other one finds out when it hears the room.
        take_over_run: POST paths::RUN_TAKEOVER, Runs, Action::ControlRun(None), [NotFound, Conflict] => take_over_run::<N>;
        /// Lists who did what with a run, oldest first.
        ///
        /// Decisions, answers and other actions of people, sessions and rules, with their results; also after the end
        /// of the run.
        get_history: GET paths::RUN_HISTORY, Runs, Action::See, [NotFound, Ambiguous] => history::<N>;
        /// Says where the time of a run went.
        get_times: GET paths::RUN_TIME, Runs, Action::See, [NotFound, Ambiguous] => times::<N>;
    }
}

fn sessions<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Lists sessions, newest first.
        list_sessions: GET paths::SESSIONS, Sessions, Action::See, [NotFound, Ambiguous] => list_sessions::<N>;
        /// Makes a session without a run.
        create_session: POST paths::SESSIONS, Sessions, Action::CreateSession, [NotFound, Conflict] => create_session::<N>;
        /// Shows a session.
        get_session: GET paths::SESSION, Sessions, Action::SeeSession(None), [NotFound, Ambiguous] => get_session::<N>;
        /// Types into a session, once for each `input`.
        send_input: POST paths::SESSION_INPUT, Sessions, Action::ControlSession(None), [NotFound, Conflict] => send_input::<N>;
        /// Ends a session: SIGTERM to its whole tree, SIGKILL after the grace.
        kill_session: POST paths::SESSION_KILL, Sessions, Action::ControlSession(None), [NotFound, Conflict] => kill_session::<N>;
        /// Reads the log of a session, secrets replaced.
        ///
        /// With `follow` it goes on until the session ends; with `marks` it comes in pieces that tell their place, so
        /// that whoever was cut off goes on with `from`. With `plain` it is text. Without `follow` a range of bytes may be
        /// asked for.
        get_session_log: GET paths::SESSION_LOG, Sessions, Action::ReadSession(None), [NotFound, Conflict] => streams::session_log::<N>;
        /// Attaches a terminal to a session (WebSocket).
        ///
        /// Binary frames are terminal bytes in both directions, text frames are control messages. First comes what it is attached
        /// to, then the screen, then what the session writes. Who only looks (`read_only`) needs the rights of a viewer.
        attach: GET paths::SESSION_ATTACH, Sessions, Action::ControlSession(None), [NotFound, Conflict] => streams::attach::<N>;
        /// Shows the text of the present screen, secrets replaced.
        get_screen: GET paths::SESSION_SCREEN, Sessions, Action::ReadSession(None), [NotFound, Conflict] => screen::<N>;
        /// Says why the monitor thinks that it waits for a human, or not.
        explain_session: GET paths::SESSION_EXPLAIN, Sessions, Action::ReadSession(None), [NotFound, Conflict] => explain::<N>;
        /// Reports that the monitor is wrong about a session.
        ///
        /// The node keeps a recording of the session's screen, secrets replaced, with what is true of it, in the directory
        /// `reports` of its home. It sends it to nobody.
        report_session: POST paths::SESSION_REPORTS, Sessions, Action::ControlSession(None), [NotFound, Conflict] => report_session::<N>;
    }
}

fn others<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Follows events (WebSocket).
        ///
        /// Text frames, each a JSON array of events: those after the offset `after` (0: from the beginning), or those from now on.
        /// Whoever lost the connection gives the newest offset that came, and misses nothing. An `after` beyond the newest event
        /// is an error.
        follow_events: GET paths::EVENTS, Events, Action::See, [NotFound, Ambiguous] => streams::events::<N>;
        /// Lists concurrency groups: the node's, those of rooms, and those of open runs.
        list_groups: GET paths::GROUPS, Groups, Action::See, [] => groups::<N>;
        /// Makes or changes a group of the node, or of a room that it owns.
        put_group: PUT paths::GROUP, Groups, Action::ControlGroups, [Conflict] => put_group::<N>;
        /// Removes a group of the node, or of a room that it owns.
        remove_group: DELETE paths::GROUP, Groups, Action::ControlGroups, [NotFound, Conflict] => remove_group::<N>;
        /// Shows the node.
        get_node: GET paths::NODE, Node, Action::SeeNode, [] => get_node::<N>;
        /// Stops starting tasks on the node, or starts them again.
        ///
        /// What runs continues. A paused node is still paused after a restart.
        pause_node: PUT paths::NODE_PAUSE, Node, Action::StopNode, [Conflict] => pause_node::<N>;
        /// Ends the node.
        ///
        /// Sessions go on, and the next node adopts them, unless `kill_sessions` says otherwise.
        stop_node: POST paths::NODE_STOP, Node, Action::StopNode, [Conflict] => stop_node::<N>;
        /// Removes what ended runs left.
        clean_store: POST paths::STORE_CLEAN, Store, Action::CleanStore, [Conflict] => clean_store::<N>;
    }
}
