//! What a node that listens over TCP refuses, and what it does not start with.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::harness::{Cis, Remote, SESSION_HTTP, eventually};

const SLEEP: &str = "version = 1\n[dag]\nid = \"s\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"600\"]\n";

#[test]
fn a_role_is_all_that_a_token_has() {
    let remote = Remote::start(&[]);
    let (viewer, _) = remote.token("viewer", "eve", &[]);
    let (admin, _) = remote.token("admin", "root", &[]);
    let run = remote.node.start(SLEEP);
    remote.node.session_of("a");
    remote.run(&viewer, &["dag", "show", &run]).expect(0);
    let refused = remote.run(&viewer, &["dag", "cancel", &run]).expect(3).stderr;
    assert!(refused.contains("token eve may not control runs"), "{refused}");
    let denied = eventually("the refusal is an event", || {
        remote.audit().into_iter().find(|event| event.0 == "cis.dag.node.denied")
    });
    assert_eq!(denied.1["name"], "token:eve");
    remote.run(&viewer, &["dag", "run", "--detach", "no-such.toml"]).expect(2);
    remote.run(&viewer, &["node", "stop"]).expect(3);
    // Not even an admin's token makes tokens.
    let refused = remote.run(&admin, &["api", "get", "/v1/tokens"]).expect(3).stderr;
    assert!(refused.contains("own machine"), "{refused}");
    remote.run(&admin, &["dag", "cancel", &run]).expect(0);
    remote.node.wait_run(&run, "cancelled");
    remote.run(&admin, &["node", "stop"]).expect(0);
    eventually("the node has ended", || {
        let status = remote.node.run(["node", "status", "--json"]);
        (status.code == Some(0) && status.json()["running"] == false).then_some(())
    });
}

#[test]
fn tokens_that_do_not_count_and_names_that_are_none() {
    let remote = Remote::start(&[]);
    let (short, _) = remote.token("viewer", "short", &["--expires", "3s"]);
    // A stream ends with its token.
    let ended = remote.spawn(&short, &["inbox", "--watch", "--json"]).wait().expect(3).stderr;
    assert!(ended.contains("unauthenticated"), "{ended}");
    remote.run(&short, &["status"]).expect(3);
    assert_eq!(remote.node.json(&["node", "token", "list"])["items"][0]["expired"], true);
    let wrong = remote.away.write("wrong", format!("cist_{}\n", "0".repeat(64)));
    let refused = remote.run(wrong.to_str().unwrap(), &["status", "--json"]).expect(3).stderr;
    let problem: serde_json::Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((&problem["status"], &problem["kind"]), (&401.into(), &"unauthenticated".into()));
    assert!(problem["hint"].as_str().unwrap().contains("cis node token create"), "{problem}");
    let no_token = remote.away.run(["--url", &remote.url, "status"]).expect(2).stderr;
    assert!(no_token.contains("--token-file"), "{no_token}");
    let create =
        |name: &str| remote.node.run(["node", "token", "create", "--role", "viewer", "--name", name]);
    assert!(create("short").expect(3).stderr.contains("already"));
    assert!(create("a b").expect(2).stderr.contains("no name"));
    assert!(remote.node.run(["node", "token", "revoke", "nobody"]).expect(2).stderr.contains("no token"));
}

#[test]
fn a_certificate_that_nobody_knows_is_not_trusted() {
    let remote = Remote::start(&[]);
    let (ann, token) = remote.token("viewer", "ann", &[]);
    let plain = remote.away.run(["--url", &remote.url, "--token-file", &ann, "status"]).expect(3).stderr;
    assert!(plain.contains(&remote.fingerprint) && plain.contains("--fingerprint"), "{plain}");
    let other = "ab".repeat(32);
    let words = ["--url", &remote.url, "--token-file", &ann, "--fingerprint", &other, "status"];
    let said = remote.away.run(words).expect(3).stderr;
    assert!(said.contains(&remote.fingerprint) && !said.contains(&token), "{said}");
    // Of one for its address that this machine trusts nothing need be said.
    let mut known = remote.away.command(["--url", &remote.url, "--token-file", &ann, "status"]);
    known.env("SSL_CERT_FILE", remote.node.home().join("api-cert.pem"));
    assert!(known.status().unwrap().success());
    let mut other = remote.away.command(["--url", &remote.url, "--token-file", &ann, "status"]);
    other.env("SSL_CERT_FILE", remote.node.home().join("api-key.pem"));
    assert_eq!(other.status().unwrap().code(), Some(2), "a key vouches for nobody");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{nobody}");
    let said = remote.away.run(["--url", &url, "--token-file", &ann, "status"]).expect(3).stderr;
    assert!(said.contains("no node can be reached"), "{said}");
}

