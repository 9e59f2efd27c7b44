//! The API over TCP: TLS, tokens and their rights, hosts, and pages of other origins.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cis_client::{Client, ClientError, Followed, ServerTrust};
use cis_core::api::{
    Answer, AnswerWith, CallerRole, CancelRun, CreateToken, KillSession, ListRuns, ProblemKind, ReadLog,
    StopNode,
};
use cis_core::event::{RunState, Via};
use cis_core::people::Role;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{Node, eventually, on_a_runtime, request};
use crate::wire::{Reply, kind, send_on};

const LISTENS: &str = "api.listen=127.0.0.1:0";

/// A task that waits for approval, and then leaves a file.
const GATE: &str = r#"
version = 1
[dag]
id = "gate"
[[tasks]]
id = "deploy"
tty = false
approval = { prompt = "Go on?" }
script = "echo deployed; echo x > x"
artifacts = ["x"]
"#;

/// Makes a token.
async fn token(node: &Node, role: Role, name: &str) -> String {
    let request = CreateToken { role, name: Some(name.to_owned()), lifetime_ms: None };
    node.client.create_token(&request).await.unwrap().token
}

/// A client of the node over TCP.
async fn remote(node: &Node, token: &str) -> Client {
    let place = node.client.node().await.unwrap().remote.unwrap();
    Client::remote(&place.url, token, ServerTrust::Pinned(place.fingerprint.parse().unwrap())).unwrap()
}

/// The node's address over TCP, without the scheme.
async fn address(node: &Node) -> String {
    let url = node.client.node().await.unwrap().remote.unwrap().url;
    url.strip_prefix("https://").unwrap().to_owned()
}

/// A connection with TLS that trusts what is in the node's certificate file.
async fn tls(node: &Node, address: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(node.home.dir.join("api-cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[test]
fn a_token_may_do_what_its_role_may_and_no_more() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[LISTENS]).await;
        let viewer = remote(&node, &token(&node, Role::Viewer, "vera").await).await;
        let operator = remote(&node, &token(&node, Role::Operator, "olga").await).await;
        let admin = remote(&node, &token(&node, Role::Admin, "root").await).await;

        let me = viewer.me().await.unwrap();
        assert_eq!((me.name.as_str(), me.role, me.via), ("token:vera", CallerRole::Viewer, Via::Http));
        assert!(me.may("list_artifacts") && !me.may("get_artifact"), "secrets in them are not replaced");
        assert!(!me.may("create_run") && !me.may("answer"));
        let me = operator.me().await.unwrap();
        assert!(me.may("create_run") && !me.may("stop_node") && !me.may("create_token"), "{me:?}");
        assert_eq!(admin.me().await.unwrap().role, CallerRole::Admin);

        // The operator submits and answers; the viewer looks at all of it.
        let workdir = work.path().to_str().unwrap().to_owned();
        let run = operator.create_run(&cis_core::api::CreateRun { workdir, ..request(GATE) }).await.unwrap();
        let run = run.id.to_string();
        let item = node.question(&run).await.id.to_string();
        let with = AnswerWith::Option { option: "approve".to_owned() };
        let approve =
            Answer { with, reason: None, hash: None, again: None, input: cis_client::input_id().unwrap() };
        assert_eq!(viewer.inbox_item(&item).await.unwrap().question, "Go on?");
        assert_eq!(kind(viewer.answer(&item, &approve).await), ProblemKind::Denied);
        assert_eq!(kind(viewer.create_run(&request(GATE)).await), ProblemKind::Denied);
        assert_eq!(kind(viewer.cancel_run(&run, CancelRun::default()).await), ProblemKind::Denied);
        assert_eq!(kind(viewer.pause_node(true).await), ProblemKind::Denied);
        assert_eq!(kind(operator.pause_node(true).await), ProblemKind::Denied);
        assert_eq!(kind(operator.stop_node(&StopNode::default()).await), ProblemKind::Denied);
        let more = CreateToken { role: Role::Viewer, name: None, lifetime_ms: None };
        for client in [&viewer, &operator, &admin] {
            assert_eq!(
                kind(client.create_token(&more).await),
                ProblemKind::Denied,
                "made on its machine alone"
            );
        }
        assert_eq!(viewer.run(&run).await.unwrap().run.state, RunState::Running, "nothing of it counted");
        assert_eq!(operator.answer(&item, &approve).await.unwrap().by, "token:olga");
        node.reaches(&run, RunState::Succeeded).await;

        let log = viewer.task_log(&run, "deploy", &ReadLog::default()).await.unwrap();
        let log = { log }.read_to_end(1 << 20).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&log).trim(), "deployed");
        assert_eq!(kind(viewer.artifact(&run, "deploy", "x").await), ProblemKind::Denied);
        let file = operator.artifact(&run, "deploy", "x").await.unwrap();
        assert_eq!({ file }.read_to_end(100).await.unwrap(), b"x\n");
        // Who did it is in the history, and the refusals are no part of it.
        let history = viewer.run_history(&run, None).await.unwrap();
        let by = |action: &str| {
            let of = history.iter().find(|entry| entry.action.as_str() == action).unwrap();
            of.actor.as_ref().unwrap().name.clone()
        };
        assert_eq!((by("created"), by("approved")), ("token:olga".to_owned(), "token:olga".to_owned()));
        assert!(admin.pause_node(true).await.unwrap().paused);
        assert!(!admin.pause_node(false).await.unwrap().paused);
        node.stop().await;
    });
}

