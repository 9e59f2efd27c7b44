//! Requests as another program sends them: the same one several times at once, too many, too large.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Cis, eventually, kill_9, pause, signal};

/// A connection to the API.
pub struct Api(BufReader<UnixStream>);

impl Api {
    pub fn of(cis: &Cis) -> Self {
        let status = cis.status();
        let stream = UnixStream::connect(status["socket"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn send(&mut self, method: &str, path: &str, token: Option<&str>, body: &str) {
        let token = token.map(|token| format!("x-cis-token: {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{token}content-length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.0.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
    }

    fn receive(&mut self) -> (u16, Value) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no HTTP: {line:?}")).parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, None, &body.to_string());
        self.receive()
    }
}

fn session(cis: &Cis, argv: &[&str], input: &str) -> Value {
    json!({ "argv": argv, "name": null, "cwd": cis.work(), "env": null, "size": null, "input": input })
}

/// How many events of a kind have this text in their body.
pub(super) fn events(cis: &Cis, kind: &str, part: &str) -> i64 {
    let sql = "select count(*) from events where type = ?1 and instr(cast(body as text), ?2)";
    super::storage::read_database(cis).query_row(sql, (kind, part), |row| row.get(0)).unwrap()
}

#[test]
fn a_session_that_is_asked_for_sixteen_times_at_once_is_made_once() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let body = session(&cis, &["sleep", "60"], "01K00000000000000000000007").to_string();
    let mut callers: Vec<Api> = (0..16).map(|_| Api::of(&cis)).collect();
    callers.iter_mut().for_each(|api| api.send("POST", "/v1/sessions", None, &body));
    let answers: Vec<(u16, Value)> = callers.iter_mut().map(Api::receive).collect();
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    assert!(answers.iter().all(|(_, answer)| answer["id"] == answers[0].1["id"]), "{answers:?}");
    assert_eq!(cis.json(&["dag", "sessions"])["items"].as_array().unwrap().len(), 1);
    // Afterwards it is known from the store.
    let (status, again) = Api::of(&cis).post("/v1/sessions", &serde_json::from_str(&body).unwrap());
    assert_eq!((status, &again["id"]), (201, &answers[0].1["id"]));
}

#[test]
fn a_session_that_was_never_started_is_not_answered_as_made() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let host = eventually("the session host", || cis.host_pid());
    signal(host, Signal::STOP);
    let id = "01K0000000000000000000000B";
    let body = session(&cis, &["sleep", "60"], id);
    let mut caller = Api::of(&cis);
    caller.send("POST", "/v1/sessions", None, &body.to_string());
    eventually("the session recorded", || {
        (events(&cis, "cis.dag.session.created", "sleep") == 1).then_some(())
    });
    kill_9(cis.node_pid().unwrap());
    kill_9(host);
    cis.ok(["node", "start", "--detach"]);
    eventually("the end of the session", || {
        (events(&cis, "cis.dag.session.ended", "before it was started") == 1).then_some(())
    });
    let (status, answer) = Api::of(&cis).post("/v1/sessions", &body);
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("was not started"), "{answer}");
    assert!(answer["hint"].as_str().unwrap().contains("another key"), "{answer}");
    // The same for one that cannot be started.
    let missing = session(&cis, &["/missing/program"], "01K0000000000000000000000C");
    let mut api = Api::of(&cis);
    assert_eq!(api.post("/v1/sessions", &missing).0, 400);
    assert_eq!(api.post("/v1/sessions", &missing).0, 409);
}

#[test]
fn a_run_that_is_asked_for_sixteen_times_at_once_is_made_once() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let text =
        "version = 1\n[dag]\nid = \"once\"\n[[tasks]]\nid = \"a\"\nscript = 'echo x >> \"$E2E_WORK/ran\"'\n";
    let env: std::collections::BTreeMap<String, String> = cis.environment().into_iter().collect();
    let body = json!({
        "text": text, "source": "once.toml", "workdir": cis.work(), "params": {}, "env": env,
        "mode": "local", "start": true, "input": "01K00000000000000000000008",
    })
    .to_string();
    let mut callers: Vec<Api> = (0..16).map(|_| Api::of(&cis)).collect();
    callers.iter_mut().for_each(|api| api.send("POST", "/v1/runs", None, &body));
    let answers: Vec<(u16, Value)> = callers.iter_mut().map(Api::receive).collect();
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    let runs = cis.json(&["dag", "list"])["items"].as_array().unwrap().clone();
    assert_eq!(runs.len(), 1, "{runs:?}");
    cis.wait_run(runs[0]["id"].as_str().unwrap(), "succeeded");
    assert_eq!(cis.read("ran"), "x\n");
}

#[test]
fn an_input_that_is_sent_twice_is_recorded_and_typed_once() {
    let cis = Cis::new();
    let run = cis.start("version = 1\n[dag]\nid = \"q\"\n[[tasks]]\nid = \"a\"\nscript = 'read -r x; read -r y; echo \"$x/$y\" > \"$E2E_WORK/read\"'\n");
    let id = cis.session_of("a")["id"].as_str().unwrap().to_owned();
    let mut api = Api::of(&cis);
    let path = format!("/v1/sessions/{id}/input");
    let typed = |text: &str, input: &str| json!({ "data": text, "input": input });
    for _ in 0..3 {
        let (status, answer) = api.post(&path, &typed("one\r", "01K00000000000000000000009"));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(events(&cis, "cis.dag.session.input", &id), 1, "recorded before the answer, and once");
    }
    let (status, answer) = api.post(&path, &typed("two\r", "01K0000000000000000000000A"));
    assert_eq!(status, 200, "{answer}");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("read"), "one/two\n");
    assert_eq!(events(&cis, "cis.dag.session.input", &id), 2);
    // An id that stands for an input cannot stand for a session, too.
    let (status, _) = api.post("/v1/sessions", &session(&cis, &["true"], "01K0000000000000000000000A"));
    assert_eq!(status, 409);
}

