//! Programs that lay themselves out so that looking into them costs much.

use cis_core::api::TermSize;
use cis_core::event::ExitStatus;
use cis_core::ids::SessionId;
use cis_host::protocol::{FromHost, Io, Start, ToHost};

use crate::support::{Host, Peer, until};

const PROBES: u64 = 5;

/// Mounts with long names in a namespace of its own, and many descriptors of its terminal to poll.
const HOG: &str = r#"
import ctypes, os, resource, select, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None):
    print("may not.", flush=True)
    sys.exit()
libc.mount(b"tmpfs", sys.argv[1].encode(), b"tmpfs", 0, None)
base = sys.argv[1] + "/" + "x" * 200
os.mkdir(base)
for i in range(4000):
    place = f"{base}/{i}"
    os.mkdir(place)
    if libc.mount(base.encode(), place.encode(), None, 4096, None):
        break
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
name, poll = os.ttyname(0), select.poll()
for i in range(min(1000, hard - 50)):
    poll.register(os.open(name, os.O_RDONLY | os.O_NOCTTY), select.POLLIN)
print("ready.", flush=True)
while True:
    poll.poll()
"#;

#[test]
fn thousands_of_mounts_and_descriptors_do_not_hold_up_other_sessions() {
    let host = Host::start();
    let mut control = host.control();
    let place = host.path("mounts");
    std::fs::create_dir(&place).unwrap();
    let argv = ["/usr/bin/python3", "-c", HOG, place.to_str().unwrap()];
    let hog = Start { io: Io::Pty(TermSize::default()), ..host.command(&argv) };
    control.start(&hog);
    control.send(&ToHost::Watch { session: hog.session, from: 0 });
    control.wait_for_output(hog.session, ".");
    if String::from_utf8_lossy(&control.output(hog.session)).contains("may not") {
        eprintln!("skipped: no namespace of mounts can be made here");
        return;
    }
    until("it is seen to wait", || readers(&mut control, hog.session) == 1);
    let before = host.reads().unwrap();
    for _ in 0..PROBES {
        control.send(&ToHost::Probe { session: hog.session });
        assert_eq!(control.run(&host.shell("exit 7")).status, ExitStatus::Code(7));
        control.expect("evidence", |message| readers_told(message, hog.session));
    }
    // Each descriptor took two lists of mounts in pieces of a page: some hundred thousand reads.
    let each = (host.reads().unwrap() - before) / PROBES;
    assert!(each < 5000, "{each} reads for one look");
    control.send(&ToHost::Kill { session: hog.session, grace_ms: Some(0) });
    control.exit(hog.session);
}

fn readers(peer: &mut Peer, session: SessionId) -> usize {
    peer.send(&ToHost::Probe { session });
    peer.expect("evidence", |message| readers_told(message, session))
}

fn readers_told(message: &FromHost, session: SessionId) -> Option<usize> {
    match message {
        FromHost::Probed { session: of, evidence, .. } if *of == session => Some(evidence.readers.len()),
        _ => None,
    }
}
