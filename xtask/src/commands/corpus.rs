//! `corpus`: plays the scenarios of `tests/corpus/scenarios` and keeps their recordings.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::Outcome;
use crate::process::build_programs;
use crate::workspace::{files_below, root, target_dir};

/// So many are played at a time, where nobody says it: they mostly wait.
const JOBS: usize = 8;
/// More at a time would only show how busy the machine is.
const JOBS_MAX: usize = 32;
/// Who plays those that need no rights, where we are root. Some type the password of this account.
const USER: &str = "pat";
/// Where programs of the scenarios are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/games";

/// One scenario to be played.
struct Job {
    file: PathBuf,
    program: String,
    name: String,
    root: bool,
}

/// `corpus record [--jobs N] [PROGRAM | PROGRAM/SCENARIO …]`.
pub(crate) fn corpus(rest: &[String]) -> Outcome {
    let usage = || "write `cargo xtask corpus record [--jobs N] [PROGRAM | PROGRAM/SCENARIO ...]`".to_owned();
    let Some((verb, mut wanted)) = rest.split_first().filter(|(verb, _)| *verb == "record") else {
        return Err(usage());
    };
    let mut players = JOBS;
    if let [option, number, names @ ..] = wanted
        && option == "--jobs"
    {
        let number = number.parse().ok().filter(|number| (1..=JOBS_MAX).contains(number));
        players = number.ok_or_else(|| format!("{}; N is from 1 to {JOBS_MAX}", usage()))?;
        wanted = names;
    }
    let jobs = jobs(wanted)?;
    if jobs.is_empty() {
        return Err(format!("nothing to {verb}: no scenario is called {}", wanted.join(", ")));
    }
    build_programs()?;
    // Where everybody may run it and write: an ordinary user cannot see a target directory of root's.
    let scratch = std::env::temp_dir().join(format!("cis-corpus-{}", std::process::id()));
    make_open(&scratch)?;
    let cis = scratch.join("cis");
    copy(&target_dir()?.join("debug/cis"), &cis)?;
    let failed = play_all(&cis, &scratch, jobs, players);
    let _ = fs::remove_dir_all(&scratch);
    let failed = failed?;
    if failed.is_empty() { Ok(()) } else { Err(format!("not recorded:\n{}", failed.join("\n"))) }
}

fn jobs(wanted: &[String]) -> Outcome<VecDeque<Job>> {
    let mut jobs = VecDeque::new();
    for file in files_below(&root().join("tests/corpus/scenarios"), ".toml")? {
        let wrong = |why: &str| format!("{}: {why}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| wrong(&error.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        let program =
            table.get("program").and_then(toml::Value::as_str).ok_or_else(|| wrong("no `program`"))?;
        for scenario in table.get("scenario").and_then(toml::Value::as_array).into_iter().flatten() {
            let name =
                scenario.get("name").and_then(toml::Value::as_str).ok_or_else(|| wrong("no `name`"))?;
            let called = format!("{program}/{name}");
            if wanted.is_empty() || wanted.iter().any(|one| *one == program || *one == called) {
                let root = scenario.get("root").and_then(toml::Value::as_bool).unwrap_or(false);
                let (file, program, name) = (file.clone(), program.to_owned(), name.to_owned());
                jobs.push_back(Job { file, program, name, root });
            }
        }
    }
    Ok(jobs)
}

/// Plays all; what went wrong with some.
fn play_all(cis: &Path, scratch: &Path, jobs: VecDeque<Job>, players: usize) -> Outcome<Vec<String>> {
    let all = jobs.len();
    let (jobs, failed) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let lock_failed = || "a player failed".to_owned();
    std::thread::scope(|scope| {
        for _ in 0..players {
            scope.spawn(|| {
                while let Some(job) = jobs.lock().ok().and_then(|mut jobs| jobs.pop_front()) {
                    eprintln!("{}/{}", job.program, job.name);
                    if let Err(why) = play(cis, scratch, &job)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(format!("{}/{}: {why}", job.program, job.name));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|_| lock_failed())?;
    eprintln!("{} of {all} recorded", all - failed.len());
    Ok(failed)
}

fn play(cis: &Path, scratch: &Path, job: &Job) -> Outcome {
    let we_are_root = rustix::process::getuid().is_root();
    if job.root && !we_are_root {
        return Err("it has to be recorded as root".to_owned());
    }
    let name = format!("{}-{}.cast", job.program.replace('/', "_"), job.name);
    let recorded = scratch.join(&name);
    // Read by whoever plays, who may not see this tree.
    let scenarios = scratch.join(format!("{name}.toml"));
    copy(&job.file, &scenarios)?;
    let mut command = if we_are_root && !job.root {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups"]).arg(cis);
        command
    } else {
        Command::new(cis)
    };
    let user = if job.root { "root" } else { USER };
    command
        .args(["monitor", "record", "--scenario", &job.name, "--scenarios"])
        .arg(&scenarios)
        .arg("-o")
        .arg(&recorded)
        .current_dir("/")
        .env_clear()
        .envs([("PATH", PATH), ("HOME", "/"), ("USER", user), ("LOGNAME", user)])
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let folder = root().join("tests/corpus/recordings").join(&job.program);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let kept = folder.join(format!("{}.cast", job.name));
    copy(&recorded, &kept)?;
    let public = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&kept, public).map_err(|error| format!("{}: {error}", kept.display()))
}

fn copy(from: &Path, to: &Path) -> Outcome {
    let failed = |error| format!("{} cannot be copied to {}: {error}", from.display(), to.display());
    fs::copy(from, to).map(|_| ()).map_err(failed)
}

fn make_open(folder: &Path) -> Outcome {
    let failed = |error| format!("{} cannot be made: {error}", folder.display());
    fs::create_dir(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).map_err(failed)
}
