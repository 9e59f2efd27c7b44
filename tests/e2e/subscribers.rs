//! Many who follow events, some of whom never read: nobody waits for them, and nobody misses anything.

use std::path::PathBuf;
use std::time::Duration;

use super::harness::websocket::{Frame, WebSocket, offsets};
use super::harness::{Cis, eventually_within, peak_kb};

const READERS: usize = 70;
const STUCK: usize = 30;
const TASKS: u32 = 1_000;

/// What the node may grow by: the run itself, and what is on its way to a hundred subscribers.
const GROWTH_KB_MAX: u64 = 80_000;

fn newest(cis: &Cis) -> u64 {
    let database = super::storage::read_database(cis);
    database.query_row("select max(offset) from events", (), |row| row.get(0)).unwrap()
}

/// Reads until the event `last` came, or the stream ended; gives all offsets, and the close frame.
fn read(socket: &mut WebSocket, last: u64) -> (Vec<u64>, Option<(u16, String)>) {
    let mut all = Vec::new();
    while all.last().is_none_or(|newest| *newest < last) {
        match socket.next().unwrap() {
            Some(Frame::Text(text)) => all.extend(offsets(&text)),
            Some(Frame::Close(said)) => return (all, said),
            Some(other) => panic!("{other:?}"),
            None => return (all, None),
        }
    }
    (all, None)
}

#[test]
fn a_hundred_subscribers_of_whom_thirty_never_read_cost_a_run_nothing_and_miss_nothing() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let socket = PathBuf::from(cis.status()["socket"].as_str().unwrap());
    let pid = cis.node_pid().unwrap();
    let open = || WebSocket::open(&socket, "/v1/events?after=0").unwrap();
    let mut stuck: Vec<WebSocket> = (0..STUCK).map(|_| open()).collect();
    // One that reads does so until the run is over, which its last event says.
    let reader = |mut socket: WebSocket| {
        std::thread::spawn(move || {
            let mut all = Vec::new();
            loop {
                match socket.next().unwrap() {
                    Some(Frame::Text(text)) => {
                        all.extend(offsets(&text));
                        if text.contains("\"cis.dag.run.completed\"") {
                            return all;
                        }
                    }
                    other => panic!("one that reads was dropped: {other:?}"),
                }
            }
        })
    };
    let readers: Vec<_> = (0..READERS).map(|_| reader(open())).collect();
    let before = peak_kb(pid).unwrap();
    let mut text = "version = 1\n[dag]\nid = \"many\"\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..TASKS {
        text.push_str(&format!("[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\n"));
    }
    cis.dag(&text, &[]).expect(0);
    let last = newest(&cis);
    for reader in readers {
        let all = reader.join().unwrap();
        assert!(all.iter().copied().eq(1..=*all.last().unwrap()), "each event once, in order: {all:?}");
    }
    let dropped = || {
        let log = std::fs::read_to_string(cis.home().join("node.log")).unwrap_or_default();
        log.matches("a subscriber of events does not read").count()
    };
    eventually_within(Duration::from_secs(40), &format!("{} were dropped", dropped()), || {
        (dropped() == STUCK).then_some(())
    });
    let grown = peak_kb(pid).unwrap().saturating_sub(before);
    assert!(grown < GROWTH_KB_MAX, "the node grew by {grown} KB");
    for socket_of in &mut stuck {
        let (mut all, said) = read(socket_of, u64::MAX);
        let (code, reason) = said.expect("a close frame says where to go on");
        let got = all.last().copied().unwrap();
        assert_eq!((code, reason), (4008, format!("{{\"after\":{got}}}")));
        assert!(got < last, "it was dropped before the end");
        let mut again = WebSocket::open(&socket, &format!("/v1/events?after={got}")).unwrap();
        all.extend(read(&mut again, last).0);
        assert!(all.iter().copied().eq(1..=*all.last().unwrap()), "each event once, in order: {all:?}");
        assert!(all.len() as u64 >= last);
    }
}
