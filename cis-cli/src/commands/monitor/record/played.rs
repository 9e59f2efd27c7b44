//! A scenario plays the person: its directory, its environment, its recording.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use cis_core::api::TermSize;
use cis_core::monitor::recording::Header;
use cis_host::recorder::{Recorder, Scenario, Scenarios, Start, adopt_orphans, play};

use super::{create, failed};
use crate::error::{CliError, Exit};
use crate::output;
use cis_local::now_ms;

/// The directory of a scenario. It goes with what is in it, after the scenario's cleanup.
struct Scratch<'s> {
    path: PathBuf,
    scenario: &'s Scenario,
}

impl Scratch<'_> {
    /// Runs shell commands in it. `what` they are, for messages.
    fn shell(&self, what: &str, commands: &str) -> Result<(), String> {
        let run = Command::new("sh")
            .args(["-ec", commands])
            .current_dir(&self.path)
            .env_clear()
            .envs(environment(self.scenario, &self.path))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("its {what} cannot be run: {error}"))?;
        if run.success() { Ok(()) } else { Err(format!("its {what} failed: {run}")) }
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Some(cleanup) = &self.scenario.cleanup
            && let Err(why) = self.shell("cleanup", cleanup)
        {
            output::note(&format!("scenario `{}`: {why}\n", self.scenario.name));
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Plays the scenario `name` of `file` and records it.
pub(super) async fn record(file: &Path, name: &str, output: Option<&Path>) -> Result<Exit, CliError> {
    let wrong = |why: String| CliError::bad_input(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let scenarios = Scenarios::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let scenario = scenarios.find(name).map_err(|error| wrong(error.to_string()))?;
    let path = output.map_or_else(|| PathBuf::from(format!("{name}.cast")), Path::to_path_buf);

    adopt_orphans().map_err(|error| wrong(error.to_string()))?;
    let scratch = prepare(scenario).map_err(|why| wrong(format!("scenario `{name}`: {why}")))?;
    let start = Start {
        argv: scenario.argv.clone(),
        env: environment(scenario, &scratch.path),
        directory: scratch.path.clone(),
        header: Header {
            size: TermSize { cols: scenario.cols, rows: scenario.rows },
            started_ms: now_ms(),
            command: scenario.argv.join(" "),
            program: Some(scenarios.program.clone()),
            scenario: Some(name.to_owned()),
            profile: scenarios.profile.clone(),
        },
    };
    let mut recorder = Recorder::start(&start, create(&path)?).map_err(failed)?;
    let played = play(&mut recorder, scenario).await;
    recorder.finish().await.map_err(failed)?;
    if let Err(error) = played {
        let _ = fs::remove_file(&path);
        return Err(wrong(format!("scenario `{name}`: {error}")));
    }
    Ok(Exit::OK)
}

fn environment(scenario: &Scenario, directory: &Path) -> BTreeMap<String, String> {
    let own = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    let mut env: BTreeMap<String, String> = ["PATH", "USER", "LOGNAME"].into_iter().filter_map(own).collect();
    let home = directory.display().to_string();
    let usual =
        [("HOME", home.as_str()), ("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("SHELL", "/bin/sh")];
    env.extend(usual.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.extend(scenario.env.iter().map(|(name, value)| (name.clone(), value.replace("{dir}", &home))));
    env
}

/// Makes the scenario's directory with its files, and runs what prepares it.
fn prepare(scenario: &Scenario) -> Result<Scratch<'_>, String> {
    let directory = std::env::temp_dir().join(format!("cis-scenario-{}", std::process::id()));
    let failed = |what: &Path, error: std::io::Error| format!("{} cannot be made: {error}", what.display());
    fs::DirBuilder::new().mode(0o700).create(&directory).map_err(|error| failed(&directory, error))?;
    let scratch = Scratch { path: directory, scenario };
    for (name, content) in &scenario.files {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(format!("the file `{name}` is not inside of its directory"));
        }
        let path = scratch.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        fs::write(&path, content).map_err(|error| failed(&path, error))?;
        if content.starts_with("#!") {
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, executable).map_err(|error| failed(&path, error))?;
        }
    }
    if let Some(setup) = &scenario.setup {
        scratch.shell("setup", setup)?;
    }
    Ok(scratch)
}
