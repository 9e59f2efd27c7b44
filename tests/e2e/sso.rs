//! Logins through a browser: Synapse offers them for real, and the test plays the browser with a login token that Synapse made.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Running, eventually, signal};
use crate::matrix::holds;

/// Logins by CAS are offered, though no CAS server is there; and whoever is logged in gets login tokens.
const OFFERED: &str = "public_baseurl: '{url}/'\n\
    cas_config: {enabled: true, server_url: 'http://cas.invalid'}\n\
    login_via_existing_session: {enabled: true, require_ui_auth: false, token_timeout: '5m'}\n";

/// What the CLI waits for.
struct Waiting {
    /// The address to open.
    address: String,
    /// Where the homeserver sends the browser then.
    redirect: String,
}

impl Waiting {
    #[track_caller]
    fn of(text: impl Fn() -> String) -> Self {
        let address = eventually("the address is shown", || {
            let text = text();
            let line = text.lines().find(|line| line.contains("/login/sso/redirect"))?;
            text.contains("Waiting for the browser").then_some(())?;
            Some(line.trim().to_owned())
        });
        let redirect = address.split_once("redirectUrl=").unwrap().1;
        let redirect = redirect.replace("%3A", ":").replace("%2F", "/");
        Self { address, redirect }
    }
}

