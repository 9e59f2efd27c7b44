//! Whether the program of an agent is there, before anything of it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cis_core::agent::{Agent, Agents};
use cis_core::dag::{Action, Dag, Task};
use cis_core::event::ExecutionMode;

/// What is wrong with the agents of a DAG, a sentence each. In Matrix mode only what has to run here needs its program here.
/// `env`: what the run is started from; none: this process's own.
#[must_use]
pub fn missing_agents(
    dag: &Dag,
    mode: ExecutionMode,
    agents: &Agents,
    env: Option<&BTreeMap<String, String>>,
    workdir: &Path,
) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for task in &dag.tasks {
        let Action::Agent { agent: name, .. } = &task.action else { continue };
        let Some(agent) = agents.get(name) else {
            wrong.push(format!("task `{}`: {}", task.id, agents.unknown(name)));
            continue;
        };
        if mode == ExecutionMode::Matrix && !task.stays_home() {
            continue;
        }
        // A template says where it is only when it starts: then a missing program is the task's error.
        let Some(path) = path_of(task, agent, env) else { continue };
        let cwd = directory(task, workdir);
        if known.insert((name, path.clone(), cwd.clone()))
            && let Err(missing) = find_program(agent, Some(&path), cwd.as_deref())
        {
            wrong.push(format!("task `{}`: {missing}", task.id));
        }
    }
    wrong
}

/// The `PATH` that a task's session will have; none: that is not known yet.
fn path_of(task: &Task, agent: &Agent, env: Option<&BTreeMap<String, String>>) -> Option<String> {
    match task.env.get("PATH").or_else(|| agent.env.get("PATH")) {
        Some(path) if path.contains("{{") => None,
        Some(path) => Some(path.clone()),
        None => Some(inherited_path(env)),
    }
}

/// The `PATH` of an environment; none: of this process's own.
#[must_use]
pub fn inherited_path(env: Option<&BTreeMap<String, String>>) -> String {
    match env {
        Some(env) => env.get("PATH").cloned().unwrap_or_default(),
        None => std::env::var("PATH").unwrap_or_default(),
    }
}

fn directory(task: &Task, workdir: &Path) -> Option<PathBuf> {
    match &task.cwd {
        None => Some(workdir.to_owned()),
        Some(cwd) if cwd.contains("{{") => None,
        Some(cwd) => Some(workdir.join(cwd)),
    }
}

/// Looks for the program of an agent, as a session with this `PATH` and directory would. One whose place is
/// not known before the start (a relative one, without a directory) counts as there.
///
/// # Errors
/// It is not there: which agent, which program, where it was looked for, and what helps.
pub fn find_program(agent: &Agent, path: Option<&str>, cwd: Option<&Path>) -> Result<(), String> {
    let Some(program) = agent.command.first() else { return Ok(()) };
    let name = &agent.name;
    let help = format!(
        "install it, or say where it is: [agents.{name}] command = [\"/path/to/it\"] in the configuration"
    );
    if program.contains('/') {
        let place = match (Path::new(program).is_absolute(), cwd) {
            (true, _) => Path::new(program).to_owned(),
            (false, Some(cwd)) => cwd.join(program),
            (false, None) => return Ok(()),
        };
        if can_run(&place) {
            return Ok(());
        }
        return Err(format!("agent `{name}` runs {}, which is no program; {help}", place.display()));
    }
    let folders = path.unwrap_or_default();
    let places = std::env::split_paths(folders);
    if places.map(|folder| folder.join(program)).any(|place| can_run(&place)) {
        return Ok(());
    }
    Err(format!("agent `{name}` runs the program `{program}`, which is not in PATH ({folders}); {help}"))
}

fn can_run(place: &Path) -> bool {
    std::fs::metadata(place).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn agent(program: &str) -> Agent {
        Agent { name: "mine".to_owned(), command: vec![program.to_owned()], ..Agent::default() }
    }

    #[test]
    fn a_program_is_there_or_the_message_names_all_that_helps_to_find_it() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let (there, plain) = (make("there", 0o755), make("plain", 0o644));
        let path = format!("/nowhere:{}", dir.path().display());
        let look = |program: &str| find_program(&agent(program), Some(&path), Some(dir.path()));
        assert_eq!(look("there"), Ok(()));
        assert_eq!(look(&there), Ok(()));
        assert_eq!(look("./there"), Ok(()));
        for missing in ["plain", &plain, "./plain", "absent"] {
            let said = look(missing).unwrap_err();
            assert!(said.contains("`mine`") && said.contains("[agents.mine]"), "{said}");
        }
        assert!(look("absent").unwrap_err().contains(&format!("PATH ({path})")));
        assert!(find_program(&agent("there"), None, None).is_err());
        assert_eq!(find_program(&agent("./absent"), None, None), Ok(()), "where it starts is not known");
    }
}
