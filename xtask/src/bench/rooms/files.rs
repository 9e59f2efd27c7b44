//! Files between nodes: a large artifact from one worker to another, against copying it by hand, and an input that many tasks share.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::nodes::{Other, start};
use super::place::{Place, requests};
use super::synapse::{Synapse, User};
use crate::Outcome;
use crate::bench::report::{Report, Row};
use crate::bench::stats::median;

/// Bytes of the file.
const SIZE: u64 = 100_000_000;
/// Files that are moved, each way.
const PAIRS: u32 = 15;
/// Tasks that share an input, and workers that run them.
const SHARERS: u32 = 50;
const WORKERS: [&str; 3] = ["one", "two", "three"];

/// Its homeserver takes the whole file at once, and counts requests.
const SYNAPSE: &str = "max_upload_size: 200M\nenable_metrics: true\nlisteners: [{port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{names: [client, metrics]}]}]\n";

/// One worker makes a file, the other one looks at it. Both say when.
const MOVED: &str = r#"
version = 1
[dag]
id = "moved"
[dag.defaults]
tty = false
[[tasks]]
id = "make"
nodes = ["one"]
artifacts = ["file"]
outputs = { at = { type = "integer" } }
script = 'head -c {SIZE} /dev/urandom > file; echo "at=$(date +%s%3N)" >> "$CIS_OUTPUT"'
[[tasks]]
id = "use"
nodes = ["two"]
needs = ["make"]
outputs = { at = { type = "integer" } }
script = 'echo "at=$(date +%s%3N)" >> "$CIS_OUTPUT"; test "$(stat -c %s file)" = {SIZE}'
"#;

pub(super) fn measure(binary: &Path, folder: &Path, report: &mut Report) -> Outcome {
    let synapse = Synapse::own_with(SYNAPSE);
    let place = Place::new(binary, &folder.join("coordinator"), &synapse)?;
    let other = |name: &str| Other::new(binary, &folder.join(name), &synapse, &place, "worker");
    let workers = WORKERS.map(other).into_iter().collect::<Outcome<Vec<_>>>()?;
    artifact(&place, report)?;
    input(&place, &synapse, report)?;
    for worker in &workers {
        worker.stop()?;
    }
    place.stop()
}

fn artifact(place: &Place, report: &mut Report) -> Outcome {
    let file = place.write("moved.toml", &MOVED.replace("{SIZE}", &SIZE.to_string()))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        // What is written back of an earlier file is not to slow this one: of each file there are five copies in the end.
        rustix::fs::sync();
        let run = start(place, &file)?;
        place.ended(&run)?;
        let tasks = place.json(&["dag", "show", &run])?["tasks"].clone();
        let at = |id: &str| {
            let task = tasks.as_array().into_iter().flatten().find(|task| task["id"] == id);
            task.and_then(|task| task["outputs"]["at"].as_f64())
        };
        let times = at("make").zip(at("use")).ok_or_else(|| format!("no times of both tasks: {tasks}"))?;
        ours.push((times.1 - times.0) / 1e3);
        rustix::fs::sync();
        theirs.push(by_hand(&place.account, &place.folder)?);
    }
    // How fast the machine gives memory to the files changes from pair to pair.
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (ours, theirs) = (median(&ours), median(&theirs));
    report.add(Row::ratio(
        "artifact of 100 MB from worker to worker / to and from the homeserver's media by hand",
        median(&ratios),
        (1.3, 1.05),
        format!(
            "{ours:.2} s / {theirs:.2} s, from the end of one task to the start of the next; {PAIRS} pairs"
        ),
    ));
    Ok(())
}

/// Uploads a file, and downloads it into another one; s.
fn by_hand(user: &User, folder: &Path) -> Outcome<f64> {
    let broken = |error: std::io::Error| format!("the file cannot be copied by hand: {error}");
    let (from, to) = (folder.join("by-hand"), folder.join("by-hand.copy"));
    let made = File::create(&from)
        .and_then(|mut file| std::io::copy(&mut File::open("/dev/urandom")?.take(SIZE), &mut file));
    made.map_err(broken)?;
    let began = Instant::now();
    let mut file = File::open(&from).map_err(broken)?;
    let (_, mut answer) =
        exchange(user, "POST", "/_matrix/media/v3/upload", Some((&mut file, SIZE))).map_err(broken)?;
    let mut said = String::new();
    answer.read_to_string(&mut said).map_err(broken)?;
    let said: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let uri = said["content_uri"].as_str().and_then(|uri| uri.strip_prefix("mxc://"));
    let path = format!(
        "/_matrix/client/v1/media/download/{}",
        uri.ok_or_else(|| format!("the homeserver names no place: {said}"))?
    );
    let (status, mut answer) = exchange(user, "GET", &path, None).map_err(broken)?;
    let copied =
        File::create(&to).and_then(|mut file| std::io::copy(&mut answer, &mut file)).map_err(broken)?;
    if status != 200 || copied != SIZE {
        return Err(format!("the file came back with {copied} bytes and status {status}"));
    }
    Ok(began.elapsed().as_secs_f64())
}

/// One request; its status and body.
fn exchange(
    user: &User,
    method: &str,
    path: &str,
    body: Option<(&mut File, u64)>,
) -> std::io::Result<(u16, BufReader<TcpStream>)> {
    let address = user.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    let size = body.as_ref().map_or(0, |(_, size)| *size);
    let token = &user.token;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if let Some((file, _)) = body {
        std::io::copy(file, &mut stream)?;
    }
    let mut answer = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    while line.trim() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok((status, answer))
}

fn input(place: &Place, synapse: &Synapse, report: &mut Report) -> Outcome {
    let made = File::create(place.folder.join("shared"))
        .and_then(|mut file| std::io::copy(&mut File::open("/dev/urandom")?.take(SIZE), &mut file));
    made.map_err(|error| format!("the input cannot be written: {error}"))?;
    let mut text =
        "version = 1\n[dag]\nid = \"shared\"\nmax_parallel = 12\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..SHARERS {
        let on = WORKERS[n as usize % WORKERS.len()];
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nnodes = [\"{on}\"]\ninputs = [\"shared\"]\nscript = 'test \"$(stat -c %s shared)\" = {SIZE}'\n"
        ));
    }
    let file = place.write("shared.toml", &text)?;
    let before = requests(synapse, "DownloadResource")?;
    let (began, run) = (Instant::now(), start(place, &file)?);
    let view = place.ended(&run)?;
    if view["state"] != "succeeded" {
        return Err(format!("the tasks that share an input did not succeed: {view}"));
    }
    // The file goes in parts of 2, 8 and then 32 MiB. The list of them is in the message.
    let each = 2 + (SIZE - (10 << 20)).div_ceil(32 << 20);
    report.add(Row::figure(
        "downloads of an input of 100 MB that 50 tasks on 3 workers share",
        (requests(synapse, "DownloadResource")? - before) / each as f64,
        "×",
        (3.0, 3.0),
        format!("whole run {:.1} s; {each} requests are one download", began.elapsed().as_secs_f64()),
    ));
    Ok(())
}