#[test]
fn tokens_have_names_and_ends_and_are_shown_once() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[LISTENS]).await;
        let make = async |node: &Node, name: Option<&str>, lifetime_ms| {
            let request = CreateToken { role: Role::Viewer, name: name.map(str::to_owned), lifetime_ms };
            node.client.create_token(&request).await
        };
        let lasting = make(&node, Some("ci"), None).await.unwrap();
        assert_eq!(kind(make(&node, Some("ci"), None).await), ProblemKind::Conflict);
        assert_eq!(kind(make(&node, Some("a b"), None).await), ProblemKind::BadInput);
        let unnamed = make(&node, None, Some(3_600_000)).await.unwrap();
        assert!(unnamed.about.name.starts_with("viewer-"), "{unnamed:?}");
        assert_eq!(unnamed.about.expires_ms, Some(unnamed.about.created_ms + 3_600_000));
        let over = make(&node, Some("over"), Some(0)).await.unwrap();
        assert_eq!(kind(remote(&node, &over.token).await.me().await), ProblemKind::Unauthenticated);
        for name in ["api-tokens.json", "api-cert.pem", "api-key.pem"] {
            use std::os::unix::fs::PermissionsExt as _;
            let file = node.home.dir.join(name);
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            let text = std::fs::read_to_string(file).unwrap();
            assert!(!text.contains(lasting.token.trim_start_matches("cist_")), "{name} has the token itself");
        }
        // They and the certificate outlive the node.
        let fingerprint = node.client.node().await.unwrap().remote.unwrap().fingerprint;
        node.leave().await;
        node = Node::local(scratch.path(), &[LISTENS]).await;
        let client = remote(&node, &lasting.token).await;
        assert_eq!(client.node().await.unwrap().remote.unwrap().fingerprint, fingerprint);
        let all = node.client.tokens().await.unwrap().items;
        let expired: Vec<_> = all.iter().filter(|token| token.expired).map(|token| &*token.name).collect();
        assert_eq!((all.len(), expired), (3, vec!["over"]));
        let gone = node.client.revoke_token("ci").await.unwrap();
        assert_eq!(gone.id, lasting.about.id);
        node.client.revoke_token(&unnamed.about.id.to_string()).await.unwrap();
        assert_eq!(kind(node.client.revoke_token("ci").await), ProblemKind::NotFound);
        assert_eq!(kind(client.me().await), ProblemKind::Unauthenticated);
        assert_eq!(node.client.tokens().await.unwrap().items.len(), 1);
        node.stop().await;
    });
}

#[test]
fn a_revoked_token_ends_at_once_what_is_open_by_it_and_nothing_of_others() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[LISTENS]).await;
        let ann = remote(&node, &token(&node, Role::Operator, "ann").await).await;
        let bob = remote(&node, &token(&node, Role::Operator, "bob").await).await;
        let session = crate::sessions::shell("echo begun; read -r line; echo \"got $line\"");
        let session = ann.create_session(&session).await.unwrap().id.to_string();
        let follow = ReadLog { follow: true, ..ReadLog::default() };
        let mut anns = ann.session_log(&session, &follow).await.unwrap();
        let mut bobs = bob.session_log(&session, &follow).await.unwrap();
        for log in [&mut anns, &mut bobs] {
            assert!(log.next().await.unwrap().unwrap().starts_with(b"begun"));
        }
        let mut events = ann.events(None, None).await.unwrap();
        node.client.revoke_token("ann").await.unwrap();
        assert_eq!(kind(anns.next().await), ProblemKind::Unauthenticated);
        assert!(matches!(events.next().await.unwrap(), Followed::Lost { .. }));
        assert_eq!(kind(events.next().await), ProblemKind::Unauthenticated);
        assert_eq!(kind(ann.runs(&ListRuns::default()).await), ProblemKind::Unauthenticated);
        let typed = crate::sessions::input("on\r");
        bob.send_input(&session, &typed).await.unwrap();
        let rest = bobs.read_to_end(1 << 20).await.unwrap();
        assert!(String::from_utf8_lossy(&rest).contains("got on"), "{rest:?}");
        let ended = bob.kill_session(&session, &KillSession::default()).await;
        assert_eq!(kind(ended), ProblemKind::Conflict, "it has ended by itself");
        node.stop().await;
    });
}

