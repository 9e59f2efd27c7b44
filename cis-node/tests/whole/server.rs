//! The API of a node as HTTP: refusals, bodies and queries, keys, files, ranges, caching and its own description.

use std::collections::BTreeSet;
use std::io::Read as _;

use axum::body::Body;
use cis_core::api::{ListRuns, ListTasks, TaskView};
use cis_core::event::RunState;
use serde_json::{Value, json};

use crate::harness::{Node, eventually, on_a_runtime, request};
use crate::wire::{Reply, get, get_json, post, send};

const TOML: (&str, &str) = ("content-type", "application/toml");

const DAG: &str = r#"
version = 1
[dag]
id = "d"
[dag.params.name]
type = "string"
default = "x"
[[tasks]]
id = "a"
script = "echo hello {{ params.name }}"
"#;

/// A task that waits for approval.
const GATE: &str = r#"
version = 1
[dag]
id = "gate"
[[tasks]]
id = "deploy"
approval = { prompt = "Go on?" }
command = ["true"]
"#;

#[test]
fn every_refusal_is_a_problem_document_with_the_status_of_its_kind() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let unknown = "01JD0V3Z8K6T9W2B5N7Q4R1XEC";
        for (line, status, kind) in [
            ("GET /v1/nothing", 404, "not-found"),
            ("GET /", 404, "not-found"),
            ("DELETE /v1/runs", 405, "method-not-allowed"),
            ("PATCH /v1/docs", 405, "method-not-allowed"),
            ("GET /v1/runs/%ff%fe", 400, "bad-input"),
            ("GET /v1/runs/%ff%fe/tasks/a/log", 400, "bad-input"),
            ("GET /v1/sessions/%ff", 400, "bad-input"),
            ("GET /v1/events", 426, "upgrade-required"),
            ("GET /v1/events?after=x", 400, "bad-input"),
            (&format!("GET /v1/sessions/{unknown}/attach"), 404, "not-found"),
            (&format!("GET /v1/runs/{unknown}"), 404, "not-found"),
            (&format!("GET /v1/runs/{unknown}/history"), 404, "not-found"),
            (&format!("POST /v1/runs/{unknown}/cancel"), 404, "not-found"),
            (&format!("GET /v1/inbox/{unknown}"), 404, "not-found"),
            ("POST /v1/runs", 415, "unsupported-media-type"),
            ("POST /v1/store/clean", 415, "unsupported-media-type"),
        ] {
            let reply = send(&node, line, &[], Body::empty()).await;
            assert_eq!(reply.problem(), (status, kind.to_owned()), "{line}");
        }
        let methods = send(&node, "DELETE /v1/runs", &[], Body::empty()).await;
        assert_eq!(methods.header("allow").to_lowercase(), "get,head,post", "RFC 9110, 15.5.6");
        let upgrade = get(&node, "/v1/events").await;
        assert_eq!(upgrade.header("upgrade").to_lowercase(), "websocket", "RFC 9110, 15.5.22");
        // A HEAD has the answer's head and nothing else.
        let (head, whole) =
            (send(&node, "HEAD /v1/groups", &[], Body::empty()).await, get(&node, "/v1/groups").await);
        assert_eq!((head.status, head.header("content-type")), (200, whole.header("content-type")));
        assert!(head.body.is_empty() && !whole.body.is_empty());
        node.stop().await;
    });
}

