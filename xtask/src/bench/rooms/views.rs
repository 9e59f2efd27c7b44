//! A session of another node, attached to: how soon a key is echoed, how old what is seen of a flood is, and how many messages
//! that costs the homeserver.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::nodes::{Other, start};
use super::place::{Place, requests};
use super::synapse::Synapse;
use crate::Outcome;
use crate::bench::attach::Screen;
use crate::bench::report::{Report, Row};
use crate::bench::stats::{median, percentile};

/// Keys whose echo is awaited, each so long after the one before.
const KEYS: u32 = 200;
const KEY_PAUSE: Duration = Duration::from_millis(150);
/// How long the flood is looked at.
const FLOOD: Duration = Duration::from_mins(1);
/// How often it is looked how old the newest line is.
const LOOK: Duration = Duration::from_millis(20);

/// Its homeserver counts requests.
pub(super) const SYNAPSE: &str = "enable_metrics: true\nlisteners: [{port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{names: [client, metrics]}]}]\n";

/// Sends back what is typed, byte for byte; then writes 1 MB/s of lines that say when they were written.
const TEXT: &str = r#"
version = 1
[dag]
id = "shown"
[[tasks]]
id = "echo"
script = 'stty raw -echo; printf READY; cat'
[[tasks]]
id = "flood"
script = '''
exec python3 -uc '
import os, time
start = time.monotonic()
sent = 0
while time.monotonic() - start < 150:
    line = ("at=%013d " % (time.time() * 1000)) + "x" * 60 + "\r\n"
    os.write(1, (line * 13).encode())
    sent += 13 * len(line)
    ahead = sent / 1e6 - (time.monotonic() - start)
    if ahead > 0: time.sleep(ahead)
'
'''
"#;

pub(super) fn measure(binary: &Path, folder: &Path, report: &mut Report) -> Outcome {
    let synapse = Synapse::own_with(SYNAPSE);
    let place = Place::new(binary, &folder.join("coordinator"), &synapse)?;
    let worker = Other::new(binary, &folder.join("worker"), &synapse, &place, "worker")?;
    let run = start(&place, &place.write("shown.toml", TEXT)?)?;
    for task in ["echo", "flood"] {
        place.until("the session is there", || {
            let said = place.cis.run(["dag", "explain", task]);
            Ok(said.is_ok().then_some(()))
        })?;
    }
    keys(&place, report)?;
    flood(&place, &synapse, report)?;
    place.cis.run(["dag", "cancel", &run])?;
    worker.stop()?;
    place.stop()
}

fn keys(place: &Place, report: &mut Report) -> Outcome {
    let mut screen = Screen::open(place.cis.command(["dag", "attach", "echo"]))?;
    screen.wait_for(b"READY")?;
    let mut times = Vec::new();
    for _ in 0..KEYS / 20 {
        times.extend(screen.echoes_slowly(20, KEY_PAUSE)?);
    }
    times.sort_by(f64::total_cmp);
    let beside =
        format!("{KEYS} keys; median {:.0} ms, p99 {:.0} ms", median(&times), percentile(&times, 99.0));
    report.add(Row::figure(
        "key → echo in `attach` to a session of another node, p95",
        percentile(&times, 95.0),
        "ms",
        (150.0, 60.0),
        beside,
    ));
    Ok(())
}

fn flood(place: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    let mut screen = Screen::open(place.cis.command(["dag", "attach", "flood", "--read-only"]))?;
    screen.wait_for(b"at=")?;
    let (began, sent) = (Instant::now(), requests(synapse, "SendToDevice")?);
    let (mut newest, mut tail, mut ages) = (None, Vec::new(), Vec::new());
    let mut looked = Instant::now();
    while began.elapsed() < FLOOD {
        tail.extend(screen.read(LOOK.saturating_sub(looked.elapsed()))?);
        newest = newest.max(newest_in(&tail));
        let keep = tail.len().saturating_sub(20);
        tail.drain(..keep);
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            // What came before the first line is not known.
            ages.extend(newest.map(|at| now_ms() - at as f64));
        }
    }
    let per_s = (requests(synapse, "SendToDevice")? - sent) / began.elapsed().as_secs_f64();
    ages.sort_by(f64::total_cmp);
    report.add(Row::figure(
        "session of another node that writes 1 MB/s: age of the newest line that a viewer has, p95",
        percentile(&ages, 95.0),
        "ms",
        (500.0, 200.0),
        format!("over a minute; median {:.0} ms, most {:.0} ms", median(&ages), percentile(&ages, 100.0)),
    ));
    report.add(Row::figure(
        "messages to devices meanwhile, of both nodes",
        per_s,
        "a second",
        (12.0, 8.0),
        String::new(),
    ));
    Ok(())
}

/// The newest time that stands in lines of the flood, Unix ms.
fn newest_in(text: &[u8]) -> Option<u64> {
    let times = text.windows(16).filter(|window| window.starts_with(b"at="));
    times.filter_map(|window| std::str::from_utf8(&window[3..]).ok()?.parse().ok()).max()
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}