#[test]
fn a_token_is_revoked_to_the_end_although_the_client_went_away() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[LISTENS]).await;
        let ann = remote(&node, &token(&node, Role::Operator, "ann").await).await;
        let session = ann.create_session(&crate::sessions::shell("echo begun; read -r line")).await.unwrap();
        let follow = ReadLog { follow: true, ..ReadLog::default() };
        let mut log = ann.session_log(&session.id.to_string(), &follow).await.unwrap();
        assert!(log.next().await.unwrap().unwrap().starts_with(b"begun"));
        let mut events = node.client.events(None, None).await.unwrap();
        eventually("the token is not listed any more", async || {
            let mut stream = UnixStream::connect(node.home.node_place().socket()).await.unwrap();
            stream.write_all(b"DELETE /v1/tokens/ann HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            drop(stream);
            node.client.tokens().await.unwrap().items.is_empty().then_some(())
        })
        .await;
        assert_eq!(kind(log.next().await), ProblemKind::Unauthenticated);
        loop {
            match events.next().await.unwrap() {
                Followed::Frame(frame) => {
                    if frame.views().unwrap().iter().any(|event| event.type_name == "cis.dag.node.token") {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        node.stop().await;
    });
}

#[test]
fn a_node_is_known_by_its_certificate_and_speaks_nothing_but_tls() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[LISTENS]).await;
        let token = token(&node, Role::Viewer, "ann").await;
        let place = node.client.node().await.unwrap().remote.unwrap();
        let other = ServerTrust::Pinned("00".repeat(32).parse().unwrap());
        match Client::remote(&place.url, &token, other).unwrap().me().await {
            Err(ClientError::Certificate { fingerprint, .. }) => assert_eq!(fingerprint, place.fingerprint),
            wrong => panic!("{wrong:?}"),
        }
        let by_file = ServerTrust::CaFile(node.home.dir.join("api-cert.pem"));
        let me = Client::remote(&place.url, &token, by_file).unwrap().me().await.unwrap();
        assert_eq!(me.name, "token:ann");
        for wrong in ["", "cist_00", &token[..token.len() - 1], &token.to_uppercase()] {
            assert_eq!(kind(remote(&node, wrong).await.me().await), ProblemKind::Unauthenticated, "{wrong}");
        }
        let mut plain = TcpStream::connect(address(&node).await).await.unwrap();
        plain.write_all(b"GET /v1/node HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut said = String::new();
        plain.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("use an https URL"), "{said}");
        // A handshake that comes to nothing hinders nobody.
        let mut broken = TcpStream::connect(address(&node).await).await.unwrap();
        broken.write_all(&[22, 3, 1, 0, 2, 9, 9]).await.unwrap();
        let mut rest = Vec::new();
        let _ = broken.read_to_end(&mut rest).await;
        assert_eq!(remote(&node, &token).await.me().await.unwrap().role, CallerRole::Viewer);
        node.stop().await;
    });
}

