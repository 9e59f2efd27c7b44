//! The example page of the guide in a browser: what a page outside of CIS can do with the published API alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::harness::{Installed, Remote, Running, installed};

const PAGE: &str = include_str!("../../docs/guide/example-page.html");
const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";

const DAG: &str = r#"version = 1
[dag]
id = "from-a-page"
[[tasks]]
id = "greet"
approval = { prompt = "Shall it greet?" }
script = 'printf "Your name? "; read -r name; echo "hello $name"'
"#;

/// Serves the page as any web server does, as long as the test's process lives; gives its origin.
fn serve(page: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{page}",
                page.len()
            );
            // A browser opens connections that it does not use.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    origin
}

/// What a person sees who uses the page.
fn visit(remote: &Remote, origin: &str, token: &str) -> Value {
    let node: PathBuf = installed(Installed::Browser);
    let modules = node.ancestors().nth(3).unwrap().join("node_modules");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/witness/page.mjs");
    let mut command = Command::new(node);
    command.arg(script).arg(modules).args([CHROMIUM, origin, &remote.url, token, DAG]);
    command.stdin(Stdio::null()).env_clear().env("HOME", remote.away.work());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let out = Running::start(command).wait_within(Duration::from_secs(240)).expect(0);
    serde_json::from_str(out.stdout.trim()).unwrap_or_else(|_| panic!("{out:?}"))
}

#[test]
fn the_page_of_the_guide_lists_starts_follows_and_answers() {
    let lines = PAGE.lines().count();
    assert!(lines <= 500, "{lines}");
    let origin = serve(PAGE);
    let remote = Remote::start(&["-c", &format!("api.origins=[{origin:?}]")]);
    let (_, token) = remote.token("operator", "page", &[]);
    remote
        .node
        .dag("version = 1\n[dag]\nid = \"old\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[])
        .expect(0);
    let seen = visit(&remote, &origin, &token);
    assert_eq!(seen["me"], "Connected as token:page (operator).", "{seen}");
    assert_eq!((seen["before"].as_u64(), seen["after"].as_u64()), (Some(1), Some(2)), "{seen}");
    assert!(seen["mistake"].as_str().unwrap().contains("page.toml"), "{seen}");
    assert!(seen["log"].as_str().unwrap().contains("hello Ada"), "{seen}");
    let events = seen["events"].as_str().unwrap();
    for name in [
        "cis.dag.run.created",
        "cis.dag.session.blocked",
        "cis.dag.session.answered",
        "cis.dag.run.completed",
    ] {
        assert_eq!(events.matches(&format!(" {name} ")).count(), 1, "{name}: {seen}");
    }
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    let run = remote.node.show(seen["run"].as_str().unwrap());
    assert_eq!((&run["run"]["dag"], &run["run"]["state"]), (&"from-a-page".into(), &"succeeded".into()));
}

#[test]
fn a_page_of_an_origin_that_is_not_allowed_reads_nothing() {
    let origin = serve(PAGE);
    let remote = Remote::start(&["-c", r#"api.origins=["https://board.example.org"]"#]);
    let (_, token) = remote.token("admin", "page", &[]);
    let seen = visit(&remote, &origin, &token);
    assert_eq!(seen["me"], "", "{seen}");
    assert_eq!(seen["refused"], "Failed to fetch", "{seen}");
}
