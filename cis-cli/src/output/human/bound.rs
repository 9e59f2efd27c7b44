//! Tasks that need something of the node where their run was submitted.

use cis_core::api::{BoundEffect, BoundTaskView};

use crate::output::style::BOLD;
use crate::output::table::{Table, cell, plain};

/// Tasks that are listed, and files of each that are named, at most.
const TASKS_MAX: usize = 50;
const FILES_MAX: usize = 5;

/// `cis dag mode RUN matrix`.
pub(crate) fn bound_tasks(bound: &[BoundTaskView]) -> String {
    if bound.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["TASK", "NEEDS OF THE SUBMITTING NODE", "SO IT"]);
    for task in bound.iter().take(TASKS_MAX) {
        let mut needs: Vec<&str> =
            task.keys.iter().chain(task.files.iter().take(FILES_MAX)).map(String::as_str).collect();
        if task.files.len() > FILES_MAX {
            needs.push("…");
        }
        let effect = match task.effect {
            BoundEffect::Stays => "runs on the submitting node",
            BoundEffect::Fails => "fails: its `cwd` is on the submitting node",
            BoundEffect::LacksFiles => "does not find these files on other nodes",
            BoundEffect::Other => "?",
        };
        table.row(vec![cell(task.task.as_str(), BOLD), plain(needs.join(", ")), plain(effect)]);
    }
    let mut out = table.render();
    if bound.len() > TASKS_MAX {
        out.push_str(&format!("… and {} more\n", bound.len() - TASKS_MAX));
    }
    if bound.iter().any(|task| task.effect == BoundEffect::LacksFiles) {
        out.push_str(
            "Other nodes get only files that `inputs` of a task matches. To change that, cancel the run, edit the DAG file, and run it with --matrix.\n",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use cis_core::ids::TaskId;

    use super::*;

    #[test]
    fn tasks_with_what_they_need_of_the_submitting_node() {
        let task = |name: &str, effect, keys: &[&str], files: &[&str]| BoundTaskView {
            task: TaskId::new(name).unwrap(),
            effect,
            keys: keys.iter().map(|&word| word.to_owned()).collect(),
            files: files.iter().map(|&word| word.to_owned()).collect(),
        };
        let bound = [
            task("publish", BoundEffect::Stays, &["cwd", "secrets"], &[]),
            task("train", BoundEffect::Fails, &["cwd"], &[]),
            task("lint", BoundEffect::LacksFiles, &[], &["a", "b", "c", "d", "lint.sh", "z"]),
        ];
        insta::assert_snapshot!(
            "bound_tasks",
            anstream::adapter::strip_str(&bound_tasks(&bound)).to_string()
        );
        assert_eq!(bound_tasks(&[]), "");
    }
}