#[test]
fn requests_for_other_hosts_and_pages_of_other_origins_are_refused() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let page = "https://board.example.org";
        let flags = [LISTENS, "api.hosts=[\"node.example.org\"]", &format!("api.origins=[\"{page}\"]")];
        let node = Node::local(scratch.path(), &flags).await;
        let bearer = format!("Bearer {}", token(&node, Role::Viewer, "ann").await);
        let here = address(&node).await;
        let ask = async |line: &str, host: &str, headers: &[(&str, &str)]| -> Reply {
            let stream = tls(&node, &here).await;
            send_on(stream, line, &[&[("host", host)], headers].concat(), Body::empty()).await
        };
        let with = ("authorization", bearer.as_str());
        let me = async |host: &str, headers: &[(&str, &str)]| ask("GET /v1/me", host, headers).await;
        for host in [here.as_str(), "node.example.org"] {
            assert_eq!(me(host, &[with]).await.json()["name"], "token:ann", "{host}");
        }
        let elsewhere = me("evil.example", &[with]).await;
        assert_eq!(elsewhere.problem(), (421, "misdirected".to_owned()));
        let nobody = me(&here, &[]).await;
        assert_eq!(nobody.problem(), (401, "unauthenticated".to_owned()));
        assert!(nobody.header("www-authenticate").starts_with("Bearer"), "{nobody:?}");

        let allowed = me(&here, &[with, ("origin", page)]).await;
        assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, page));
        assert!(allowed.headers.get_all("vary").iter().any(|vary| vary == "origin"), "{allowed:?}");
        let evil = me(&here, &[with, ("origin", "https://evil.example")]).await;
        assert_eq!(evil.problem(), (403, "denied".to_owned()));
        assert_eq!(evil.header("access-control-allow-origin"), "");
        // What a page asks before it sends a token.
        let asks = ("access-control-request-method", "PUT");
        let preflight = ask("OPTIONS /v1/groups/g", &here, &[("origin", page), asks]).await;
        assert_eq!(preflight.status, 204, "{preflight:?}");
        assert!(preflight.header("access-control-allow-methods").contains("PUT"), "{preflight:?}");
        assert!(preflight.header("access-control-allow-headers").contains("authorization"), "{preflight:?}");
        // A page can read why it was refused.
        let nobody = me(&here, &[("origin", page)]).await;
        assert_eq!((nobody.status, nobody.header("access-control-allow-origin")), (401, page));
        // A request that is refused is read to its end.
        let stream = tls(&node, &here).await;
        let headers = [("host", here.as_str()), ("content-type", "application/json")];
        let reply = send_on(stream, "POST /v1/runs", &headers, vec![b' '; 1 << 20]).await;
        assert_eq!(reply.problem().0, 401);
        node.stop().await;
    });
}

#[test]
fn a_stream_over_tcp_comes_back_when_the_node_does() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[LISTENS]).await;
        let ann = remote(&node, &token(&node, Role::Operator, "ann").await).await;
        let listens = format!("api.listen={}", address(&node).await);
        let run = ann.create_run(&request(GATE)).await.unwrap().id.to_string();
        node.question(&run).await;
        let mut events = ann.events(Some(&run), Some(0)).await.unwrap().patience(Duration::from_secs(30));
        let Followed::Frame(frame) = events.next().await.unwrap() else { panic!("no events") };
        assert_eq!(frame.views().unwrap()[0].type_name, "cis.dag.run.created");
        node.leave().await;
        node = Node::local(scratch.path(), &[&listens]).await;
        node.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        let (mut lost, mut kinds) = (false, Vec::new());
        while kinds.last().is_none_or(|kind| kind != "cis.dag.run.cancelled") {
            match events.next().await.unwrap() {
                Followed::Frame(frame) => {
                    kinds.extend(frame.views().unwrap().iter().map(|event| event.type_name.to_string()));
                }
                Followed::Lost { .. } => lost = true,
                Followed::Back => {}
            }
        }
        assert!(lost && !kinds.iter().any(|kind| kind == "cis.dag.run.created"), "{kinds:?}");
        let state = json!(ann.run(&run).await.unwrap().run.state);
        assert_eq!(state, "cancelled");
        eventually("the event before is known", async || events.offset()).await;
        node.stop().await;
    });
}

#[test]
fn a_token_has_as_many_connections_as_are_allowed_and_takes_none_of_others() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[LISTENS]).await;
        let ann = remote(&node, &token(&node, Role::Viewer, "ann").await).await;
        let bob = remote(&node, &token(&node, Role::Viewer, "bob").await).await;
        let mut open = Vec::new();
        let refused = loop {
            assert!(open.len() <= 64, "more than are allowed");
            match ann.events(None, None).await {
                Ok(events) => open.push(events),
                refused => break kind(refused),
            }
        };
        assert_eq!((open.len(), refused), (64, ProblemKind::Unavailable));
        assert_eq!(bob.me().await.unwrap().name, "token:bob");
        drop(open.pop());
        eventually("there is a place again", async || ann.events(None, None).await.ok().map(drop)).await;
        drop(open);
        node.stop().await;
    });
}
