//! Every key of the format: its name, what it takes, what it is for. The reader refuses what is not
//! here, and the JSON Schema is made of it; so neither knows a key that the other does not.

use super::super::template::MAX_ITEMS;

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// One sentence for people who write files.
    pub(super) doc: &'static str,
}

/// The keys of one table. In parts, as tables share some.
pub(super) type Keys = &'static [&'static [Key]];

/// Keys of other tools (GitHub Actions, Airflow, dagu and others), each with the key that does the same here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("after", "needs"),
    ("cmd", "command"),
    ("condition", "if"),
    ("continue-on-error", "allow_failure"),
    ("continue_on_error", "allow_failure"),
    ("dependencies", "needs"),
    ("depends", "needs"),
    ("depends_on", "needs"),
    ("dir", "cwd"),
    ("environment", "env"),
    ("for_each", "foreach"),
    ("matrix", "foreach"),
    ("max_concurrency", "max_parallel"),
    ("name", "id"),
    ("requires", "needs"),
    ("run", "script"),
    ("timeout-minutes", "timeout"),
    ("timeout_minutes", "timeout"),
    ("timeout_seconds", "timeout"),
    ("when", "if"),
    ("workdir", "cwd"),
    ("working-directory", "cwd"),
    ("working_directory", "cwd"),
    ("workingDir", "cwd"),
];

/// The key of this table that does what this name does in another tool.
pub(super) fn same_elsewhere(keys: Keys, name: &str) -> Option<&'static str> {
    let (_, here) = ELSEWHERE.iter().find(|(there, _)| *there == name)?;
    has(keys, here).then_some(*here)
}

/// Which values a key takes.
#[derive(Debug)]
pub(super) enum Shape {
    Boolean,
    /// Exactly this number.
    Exactly(u32),
    /// A whole number, from this one on.
    Count(u32),
    /// A whole number of 32 bits.
    Number,
    /// A text that is not empty.
    Text,
    /// A text.
    String,
    /// A text that this regular expression matches.
    Pattern(&'static str),
    /// A time with its unit.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Texts.
    Texts,
    /// Some of these words.
    Words(&'static [&'static str]),
    /// Anything.
    Any,
    /// A list of at most so many of anything.
    List(usize),
    /// Names of this form, each with a value.
    Map(&'static str, &'static Shape),
    /// A table.
    Table(Keys, Required),
    /// Tables.
    Tables(Keys, Required),
    /// Any of these.
    Either(&'static [Shape]),
}

/// Which keys of a table must be there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Required {
    /// All of these.
    pub(super) all: &'static [&'static str],
    /// And exactly one of these, where there are any.
    pub(super) one_of: &'static [&'static str],
}

const NOTHING: Required = Required { all: &[], one_of: &[] };

const fn all(all: &'static [&'static str]) -> Required {
    Required { all, one_of: &[] }
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, doc }
}

/// Whether a table has a key of this name.
pub(super) fn has(keys: Keys, name: &str) -> bool {
    names(keys).any(|known| known == name)
}

/// All names, in order.
pub(super) fn names(keys: Keys) -> impl Iterator<Item = &'static str> + Clone {
    keys.iter().flat_map(|part| part.iter()).map(|key| key.name)
}

