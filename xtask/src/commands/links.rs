//! Checks links in Markdown files: their targets inside this repository exist. A link whose text is the name
//! of a function (`` [`name`](path/to/file.rs) ``) must point to a file that has that function.

use std::path::Path;

use crate::Outcome;
use crate::workspace::{files_below, root};

/// Checks every `](target)` of every Markdown file that is not an address elsewhere.
pub(crate) fn check() -> Outcome {
    let mut broken = Vec::new();
    for file in files_below(&root(), ".md")? {
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for Link { line, text, target } in links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() {
                continue;
            }
            let to = folder.join(path);
            if !to.exists() {
                broken.push(format!("{}:{line}: {target} does not exist", file.display()));
            } else if let Some(name) = function_name(text, path)
                && !std::fs::read_to_string(&to).is_ok_and(|code| code.contains(&format!("fn {name}(")))
            {
                broken.push(format!("{}:{line}: {target} has no function {name}", file.display()));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("broken links\n  {}", broken.join("\n  "))) }
}

/// A link into this repository.
#[derive(Debug, PartialEq)]
struct Link<'a> {
    /// Line number, from 1.
    line: usize,
    text: &'a str,
    target: &'a str,
}

/// Returns the function that a link to Rust code names.
fn function_name<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    let name = text.strip_prefix('`')?.strip_suffix('`')?;
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    (path.ends_with(".rs") && is_name).then_some(name)
}

/// Returns the links of a text, without code blocks.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](") {
            let Some((target, tail)) = after.split_once(')') else { break };
            if !target.contains("://") && !target.starts_with("mailto:") {
                let text = before.rsplit_once('[').map_or(before, |(_, text)| text);
                found.push(Link { line: index + 1, text, target });
            }
            rest = tail;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_the_repository_count() {
        let text = "see [a](docs/a.md#x) and [b](https://example.org)\n```\n[c](nowhere.md)\n```\n[d](#part)";
        let found: Vec<_> = links(text).iter().map(|link| (link.line, link.text, link.target)).collect();
        assert_eq!(found, [(1, "a", "docs/a.md#x"), (5, "d", "#part")]);
    }

    #[test]
    fn a_link_to_code_may_name_a_function() {
        assert_eq!(function_name("`reads_twice`", "tests/e2e/a.rs"), Some("reads_twice"));
        assert_eq!(function_name("`a.md`", "docs/a.md"), None);
        assert_eq!(function_name("`tests/e2e/a.rs`", "tests/e2e/a.rs"), None);
        assert_eq!(function_name("the tests", "tests/e2e/a.rs"), None);
    }
}
