//! `reference`: the pages of `docs/reference` that are made from the code, and whether they are what the
//! code says.

mod api;
mod cli;
mod events;
mod page;
mod protocol;
mod room_events;
mod shapes;

use crate::Outcome;
use crate::workspace::root;

/// Writes the pages (`--update`), or fails where one is not what the code gives.
pub(crate) fn reference(arguments: &[String]) -> Outcome {
    match arguments {
        [] => check(),
        [update] if update == "--update" => pages()?.iter().try_for_each(|(path, text)| {
            std::fs::write(root().join(path), text).map_err(|e| format!("cannot write {path}: {e}"))
        }),
        other => Err(format!("`reference` takes `--update` or nothing, not `{}`", other.join(" "))),
    }
}

/// Fails where a page is not what the code gives.
pub(crate) fn check() -> Outcome {
    for (path, text) in pages()? {
        let there = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        if there != text {
            return Err(format!("{path} is not what the code says now: cargo xtask reference --update"));
        }
    }
    Ok(())
}

fn pages() -> Outcome<[(&'static str, String); 7]> {
    Ok([
        ("docs/reference/cli.md", cli::page()?),
        ("docs/reference/config.md", cli::settings()?),
        ("docs/reference/events.md", events::page()?),
        ("docs/reference/room-events.md", room_events::page()?),
        ("docs/reference/protocol.md", protocol::page()?),
        ("docs/reference/openapi.json", api::document("openapi")?),
        ("docs/reference/asyncapi.json", api::document("asyncapi")?),
    ])
}
