//! The host's side of the protocol, played by a test on a real socket; and a viewer with a terminal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::frames::{Decoder, Frame, put_bytes, put_json};
use crate::hub::wire::Wire;
use crate::hub::{AttachOutput, Attached, Hub, HubNews, Limits, Reach, SessionInfo, Sighting};
use crate::protocol::{Exit, FromHost, Role, ToHost, VERSION, frame};
use cis_core::api::{Attach, AttachNotice, TermSize};
use cis_core::ids::{HostInstance, SessionId};
use cis_core::monitor::{KernelEvidence, Modes};
use cis_core::policy::redact::Redactor;
use cis_core::terminal::screen::Screen;

/// Nothing in a test takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

pub(super) fn id(n: u128) -> SessionId {
    SessionId::from_parts(1, n)
}

pub(super) fn size(cols: u16, rows: u16) -> TermSize {
    TermSize { cols, rows }
}

pub(super) struct Peer {
    pub(super) dir: TempDir,
    listener: UnixListener,
}

/// What the hub says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Message(ToHost),
    Typed(SessionId, Vec<u8>),
    Gone,
}

pub(super) struct Conn {
    wire: Wire,
}

impl Peer {
    pub(super) fn new() -> Self {
        let dir = crate::testing::private_directory();
        let listener = UnixListener::bind(dir.path().join("host")).unwrap();
        Self { dir, listener }
    }

    pub(super) fn hub(&self, limits: Limits) -> Hub {
        Hub::spawn_with(&Handle::current(), self.dir.path().join("host"), Arc::new(|_| {}), limits)
    }

    /// A hub whose monitor tells what it sees.
    pub(super) fn watched(&self, watcher: impl Fn(Sighting) + Send + Sync + 'static) -> Hub {
        let socket = self.dir.path().join("host");
        let watcher = move |news| {
            if let HubNews::Seen(sighting) = news {
                watcher(sighting);
            }
        };
        Hub::spawn_with(&Handle::current(), socket, Arc::new(watcher), Limits::default())
    }

    pub(super) fn log(&self, n: u128) -> PathBuf {
        self.dir.path().join(format!("{n}.log"))
    }

    pub(super) fn info(&self, n: u128) -> SessionInfo {
        SessionInfo {
            id: id(n),
            tty: true,
            size: size(40, 6),
            log: self.log(n),
            live_from: Some(0),
            redactor: Arc::new(Redactor::new(["hunter2-hunter2".to_owned()]).unwrap()),
            monitor: None,
        }
    }

    /// The next connection, greeted.
    pub(super) async fn accept(&self) -> Conn {
        self.accept_as(1).await
    }

    pub(super) async fn accept_as(&self, instance: u128) -> Conn {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        let mut conn = Conn::on(stream);
        let hello = ToHost::Hello { version: VERSION, role: Role::Stream };
        assert_eq!(conn.heard().await, Said::Message(hello));
        let instance = HostInstance::from_parts(1, instance);
        conn.say(&FromHost::Welcome {
            version: VERSION,
            instance,
            pid: 1,
            sessions: Vec::new(),
            build: None,
            renewal: None,
        })
        .await;
        conn
    }
}

impl Conn {
    fn on(stream: UnixStream) -> Self {
        let instance = HostInstance::from_parts(0, 0);
        Self { wire: Wire { stream, decoder: Decoder::default(), instance } }
    }

    pub(super) async fn say(&self, message: &FromHost) {
        let mut out = Vec::new();
        put_json(&mut out, message).unwrap();
        self.send(&out).await;
    }

    /// What the hub closed already is of no interest to it.
    async fn send(&self, bytes: &[u8]) {
        let _ = soon(self.wire.send(bytes)).await;
    }

    pub(super) async fn output(&self, n: u128, offset: u64, data: impl AsRef<[u8]>) {
        let mut out = Vec::new();
        put_bytes(&mut out, frame::OUTPUT, id(n), offset, data.as_ref());
        self.send(&out).await;
    }

    pub(super) async fn exited(&self, n: u128, code: i32) {
        let exit = Exit::with_code(code);
        self.say(&FromHost::Exited { session: id(n), exit }).await;
    }

