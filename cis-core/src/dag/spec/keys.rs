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
        "What is given with --param NAME=VALUE; {{ params.NAME }} in texts.",
    ),
    key("max_parallel", Shape::Count(1), "Sessions at a time; default: as many as there are processors."),
    key("timeout", Shape::Duration, "The whole run may take so long."),
    ENV,
    CWD,
    key("defaults", Shape::Table(DEFAULTS, NOTHING), "Keys of every task that does not say otherwise."),
    key(
        "groups",
        Shape::Map(DAG_ID, &Shape::Table(GROUP, all(&["limit"]))),
        "Concurrency groups of this DAG; tasks join one with `concurrency`.",
    ),
    key("on", Shape::Table(ON, NOTHING), "Tasks that run when all others have ended."),
]];

/// `[dag.defaults]`.
pub(super) const DEFAULTS: Keys = &[SHARED];

/// A task.
pub(super) const TASK: Keys = &[
    &[
        key("id", Shape::Pattern(TASK_ID), "Its name, unique in the file."),
        key("needs", Shape::Texts, "Tasks that end before it starts."),
        key("command", Shape::Texts, "Program and arguments; each element stays one argument."),
        key("script", Shape::Text, "A text that a shell gets; values travel as environment variables."),
        key(
            "agent",
            Shape::Pattern(DAG_ID),
            "Profile of an agent: claude, codex, gemini …, or of [agents.NAME].",
        ),
        key("prompt", Shape::Text, "What the agent is to do; may hold {{ … }}."),
        key(
            "prompt_file",
            Shape::Text,
            "A file with what the agent is to do, taken as it is; relative to where the run was started.",
        ),
        key("if", Shape::Text, "An expression without braces. Where it is not true, the task is skipped."),
        key(
            "foreach",
            Shape::Either(&[Shape::List(MAX_ITEMS), Shape::Text]),
            "A list, or an expression whose value is one: the task runs once for each {{ item }}.",
        ),
        key(
            "outputs",
            Shape::Map(NAME, &Shape::Table(OUTPUT, all(&["type"]))),
            "Values that it writes to $CIS_OUTPUT as NAME=VALUE lines.",
        ),
        key(
            "artifacts",
            Shape::Texts,
            "Globs of files below its directory that are kept when it succeeds; templates such as {{ item }} are filled in.",
        ),
        key("inputs", Shape::Texts, "Globs of files below its directory that its result depends on."),
        key(
            "cache",
            Shape::Either(&[Shape::Boolean, Shape::Table(CACHE, NOTHING)]),
            "Take the result of an earlier success with the same key; true: { key = \"auto\" }.",
        ),
        key(
            "approval",
            Shape::Table(APPROVAL, all(&["prompt"])),
            "A human must approve before it starts, once for all its items.",
        ),
    ],
    SHARED,
];

/// Keys of a task that the defaults have too.
const SHARED: &[Key] = &[
    key(
        "trigger",
        Shape::Word(&["all_success", "all_done", "one_failed", "always"]),
        "Which endings of its needs let it start.",
    ),
    ENV,
    CWD,
    key("shell", Shape::Text, "The shell of a script: sh, bash, a path …; it gets -c TEXT."),
    key("tty", Shape::Boolean, "A terminal; false: pipes."),
    key(
        "secrets",
        Shape::Map(VARIABLE, &Shape::Table(SECRET, Required { all: &[], one_of: &["env", "file"] })),
        "Environment variables whose values are secret, and where those are.",
    ),
    key("timeout", Shape::Duration, "It is ended after so long, and has failed."),
    key("idle", Shape::Duration, "It is ended after so long without activity, and has failed."),
    key("grace", Shape::Duration, "Between SIGTERM and SIGKILL."),
    key(
        "retries",
        Shape::Either(&[Shape::Count(0), Shape::Table(RETRIES, NOTHING)]),
        "Further tries after a failure.",
    ),
    key("allow_failure", Shape::Boolean, "Its failure ends it as completed: what needs it goes on."),
    key("retry_lost", Shape::Boolean, "A lost session is started again, at most 3 times."),
    key(
        "on_blocked",
        Shape::Either(&[Shape::Word(&["ask", "skip", "fail"]), Shape::Table(ON_BLOCKED, NOTHING)]),
        "What happens when its session waits for a human; usually it waits for an answer.",
    ),
    key("priority", Shape::Number, "Higher ones start first; then the order of the file."),
    key(
        "concurrency",
        Shape::Table(CONCURRENCY, all(&["group"])),
        "At most so many tasks of a group have a session at a time.",
    ),
    key("tags", Shape::Texts, "In Matrix mode: only nodes with all of these tags run it."),
    key("nodes", Shape::Texts, "In Matrix mode: only nodes with one of these names or DIDs run it."),
];

