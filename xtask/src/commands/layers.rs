//! Who may import whom in `cis-core` (ARCHITECTURE.md): read from the `crate::…` paths of its sources.
//!
//! The features prove that pure code links no io crate; this proves what they cannot: that io folders
//! do not know each other, and that nothing but `node/` wires them together.

use std::path::Path;

use crate::Outcome;
use crate::workspace::{files_below, root};

const PURE: &[&str] = &[
    "agent",
    "api",
    "dag",
    "event",
    "identity",
    "ids",
    "live",
    "monitor",
    "policy",
    "proc",
    "room",
    "scheduler",
    "terminal",
    "text",
];
const IO: &[&str] = &["client", "config", "matrix", "server", "session", "store"];
/// Folders that every io folder may use, and that use none of them.
const BASE: &[&str] = &["local"];
/// Protocols that are plain values though they lie in an io folder.
const PLAIN: &[&str] = &["session::protocol"];

/// Checks every file of `cis-core/src`.
pub(crate) fn check() -> Outcome {
    let source = root().join("cis-core/src");
    let mut wrong = Vec::new();
    for file in files_below(&source, ".rs")? {
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let inside = file.strip_prefix(&source).unwrap_or(&file);
        for (number, other) in crossings(&folder_of(inside), &text) {
            wrong.push(format!("cis-core/src/{}:{number}: may not use crate::{other}", inside.display()));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("layers are crossed (ARCHITECTURE.md)\n  {}", wrong.join("\n  ")))
    }
}

/// Name of the folder (or of the single file) right below `src`.
fn folder_of(inside: &Path) -> String {
    let first =
        inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    first.strip_suffix(".rs").map_or(first.clone(), str::to_owned)
}

/// Lines of `text` that name a folder which `folder` may not know.
fn crossings(folder: &str, text: &str) -> Vec<(usize, String)> {
    let pure = PURE.contains(&folder);
    let io = IO.contains(&folder);
    let base = BASE.contains(&folder);
    if !pure && !io && !base {
        return Vec::new(); // lib.rs and node/ know everybody.
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for after in code.split("crate::").skip(1) {
            let path: String =
                after.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            let other = path.split(':').next().unwrap_or_default();
            let plain = PLAIN.iter().any(|allowed| path.starts_with(allowed));
            let known = other == folder || (io && (plain || BASE.contains(&other)));
            let forbidden = other == "node" || ((IO.contains(&other) || BASE.contains(&other)) && !known);
            if forbidden {
                found.push((index + 1, path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::crossings;

    #[test]
    fn io_folders_do_not_know_each_other_and_nobody_knows_the_node() {
        assert_eq!(crossings("store", "use crate::session::host;").len(), 1);
        assert_eq!(crossings("server", "use crate::node::Driver;").len(), 1);
        assert_eq!(crossings("scheduler", "use crate::store::Writer;").len(), 1);
        assert!(crossings("store", "use crate::event::Event; // not crate::session").is_empty());
        assert_eq!(crossings("local", "use crate::config::Home;").len(), 1);
        assert_eq!(crossings("room", "use crate::local::Place;").len(), 1);
        assert!(crossings("client", "use crate::local::Place;").is_empty());
        assert!(crossings("session", "use crate::session::os;").is_empty());
        assert!(crossings("node", "use crate::{session, store};").is_empty());
    }
}
