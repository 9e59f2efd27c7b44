//! The dashboard: frames and layouts without a window, how late events are in it, how a flood is seen, and what
//! the window costs while nothing happens.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::cis::Cis;
use super::figures::{number, of, values};
use super::report::{Report, Row};
use super::usage::{cpu_ms, resident_kb};
use super::work::{Scratch, Shape, Terminal, write_dag};
use crate::Outcome;
use crate::process::{cargo, stdout_of};
use crate::tools::ensure_debian;

/// What a frame may take, ms.
const FRAME: (f64, f64) = (8.0, 3.0);
/// For how long the window's processor time is counted.
const IDLE: Duration = Duration::from_mins(1);
/// Clocks of what is older change once a minute.
const OLD: Duration = Duration::from_secs(65);
/// Fonts, the first frames, and what is loaded at first.
const OPENS: Duration = Duration::from_secs(8);
/// What a session writes in a second, MB.
const FLOOD: &str = "50";

/// All of it.
pub(crate) fn measure(cis: &Cis, scratch: &Scratch, report: &mut Report) -> Outcome {
    let (window, bench) = build()?;
    let status = cis.run(["node", "status", "--json"])?;
    let status: Value = serde_json::from_str(&status).map_err(|e| e.to_string())?;
    let socket = status["socket"].as_str().ok_or("`cis node status --json` has no socket")?.to_owned();
    layouts(&bench, report)?;
    frames(&bench, report)?;
    events(&bench, &socket, cis, scratch, report)?;
    flood(&bench, &socket, cis, report)?;
    idle(&window, &socket, cis, scratch, report)
}

/// Builds the window, and what measures without one: their files. At once, so that both are of one build.
fn build() -> Outcome<(PathBuf, PathBuf)> {
    let words = ["--release", "--locked", "-p", "cis-gui", "--bin", "cis-gui", "--bench", "dashboard"];
    let mut command = cargo(&["build"]);
    command.args(words).arg("--message-format=json-render-diagnostics");
    let told = stdout_of(command)?;
    let files: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let file = |name: &str| {
        files
            .iter()
            .filter(|line| line["target"]["name"] == name)
            .find_map(|line| line["executable"].as_str().map(PathBuf::from))
            .ok_or_else(|| format!("cargo names no executable `{name}`"))
    };
    Ok((file("cis-gui")?, file("dashboard")?))
}

/// Figures that it prints.
fn figures(bench: &Path, words: &[&str]) -> Outcome<Vec<Value>> {
    let mut command = Command::new(bench);
    command.args(words);
    Ok(values(&stdout_of(command)?))
}

/// Median, p99 and the worst of a figure, in words.
fn spread(figure: &Value) -> String {
    format!(
        "{} samples; median {:.2} ms, p99 {:.2} ms, at most {:.2} ms",
        figure["samples"],
        number(figure, "median"),
        number(figure, "p99"),
        number(figure, "max")
    )
}

/// The slowest shape of each size stands for all.
fn layouts(bench: &Path, report: &mut Report) -> Outcome {
    let figures = figures(bench, &["layout"])?;
    for (tasks, limits) in [(1_000, (200.0, 50.0)), (10_000, (5_000.0, 1_000.0))] {
        let start = format!("layout {tasks} ");
        let mut shapes: Vec<(&str, f64)> = figures
            .iter()
            .filter_map(|figure| {
                Some((figure["what"].as_str()?.strip_prefix(&start)?, number(figure, "median")))
            })
            .collect();
        shapes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (slowest, ms) = *shapes.first().ok_or("no layout was measured")?;
        let all: Vec<String> = shapes.iter().map(|(shape, ms)| format!("{shape} {ms:.0} ms")).collect();
        report.add(Row::figure(
            &format!(
                "layout of a run's graph, {tasks} tasks, slowest of {} shapes ({slowest})",
                shapes.len()
            ),
            ms,
            "ms",
            limits,
            all.join(", "),
        ));
    }
    Ok(())
}