#[test]
fn what_the_description_does_not_allow_is_refused_in_plain_words() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let said = |reply: &Reply, what: &str| {
            assert_eq!(reply.problem(), (400, "bad-input".to_owned()), "{what}");
            let problem = reply.json();
            format!(
                "{} {}",
                problem["detail"].as_str().unwrap(),
                problem["hint"].as_str().unwrap_or_default()
            )
        };
        for (path, words) in [
            ("/v1/runs?limt=5", "unknown query parameter `limt` did you mean `limit`?"),
            ("/v1/runs?limit=5&limit=6", "`limit` is given twice"),
            ("/v1/runs?limit=0", "`limit` must be at least 1, not 0"),
            ("/v1/runs?limit=1001", "`limit` must be at most 1000, not 1001"),
            ("/v1/runs?limit=many", "`limit` must be an integer"),
            ("/v1/runs?open=1", "`open` must be true or false"),
            ("/v1/runs?state=done", "`state` must be one of `created`"),
            ("/v1/runs?sort=name", "`sort` must be one of `-created_ms`, `created_ms`"),
            ("/v1/node?verbose=true", "this operation takes no query"),
            ("/v1/groups?limit=-1", "`limit` must be at least 1"),
            ("/v1/sessions?colour=red", "this operation takes `after`, `all`, `limit`, `run`, `standalone`"),
            ("/v1/inbox?limit=5000", "`limit` must be at most 1000"),
        ] {
            let said = said(&get(&node, path).await, path);
            assert!(said.contains(words), "{path}: {said}");
        }
        for (path, body, words) in [
            ("/v1/runs", "{", "not valid JSON (line 1, column 1)"),
            ("/v1/runs", "[]", "must be an object, not an array"),
            ("/v1/runs", "{}", "`text` is missing"),
            ("/v1/runs", r#"{"text":1}"#, "`text` has none of the forms"),
            ("/v1/runs", r#"{"text":"","start":"yes"}"#, "`start` must be true or false, not `yes`"),
            ("/v1/runs", r#"{"text":"","umask":-1}"#, "`umask` must be at least 0, not -1"),
            ("/v1/sessions", r#"{"argv":"ls","cwd":"/"}"#, "`argv` must be an array, not `ls`"),
            ("/v1/sessions", r#"{"argv":["ls"]}"#, "`cwd` is missing"),
            ("/v1/tokens", r#"{"role":"king"}"#, "`role` must be one of `viewer`, `operator`, `admin`"),
            ("/v1/node/stop", r#"{"kill_sessions":1}"#, "`kill_sessions` must be true or false, not 1"),
        ] {
            let headers = [("content-type", "application/json; charset=utf-8")];
            let said = said(&send(&node, &format!("POST {path}"), &headers, body).await, body);
            assert!(said.contains(words), "{body}: {said}");
        }
        let wrong = send(&node, "POST /v1/runs", &[("content-type", "text/plain")], "{}").await;
        assert_eq!(wrong.problem(), (415, "unsupported-media-type".to_owned()));
        // Nothing of it came to anything.
        assert_eq!(get_json(&node, "/v1/runs").await["items"], json!([]));
        assert_eq!(get_json(&node, "/v1/sessions?all=true").await["items"], json!([]));
        node.stop().await;
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_and_its_sender_gets_the_answer() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let json = [("content-type", "application/json")];
        let large = vec![b' '; (8 << 20) + 1];
        for (line, status, limit) in [
            ("POST /v1/sessions", 413, "at most 8 MiB"),
            ("POST /v1/tokens", 413, "at most 1 MiB"),
            ("POST /v1/nothing", 404, ""),
            ("DELETE /v1/runs", 405, ""),
        ] {
            let reply = send(&node, line, &json, large.clone()).await;
            assert_eq!(reply.problem().0, status, "{line}");
            assert!(reply.json()["detail"].as_str().unwrap().contains(limit), "{line}: {reply:?}");
        }
        // A run may be larger than that: what is wrong here is its text.
        let reply = send(&node, "POST /v1/runs", &json, large).await;
        assert_eq!(reply.problem(), (400, "bad-input".to_owned()));
        // One that says no length is refused as soon as it is too long.
        let pieces = (0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 256 << 10]));
        let endless = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(send(&node, "POST /v1/sessions", &json, endless).await.problem().0, 413);
        node.stop().await;
    });
}

#[test]
fn a_dag_file_is_submitted_as_it_is_and_read_back_byte_for_byte() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let line = "POST /v1/runs?workdir=/&param=name=Ada%20L.&source=my.toml";
        let made = send(&node, line, &[TOML], DAG).await;
        assert_eq!((made.status, &made.json()["source"]), (201, &json!("my.toml")), "{made:?}");
        let id = made.json()["id"].as_str().unwrap().to_owned();
        node.reaches(&id, RunState::Succeeded).await;
        let log = get(&node, &format!("/v1/runs/{id}/tasks/a/log?plain=true")).await;
        assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(String::from_utf8_lossy(&log.body).trim(), "hello Ada L.");
        let file = get(&node, &format!("/v1/runs/{id}/dag")).await;
        assert_eq!(file.header("content-type"), "application/toml");
        assert!(file.header("cache-control").contains("immutable"), "{file:?}");
        assert_eq!(file.body, DAG.as_bytes());
        // A short id can be that of another run later.
        let short = get(&node, &format!("/v1/runs/{}/dag", id[id.len() - 6..].to_lowercase())).await;
        assert_eq!(short.body, DAG.as_bytes());
        assert!(short.header("cache-control").contains("no-cache"), "{short:?}");

        // Nothing is made of a file that is only checked, or wrong.
        assert_eq!(send(&node, "POST /v1/runs?validate_only=true", &[TOML], DAG).await.status, 204);
        let cycle = DAG.replace("script =", "needs = [\"a\"]\nscript =");
        let wrong = send(&node, "POST /v1/runs?source=bad.toml", &[TOML], cycle).await;
        assert_eq!(wrong.problem(), (400, "bad-input".to_owned()));
        assert_eq!(wrong.json()["diagnostics"][0]["file"], "bad.toml", "{wrong:?}");
        let strange = send(&node, "POST /v1/runs", &[TOML], &b"# \xff\n"[..]).await;
        assert!(String::from_utf8_lossy(&strange.body).contains("UTF-8"), "{strange:?}");
        let param = send(&node, "POST /v1/runs?param=name", &[TOML], DAG).await;
        assert!(param.json()["detail"].as_str().unwrap().contains("NAME=VALUE"), "{param:?}");
        // JSON needs the text alone; the query comes before its fields.
        let body = json!({ "text": DAG, "start": true });
        let run = post(&node, "/v1/runs?start=false", &[], &body).await.json();
        assert_eq!((&run["source"], &run["state"]), (&json!("<api>"), &json!("created")), "{run}");
        assert_eq!(get_json(&node, "/v1/runs").await["items"].as_array().unwrap().len(), 2);
        node.stop().await;
    });
}

