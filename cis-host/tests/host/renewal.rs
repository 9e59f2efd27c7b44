//! The program of a host is replaced by another one: the process and its sessions stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cis_core::event::ExitStatus;
use cis_core::ids::SessionId;
use cis_host::control::{Renewed, renew, spawn_host};
use cis_host::protocol::{Exit, FromHost, Role, Start, ToHost};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Host, PATIENCE, Peer, command, input_id, processes_with, until};

impl Host {
    /// Another program that does the same: its file is another one.
    fn other_program(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::copy(env!("CARGO_BIN_EXE_session-host-alone"), &path).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"another").unwrap();
        path
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// The command of the host, with this program.
    fn command_of(&self, program: &str) -> Vec<String> {
        let words = command(self.folder.path(), &[], "30000");
        let words = words.into_iter().skip(1).map(|word| word.into_string().unwrap());
        [program.to_owned()].into_iter().chain(words).collect()
    }

    fn ask(&self, control: &mut Peer, program: &str) -> Renewed {
        renew(&mut control.client, self.command_of(program), &mut control.messages, PATIENCE).unwrap()
    }

    /// Replaces the program, and connects again. Returns the connection, and the exits that its welcome tells.
    #[track_caller]
    fn become_other(&self, mut control: Peer, name: &str) -> (Peer, BTreeMap<SessionId, Exit>) {
        let program = self.other_program(name);
        let outcome = self.ask(&mut control, program.to_str().unwrap());
        assert!(matches!(outcome, Renewed::Yes), "{outcome:?}");
        let mut control = self.control();
        let known = control.welcome();
        assert_eq!(fs::read_link(format!("/proc/{}/exe", self.pid())).unwrap(), program);
        (control, known.into_iter().filter_map(|known| Some((known.session, known.exit?))).collect())
    }
}

/// Descriptors of a process.
fn descriptors_of(pid: u32) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
    let mut numbers: Vec<_> = all.map(|entry| entry.file_name().into_string().unwrap()).collect();
    numbers.sort();
    numbers
}

#[test]
fn alone_a_hundred_busy_sessions_go_on_through_five_programs() {
    let host = Host::start();
    let mut control = host.control();
    let count = "n=0; until [ -e go ]; do echo $n; n=$((n+1)); sleep 0.05; done; echo end $n";
    let long: Vec<Start> = (0..100)
        .map(|n| {
            let script = format!("{count}; exit {n}");
            if n % 2 == 0 { host.shell(&script) } else { host.shell_on_pty(&script) }
        })
        .collect();
    let pids: Vec<u32> = long.iter().map(|start| control.start(start)).collect();
    let times = |start: &Start| fs::exists(host.path(&format!("{}.log.times", start.session))).unwrap();
    until("all have all their files", || long.iter().all(times));
    let quiet = descriptors_of(host.pid()).len();
    let mut exits = BTreeMap::new();
    let mut short = Vec::new();
    for round in 0..5 {
        // They end before, while and after the program is replaced.
        for n in 0..30 {
            let start = host.shell(&format!("sleep 0.{:03}; echo said; exit {n}", n * 7));
            control.start(&start);
            short.push((start.session, n));
        }
        let known;
        (control, known) = host.become_other(control, &format!("other{round}"));
        exits.extend(known);
    }
    for (session, code) in &short {
        let exit = exits.remove(session).unwrap_or_else(|| control.exit(*session));
        assert_eq!((exit.status, exit.output_bytes), (ExitStatus::Code(*code), 5));
        assert_eq!(host.log(*session), "said\n");
        control.send(&ToHost::AckExit { session: *session });
    }
    until("no descriptor is left of what ended", || descriptors_of(host.pid()).len() <= quiet);
    for (start, pid) in long.iter().zip(&pids) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
        assert_eq!(parent, host.pid().to_string(), "{}", start.label);
    }
    fs::write(host.path("go"), "").unwrap();
    for (n, start) in (0..).zip(&long) {
        assert_eq!(control.exit(start.session).status, ExitStatus::Code(n));
        let log = host.log(start.session);
        let lines: Vec<&str> = log.lines().collect();
        let (last, counted) = lines.split_last().unwrap();
        assert_eq!(last.trim_end(), format!("end {}", counted.len()), "lines are missing or doubled");
        assert!(counted.iter().enumerate().all(|(n, line)| line.trim_end() == n.to_string()), "{log}");
    }
}

#[test]
fn the_process_and_what_sessions_get_stay_as_they_were() {
    let host = Host::start_with(&["prlimit", "--nofile=500:3000"]);
    let mut control = host.control();
    let of_process = || {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", host.pid())).unwrap();
        let status = read("status");
        let is_kept = |line: &&str| {
            ["Name", "Umask", "PPid", "Uid", "Threads", "SigBlk", "SigIgn", "SigCgt", "NStgid"]
                .contains(&line.split(':').next().unwrap())
        };
        let status: Vec<String> = status.lines().filter(is_kept).map(str::to_owned).collect();
        let cwd = fs::read_link(format!("/proc/{}/cwd", host.pid())).unwrap();
        (status, read("limits"), read("environ"), read("cgroup"), cwd, descriptors_of(host.pid()).len())
    };
    fs::create_dir(host.path("new")).unwrap();
    let asks = host.shell_on_pty("printf 'name? '; read name; echo \"hello $name\"; sleep 1000");
    control.start(&asks);
    until("it asks, and its log is open", || host.log_path(asks.session).exists());
    let before = of_process();
    let (mut control, _) = host.become_other(control, "new/session-host-alone");
    assert_eq!(of_process(), before);
    let env =
        host.shell("ulimit -n; ulimit -Hn; umask; ls /proc/self/fd | wc -l; env | grep -c CIS_ENVIRONMENT");
    control.run(&env);
    // The listing has one of its own.
    assert_eq!(host.log(env.session), format!("500\n3000\n{}\n4\n0\n", umask()));
    control.client.send_input(asks.session, Some(input_id(1)), b"world\n").unwrap();
    control.send(&ToHost::Watch { session: asks.session, from: 0 });
    control.wait_for_output(asks.session, "hello world");
    // What loses its parents comes to this process, and ends with its session.
    let leaves = host.shell("(setsid sleep 1000 &) ; exit 4");
    assert_eq!(control.run(&leaves).status, ExitStatus::Code(4));
    assert_eq!(processes_with(&leaves.label), [0; 0]);
    control.send(&ToHost::Kill { session: asks.session, grace_ms: Some(0) });
    assert!(control.exit(asks.session).killed);
}

