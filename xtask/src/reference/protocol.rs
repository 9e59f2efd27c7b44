//! The page of what the nodes of a room say to each other: messages from device to device, and statements of owners.

use super::page::{Page, shapes};
use crate::Outcome;
use crate::workspace::root;

const HEAD: &str = "\
# Messages between nodes

What nodes that share the tasks of a room say to each other. What they write into the room's timeline, and the envelope
around everything, is on the page [events in rooms](room-events.md). This page is made from the code:
`cargo xtask reference --update`.

A field with `?` is absent where it has nothing to say. Readers ignore fields that they do not know. Times are Unix milliseconds, unless a
field says otherwise.

## How messages travel

Every message is a Matrix [to-device message](https://spec.matrix.org/latest/client-server-api/#send-to-device-messaging), encrypted with
Olm for the device of one node. Its content is a signed envelope, as in the timeline, but without `seq`. Its body is packed in the same
way. Several messages for one node may share an envelope of the type `cis.dag.node.messages`: its body is `{messages: [...]}`, in order.
A message with more than 40 KiB is sent in parts, in envelopes of the type `cis.dag.node.part` with the body `{of, at, count, text}`: the texts with the same `of`,
ordered by `at`, are the JSON of such a body.

Messages may be lost, repeated and reordered. Each one that matters is repeated until its answer comes, and the receiver takes
it once. A message counts only if its signer has the right that it needs in that room (`submit`, `coordinate` or `execute`), and a message
under another type than its own does not count.

A grant is known by its attempt and its `fence`, which grows with each grant of an attempt. `epoch` is the coordinator's term in a run:
who has seen a higher one takes nothing from a lower one. A `nonce` names a heartbeat (or report) of the receiver, so that the receiver
alone measures how long a lease lasts, on its own clock.
";

const STATEMENTS: &str = "
## Statements of owners

Envelopes of the type `cis.dag.trust` in the timeline of the room. `n` counts from 1. `prev` is the hash of the statement before: the
SHA-256, in hex, of the canonical JSON of `{\"room\", \"placed\": {\"n\", \"prev\", \"statement\"}}`; before the first one that
of `{\"room\", \"type\": \"cis.dag.trust\"}`. A statement counts once as many owners signed the same one as the room asks for. A node learns the
first owners from a join code.
";

const KEEPERS: &str = "
## Keepers of groups

An envelope of the type `cis.dag.groups.kept` in the timeline, with the body `{epoch: number}`: its signer keeps the concurrency groups of
the room from there on. Of two for one term the first counts.
";

/// Files of the shapes.
const SOURCES: [&str; 24] = [
    MESSAGE,
    DIRECT,
    "cis-core/src/federation/protocol/groups/message.rs",
    "cis-core/src/federation/protocol/voters.rs",
    "cis-core/src/federation/link.rs",
    "cis-core/src/federation/session_news.rs",
    "cis-core/src/federation/control.rs",
    "cis-core/src/federation/view/segment.rs",
    "cis-core/src/federation/view/frame.rs",
    "cis-core/src/federation/transfer.rs",
    "cis-core/src/federation/membership/mod.rs",
    "cis-core/src/identity/right.rs",
    "cis-core/src/scheduler/placement.rs",
    "cis-core/src/api/worker.rs",
    "cis-core/src/api/context.rs",
    "cis-core/src/api/requests.rs",
    "cis-core/src/event/row.rs",
    "cis-core/src/dag/program.rs",
    "cis-core/src/dag/model.rs",
    "cis-core/src/event/facts.rs",
    "cis-core/src/event/node_rule.rs",
    "cis-core/src/event/states.rs",
    "cis-core/src/event/outcome.rs",
    "cis-core/src/prompt.rs",
];
const MESSAGE: &str = "cis-core/src/federation/protocol/message.rs";
const DIRECT: &str = "cis-core/src/federation/direct.rs";

/// Makes it.
pub(super) fn page() -> Outcome<String> {
    let read_file = |path: &str| {
        std::fs::read_to_string(root().join(path)).map_err(|e| format!("cannot read {path}: {e}"))
    };
    let (types, addressees) = (read_file(DIRECT)?, read_file(MESSAGE)?);
    let shapes = shapes(&SOURCES)?;
    let mut page = Page::new(HEAD, &shapes);
    page.text += "\n## Tasks, leases and terms\n";
    for message in page.variants_of("Message")? {
        let name = camel(&message.name);
        let kind = type_of(&types, &name).ok_or_else(|| format!("{DIRECT} has no type for {name}"))?;
        let way =
            way_of(&addressees, &name).ok_or_else(|| format!("{MESSAGE} has no addressee of {name}"))?;
        page.text.push_str(&format!(
            "\n### `{kind}`\n\n{way} {} Its `kind` is `{}`.\n",
            message.text, message.name
        ));
        if !message.fields.is_empty() {
            page.body(message)?;
        }
    }
    page.text += "\n## Requests of people\n\nWhat somebody at one node wants done to a run that another node coordinates, or to a session \
                  there. A request is repeated until its response comes; it is refused when it is older than 2 minutes.\n";
    for (kind, body) in [
        ("cis.dag.run.control_request", "ControlRequest"),
        ("cis.dag.run.control_response", "ControlResponse"),
    ] {
        page.text.push_str(&format!("\n### `{kind}`\n"));
        page.fields_of(body)?;
    }
    page.text += "\n## Views of sessions\n\nA terminal or a log that somebody at another node looks at.\n\n### `cis.dag.session.view`\n";
    page.fields_of("Segment")?;
    page.text +=
        "\n### `cis.dag.session.view_gone`\n\nThe sender knows no such view. Its body is `{view: string}`.\n";
    page.text += "\n## Lists of files\n\nThe file that `files` of a grant or a report names. Its bytes are the JSON of:\n";
    page.fields_of("FileList")?;
    page.text += STATEMENTS;
    page.fields_of("Placed")?;
    page.text += KEEPERS;
    page.shapes()?;
    Ok(page.text)
}

/// `task_result` as `TaskResult`.
fn camel(name: &str) -> String {
    let word =
        |word: &str| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect();
    name.split('_').map(word).collect::<Vec<String>>().concat()
}

/// The envelope's type of a message, by the table in the source.
fn type_of<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let row = source.lines().find(|line| line.trim().starts_with(&format!("Message::{name} {{")))?;
    row.split('"').nth(1)
}

