//! What is told of descriptors, and that nothing is asked of the files behind them.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::fs::makedev;

use super::*;
use crate::os::{Processes as _, open_pty};

fn pid() -> u32 {
    std::process::id()
}

fn opened(descriptor: RawFd) -> Opened {
    ProcFs::open().unwrap().opened(pid(), descriptor.unsigned_abs(), None, &mut Mounts::default())
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
    let pts = Mount::Terminals { device: makedev(0, 24), bound: None };
    let nine = Some(Terminal::of_index(9, makedev(0, 24)));
    assert_eq!(terminal_at(told, pts, "/elsewhere (deleted)", None), nine);
    assert_eq!(terminal_at(untold, pts, "/dev/pts/9", None), nine);
    assert_eq!(terminal_at(untold, pts, "/dev/pts/9 (deleted)", None), nine);
    let bound = Mount::Terminals { device: makedev(0, 300), bound: Some(7) };
    let seven = Some(Terminal::of_index(7, makedev(0, 300)));
    assert_eq!(terminal_at(untold, bound, "/dev/console", None), seven);
    let controls = Some(Terminal::of_index(1, makedev(0, 24)));
    let ptmx = Place { mount: 26, inode: Some(2) };
    assert_eq!(terminal_at(ptmx, pts, "/dev/pts/ptmx", controls), None);
}

#[test]
fn a_file_that_is_called_like_a_terminal_is_none() {
    let at = Place { mount: 31, inode: Some(9) };
    let controls = Some(Terminal::of_index(1, makedev(0, 24)));
    for link in ["/dev/pts/6", "/dev/tty"] {
        assert_eq!(terminal_at(at, Mount::Other, link, controls), None, "{link}");
    }
    assert_eq!(terminal_at(at, Mount::Devices, "/dev/pts/6", controls), None);
}

#[test]
fn the_controlling_terminal_is_known_by_its_name_also_in_a_changed_root() {
    let at = Place { mount: 24, inode: Some(9) };
    let controls = Some(Terminal::of_index(1, makedev(0, 24)));
    for link in ["/dev/tty", "/srv/root/dev/tty"] {
        assert_eq!(terminal_at(at, Mount::Devices, link, controls), controls, "{link}");
        assert_eq!(terminal_at(at, Mount::Devices, link, None), None, "{link}");
    }
    for link in ["/dev/tty1", "/srv/dev/ttyS0", "/x/mydev/tty", "/dev/null"] {
        assert_eq!(terminal_at(at, Mount::Devices, link, controls), None, "{link}");
    }
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
        let mounts = &mut Mounts::default();
        let all = [50, 0].map(|descriptor| processes.opened(of, descriptor, None, mounts));
        let process = processes.one(of).unwrap();
        let _ = told.send((all, processes.modes_behind(&process, 50, mounts)));
    });
    let found = hears.recv_timeout(std::time::Duration::from_secs(60));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.expect("it waits for the file system"), ([Opened::Other; 2], None));
}