#[test]
fn a_request_with_a_key_counts_once_and_the_key_is_of_that_request_alone_also_after_a_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[]).await;
        let replayed = |reply: &Reply| reply.header("idempotent-replayed") == "true";
        let run = |text: &str| json!({ "text": text, "start": false, "input": "01K00000000000000000000001" });
        let first = post(&node, "/v1/runs", &[], &run(DAG)).await;
        assert_eq!((first.status, replayed(&first)), (201, false), "{first:?}");
        for restarted in [false, true] {
            if restarted {
                node.leave().await;
                node = Node::local(scratch.path(), &[]).await;
            }
            let again = post(&node, "/v1/runs", &[], &run(DAG)).await;
            assert_eq!((again.status, replayed(&again)), (201, true), "{restarted}: {again:?}");
            assert_eq!(again.json()["id"], first.json()["id"]);
            let other = post(&node, "/v1/runs", &[], &run(GATE)).await;
            assert_eq!(other.problem(), (409, "key-reused".to_owned()), "{restarted}");
        }
        assert_eq!(get_json(&node, "/v1/runs").await["items"].as_array().unwrap().len(), 1);

        // The same by a header.
        let make = async |key: &str, argv: &[&str]| {
            let body = json!({ "argv": argv, "cwd": "/" });
            post(&node, "/v1/sessions", &[("idempotency-key", key)], &body).await
        };
        let first = make("8e03978e-40d5", &["sleep", "600"]).await;
        assert_eq!((first.status, replayed(&first)), (201, false), "{first:?}");
        let again = make("\"8e03978e-40d5\"", &["sleep", "600"]).await;
        assert_eq!((again.json()["id"].clone(), replayed(&again)), (first.json()["id"].clone(), true));
        assert_eq!(make("8e03978e-40d5", &["sleep", "601"]).await.problem().1, "key-reused");
        // A request that came to nothing leaves its key free.
        assert_eq!(make("free", &[]).await.problem().0, 400);
        assert_eq!(make("free", &["sleep", "600"]).await.status, 201);
        let both = json!({ "argv": ["true"], "cwd": "/", "input": "01K00000000000000000000002" });
        let refused = post(&node, "/v1/sessions", &[("idempotency-key", "x")], &both).await;
        assert_eq!(refused.problem(), (400, "bad-input".to_owned()));
        assert_eq!(get_json(&node, "/v1/sessions").await["items"].as_array().unwrap().len(), 2);
        node.stop().await;
    });
}

#[test]
fn an_answer_is_given_once_for_its_key() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let run = node.submit(GATE).await;
        let item = node.question(&run).await.id.to_string();
        assert_eq!(get_json(&node, &format!("/v1/inbox/{item}")).await["question"], "Go on?");
        let path = format!("/v1/inbox/{item}/answer");
        let key = [("idempotency-key", "once")];
        // A variant is a name, no number.
        let wrong = post(&node, &path, &key, &json!({ "with": 0, "option": "approve" })).await;
        assert_eq!(wrong.problem(), (400, "bad-input".to_owned()));
        let none = post(&node, &path, &[], &json!({ "with": "option", "option": "perhaps" })).await;
        assert_eq!(none.problem().0, 400, "{none:?}");
        let approve = json!({ "with": "option", "option": "approve" });
        assert_eq!(post(&node, &path, &key, &approve).await.status, 200);
        node.reaches(&run, RunState::Succeeded).await;
        let again = post(&node, &path, &key, &approve).await;
        assert_eq!((again.status, &again.json()["repeated"]), (200, &json!(true)), "{again:?}");
        let other = post(&node, &path, &key, &json!({ "with": "option", "option": "reject" })).await;
        assert_eq!(other.problem(), (409, "key-reused".to_owned()));
        let late = post(&node, &path, &[], &approve).await;
        assert_eq!(late.problem(), (409, "conflict".to_owned()));
        node.stop().await;
    });
}