    pub(super) async fn probed(&self, n: u128, output_bytes: u64) {
        let evidence = KernelEvidence {
            at_ms: 0,
            output_bytes,
            quiet_ms: 0,
            modes: Some(Modes { canonical: true, echo: true }),
            foreground: Vec::new(),
            opaque: false,
            readers: Vec::new(),
            beside: 0,
            inside_opaque: false,
            cpu_ms: 0,
            processes: 1,
        };
        self.say(&FromHost::Probed { session: id(n), evidence, input_bytes: None, line_begun: false }).await;
    }

    pub(super) async fn heard(&mut self) -> Said {
        soon(async {
            loop {
                match self.wire.decoder.next_frame().unwrap() {
                    Some(Frame::Json(json)) => return Said::Message(serde_json::from_slice(json).unwrap()),
                    Some(Frame::Bytes { session, data, .. }) => return Said::Typed(session, data.to_vec()),
                    Some(Frame::Unknown { .. }) => panic!("a frame of an unknown kind"),
                    None => {}
                }
                self.wire.stream.readable().await.unwrap();
                if self.wire.fill().is_err() {
                    return Said::Gone;
                }
            }
        })
        .await
    }

    pub(super) async fn expect(&mut self, message: ToHost) {
        assert_eq!(self.heard().await, Said::Message(message));
    }

    pub(super) async fn expect_watch(&mut self, n: u128, from: u64) {
        self.expect(ToHost::Watch { session: id(n), from }).await;
    }

    pub(super) async fn expect_typed(&mut self, n: u128, text: &str) {
        let mut typed = String::new();
        while typed.len() < text.len() {
            match self.heard().await {
                Said::Typed(session, bytes) => {
                    assert_eq!(session, id(n));
                    typed += std::str::from_utf8(&bytes).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(typed.escape_debug().to_string(), text.escape_debug().to_string());
    }
}

/// Somebody with a terminal.
pub(super) struct Watcher {
    pub(super) attached: Attached,
    pub(super) screen: Screen,
    pub(super) seen: Vec<AttachOutput>,
    pub(super) bytes: usize,
}

pub(super) fn typing(cols: u16, rows: u16) -> Attach {
    Attach { cols: Some(cols), rows: Some(rows), ..Attach::default() }
}

pub(super) fn looking(cols: u16, rows: u16) -> Attach {
    Attach { read_only: true, ..typing(cols, rows) }
}

impl Watcher {
    pub(super) async fn new(hub: &Hub, n: u128, how: Attach) -> Self {
        Self::at(hub, n, how, Reach::Near).await
    }

    pub(super) async fn at(hub: &Hub, n: u128, how: Attach, reach: Reach) -> Self {
        let attached = soon(hub.attach(id(n), how, reach)).await.unwrap();
        let screen = Screen::new(size(how.cols.unwrap_or(40), how.rows.unwrap_or(6)));
        Self { attached, screen, seen: Vec::new(), bytes: 0 }
    }

    /// Takes what comes. False at the end.
    pub(super) async fn step(&mut self) -> bool {
        let Some(item) = soon(self.attached.next()).await else { return false };
        match item {
            AttachOutput::Bytes(bytes) => {
                self.bytes += bytes.len();
                let replies = self.screen.feed(&bytes);
                assert!(replies.is_empty(), "a query passed: {}", bytes.escape_ascii());
                assert!(!String::from_utf8_lossy(&bytes).contains("hunter2-hunter2"));
            }
            other => self.seen.push(other),
        }
        true
    }

    pub(super) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            assert!(self.step().await, "it ended: {:?}, with {:?}", self.seen, self.screen.text());
        }
    }

    pub(super) async fn until_text(&mut self, text: &str) {
        self.until(|watcher| watcher.screen.text() == text).await;
    }

    pub(super) fn notices(&self) -> Vec<AttachNotice> {
        let notice = |item: &AttachOutput| match item {
            AttachOutput::Notice(notice) => Some(notice.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(notice).collect()
    }
}

/// Until something that cannot be waited for is so.
pub(super) async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
