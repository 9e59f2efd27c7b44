//! The API as an integrator uses it: keys that count once, queries that are checked, files as they are, versions and ranges.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::websocket::{Frame, WebSocket};
use super::harness::{Cis, Remote, eventually_within, kill_9};
use super::http::{exchange, get, request};

const DAG: &str = "version = 1\n[dag]\nid = \"d\"\n[dag.params.name]\ntype = \"string\"\ndefault = \"x\"\n\
    [[tasks]]\nid = \"a\"\nscript = \"echo {{ params.name }}\"\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n";

/// Sends a request; gives status, head and body.
#[track_caller]
fn send(cis: &Cis, line: &str, headers: &[&str], body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut more = format!("content-length: {}\r\n", body.len());
    headers.iter().for_each(|header| more.push_str(&format!("{header}\r\n")));
    let (head, answer) = exchange(cis, &[request(line, &more).as_bytes(), body].concat());
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer)
}

/// The same with a body of JSON and an answer of JSON.
#[track_caller]
fn post(cis: &Cis, path: &str, headers: &[&str], body: &Value) -> (u16, String, Value) {
    let all = [&["content-type: application/json"][..], headers].concat();
    let (status, head, answer) = send(cis, &format!("POST {path}"), &all, body.to_string().as_bytes());
    (status, head, serde_json::from_slice(&answer).unwrap_or_default())
}

#[track_caller]
pub fn json_at(cis: &Cis, path: &str) -> Value {
    let (head, body) = get(cis, path, "");
    assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
    serde_json::from_slice(&body).unwrap()
}

/// What is refused, in its words.
#[track_caller]
fn refused(cis: &Cis, line: &str, kind: &str) -> String {
    let (status, _, body) = send(cis, line, &[], b"");
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    assert_eq!(
        (problem["kind"].as_str(), &problem["status"]),
        (Some(kind), &status.into()),
        "{line}: {problem}"
    );
    problem["detail"].as_str().unwrap().to_owned()
}

fn node() -> Cis {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    cis
}