const ENV: Key =
    key("env", Shape::Map(VARIABLE, &Shape::String), "Environment variables; values may hold {{ … }}.");
const CWD: Key = key("cwd", Shape::Text, "Directory, relative to where the run was started.");

/// `retries`.
pub(super) const RETRIES: Keys = &[&[
    key("count", Shape::Count(0), "How many tries after the first."),
    key("backoff", Shape::Word(&["fixed", "exponential"]), "How the delay grows."),
    key("delay", Shape::Duration, "Before the second try."),
    key("max_delay", Shape::Duration, "The longest delay."),
    key("jitter", Shape::Boolean, "Each delay is drawn from its second half."),
    key(
        "on",
        Shape::Texts,
        "Only these endings are tried again: exit:N, timeout, signal, outputs, error, blocked, rate_limit, login.",
    ),
]];

/// `on_blocked`.
pub(super) const ON_BLOCKED: Keys = &[&[
    key(
        "action",
        Shape::Word(&["ask", "skip", "fail", "run"]),
        "At once: wait for an answer, skip the task, fail the attempt, or run something and wait.",
    ),
    key(
        "run",
        Shape::Either(&[Shape::Texts, Shape::Text]),
        "What action = \"run\" runs for each prompt: a command, or a script as one text.",
    ),
    key(
        "kinds",
        Shape::Words(PROMPTS),
        "Only prompts of these kinds are meant; without it all but stalled and rate_limit.",
    ),
    key("notify", Shape::Texts, "Who is told, at once or after escalate_after; may hold {{ … }}."),
    key("escalate_after", Shape::Duration, "People are told again when nobody has answered after so long."),
    key("deadline", Shape::Duration, "After so long `default` is answered; without it the attempt fails."),
    key("default", Shape::Text, "The answer at the deadline: an option or words; may hold {{ … }}."),
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
    key("ttl", Shape::Duration, "Older results are not taken."),
]];

/// `approval`.
pub(super) const APPROVAL: Keys = &[&[
    key("prompt", Shape::Text, "What is asked; may hold {{ … }}."),
    key("timeout", Shape::Duration, "The task fails when nobody has decided after so long."),
    key(
        "allowed",
        Shape::Texts,
        "Who may decide from a room: users, \"*:server\", \"pl>=LEVEL\", or \"*\"; without it those whose role is enough.",
    ),
]];

/// `concurrency`.
pub(super) const CONCURRENCY: Keys =
    &[&[key("group", Shape::Pattern(DAG_ID), "Name of a group of [dag.groups] or of the node.")]];

/// `[dag.groups.NAME]`.
pub(super) const GROUP: Keys = &[&[
    key("limit", Shape::Count(1), "So many sessions at a time."),
    key(
        "frees_when_blocked",
        Shape::Boolean,
        "A session that waits for a human leaves its place to another.",
    ),
]];

/// `[dag.on]`.
pub(super) const ON: Keys = &[&[
    key("success", Shape::Pattern(TASK_ID), "Task that runs when no other ended badly."),
    key("failure", Shape::Pattern(TASK_ID), "Task that runs when another failed or the run took too long."),
    key("cancel", Shape::Pattern(TASK_ID), "Task that runs when somebody cancelled the run."),
    key("always", Shape::Pattern(TASK_ID), "Task that runs however it went, after the others."),
    key("blocked", Shape::Pattern(TASK_ID), "Task that runs as soon as a session waits for a human, once."),
]];

/// A parameter.
pub(super) const PARAM: Keys = &[&[
    key("type", Shape::Word(&["string", "integer", "number", "boolean", "list"]), "Which values it takes."),
    key("default", Shape::Any, "The value where none is given; without it one must be."),
    key("description", Shape::String, "What it is for."),
]];

/// An output.
pub(super) const OUTPUT: Keys = &[&[key(
    "type",
    Shape::Word(&["string", "integer", "number", "boolean", "list", "json"]),
    "Which values it takes.",
)]];

/// A secret.
pub(super) const SECRET: Keys = &[&[
    key("env", Shape::Text, "A variable of the environment that the run was started from."),
    key("file", Shape::Text, "A file, relative to where the run was started."),
]];
