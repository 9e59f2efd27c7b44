//! A session's terminal: attached to while it lives, its log when it is over.

use std::sync::Arc;
use std::time::Duration;

use cis_client::{AttachFrame, Client, ClientError};
use cis_core::api::{Attach, AttachNotice, ProblemKind, ReadLog, TermSize};
use cis_core::event::SessionState;
use tokio::sync::mpsc;

use super::{Shared, problem};
use crate::terminal::{Standing, Terminal, ToSession};

/// A node that went away is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// How much output from before the terminal was opened is replayed, bytes: about 10,000 lines.
const EARLIER_BYTES: u64 = 2 << 20;
/// Prepares a replayed screen for the node's picture of it: ends an unfinished sequence, leaves the alternate screen, resets
/// the scroll region, and erases the rows. The picture clears the screen, which would move its rows into the history again.
const BEFORE_PICTURE: &[u8] = b"\x18\x1b[?1049l\x1b[r\x1b[m\x1b[H\x1b[J";

/// What a terminal has got so far.
#[derive(Debug, Default)]
struct Progress {
    /// The first byte of output that is not shown yet, if it is known: the next attach resumes there.
    place: Option<u64>,
    /// Output from before the terminal was opened has been replayed.
    earlier: bool,
    /// Typing is not allowed: attach read-only.
    read_only: bool,
}

/// How an attach ended without an error.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// The session has ended, or the terminal was dropped.
    Over,
    /// Another attach is needed.
    Again,
}

