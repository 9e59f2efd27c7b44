//! The commands that the README tells newcomers to run.

use std::path::Path;

use crate::Outcome;

/// Returns the lines of the first shell block below "Start".
pub(super) fn commands(checkout: &Path) -> Outcome<Vec<String>> {
    let path = checkout.join("README.md");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let found = of(&text);
    if found.is_empty() {
        return Err(format!("{} has no `sh` block below the heading Start", path.display()));
    }
    Ok(found)
}

fn of(text: &str) -> Vec<String> {
    let section = text.split_once("\n## Start\n").map_or("", |(_, after)| after);
    let section = section.split("\n## ").next().unwrap_or_default();
    let block = section.split_once("\n```sh\n").map_or("", |(_, after)| after);
    let block = block.split("\n```").next().unwrap_or_default();
    block
        .lines()
        .map(|line| line.split(" # ").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_has_two_commands() {
        let text = include_str!("../../../../README.md");
        let commands = super::of(text);
        assert_eq!(commands.len(), 2, "{commands:?}");
        assert!(commands[0].starts_with("cargo run ") && commands[1] == "cargo xtask test", "{commands:?}");
    }

    #[test]
    fn other_sections_do_not_count() {
        assert!(super::of("\n## Start\ntext\n## More\n\n```sh\nls\n```\n").is_empty());
        assert_eq!(super::of("\n## Start\n\n```sh\na b   # why\n\nc\n```\n```sh\nd\n```\n"), ["a b", "c"]);
    }
}