#[test]
fn requests_that_name_another_host_or_come_from_a_page_are_refused() {
    let remote = Remote::start(&["-c", r#"api.hosts=["node.example.org"]"#]);
    let (_, token) = remote.token("viewer", "ann", &[]);
    let (_, port) = remote.address();
    let bearer = format!("authorization: Bearer {token}");
    let own = format!("host: 127.0.0.1:{port}");
    let status = |line: &str, headers: &[&str]| {
        let (head, _) = remote.exchange(line, headers);
        head.split(' ').nth(1).unwrap().to_owned()
    };
    let get = "GET /v1/node";
    for (wanted, headers) in [
        ("200", &[own.as_str(), &bearer][..]),
        ("200", &["host: node.example.org", &bearer]),
        ("200", &["host: localhost:1", &bearer]),
        ("421", &["host: evil.example", &bearer]),
        ("421", &["host: 127.0.0.1.evil.example", &bearer]),
        ("400", &[&bearer]),
        ("400", &["host: localhost", "host: evil.example", &bearer]),
        ("403", &[&own, &bearer, "origin: https://evil.example"]),
        ("403", &[&own, &bearer, "origin: null"]),
        ("401", &[&own]),
        ("401", &[&own, "authorization: Bearer cist_no"]),
        ("401", &[&own, &format!("x-cis-token: {token}")]),
    ] {
        assert_eq!(status(get, headers), wanted, "{headers:?}");
    }
    // Who is refused gets the answer, however much they have still to send.
    let length = format!("content-length: {}", 3 << 20);
    let upload = [own.as_str(), "content-type: application/json", &length];
    let body = vec![b'x'; 3 << 20];
    for (more, body) in [(&["expect: 100-continue"][..], &[][..]), (&[], &body)] {
        let (head, _) = remote.exchange_body("POST /v1/runs", &[&upload, more].concat(), body);
        assert!(head.starts_with("http/1.1 401 "), "{more:?}: {head}");
    }
    // Before any route is looked for.
    assert_eq!(status("GET /v1/nothing", &[&own]), "401");
    assert_eq!(status("POST /v1/runs", &[&own, "content-length: 0"]), "401");
    let (head, body) = remote.exchange(get, &[&own]);
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["kind"], "unauthenticated");
    let upgrade = [
        &own,
        &bearer,
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "origin: https://evil.example",
    ];
    assert_eq!(status("GET /v1/events", &upgrade), "403");
}

/// Whoever makes a client out of the document meets no status over TCP that it does not name.
#[test]
fn what_is_refused_before_any_route_is_described() {
    let remote = Remote::start(&[]);
    let (viewer, token) = remote.token("viewer", "ann", &[]);
    let openapi = remote.run(&viewer, &["api", "get", "/v1/openapi.json"]).expect(0).json();
    let printed: serde_json::Value = serde_json::from_str(&remote.node.ok(["node", "schema"])).unwrap();
    assert_eq!(openapi, printed, "from afar it is the same");
    let bearer = format!("authorization: Bearer {token}");
    let own = "host: localhost";
    let mut given = Vec::new();
    for headers in [
        &[bearer.as_str()][..],
        &[own],
        &[own, &bearer, "origin: https://evil.example"],
        &["host: evil.example", &bearer],
    ] {
        let (head, _) = remote.exchange("GET /v1/node", headers);
        given.push(head.split(' ').nth(1).unwrap().to_owned());
    }
    assert_eq!(given, ["400", "401", "403", "421"]);
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for status in &given {
                assert!(operation["responses"][status].is_object(), "{status} of {method} {path}");
            }
        }
    }
}

