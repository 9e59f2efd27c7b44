//! Another user of the machine who pretends to be the node gets no byte.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::harness::{Cis, Running, eventually, is_root, skip};

/// Listens at a socket that everybody can reach, and records all input.
const IMPOSTOR: &str = r#"
import os, socket, sys
path, heard = sys.argv[1:]
os.makedirs(os.path.dirname(path), exist_ok=True)
os.chmod(os.path.dirname(path), 0o777)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
os.chmod(path, 0o777)
server.listen()
open(heard, "w").close()
while True:
    peer, _ = server.accept()
    peer.settimeout(5)
    with open(heard, "ab", 0) as file:
        try:
            while data := peer.recv(65536):
                file.write(data)
        except TimeoutError:
            pass
"#;

const DAG: &str = "version = 1\n[dag]\nid = \"mine\"\n[[tasks]]\nid = \"a\"\nscript = 'echo words'\n";

/// Returns two uids. `None`: this test cannot switch users.
fn two_users() -> Option<(u32, u32)> {
    if !is_root() {
        skip("becoming other users needs root");
        return None;
    }
    // Derived from this process's id, so that parallel tests have other directories below /tmp.
    let first = 100_000 + 2 * std::process::id();
    Some((first, first + 1))
}

/// Starts the impostor. Returns it with the file of what it received.
fn impostor(of: &Cis, user: u32, socket: &Path) -> (Running, PathBuf) {
    let own = of.work().join(format!("impostor-{user}"));
    fs::create_dir(&own).unwrap();
    chown(&own, Some(user), Some(user)).unwrap();
    let heard = own.join("heard");
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).args(["--clear-groups", "--"]);
    // A shell starts the program, because setpriv(1) still searches for programs with root's capabilities.
    command.args(["sh", "-c", "exec python3 -c \"$0\" \"$@\"", IMPOSTOR]).arg(socket).arg(&heard);
    let running = Running::start(command);
    eventually("the impostor listens", || heard.exists().then_some(()));
    (running, heard)
}

fn socket_below(base: &Path, of: &Cis) -> PathBuf {
    let digest = Sha256::digest(of.home().as_os_str().as_encoded_bytes());
    base.join(hex::encode(&digest[..6])).join("node.sock")
}

#[track_caller]
fn refused(of: &Cis, command: &[&str], why: &str) {
    let out = of.run(command);
    assert!(matches!(out.code, Some(2 | 3)), "{out:?}");
    assert!(out.stderr.contains(why), "{out:?}");
}

#[test]
fn a_socket_that_another_user_made_first_is_not_used() {
    let Some((user, other)) = two_users() else { return };
    let victim = Cis::as_user(user).env("XDG_RUNTIME_DIR", "").env("PRIVATE", "environment of the submitter");
    let base = PathBuf::from(format!("/tmp/cis-{user}"));
    let (impostor, heard) = impostor(&victim, other, &socket_below(&base, &victim));
    let dag = victim.write("dag.toml", DAG);
    let commands: [&[&str]; 8] = [
        &["dag", "run", dag.to_str().unwrap()],
        &["session", "create", "--", "true"],
        &["dag", "list"],
        &["node", "status"],
        &["node", "start", "--detach"],
        &["node", "stop", "--kill-sessions"],
        &["inbox"],
        &["store", "gc"],
    ];
    for command in commands {
        refused(&victim, command, &format!("uid {other}"));
    }
    victim.run(["doctor"]).expect(3);
    assert_eq!(fs::read(&heard).unwrap(), b"", "the impostor received bytes");
    drop(impostor);
    fs::remove_dir_all(&base).unwrap();
    victim.dag(DAG, &[]).expect(0);
    victim.stop();
    fs::remove_dir_all(&base).unwrap();
}

#[test]
fn a_listener_of_another_user_in_a_private_directory_is_not_used() {
    let Some((user, other)) = two_users() else { return };
    let victim = Cis::as_user(user).env("PRIVATE", "environment of the submitter");
    let base = victim.runtime().join("cis");
    let socket = socket_below(&base, &victim);
    fs::set_permissions(victim.runtime(), fs::Permissions::from_mode(0o777)).unwrap();
    let (_impostor, heard) = impostor(&victim, other, &socket);
    for directory in [&victim.runtime(), &base, socket.parent().unwrap()] {
        chown(directory, Some(user), Some(user)).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let dag = victim.write("dag.toml", DAG);
    for command in
        [&["dag", "run", dag.to_str().unwrap()][..], &["node", "status"], &["node", "start", "--detach"]]
    {
        refused(&victim, command, &format!("uid {other}"));
    }
    assert_eq!(fs::read(&heard).unwrap(), b"", "the impostor received bytes");
}

#[test]
fn a_session_does_not_use_a_socket_of_another_user() {
    let Some((user, other)) = two_users() else { return };
    let victim = Cis::as_user(user);
    let public = victim.work().join("public");
    fs::create_dir(&public).unwrap();
    chown(&public, Some(other), Some(other)).unwrap();
    let socket = public.join("node.sock");
    let (_impostor, heard) = impostor(&victim, other, &socket);
    let mut command = victim.command(["node", "status"]);
    command.env("CIS_SOCKET", &socket).env("CIS_TOKEN", "a token");
    let out = Running::start(command).wait().expect(3);
    assert!(out.stderr.contains(&format!("uid {other}")), "{out:?}");
    assert_eq!(fs::read(&heard).unwrap(), b"", "the impostor received bytes");
}

#[test]
fn a_home_of_another_user_or_one_that_others_write_to_is_refused() {
    let Some((user, other)) = two_users() else { return };
    let victim = Cis::as_user(user);
    let with_mode = |mode| fs::set_permissions(victim.home(), fs::Permissions::from_mode(mode)).unwrap();
    victim.ok(["init"]);
    with_mode(0o770);
    refused(&victim, &["dag", "list"], "others can write");
    refused(&victim, &["dag", "list"], "chmod");
    victim.run(["doctor"]).expect(3);
    with_mode(0o755);
    victim.ok(["dag", "list"]);
    let status = victim.status();
    assert!(status["warnings"].to_string().contains("chmod 700"), "{status}");
    victim.stop();
    chown(victim.home(), Some(other), Some(other)).unwrap();
    for command in [&["dag", "list"][..], &["init"], &["node", "serve"], &["store", "check"]] {
        refused(&victim, command, &format!("belongs to uid {other}"));
    }
    victim.run(["doctor"]).expect(3);
    chown(victim.home(), Some(user), Some(user)).unwrap();
}
