//! Tasks of a run that need something of the submitting node, for a run that other nodes are about to share.
//!
//! Owns the search for files of the run's directory that a command names. What a program reads by itself is not followed, and scripts for
//! other programs than shells are not read.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::config::Identity;
use crate::files::Globs;
use crate::kept;
use cis_core::api::{BoundEffect, BoundTaskView};
use cis_core::dag::{Task, template};
use cis_core::scheduler::Run;

/// The tasks of a run that are still to start, each with the globs of the files that come to it from the tasks that it needs.
#[derive(Debug)]
pub(crate) struct BoundTasks {
    workdir: PathBuf,
    tasks: Vec<(Task, Vec<String>)>,
}

impl BoundTasks {
    /// Returns none where the run was submitted to another node: its files are there.
    pub(crate) fn of(run: &Run, identity: &Identity) -> Option<Self> {
        let facts = run.facts();
        if facts.is_foreign() || !identity.is_or_was(&facts.owner) {
            return None;
        }
        let to_start = run.tasks().take(run.dag().tasks.len());
        let to_start = to_start.filter(|(_, entry)| !entry.state.is_terminal() && entry.live.is_none());
        let tasks = to_start.map(|(task, _)| {
            let needed = task.needs.iter().filter_map(|need| run.task(need));
            let artifacts = needed.flat_map(|(task, _)| task.artifacts.iter().cloned()).collect();
            (task.clone(), artifacts)
        });
        Some(Self { workdir: PathBuf::from(&facts.workdir), tasks: tasks.collect() })
    }

    /// What the DAG file says of them, without a look at the directory.
    pub(crate) fn by_keys(&self) -> Vec<BoundTaskView> {
        self.tasks.iter().filter_map(|(task, _)| by_keys(task)).collect()
    }

    /// What the DAG file and the run's directory say of them. Looks at files, so it must not be called where nothing may wait.
    pub(crate) fn by_files(&self) -> Vec<BoundTaskView> {
        let one = |(task, artifacts): &(Task, Vec<String>)| {
            by_keys(task).or_else(|| {
                let files = self.files(task, artifacts);
                let (task, effect) = (task.id.clone(), BoundEffect::LacksFiles);
                (!files.is_empty()).then(|| BoundTaskView { task, effect, keys: Vec::new(), files })
            })
        };
        self.tasks.iter().filter_map(one).collect()
    }

    /// Paths of the run's directory that the task's command names, and that it would not have on another node.
    fn files(&self, task: &Task, artifacts: &[String]) -> Vec<String> {
        let comes: Vec<String> = task
            .inputs
            .iter()
            .chain(artifacts)
            .filter(|glob| !template::has_template(glob))
            .cloned()
            .collect();
        let Ok(comes) = Globs::new(&comes) else { return Vec::new() };
        let mut files = BTreeSet::new();
        for (word, is_program) in kept::words_of(&task.action) {
            let Some(below) = self.below(&word, is_program) else { continue };
            let Ok(meta) = std::fs::metadata(self.workdir.join(&below)) else { continue };
            let has_slash = word.contains('/');
            let covered = match meta.is_dir() {
                // `cargo test` does not mean the directory `test`.
                true if !has_slash => true,
                true => comes.reach_below(&below) || !comes.matching(&below).is_empty(),
                false => !comes.matching(&below).is_empty(),
            };
            if !covered {
                files.insert(below.display().to_string());
            }
        }
        files.into_iter().collect()
    }

    /// The path that a word means, relative to the run's directory; none: it is none, or one outside of it.
    fn below(&self, word: &str, is_program: bool) -> Option<PathBuf> {
        // Programs without a `/` are looked for in PATH.
        if word.is_empty() || word.starts_with('-') || is_program && !word.contains('/') {
            return None;
        }
        let mut below = PathBuf::new();
        let path = Path::new(word);
        let path = if path.is_absolute() { path.strip_prefix(&self.workdir).ok()? } else { path };
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => below.push(name),
                // Files outside of the directory could not be inputs either.
                _ => return None,
            }
        }
        (!below.as_os_str().is_empty()).then_some(below)
    }
}

fn by_keys(task: &Task) -> Option<BoundTaskView> {
    let effect = match (task.stays_home(), task.cwd.is_some()) {
        (true, _) => BoundEffect::Stays,
        (false, true) => BoundEffect::Fails,
        // It names nodes, which get what it needs.
        (false, false) => return None,
    };
    let keys = task.bound_by().filter(|key| effect == BoundEffect::Stays || *key == "cwd");
    Some(BoundTaskView {
        task: task.id.clone(),
        effect,
        keys: keys.map(str::to_owned).collect(),
        files: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::dag;

    const FILE: &str = r#"
version = 1
[dag]
id = "bound"
[[tasks]]
id = "make"
script = "true"
artifacts = ["out/**"]
[[tasks]]
id = "stays"
cwd = "sub"
secrets = { T = { env = "T" } }
script = "true"
[[tasks]]
id = "fails"
cwd = "sub"
tags = ["gpu"]
script = "true"
[[tasks]]
id = "program"
command = ["./build.sh", "-v", "notes", "test"]
[[tasks]]
id = "declared"
inputs = ["build.sh", "src/**"]
script = "./build.sh < notes; ls src/ > missing; cat $HOME/x; cat {{ run.id }}"
[[tasks]]
id = "comes"
needs = ["make"]
inputs = ["notes"]
command = ["sh", "-c", "cat out/a && grep -q x notes"]
[[tasks]]
id = "other"
script = "open('notes')"
shell = "python3"
"#;

    #[test]
    fn files_that_other_nodes_do_not_get_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["src", "test", "out", "sub"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["build.sh", "notes", "src/a", "out/a"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let dag = dag::parse(FILE.as_bytes(), "f").unwrap();
        let artifacts = |task: &Task| {
            let needed = dag.tasks.iter().filter(|of| task.needs.contains(&of.id));
            needed.flat_map(|of| of.artifacts.clone()).collect()
        };
        let tasks = dag.tasks.iter().map(|task| (task.clone(), artifacts(task))).collect();
        let bound = BoundTasks { workdir: dir.path().to_owned(), tasks };
        let said = |views: Vec<BoundTaskView>| {
            let one = |view: BoundTaskView| (view.task.to_string(), view.effect, view.keys, view.files);
            views.into_iter().map(one).collect::<Vec<_>>()
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let stays = ("stays".to_owned(), BoundEffect::Stays, words(&["cwd", "secrets"]), vec![]);
        let fails = ("fails".to_owned(), BoundEffect::Fails, words(&["cwd"]), vec![]);
        let lacks = |task: &str, files| (task.to_owned(), BoundEffect::LacksFiles, vec![], words(files));
        assert_eq!(
            said(bound.by_files()),
            [
                stays.clone(),
                fails.clone(),
                lacks("program", &["build.sh", "notes"]),
                lacks("declared", &["notes"])
            ]
        );
        assert_eq!(said(bound.by_keys()), [stays, fails]);
    }
}