#[test]
fn a_session_that_ended_a_moment_ago_is_said_to_have_ended() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let mut callers: Vec<Api> = (0..8).map(|_| Api::of(&cis)).collect();
    for _ in 0..40 {
        let asked = session(&cis, &["cat"], &ulid::Ulid::new().to_string());
        let (status, made) = callers[0].post("/v1/sessions", &asked);
        assert_eq!(status, 201, "{made}");
        let path = format!("/v1/sessions/{}/kill", made["id"].as_str().unwrap());
        // With so many that ask without a pause, some meet the node between the end and the record of it.
        let mut ended = false;
        while !ended {
            callers.iter_mut().for_each(|api| api.send("POST", &path, None, r#"{"grace_ms":0}"#));
            for (status, answer) in callers.iter_mut().map(Api::receive) {
                assert!([204, 409].contains(&status), "{status}: {answer}");
                ended |= status == 409;
            }
        }
    }
}

#[test]
fn a_session_that_is_too_large_to_be_started_is_refused_in_plain_words() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let mut body = session(&cis, &["true"], "01K0000000000000000000000B");
    body["env"] = json!({ "LARGE": "x".repeat(18 << 20) });
    let (status, answer) = Api::of(&cis).post("/v1/sessions", &body);
    assert_eq!(status, 413, "{answer}");
    let said = answer["detail"].as_str().unwrap();
    assert!(said.contains("at most 8 MiB"), "{said}");
    assert_eq!(cis.json(&["dag", "sessions"])["items"], json!([]));
}

#[test]
fn a_flood_of_refused_requests_fills_neither_store_nor_log() {
    const REQUESTS: usize = 4000;
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"sly\"\n[[tasks]]\nid = \"a\"\nscript = 'printf %s \"$CIS_TOKEN\" > \"$E2E_WORK/token.new\"; mv \"$E2E_WORK/token.new\" \"$E2E_WORK/token\"; while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let run = cis.start(text);
    let token = eventually("it has a token", || Some(cis.read("token")).filter(|token| !token.is_empty()));
    let mut api = Api::of(&cis);
    for _ in 0..REQUESTS / 50 {
        (0..50).for_each(|_| api.send("POST", "/v1/node/stop", Some(&token), "{}"));
        (0..50).for_each(|_| assert_eq!(api.receive().0, 403));
    }
    let told = eventually("the rest is told as a number", || {
        pause(Duration::from_millis(100));
        Some(events(&cis, "cis.dag.node.denied", "more requests")).filter(|told| *told > 0)
    });
    let all = events(&cis, "cis.dag.node.denied", "");
    assert!(all - told >= 20 && all < 1000, "{all} events for {REQUESTS} requests");
    let log = std::fs::read_to_string(cis.home().join("node.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("refused")).count();
    assert!(lines < 1000, "{lines} lines for {REQUESTS} requests");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_decision_that_is_sent_twice_counts_once_and_says_so() {
    let cis = Cis::new();
    let gate = |id: &str| {
        format!(
            "version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"deploy\"\napproval = {{ prompt = \"?\" }}\ncommand = [\"true\"]\n"
        )
    };
    for (dag, option, end, input) in [
        ("yes", "approve", "succeeded", "01JD0V3Z8K6T9W2B5N7Q4R1XA1"),
        ("no", "reject", "failed", "01JD0V3Z8K6T9W2B5N7Q4R1XA2"),
    ] {
        let run = cis.start(&gate(dag));
        let item = cis.json(&["inbox", &run])["items"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/inbox/{item}/answer");
        let body = |input: &str| json!({ "with": "option", "option": option, "input": input });
        let mut api = Api::of(&cis);
        let (status, first) = api.post(&path, &body(input));
        assert_eq!((status, first.get("repeated")), (200, None), "{first}");
        cis.wait_run(&run, end);
        let (status, again) = api.post(&path, &body(input));
        assert_eq!((status, &again["repeated"]), (200, &true.into()), "{again}");
        assert_eq!((&again["by"], &again["item"]), (&first["by"], &first["item"]));
        let (status, other) = api.post(&path, &body("01JD0V3Z8K6T9W2B5N7Q4R1XA9"));
        assert_eq!(status, 409, "{other}");
        kill_9(cis.node_pid().unwrap());
        cis.ok(["inbox"]);
        let (status, again) = Api::of(&cis).post(&path, &body(input));
        assert_eq!((status, &again["repeated"]), (200, &true.into()), "after a restart: {again}");
    }
    let run = cis.start(&gate("third"));
    let item = cis.json(&["inbox", &run])["items"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "with": "option", "option": "approve", "input": "01JD0V3Z8K6T9W2B5N7Q4R1XA1" });
    let (status, taken) = Api::of(&cis).post(&format!("/v1/inbox/{item}/answer"), &body);
    assert_eq!((status, &taken["kind"]), (409, &"key-reused".into()), "{taken}");
    cis.ok(["dag", "cancel", &run]);
}
