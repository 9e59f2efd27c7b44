//! What it costs to ask the kernel about sessions: N quiet ones, looked at R times, through a session host
//! over its socket.
//!
//! `probe_cost HOST-PROGRAM N R COMMAND…` prints µs of the host's CPU time for each look, all sessions at
//! once and one by one. `{}` in the command is a number.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use cis_host::control::{HostClient, spawn_host};
use cis_host::protocol::{FromHost, Io, Role, Start, ToHost};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, program, count, rounds, command @ ..] = arguments.as_slice() else {
        println!("usage: probe_cost HOST-PROGRAM N R COMMAND...");
        return;
    };
    let (count, rounds): (u32, u32) = (count.parse().unwrap(), rounds.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("probe-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).into_os_string();
    let argv = [program.into(), path("socket"), path("lock"), folder.clone().into_os_string(), "1000".into()];
    let mut host = spawn_host(&argv, Duration::from_secs(10)).unwrap();
    let mut client = HostClient::connect(folder.join("socket"), Role::Control).unwrap();
    let session = |n: u32| SessionId::from_parts(1, u128::from(n));
    for n in 0..count {
        let start = Start {
            session: session(n),
            label: format!("label-{n}"),
            argv: command.iter().map(|word| word.replace("{}", &n.to_string())).collect(),
            cwd: folder.to_str().unwrap().to_owned(),
            env_base: None,
            env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            umask: None,
            stdin: None,
            lease: None,
            line: None,
            io: Io::Pty(TermSize::default()),
            log: folder.join(format!("log-{n}")).to_str().unwrap().to_owned(),
            log_limit_bytes: 1 << 20,
            timeout_ms: None,
            idle_ms: None,
            warn_ms: None,
            grace_ms: 0,
            files: BTreeMap::new(),
        };
        client.send(&ToHost::Start(Box::new(start))).unwrap();
    }
    wait_for(&mut client, count, |message| matches!(message, FromHost::Started { .. }));
    // Programs take a while until they wait.
    std::thread::sleep(Duration::from_secs(2));
    let pid = host.id();
    let mut readers = 0;
    let mut ask = |client: &mut HostClient, sessions: std::ops::Range<u32>| {
        readers = 0;
        let asked = sessions.len();
        for n in sessions {
            client.send(&ToHost::Probe { session: session(n) }).unwrap();
        }
        client.flush().unwrap();
        wait_for(client, u32::try_from(asked).unwrap(), |message| match message {
            FromHost::Probed { evidence, .. } => {
                readers += u32::from(!evidence.readers.is_empty());
                true
            }
            _ => false,
        });
        readers
    };
    let (began, before) = (Instant::now(), cpu_us(pid));
    let mut waiting = 0;
    for _ in 0..rounds {
        waiting = ask(&mut client, 0..count);
    }
    let looks = f64::from(count * rounds);
    println!(
        "{command:?}: {waiting} of {count} wait; all at once: {:.1} us of CPU each, {:.1} us by the clock",
        (cpu_us(pid) - before) / looks,
        began.elapsed().as_secs_f64() * 1e6 / looks
    );
    let before = cpu_us(pid);
    for n in 0..count {
        ask(&mut client, n..n + 1);
    }
    println!("one by one: {:.1} us of CPU each", (cpu_us(pid) - before) / f64::from(count));
    client.send(&ToHost::Shutdown {}).unwrap();
    client.flush().unwrap();
    host.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Waits for so many messages that are so.
fn wait_for(client: &mut HostClient, count: u32, mut is: impl FnMut(&FromHost) -> bool) {
    let mut got = 0;
    while got < count {
        client.wait(Duration::from_secs(10)).unwrap();
        client.flush().unwrap();
        got +=
            u32::try_from(client.receive_messages().unwrap().iter().filter(|one| is(one)).count()).unwrap();
    }
}

/// CPU time of a process itself, without its children, µs.
fn cpu_us(pid: u32) -> f64 {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let on_cpu_ns: f64 =
        schedstat.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    on_cpu_ns / 1e3
}
