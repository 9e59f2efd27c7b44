//! Against a node: how late its events are in the model, and how a session is seen that writes much.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cis_client::Client;
use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use cis_gui::command::Command;
use cis_gui::feed::{self, Shared};
use cis_gui::model::Link;
use cis_gui::panels::Go;
use cis_gui::terminal::{Standing, Terminal};
use cis_local::now_ms;

use crate::stage::Stage;
use crate::{Outcome, say};

fn client(socket: &str) -> Client {
    Client::new(PathBuf::from(socket), None)
}

/// Folds what happens for so long, and says how old events were by then.
pub(crate) fn follow(socket: &str, seconds: u64) -> Outcome {
    let ages: Arc<Mutex<(u64, Vec<f64>)>> = Arc::default();
    let known: Arc<Mutex<Weak<Shared>>> = Arc::default();
    let (into, of) = (Arc::clone(&ages), Arc::clone(&known));
    let shared = Shared::new(Arc::new(move || {
        let Some(shared) = of.lock().ok().and_then(|shared| shared.upgrade()) else { return };
        shared.look();
        let model = shared.model();
        let (now, Ok(mut ages)) = (now_ms(), into.lock()) else { return };
        for number in ages.0.max(model.events.first())..model.events.seen() {
            if let Some(line) = model.events.at(number) {
                #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
                ages.1.push((now - line.event.at_ms) as f64);
            }
        }
        ages.0 = model.events.seen();
    }));
    if let Ok(mut known) = known.lock() {
        *known = Arc::downgrade(&shared);
    }
    let _sender = feed::start(client(socket), &shared)?;
    let began = Instant::now();
    while shared.model().link != Link::Up {
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the node does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{}", serde_json::json!({ "what": "following" }));
    std::io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let ages = ages.lock().map_err(|_| "a fold failed")?;
    say("event to model", &ages.1);
    Ok(())
}

/// Draws a session for so long; its lines say when they were written.
pub(crate) fn watch(socket: &str, session: &str, seconds: u64) -> Outcome {
    let session: SessionId = session.parse()?;
    let (wake, woken) = mpsc::channel();
    let shared = Shared::new(Arc::new(move || {
        // One that ends hears nothing any more.
        let _ = wake.send(());
    }));
    let sender = feed::start(client(socket), &shared)?;
    let mut stage = Stage::new(&shared);
    stage.dashboard.go(Go::Session(session));
    let mut terminal: Option<Arc<Terminal>> = None;
    let (mut times, mut lags) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let mut first_kb = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let frame = Instant::now();
        let (took, _) = stage.frame(Vec::new());
        while let Ok(command) = stage.commands.try_recv() {
            if let Command::Open(opened) = &command {
                terminal = Some(Arc::clone(opened));
            }
            sender.send(command);
        }
        // The beginning is what was written before.
        if began.elapsed() > Duration::from_secs(2) {
            if first_kb == 0 {
                first_kb = resident_kb();
            }
            times.push(took);
            lags.extend(terminal.as_deref().and_then(newest));
        }
        std::thread::sleep(Duration::from_micros(16_600).saturating_sub(frame.elapsed()));
        let _ = woken.recv_timeout(Duration::from_millis(200));
        while woken.try_recv().is_ok() {}
    }
    say("frame of a flood", &times);
    say("age of the newest line", &lags);
    let kb = resident_kb();
    println!("{}", serde_json::json!({ "what": "memory", "first_kb": first_kb, "kb": kb }));
    Ok(())
}

/// How old the newest line on the screen is, ms.
fn newest(terminal: &Terminal) -> Option<f64> {
    let shown = terminal.shown();
    let rows = i32::from(shown.screen.size().rows);
    let written = (0..rows).rev().find_map(|row| {
        let text = shown.screen.line_text(row);
        // One that is not complete is younger than the one above it.
        let (time, _) = text.strip_prefix('@')?.split_once(' ')?;
        time.parse::<u128>().ok()
    })?;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    Some(micros().saturating_sub(written) as f64 / 1e3)
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

fn resident_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Feeds a terminal so many MB in a second, and draws it meanwhile: what the dashboard alone does to a flood.
pub(crate) fn flood(rate: usize, seconds: u64) -> Outcome {
    let (wake, woken) = mpsc::channel();
    let shared = Shared::new(Arc::new(move || {
        let _ = wake.send(());
    }));
    let mut stage = Stage::new(&shared);
    stage.dashboard.go(Go::Session(SessionId::from_parts(1, 1)));
    stage.frame(Vec::new());
    let Ok(Command::Open(terminal)) = stage.commands.try_recv() else {
        return Err("no terminal is opened".into());
    };
    terminal.change(|shown| {
        shown.screen.resize(TermSize { cols: 120, rows: 40 });
        shown.standing = Standing::Live { read_only: true };
    });
    let over = Arc::new(AtomicBool::new(false));
    let (fed, ended) = (Arc::clone(&terminal), Arc::clone(&over));
    let feeder = std::thread::spawn(move || {
        let mut lines = Lines::new(rate);
        while !ended.load(Ordering::Relaxed) {
            match lines.due() {
                Some(text) => fed.feed(text.as_bytes()),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        lines.written
    });
    let (mut times, mut lags) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let frame = Instant::now();
        let (took, _) = stage.frame(Vec::new());
        times.push(took);
        lags.extend(newest(&terminal));
        std::thread::sleep(Duration::from_micros(16_600).saturating_sub(frame.elapsed()));
        while woken.try_recv().is_ok() {}
    }
    over.store(true, Ordering::Relaxed);
    let written = feeder.join().map_err(|_| "the feeder failed")?;
    say("frame of a flood", &times);
    say("age of the newest line", &lags);
    #[allow(clippy::cast_precision_loss, reason = "megabytes")]
    let speed = written as f64 / 1e6 / began.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "what": "speed", "mb_s": speed }));
    Ok(())
}

/// Lines with the time in them, so many MB in a second.
struct Lines {
    rate: usize,
    began: Instant,
    written: usize,
}

impl Lines {
    fn new(rate: usize) -> Self {
        Self { rate, began: Instant::now(), written: 0 }
    }

    /// What is to be written now. It catches up a little, and not with all that it was held up.
    fn due(&mut self) -> Option<String> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of some minutes")]
        let due = (self.began.elapsed().as_secs_f64() * 1e6) as usize * self.rate;
        let late = due.saturating_sub(self.rate * 20_000);
        if self.written < late {
            // What was not written is not counted as if it had been.
            self.began += Duration::from_micros(((late - self.written) / self.rate.max(1)) as u64);
        }
        if self.written >= due {
            return None;
        }
        let mut text = String::new();
        let now = micros();
        for n in 0..50 {
            let _ = writeln!(
                text,
                "@{now} \x1b[3{}mline {n} of something that goes on and on and on\x1b[0m\r",
                n % 8
            );
        }
        self.written += text.len();
        Some(text)
    }
}

/// Writes them for ever.
pub(crate) fn spew(rate: usize) -> Outcome {
    let mut out = std::io::stdout().lock();
    let mut lines = Lines::new(rate);
    loop {
        match lines.due() {
            Some(text) => out.write_all(text.as_bytes())?,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
