//! Nodes of a room that share tasks: how soon one of them starts what another grants, what a thousand tasks cost, and how long
//! it takes until somebody does the work of one that is gone.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::{Place, login, now_us};
use super::synapse::{Synapse, User};
use crate::Outcome;
use crate::bench::cis::{Cis, ulid_in};
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, percentile};
use crate::bench::usage::{cpu_ms, proportional_kb};

/// Tasks of the chain whose starts are timed.
const CHAIN: u32 = 60;
/// Tasks that do nothing.
const MANY: u32 = 1_000;
/// Tasks of the run that is taken over from its history.
const HISTORY: u32 = 10_000;
/// How long the homeserver is away.
const OUTAGE: Duration = Duration::from_mins(1);
/// Tasks of the chain that it interrupts.
const OUTAGE_CHAIN: u32 = 30;
/// Sessions of a worker at a time.
const SLOTS: &str = "4";
/// How long a worker may work without a word from the coordinator, s.
const LEASE_S: f64 = 60.0;

/// A node beside the one that coordinates.
pub(super) struct Other {
    cis: Cis,
    account: User,
}

impl Other {
    pub(super) fn new(
        binary: &Path,
        folder: &Path,
        synapse: &Synapse,
        place: &Place,
        role: &str,
    ) -> Outcome<Self> {
        let cis = Cis::start(binary, folder)?;
        let account = synapse.register(role);
        login(&cis, synapse, &account)?;
        place.ann.invite(&place.room, &account.id);
        let code = place.cis.run(["node", "invite", "--room", place.room.as_str()])?;
        cis.run(["node", "join", code.trim()])?;
        cis.stop()?;
        start_node(&cis, &place.room, role)?;
        let may = if role == "worker" { "execute" } else { "coordinate" };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let trusted =
            ["identity", "trust", &did(&cis)?, "--room", &place.room, "--may", may, "--name", &name];
        place.cis.run(trusted)?;
        Ok(Self { cis, account })
    }

    pub(super) fn stop(&self) -> Outcome {
        self.cis.stop()
    }

    fn pids(&self) -> Outcome<[u32; 2]> {
        Ok([self.cis.node_number("pid")?, self.cis.node_number("host_pid")?])
    }
}

fn start_node(cis: &Cis, room: &str, role: &str) -> Outcome {
    cis.run(["node", "start", "--detach", "--room", room, "--role", role, "--slots", SLOTS]).map(drop)
}

fn did(cis: &Cis) -> Outcome<String> {
    let show: Value =
        serde_json::from_str(&cis.run(["identity", "show", "--json"])?).map_err(|e| e.to_string())?;
    Ok(show["did"].as_str().unwrap_or_default().to_owned())
}

pub(super) fn measure(binary: &Path, folder: &Path, synapse: &mut Synapse, report: &mut Report) -> Outcome {
    let place = Place::new(binary, &folder.join("coordinator"), synapse)?;
    let other = |name: &str, role| Other::new(binary, &folder.join(name), synapse, &place, role);
    let workers = [other("first", "worker")?, other("second", "worker")?];
    let heir = other("heir", "coordinator")?;
    place.until("all nodes are heard", || {
        let nodes = place.json(&["node", "list"])?["items"].clone();
        let online = nodes.as_array().into_iter().flatten().filter(|node| node["state"] == "online").count();
        Ok((online >= workers.len()).then_some(()))
    })?;
    let pids = workers[0].pids()?;
    report.add(Row::figure(
        "idle worker node of a room, PSS of node and host",
        proportional_kb(&pids)? / 1024.0,
        "MB",
        (80.0, 50.0),
        String::new(),
    ));
    starts(&place, report)?;
    many(&place, &workers, &heir, report)?;
    homeserver_gone(&place, synapse, report)?;
    worker_gone(&place, &workers, report)?;
    coordinator_gone(&place, &heir, report)?;
    place.cis.run(["node", "start", "--detach"])?;
    taken_over_from_history(&place, &heir, report)?;
    for worker in &workers {
        // One of them is gone.
        let _ = worker.cis.stop();
    }
    heir.cis.stop()
}

