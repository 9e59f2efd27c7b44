//! What is told of descriptors, and that nothing is asked of the files behind them.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::*;
use crate::session::os::open_pty;

const LIST: &str = "\
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=4k
26 24 0:24 / /dev/pts rw,relatime shared:3 master:1 - devpts devpts rw,mode=600
29 26 0:300 /7 /dev/console rw,relatime - devpts devpts rw
31 27 0:40 / /home/a\\040b rw - fuse.sshfs host: rw
";

fn pid() -> u32 {
    std::process::id()
}

fn opened(descriptor: RawFd) -> Opened {
    ProcFs::open().unwrap().opened(pid(), descriptor.unsigned_abs(), None)
}

#[test]
fn a_terminal_is_told_as_its_own_file_tells_it() {
    let (one, two) = (open_pty(80, 24).unwrap(), open_pty(80, 24).unwrap());
    for pty in [&one, &two] {
        let terminal = Terminal::of(&pty.slave).unwrap();
        assert_eq!(opened(pty.slave.as_raw_fd()), Opened::Terminal(terminal));
    }
    assert_eq!(opened(one.master.as_raw_fd()), Opened::Other, "our end is not read by programs");
}

#[test]
fn what_is_no_terminal_is_told_too() {
    let (one, _two) = UnixStream::pair().unwrap();
    assert_eq!(opened(one.as_raw_fd()), Opened::Socket);
    let watch = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    assert_eq!(opened(watch.as_raw_fd()), Opened::Anonymous);
    for path in ["/dev/null", "/proc/self/stat", "/"] {
        assert_eq!(opened(File::open(path).unwrap().as_raw_fd()), Opened::Other, "{path}");
    }
    let (read, _write) = std::io::pipe().unwrap();
    assert_eq!(opened(read.as_raw_fd()), Opened::Other);
    assert_eq!(opened(1_000_000), Opened::Other, "there is none");
}

#[test]
fn the_number_of_a_terminal_is_that_of_its_file_and_before_it_was_told_its_name() {
    let told = place(b"pos:\t0\nflags:\t02000002\nmnt_id:\t26\nino:\t12\n").unwrap();
    assert_eq!(told, Place { mount: 26, inode: Some(12) });
    let untold = place(b"pos:\t0\nflags:\t02000002\nmnt_id:\t29\n").unwrap();
    assert_eq!(place(b"pos:\t0\n"), None);
    let pts = mount(LIST, 26).unwrap();
    assert_eq!(pts, Mount { device: makedev(0, 24), root: "/", kind: "devpts" });
    let nine = Some(Terminal::of_index(9, makedev(0, 24)));
    assert_eq!(pseudo_terminal(told, &pts, "/elsewhere (deleted)"), nine);
    assert_eq!(pseudo_terminal(untold, &pts, "/dev/pts/9"), nine);
    assert_eq!(pseudo_terminal(untold, &pts, "/dev/pts/9 (deleted)"), nine);
    let bound = mount(LIST, 29).unwrap();
    let seven = Some(Terminal::of_index(7, makedev(0, 300)));
    assert_eq!(pseudo_terminal(untold, &bound, "/dev/console"), seven);
    assert_eq!(pseudo_terminal(Place { mount: 26, inode: Some(2) }, &pts, "/dev/pts/ptmx"), None);
}

#[test]
fn a_file_that_is_called_like_a_terminal_is_none() {
    let fuse = mount(LIST, 31).unwrap();
    assert_eq!((fuse.kind, fuse.root), ("fuse.sshfs", "/"));
    let at = Place { mount: 31, inode: Some(9) };
    assert_eq!(pseudo_terminal(at, &fuse, "/dev/pts/6"), None);
    assert_eq!(mount(LIST, 2), None);
    assert_eq!(mount("", 2), None);
}

/// A file system whose server never answers, with a descriptor on it that nothing had to be asked for. For as
/// long as the process lives; none where this machine or this user may not.
fn dead_file_system() -> Option<(std::process::Child, tempfile::TempDir)> {
    const OPEN: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None):
    sys.exit(1)
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(1)
os.dup2(os.open(sys.argv[1], os.O_PATH), 50)
print("ready", flush=True)
sys.stdin.read()
"#;
    use std::io::BufRead as _;
    let place = tempfile::tempdir().unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", OPEN]).arg(place.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.stderr(Stdio::null()).spawn().ok()?;
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    if line == "ready\n" {
        return Some((child, place));
    }
    let _ = child.wait();
    None
}

#[test]
fn a_file_system_whose_server_is_dead_holds_up_nobody() {
    let Some((mut child, _place)) = dead_file_system() else {
        eprintln!("skipped: no FUSE file system can be mounted here");
        return;
    };
    let of = child.id();
    let (told, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let processes = ProcFs::open().unwrap();
        let all = [processes.opened(of, 50, None), processes.opened(of, 0, None)];
        let _ = told.send((all, processes.modes_behind(of, 50)));
    });
    let found = hears.recv_timeout(std::time::Duration::from_secs(60));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.expect("it waits for the file system"), ([Opened::Other; 2], None));
}
