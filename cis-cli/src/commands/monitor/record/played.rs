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
use cis_local::now_ms;

/// A directory that goes with what is in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
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
        env: environment(scenario, &scratch.0),
        directory: scratch.0.clone(),
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
fn prepare(scenario: &Scenario) -> Result<Scratch, String> {
    let directory = std::env::temp_dir().join(format!("cis-scenario-{}", std::process::id()));
    let failed = |what: &Path, error: std::io::Error| format!("{} cannot be made: {error}", what.display());
    fs::DirBuilder::new().mode(0o700).create(&directory).map_err(|error| failed(&directory, error))?;
    let scratch = Scratch(directory);
    for (name, content) in &scenario.files {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(format!("the file `{name}` is not inside of its directory"));
        }
        let path = scratch.0.join(name);
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
        let run = Command::new("sh")
            .args(["-ec", setup])
            .current_dir(&scratch.0)
            .env_clear()
            .envs(environment(scenario, &scratch.0))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("its setup cannot be run: {error}"))?;
        if !run.success() {
            return Err(format!("its setup failed: {run}"));
        }
    }
    Ok(scratch)
}
