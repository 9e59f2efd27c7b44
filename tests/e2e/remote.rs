//! A node that is used from afar, over TCP with TLS and a token.

use std::os::unix::fs::PermissionsExt as _;

use super::harness::{Cis, Remote, Running, eventually, ulid_in};

const TWO: &str = "version = 1\n[dag]\nid = \"two\"\n[[tasks]]\nid = \"a\"\nscript = \"echo from-$(pwd)\"\n\
[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"env | sort\"\n";

const LONG: &str = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\n\
script = '''echo begun; while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done; echo done'''\n";

/// A run of [`LONG`] that is started and followed from afar, and works.
fn follows(remote: &Remote, token: &str) -> Running {
    let file = remote.away.write("long.toml", LONG);
    let follow = remote.spawn(token, &["dag", "run", "--json", file.to_str().unwrap()]);
    follow.wait_for("task.assigned");
    follow
}

#[test]
fn everything_works_from_afar_and_no_node_starts_there() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let status = remote.run(&ann, &["status", "--json"]).expect(0).json();
    assert_eq!(status["node"]["pid"], remote.node.status()["pid"]);
    let file = remote.away.write("two.toml", TWO);
    // It follows the run over a WebSocket.
    let said = remote.run(&ann, &["dag", "run", file.to_str().unwrap()]).expect(0);
    assert!(said.stderr.contains("succeeded") || said.stdout.contains("succeeded"), "{said:?}");
    let listed = remote.run(&ann, &["dag", "list", "--json"]).expect(0).json();
    let run = listed["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(remote.node.show(&run)["run"]["state"], "succeeded");
    let log = remote.run(&ann, &["dag", "logs", "a", "--run", &run]).expect(0).stdout;
    assert!(log.contains(&format!("from-{}", remote.away.work().display())), "{log}");
    let node = remote.run(&ann, &["api", "get", "/v1/node"]).expect(0).json();
    assert_eq!(node["remote"]["fingerprint"], remote.fingerprint.as_str());
    assert!(remote.away.processes().is_empty(), "no node has started there");
}

#[test]
fn the_environment_says_where_as_well_and_no_session_hears_of_it() {
    let remote = Remote::start(&[]);
    let (_, token) = remote.token("operator", "ann", &[]);
    let away = Cis::new()
        .env("CIS_URL", &remote.url)
        .env("CIS_API_TOKEN", &token)
        .env("CIS_FINGERPRINT", &remote.fingerprint);
    let file = away.write("two.toml", TWO);
    away.ok(["dag", "run", file.to_str().unwrap()]);
    let env = away.ok(["dag", "logs", "b", "--plain"]);
    assert!(env.contains("CIS_ATTEMPT="), "{env}");
    for name in ["CIS_URL", "CIS_API_TOKEN", "CIS_FINGERPRINT", "cist_"] {
        assert!(!env.contains(name), "{name}: {env}");
    }
    // What is this machine's alone is refused there.
    for words in [&["node", "start"][..], &["node", "token", "list"], &["store", "check"], &["doctor"]] {
        let said = away.run(words).expect(2).stderr;
        assert!(said.contains(&remote.url) && said.contains("CIS_URL"), "{said}");
    }
    assert!(away.run(["config", "show"]).expect(0).stdout.contains("api.listen"));
}

#[test]
fn logs_and_terminals_are_carried() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let created = remote.run(&ann, &["session", "create", "--name", "s", "--", "cat"]).expect(0);
    let session = ulid_in(&created.stdout);
    let mut terminal = remote.away.terminal(&remote.words(&ann, &["dag", "attach", &session]));
    terminal.type_keys("over the wire\r");
    // As it was typed, and as cat says it.
    eventually("cat says it", || (terminal.screen().matches("over the wire").count() == 2).then_some(()));
    let follow = remote.spawn(&ann, &["dag", "logs", "-f", &session]);
    follow.wait_for("over the wire");
    remote.run(&ann, &["session", "terminate", &session]).expect(0);
    follow.wait().expect(0);
}

#[test]
fn a_revoked_token_ends_at_once_what_is_open_by_it() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let (bob, _) = remote.token("operator", "bob", &[]);
    let (anns, bobs) = (follows(&remote, &ann), follows(&remote, &bob));
    let log = remote.spawn(&ann, &["dag", "logs", "-f", "a"]);
    log.wait_for("begun");
    remote.node.ok(["node", "token", "revoke", "ann"]);
    for ended in [anns.wait().expect(3), log.wait().expect(3)] {
        assert!(ended.stderr.contains("cis node token create"), "{}", ended.stderr);
    }
    assert!(remote.run(&ann, &["status"]).expect(3).stderr.contains("the token is missing or invalid"));
    // Others are not cut.
    remote.away.write("go", "");
    bobs.wait().expect(0);
}

#[test]
fn what_a_token_does_is_told_by_its_name_and_nothing_has_the_token() {
    let remote = Remote::start(&[]);
    let (ann, token) = remote.token("operator", "ann", &[]);
    let follow = follows(&remote, &ann);
    let run = remote.node.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    for process in remote.node.processes().into_iter().chain(remote.away.processes()) {
        assert!(!process.command.contains(&token), "{process:?}");
    }
    let listed = remote.node.json(&["node", "token", "list"]);
    assert_eq!(listed["items"][0]["name"], "ann");
    assert!(!listed.to_string().contains(&token));
    remote.run(&ann, &["dag", "cancel", &run]).expect(0);
    follow.wait().expect(4);
    remote.node.ok(["node", "token", "revoke", "ann"]);
    let audit = remote.audit();
    let of = |kind: &'static str| audit.iter().filter(move |event| event.0 == kind);
    let created = &of("cis.dag.run.created").next().unwrap().1;
    assert_eq!((&created["name"], &created["via"]), (&"token:ann".into(), &"http".into()));
    let roles: Vec<_> = of("cis.dag.node.token").map(|event| event.2["role"].clone()).collect();
    assert_eq!(roles, [serde_json::json!("operator"), serde_json::Value::Null]);
    remote.node.ok(["node", "stop"]);
    // Neither the token nor its random part stands in any file of the home.
    let secret = token.strip_prefix("cist_").unwrap();
    let found = std::process::Command::new("grep")
        .args(["-rlaF", secret])
        .args([remote.node.home(), remote.node.runtime(), remote.away.home(), remote.away.runtime()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    for name in ["api-tokens.json", "api-cert.pem", "api-key.pem"] {
        let mode = std::fs::metadata(remote.node.home().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_stream_comes_back_when_the_node_does() {
    let remote = Remote::start(&[]);
    let port = remote.address().1.to_owned();
    let (ann, _) = remote.token("operator", "ann", &[]);
    let follow = follows(&remote, &ann);
    let run = remote.node.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    remote.node.ok(["node", "stop"]);
    let listen = format!("api.listen=127.0.0.1:{port}");
    remote.node.ok(["-c", &listen, "node", "start", "--detach"]);
    remote.away.write("go", "");
    follow.wait().expect(0);
    assert_eq!(remote.node.status()["remote"]["fingerprint"], remote.fingerprint.as_str());
    let view = eventually("the run is over", || {
        Some(remote.node.show(&run)).filter(|view| view["run"]["state"] == "succeeded")
    });
    assert_eq!(view["tasks"][0]["attempts"], 1);
}
