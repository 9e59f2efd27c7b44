//! Lists as the kernel writes them, and as a program may have it write them.

use std::cell::RefCell;
use std::process::Command;

use super::*;

const LIST: &str = "\
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=4k
26 24 0:24 / /dev/pts rw,relatime shared:3 master:1 - devpts devpts rw,mode=600
29 26 0:300 /7 /dev/console rw,relatime - devpts devpts rw
31 27 0:40 / /home/a\\040b rw - fuse.sshfs host: rw
33 27 0:41 / /tmp rw - tmpfs tmpfs rw
";

/// Of all processes the same list; which were read, and how much of them was asked for.
struct Lists {
    text: Vec<u8>,
    reads: RefCell<Vec<(u32, usize)>>,
}

impl Lists {
    fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), reads: RefCell::default() }
    }

    fn read(&self, pid: u32, most: usize) -> Option<Vec<u8>> {
        self.reads.borrow_mut().push((pid, most));
        Some(self.text[..most.min(self.text.len())].to_vec())
    }
}

#[test]
fn mounts_are_told_apart() {
    let mut mounts = Mounts::default();
    let lists = Lists::new(LIST);
    let mut find = |number| mounts.find(7, number, |pid, most| lists.read(pid, most));
    assert_eq!(find(24), Some(Mount::Devices));
    assert_eq!(find(33), Some(Mount::Devices));
    assert_eq!(find(26), Some(Mount::Terminals { device: makedev(0, 24), bound: None }));
    assert_eq!(find(29), Some(Mount::Terminals { device: makedev(0, 300), bound: Some(7) }));
    assert_eq!(find(31), Some(Mount::Other), "however its files are called");
    assert_eq!(find(2), None);
}

#[test]
fn a_list_of_megabytes_is_read_once_and_in_part() {
    let far = (100..).map(|number| format!("{number} 24 0:50 / /{} rw - tmpfs none rw\n", "x".repeat(200)));
    let mut text = LIST.to_owned();
    far.take(9000).for_each(|line| text.push_str(&line));
    assert!(text.len() > 2 << 20);
    let lists = Lists::new(text);
    let mut mounts = Mounts::default();
    let mut find = |pid, number| mounts.find(pid, number, |pid, most| lists.read(pid, most));
    for _ in 0..3000 {
        assert!(matches!(find(7, 26), Some(Mount::Terminals { .. })));
        assert_eq!(find(7, 9000), None, "beyond what is read of it");
    }
    assert_eq!(*lists.reads.borrow(), [(7, LIST_BYTES_MAX)]);
    for pid in 8..100_000 {
        assert_eq!(find(pid, 9000), None);
    }
    let reads = lists.reads.borrow();
    assert!(reads.iter().map(|(_, most)| most).sum::<usize>() <= LISTS_BYTES_MAX, "{}", reads.len());
}

#[test]
fn processes_without_a_list_are_not_asked_without_end() {
    let mut mounts = Mounts::default();
    let asked = RefCell::new(0);
    for pid in 1..100_000 {
        let none = |_, _| {
            *asked.borrow_mut() += 1;
            None
        };
        assert_eq!(mounts.find(pid, 26, none), None);
    }
    assert!(asked.take() <= LISTS_BYTES_MAX / 512);
}

#[test]
fn a_line_that_is_cut_or_broken_is_none() {
    let lists = [
        "24 27 0:6 / /dev rw - tmp",
        "",
        "\n\n",
        "x 1 0:6 / / rw - tmpfs\n",
        "24 1 0 / /dev rw - devpts d\n",
        " - \n",
    ];
    for text in lists {
        let lists = Lists::new(text);
        assert_eq!(Mounts::default().find(7, 24, |pid, most| lists.read(pid, most)), None, "{text}");
    }
}

/// The test of this name, in a namespace of mounts of its own.
const CHANGES: &str = "os::mounts::tests::our_own_list_is_read_again_when_mounts_change";
/// Set there, to a directory.
const INSIDE: &str = "CIS_TEST_MOUNTS";

#[test]
fn our_own_list_is_read_again_when_mounts_change() {
    if let Some(place) = std::env::var_os(INSIDE) {
        return inside(&place);
    }
    let unshare = ["--map-root-user", "--mount"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no namespace of mounts can be made here");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(unshare).arg(std::env::current_exe().unwrap()).args(["--exact", CHANGES]);
    let output = command.env(INSIDE, place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn inside(place: &std::ffi::OsStr) {
    let (mut mounts, mut reads) = (OwnMounts::default(), 0);
    let mut find = |number| {
        let found = mounts.find(number, |most| {
            reads += 1;
            let file = std::fs::File::open("/proc/self/mountinfo").unwrap();
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(&file, most as u64), &mut text).unwrap();
            Some((file.into(), text))
        });
        (found, reads)
    };
    assert_eq!(find(u64::MAX), (None, 1));
    assert_eq!(find(u64::MAX), (None, 1), "nothing changed");
    let mount =
        |args: &[&std::ffi::OsStr]| assert!(Command::new("mount").args(args).status().unwrap().success());
    mount(&["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), place]);
    assert_eq!(find(u64::MAX), (None, 2));
    assert_eq!(find(u64::MAX), (None, 2));
}