#[test]
fn what_has_not_changed_is_not_sent_again_and_what_is_long_is_compressed() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let whole = get(&node, "/v1/openapi.json").await;
        assert_eq!(whole.header("content-encoding"), "");
        let tag = whole.header("etag").to_owned();
        let known = async |path: &str, tag: &str| {
            send(&node, &format!("GET {path}"), &[("if-none-match", tag)], Body::empty()).await
        };
        for tags in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
            let reply = known("/v1/openapi.json", &tags).await;
            assert_eq!(
                (reply.status, reply.header("etag"), reply.body.len()),
                (304, tag.as_str(), 0),
                "{tags}"
            );
        }
        assert_eq!(known("/v1/openapi.json", "\"x\"").await.status, 200);
        let coded = async |accepted: &str| {
            send(&node, "GET /v1/openapi.json", &[("accept-encoding", accepted)], Body::empty()).await
        };
        let gzip = coded("gzip").await;
        assert_eq!((gzip.header("content-encoding"), gzip.header("vary")), ("gzip", "accept-encoding"));
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(gzip.body.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(plain == whole.body, "{} and {} bytes", plain.len(), whole.body.len());
        let br = coded("gzip, br").await;
        assert_eq!(br.header("content-encoding"), "br");
        let mut plain = Vec::new();
        brotli::Decompressor::new(br.body.as_slice(), 4096).read_to_end(&mut plain).unwrap();
        assert!(plain == whole.body && br.body.len() < whole.body.len() / 4);
        assert_eq!(coded("gzip;q=0, identity").await.header("content-encoding"), "");

        // A run that changes has another tag.
        let run = node.submit(GATE).await;
        node.question(&run).await;
        let path = format!("/v1/runs/{run}");
        let before = get(&node, &path).await.header("etag").to_owned();
        assert_eq!(known(&path, &before).await.status, 304);
        node.client.pause_run(&run).await.unwrap();
        let after = known(&path, &before).await;
        assert_eq!((after.status, after.json()["run"]["state"].clone()), (200, json!("paused")));
        node.stop().await;
    });
}

