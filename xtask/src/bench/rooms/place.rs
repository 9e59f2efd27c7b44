//! A node with an account, a room, and somebody in it who looks and answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::super::cis::{Cis, ulid_in};
use super::synapse::{Synapse, User, encoded};
use crate::Outcome;

/// Nothing that is waited for takes so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// See the module.
pub(super) struct Place {
    pub(super) cis: Cis,
    /// The node's account.
    pub(super) account: User,
    /// Somebody who operates.
    pub(super) ann: User,
    pub(super) room: String,
    pub(super) folder: PathBuf,
}

impl Place {
    pub(super) fn new(binary: &Path, folder: &Path, synapse: &Synapse) -> Outcome<Self> {
        Self::configured(binary, folder, synapse, "")
    }

    /// The same, with this in its `config.toml`.
    pub(super) fn configured(binary: &Path, folder: &Path, synapse: &Synapse, config: &str) -> Outcome<Self> {
        let home = folder.join("cis");
        let written = std::fs::create_dir_all(&home).and_then(|()| {
            std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            std::fs::write(home.join("config.toml"), config)
        });
        written.map_err(|e| format!("cannot write into {}: {e}", home.display()))?;
        let cis = Cis::start(binary, folder)?;
        let (account, ann) = (synapse.register("cis"), synapse.register("ann"));
        login(&cis, synapse, &account)?;
        let room = cis.run(["matrix", "create-room", "bench", "--invite", &ann.id, "--json"])?;
        let room = read(&room)?["room_id"].as_str().unwrap_or_default().to_owned();
        ann.join(&room);
        // A room costs of what an account may say: that is given back with time.
        std::thread::sleep(Duration::from_secs(15));
        Ok(Self { cis, account, ann, room, folder: folder.to_owned() })
    }

    /// Writes a DAG file.
    pub(super) fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(path)
    }

    /// Starts a run that the room follows; its id.
    pub(super) fn start(&self, file: &Path) -> Outcome<String> {
        let mut words = self.cis.command(["dag", "execute", "--hybrid", "--detach", "--json", "--room"]);
        words.arg(&self.room).arg(file);
        let said = crate::process::stdout_of(words)?;
        ulid_in(&said).ok_or_else(|| format!("`cis dag execute` printed no id: {said}"))
    }

    /// What `cis … --json` says.
    pub(super) fn json(&self, words: &[&str]) -> Outcome<Value> {
        read(&self.cis.run(words.iter().copied().chain(["--json"]))?)
    }

    /// Looks again and again until there is something.
    pub(super) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(found) = look()? {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("waited {PATIENCE:?} for: {what}"))
    }

    /// Waits for the end of a run; its view.
    pub(super) fn ended(&self, run: &str) -> Outcome<Value> {
        // Whoever looked again and again would be measured, too. How it ended is seen in its view.
        let _ = self.cis.run(["dag", "execute", "--run-id", run, "--quiet"]);
        let view = self.json(&["dag", "show", run])?["run"].clone();
        if view["ended_ms"].is_i64() { Ok(view) } else { Err(format!("run {run} did not end: {view}")) }
    }

    /// Waits until nothing waits to be sent.
    pub(super) fn told(&self) -> Outcome {
        self.until("the outbox is empty", || Ok((self.cis.node_number("outbox")? == 0).then_some(())))
    }

    /// Waits until the room has all of a run that ended then (Unix ms): the end of its journal, and a card that says so.
    /// How long after the end that was, s.
    pub(super) fn whole(&self, run: &str, ended_ms: f64) -> Outcome<f64> {
        let at = self.until("the room has all of it", || {
            let events = self.events();
            let after = |event: &&Value| event["origin_server_ts"].as_f64().is_some_and(|at| at >= ended_ms);
            let journal =
                |event: &&Value| event["type"] == "cis.dag.run.journal" && event["content"]["run"] == run;
            let card = |event: &&Value| {
                // The first one says it if the run ended before it was sent.
                let content = &event["content"];
                let cards = [&content["m.new_content"]["cis.dag.card"], &content["cis.dag.card"]];
                cards.iter().any(|card| card["run"] == run && card["state"] == "succeeded")
            };
            let last = |found: Option<&Value>| found.and_then(|event| event["origin_server_ts"].as_f64());
            let journal = last(events.iter().filter(after).rfind(journal));
            let card = last(events.iter().rfind(card));
            Ok(journal.zip(card).map(|(journal, card)| journal.max(card)))
        })?;
        self.told()?;
        Ok((at - ended_ms) / 1e3)
    }

    /// Everything that stands in the room, oldest first.
    pub(super) fn events(&self) -> Vec<Value> {
        let (mut all, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("/rooms/{}/messages?dir=f&limit=1000{from}", encoded(&self.room));
            let page = self.ann.ok("GET", &path, None);
            all.extend(page["chunk"].as_array().cloned().unwrap_or_default());
            let Some(end) = page["end"].as_str() else { return all };
            from = format!("&from={}", encoded(end));
        }
    }

    /// Ends the node and its sessions.
    pub(super) fn stop(&self) -> Outcome {
        self.cis.stop()
    }
}

