//! What a session costs: N short commands, J at a time, through a session host over its socket.
//!
//! `host_cost HOST-PROGRAM pipe|pty N J` prints ms each, and the CPU time of the host and of this client.
//! The floor to compare with is a program that does no more than spawn, drain and reap.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use cis_host::control::{HostClient, spawn_host};
use cis_host::protocol::{FromHost, Io, Role, Start, ToHost};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, program, kind, count, parallel] = arguments.as_slice() else {
        println!("usage: host_cost HOST-PROGRAM pipe|pty N J");
        return;
    };
    let (count, parallel): (usize, usize) = (count.parse().unwrap(), parallel.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("host-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).into_os_string();
    let argv = [program.into(), path("socket"), path("lock"), folder.clone().into_os_string(), "1000".into()];
    let mut host = spawn_host(&argv, Duration::from_secs(10)).unwrap();
    let io = if kind == "pty" { Io::Pty(TermSize::default()) } else { Io::Pipes { stdin: false } };
    let mut client = HostClient::connect(folder.join("socket"), Role::Control).unwrap();
    client.send(&ToHost::Env { name: "env".into(), vars: std::env::vars().collect() }).unwrap();
    let start = |n: usize| Start {
        session: SessionId::from_parts(1, n as u128),
        label: format!("01JD0V3Z8K6T9W2B5N7Q4R1XEC:task-{n}#1"),
        argv: ["sh", "-c", "true && : x"].map(str::to_owned).into(),
        cwd: folder.to_str().unwrap().to_owned(),
        env_base: Some("env".to_owned()),
        env: [
            ("CIS_TASK_ID", "task"),
            ("CIS_SOCKET", "/run/user/1000/cis.sock"),
            ("CIS_TOKEN", "0123456789abcdef"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        umask: None,
        line: None,
        io,
        log: folder.join(format!("log-{n}")).to_str().unwrap().to_owned(),
        log_limit_bytes: 64 << 20,
        timeout_ms: None,
        idle_ms: None,
        warn_ms: None,
        grace_ms: 10_000,
        files: BTreeMap::new(),
        stdin: None,
        lease: None,
    };
    let began = Instant::now();
    let (mut started, mut ended) = (0, 0);
    while ended < count {
        while started < count && started - ended < parallel {
            client.send(&ToHost::Start(Box::new(start(started)))).unwrap();
            started += 1;
        }
        client.flush().unwrap();
        client.wait(Duration::from_secs(10)).unwrap();
        for message in client.receive_messages().unwrap() {
            if let FromHost::Exited { session, exit } = message {
                assert!(exit.status.is_success());
                client.send(&ToHost::AckExit { session }).unwrap();
                ended += 1;
            }
        }
    }
    let each = began.elapsed().as_secs_f64() * 1e3 / count as f64;
    println!(
        "{kind} n={count} j={parallel} {each:.3} ms each; own CPU: host {:.3}, client {:.3} ms each",
        cpu_ms(&host.id().to_string()) / count as f64,
        cpu_ms("self") / count as f64,
    );
    client.send(&ToHost::Shutdown {}).unwrap();
    client.flush().unwrap();
    host.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// CPU time of a process itself, without its children, ms.
fn cpu_ms(pid: &str) -> f64 {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let on_cpu_ns: f64 =
        schedstat.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    on_cpu_ns / 1e6
}