#[test]
fn without_tls_nothing_is_served_and_the_socket_asks_for_no_token() {
    let remote = Remote::start(&[]);
    let (host, port) = remote.address();
    let mut plain = TcpStream::connect((host, port.parse::<u16>().unwrap())).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"GET /v1/node HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("use an https URL.\n"), "{answer}");
    assert!(!answer.contains("pid"), "{answer}");
    // Over the Unix socket a token is nothing, right or wrong.
    let socket = remote.node.status()["socket"].as_str().unwrap().to_owned();
    let mut own = std::os::unix::net::UnixStream::connect(socket).unwrap();
    own.write_all(
        b"GET /v1/node HTTP/1.1\r\nhost: evil.example\r\nauthorization: Bearer x\r\nconnection: close\r\n\r\n",
    )
    .unwrap();
    answer.clear();
    own.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_session_with_a_token_has_no_more_rights_at_the_socket() {
    let remote = Remote::start(&[]);
    let (_, token) = remote.token("admin", "root", &[]);
    remote.node.write("client.py", SESSION_HTTP);
    let script = format!(
        "for h in 'X-Cis-Token: {token}' 'Authorization: Bearer {token}'; do echo GET /v1/runs | python3 client.py \"$h\"; done"
    );
    let text =
        format!("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\nscript = \'\'\'{script}\'\'\'\n");
    let done = remote.node.dag(&text, &[]);
    let log = remote.node.ok(["dag", "logs", "a", "--plain"]);
    assert_eq!(log.matches("GET /v1/runs 403").count(), 2, "{log} {done:?}");
}

#[test]
#[ignore = "it waits for 10 s"]
fn who_does_not_shake_hands_is_cut() {
    let remote = Remote::start(&[]);
    let (host, port) = remote.address();
    let mut silent = TcpStream::connect((host, port.parse::<u16>().unwrap())).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let since = std::time::Instant::now();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert!((9..15).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

#[test]
fn a_node_that_cannot_listen_as_it_was_told_does_not_start() {
    let cis = Cis::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("api.listen={}", taken.local_addr().unwrap());
    let said = cis.run(["-c", &at, "node", "start", "--detach"]).expect(3).stderr;
    assert!(said.contains("cannot listen at 127.0.0.1:"), "{said}");
    let bad = cis.write("bad.pem", "words").display().to_string();
    let start = |more: &[&str]| {
        let words = ["-c", "api.listen=127.0.0.1:0"];
        cis.run(words.iter().chain(more).chain(&["node", "start", "--detach"])).expect(3).stderr
    };
    let (cert, key) = (format!("api.tls_cert={bad}"), format!("api.tls_key={bad}"));
    assert!(start(&["-c", &cert]).contains("belong together"));
    let said = start(&["-c", &cert, "-c", &key]);
    assert!(said.contains("bad.pem") && said.contains("no certificate"), "{said}");
    assert_eq!(cis.run(["-c", "api.listen=7443", "node", "start"]).expect(2).code, Some(2));
    // One whose key is another's.
    cis.ok(["-c", "api.listen=127.0.0.1:0", "node", "start", "--detach"]);
    cis.ok(["node", "stop"]);
    let other = Cis::new();
    other.ok(["-c", "api.listen=127.0.0.1:0", "node", "start", "--detach"]);
    let of = |cis: &Cis, name: &str| cis.home().join(name).display().to_string();
    let cert = format!("api.tls_cert={}", of(&cis, "api-cert.pem"));
    let key = format!("api.tls_key={}", of(&other, "api-key.pem"));
    let said = start(&["-c", &cert, "-c", &key]);
    assert!(said.contains("cannot be used with its key"), "{said}");
    // With the right one it is known by that certificate.
    let key = format!("api.tls_key={}", of(&cis, "api-key.pem"));
    let fingerprint = |cis: &Cis| cis.status()["remote"]["fingerprint"].as_str().unwrap().to_owned();
    let others = fingerprint(&other);
    other.ok(["node", "stop"]);
    other.ok(["-c", "api.listen=[::1]:0", "-c", &cert, "-c", &key, "node", "start", "--detach"]);
    assert_ne!(fingerprint(&other), others);
    assert!(other.status()["remote"]["url"].as_str().unwrap().starts_with("https://[::1]:"));
    assert!(cis.processes().is_empty());
}

#[test]
fn an_operator_does_not_move_a_run_whose_approval_depends_on_its_room() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let (root, _) = remote.token("admin", "root", &[]);
    let text = |allowed: &str| {
        format!(
            "version = 1\n[dag]\nid = \"gate\"\n[[tasks]]\nid = \"slow\"\nscript = 'while [ ! -e go ]; do sleep 0.05; done'\n\
             [[tasks]]\nid = \"deploy\"\nneeds = [\"slow\"]\ncommand = [\"true\"]\n\
             approval = {{ prompt = \"Deploy?\", allowed = [{allowed}] }}\n"
        )
    };
    let moved = |token: &str, run: &str| {
        remote.run(token, &["dag", "mode", run, "hybrid", "--room", "!mine:example.org"]).stderr
    };
    // Its approval is not even open yet.
    let run = remote.node.start(&text("\"pl>=50\""));
    let said = moved(&ann, &run);
    assert!(said.contains("may not move") && said.contains("deploy"), "{said}");
    // An allowed request fails only at the missing Matrix account.
    let said = moved(&root, &run);
    assert!(said.contains("Matrix account"), "{said}");
    let named = remote.node.start(&text("\"@boss:example.org\""));
    let said = moved(&ann, &named);
    assert!(said.contains("Matrix account"), "people keep their names: {said}");
    for run in [run, named] {
        remote.node.ok(["dag", "cancel", &run]);
        remote.node.wait_run(&run, "cancelled");
    }
}

#[test]
fn a_refusal_comes_before_the_body() {
    let remote = Remote::start(&[]);
    let (_, viewer) = remote.token("viewer", "ann", &[]);
    let bearer = format!("authorization: Bearer {viewer}");
    let host = format!("host: {}:{}", remote.address().0, remote.address().1);
    let length = format!("content-length: {}", 200 << 20);
    let head = [host.as_str(), "content-type: application/toml", length.as_str()];
    for (more, status) in [(&[bearer.as_str()][..], "403"), (&[], "401")] {
        // The client sends the beginning of the body, and nothing more before it has the answer.
        for body in [&b""[..], &[b'x'; 300_000]] {
            let (answer, _) = remote.exchange_body("POST /v1/runs", &[&head, more].concat(), body);
            assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
}
