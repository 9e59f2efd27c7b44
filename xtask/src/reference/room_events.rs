//! The page of what a room gets: envelopes, and which events of a run stand in its journal there.

use super::shapes::{Kind, Shape, read};
use crate::Outcome;
use crate::workspace::root;

const HEAD: &str = r#"# What nodes write into a room

People read messages; nodes read events of types that clients do not show. Each of those holds one signed envelope. This
page is made from the code: `cargo xtask reference --update`.

## The envelope

The content of the event. `sig` is the Ed25519 signature, in hex, by the key of `did` over the
[canonical JSON](https://spec.matrix.org/latest/appendices/#canonical-json) of all other keys but `m.relates_to`.

| field | type | |
|---|---|---|
| `id` | string | ULID; unique everywhere. |
| `did` | string | Who signed it: a `did:key` of an Ed25519 key. |
| `room` | string | The room that it is for. A copy in another one does not count. |
| `run`? | string | The run that it is about. |
| `epoch` | number | The coordinator's term of that run, from 0. |
| `seq`? | `{incarnation: number, n: number}` | Its place among all numbered envelopes that this node sent to the room's timeline: without a gap in an incarnation. Announcements have none. |
| `type` | string | The event's type once more. Under another one it does not count. |
| `v` | number | Version of the body's shape. |
| `sender`? | string | The Matrix account that sends it. From another one it does not count. |
| `body` | any | What is said. |
| `sig` | string | 128 hex digits. |

It has at most 60,000 bytes as canonical JSON (46,000 in encrypted rooms), and never edits another event.
Canonical JSON has no numbers but integers within ±(2^53 − 1), so a body is packed: `{"~n": "1.5"}` is the number 1.5,
`{"~j": "[[…]]"}` is the value that the text says (what is nested deeper than 64), and a key that begins with `~` has
one more of it.

## Types

| type | category | `v` | body |
|---|---|---|---|
| `cis.dag.run.journal` | run | 1 | Entries of the run's journal: `{first, prev, entries}`, or `{first, prev, count, head, file}`. |
| `cis.dag.run.snapshot` | run | 1 | The run up to entry `n`: `{n, head, state, entries}`, or `file` in place of `entries`. `state` is the SHA-256 of the [canonical state](#the-canonical-state) that they fold to, in hex. |
| `cis.dag.node.rotated` | node | 1 | The node took another key: `{old, new, at_ms, sig_old, sig_new}`. `sig_old` and `sig_new` are the Ed25519 signatures of both keys (hexadecimal) over the canonical JSON of `{"type": "cis.identity.rotation", old, new, at_ms}`, with `at_ms` as a text. |
| `cis.dag.trust` | node | 1 | What owners of the room say: [statements](protocol.md#statements-of-owners). |
| `cis.dag.groups.kept` | node | 1 | The signer keeps the concurrency groups of the room: [keepers](protocol.md#keepers-of-groups). |

Nodes that share the tasks of a room also write to each other from device to device: [messages between nodes](protocol.md).

`first` is the number of the first entry, `prev` the hash of the one before it, `head` that of the last.

### Files

What does not fit into an event goes as a file: `file` is `{sha256, size, media}`. Its bytes are the canonical JSON of the
array of entries (packed, as in a body), `size` is how many they are (at most 16 MiB), and `sha256` is their SHA-256 in hex. `media` says how
the file is fetched from the homeserver's media repository:

| `media` | room | |
|---|---|---|
| `{"url": "mxc://…"}` | plain | The bytes as they are. |
| `{"file": {…}}` | encrypted | An [`EncryptedFile`](https://spec.matrix.org/latest/client-server-api/#extensions-to-mroommessage-msgtypes): `url`, `key`, `iv`, `hashes`, `v`. `sha256` and `size` are of the decrypted bytes. |

A file with other bytes than `sha256` and `size` say does not count, and nobody needs to fetch more than `size` bytes.

### Announcements

Small events, each of the type of the event in the journal that it repeats, so that programs find what they look for by its type
alone. Which ones a node sends, `events` of `[dag.matrix]` says. The journal is what counts: an announcement may be missing, and says less.

| type | body |
|---|---|
| `cis.dag.run.created` | `{entry, at_ms, dag, tasks}`: how many tasks the file has. |
| `cis.dag.run.completed` | `{entry, at_ms, dag, state}`: `succeeded`. |
| `cis.dag.run.failed` | `{entry, at_ms, dag, state, detail}`: `failed`, and why in words. |
| `cis.dag.run.error` | `{entry, at_ms, dag, state, detail}`: `error`, and why in words. |
| `cis.dag.run.cancelled` | `{entry, at_ms, dag, state}`: `cancelled`. |
| `cis.dag.session.blocked` | `{entry, at_ms, dag, session, task, episode, item, kind, question, options}`: what is asked, and `{id, label, meaning}` of each option. |
| `cis.dag.session.recovered` | `{entry, at_ms, dag, session, task, episode}`: that prompt waits no more. |
| `cis.dag.task.status` | `{entry, at_ms, dag, tasks, more?}`: the newest state of each task that changed since the last one; `more` of them are not named. Not sent unless it is configured. |

`entry` is `{n, hash}`: the number and the hash of the journal's entry; its term is the envelope's `epoch`. `at_ms` is when it happened, Unix ms, and
`dag` the `id` of the DAG. Questions and reasons are cut after 500 characters. A run that a room began to follow on its way is announced by
`cis.dag.run.created` with the place of its snapshot.

## The journal

A run has one journal, which its coordinator alone writes. Entries are numbered from 1; the number goes on across terms.
The hash of an entry is the SHA-256 of the canonical JSON of `{"entry", "epoch", "n", "prev", "run"}`, where `prev` is the
hash of the one before, and before the first one that of `{"run", "type": "cis.dag.run.journal"}`. A new coordinator
begins the next term with `cis.dag.run.taken_over`, which counts where the entry before it (`cut`) was the newest one when it
came, in the order of the room's timeline: so the first of two does, and what the old coordinator writes after it is void.
Of two entries in one place the first one counts.

| field of an entry | type | |
|---|---|---|
| `at_ms` | number | When, Unix ms. |
| `type` | string | The event's name. |
| `v` | number | Version of its shape. |
| `actor`? | object | By whom; absent: by the coordinator. |
| `cause`? | string | The input that caused it. |
| `body` | object | The body of the [event](events.md), without what stays on its machine. |

Intermediate states are merged. The body of `cis.dag.task.result` then tells how the try began: `granted_ms`, `queued_ms`?
and `node`? (absent: the node that wrote the entry), and no other entry does. In a list of changes tasks stand in any order.
`cis.dag.run.created` has the text of the DAG file beside its fields, as `text`.

## The canonical state

What every reader of a run's journal comes to, byte for byte. It is the canonical JSON of the object below, packed as a body is; `state` of a
snapshot is its SHA-256. Entries are folded in their order; how they were merged makes no difference.

| field | type | how it is folded |
|---|---|---|
| `v` | number | 1. |
| `run` | string | The run. |
| `spec` | string | `spec` of `cis.dag.run.created`. |
| `state` | string | The state of the run: of the newest of `run.created`, `run.started` (`running`), `run.paused`, `run.resumed` (`running`), `run.completed` (`succeeded`), `run.failed`, `run.error`, `run.cancelled`, `run.retried` (`running`). |
| `tasks` | object | The state of each task by its id: first `pending`; then the `state` of each change in `task.status` and `run.retried`, `running` by `task.assigned`, the `state` of `task.result`. Tasks of `task.added` are `pending` from then on. `task.expanded` makes the task `queued`, and its items `ID.1` to `ID.n` too; items of an earlier, longer list become `completed`. |
| `attempts` | array | One for each `task.result`, sorted by task and number; the last one of an attempt counts. |
| `blocked` | array | One for each `session.blocked` of a task, sorted by task, session and episode. |
| `answers` | array | In the order of the journal: `session.answered`, `task.approved`, and each change of `task.status` whose `end` has the `kind` `rejected`. |

| of | fields |
|---|---|
| an attempt | `task`, `attempt`, `exit`, `started_ms`, `ended_ms` as in the result; `outcome`: `succeeded`, `failed`, `cancelled`, or `error` (of `spawn_error` and `lost`); `node`: whom `task.assigned` (or the result's own `node`) names, otherwise the run's owner; `outputs`: `{value, hash}` by name |
| what blocked | `task`, `session`, `episode`, `item`, `kind`; `since_ms`: when; `until_ms`: when `session.recovered` of the same episode came, or the result of its attempt, whichever is first; otherwise null |
| an answer | `task`, `by`, `option`, `text`, `reason`, `at_ms`; `item`: of `session.answered`, otherwise null; `void`: whether a `session.answer_void` with the same `input` followed. An approval has `option` and `text` `approve` and its comment as `reason`, a rejection `reject` and its reason; what is absent or empty is null |
"#;

/// The mapping.
const MAPPING: &str = "cis-core/src/federation/room_event.rs";
const EVENTS: &str = "cis-core/src/event/body.rs";

/// Makes it.
pub(super) fn page() -> Outcome<String> {
    let read_file = |path: &str| {
        std::fs::read_to_string(root().join(path)).map_err(|e| format!("cannot read {path}: {e}"))
    };
    let (mapping, events) = (read_file(MAPPING)?, read_file(EVENTS)?);
    let shapes = read(&events).map_err(|e| format!("{EVENTS}: {e}"))?;
    let Some(Shape { kind: Kind::Enum(types), .. }) = shapes.iter().find(|s| s.name == "EventBody") else {
        return Err(format!("{EVENTS} has no enum EventBody"));
    };
    let mut page = HEAD.to_owned();
    page += "\n## Events in a journal\n\n| event | category | what it says | what stays on its machine |\n|---|---|---|---|\n";
    let shown = shown(&mapping)?;
    for (name, hidden) in &shown {
        let known = types.iter().find(|event| event.name == *name);
        let Some(event) = known else { return Err(format!("{MAPPING} names {name}, which is no event")) };
        let category = name.split('.').nth(2).unwrap_or_default();
        let hidden = hidden.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        page.push_str(&format!("| `{name}` | {category} | {} | {hidden} |\n", event.text));
    }
    let kept = types.iter().filter(|event| !shown.iter().any(|(name, _)| *name == event.name));
    let kept = kept.map(|event| format!("`{}`", event.name)).collect::<Vec<_>>().join(", ");
    page.push_str(&format!("\nNo room gets {kept}.\n"));
    Ok(page)
}

/// Names of the table `SHOWN`, each with the paths that it hides.
fn shown(source: &str) -> Outcome<Vec<(String, Vec<String>)>> {
    let table = source.split_once("const SHOWN").and_then(|(_, rest)| rest.split_once("\n];"));
    let Some((table, _)) = table else { return Err(format!("{MAPPING} has no table SHOWN")) };
    let row = |text: &str| {
        let (name, rest) = text.split_once('"')?;
        // Every text after the name is the path of a field.
        let paths = rest.split('"').skip(1).step_by(2).map(str::to_owned);
        Some((format!("cis.{name}"), paths.collect()))
    };
    Ok(table.split("\"cis.").skip(1).filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_are_read_however_they_are_broken() {
        let source = "const SHOWN: &[X] = &[\n    (\"cis.a\", &[]),\n    (\n        \"cis.b\",\n        &[nothing(\"x.*.y\"), zero(\"z\")],\n    ),\n];\n(\"cis.c\")";
        let expected = vec![
            ("cis.a".to_owned(), vec![]),
            ("cis.b".to_owned(), vec!["x.*.y".to_owned(), "z".to_owned()]),
        ];
        assert_eq!(super::shown(source), Ok(expected));
    }
}