/// Frames of a run of 10,000 tasks, and those that nobody needs.
fn frames(bench: &Path, report: &mut Report) -> Outcome {
    let figures = figures(bench, &["frames"])?;
    for figure in &figures {
        let Some(what) = figure["what"].as_str().and_then(|what| what.strip_prefix("frame, ")) else {
            continue;
        };
        report.add(Row::figure(
            &format!("frame of a run of 10,000 tasks, 1,000 changes a second, p95: {what}"),
            number(figure, "p95"),
            "ms",
            FRAME,
            spread(figure),
        ));
    }
    let soonest = figures
        .iter()
        .filter(|figure| figure["what"].as_str().is_some_and(|what| what.starts_with("next frame, ")))
        .map(|figure| number(figure, "ms"))
        .fold(f64::INFINITY, f64::min);
    // Clocks of the run that is under way: at most one in a minute.
    report.add(
        Row::figure(
            "next frame while nothing changes, soonest",
            soonest / 1e3,
            "s",
            (1.0, 1.0),
            "the run's clock is the only reason".to_owned(),
        )
        .at_least(),
    );
    Ok(())
}

/// How old events are when they are in the model: of a run at its ease, and of one as fast as can be.
fn events(bench: &Path, socket: &str, cis: &Cis, scratch: &Scratch, report: &mut Report) -> Outcome {
    let folder = scratch.path().join("dashboard");
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let calm = folder.join("calm.toml");
    let mut text =
        "version = 1\n\n[dag]\nid = \"calm\"\nmax_parallel = 2\n\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..200 {
        text.push_str(&format!("\n[[tasks]]\nid = \"t{n}\"\nscript = \"sleep 0.1\"\n"));
    }
    std::fs::write(&calm, text).map_err(|e| format!("cannot write {}: {e}", calm.display()))?;
    let fast = write_dag(&folder, Shape::Wide(5_000), Terminal::Pipes)?;
    for (what, file) in [("20 tasks a second", &calm), ("as many tasks as it can, two at a time", &fast)] {
        // It follows until it is told the time is over, which is longer than the run.
        let mut follower = follow(bench, socket, 15)?;
        let ms = cis.dag_run_ms(file)?;
        let figures = follower.rest()?;
        let figure = of(&figures, "event to model")?;
        report.add(Row::figure(
            &format!("event in the node → in the dashboard's model, p95, {what}"),
            number(figure, "p95"),
            "ms",
            (100.0, 20.0),
            format!("{}; from the start of the node's turn; the run took {:.1} s", spread(figure), ms / 1e3),
        ));
    }
    Ok(())
}

/// A bench that runs beside us.
struct Beside {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Beside {
    /// All that it prints until it ends.
    fn rest(&mut self) -> Outcome<Vec<Value>> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut text).map_err(|e| e.to_string())?;
        let status = self.child.wait().map_err(|e| e.to_string())?;
        if status.success() { Ok(values(&text)) } else { Err(format!("the bench ended with {status}")) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // One that has ended already is only waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(bench: &Path, socket: &str, seconds: u32) -> Outcome<Beside> {
    let mut command = Command::new(bench);
    command.args(["follow", socket, &seconds.to_string()]);
    let mut beside = start(command)?;
    let mut line = String::new();
    // It says when it is there.
    beside.lines.read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(beside)
}

fn start(mut command: Command) -> Outcome<Beside> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", command.get_program().to_string_lossy()))?;
    let lines = BufReader::new(child.stdout.take().ok_or("it has no output")?);
    Ok(Beside { child, lines })
}