pub(super) fn start(place: &Place, file: &Path) -> Outcome<String> {
    let mut words = place.cis.command(["dag", "execute", "--matrix", "--detach", "--json", "--room"]);
    words.arg(&place.room).arg(file);
    let said = crate::process::stdout_of(words)?;
    ulid_in(&said).ok_or_else(|| format!("`cis dag execute` printed no id: {said}"))
}

/// Each task of a chain says when it began.
fn starts(place: &Place, report: &mut Report) -> Outcome {
    let mut text = "version = 1\n[dag]\nid = \"chain\"\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..CHAIN {
        let _ = write!(text, "[[tasks]]\nid = \"t{n}\"\noutputs = {{ at = {{ type = \"integer\" }} }}\n");
        let _ = writeln!(text, "script = 'echo \"at=$(date +%s%3N)\" >> \"$CIS_OUTPUT\"'");
        if n > 0 {
            let _ = writeln!(text, "needs = [\"t{}\"]", n - 1);
        }
    }
    let run = start(place, &place.write("chain.toml", &text)?)?;
    place.ended(&run)?;
    let began = place.json(&["dag", "show", &run])?["tasks"].clone();
    let events = place.cis.run(["dag", "events", &run, "--json"])?;
    let mut delays = Vec::new();
    for event in events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if event["type"] == "cis.dag.task.assigned" {
            let task = &event["body"]["task"];
            let of = began.as_array().into_iter().flatten().find(|known| known["id"] == *task);
            let at = of.and_then(|known| known["outputs"]["at"].as_f64());
            delays.extend(at.zip(event["at_ms"].as_f64()).map(|(at, granted)| at - granted));
        }
    }
    if delays.len() != CHAIN as usize {
        return Err(format!("{} starts of {CHAIN} are known", delays.len()));
    }
    report.add(
        Row::limit(
            "assignment → session started on another node, p50",
            median(&delays),
            "ms",
            (60.0, 25.0),
            CHAIN,
        )
        .beside(format!("p95 {:.0} ms", percentile(&delays, 95.0))),
    );
    Ok(())
}

/// A DAG of tasks that do nothing.
fn no_ops(id: &str, tasks: u32) -> String {
    let mut text =
        format!("version = 1\n[dag]\nid = \"{id}\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n");
    for n in 0..tasks {
        let _ = write!(text, "[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\n");
    }
    text
}

fn many(place: &Place, workers: &[Other; 2], heir: &Other, report: &mut Report) -> Outcome {
    let text = no_ops("many", MANY);
    place.told()?;
    // What came before took of what an account may say: that is given back with time.
    std::thread::sleep(Duration::from_secs(50));
    let file = place.write("many.toml", &text)?;
    let before = place.events().len();
    let pid = [place.cis.node_number("pid")?];
    let (began, used) = (Instant::now(), cpu_ms(&pid)?);
    let run = start(place, &file)?;
    let ended = place.ended(&run)?;
    let took = began.elapsed().as_secs_f64();
    let per_task = (cpu_ms(&pid)? - used) / f64::from(MANY);
    let whole = place.whole(&run, ended["ended_ms"].as_f64().unwrap_or_default())?;
    report.add(Row::figure(
        "1,000 tasks that do nothing over 2 workers",
        took,
        "s",
        (25.0, 10.0),
        String::new(),
    ));
    report.add(Row::figure(
        "processor time of their coordinator for a task",
        per_task,
        "ms",
        (1.0, 0.25),
        String::new(),
    ));
    report.add(Row::figure("room complete after their end", whole, "s", (20.0, 5.0), String::new()));
    let events = place.events();
    let of = |user: &User| {
        events[before..].iter().filter(|event| event["sender"] == user.id.as_str()).count() as f64
    };
    let most = [&place.account, &workers[0].account, &workers[1].account, &heir.account].map(of);
    let most = most.into_iter().fold(0.0, f64::max);
    let allowed = 8.0 + 0.16 * (took + whole);
    report.add(Row::figure(
        "timeline events of the account that sends most, of 8 + 0.16 a second",
        most / allowed,
        "×",
        (1.0, 0.5),
        format!("{most:.0} events"),
    ));
    Ok(())
}

