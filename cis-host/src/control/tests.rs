//! The node's end against a host that is played by the test on a real socket.

use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;
use crate::frames::{put_bytes, put_json};
use crate::protocol::StartFailure;
use cis_core::ids::HostInstance;

const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    client: HostClient,
    host: UnixStream,
    _folder: TempDir,
}

fn id() -> SessionId {
    SessionId::from_parts(1, 1)
}

fn welcome(version: u32) -> FromHost {
    FromHost::Welcome {
        version,
        instance: HostInstance::from_parts(1, 1),
        pid: 1,
        sessions: Vec::new(),
        build: None,
        renewal: None,
    }
}

fn withdrawn() -> FromHost {
    FromHost::StartFailed { session: id(), why: StartFailure::Withdrawn {} }
}

impl Stage {
    fn new() -> Self {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let client = HostClient::connect(path, Role::Control).unwrap();
        Self { client, host: listener.accept().unwrap().0, _folder: folder }
    }

    fn say(&mut self, messages: &[FromHost]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| put_json(&mut bytes, message).unwrap());
        self.host.write_all(&bytes).unwrap();
    }

    /// The frames that the client has sent, up to `until`.
    fn heard(&mut self, until: &ToHost) -> (Vec<ToHost>, Vec<u8>) {
        let (mut decoder, mut messages, mut typed) = (Decoder::default(), Vec::new(), Vec::new());
        while messages.last() != Some(until) {
            let mut part = [0; 64 << 10];
            let read = self.host.read(&mut part).unwrap();
            assert!(read > 0, "it hung up");
            decoder.feed(&part[..read]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                match frame {
                    Frame::Json(text) => messages.push(serde_json::from_slice(text).unwrap()),
                    Frame::Bytes { data, .. } => typed.extend_from_slice(data),
                    Frame::Unknown { kind } => panic!("a frame of kind {kind}"),
                }
            }
            if self.client.wants_write() {
                self.client.flush().unwrap();
            }
        }
        (messages, typed)
    }

    #[track_caller]
    fn messages(&mut self) -> Result<Vec<FromHost>, HostClientError> {
        assert!(self.client.wait(PATIENCE).unwrap());
        self.client.receive_messages()
    }
}

#[test]
fn it_says_hello_and_sends_what_the_socket_does_not_take_at_once() {
    let mut stage = Stage::new();
    assert!(!stage.client.wait(Duration::ZERO).unwrap(), "nothing was said");
    assert_eq!(stage.client.receive_messages().unwrap(), []);
    let named = InputId::from_parts(1, 7);
    let flood = vec![b'x'; 1 << 20];
    stage.client.send_input(id(), Some(named), &flood).unwrap();
    stage.client.flush().unwrap();
    assert!(stage.client.wants_write(), "no socket takes so much");
    stage.client.send_input(id(), None, b"end").unwrap();
    stage.client.send(&ToHost::Shutdown {}).unwrap();
    let (messages, typed) = stage.heard(&ToHost::Shutdown {});
    let hello = ToHost::Hello { version: VERSION, role: Role::Control };
    assert_eq!(messages, [hello, ToHost::Input { session: id(), input: named }, ToHost::Shutdown {}]);
    assert!(typed == [&flood[..], b"end"].concat(), "{} bytes", typed.len());
}