#[test]
fn a_key_is_of_one_request_also_after_a_restart() {
    let cis = node();
    let input = "01K00000000000000000000001";
    let body = |text: &str| json!({ "text": text, "workdir": cis.work(), "start": false, "input": input });
    let (status, head, first) = post(&cis, "/v1/runs", &[], &body(DAG));
    assert_eq!(status, 201, "{first}");
    assert!(!head.contains("idempotent-replayed"), "{head}");
    let other = DAG.replace("\"d\"", "\"other\"");
    for restarted in [false, true] {
        if restarted {
            kill_9(cis.node_pid().unwrap());
            cis.ok(["node", "start", "--detach"]);
        }
        let (status, head, again) = post(&cis, "/v1/runs", &[], &body(DAG));
        assert_eq!((status, &again["id"]), (201, &first["id"]), "{restarted}");
        assert!(head.contains("idempotent-replayed: true"), "{restarted}: {head}");
        let (status, _, problem) = post(&cis, "/v1/runs", &[], &body(&other));
        assert_eq!((status, &problem["kind"]), (409, &"key-reused".into()), "{restarted}: {problem}");
    }
    assert_eq!(json_at(&cis, "/v1/runs")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_repeated_request_is_answered_although_what_it_needed_has_gone() {
    let cis = node();
    let program = cis.write_program("decide", "#!/bin/sh\n");
    let text = DAG.replace(
        "[[tasks]]\nid = \"b\"",
        "[[tasks]]\non_blocked = { action = \"run\", run = [\"./decide\"] }\nid = \"b\"",
    );
    let make = |key: &str| {
        let body = json!({ "text": text, "workdir": cis.work(), "start": false });
        post(&cis, "/v1/runs", &[&format!("idempotency-key: {key}")], &body)
    };
    let (status, _, first) = make("one");
    assert_eq!(status, 201, "{first}");
    std::fs::remove_file(program).unwrap();
    let (status, _, problem) = make("two");
    assert_eq!(status, 400, "{problem}");
    let (status, head, again) = make("one");
    assert_eq!((status, &again["id"]), (201, &first["id"]), "{again}");
    assert!(head.contains("idempotent-replayed: true"), "{head}");
}

#[test]
fn a_header_is_a_key_as_well() {
    let cis = node();
    let make = |key: &str, argv: &[&str]| {
        let key = format!("idempotency-key: {key}");
        post(&cis, "/v1/sessions", &[&key], &json!({ "argv": argv, "cwd": cis.work() }))
    };
    let (status, _, first) = make("8e03978e-40d5", &["sleep", "600"]);
    assert_eq!(status, 201, "{first}");
    let (status, head, again) = make("\"8e03978e-40d5\"", &["sleep", "600"]);
    assert_eq!((status, &again["id"]), (201, &first["id"]));
    assert!(head.contains("idempotent-replayed: true"), "{head}");
    assert_eq!(make("8e03978e-40d5", &["sleep", "601"]).2["kind"], "key-reused");
    assert_ne!(make("another", &["sleep", "600"]).2["id"], first["id"]);
    // A request that came to nothing leaves its key free.
    assert_eq!(make("free", &[]).0, 400);
    assert_eq!(make("free", &["sleep", "600"]).0, 201);
    let both = json!({ "argv": ["true"], "cwd": "/", "input": "01K00000000000000000000001" });
    let (status, _, problem) = post(&cis, "/v1/sessions", &["idempotency-key: x"], &both);
    assert_eq!(status, 400, "{problem}");
    // Without a key each counts.
    let (_, _, one) = post(&cis, "/v1/sessions", &[], &json!({ "argv": ["sleep", "600"], "cwd": "/" }));
    let (_, _, two) = post(&cis, "/v1/sessions", &[], &json!({ "argv": ["sleep", "600"], "cwd": "/" }));
    assert_ne!(one["id"], two["id"]);
    let listed = |path: &str| json_at(&cis, path)["items"].as_array().unwrap().len();
    let run = cis.start(DAG);
    cis.wait_run(&run, "succeeded");
    assert_eq!(listed("/v1/sessions?all=true"), 7);
    assert_eq!(listed("/v1/sessions?all=true&standalone=true"), 5);
}

#[test]
fn an_answer_is_given_once_for_its_key() {
    let cis = Cis::new();
    let run = cis.start("version = 1\n[dag]\nid = \"g\"\n[[tasks]]\nid = \"t\"\napproval = { prompt = \"Go on?\" }\ncommand = [\"true\"]\n");
    let item = json_at(&cis, "/v1/inbox")["items"][0].clone();
    assert!(item["since_ms"].is_i64() && item["since"].is_null(), "{item}");
    let path = format!("/v1/inbox/{}/answer", item["id"].as_str().unwrap());
    let key = "idempotency-key: once";
    let approve = json!({ "with": "option", "option": "approve" });
    assert_eq!(post(&cis, &path, &[key], &approve).0, 200);
    cis.wait_run(&run, "succeeded");
    let (status, head, receipt) = post(&cis, &path, &[key], &approve);
    assert_eq!((status, &receipt["repeated"]), (200, &true.into()), "{receipt}");
    assert!(head.contains("idempotent-replayed: true"), "{head}");
    let (status, _, problem) = post(&cis, &path, &[key], &json!({ "with": "option", "option": "reject" }));
    assert_eq!((status, &problem["kind"]), (409, &"key-reused".into()));
    // A variant is a name, no number.
    let (status, _, problem) = post(&cis, &path, &[], &json!({ "with": 0, "option": "approve" }));
    assert_eq!((status, &problem["kind"]), (400, &"bad-input".into()));
    assert!(problem["detail"].as_str().unwrap().contains("`with` must be one of `option`"), "{problem}");
}

#[test]
fn what_the_description_does_not_allow_is_refused_in_plain_words() {
    let cis = node();
    for (path, words) in [
        ("/v1/runs?limt=5", "unknown query parameter `limt`"),
        ("/v1/runs?limit=5&limit=6", "given twice"),
        ("/v1/runs?limit=0", "`limit` must be at least 1"),
        ("/v1/runs?limit=1001", "`limit` must be at most 1000"),
        ("/v1/runs?limit=many", "`limit` must be an integer"),
        ("/v1/runs?open=1", "`open` must be true or false"),
        ("/v1/runs?state=done", "`state` must be one of `created`"),
        ("/v1/runs?sort=name", "`sort` must be one of `-created_ms`"),
        ("/v1/node?verbose=true", "unknown query parameter `verbose`"),
        ("/v1/groups?limit=-1", "`limit` must be at least 1"),
    ] {
        let said = refused(&cis, &format!("GET {path}"), "bad-input");
        assert!(said.contains(words), "{path}: {said}");
    }
    for (body, words) in [
        ("{", "not valid JSON (line 1"),
        ("[]", "must be an object, not an array"),
        ("{}", "`text` is missing"),
        (r#"{"text":1}"#, "`text` has none of the forms"),
        (r#"{"text":"","start":"yes"}"#, "`start` must be true or false, not `yes`"),
        (r#"{"text":"","mode":1}"#, "`mode` must be a string, not 1"),
        (r#"{"text":"","umask":-1}"#, "`umask` must be at least 0"),
    ] {
        let headers = ["content-type: application/json"];
        let (status, _, answer) = send(&cis, "POST /v1/runs", &headers, body.as_bytes());
        let problem: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &problem["kind"]), (400, &"bad-input".into()), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{body}: {problem}");
    }
    assert!(refused(&cis, "DELETE /v1/runs", "method-not-allowed").contains("DELETE"));
    assert!(refused(&cis, "POST /v1/runs", "unsupported-media-type").contains("no content type"));
    assert!(refused(&cis, "GET /v1/events", "upgrade-required").contains("WebSocket"));
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    let beyond = WebSocket::open(socket.as_ref(), "/v1/events?after=9007199254740991");
    assert!(beyond.is_err(), "an `after` beyond the newest event does not wait");
}

#[test]
fn a_file_is_submitted_as_it_is() {
    let cis = node();
    let path = format!("/v1/runs?workdir={}&param=name=Ada%20L.&source=my.toml", cis.work().display());
    let toml = ["content-type: application/toml"];
    let (status, _, body) = send(&cis, &format!("POST {path}"), &toml, DAG.as_bytes());
    let run: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &run["source"]), (201, &"my.toml".into()), "{run}");
    let id = run["id"].as_str().unwrap();
    cis.wait_run(id, "succeeded");
    let (head, log) =
        get(&cis, &format!("/v1/runs/{id}/tasks/a/log?plain=true"), "accept-encoding: identity\r\n");
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    assert!(String::from_utf8_lossy(&log).contains("Ada L."), "{head}");
    // Nothing is made of a file that is only checked, or wrong.
    assert_eq!(send(&cis, "POST /v1/runs?validate_only=true", &toml, DAG.as_bytes()).0, 204);
    let (status, _, body) = send(&cis, "POST /v1/runs?source=bad.toml", &toml, b"[dag]\nid = 1\n");
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 400);
    assert_eq!(problem["diagnostics"][0]["file"], "bad.toml", "{problem}");
    // JSON needs the text alone.
    let (status, _, run) = post(&cis, "/v1/runs", &[], &json!({ "text": DAG }));
    assert_eq!((status, &run["source"], &run["mode"]), (201, &"<api>".into(), &"local".into()), "{run}");
    assert_eq!(json_at(&cis, "/v1/runs")["items"].as_array().unwrap().len(), 2);
}

#[test]
fn runs_are_filtered_and_sorted() {
    let cis = node();
    for (dag, command) in [("one", "true"), ("two", "false"), ("one", "true")] {
        cis.dag(
            &format!(
                "version = 1\n[dag]\nid = \"{dag}\"\n[[tasks]]\nid = \"t\"\ncommand = [\"{command}\"]\n"
            ),
            &[],
        );
    }
    let ids = |query: &str| -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = json_at(&cis, &format!("/v1/runs?limit=1{query}{after}"));
            let items = page["items"].as_array().unwrap();
            all.extend(items.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    };
    let all = ids("");
    assert_eq!(all.len(), 3);
    assert_eq!(ids("&sort=created_ms"), all.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(ids("&dag=one"), [all[0].clone(), all[2].clone()]);
    assert_eq!(ids("&state=failed"), [all[1].clone()]);
    assert_eq!(ids("&state=failed&dag=one"), [""; 0]);
}

#[test]
fn tasks_attempts_artifacts_and_the_file_have_paths_of_their_own() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nretries = 1\n\
        script = 'mkdir -p out; echo 0123456789 > out/a.txt; test -e second || { touch second; exit 1; }'\nartifacts = [\"out/*.txt\"]\n\
        [[tasks]]\nid = \"u\"\nneeds = [\"t\"]\ncommand = [\"true\"]\n";
    cis.dag(text, &[]).expect(0);
    let run = json_at(&cis, "/v1/runs")["items"][0]["id"].as_str().unwrap().to_owned();
    let of = |path: &str| json_at(&cis, &format!("/v1/runs/{run}/{path}"));
    let first = of("tasks?limit=1");
    assert_eq!((&first["items"][0]["id"], &first["next"]), (&"t".into(), &"t".into()));
    assert_eq!(of("tasks?limit=1&after=t")["items"][0]["id"], "u");
    assert_eq!(of("tasks?state=failed")["items"], json!([]));
    let task = of("tasks/u");
    assert_eq!((&task["state"], &task["needs"]), (&"succeeded".into(), &json!(["t"])), "{task}");
    let attempts = of("tasks/t/attempts");
    let outcomes: Vec<_> =
        attempts["items"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["succeeded", "failed"], "{attempts}");
    assert!(refused(&cis, &format!("GET /v1/runs/{run}/tasks/v"), "not-found").contains("no task `v`"));
    assert!(refused(&cis, &format!("GET /v1/runs/{run}/tasks/v/attempts"), "not-found").contains("no task"));
    // The file, byte for byte; it never changes.
    let (head, body) = get(&cis, &format!("/v1/runs/{run}/dag"), "");
    assert!(head.contains("content-type: application/toml") && head.contains("immutable"), "{head}");
    let short = run[run.len() - 6..].to_lowercase();
    let (head, _) = get(&cis, &format!("/v1/runs/{short}/dag"), "");
    assert!(
        head.contains("no-cache") && !head.contains("immutable"),
        "a short id names another run later: {head}"
    );
    assert_eq!(String::from_utf8(body).unwrap(), text);
    // An artifact by its path.
    let left = of("tasks/t/artifacts")["items"][0].clone();
    assert_eq!(left["path"], "out/a.txt");
    let path = format!("/v1/runs/{run}/tasks/t/artifacts/out%2Fa.txt");
    let (head, body) = get(&cis, &path, "");
    assert_eq!(body, b"0123456789\n", "{head}");
    assert!(head.contains("content-length: 11") && head.contains("accept-ranges: bytes"), "{head}");
    let tag = format!("etag: \"{}\"", left["blob"].as_str().unwrap());
    assert!(head.contains(&tag), "{head}");
    let (head, body) = get(&cis, &path, "range: bytes=2-4\r\n");
    assert!(head.starts_with("http/1.1 206 ") && head.contains("content-range: bytes 2-4/11"), "{head}");
    assert_eq!(body, b"234");
    let (head, _) = get(&cis, &path, "range: bytes=11-\r\n");
    assert!(head.starts_with("http/1.1 416 ") && head.contains("content-range: bytes */11"), "{head}");
    let (head, _) = get(&cis, &path, &format!("if-none-match: {}\r\n", &tag[6..]));
    assert!(head.starts_with("http/1.1 304 "), "{head}");
    let by_content = format!("/v1/runs/{run}/tasks/t/artifacts/{}", left["blob"].as_str().unwrap());
    assert!(get(&cis, &by_content, "").0.contains("immutable"));
    assert!(
        refused(&cis, &format!("GET /v1/runs/{run}/tasks/t/artifacts/b"), "not-found")
            .contains("no artifact")
    );
}

#[test]
fn what_has_not_changed_is_not_sent_again_and_what_is_long_is_compressed() {
    let cis = node();
    let (head, body) = get(&cis, "/v1/openapi.json", "");
    assert!(head.contains("cache-control: private, no-cache"), "{head}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let strict = tag.replace("w/", "W/");
    for known in [strict.clone(), format!("\"x\", {strict}"), "*".to_owned()] {
        let (head, body) = get(&cis, "/v1/openapi.json", &format!("if-none-match: {known}\r\n"));
        assert!(head.starts_with("http/1.1 304 ") && head.contains(&tag), "{known}: {head}");
        assert!(body.is_empty());
    }
    assert!(get(&cis, "/v1/openapi.json", "if-none-match: \"x\"\r\n").0.starts_with("http/1.1 200 "));
    // A run that changes has another tag.
    let run = cis.start("version = 1\n[dag]\nid = \"g\"\n[[tasks]]\nid = \"t\"\napproval = { prompt = \"Go on?\" }\ncommand = [\"true\"]\n");
    let etag = || {
        let (head, _) = get(&cis, &format!("/v1/runs/{run}"), "");
        head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned()
    };
    let before = etag();
    assert_eq!(etag(), before);
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    assert_ne!(etag(), before);
    let (head, coded) = get(&cis, "/v1/openapi.json", "accept-encoding: gzip\r\n");
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    assert_eq!(gunzip(&unchunked(&coded)), body);
    let (head, coded) = get(&cis, "/v1/openapi.json", "accept-encoding: gzip, br\r\n");
    assert!(head.contains("content-encoding: br") && coded.len() < body.len() / 4, "{head}");
    assert!(!get(&cis, "/v1/openapi.json", "").0.contains("content-encoding"));
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return all;
        }
        all.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    let writer = std::thread::spawn(move || to.write_all(&bytes));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success());
    out.stdout
}

#[test]
fn a_log_is_read_in_ranges() {
    let cis = Cis::new();
    cis.dag(
        "version = 1\n[dag]\nid = \"l\"\n[[tasks]]\nid = \"t\"\ntty = false\nscript = 'seq 1 1000'\n",
        &[],
    )
    .expect(0);
    let run = json_at(&cis, "/v1/runs")["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}/tasks/t/log?plain=true");
    let (_, whole) = get(&cis, &path, "");
    let whole = unchunked(&whole);
    assert!(whole.starts_with(b"1\n2\n"), "{}", whole.len());
    for (range, wanted) in [
        ("bytes=2-5", &whole[2..6]),
        ("bytes=3000-", &whole[3000..]),
        ("bytes=-5", &whole[whole.len() - 5..]),
    ] {
        let (head, part) = get(&cis, &path, &format!("range: {range}\r\n"));
        assert!(head.starts_with("http/1.1 206 ") && head.contains("cis-session: "), "{range}: {head}");
        assert_eq!(part, wanted, "{range}");
    }
    let (head, _) = get(&cis, &path, &format!("range: bytes={}-\r\n", whole.len()));
    assert!(head.starts_with("http/1.1 416 "), "{head}");
}

#[test]
fn everybody_is_told_what_they_may_do() {
    let remote = Remote::start(&[]);
    let (viewer, _) = remote.token("viewer", "eve", &[]);
    let me = remote.run(&viewer, &["api", "get", "/v1/me"]).expect(0).json();
    assert_eq!(
        (&me["name"], &me["role"], &me["via"]),
        (&"token:eve".into(), &"viewer".into(), &"http".into())
    );
    let may = |me: &Value, id: &str| me["operations"].as_array().unwrap().contains(&id.into());
    assert!(may(&me, "list_runs") && !may(&me, "create_run") && !may(&me, "decide_task"), "{me}");
    assert!(
        may(&me, "list_artifacts") && !may(&me, "get_artifact"),
        "secrets in them are not replaced: {me}"
    );
    let owner = json_at(&remote.node, "/v1/me");
    assert_eq!(owner["role"], "admin");
    assert!(may(&owner, "create_run") && may(&owner, "create_token"), "{owner}");
}

#[test]
fn a_viewer_reads_no_artifacts() {
    let remote = Remote::start(&[]);
    let (viewer, _) = remote.token("viewer", "eve", &[]);
    let (operator, _) = remote.token("operator", "ann", &[]);
    let task = "[[tasks]]\nid = \"t\"\ntty = false\nscript = \"echo x > x\"\nartifacts = [\"x\"]\n";
    let run = remote.node.start(&format!("version = 1\n[dag]\nid = \"d\"\n{task}"));
    remote.node.wait_run(&run, "succeeded");
    let path = format!("/v1/runs/{run}/tasks/t/artifacts/x");
    let refused = remote.run(&viewer, &["api", "get", &path]).expect(3).stderr;
    assert!(refused.contains("may not read artifacts"), "{refused}");
    assert_eq!(remote.run(&operator, &["api", "get", &path]).expect(0).stdout, "x\n");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let cis = node();
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = "content-type: application/json\r\ncontent-length: 100\r\n";
    stream.write_all(format!("POST /v1/runs HTTP/1.1\r\nhost: cis\r\n{head}\r\n{{").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"kind\":\"request-timeout\""),
        "{answer}"
    );
}

/// As many as it can, all of them silent in the midst of a request.
#[test]
fn an_address_without_a_token_holds_no_connections_of_others() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("viewer", "ann", &[]);
    let (host, port) = remote.address();
    let open = || {
        let mut stream = TcpStream::connect((host, port.parse::<u16>().unwrap())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The beginning of a handshake.
        let _ = stream.write_all(&[22, 3, 1]);
        stream
    };
    let mut silent: Vec<TcpStream> = (0..300).map(|_| open()).collect();
    // From another address of this machine somebody with a token gets in.
    let (_, token) = remote.token("viewer", "other", &[]);
    let fetched =
        Command::new("python3").args(["-c", FROM_ANOTHER_ADDRESS, host, port, &token]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&fetched.stdout).trim(), "200", "{fetched:?}");
    // Each of them is closed, and then the address may come again.
    for stream in &mut silent {
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)));
    }
    eventually_within(Duration::from_secs(60), "the address is let in again", || {
        (remote.run(&ann, &["api", "get", "/v1/node"]).code == Some(0)).then_some(())
    });
}

