//! A local run beside its hybrid twin: what a room costs a run while its homeserver is well, is stopped, or answers after
//! half a minute.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::place::Place;
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::report::{Report, Row};

/// Tasks, of 0.1 s each, 8 at a time: a minute.
const TASKS: u32 = 4_800;

pub(super) fn measure(place: &Place, synapse: &mut Synapse, report: &mut Report) -> Outcome {
    let mut text =
        "version = 1\n[dag]\nid = \"minute\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n".to_owned();
    for task in 0..TASKS {
        let _ = write!(text, "[[tasks]]\nid = \"t{task}\"\ncommand = [\"sleep\", \"0.1\"]\n");
    }
    let file = place.write("minute.toml", &text)?;
    let timed = |words: &[&str]| {
        let mut command = place.cis.command(["dag", "run"]);
        command.args(words).arg(&file);
        place.cis.time(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()))
    };
    let hybrid = ["--room", place.room.as_str()];
    let mut add = |how: &str, local: f64, with: f64| {
        let percent = (with / local - 1.0) * 100.0;
        let seconds = format!("{:.2} s / {:.2} s", with / 1e3, local / 1e3);
        report.add(Row::figure(
            &format!("slow-down of a minute's run that a room follows, homeserver {how}"),
            percent,
            "%",
            (5.0, 1.0),
            seconds,
        ));
    };
    let local = timed(&["--local"])?;
    add("well", local, timed(&hybrid)?);
    place.told()?;
    synapse.stop();
    let stopped = timed(&hybrid)?;
    let local = timed(&["--local"])?;
    add("stopped", local, stopped);
    // The same port, with something before it that takes half a minute for each answer.
    let address = synapse.url().trim_start_matches("http://").to_owned();
    let slow = Slow::listen(&address)?;
    let delayed = timed(&hybrid)?;
    drop(slow);
    let local = timed(&["--local"])?;
    add("answering after 30 s", local, delayed);
    synapse.start();
    place.told()?;
    place.stop()
}

/// Somebody at the homeserver's address who takes every request, and says after half a minute that it cannot be done.
struct Slow {
    address: String,
    thread: Option<std::thread::JoinHandle<()>>,
    ends: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Slow {
    fn listen(address: &str) -> Outcome<Self> {
        let listener = TcpListener::bind(address).map_err(|e| format!("cannot listen at {address}: {e}"))?;
        let ends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = std::sync::Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                std::thread::spawn(move || answer_late(stream));
            }
        });
        Ok(Self { address: address.to_owned(), thread: Some(thread), ends })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.ends.store(true, std::sync::atomic::Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer_late(mut stream: TcpStream) {
    let began = Instant::now();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut some = [0; 4096];
    let _ = stream.read(&mut some);
    std::thread::sleep(Duration::from_secs(30).saturating_sub(began.elapsed()));
    let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
}
