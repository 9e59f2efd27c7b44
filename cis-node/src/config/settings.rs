//! Everything that can be set: the types that the program reads, and the one table from which files,
//! variables, flags, listings and pages are made.

mod api;
mod fields;
mod rooms;

use std::collections::BTreeMap;

pub use self::api::ApiSettings;
use self::fields::{
    address, count, dirs, flag, maybe_file, maybe_text, mode, number, of_address, of_count, of_dirs, of_flag,
    of_maybe_file, of_maybe_text, of_mode, of_number, of_optional, of_part, of_role, of_strategy, of_text,
    of_words, optional, part, set_role, strategy, text, words,
};
pub use self::rooms::{DagMatrix, DagSettings, MatrixSettings};
use super::kind::{Item, Kind, Value};
use cis_core::agent::Agents;
use cis_core::dag::Group;
use cis_core::people::Role;
use cis_core::scheduler::placement::Strategy;

/// What holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[node]`.
    pub node: NodeSettings,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[retention]`.
    pub retention: Retention,
    /// `[logins]`.
    pub logins: Logins,
    /// `[attach]`.
    pub attach: AttachSettings,
    /// `[notify]`.
    pub notify: Notify,
    /// `[dag]`.
    pub dag: DagSettings,
    /// `[matrix]`.
    pub matrix: MatrixSettings,
    /// `[api]`.
    pub api: ApiSettings,
    /// `[federation]`.
    pub federation: FederationSettings,
    /// `[groups.NAME]`: concurrency groups of the node.
    pub groups: BTreeMap<String, Group>,
    /// `[agents.NAME]`: profiles of agents, those that are built in among them.
    pub agents: Agents,
}

/// `[node]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSettings {
    /// Live sessions at most, those of runs and others together.
    pub max_sessions: u32,
    /// A node that a command started ends after so long without anything to do, ms.
    pub idle_exit_ms: u64,
    /// Output that is kept of a session, bytes.
    pub log_limit_bytes: u64,
}

/// `[timeouts]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// `cis session create --idle` without a time, ms.
    pub session_idle_ms: u64,
    /// `cis session create --lifetime` without a time, ms.
    pub session_lifetime_ms: u64,
    /// So long before a limit ends a session this is told, ms.
    pub session_warning_ms: u64,
    /// `cis session exec` without `--timeout`, ms.
    pub exec_default_ms: u64,
    /// `cis session exec --timeout` at most, ms.
    pub exec_max_ms: u64,
}

/// `[retention]`: what is kept of ended runs; none: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Logs and artifacts of runs that ended longer ago are removed, ms.
    pub max_age_ms: Option<u64>,
    /// Of logs and artifacts together so much is kept, the newest, bytes.
    pub max_bytes: Option<u64>,
    /// Older results in the cache are removed, ms.
    pub cache_max_age_ms: Option<u64>,
    /// Of the cache so much is kept, the newest, bytes.
    pub cache_max_bytes: Option<u64>,
}

/// `[logins]`: when nothing of an account starts any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// After so many sessions in a row that found themselves logged out.
    pub failures: u32,
    /// For so long, ms; then one session tries.
    pub pause_ms: u64,
}

/// `[federation]`: what this node does for the runs of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FederationSettings {
    /// The room whose tasks it executes; none: it executes none of others.
    pub room: Option<String>,
    /// What it does there.
    pub role: FederationRole,
    /// Which of the nodes that could run a task gets it, in runs that this node coordinates.
    pub placement: Strategy,
    /// What other nodes call it.
    pub name: String,
    /// What it is good for.
    pub tags: Vec<String>,
    /// Its agents that tasks of other nodes may use.
    pub agents: Vec<String>,
    /// Sessions that it runs for the room at a time.
    pub slots: u32,
}

/// What a node does for the runs of its room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FederationRole {
    /// It executes tasks.
    Worker,
    /// It goes on with runs whose coordinator is gone.
    Coordinator,
    /// It does both.
    #[default]
    Both,
}

