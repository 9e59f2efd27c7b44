//! What stands between a node and its homeserver, and goes wrong when a test says so.
//!
//! Every request has a connection of its own. Rules say which requests do not simply pass; each holds for so many
//! requests, or until it is lifted. What passed, and when, can be looked at.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::wait::LONG;

/// A request that takes longer than the longest wait for a sync has failed.
const TIME_MAX: Duration = Duration::from_secs(90);

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It does not reach the homeserver: this is the answer.
    Answer { status: &'static str, kind: &'static str, body: String },
    /// It reaches the homeserver, and the connection is lost before the answer comes back.
    LosesAnswer,
    /// The connection is lost at once.
    Refused,
    /// It waits before it goes on, until the rule is lifted.
    Held,
    /// It reaches the homeserver at once, and its answer waits until the rule is lifted.
    AnswerHeld,
}

impl Fault {
    /// As Synapse says an error.
    pub fn error(status: &'static str, code: &str, more: &str) -> Self {
        let body = format!("{{\"errcode\":\"{code}\",\"error\":\"made up by the test\"{more}}}");
        Self::Answer { status, kind: "application/json", body }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `PUT /_matrix/…`, and its body behind that.
    pub text: String,
    /// When it came.
    pub at: Instant,
    /// The status that the node was given; none: no answer (yet).
    pub status: Option<u16>,
}

struct Rule {
    id: usize,
    /// Requests that have all of these.
    of: Vec<String>,
    fault: Fault,
    left: usize,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// Rules that were lifted.
    lifted: Vec<usize>,
    next: usize,
    seen: Vec<Seen>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// It listens as long as the test's process lives.
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
}

/// A rule that is lifted when this goes.
pub struct Rules<'a> {
    proxy: &'a Proxy,
    id: usize,
}

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        let mut state = self.proxy.state();
        state.rules.retain(|rule| rule.id != self.id);
        state.lifted.push(self.id);
        drop(state);
        self.proxy.shared.changed.notify_all();
    }
}

impl Rules<'_> {
    /// Waits until as many requests came as were to go wrong.
    #[track_caller]
    pub fn used(&self) {
        let is_left = |state: &mut State| state.rules.iter().any(|rule| rule.id == self.id && rule.left > 0);
        let state = self.proxy.state();
        let waited = self.proxy.shared.changed.wait_timeout_while(state, LONG, is_left).unwrap();
        assert!(!waited.1.timed_out(), "no such request came");
    }
}

impl Proxy {
    /// One before the homeserver at this address.
    pub fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let made = Self { url: format!("http://{}", listener.local_addr().unwrap()), shared: Arc::default() };
        let (shared, to) = (Arc::clone(&made.shared), url.trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (shared, to) = (Arc::clone(&shared), to.clone());
                // A client that goes away in between is no fault of ours.
                std::thread::spawn(move || drop(serve(client, &to, &shared)));
            }
        });
        made
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on requests that have all of these texts, in their line or body, go wrong so, `count` of them.
    pub fn fault(&self, of: &[&str], fault: Fault, count: usize) -> Rules<'_> {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let of = of.iter().map(|&text| text.to_owned()).collect();
        state.rules.push(Rule { id, of, fault, left: count });
        Rules { proxy: self, id }
    }

    /// Requests that came so far and have all of these texts.
    pub fn seen(&self, of: &[&str]) -> Vec<Seen> {
        let has = |seen: &&Seen| of.iter().all(|text| seen.text.contains(text));
        self.state().seen.iter().filter(has).cloned().collect()
    }

    /// Transaction ids of the messages and events that were sent, in order.
    pub fn transactions(&self) -> Vec<String> {
        let of = |seen: &Seen| {
            let line = seen.text.lines().next()?.to_owned();
            let (_, rest) = line.split_once("/send/")?;
            rest.rsplit('/').next().map(str::to_owned)
        };
        self.seen(&["PUT", "/send/"]).iter().filter_map(of).collect()
    }

    /// Waits until so many requests like these came, answered or not.
    #[track_caller]
    pub fn wait(&self, of: &[&str], count: usize) -> Vec<Seen> {
        let has = |seen: &&Seen| of.iter().all(|text| seen.text.contains(text));
        let state = self.state();
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, LONG, |state| state.seen.iter().filter(has).count() < count)
            .unwrap();
        assert!(!timeout.timed_out(), "{count} requests like {of:?} do not come: {:?}", state.seen);
        state.seen.iter().filter(has).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

fn serve(mut client: TcpStream, to: &str, shared: &Shared) -> io::Result<()> {
    client.set_read_timeout(Some(TIME_MAX))?;
    let Some((head, body)) = request(&mut client)? else { return Ok(()) };
    let line = head.lines().next().and_then(|line| line.rsplit_once(' ')).map_or("", |(line, _)| line);
    let text = format!("{line}\n{}", String::from_utf8_lossy(&body));
    let (at, fault) = {
        let mut state = shared.state.lock().unwrap();
        let at = state.seen.len();
        let matches =
            |rule: &&mut Rule| rule.left > 0 && rule.of.iter().all(|wanted| text.contains(wanted.as_str()));
        let fault = state.rules.iter_mut().find(matches).map(|rule| {
            rule.left -= 1;
            (rule.id, rule.fault.clone())
        });
        state.seen.push(Seen { text, at: Instant::now(), status: None });
        (at, fault)
    };
    shared.changed.notify_all();
    let answer = match fault {
        None => forwarded(to, &head, &body)?,
        Some((_, Fault::Answer { status, kind, body })) => format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
        Some((_, Fault::LosesAnswer)) => {
            forwarded(to, &head, &body)?;
            return Ok(());
        }
        Some((_, Fault::Refused)) => return Ok(()),
        Some((rule, Fault::Held)) => {
            until_lifted(shared, rule);
            forwarded(to, &head, &body)?
        }
        Some((rule, Fault::AnswerHeld)) => {
            let answer = forwarded(to, &head, &body)?;
            until_lifted(shared, rule);
            answer
        }
    };
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    client.write_all(&answer)?;
    shared.state.lock().unwrap().seen[at].status = status;
    shared.changed.notify_all();
    Ok(())
}

fn until_lifted(shared: &Shared, rule: usize) {
    let state = shared.state.lock().unwrap();
    let held = shared.changed.wait_timeout_while(state, TIME_MAX, |state| !state.lifted.contains(&rule));
    drop(held.unwrap());
}

/// Head and body of a request; none: the connection was not used.
fn request(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16384]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end + 4);
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[..count]);
    }
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// What the homeserver answers, whole: of this request its connection carries no other.
fn forwarded(to: &str, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(to)?;
    server.set_read_timeout(Some(TIME_MAX))?;
    let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
    let mut text = head.lines().filter(kept).collect::<Vec<_>>().join("\r\n");
    text.push_str("\r\nConnection: close\r\n\r\n");
    server.write_all(text.as_bytes())?;
    server.write_all(body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}
