//! The API against its own description, by a program that knows nothing else of it (schemathesis): whatever the
//! description allows is asked, and much that it does not. No answer is an error of the node, of another status, or of
//! another shape than described.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::harness::relay::relay;
use super::harness::{Cis, Installed, Running, installed};

/// Requests that the description allows may still be refused with these statuses: a DAG file or a cursor can be wrong beyond its
/// schema, and paths of streams take WebSockets only.
const CONFIG: &str = r#"[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "426", "503"]
"#;

/// These would end the node under test, or talk to a homeserver that there is not.
const LEFT_OUT: [&str; 3] = ["stop_node", "login_matrix", "begin_matrix_sso"];

/// A node with something in it: an ended run with a log and an output, an open one, a session that waits.
fn node_with_work() -> (Cis, String) {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    cis.dag(
        "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = 'echo a line; echo n=1 >> $CIS_OUTPUT'\noutputs = { n = { type = \"integer\" } }\n",
        &[],
    )
    .expect(0);
    let open = cis.start("version = 1\n[dag]\nid = \"o\"\n[[tasks]]\nid = \"t\"\napproval = { prompt = \"Go on?\" }\nscript = \"true\"\n");
    cis.ok(["session", "create", "--", "cat"]);
    (cis, open)
}

fn check(seed: &str, examples: &str, named: bool) {
    let (cis, open) = node_with_work();
    let socket = PathBuf::from(cis.status()["socket"].as_str().unwrap());
    let address = relay(socket);
    let mut config = CONFIG.to_owned();
    if named {
        // Names of what there is: behind them lie other answers than behind names of nothing.
        let sessions = cis.json(&["session", "list"]);
        let session = sessions["items"][0]["id"].as_str().unwrap();
        config.push_str(&format!(
            "[parameters]\n\"path.run\" = {open:?}\n\"path.task\" = \"t\"\n\"path.session\" = {session:?}\n"
        ));
    }
    let file = cis.write("schemathesis.toml", config);
    let mut arguments = vec!["--config-file".to_owned(), file.display().to_string()];
    arguments.extend(["run".to_owned(), format!("{address}/v1/openapi.json"), "--url".to_owned(), address]);
    for operation in LEFT_OUT {
        arguments.extend(["--exclude-operation-id".to_owned(), operation.to_owned()]);
    }
    // Its phase of examples needs more of Python's stack than there is, and the other ones ask the same.
    let rest = format!(
        "--seed {seed} --max-examples {examples} --workers 1 --request-timeout 30 --no-color --warnings off \
         --continue-on-failure --phases coverage,fuzzing,stateful --checks all"
    );
    arguments.extend(rest.split_whitespace().map(str::to_owned));
    let mut command = std::process::Command::new(installed(Installed::Schemathesis));
    command.args(&arguments).current_dir(cis.work()).stdin(Stdio::null());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", cis.work());
    command.env("LANG", "C.UTF-8");
    let out = Running::start(command).wait_within(Duration::from_secs(1_500));
    assert_eq!(out.code, Some(0), "{}\n{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("generated"), "{}", out.stdout);
    let log = fs::read_to_string(cis.home().join("node.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn whatever_is_asked_the_answers_are_as_described() {
    check("7", "6", false);
}

#[test]
fn whatever_is_asked_of_a_run_and_a_session_the_answers_are_as_described() {
    check("7", "6", true);
}

#[test]
#[ignore = "it asks for several minutes: cargo xtask test-all"]
fn long_whatever_is_asked_the_answers_are_as_described() {
    check("11", "400", false);
    check("12", "400", true);
}