/// A session that writes much, in the view of a terminal.
fn flood(bench: &Path, socket: &str, cis: &Cis, report: &mut Report) -> Outcome {
    let alone = figures(bench, &["flood", FLOOD, "10"])?;
    let (frame, age) = (of(&alone, "frame of a flood")?, of(&alone, "age of the newest line")?);
    report.add(Row::figure(
        &format!("frame of a terminal that is fed {FLOOD} MB/s, p95"),
        number(frame, "p95"),
        "ms",
        FRAME,
        format!("{}; {:.0} MB/s were fed", spread(frame), number(of(&alone, "speed")?, "mb_s")),
    ));
    report.add(Row::figure(
        "age of the newest line in such a terminal, p95",
        number(age, "p95"),
        "ms",
        (100.0, 50.0),
        spread(age),
    ));
    let program = bench.to_str().ok_or("the target directory's name is no text")?;
    let session = cis.session(&[program, "spew", FLOOD])?;
    let figures = figures(bench, &["watch", socket, &session, "15"]);
    cis.run(["session", "terminate", &session])?;
    let figures = figures?;
    let frame = of(&figures, "frame of a flood")?;
    report.add(Row::figure(
        &format!("frame of a session that writes {FLOOD} MB/s, p95"),
        number(frame, "p95"),
        "ms",
        FRAME,
        spread(frame),
    ));
    let age = of(&figures, "age of the newest line")?;
    report.add(Row::figure(
        &format!(
            "age of the newest line shown of a session that writes {FLOOD} MB/s, node and host with it, p95"
        ),
        number(age, "p95"),
        "ms",
        (100.0, 50.0),
        spread(age),
    ));
    let memory = of(&figures, "memory")?;
    report.add(Row::figure(
        "memory of the dashboard that such a session adds in 13 s",
        (number(memory, "kb") - number(memory, "first_kb")) / 1e3,
        "MB",
        (20.0, 5.0),
        format!("{:.0} MB at the end", number(memory, "kb") / 1e3),
    ));
    Ok(())
}

/// The window on a screen that nobody sees.
fn idle(window: &Path, socket: &str, cis: &Cis, scratch: &Scratch, report: &mut Report) -> Outcome {
    ensure_debian("Xvfb", "xvfb")?;
    ensure_debian("xdotool", "xdotool")?;
    let mut screen = Command::new("Xvfb");
    screen.args(["-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp"]);
    let mut screen = start({
        screen.stderr(Stdio::null());
        screen
    })?;
    let mut display = String::new();
    screen.lines.read_line(&mut display).map_err(|e| e.to_string())?;
    let display = format!(":{}", display.trim());
    let mut window = Command::new(window);
    window.args(["--socket", socket]).env("DISPLAY", &display).env_remove("WAYLAND_DISPLAY");
    let window = start({
        window.env("XDG_DATA_HOME", scratch.path());
        window
    })?;
    let pid = window.child.id();
    let used = || -> Outcome<f64> {
        let before = cpu_ms(&[pid])?;
        std::thread::sleep(IDLE);
        Ok((cpu_ms(&[pid])? - before) / (IDLE.as_secs_f64() * 1e3) * 100.0)
    };
    let mut add = |what: &str, percent: f64, beside: String| {
        report.add(Row::figure(
            &format!("processor time of the dashboard, {what}, of a core"),
            percent,
            "%",
            (1.0, 0.1),
            beside,
        ));
    };
    std::thread::sleep(OPENS);
    add("nothing runs", used()?, format!("over {} s, its inbox shown", IDLE.as_secs()));
    let file = scratch.path().join("sleeps.toml");
    let text =
        "version = 1\n\n[dag]\nid = \"sleeps\"\n\n[[tasks]]\nid = \"sleeps\"\nscript = \"sleep 600\"\n";
    std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    cis.run(["dag".as_ref(), "run".as_ref(), "--detach".as_ref(), file.as_os_str()])?;
    let mut keys = Command::new("xdotool");
    // The list of runs.
    keys.args(["search", "--onlyvisible", "--class", "cis-gui", "windowfocus", "key", "ctrl+2"]);
    keys.env("DISPLAY", &display);
    stdout_of(keys)?;
    std::thread::sleep(OLD);
    add(
        "a task sleeps",
        used()?,
        format!(
            "over {} s, the list of runs shown; OpenGL by the processor; {:.0} MB resident",
            IDLE.as_secs(),
            resident_kb(&[pid])? / 1e3
        ),
    );
    Ok(())
}