const FROM_ANOTHER_ADDRESS: &str = "\
import http.client, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
node = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=30, context=context, source_address=('127.0.0.2', 0))
node.request('GET', '/v1/node', headers={'authorization': 'Bearer ' + sys.argv[3]})
print(node.getresponse().status)
";

#[test]
fn a_client_that_writes_its_head_slowly_is_cut() {
    let remote = Remote::start(&[]);
    let (host, port) = remote.address();
    let out = Command::new("python3").args(["-c", SLOW_HEAD, host, port]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "cut", "{out:?}");
}

/// A letter of a header every half a second, for at most a minute.
const SLOW_HEAD: &str = "\
import socket, ssl, sys, time
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
stream = context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60))
stream.sendall(b'GET /v1/node HTTP/1.1\\r\\nx-slow: ')
try:
    for _ in range(120):
        stream.settimeout(0.5)
        try:
            if stream.recv(1) == b'':
                raise ConnectionResetError
        except TimeoutError:
            pass
        stream.settimeout(10)
        stream.sendall(b'x')
    print('served')
except OSError:
    print('cut')
";

#[test]
fn pages_of_allowed_origins_are_told_so() {
    let page = "https://board.example.org";
    let remote = Remote::start(&["-c", &format!("api.origins=[{page:?}]")]);
    let (_, token) = remote.token("viewer", "ann", &[]);
    let (_, port) = remote.address();
    let own = format!("host: 127.0.0.1:{port}");
    let (origin, bearer) = (format!("origin: {page}"), format!("authorization: Bearer {token}"));
    let asks = ["access-control-request-method: POST", "access-control-request-headers: authorization"];
    let allowed = format!("access-control-allow-origin: {page}");
    let (head, _) = remote.exchange("OPTIONS /v1/runs", &[&own, &origin, asks[0], asks[1]]);
    assert!(head.starts_with("http/1.1 204 ") && head.contains(&allowed), "{head}");
    assert!(
        head.contains("access-control-allow-headers: authorization, content-type, idempotency-key"),
        "{head}"
    );
    let (head, _) = remote.exchange("GET /v1/node", &[&own, &origin, &bearer]);
    assert!(head.starts_with("http/1.1 200 ") && head.contains(&allowed), "{head}");
    assert!(
        head.contains("access-control-expose-headers: ") && !head.contains("allow-credentials"),
        "{head}"
    );
    // Also what it must not do it is told.
    let (head, _) = remote.exchange("GET /v1/node", &[&own, &origin]);
    assert!(head.starts_with("http/1.1 401 ") && head.contains(&allowed), "{head}");
    for origin in ["origin: https://evil.example", "origin: null"] {
        let (head, _) = remote.exchange("OPTIONS /v1/runs", &[&own, origin, asks[0]]);
        assert!(head.starts_with("http/1.1 403 ") && !head.contains("access-control"), "{head}");
    }
    // A WebSocket shows its token among its protocols.
    let upgrade = [
        own.as_str(),
        &origin,
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let show = |token: &str| {
        let protocols = format!("sec-websocket-protocol: cis.v1, cis.bearer.{token}");
        remote.exchange("GET /v1/events", &[&upgrade[..], &[protocols.as_str()]].concat())
    };
    let (head, _) = show(&token);
    assert!(
        head.starts_with("http/1.1 426 "),
        "it is let in; the connection is to be closed, which no WebSocket is: {head}"
    );
    let (head, _) = show("cist_no");
    assert!(head.starts_with("http/1.1 401 "), "{head}");
}

#[test]
fn events_behind_an_offset_come_at_once() {
    let cis = Cis::new();
    cis.dag("version = 1\n[dag]\nid = \"e\"\n[[tasks]]\nid = \"t\"\ncommand = [\"true\"]\n", &[]).expect(0);
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    let mut all = WebSocket::open(socket.as_ref(), "/v1/events?after=0").unwrap();
    let Some(Frame::Text(text)) = all.next().unwrap() else { panic!("no events") };
    assert!(text.contains("cis.dag.run.created"), "{text}");
}
