//! The page of the events: every type with its body, from the enum that they are.

use super::page::{Page, shapes};
use crate::Outcome;

const HEAD: &str = "\
# Events

Every change of a run, a task, a session or a node is an event. [What `--json` prints](json.md#events) says what stands
around the body, and how streams behave; this page has the bodies. It is made from the code:
`cargo xtask reference --update`.

A field with `?` is absent where it has nothing to say. Times are Unix milliseconds, and readers ignore what they do
not know.
";

/// Files of the event's shapes.
const SOURCES: [&str; 6] = [
    "cis-core/src/event/body.rs",
    "cis-core/src/event/facts.rs",
    "cis-core/src/event/node_rule.rs",
    "cis-core/src/prompt.rs",
    "cis-core/src/event/states.rs",
    "cis-core/src/event/outcome.rs",
];
/// THE enum.
const EVENT: &str = "EventBody";

/// Makes it.
pub(super) fn page() -> Outcome<String> {
    let shapes = shapes(&SOURCES)?;
    let mut page = Page::new(HEAD, &shapes);
    for event in page.variants_of(EVENT)? {
        page.text.push_str(&format!("\n## `{}`\n\n{}\n", event.name, event.text));
        page.body(event)?;
    }
    page.shapes()?;
    Ok(page.text)
}