/// Logs a node in.
pub(super) fn login(cis: &Cis, synapse: &Synapse, account: &User) -> Outcome {
    let mut login = cis.command(["matrix", "login", "--homeserver", synapse.url(), "--user"]);
    login.args([&account.name, "--token-stdin"]);
    crate::process::run_with(login, &account.token)
}

/// What another client sees, as it comes.
pub(super) struct Eyes<'a> {
    user: &'a User,
    room: String,
    since: String,
}

impl<'a> Eyes<'a> {
    pub(super) fn open(user: &'a User, room: &str) -> Self {
        let first = user.ok("GET", "/sync?timeout=0", None);
        let since = first["next_batch"].as_str().unwrap_or_default().to_owned();
        Self { user, room: room.to_owned(), since }
    }

    /// What came since, once something does.
    pub(super) fn next(&mut self) -> Vec<Value> {
        // All of a burst: else what is more than ten would have to be paged for.
        let filter = encoded(r#"{"room":{"timeline":{"limit":100}}}"#);
        let path = format!("/sync?timeout=10000&filter={filter}&since={}", encoded(&self.since));
        let said = self.user.ok("GET", &path, None);
        self.since = said["next_batch"].as_str().unwrap_or_default().to_owned();
        said["rooms"]["join"][&self.room]["timeline"]["events"].as_array().cloned().unwrap_or_default()
    }

    /// Waits for the next question that is asked.
    pub(super) fn question(&mut self) -> Outcome<Value> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(asked) = self.next().into_iter().find(is_question) {
                return Ok(asked);
            }
        }
        Err(format!("no question within {PATIENCE:?}"))
    }
}

/// Whether a message asks something; an edit does not.
pub(super) fn is_question(event: &Value) -> bool {
    event["content"]["cis.dag.question"].is_object()
        && event["content"]["m.relates_to"]["rel_type"] != json!("m.replace")
}

pub(super) fn read(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|e| format!("{e}: {text}"))
}

/// Now, µs of the system's clock.
pub(super) fn now_us() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64() * 1e6)
}

/// How many requests of a kind a homeserver that counts them was sent. `servlet`: in the name of what answers them.
pub(super) fn requests(synapse: &Synapse, servlet: &str) -> Outcome<f64> {
    let broken = |error: std::io::Error| format!("the homeserver's metrics cannot be read: {error}");
    let mut stream = TcpStream::connect(synapse.url().trim_start_matches("http://")).map_err(broken)?;
    stream.write_all(b"GET /_synapse/metrics HTTP/1.0\r\n\r\n").map_err(broken)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(broken)?;
    let is_it =
        |line: &&str| line.starts_with("synapse_http_server_requests_received") && line.contains(servlet);
    let counts = text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum())
}