#[test]
fn logs_and_artifacts_are_read_in_ranges_and_artifacts_by_path_or_content() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let text = r#"
            version = 1
            [dag]
            id = "l"
            [[tasks]]
            id = "t"
            tty = false
            script = "seq 1 1000; mkdir -p out; printf 0123456789 > out/a.txt"
            artifacts = ["out/*.txt"]
        "#;
        let workdir = work.path().to_str().unwrap().to_owned();
        let run = node.submit_as(cis_core::api::CreateRun { workdir, ..request(text) }).await;
        node.reaches(&run, RunState::Succeeded).await;
        let part = async |path: &str, range: &str| {
            send(&node, &format!("GET {path}"), &[("range", range)], Body::empty()).await
        };
        let log = format!("/v1/runs/{run}/tasks/t/log?plain=true");
        let whole = get(&node, &log).await.body;
        assert!(whole.starts_with(b"1\n2\n") && whole.ends_with(b"\n1000\n"));
        for (range, wanted) in [
            ("bytes=2-5", &whole[2..6]),
            ("bytes=3000-", &whole[3000..]),
            ("bytes=-5", &whole[whole.len() - 5..]),
        ] {
            let reply = part(&log, range).await;
            assert_eq!((reply.status, reply.body.as_slice()), (206, wanted), "{range}");
            assert!(!reply.header("cis-session").is_empty(), "{reply:?}");
        }
        let beyond = part(&log, &format!("bytes={}-", whole.len())).await;
        assert_eq!(beyond.problem(), (416, "range-not-satisfiable".to_owned()));

        let artifacts = get_json(&node, &format!("/v1/runs/{run}/tasks/t/artifacts")).await;
        assert_eq!(artifacts["items"][0]["path"], "out/a.txt", "{artifacts}");
        let blob = artifacts["items"][0]["blob"].as_str().unwrap().to_owned();
        let by_path = format!("/v1/runs/{run}/tasks/t/artifacts/out%2Fa.txt");
        let file = get(&node, &by_path).await;
        assert_eq!(
            (file.body.as_slice(), file.header("etag")),
            (&b"0123456789"[..], &*format!("\"{blob}\""))
        );
        assert_eq!((file.header("content-length"), file.header("accept-ranges")), ("10", "bytes"));
        let middle = part(&by_path, "bytes=2-4").await;
        assert_eq!((middle.status, middle.header("content-range")), (206, "bytes 2-4/10"));
        assert_eq!(middle.body, b"234");
        let beyond = part(&by_path, "bytes=10-").await;
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10"));
        let by_content = get(&node, &format!("/v1/runs/{run}/tasks/t/artifacts/{blob}")).await;
        assert!(by_content.header("cache-control").contains("immutable"), "{by_content:?}");
        assert_eq!(by_content.body, file.body);
        let none = get(&node, &format!("/v1/runs/{run}/tasks/t/artifacts/b")).await;
        assert_eq!(none.problem(), (404, "not-found".to_owned()));
        node.stop().await;
    });
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, into: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().filter(|_| name == "$ref") {
                    Some(to) => drop(into.insert(to)),
                    None => references(field, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[test]
fn a_node_describes_every_operation_that_its_owner_may_use() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let openapi = get_json(&node, "/v1/openapi.json").await;
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"), "{}", openapi["openapi"]);
        let mut described = BTreeSet::new();
        for (path, item) in openapi["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let Some(id) = operation["operationId"].as_str() else { continue };
                assert!(described.insert(id.to_owned()), "{id} twice");
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{path} {id}");
                let good = operation["responses"].as_object().unwrap().keys();
                assert!(good.into_iter().any(|status| status < &"400".to_owned()), "{id}");
            }
        }
        let me = node.client.me().await.unwrap();
        let may: BTreeSet<_> = me.operations.iter().cloned().collect();
        // Only what belongs to a session is nobody else's, also not its owner's.
        let missing: BTreeSet<_> = described.difference(&may).cloned().collect();
        let of_sessions = ["ask", "get_ask", "withdraw_ask", "say", "hand_in"].map(str::to_owned);
        assert!(may.is_subset(&described), "{:?}", may.difference(&described));
        assert_eq!(missing, of_sessions.into(), "{may:?}");

        let asyncapi = get_json(&node, "/v1/asyncapi.json").await;
        assert!(asyncapi["asyncapi"].as_str().unwrap().starts_with("3."), "{}", asyncapi["asyncapi"]);
        assert!(asyncapi["channels"].as_object().unwrap().len() >= 2, "events and terminals");
        for document in [&openapi, &asyncapi] {
            let mut all = BTreeSet::new();
            references(document, &mut all);
            assert!(all.len() > 10);
            for to in all {
                let pointer = to.strip_prefix('#').unwrap_or_else(|| panic!("{to} is elsewhere"));
                assert!(document.pointer(pointer).is_some(), "{to} does not exist");
            }
        }

        let page = get(&node, "/v1/docs").await;
        assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{:?}", page.headers);
        let page = String::from_utf8(page.body).unwrap();
        for path in openapi["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path.as_str()), "{path} is not on the page");
        }
        node.stop().await;
    });
}

#[test]
fn outputs_that_are_too_large_for_a_list_are_in_the_answer_about_their_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        // Almost as much as a task may write.
        let script = r#"v=$(head -c 60000 /dev/zero | tr '\0' x); for i in $(seq 16); do echo "o$i=$v"; done > "$CIS_OUTPUT""#;
        let task = |n: u32| format!("[[tasks]]\nid = \"t{n}\"\ntty = false\nscript = '''{script}'''\n");
        let tasks: String = (1..=18).map(task).collect();
        let run = node.submit(&format!("version = 1\n[dag]\nid = \"large\"\n{tasks}")).await;
        // The listing is small.
        eventually("the run has succeeded", async || {
            let runs = node.client.runs(&ListRuns::default()).await.unwrap().items;
            (runs[0].state == RunState::Succeeded).then_some(())
        })
        .await;
        let all = node.client.run(&run).await.unwrap().tasks;
        let whole = |task: &TaskView| task.outputs.len() == 16 && !task.outputs_omitted;
        assert!(all[..17].iter().all(whole), "16 MiB of them");
        assert!(all[17].outputs.is_empty() && all[17].outputs_omitted);
        let last = ListTasks { state: None, limit: Some(1), after: Some("t17".to_owned()) };
        assert!(whole(&node.client.tasks(&run, &last).await.unwrap().items[0]));
        assert!(whole(&node.client.task(&run, "t18").await.unwrap()));
        node.stop().await;
    });
}