impl FederationRole {
    /// Whether it executes tasks.
    #[must_use]
    pub const fn works(self) -> bool {
        matches!(self, Self::Worker | Self::Both)
    }

    /// Whether it takes runs over.
    #[must_use]
    pub const fn coordinates(self) -> bool {
        matches!(self, Self::Coordinator | Self::Both)
    }
}

/// `[attach]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachSettings {
    /// Names of the keys that detach.
    pub detach_keys: String,
}

/// `[notify]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// What is run for each new item of the inbox: program and arguments; empty: nothing.
    pub command: Vec<String>,
    /// It is killed after so long, ms.
    pub timeout_ms: u64,
}

impl Timeouts {
    /// How long before its limits a session is warned of them; none where no limit is long enough for
    /// that: shorter than twice as much.
    #[must_use]
    pub fn warning(&self, lifetime_ms: Option<u64>, idle_ms: Option<u64>) -> Option<u64> {
        let warning = self.session_warning_ms;
        let is_long = |limit: u64| limit > warning.saturating_mul(2);
        (lifetime_ms.is_some_and(is_long) || idle_ms.is_some_and(is_long)).then_some(warning)
    }
}

/// Who reads a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The node, when it starts.
    Node,
    /// Each command.
    Command,
}

/// One thing that can be set.
pub struct Setting {
    /// Table and key in the file, with a point between them.
    pub key: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Its value where nobody says another.
    pub default: &'static str,
    /// What it is for; one sentence.
    pub doc: &'static str,
    /// Who reads it.
    pub scope: Scope,
    pub(super) get: fn(&Settings) -> Value,
    pub(super) set: fn(&mut Settings, &Value),
}

impl Setting {
    /// Its table in the file; one inside another with a point between them.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CIS_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Its value in `settings`, as it is written.
    #[must_use]
    pub fn text(&self, settings: &Settings) -> String {
        self.kind.write(&(self.get)(settings))
    }
}

/// The setting with this key.
#[must_use]
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// One row of the table: where the value stands, how it is read into its field and shown again.
macro_rules! setting {
    ($key:literal, $kind:expr, $default:literal, $scope:ident, $($field:ident).+, $read:ident, $write:expr, $doc:literal) => {
        Setting {
            key: $key,
            kind: $kind,
            default: $default,
            doc: $doc,
            scope: Scope::$scope,
            get: |settings| $write(&settings.$($field).+),
            set: |settings, value| settings.$($field).+ = $read(value),
        }
    };
}

/// The same of a list of people.
macro_rules! role {
    ($key:literal, $default:literal, $role:ident, $doc:literal) => {
        Setting {
            key: $key,
            kind: Kind::List(Item::People),
            default: $default,
            doc: $doc,
            scope: Scope::Node,
            get: |settings| of_role(&settings.matrix.roles, Role::$role),
            set: |settings, value| set_role(&mut settings.matrix.roles, Role::$role, value),
        }
    };
}