/// Who sends a message to whom, by the table in the source.
fn way_of(source: &str, name: &str) -> Option<&'static str> {
    let (_, table) = source.split_once("pub const fn addressee")?;
    let (_, after) = table.split_once(&format!("Self::{name} {{"))?;
    let (_, addressee) = after.split_once("Addressee::")?;
    match addressee.split(|c: char| !c.is_alphanumeric()).next()? {
        "Worker" => Some("From a coordinator to a worker."),
        "Coordinator" => Some("From a worker to a coordinator."),
        "Voter" => Some("From a coordinator to another one."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_name() {
        assert_eq!(camel("task_result"), "TaskResult");
        let types = "Message::Alive {} => device(\"a.b\", Category::Node),\nMessage::Grant { .. } => device(\"a.c\", X),";
        assert_eq!((type_of(types, "Alive"), type_of(types, "Grant")), (Some("a.b"), Some("a.c")));
        assert_eq!(type_of(types, "Other"), None);
        let ways = "pub const fn addressee() {\nSelf::Grant { .. }\n| Self::Renew { .. } => Addressee::Worker,\nSelf::Alive {} => Addressee::Voter,";
        assert_eq!(way_of(ways, "Grant"), Some("From a coordinator to a worker."));
        assert_eq!(way_of(ways, "Alive"), Some("From a coordinator to another one."));
        assert_eq!(way_of(ways, "Other"), None);
    }
}