/// The names of all keys of all tables, some more than once.
#[cfg(test)]
pub(super) fn every_name() -> Vec<&'static str> {
    fn below(shape: &Shape, found: &mut Vec<&'static str>) {
        match shape {
            Shape::Map(_, shape) => below(shape, found),
            Shape::Either(shapes) => shapes.iter().for_each(|shape| below(shape, found)),
            Shape::Table(keys, _) | Shape::Tables(keys, _) => {
                for key in keys.iter().flat_map(|part| part.iter()) {
                    found.push(key.name);
                    below(&key.shape, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    below(&Shape::Table(TOP, NOTHING), &mut found);
    found.retain(|key| !matches!(*key, "dag" | "tasks" | "defaults"));
    found
}

const DAG_ID: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
const TASK_ID: &str = "^[a-z0-9_-]{1,64}$";
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]{0,63}$";
const VARIABLE: &str = "^(?!CIS_)[^=]+$";
const SOURCE: &str = "^(?!CIS_)[^=]*[^=\\s][^=]*$";

/// The whole file.
pub(super) const TOP: Keys = &[&[
    key("version", Shape::Exactly(1), "Version of the format."),
    key("dag", Shape::Table(DAG, all(&["id"])), "The DAG as a whole."),
    key(
        "tasks",
        Shape::Tables(TASK, Required { all: &["id"], one_of: &["command", "script", "agent"] }),
        "The tasks, in any order.",
    ),
]];

/// `[dag]`.
pub(super) const DAG: Keys = &[&[
    key("id", Shape::Pattern(DAG_ID), "Name of the DAG."),
    key(
        "params",
        Shape::Map(NAME, &Shape::Table(PARAM, all(&["type"]))),
        "Parameters: values are given with --param NAME=VALUE, and used as {{ params.NAME }}.",
    ),
    key(
        "max_parallel",
        Shape::Count(1),
        "Maximum number of sessions at the same time. Default: the number of processors.",
    ),
    key("timeout", Shape::Duration, "Maximum time of the whole run."),
    ENV,
    CWD,
    key(
        "defaults",
        Shape::Table(DEFAULTS, NOTHING),
        "Defaults of keys of all tasks. A key in a task replaces its default; tables such as env are merged key by key.",
    ),
    key(
        "groups",
        Shape::Map(DAG_ID, &Shape::Table(GROUP, all(&["limit"]))),
        "Concurrency groups of this DAG. A task joins one with `concurrency`.",
    ),
    key("on", Shape::Table(ON, NOTHING), "Tasks that run after all other tasks have ended."),
]];

/// `[dag.defaults]`.
pub(super) const DEFAULTS: Keys = &[SHARED];

/// A task.
pub(super) const TASK: Keys = &[
    &[
        key("id", Shape::Pattern(TASK_ID), "Name of the task, unique in the file."),
        key("needs", Shape::Texts, "Tasks that must have ended before this one starts."),
        key("command", Shape::Texts, "Program and arguments. Each element is one argument."),
        key(
            "script",
            Shape::Text,
            "Text for a shell. Values of templates are passed as environment variables.",
        ),
        key(
            "agent",
            Shape::Pattern(DAG_ID),
            "Profile of an agent: claude, codex, gemini …, or of [agents.NAME].",
        ),
        key("prompt", Shape::Text, "What the agent has to do. May contain {{ … }}."),
        key(
            "prompt_file",
            Shape::Text,
            "File with what the agent has to do, used without templates; relative to the directory in which the run was started.",
        ),
        key("if", Shape::Text, "An expression without braces. If it is not true, the task is skipped."),
        key(
            "foreach",
            Shape::Either(&[Shape::List(MAX_ITEMS), Shape::Text]),
            "A list, or an expression whose value is a list. The task runs once for each {{ item }}.",
        ),
        key(
            "outputs",
            Shape::Map(NAME, &Shape::Table(OUTPUT, all(&["type"]))),
            "Values that the task writes to $CIS_OUTPUT as lines NAME=VALUE.",
        ),
        key(
            "artifacts",
            Shape::Texts,
            "Globs of files below the task's directory that are kept when it succeeds. Templates such as {{ item }} are filled in.",
        ),
        key("inputs", Shape::Texts, "Globs of files below the task's directory on which its result depends."),
        key(
            "cache",
            Shape::Either(&[Shape::Boolean, Shape::Table(CACHE, NOTHING)]),
            "Whether the result of an earlier success with the same key is reused. true: { key = \"auto\" }.",
        ),
        key(
            "approval",
            Shape::Table(APPROVAL, all(&["prompt"])),
            "A human must approve the task before it starts, once for all of its items.",
        ),
    ],
    SHARED,
];

/// Keys of a task that the defaults have too.
const SHARED: &[Key] = &[
    key(
        "trigger",
        Shape::Word(&["all_success", "all_done", "one_failed", "always"]),
        "How the tasks in `needs` must have ended so that the task starts.",
    ),
    ENV,
    CWD,
    key("shell", Shape::Text, "Shell of a script: sh, bash, or a path. It gets -c TEXT."),
    key("tty", Shape::Boolean, "Whether the session has a terminal. false: pipes."),
    key(
        "secrets",
        Shape::Map(VARIABLE, &Shape::Table(SECRET, Required { all: &[], one_of: &["env", "file"] })),
        "Environment variables with secret values, and where the values come from.",
    ),
    key("timeout", Shape::Duration, "After this time, the session is ended and the attempt has failed."),
    key(
        "idle",
        Shape::Duration,
        "After this time without activity, the session is ended and the attempt has failed.",
    ),
    key("grace", Shape::Duration, "Time between SIGTERM and SIGKILL when the session is ended."),
    key(
        "retries",
        Shape::Either(&[Shape::Count(0), Shape::Table(RETRIES, NOTHING)]),
        "Further attempts after a failure.",
    ),
    key(
        "allow_failure",
        Shape::Boolean,
        "If the task fails, it ends as completed: for the tasks that need it, that is no failure.",
    ),
    key(
        "retry_lost",
        Shape::Boolean,
        "A session that was lost, because its session host or its node was gone, is started again, at most 3 times.",
    ),
    key(
        "on_blocked",
        Shape::Either(&[Shape::Word(&["ask", "skip", "fail"]), Shape::Table(ON_BLOCKED, NOTHING)]),
        "What happens when the session waits for a human. Default: the task waits for an answer.",
    ),
    key(
        "priority",
        Shape::Number,
        "Tasks with a higher priority start first. Equal ones start in the order of the file.",
    ),
    key(
        "concurrency",
        Shape::Table(CONCURRENCY, all(&["group"])),
        "Limits how many tasks of a group have a session at the same time.",
    ),
    key(
        "logs",
        Shape::Word(&["upload", "keep"]),
        "In Matrix mode: `keep` leaves the log on the node that ran the task. Default: it is uploaded for the other nodes of the room.",
    ),
    key(
        "commit",
        Shape::Word(&["coordinator", "room"]),
        "In Matrix mode: `room` starts the task only when its grant and the results of all tasks before it are final in the room, so that no takeover can void what it builds on, unless a person forces a takeover at another homeserver. Default: it starts when its coordinator has these results.",
    ),
    key("tags", Shape::Texts, "In Matrix mode: only nodes with all of these tags run the task."),
    key("nodes", Shape::Texts, "In Matrix mode: only nodes with one of these names or DIDs run the task."),
];

const ENV: Key =
    key("env", Shape::Map(VARIABLE, &Shape::String), "Environment variables. Values may contain {{ … }}.");
const CWD: Key = key("cwd", Shape::Text, "Directory, relative to the one in which the run was started.");

/// `retries`.
pub(super) const RETRIES: Keys = &[&[
    key("count", Shape::Count(0), "Maximum number of attempts after the first."),
    key("backoff", Shape::Word(&["fixed", "exponential"]), "How the delay grows from attempt to attempt."),
    key("delay", Shape::Duration, "Delay before the second attempt."),
    key("max_delay", Shape::Duration, "Longest delay."),
    key("jitter", Shape::Boolean, "Makes each delay random: between half of it and all of it."),
    key(
        "on",
        Shape::Texts,
        "Failures that are retried: exit:N, timeout, signal, outputs, error, blocked, rate_limit, login.",
    ),
]];

/// `on_blocked`.
pub(super) const ON_BLOCKED: Keys = &[&[
    key(
        "action",
        Shape::Word(&["ask", "skip", "fail", "run"]),
        "What is done first: wait for an answer, skip the task, fail the attempt, or run a command and wait.",
    ),
    key(
        "run",
        Shape::Either(&[Shape::Texts, Shape::Text]),
        "With action = \"run\": what runs for each prompt, a command (list) or a script (text).",
    ),
    key(
        "kinds",
        Shape::Words(PROMPTS),
        "Kinds of prompts that this applies to. Default: all kinds except stalled and rate_limit.",
    ),
    key("notify", Shape::Texts, "Who is notified, at once or after escalate_after. May contain {{ … }}."),
    key("escalate_after", Shape::Duration, "After this time without an answer, people are notified again."),
    key(
        "deadline",
        Shape::Duration,
        "After this time, `default` is answered. Without `default`, the attempt fails.",
    ),
    key("default", Shape::Text, "The answer at the deadline: an option or a text. May contain {{ … }}."),
]];

/// What a session may wait for.
pub(super) const PROMPTS: &[&str] = &[
    "permission",
    "question",
    "password",
    "login",
    "trust",
    "review",
    "pager",
    "editor",
    "rate_limit",
    "error",
    "idle",
    "stalled",
    "unknown",
];

/// `cache`.
pub(super) const CACHE: Keys = &[&[
    key(
        "key",
        Shape::Text,
        "\"auto\" (the command and `inputs`), or a text with {{ … }} in place of the command.",
    ),
    key("ttl", Shape::Duration, "Maximum age of a reused result."),
]];

/// `approval`.
pub(super) const APPROVAL: Keys = &[&[
    key("prompt", Shape::Text, "The question. May contain {{ … }}."),
    key("timeout", Shape::Duration, "After this time without a decision, the task fails."),
    key(
        "allowed",
        Shape::Texts,
        "Who may decide from a room: users, \"*:server\", \"pl>=LEVEL\", or \"*\". Default: everybody whose role is sufficient.",
    ),
]];

/// `concurrency`.
pub(super) const CONCURRENCY: Keys =
    &[&[key("group", Shape::Pattern(DAG_ID), "Name of a group of [dag.groups] or of the node.")]];

/// `[dag.groups.NAME]`.
pub(super) const GROUP: Keys = &[&[
    key("limit", Shape::Count(1), "Maximum number of sessions at the same time."),
    key(
        "frees_when_blocked",
        Shape::Boolean,
        "Whether a session that waits for a human leaves its place in the group to another task.",
    ),
]];

/// `[dag.on]`.
pub(super) const ON: Keys = &[&[
    key("success", Shape::Pattern(TASK_ID), "Task that runs if the run succeeded."),
    key(
        "failure",
        Shape::Pattern(TASK_ID),
        "Task that runs if a task failed or the run exceeded its timeout.",
    ),
    key(
        "cancel",
        Shape::Pattern(TASK_ID),
        "Task that runs if the run or a task of it was cancelled, and none failed.",
    ),
    key(
        "always",
        Shape::Pattern(TASK_ID),
        "Task that always runs at the end, after the other tasks of [dag.on].",
    ),
    key("blocked", Shape::Pattern(TASK_ID), "Task that runs once, as soon as a session waits for a human."),
]];

/// A parameter.
pub(super) const PARAM: Keys = &[&[
    key("type", Shape::Word(&["string", "integer", "number", "boolean", "list"]), "Type of its values."),
    key("default", Shape::Any, "Value if none is given. Without a default, a value is required."),
    key("description", Shape::String, "What the parameter is for."),
]];

/// An output.
pub(super) const OUTPUT: Keys = &[&[key(
    "type",
    Shape::Word(&["string", "integer", "number", "boolean", "list", "json"]),
    "Type of its values.",
)]];

/// A secret.
pub(super) const SECRET: Keys = &[&[
    key(
        "env",
        Shape::Pattern(SOURCE),
        "A variable in the environment of the command that started the run; none that starts with CIS_.",
    ),
    key("file", Shape::Text, "A file, relative to the directory in which the run was started."),
]];
