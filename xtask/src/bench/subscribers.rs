//! Those who follow events, some of whom never read: what a run costs with them and without.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::{median, ratios};
use super::usage;
use super::work::{Scratch, Shape, Terminal, write_dag};
use super::{PAIRS, last};
use crate::Outcome;

#[path = "../../../tests/e2e/harness/websocket.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use all of it")]
mod websocket;

use websocket::WebSocket;

/// Tasks of a run.
const TASKS: u32 = 1_000;
const READERS: usize = 70;
const STUCK: usize = 30;

/// Subscribers of all events; dropping them ends them.
struct Subscribers {
    over: Arc<AtomicBool>,
    _stuck: Vec<WebSocket>,
}

impl Subscribers {
    fn open(socket: &Path) -> Outcome<Self> {
        let open = || WebSocket::open(socket, "/v1/events").map_err(|e| format!("cannot follow events: {e}"));
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..READERS {
            let (mut reader, over) = (open()?, Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) && matches!(reader.next(), Ok(Some(_))) {}
            });
        }
        let stuck = (0..STUCK).map(|_| open()).collect::<Outcome<_>>()?;
        Ok(Self { over, _stuck: stuck })
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        // Each reader sees it with the next event.
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Runs with and without a hundred of them, in turns; and what the node's memory was at most.
pub(crate) fn measure(cis: &Cis, scratch: &Scratch, report: &mut Report) -> Outcome {
    let status = cis.run(["node", "status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status).map_err(|e| e.to_string())?;
    let socket = PathBuf::from(status["socket"].as_str().ok_or("`cis node status --json` has no socket")?);
    let node = cis.node_number("pid")?;
    let shape = Shape::Wide(TASKS);
    let folder = scratch.path().join("subscribers");
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let file = write_dag(&folder, shape, Terminal::Pipes)?;
    let (mut alone, mut followed) = (Vec::new(), Vec::new());
    for pair in 1..=PAIRS {
        alone.push(cis.dag_run_ms(&file)?);
        let subscribers = Subscribers::open(&socket)?;
        followed.push(cis.dag_run_ms(&file)?);
        drop(subscribers);
        eprintln!("subscribers pair {pair}: without {:.0} ms, with {:.0} ms", last(&alone), last(&followed));
    }
    report.add(Row::ratio(
        &format!("{TASKS} tasks with 100 subscribers of events, {STUCK} of whom never read, / without"),
        median(&ratios(&followed, &alone)),
        (2.0, 1.5),
        format!(
            "{:.0} ms / {:.0} ms; the node was {:.1} MB at most",
            median(&followed),
            median(&alone),
            usage::peak_kb(&[node])? / 1e3
        ),
    ));
    Ok(())
}