/// A browser's request: status, headers and body.
fn get(address: &str, host: Option<&str>) -> (u16, String) {
    let rest = address.strip_prefix("http://").unwrap();
    let (place, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    let head =
        format!("GET /{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host.unwrap_or(place));
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// A login token as the homeserver gives it to a browser that has logged in.
fn login_token(synapse: &Synapse, user: &User) -> String {
    let path = "/_matrix/client/v1/login/get_token";
    let (status, said) = synapse.ask(user, "POST", path, json!({}));
    assert_eq!(status, 200, "{said}");
    said["login_token"].as_str().unwrap().to_owned()
}

/// Without a terminal.
fn alone(cis: &Cis, words: &[&str]) -> Running {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(cis.binary()).args(words).env_clear().envs(cis.environment());
    Running::start({
        command.current_dir(cis.work()).stdin(Stdio::null());
        command
    })
}

#[test]
fn a_browser_logs_the_node_in_once_and_only_at_the_right_address() {
    let synapse = Synapse::own_with(OFFERED);
    let user = synapse.register("cis");
    let cis = Cis::new();
    // A browser that keeps what it is to open.
    let opened = cis.work().join("opened");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" > '{}'\n", opened.display());
    let browser = cis.write_program("browser", script);
    let cis = cis.env("BROWSER", browser.to_str().unwrap());
    let mut terminal = cis.terminal(&["matrix", "login", "--sso", "--homeserver", synapse.url()]);
    terminal.resize(400, 24);
    let waiting = Waiting::of(|| terminal.screen());
    assert!(
        waiting.redirect.starts_with("http://127.0.0.1:") && waiting.redirect.len() > 80,
        "{}",
        waiting.redirect
    );
    // The homeserver really sends a browser on from there.
    let (status, answer) = get(&waiting.address, None);
    assert!(status == 302 && answer.contains("http://cas.invalid"), "{answer}");
    // The browser's own argument holds none of this, and leads there, once.
    let first = eventually("a browser is opened", || {
        std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n'))
    });
    let first = first.trim();
    assert!(!first.contains(waiting.redirect.rsplit('/').next().unwrap()), "{first}");
    let (status, answer) = get(first, None);
    assert!(status == 302 && answer.contains(&format!("Location: {}\r\n", waiting.address)), "{answer}");
    assert_eq!(get(first, None).0, 404);

    let token = login_token(&synapse, &user);
    let right = format!("{}?loginToken={token}", waiting.redirect);
    let port = waiting.redirect.strip_prefix("http://127.0.0.1:").unwrap().split('/').next().unwrap();
    assert_eq!(get(&format!("http://127.0.0.1:{port}/?loginToken={token}"), None).0, 404);
    assert_eq!(get(&right, Some("evil.example")).0, 400);
    assert_eq!(get(&waiting.redirect, None).0, 400);
    // Somebody who says nothing holds nobody up.
    let _silent = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let (status, page) = get(&right, None);
    assert!(status == 200 && page.contains("You can close this window"), "{page}");
    terminal.wait_for("Logged in as");
    assert_eq!(terminal.wait_exit(), 0);
    assert_eq!(terminal.settings(), terminal.settings_before());
    assert!(!terminal.screen().contains(&token));
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "it listens no more");
    assert_eq!(cis.json(&["matrix", "whoami"])["user_id"], user.id.as_str());
    assert!(!holds(&cis.home(), &token), "the login token stands in a file");
    let standing = cis.json(&["matrix", "verify"]);
    assert_eq!(standing["signed"], true, "{standing}");
}

#[test]
fn an_address_of_a_browser_elsewhere_is_pasted() {
    let synapse = Synapse::own_with(OFFERED);
    let (user, other) = (synapse.register("cis"), synapse.register("other"));
    let cis = Cis::new();
    let login = ["matrix", "login", "--sso", "--homeserver", synapse.url(), "--user", &user.name];
    let start = || {
        let mut terminal = cis.terminal(&login);
        terminal.resize(400, 24);
        let waiting = Waiting::of(|| terminal.screen());
        (terminal, waiting)
    };
    // Somebody else's token: that device is ended again.
    let (mut terminal, waiting) = start();
    terminal.type_keys("http://127.0.0.1/x?loginToken=1\r");
    terminal.wait_for("This is not the address of the browser's last page");
    terminal.type_keys(&format!("{}?loginToken={}\r", waiting.redirect, login_token(&synapse, &other)));
    terminal.wait_for("logged");
    assert_eq!(terminal.wait_exit(), 2, "{}", terminal.screen());
    assert!(!cis.home().join("matrix/session.json").exists());

    let (mut terminal, waiting) = start();
    let token = login_token(&synapse, &user);
    terminal.type_keys(&format!("{}?loginToken={token}\r", waiting.redirect));
    terminal.wait_for("Logged in as");
    assert!(!terminal.screen().contains(&token), "{}", terminal.screen());
    assert_eq!(terminal.wait_exit(), 0);
    assert_eq!(terminal.settings(), terminal.settings_before());
}

#[test]
fn a_login_that_does_not_come_is_left_without_a_trace() {
    let synapse = Synapse::own_with(OFFERED);
    let user = synapse.register("cis");
    let cis = Cis::new();
    let login = ["matrix", "login", "--sso", "--homeserver", synapse.url()];
    // Ctrl+C on the terminal, and a signal without one.
    let mut terminal = cis.terminal(&login);
    terminal.wait_for("Waiting for the browser");
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait_exit(), 130);
    assert_eq!(terminal.settings(), terminal.settings_before());
    let running = cis.terminal(&login);
    running.wait_for("Waiting for the browser");
    signal(running.pid(), Signal::TERM);
    let mut running = running;
    assert_eq!(running.wait_exit(), 143);
    assert_eq!(running.settings(), running.settings_before());
    let late = alone(&cis, &[&login[..], &["--timeout", "1s"]].concat()).wait().expect(1);
    assert!(late.stderr.contains("nobody logged in within 1s"), "{late:?}");
    // A token that is none.
    let mut terminal = cis.terminal(&login);
    terminal.resize(400, 24);
    let waiting = Waiting::of(|| terminal.screen());
    assert_eq!(get(&format!("{}?loginToken=made-up", waiting.redirect), None).0, 200);
    terminal.wait_for("does not take this login token");
    assert_eq!(terminal.wait_exit(), 2);
    // The node does not answer any more.
    let mut terminal = cis.terminal(&login);
    terminal.resize(400, 24);
    let waiting = Waiting::of(|| terminal.screen());
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    assert_eq!(get(&format!("{}?loginToken=made-up", waiting.redirect), None).0, 200);
    signal(terminal.pid(), Signal::TERM);
    assert_eq!(terminal.wait_exit(), 143);
    signal(node, Signal::CONT);
    drop(user);
}

#[test]
fn a_homeserver_without_such_logins_says_what_it_offers() {
    let synapse = Synapse::shared();
    let cis = Cis::new();
    let out = cis.run(["matrix", "login", "--sso", "--homeserver", synapse.url()]).expect(2);
    assert!(out.stderr.contains("it offers m.login.password"), "{out:?}");
    let out = cis.run(["matrix", "login", "--sso"]).expect(2);
    assert!(out.stderr.contains("--homeserver URL"), "{out:?}");
    let out = cis.run(["matrix", "login", "--sso", "--homeserver", "http://127.0.0.1:1"]).expect(3);
    assert!(out.stderr.contains("does not answer"), "{out:?}");
}
