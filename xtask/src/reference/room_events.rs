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
| `seq`? | `{incarnation: number, n: number}` | Its place among all that this node sent to the room's timeline: without a gap in an incarnation. |
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
| `cis.dag.run.snapshot` | run | 1 | The run up to entry `n`: `{n, head, state, entries}`, or `file` in place of `entries`. `state` is the SHA-256 of the canonical state that they fold to. |
| `cis.dag.node.rotated` | node | 1 | The node took another key: `{old, new, at_ms, sig_old, sig_new}`; both keys sign. |

`first` is the number of the first entry, `prev` the hash of the one before it, `head` that of the last. A `file` is
`{sha256, size, media}`: its bytes are the canonical JSON of the array of entries, and `media` is how the room finds it.

## The journal

A run has one journal, which its coordinator alone writes. Entries are numbered from 1; the number goes on across terms.
The hash of an entry is the SHA-256 of the canonical JSON of `{"entry", "epoch", "n", "prev", "run"}`, where `prev` is the
hash of the one before, and before the first one that of `{"run", "type": "cis.dag.run.journal"}`. A new coordinator
begins the next term with `cis.dag.run.taken_over`: what the old one wrote after the entry `cut` is void. Of two takeovers of
a term the one with the lower hash counts; so it is with two entries in one place.

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