/// Fills a terminal until its session is over, or nobody else holds it.
pub(super) async fn show(client: Arc<Client>, shared: Arc<Shared>, terminal: Arc<Terminal>) {
    let Some(mut from) = terminal.outgoing() else { return };
    // The node records each refused attempt to control a session.
    let mut progress = Progress { read_only: !shared.may_type(), ..Progress::default() };
    loop {
        let error = match attached(&client, &shared, &terminal, &mut from, &mut progress).await {
            Ok(Left::Over) => return,
            Ok(Left::Again) => continue,
            // The role has changed, or is not known yet.
            Err(ClientError::Problem(refused))
                if refused.kind == ProblemKind::Denied && !progress.read_only =>
            {
                progress.read_only = true;
                continue;
            }
            // It has ended, so what it wrote is there, or it has not started yet.
            Err(ClientError::Problem(refused)) if refused.kind == ProblemKind::Conflict => {
                match replayed(&client, &shared, &terminal, refused.detail).await {
                    Ok(Left::Over) => return,
                    Ok(Left::Again) => None,
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        match error {
            None => {}
            Some(error) if !is_away(&error) => {
                return set(&shared, &terminal, Standing::Refused(Box::new(problem(error))));
            }
            Some(ClientError::Problem(problem)) => {
                set(&shared, &terminal, Standing::Away { why: Some(problem.detail) });
            }
            Some(_) => set(&shared, &terminal, Standing::Away { why: None }),
        }
        tokio::time::sleep(RETRY).await;
        if is_left(&terminal) {
            return;
        }
    }
}

/// Whether the node is away. A timeout counts too: the call is repeated.
fn is_away(error: &ClientError) -> bool {
    error.is_away() || matches!(error, ClientError::Timeout { .. })
}

/// Nobody else holds it.
fn is_left(terminal: &Arc<Terminal>) -> bool {
    Arc::strong_count(terminal) == 1
}

fn set(shared: &Shared, terminal: &Terminal, standing: Standing) {
    terminal.change(|shown| shown.standing = standing);
    shared.wake();
}

/// Shows what comes.
async fn attached(
    client: &Client,
    shared: &Shared,
    terminal: &Arc<Terminal>,
    from: &mut mpsc::UnboundedReceiver<ToSession>,
    progress: &mut Progress,
) -> Result<Left, ClientError> {
    let session = terminal.session.to_string();
    // Without a size of its own it decides nobody else's.
    let Progress { place, read_only, .. } = *progress;
    let how = Attach { marks: true, from: place, read_only, ..Attach::default() };
    let mut stream = client.attach(&session, &how).await?;
    // What was typed into a line that broke is not typed into another one.
    while let Ok(typed) = from.try_recv() {
        terminal.taken(&typed);
    }
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        terminal.unsent(stream.queued_bytes());
        let frame = tokio::select! {
            frame = stream.next() => frame?,
            Some(typed) = from.recv() => {
                terminal.taken(&typed);
                match typed {
                    ToSession::Typed(bytes) => stream.type_bytes(&bytes),
                    ToSession::Control(control) => stream.control(control)?,
                }
                continue;
            }
            _ = look.tick() => {
                if is_left(terminal) {
                    return Ok(Left::Over);
                }
                continue;
            }
        };
        match frame {
            AttachFrame::Bytes(bytes) => {
                terminal.feed(&bytes);
                progress.place = stream.offset();
            }
            AttachFrame::Notice(AttachNotice::Attached { size, read_only, resumed, offset, .. }) => {
                if !resumed {
                    progress.place = None;
                }
                terminal.change(|shown| shown.screen.resize(size));
                if let Some(until) = offset.filter(|until| *until > 0 && !resumed && !progress.earlier) {
                    let from = match earlier(client, shared, terminal, size, until).await {
                        // The terminal works without the earlier output.
                        Err(error) if !is_away(&error) => None,
                        from => from?,
                    };
                    progress.earlier = true;
                    if from.is_some() {
                        progress.place = from;
                        return Ok(Left::Again);
                    }
                    terminal.feed(BEFORE_PICTURE);
                }
                progress.earlier = true;
                terminal.change(|shown| shown.standing = Standing::Live { read_only });
            }
            AttachFrame::Notice(AttachNotice::Resized(size)) => {
                terminal.change(|shown| shown.screen.resize(size));
            }
            AttachFrame::Notice(AttachNotice::Ended { detail, .. }) => {
                set(shared, terminal, Standing::Ended { detail });
                return Ok(Left::Over);
            }
            AttachFrame::Closed => set(shared, terminal, Standing::Away { why: None }),
        }
        shared.wake();
    }
}

/// Replays the output up to the byte `until`: the node's picture lacks lines that have scrolled out. For a session
/// without a terminal, returns the byte from which another attach has to start instead.
async fn earlier(
    client: &Client,
    shared: &Shared,
    terminal: &Arc<Terminal>,
    size: TermSize,
    until: u64,
) -> Result<Option<u64>, ClientError> {
    let session = terminal.session.to_string();
    let from = until.saturating_sub(EARLIER_BYTES);
    if !client.session(&session).await?.tty {
        return Ok(Some(from));
    }
    let how = ReadLog { from: Some(from), ..ReadLog::default() };
    let mut log = client.session_log(&session, &how).await?;
    terminal.change(|shown| shown.empty(size));
    let mut left = usize::try_from(until - from).unwrap_or(usize::MAX);
    // The first line may be cut.
    let mut partial = from > 0;
    while left > 0
        && !is_left(terminal)
        && let Some(bytes) = log.next().await?
    {
        let mut part = &bytes[..bytes.len().min(left)];
        left -= part.len();
        if partial {
            let Some(line) = part.iter().position(|byte| *byte == b'\n') else { continue };
            (part, partial) = (&part[line + 1..], false);
        }
        terminal.feed(part);
        shared.wake();
    }
    Ok(None)
}

/// What an ended session wrote, from its beginning and on an empty screen: what stands there already would stand there
/// twice. It is shown while it comes. A session that has not ended cannot be attached to yet, as `detail` says.
async fn replayed(
    client: &Client,
    shared: &Shared,
    terminal: &Arc<Terminal>,
    detail: String,
) -> Result<Left, ClientError> {
    let session = terminal.session.to_string();
    let view = client.session(&session).await?;
    if view.state == SessionState::Starting {
        return Ok(not_yet(shared, terminal, detail));
    }
    // Refused for a session of another machine whose output cannot be had here.
    let mut log = client.session_log(&session, &ReadLog::default()).await?;
    if view.state.is_live() {
        // It started after the attach, or its end is not recorded yet.
        return Ok(not_yet(shared, terminal, detail));
    }
    terminal.change(|shown| {
        let size = view.size.unwrap_or_else(|| shown.screen.size());
        shown.empty(size);
        shown.standing = Standing::Ended { detail };
    });
    shared.wake();
    while let Some(bytes) = log.next().await? {
        if is_left(terminal) {
            break;
        }
        terminal.feed(&bytes);
        shared.wake();
    }
    Ok(Left::Over)
}

/// Says why a session cannot be attached to yet. What stands on its screen already stays there.
fn not_yet(shared: &Shared, terminal: &Terminal, detail: String) -> Left {
    let why = Some(detail);
    terminal.change(|shown| {
        shown.standing = match shown.standing {
            Standing::Opening { .. } => Standing::Opening { why },
            _ => Standing::Away { why },
        };
    });
    shared.wake();
    Left::Again
}

#[cfg(test)]
mod tests {
    use cis_core::api::attach_marks::mark_frame;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    const SESSION: &str = "01JD0V3Z8K6T9W2B5N7Q4R1XED";

    /// A socket that answers as a node does.
    struct Node {
        _dir: tempfile::TempDir,
        listener: UnixListener,
        client: Arc<Client>,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s");
            let listener = UnixListener::bind(&path).unwrap();
            Self { _dir: dir, listener, client: Arc::new(Client::new(&path, None)) }
        }

        /// Begins to fill a terminal.
        fn show(&self) -> (Arc<Terminal>, tokio::task::JoinHandle<()>) {
            let terminal = Arc::new(Terminal::new(SESSION.parse().unwrap()));
            let shared = Shared::new(Arc::new(|| {}));
            let task = tokio::spawn(show(Arc::clone(&self.client), shared, Arc::clone(&terminal)));
            (terminal, task)
        }

        /// A connection and the first request on it.
        async fn accept(&self) -> (UnixStream, String) {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let head = head(&mut stream).await;
            (stream, head)
        }

        /// Accepts the next attach.
        async fn terminal(&self, resumed: bool) -> (UnixStream, String) {
            self.terminal_after(resumed, None).await
        }

        /// Accepts the next attach to a session with `offset` bytes of output.
        async fn terminal_after(&self, resumed: bool, offset: Option<u64>) -> (UnixStream, String) {
            let (mut stream, head) = self.accept().await;
            let key = head.lines().find_map(|line| {
                line.to_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim().to_owned())
            });
            let accept = accept_of(&key.unwrap());
            let text = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).await.unwrap();
            let size = TermSize { cols: 20, rows: 3 };
            let hello =
                AttachNotice::Attached { session: SESSION.into(), size, read_only: false, offset, resumed };
            frame(&mut stream, 0x81, serde_json::to_string(&hello).unwrap().as_bytes()).await;
            (stream, head)
        }

        /// Says that the session has ended, and answers what is asked of it then; gives the log's connection.
        async fn ended(&self) -> UnixStream {
            let (mut stream, _) = self.accept().await;
            answer(&mut stream, "409 Conflict", "").await;
            self.looked_at(true).await.0
        }

        /// Answers the request for the session, and returns the connection and the request for its log.
        async fn looked_at(&self, tty: bool) -> (UnixStream, String) {
            let (mut stream, asked) = self.described(tty).await;
            assert!(asked.starts_with(&format!("GET /v1/sessions/{SESSION} ")), "{asked}");
            // On the same connection, or another one.
            tokio::select! {
                next = self.accept() => next,
                asked = head(&mut stream) => (stream, asked),
            }
        }

        /// Answers the request for the session; returns the connection and the request.
        async fn described(&self, tty: bool) -> (UnixStream, String) {
            self.described_as("exited", tty).await
        }

        /// The same, with the session in that state.
        async fn described_as(&self, state: &str, tty: bool) -> (UnixStream, String) {
            let (mut stream, asked) = self.accept().await;
            let view = format!(
                r#"{{"id":"{SESSION}","run":null,"task":null,"attempt":null,"name":null,"state":"{state}","pid":null,"tty":{tty},
                "size":{{"cols":20,"rows":3}},"command":"x","created_ms":1,"ended_ms":2,"exit_code":0}}"#
            );
            answer(&mut stream, "200 OK", &view).await;
            (stream, asked)
        }
    }

    async fn head(stream: &mut UnixStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn answer(stream: &mut UnixStream, status: &str, body: &str) {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The body of an answer that refuses.
    fn refusal(kind: &str, detail: &str) -> String {
        format!(r#"{{"type":"about:blank","title":"x","status":400,"detail":"{detail}","kind":"{kind}"}}"#)
    }

    /// A short frame of RFC 6455, as servers send them.
    async fn frame(stream: &mut UnixStream, kind: u8, bytes: &[u8]) {
        let mut all = vec![kind];
        match u8::try_from(bytes.len()) {
            Ok(len @ 0..=125) => all.push(len),
            _ => {
                all.push(126);
                all.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            }
        }
        all.extend(bytes);
        stream.write_all(&all).await.unwrap();
    }

    /// RFC 6455, 4.2.2: SHA-1 of the key and a constant, in Base64.
    fn accept_of(key: &str) -> String {
        let mut data = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").into_bytes();
        let bits = data.len() as u64 * 8;
        data.push(0x80);
        while data.len() % 64 != 56 {
            data.push(0);
        }
        data.extend(bits.to_be_bytes());
        let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        for block in data.chunks(64) {
            let mut w: Vec<u32> =
                block.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
            for i in 16..80 {
                w.push((w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1));
            }
            let [mut a, mut b, mut c, mut d, mut e] = state;
            for (i, word) in w.iter().enumerate() {
                let (f, k) = match i / 20 {
                    0 => ((b & c) | (!b & d), 0x5a82_7999_u32),
                    1 => (b ^ c ^ d, 0x6ed9_eba1),
                    2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                    _ => (b ^ c ^ d, 0xca62_c1d6),
                };
                let next =
                    a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
                (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
            }
            for (sum, more) in state.iter_mut().zip([a, b, c, d, e]) {
                *sum = sum.wrapping_add(more);
            }
        }
        let digest: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for three in digest.chunks(3) {
            let word = three
                .iter()
                .enumerate()
                .fold(0_u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
            for i in 0..4 {
                let letter = letters[(word >> (18 - 6 * i)) as usize & 63];
                out.push(if i > three.len() { '=' } else { char::from(letter) });
            }
        }
        out
    }

    /// All lines that a terminal has.
    fn lines(terminal: &Terminal) -> Vec<String> {
        let shown = terminal.shown();
        let top = -i32::try_from(shown.screen.history()).unwrap();
        (top..i32::from(shown.screen.size().rows)).map(|line| shown.screen.line_text(line)).collect()
    }

    async fn until(mut done: impl FnMut() -> bool) {
        let wait = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it comes");
    }

    async fn until_it_is(mut done: impl FnMut() -> bool, now: impl Fn() -> Vec<String>) {
        let wait = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(waited.is_ok(), "{:?}", now());
    }

    #[tokio::test]
    async fn a_session_that_ended_while_the_node_was_away_stands_there_once() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (mut stream, _) = node.terminal(false).await;
        // It dies in the midst of a full screen and of a colour.
        let before = b"one\r\ntwo\r\nthree\r\nfour\x1b[31m\x1b[?1049h";
        frame(&mut stream, 0x82, &mark_frame(before, Some(before.len() as u64))).await;
        until(|| terminal.shown().screen.is_alternate()).await;
        drop(stream);
        let mut log = tokio::time::timeout(Duration::from_secs(10), node.ended()).await.unwrap();
        answer(&mut log, "200 OK", "one\r\ntwo\r\nthree\r\nfour").await;
        task.await.unwrap();
        assert_eq!(lines(&terminal), ["one", "two", "three", "four"]);
        let shown = terminal.shown();
        assert!(!shown.screen.is_alternate());
        assert!(matches!(shown.standing, Standing::Ended { .. }));
    }

    #[tokio::test]
    async fn a_line_that_was_lost_is_gone_on_with_where_it_broke() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (mut stream, asked) = node.terminal(false).await;
        assert!(asked.contains("marks=true") && !asked.contains("from="), "{asked}");
        frame(&mut stream, 0x82, &mark_frame(b"one\r\n", Some(5))).await;
        until(|| lines(&terminal)[0] == "one").await;
        drop(stream);
        until(|| terminal.shown().standing == Standing::Away { why: None }).await;
        let (mut stream, asked) = node.terminal(true).await;
        assert!(asked.contains("from=5"), "{asked}");
        frame(&mut stream, 0x82, &mark_frame(b"two\r\nthree\r\nfour", Some(21))).await;
        until(|| lines(&terminal) == ["one", "two", "three", "four"]).await;
        drop(terminal);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_long_log_is_shown_while_it_comes_and_left_with_the_terminal() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let mut log = tokio::time::timeout(Duration::from_secs(10), node.ended()).await.unwrap();
        log.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nfirst").await.unwrap();
        until(|| {
            matches!(terminal.shown().standing, Standing::Ended { .. }) && lines(&terminal)[0] == "first"
        })
        .await;
        drop(terminal);
        log.write_all(b"second").await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), task).await.expect("nobody holds it").unwrap();
    }

    #[tokio::test]
    async fn output_from_before_the_attach_is_replayed_once() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let wrote = b"one\r\ntwo\r\nthree\r\nfour\r\nfive";
        let until = Some(wrote.len() as u64);
        let (mut stream, asked) = node.terminal_after(false, until).await;
        assert!(!asked.contains("from="), "{asked}");
        let (mut log, asked) =
            tokio::time::timeout(Duration::from_secs(10), node.looked_at(true)).await.unwrap();
        assert!(asked.contains("/log?") && asked.contains("from=0"), "{asked}");
        // The log has grown since the attach. The terminal gets the new part from the attach.
        let more = [wrote.as_slice(), b"\r\nsix"].concat();
        answer(&mut log, "200 OK", std::str::from_utf8(&more).unwrap()).await;
        let picture = b"\x1b[?1049l\x1b[H\x1b[2Jthree\r\nfour\r\nfive";
        frame(&mut stream, 0x82, &mark_frame(picture, until)).await;
        frame(&mut stream, 0x82, &mark_frame(b"\r\nsix", until.map(|until| until + 5))).await;
        let all = ["one", "two", "three", "four", "five", "six"];
        until_it_is(|| lines(&terminal) == all, || lines(&terminal)).await;
        assert!(matches!(terminal.shown().standing, Standing::Live { .. }));
        drop(terminal);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_session_without_a_terminal_is_shown_from_its_beginning() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (stream, _) = node.terminal_after(false, Some(9_000)).await;
        let (_, asked) = node.described(false).await;
        assert!(asked.starts_with(&format!("GET /v1/sessions/{SESSION} ")), "{asked}");
        let (mut again, asked) = node.terminal_after(true, Some(9_000)).await;
        assert!(asked.contains("from=0"), "{asked}");
        frame(&mut again, 0x82, &mark_frame(b"one\r\ntwo", Some(9_000))).await;
        until_it_is(|| lines(&terminal)[..2] == ["one", "two"], || lines(&terminal)).await;
        drop((terminal, stream));
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_cannot_show_a_session_now_says_why() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (mut stream, _) = node.accept().await;
        answer(&mut stream, "503 Service Unavailable", &refusal("unavailable", "it is withheld")).await;
        let why = Some("it is withheld".to_owned());
        until(|| terminal.shown().standing == Standing::Away { why: why.clone() }).await;
        let (_stream, _) = node.terminal(false).await;
        until_it_is(|| matches!(terminal.shown().standing, Standing::Live { .. }), || lines(&terminal)).await;
        drop(terminal);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_session_that_has_not_started_is_attached_to_when_it_has() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (mut stream, _) = node.accept().await;
        answer(&mut stream, "409 Conflict", &refusal("conflict", "it has not started yet")).await;
        let (_kept, asked) = node.described_as("starting", true).await;
        assert!(asked.starts_with(&format!("GET /v1/sessions/{SESSION} ")), "{asked}");
        let why = Some("it has not started yet".to_owned());
        until(|| terminal.shown().standing == Standing::Opening { why: why.clone() }).await;
        let (mut stream, asked) = node.terminal(false).await;
        assert!(asked.contains("/attach"), "{asked}");
        frame(&mut stream, 0x82, &mark_frame(b"one", Some(3))).await;
        until_it_is(|| lines(&terminal)[0] == "one", || lines(&terminal)).await;
        assert!(matches!(terminal.shown().standing, Standing::Live { .. }));
        drop(terminal);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_viewer_attaches_read_only() {
        let node = Node::new();
        let (terminal, task) = node.show();
        let (mut stream, asked) = node.accept().await;
        assert!(!asked.contains("read_only=true"), "{asked}");
        answer(&mut stream, "403 Forbidden", &refusal("denied", "no")).await;
        let (_stream, asked) = node.terminal(false).await;
        assert!(asked.contains("read_only=true"), "{asked}");
        until_it_is(|| matches!(terminal.shown().standing, Standing::Live { .. }), || lines(&terminal)).await;
        drop(terminal);
        task.await.unwrap();
    }
}