/// A run with one task that says where and when it began, and waits.
fn waiting(place: &Place, name: &str) -> Outcome<(String, std::path::PathBuf)> {
    let notes = place.folder.join(format!("{name}-began"));
    let text = format!(
        "version = 1\n[dag]\nid = \"{name}\"\n[[tasks]]\nid = \"a\"\ntty = false\n\
         script = 'echo \"$PWD $(date +%s%6N)\" >> {notes}; until [ -e {notes}.go ]; do sleep 0.05; done'\n",
        notes = notes.display()
    );
    let run = start(place, &place.write(&format!("{name}.toml"), &text)?)?;
    place.until("its task works", || Ok(notes.exists().then_some(())))?;
    Ok((run, notes))
}

/// A node and its host go at the same moment: each of them starts the other one again, in a few milliseconds.
fn kill(pids: &[u32]) -> Outcome {
    let mut kill = Command::new("kill");
    kill.arg("-9").args(pids.iter().rev().map(ToString::to_string));
    crate::process::run(kill)
}

/// The homeserver does not answer for as long as a lease lasts, while some tasks work and others wait for them.
fn homeserver_gone(place: &Place, synapse: &mut Synapse, report: &mut Report) -> Outcome {
    let notes = place.folder.join("outage");
    let begins = format!("echo \"$CIS_TASK_ID $(date +%s%6N)\" >> {}", notes.display());
    let mut text =
        "version = 1\n[dag]\nid = \"outage\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..2 {
        let _ = write!(
            text,
            "[[tasks]]\nid = \"long{n}\"\nscript = '{begins}; sleep {}'\n",
            OUTAGE.as_secs() + 10
        );
    }
    for n in 0..OUTAGE_CHAIN {
        let needs = if n == 0 { String::new() } else { format!("needs = [\"t{}\"]\n", n - 1) };
        let _ = write!(text, "[[tasks]]\nid = \"t{n}\"\n{needs}script = '{begins}; sleep 0.5'\n");
    }
    let run = start(place, &place.write("outage.toml", &text)?)?;
    let begun = || std::fs::read_to_string(&notes).unwrap_or_default();
    place.until("some tasks of the chain", || Ok((begun().lines().count() > 5).then_some(())))?;
    synapse.stop();
    std::thread::sleep(OUTAGE);
    synapse.start();
    let back = now_us();
    let at = |line: &str| line.rsplit(' ').next().and_then(|at| at.parse::<f64>().ok());
    let next = place.until("the next task", || Ok(begun().lines().filter_map(at).find(|at| *at > back)))?;
    place.ended(&run)?;
    let shown = place.json(&["dag", "show", &run])?;
    let tasks = shown["tasks"].as_array().cloned().unwrap_or_default();
    let again = tasks.iter().filter(|task| task["attempts"] != 1 || task["state"] != "succeeded").count();
    let lines = begun().lines().count();
    if again > 0 || lines != tasks.len() {
        return Err(format!(
            "{again} tasks were ended or ran again; {lines} of {} began: {shown}",
            tasks.len()
        ));
    }
    report.add(Row::figure(
        "homeserver is back after 60 s → the run goes on",
        (next - back) / 1e6,
        "s",
        (10.0, 3.0),
        "no task ran twice or was ended".to_owned(),
    ));
    Ok(())
}

fn worker_gone(place: &Place, workers: &[Other; 2], report: &mut Report) -> Outcome {
    let (run, notes) = waiting(place, "moves")?;
    let began = std::fs::read_to_string(&notes).map_err(|e| e.to_string())?;
    let folder = place.folder.parent().unwrap_or(&place.folder);
    let at =
        ["first", "second"].iter().position(|name| began.starts_with(&*folder.join(name).to_string_lossy()));
    let worker = &workers[at.ok_or_else(|| format!("nobody knows where it runs: {began}"))?];
    let at = now_us();
    kill(&worker.pids()?)?;
    let again = place.until("the task works elsewhere", || {
        let text = std::fs::read_to_string(&notes).unwrap_or_default();
        let second = text.lines().nth(1).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(second)
    })?;
    std::fs::write(notes.with_extension("go"), "").map_err(|e| e.to_string())?;
    place.ended(&run)?;
    report.add(Row::figure(
        "worker gone → its task works elsewhere",
        (again - at) / 1e6,
        "s",
        (LEASE_S + 5.0, LEASE_S + 1.0),
        String::new(),
    ));
    Ok(())
}

