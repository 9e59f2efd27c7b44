//! Starting: what a session gets, and what is said where it cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cis_core::api::TermSize;
use cis_core::event::ExitStatus;
use cis_host::protocol::{FromHost, Io, Start, StartFailure, ToHost};

use crate::support::Host;

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let host = Host::start();
    let mut control = host.control();
    let exit = control.run(&host.shell("exit 7"));
    assert_eq!((exit.status, exit.killed, exit.timed_out), (ExitStatus::Code(7), false, false));
    assert_eq!(control.run(&host.shell("kill -USR1 $$")).status, ExitStatus::Signal(10));
    let silent = host.command(&["true"]);
    let exit = control.run(&silent);
    assert!(exit.status.is_success() && exit.ended_ms >= exit.started_ms);
    assert_eq!((exit.output_bytes, exit.cut_bytes), (0, 0));
    assert!(!host.log_path(silent.session).exists(), "a session without output has no log");
}

#[test]
fn a_terminal_is_the_controlling_one_and_has_its_size() {
    let host = Host::start();
    let mut control = host.control();
    // The process id, the session's and that of the terminal's foreground group.
    let script = "stty size </dev/tty; cut -d' ' -f1,6,8 /proc/$$/stat; test -t 0 && test -t 1 && test -t 2 && echo all";
    let start = Start { io: Io::Pty(TermSize { cols: 101, rows: 33 }), ..host.shell(script) };
    let pid = control.start(&start);
    control.exit(start.session);
    let log = host.log(start.session);
    let lines: Vec<&str> = log.lines().collect();
    let ids: Vec<u32> = lines[1].split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!((lines[0], ids, lines[2]), ("33 101", vec![pid; 3], "all"));
}

#[test]
fn resizing_reaches_the_program() {
    let host = Host::start();
    let mut control = host.control();
    let start =
        host.shell_on_pty("trap 'stty size; exit' WINCH; echo waiting; while :; do read -r line; done");
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, "waiting");
    control.send(&ToHost::Resize { session: start.session, size: TermSize { cols: 120, rows: 40 } });
    control.wait_for_output(start.session, "40 120");
    control.exit(start.session);
}

#[test]
fn pipes_join_both_outputs_and_stdin_ends() {
    let host = Host::start();
    let mut control = host.control();
    let quiet = host.shell("cat; test -t 1 || echo no terminal; echo error >&2");
    assert!(control.run(&quiet).status.is_success(), "stdin is /dev/null");
    assert_eq!(host.log(quiet.session), "no terminal\nerror\n");
    let start = Start { io: Io::Pipes { stdin: true }, ..host.shell("cat; echo end") };
    control.start(&start);
    control.client.send_input(start.session, None, b"one\n").unwrap();
    control.client.send_input(start.session, None, b"two\n").unwrap();
    control.send(&ToHost::CloseStdin { session: start.session });
    control.exit(start.session);
    assert_eq!(host.log(start.session), "one\ntwo\nend\n");
}