fn umask() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned()
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let host = Host::start();
    let mut control = host.control();
    let goes_on = host.shell("until [ -e go ]; do sleep 0.05; done; exit 6");
    let pid = control.start(&goes_on);
    fs::write(host.path("plain"), "#!/bin/sh\n").unwrap();
    let at = |name: &str| host.path(name).display().to_string();
    let exe = fs::read_link(format!("/proc/{}/exe", host.pid())).unwrap();
    let scripts = [
        ("unknown", "exit 1"),
        ("hangs", "exec sleep 1000"),
        // It says yes, and is not there any more when it is executed.
        ("vanishes", "rm \"$0\""),
        ("crashes", "kill -9 $$"),
    ];
    scripts.iter().for_each(|(name, text)| drop(host.script(name, text)));
    let descriptors = descriptors_of(host.pid());
    for (program, why) in [
        (at("missing"), "does not exist"),
        (at("plain"), "may not be executed"),
        ("relative".to_owned(), "absolute path"),
        (at("unknown"), "cannot take over"),
        (at("crashes"), "cannot take over"),
        (at("hangs"), "did not answer in time"),
        (at("vanishes"), "cannot execute"),
    ] {
        match host.ask(&mut control, &program) {
            Renewed::No { why: said } => assert!(said.contains(why), "{program}: {said}"),
            Renewed::Yes => panic!("{program}"),
        }
        assert!(control.run(&host.command(&["true"])).status.is_success(), "the connection is as before");
        assert_eq!(descriptors_of(host.pid()), descriptors, "{program}");
        assert_eq!(fs::read_link(format!("/proc/{}/fd/0", host.pid())).unwrap(), PathBuf::from("/dev/null"));
    }
    assert_eq!(fs::read_link(format!("/proc/{}/exe", host.pid())).unwrap(), exe);
    assert_eq!(processes_with(&at("hangs")), [0; 0]);
    // Only the node may ask, and nobody while the host ends.
    let mut stream = host.connect(Role::Stream);
    stream.send(&ToHost::Renew { command: host.command_of("/bin/true") });
    assert!(std::iter::repeat_with(|| stream.receive()).take(1000).any(|received| received.is_err()));
    // It still can, and the session never noticed anything.
    let (mut control, _) = host.become_other(control, "other");
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(control.exit(goes_on.session).status, ExitStatus::Code(6));
    assert_eq!(fs::metadata(format!("/proc/{pid}")).ok().map(drop), None);
}

#[test]
fn a_node_that_comes_meanwhile_is_not_cut_off() {
    let host = Host::start();
    let mut first = host.control();
    first.welcome();
    // It answers only after the next node is there. It waits without a child process, which would outlive it for a moment.
    let next = host.path("next");
    mknodat(CWD, &next, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut next = fs::OpenOptions::new().read(true).write(true).open(next).unwrap();
    let slow = host.script("slow", "read -r line < next");
    first.send(&ToHost::Renew { command: host.command_of(slow.to_str().unwrap()) });
    until("it is asked", || !processes_with(slow.to_str().unwrap()).is_empty());
    let mut second = host.control();
    second.welcome();
    next.write_all(b"\n").unwrap();
    until("its answer is not waited for", || processes_with(slow.to_str().unwrap()).is_empty());
    assert!(second.run(&host.command(&["true"])).status.is_success());
    assert!(!second.messages.iter().any(|message| matches!(message, FromHost::NotRenewed { .. })));
}

#[test]
fn a_renewed_host_that_is_killed_leaves_what_any_killed_host_leaves() {
    let mut host = Host::start();
    let control = host.control();
    let (mut control, _) = host.become_other(control, "other");
    let (quick, slow) = (host.shell("exit 3"), host.shell("setsid sleep 1000 & sleep 1000"));
    control.run(&quick);
    control.start(&slow);
    let (control, _) = host.become_other(control, "another");
    host.kill();
    drop(control);
    assert!(!processes_with(&slow.label).is_empty());
    let mut next = spawn_host(&command(host.folder.path(), &[], "2000"), PATIENCE).unwrap();
    assert_eq!(processes_with(&slow.label), [0; 0]);
    let mut control = Peer::connect(&host.path("socket"), Role::Control);
    let known = control.welcome();
    let exit = known.iter().find(|known| known.session == quick.session).and_then(|known| known.exit.clone());
    assert_eq!(exit.map(|exit| exit.status), Some(ExitStatus::Code(3)));
    control.send(&ToHost::AckExit { session: quick.session });
    drop(control);
    until("it ends", || next.try_wait().unwrap().is_some());
}