/// A run, as a node knows it; nothing where it does not.
fn known(cis: &Cis, run: &str) -> Value {
    let said = cis.run(["dag", "list", "--json"]).unwrap_or_default();
    let list: Value = serde_json::from_str(&said).unwrap_or_default();
    let mut items = list["items"].as_array().into_iter().flatten();
    items.find(|item| item["id"] == run).cloned().unwrap_or_default()
}

/// Waits until the other node coordinates a run.
fn coordinates(place: &Place, heir: &Other, run: &str) -> Outcome {
    let own = did(&heir.cis)?;
    let taken = place.until("the other one coordinates it", || {
        Ok((known(&heir.cis, run)["node"] == own.as_str()).then_some(()))
    });
    taken.map_err(|e| {
        let said = |words: &[&str]| heir.cis.run(words.iter().copied()).unwrap_or_else(|e| e);
        format!(
            "{e}\n{}\n{}\n{}",
            said(&["node", "status"]),
            said(&["dag", "list"]),
            said(&["dag", "why", run])
        )
    })
}

/// Lets the task that waits end, and with it its run.
fn lets_end(place: &Place, heir: &Other, run: &str, notes: &Path) -> Outcome {
    std::fs::write(notes.with_extension("go"), "").map_err(|e| e.to_string())?;
    place.until("its end", || Ok((known(&heir.cis, run)["state"] == "succeeded").then_some(())))
}

/// The coordinator is killed while the other one does not run: that one begins with what the room has.
fn taken_over_from_history(place: &Place, heir: &Other, report: &mut Report) -> Outcome {
    heir.cis.stop()?;
    let notes = place.folder.join("history-began");
    let text = no_ops("history", HISTORY - 1)
        + &format!(
            "[[tasks]]\nid = \"a\"\npriority = 1\nscript = 'touch {notes}; until [ -e {notes}.go ]; do sleep 0.05; done'\n",
            notes = notes.display()
        );
    let run = start(place, &place.write("history.toml", &text)?)?;
    place.until("all others have ended", || {
        Ok((known(&place.cis, &run)["counts"]["succeeded"] == HISTORY - 1).then_some(()))
    })?;
    place.told()?;
    kill(&[place.cis.node_number("pid")?, place.cis.node_number("host_pid")?])?;
    let at = Instant::now();
    start_node(&heir.cis, &place.room, "coordinator")?;
    coordinates(place, heir, &run)?;
    let took = at.elapsed().as_secs_f64();
    lets_end(place, heir, &run, &notes)?;
    report.add(Row::figure(
        "takeover of a run with 10,000 tasks from the room's history, from the start of the node",
        took,
        "s",
        (15.0, 2.0),
        format!("its end after {:.1} s", at.elapsed().as_secs_f64()),
    ));
    Ok(())
}

fn coordinator_gone(place: &Place, heir: &Other, report: &mut Report) -> Outcome {
    let (run, notes) = waiting(place, "stays")?;
    place.until("the other coordinator reads that it works", || {
        Ok((known(&heir.cis, &run)["counts"]["running"] == 1).then_some(()))
    })?;
    let pids = [place.cis.node_number("pid")?, place.cis.node_number("host_pid")?];
    let at = Instant::now();
    kill(&pids)?;
    coordinates(place, heir, &run)?;
    let took = at.elapsed().as_secs_f64();
    lets_end(place, heir, &run, &notes)?;
    report.add(Row::figure(
        "coordinator gone → another one goes on",
        took,
        "s",
        (LEASE_S + 5.0, LEASE_S + 1.0),
        format!("its end after {:.1} s", at.elapsed().as_secs_f64()),
    ));
    Ok(())
}