#[test]
fn messages_and_output_come_in_order_and_before_the_end() {
    let mut stage = Stage::new();
    let mut bytes = Vec::new();
    put_json(&mut bytes, &welcome(VERSION)).unwrap();
    put_bytes(&mut bytes, frame::OUTPUT, id(), 5, b"shown");
    put_bytes(&mut bytes, frame::INPUT, id(), 5, b"of a later version");
    put_json(&mut bytes, &withdrawn()).unwrap();
    stage.host.write_all(&bytes).unwrap();
    stage.host.shutdown(std::net::Shutdown::Write).unwrap();
    let mut came = Vec::new();
    let outcome = loop {
        assert!(stage.client.wait(PATIENCE).unwrap());
        let outcome = stage.client.receive(|received| {
            came.push(match received {
                Received::Message(message) => format!("{message:?}"),
                Received::Output { offset, data, .. } => {
                    format!("{offset} {}", String::from_utf8_lossy(data))
                }
            });
        });
        if outcome.is_err() {
            break outcome;
        }
    };
    assert!(matches!(outcome, Err(HostClientError::Closed)), "{outcome:?}");
    assert_eq!(came, [format!("{:?}", welcome(VERSION)), "5 shown".to_owned(), format!("{:?}", withdrawn())]);
}

#[test]
fn a_host_that_refuses_or_is_another_version_is_an_error_after_what_it_said_before() {
    let mut stage = Stage::new();
    stage.say(&[welcome(VERSION + 1)]);
    let Err(HostClientError::Version { host }) = stage.messages() else { panic!("another version") };
    assert_eq!(host, VERSION + 1);
    let mut stage = Stage::new();
    stage.say(&[welcome(VERSION), FromHost::Refused { detail: "so".to_owned() }]);
    let Err(HostClientError::Refused { detail }) = stage.messages() else { panic!("refused") };
    assert_eq!(detail, "so");
    let mut stage = Stage::new();
    stage.say(&[welcome(VERSION)]);
    drop(stage.host.shutdown(std::net::Shutdown::Both));
    assert_eq!(stage.messages().unwrap(), [welcome(VERSION)]);
    assert!(matches!(stage.messages(), Err(HostClientError::Closed)));
    stage.client.send(&ToHost::Shutdown {}).unwrap();
    assert!(matches!(stage.client.flush(), Err(HostClientError::Closed)));
}

#[test]
fn what_is_not_of_the_protocol_is_an_error() {
    let mut stage = Stage::new();
    stage.host.write_all(&[0xff; 8]).unwrap();
    assert!(matches!(stage.messages(), Err(HostClientError::Frame(_))));
    let mut stage = Stage::new();
    let mut bytes = Vec::new();
    put_json(&mut bytes, &serde_json::json!({ "type": "of a later version" })).unwrap();
    stage.host.write_all(&bytes).unwrap();
    assert!(matches!(stage.messages(), Err(HostClientError::Message(_))));
}

#[test]
fn nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let refused = HostClient::connect(folder.path().join("socket"), Role::Stream);
    assert!(matches!(refused, Err(HostClientError::Connect(_))));
}

fn spawned(script: &str, timeout: Duration) -> Result<Child, HostClientError> {
    spawn_host(&["/bin/sh", "-c", script].map(OsString::from), timeout)
}

#[test]
fn a_host_is_started_when_it_says_so() {
    let mut host = spawned("echo starting; echo ready; exec >/dev/null 2>&1; exit 7", PATIENCE).unwrap();
    assert_eq!(host.wait().unwrap().code(), Some(7));
}

#[test]
fn a_host_that_does_not_start_is_quoted() {
    let said = |outcome: Result<Child, HostClientError>| outcome.unwrap_err().to_string();
    let ends = said(spawned("echo there is no space >&2; exit 3", PATIENCE));
    assert!(ends.contains("there is no space") && ends.contains("exit status: 3"), "{ends}");
    let hangs = said(spawned("echo later; exec sleep 1000", Duration::from_millis(200)));
    assert!(hangs.contains("not ready in time; it said: later"), "{hangs}");
    let floods = said(spawned("while :; do echo flood; done", PATIENCE));
    assert!(floods.contains("it said: flood"), "{floods}");
    let missing = said(spawn_host(&[OsString::from("/no/program")], PATIENCE));
    assert!(missing.contains("/no/program"), "{missing}");
    assert!(said(spawn_host(&[], PATIENCE)).contains("no program is named"));
}