#[test]
fn the_environment_is_the_base_with_what_is_on_top() {
    let host = Host::start();
    let mut control = host.control();
    let vars =
        [("PATH", "/usr/bin:/bin"), ("A", "base"), ("B", "base")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    control.send(&ToHost::Env { name: "run".to_owned(), vars: vars.into() });
    let start = Start {
        env_base: Some("run".to_owned()),
        env: [("B".to_owned(), "own".to_owned())].into(),
        ..host.command(&["env"])
    };
    control.run(&start);
    let log = host.log(start.session);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    let label = format!("CIS_ATTEMPT={}", start.label);
    assert_eq!(lines, ["A=base", "B=own", &label, "PATH=/usr/bin:/bin"]);
    control.send(&ToHost::DropEnv { name: "run".to_owned() });
    let again = Start { env_base: Some("run".to_owned()), ..host.command(&["env"]) };
    let StartFailure::Program { detail } = control.start_fails(&again) else { panic!("not its fault") };
    assert!(detail.contains("`run` was not sent"), "{detail}");
}

#[test]
fn signals_umask_and_descriptors_are_as_for_any_program() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; umask; ulimit -Sn");
    control.run(&start);
    let log = host.log(start.session);
    let (masks, rest) = log.split_at(log.match_indices('\n').nth(1).unwrap().0 + 1);
    for mask in masks.lines() {
        let bits = u64::from_str_radix(mask.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // From 32 on they are libc's own.
        assert_eq!(bits & 0x7fff_ffff, 0, "{mask}");
    }
    let own_umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(own_umask);
    let own_limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(rest, format!("0\n1\n2\n3\n{:04o}\n{own_limit}\n", own_umask.bits()), "3 is what ls reads");
}

#[test]
fn sessions_get_their_own_umask_or_the_one_that_the_host_is_given() {
    let host = Host::start_with_settings(&["30000", "027"]);
    let mut control = host.control();
    let start = host.shell("umask");
    control.run(&start);
    assert_eq!(host.log(start.session), "0027\n");
    let own = Start { umask: Some(0o006), ..host.shell("umask") };
    control.run(&own);
    assert_eq!(host.log(own.session), "0006\n", "a session may have its own");
}

#[test]
fn files_are_placed_first_and_are_private() {
    let host = Host::start();
    let mut control = host.control();
    let file = host.path("hooks/inner/hook.json");
    let file_text = file.to_str().unwrap().to_owned();
    let start = Start {
        files: [(file_text.clone(), "content".to_owned())].into(),
        ..host.command(&["cat", &file_text])
    };
    control.run(&start);
    assert_eq!(host.log(start.session), "content");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(host.log_path(start.session)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(host.path("socket")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_missing_is_named() {
    let host = Host::start();
    let mut control = host.control();
    let file = host.path("script");
    fs::write(&file, "echo hello\n").unwrap();
    let file = file.to_str().unwrap();
    let interpreter = host.path("interpreted");
    fs::write(&interpreter, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).unwrap();
    let runnable = host.path("runnable");
    fs::write(&runnable, "echo hello\n").unwrap();
    fs::set_permissions(&runnable, fs::Permissions::from_mode(0o755)).unwrap();
    let long = "x".repeat(200_000);
    let in_folder = |cwd: &str| Start { cwd: cwd.to_owned(), ..host.command(&["true"]) };
    let cases = [
        (host.command(&["no-such-program-here"]), "is in none of the directories of PATH"),
        (host.command(&["/no/such/program"]), "/no/such/program does not exist"),
        (host.command(&[file]), "set its permission with chmod +x"),
        (host.command(&[interpreter.to_str().unwrap()]), "the interpreter that"),
        (host.command(&[runnable.to_str().unwrap()]), "#!/bin/sh"),
        (host.command(&["echo", &long]), "longer than the system takes"),
        (host.command(&[]), "its command is empty"),
        (host.command(&["echo", "a\0b"]), "null byte"),
        (in_folder("/no/such/folder"), "the directory /no/such/folder does not exist"),
        (in_folder(file), "is not a directory"),
        (in_folder("relative"), "is not an absolute path"),
    ];
    for (mut start, expected) in cases {
        for io in [Io::Pipes { stdin: false }, Io::Pty(TermSize::default())] {
            start.io = io;
            match control.start_fails(&start) {
                StartFailure::Program { detail } => {
                    assert!(detail.contains(expected), "{detail} / {expected}")
                }
                other => panic!("{other:?} for {expected}"),
            }
        }
    }
    assert!(control.run(&host.command(&["true"])).status.is_success(), "it is as good as before");
}

#[test]
fn a_second_start_of_a_session_starts_nothing() {
    let host = Host::start();
    let mut control = host.control();
    let start = host.shell("echo once >> runs; read -r line");
    let start = Start { io: Io::Pty(TermSize::default()), ..start };
    let pid = control.start(&start);
    assert_eq!(control.start(&start), pid);
    control.client.send_input(start.session, None, b"go\n").unwrap();
    control.client.flush().unwrap();
    control.exit(start.session);
    assert_eq!(control.start(&start), pid, "also once it ended");
    control.exit(start.session);
    assert_eq!(fs::read_to_string(host.path("runs")).unwrap(), "once\n");
    control.send(&ToHost::AckExit { session: start.session });
    control.send(&ToHost::Probe { session: start.session });
    control
        .expect("it is forgotten", |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
}