/// All of them, by table, in the order in which they are shown.
pub static SETTINGS: &[Setting] = &[
    setting!(
        "node.max_sessions",
        Kind::Count { least: 1 },
        "1000",
        Node,
        node.max_sessions,
        count,
        of_count,
        "Maximum number of live sessions: those of tasks of this node's runs, and those without a run. Tasks of other nodes' runs do not count: see `federation.slots`."
    ),
    setting!(
        "node.idle_exit",
        Kind::Time,
        "10s",
        Node,
        node.idle_exit_ms,
        number,
        of_number,
        "A node that a command started ends after this time without work. A node from `cis node start` stays."
    ),
    setting!(
        "node.log_limit",
        Kind::Size { least: 64 << 10 },
        "64MiB",
        Node,
        node.log_limit_bytes,
        number,
        of_number,
        "Maximum size of the log of one session. Of longer output, the first half of this size and the newest part are kept."
    ),
    setting!(
        "timeouts.session_idle",
        Kind::Time,
        "5m",
        Command,
        timeouts.session_idle_ms,
        number,
        of_number,
        "Idle limit of `cis session create --idle` without a time: the session ends after this time without activity."
    ),
    setting!(
        "timeouts.session_lifetime",
        Kind::Time,
        "1h",
        Command,
        timeouts.session_lifetime_ms,
        number,
        of_number,
        "Lifetime of `cis session create --lifetime` without a time: the session ends after this time."
    ),
    setting!(
        "timeouts.session_warning",
        Kind::Time,
        "30s",
        Node,
        timeouts.session_warning_ms,
        number,
        of_number,
        "How long before `idle`, `timeout` or a lifetime ends a session a warning is shown. A limit that is not longer than twice this time has no warning."
    ),
    setting!(
        "timeouts.exec_default",
        Kind::Time,
        "5m",
        Command,
        timeouts.exec_default_ms,
        number,
        of_number,
        "Timeout of `cis session exec` without --timeout; at most `exec_max`."
    ),
    setting!(
        "timeouts.exec_max",
        Kind::Time,
        "30m",
        Command,
        timeouts.exec_max_ms,
        number,
        of_number,
        "Longest time that `cis session exec --timeout` accepts."
    ),
    setting!(
        "retention.max_age",
        Kind::TimeOrUnlimited,
        "30days",
        Node,
        retention.max_age_ms,
        optional,
        of_optional,
        "Logs and artifacts of runs that ended longer ago are removed, once a day and by `cis store gc`."
    ),
    setting!(
        "retention.max_bytes",
        Kind::SizeOrUnlimited,
        "10GB",
        Node,
        retention.max_bytes,
        optional,
        of_optional,
        "Maximum size of all logs and artifacts together. Those of the newest runs are kept."
    ),
    setting!(
        "retention.cache_max_age",
        Kind::TimeOrUnlimited,
        "30days",
        Node,
        retention.cache_max_age_ms,
        optional,
        of_optional,
        "Cached results that were not used for this time are removed."
    ),
    setting!(
        "retention.cache_max_bytes",
        Kind::SizeOrUnlimited,
        "5GB",
        Node,
        retention.cache_max_bytes,
        optional,
        of_optional,
        "Maximum size of the cache. What was used last is kept."
    ),
    setting!(
        "notify.command",
        Kind::Command,
        "[]",
        Node,
        notify.command,
        words,
        of_words,
        "Command that runs for each new inbox item, escalation and urgent notice. It reads that as JSON from its standard input."
    ),
    setting!(
        "notify.timeout",
        Kind::Time,
        "10s",
        Node,
        notify.timeout_ms,
        number,
        of_number,
        "Timeout of `notify.command` and of the commands of `on_blocked`: after this time they are killed."
    ),
    setting!(
        "logins.failures",
        Kind::Count { least: 1 },
        "3",
        Node,
        logins.failures,
        count,
        of_count,
        "Number of sessions in a row that find an account logged out. After that, no session of this account starts for `logins.pause`."
    ),
    setting!(
        "logins.pause",
        Kind::Time,
        "1m",
        Node,
        logins.pause_ms,
        number,
        of_number,
        "How long no session of such an account starts. Then one session tries again."
    ),
    setting!(
        "dag.default_mode",
        Kind::Mode,
        "local",
        Command,
        dag.default_mode,
        mode,
        of_mode,
        "Mode of runs for which no mode is given: `local`, or `hybrid` (a Matrix room follows the run, and people there answer)."
    ),
    setting!(
        "dag.room_id",
        Kind::Room,
        "",
        Command,
        dag.room_id,
        maybe_text,
        of_maybe_text,
        "Room of hybrid runs for which no room is given: its id, an alias, or a matrix.to link."
    ),
    setting!(
        "dag.matrix.enabled",
        Kind::Flag,
        "true",
        Node,
        dag.matrix.enabled,
        flag,
        of_flag,
        "Whether rooms may follow runs. If not, this node accepts no hybrid runs."
    ),
    setting!(
        "dag.matrix.auto_create_room",
        Kind::Flag,
        "false",
        Node,
        dag.matrix.auto_create_room,
        flag,
        of_flag,
        "Whether the node creates a room for hybrid runs that have none. It creates one room for all of them."
    ),
    setting!(
        "dag.matrix.broadcast_interval_ms",
        Kind::Count { least: 10 },
        "500",
        Node,
        dag.matrix.broadcast_interval_ms,
        count,
        of_count,
        "How long changes are collected before they are sent to a room together, milliseconds."
    ),
    setting!(
        "dag.matrix.room_name",
        Kind::Text,
        "CIS",
        Node,
        dag.matrix.room_name,
        text,
        of_text,
        "Name of the room that `auto_create_room` creates."
    ),
    setting!(
        "dag.matrix.invite",
        Kind::List(Item::Users),
        "[]",
        Node,
        dag.matrix.invite,
        words,
        of_words,
        "Users who are invited to that room, as operators."
    ),
    setting!(
        "dag.matrix.encrypted",
        Kind::Flag,
        "false",
        Node,
        dag.matrix.encrypted,
        flag,
        of_flag,
        "Whether that room is encrypted."
    ),
    setting!(
        "dag.matrix.events",
        Kind::List(Item::RoomEvents),
        r#"["cis.dag.run.created","cis.dag.run.completed","cis.dag.run.failed","cis.dag.run.error","cis.dag.run.cancelled","cis.dag.session.blocked","cis.dag.session.recovered"]"#,
        Node,
        dag.matrix.events,
        words,
        of_words,
        "Types of events that are sent to rooms beside the journal of a run, for programs that wait for a type. `cis.dag.task.status` is possible too."
    ),
    setting!(
        "dag.matrix.failure_mentions",
        Kind::List(Item::Mentions),
        r#"["submitter","operators"]"#,
        Node,
        dag.matrix.failure_mentions,
        words,
        of_words,
        "Who is mentioned in the room when a run fails: `submitter`, `operators`, or users. `[]`: nobody."
    ),
    setting!(
        "federation.room",
        Kind::Room,
        "",
        Node,
        federation.room,
        maybe_text,
        of_maybe_text,
        "Room whose nodes share tasks with this node. `federation.role` says how. A node from `cis node start` keeps running for them."
    ),
    setting!(
        "federation.role",
        Kind::Role,
        "both",
        Node,
        federation.role,
        part,
        of_part,
        "What this node does in that room: a `worker` executes tasks, a `coordinator` takes over runs whose coordinator does not answer, `both` does both."
    ),
    setting!(
        "federation.placement",
        Kind::Placement,
        "spread",
        Node,
        federation.placement,
        strategy,
        of_strategy,
        "Which of the possible nodes gets a task of a run that this node coordinates: `spread` chooses the node with the largest part of its slots free, `pack` the fullest, so that others stay free for long."
    ),
    setting!(
        "federation.name",
        Kind::Text,
        "",
        Node,
        federation.name,
        text,
        of_text,
        "Name that other nodes show for this node. Without it, the name of the machine."
    ),
    setting!(
        "federation.tags",
        Kind::List(Item::Tags),
        "[]",
        Node,
        federation.tags,
        words,
        of_words,
        "Tags of this node. In Matrix mode, a task with `tags` runs only on nodes that have all of them."
    ),
    setting!(
        "federation.agents",
        Kind::List(Item::Tags),
        "[]",
        Node,
        federation.agents,
        words,
        of_words,
        "Agents (names of profiles) that tasks of other nodes may use on this node, with their logins."
    ),
    setting!(
        "federation.slots",
        Kind::Count { least: 1 },
        "2",
        Node,
        federation.slots,
        count,
        of_count,
        "Maximum number of sessions that this node runs for its room at the same time."
    ),
    setting!(
        "matrix.observe",
        Kind::List(Item::Rooms),
        "[]",
        Node,
        matrix.observe,
        words,
        of_words,
        "Rooms in which the node only reads: it shows the runs that other nodes publish there, and does nothing for them."
    ),
    setting!(
        "matrix.run_dirs",
        Kind::List(Item::Dirs),
        "[]",
        Node,
        matrix.run_dirs,
        dirs,
        of_dirs,
        "Directories with the DAG files that `!cis run` in a room may start. It starts no others."
    ),
    setting!(
        "matrix.command_age",
        Kind::Time,
        "10m",
        Node,
        matrix.command_age_ms,
        number,
        of_number,
        "Commands in a room that are older than this do nothing."
    ),
    setting!(
        "matrix.answer_age",
        Kind::Time,
        "1day",
        Node,
        matrix.answer_age_ms,
        number,
        of_number,
        "Answers in a room that are older than this do nothing."
    ),
    setting!(
        "matrix.ended_age",
        Kind::Time,
        "1day",
        Node,
        matrix.ended_age_ms,
        number,
        of_number,
        "How long after its end a run is still followed by its room, and commands about it are obeyed there."
    ),
    setting!(
        "matrix.trust_in_rooms",
        Kind::Flag,
        "false",
        Node,
        matrix.trust_in_rooms,
        flag,
        of_flag,
        "Whether admins of an encrypted room that this node owns may trust other nodes there by `!cis trust`."
    ),
    setting!(
        "matrix.reactions_decide",
        Kind::Flag,
        "false",
        Node,
        matrix.carriers.reactions_decide,
        flag,
        of_flag,
        "Whether reactions decide permissions and approvals in encrypted rooms. A homeserver could forge a reaction."
    ),
    setting!(
        "matrix.unsigned_devices",
        Kind::Flag,
        "false",
        Node,
        matrix.carriers.unsigned_devices,
        flag,
        of_flag,
        "Whether commands and answers in encrypted rooms count from devices that their owner has not verified."
    ),
    role!(
        "matrix.roles.viewer",
        "[]",
        Viewer,
        "Who may look at runs from a room: users, `*:server`, `pl>=LEVEL` (power level in the room), or `*`."
    ),
    role!(
        "matrix.roles.operator",
        r#"["pl>=50"]"#,
        Operator,
        "Who may also start and cancel runs, answer and approve from a room."
    ),
    role!(
        "matrix.roles.admin",
        r#"["pl>=100"]"#,
        Admin,
        "Who may do everything that is possible from a room."
    ),
    setting!(
        "api.listen",
        Kind::Address,
        "",
        Node,
        api.listen,
        address,
        of_address,
        "Address at which the API is served over TCP, beside the Unix socket, always with TLS and tokens. Empty: none."
    ),
    setting!(
        "api.tls_cert",
        Kind::File,
        "",
        Node,
        api.tls_cert,
        maybe_file,
        of_maybe_file,
        "Certificate chain of that address, PEM. Without one, the node creates a self-signed certificate; clients know it by its fingerprint."
    ),
    setting!(
        "api.tls_key",
        Kind::File,
        "",
        Node,
        api.tls_key,
        maybe_file,
        of_maybe_file,
        "Private key of `tls_cert`, PEM."
    ),
    setting!(
        "api.hosts",
        Kind::List(Item::Hosts),
        "[]",
        Node,
        api.hosts,
        words,
        of_words,
        "Host names and addresses that TCP clients may use for it, beside the address that they connect to."
    ),
    setting!(
        "api.origins",
        Kind::List(Item::Origins),
        "[]",
        Node,
        api.origins,
        words,
        of_words,
        "Origins of web pages that may call it over TCP. Other origins are refused."
    ),
    setting!(
        "attach.detach_keys",
        Kind::Keys,
        r"C-\ d",
        Command,
        attach.detach_keys,
        text,
        of_text,
        "Keys that detach `cis dag attach`."
    ),
];

impl Settings {
    /// What holds where nobody says anything else.
    #[must_use]
    pub fn usual() -> Self {
        let mut settings = Self::default();
        for setting in SETTINGS {
            // The table's own texts; a test reads each.
            if let Ok(value) = setting.kind.read(setting.default) {
                (setting.set)(&mut settings, &value);
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests;
