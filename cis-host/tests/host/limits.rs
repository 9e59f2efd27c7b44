//! Full disks, long logs, no descriptors left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cis_host::log::{Chunk, LogReader, read_times};
use cis_host::protocol::{FromHost, Role, Start, StartFailure, ToHost};

use crate::support::Host;

#[test]
fn a_log_keeps_its_beginning_and_its_end() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start { log_limit_bytes: 256 << 10, ..host.shell("seq 1 500000") };
    let exit = control.run(&start);
    let expected: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(exit.output_bytes, expected.len() as u64);
    let mut reader = LogReader::open(&host.log_path(start.session)).unwrap();
    assert_eq!(reader.total().unwrap(), exit.output_bytes);
    let (mut at, mut cut) = (0, 0);
    loop {
        match reader.read(at, 10_000).unwrap() {
            Chunk::Data { offset, bytes } => {
                assert_eq!(offset, at);
                let from = usize::try_from(offset).unwrap();
                assert!(expected.as_bytes()[from..from + bytes.len()] == bytes);
                at += bytes.len() as u64;
            }
            Chunk::Cut { from, to } => {
                assert_eq!(from, 128 << 10, "the first half is kept");
                cut += to - from;
                at = to;
            }
            Chunk::End => break,
        }
    }
    assert_eq!((at, cut), (exit.output_bytes, exit.cut_bytes));
    assert!(exit.output_bytes - cut <= start.log_limit_bytes);
    // Who watches gets the same, with the cut named.
    let mut late = host.connect(Role::Stream);
    late.send(&ToHost::Watch { session: start.session, from: 0 });
    late.exit(start.session);
    let gap = late.expect("a gap", |message| match message {
        FromHost::Gap { from, to, .. } => Some(to - from),
        _ => None,
    });
    assert_eq!(gap, cut);
}

#[test]
fn times_are_kept_where_output_comes_in_bursts() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell("echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    let exit = control.run(&start);
    let marks = read_times(&host.log_path(start.session)).unwrap();
    assert_eq!(marks.iter().map(|mark| mark.offset).collect::<Vec<_>>(), [0, 4, 8]);
    assert!(marks.is_sorted_by(|a, b| b.at_ms - a.at_ms >= 100));
    assert!(marks[0].at_ms >= exit.started_ms && marks[2].at_ms <= exit.ended_ms);
    let burst = host.shell("echo one; echo two");
    control.run(&burst);
    assert_eq!(read_times(&host.log_path(burst.session)).unwrap(), []);
}

#[test]
fn a_log_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let host = Host::start();
    let mut control = host.control();
    let start = Start {
        log: "/no/such/folder/log".to_owned(),
        ..host.shell("seq 1 100000; sleep 0.7; seq 1 100000")
    };
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    let exit = control.exit(start.session);
    assert_eq!(exit.cut_bytes, exit.output_bytes);
    let expected: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(exit.output_bytes, 2 * expected.len() as u64);
    let troubles =
        control.messages.iter().filter(|message| matches!(message, FromHost::LogTrouble { .. })).count();
    assert_eq!(troubles, 1);
}

#[test]
fn a_log_goes_on_when_the_disk_does() {
    let host = Host::start();
    let mut control = host.control();
    let folder = host.path("logs/of/a/run");
    let log = folder.join("log");
    let script = "echo lost; while [ ! -e go ]; do sleep 0.05; done; sleep 0.7; echo kept; echo and more";
    let start = Start { log: log.to_str().unwrap().to_owned(), ..host.shell(script) };
    control.start(&start);
    control.expect("trouble", |message| match message {
        FromHost::LogTrouble { detail, .. } => {
            assert!(detail.contains("cannot be written"), "{detail}");
            Some(())
        }
        _ => None,
    });
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(host.path("go"), "").unwrap();
    let exit = control.exit(start.session);
    assert_eq!((exit.output_bytes, exit.cut_bytes), (19, 5));
    let mut reader = LogReader::open(&log).unwrap();
    assert_eq!(reader.read(0, 100).unwrap(), Chunk::Cut { from: 0, to: 5 });
    let Chunk::Data { offset, bytes } = reader.read(5, 100).unwrap() else { panic!("no data") };
    assert_eq!((offset, bytes.as_slice()), (5, &b"kept\nand more\n"[..]));
}

#[test]
fn without_descriptors_starts_wait_and_the_host_stays_reachable() {
    let host = Host::start_with(&["prlimit", "--nofile=64:64"]);
    let mut control = host.control();
    let mut living = Vec::new();
    let detail = loop {
        let start = host.shell_on_pty("while :; do sleep 0.1; done");
        control.send(&ToHost::Start(Box::new(start.clone())));
        let failure = control.expect("an answer", |message| match message {
            FromHost::Started { .. } => Some(None),
            FromHost::StartFailed { why, .. } => Some(Some(why.clone())),
            _ => None,
        });
        match failure {
            None => living.push(start.session),
            Some(StartFailure::Resources { detail }) => break detail,
            Some(other) => panic!("{other:?}"),
        }
        assert!(living.len() < 64);
    };
    assert!(detail.contains("Too many open files"), "{detail}");
    assert!(living.len() > 10);
    // Another node can still take over, and room that is made is used.
    let mut control = host.control();
    assert_eq!(control.welcome().len(), living.len());
    control.send(&ToHost::Kill { session: living[0], grace_ms: None });
    control.exit(living[0]);
    let ulimit = host.shell("ulimit -n");
    control.run(&ulimit);
    assert_eq!(host.log(ulimit.session), "64\n");
}
