//! Links in Markdown files: what they point to inside this repository is there.

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
        for (number, target) in targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                broken.push(format!("{}:{number}: {target} is not there", file.display()));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("broken links\n  {}", broken.join("\n  "))) }
}

/// Link targets with their line, from 1. Code blocks are left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
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
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, tail)) = after.split_once(')') else { break };
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((index + 1, target));
            }
            rest = tail;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_links_into_the_repository_count() {
        let text = "see [a](docs/a.md#x) and [b](https://example.org)\n```\n[c](nowhere.md)\n```\n[d](#part)";
        assert_eq!(super::targets(text), [(1, "docs/a.md#x"), (5, "#part")]);
    }
}
