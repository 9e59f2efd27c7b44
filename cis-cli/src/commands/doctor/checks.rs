//! Directories, the service manager, and the node that runs.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use cis_core::api::NodeView;
use cis_core::text;
use cis_node::config::Config;
use rustix::fs::statvfs;

use super::Check;
use crate::error::CliError;

/// Paths of sockets have room for 108 bytes with the final zero: unix(7).
const SOCKET_PATH_BYTES_MAX: usize = 107;
const DISK_WARN_BYTES: u64 = 1_000_000_000;
const DISK_FAIL_BYTES: u64 = 50_000_000;

pub(super) fn home(dir: &Path) -> Check {
    const NAME: &str = "home";
    let shown = dir.display();
    let metadata = match fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = existing(dir);
            return match try_file(parent) {
                Ok(()) => Check::ok(NAME, format!("{shown} (created when it is needed)")),
                Err(error) => Check::failed(
                    NAME,
                    format!("cannot create {shown}: {error}"),
                    "use another directory with --home DIR",
                ),
            };
        }
        Err(error) => {
            return Check::failed(
                NAME,
                format!("cannot read {shown}: {error}"),
                "use another directory with --home DIR",
            );
        }
    };
    if let Err(error) = try_file(dir) {
        return Check::failed(
            NAME,
            format!("cannot write to {shown}: {error}"),
            "make it writable, or use another directory with --home DIR",
        );
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Check::failed(
            NAME,
            format!("{shown} belongs to uid {}", metadata.uid()),
            "run `cis` as its owner, or use a home of your own with --home DIR",
        );
    }
    if metadata.mode() & 0o022 != 0 {
        return Check::failed(
            NAME,
            format!("others can write to {shown} (mode {:o})", metadata.mode() & 0o777),
            format!("check that nobody changed anything in it, then run: chmod 700 {shown}"),
        );
    }
    if metadata.mode() & 0o077 != 0 {
        return Check::warning(
            NAME,
            format!("{shown} is open to others (mode {:o})", metadata.mode() & 0o777),
            format!("chmod 700 {shown}"),
        );
    }
    Check::ok(NAME, shown.to_string())
}

/// Without a configuration that can be read no node starts.
pub(super) fn configuration(config: Result<Config, CliError>) -> Check {
    const NAME: &str = "config";
    match config {
        Ok(config) if config.path.exists() => Check::ok(NAME, config.path.display().to_string()),
        Ok(_) => Check::ok(NAME, "no file: the defaults apply"),
        Err(CliError::Problem(problem)) => {
            Check::failed(NAME, problem.detail, "`cis config check` shows every error with its line")
        }
        Err(_) => Check::failed(NAME, "cannot read the configuration", "`cis config check` says why"),
    }
}

/// Writes a file and removes it: the only test that knows of read-only mounts, quotas and ACLs alike.
fn try_file(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".cis-doctor-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(path)
}

/// The nearest directory above that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"))
}

pub(super) fn disk(dir: &Path) -> Check {
    const NAME: &str = "disk";
    match statvfs(existing(dir)) {
        Ok(stat) => {
            space(stat.f_bavail.saturating_mul(stat.f_frsize), (stat.f_files > 0).then_some(stat.f_favail))
        }
        Err(error) => Check::warning(NAME, format!("free space is not known: {error}"), "look with `df`"),
    }
}

fn space(free_bytes: u64, free_files: Option<u64>) -> Check {
    const NAME: &str = "disk";
    let detail = format!("{} free", text::bytes(free_bytes));
    let hint = "make room in the home directory: `cis store gc --older-than 7d` removes what ended runs left";
    match free_files {
        Some(files) if files < 1000 => Check::failed(NAME, format!("{files} more files possible"), hint),
        _ if free_bytes < DISK_FAIL_BYTES => Check::failed(NAME, detail, hint),
        _ if free_bytes < DISK_WARN_BYTES => Check::warning(NAME, detail, hint),
        _ => Check::ok(NAME, detail),
    }
}

pub(super) fn socket_path(path: &Path) -> Check {
    const NAME: &str = "socket";
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_BYTES_MAX {
        return Check::failed(
            NAME,
            format!("{} has {length} bytes, {SOCKET_PATH_BYTES_MAX} are possible", path.display()),
            "set XDG_RUNTIME_DIR, or take a shorter --home DIR",
        );
    }
    Check::ok(NAME, path.display().to_string())
}

/// `sockets` is the directory that holds them, which can differ from the current `XDG_RUNTIME_DIR`: an
/// earlier node may have chosen it.
pub(super) fn runtime_dir(dir: Option<&Path>, sockets: &Path) -> Check {
    const NAME: &str = "runtime dir";
    let Some(dir) = dir.filter(|dir| sockets.starts_with(dir)) else {
        let why = if dir.is_some() { "not in XDG_RUNTIME_DIR" } else { "XDG_RUNTIME_DIR is not set" };
        return Check::ok(NAME, format!("sockets are in {} ({why})", sockets.display()));
    };
    let hint = "log in through the system's login manager, or leave XDG_RUNTIME_DIR unset";
    match fs::metadata(dir) {
        Err(error) => Check::failed(NAME, format!("{}: {error}", dir.display()), hint),
        Ok(metadata) if metadata.uid() != rustix::process::geteuid().as_raw() => {
            Check::failed(NAME, format!("{} belongs to another user", dir.display()), hint)
        }
        // XDG Base Directory Specification 0.8: its mode is 0700.
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            Check::warning(NAME, format!("{} is open to others", dir.display()), hint)
        }
        Ok(_) => Check::ok(NAME, dir.display().to_string()),
    }
}

/// Whether a service manager would end the session host with whoever started it.
pub(super) fn service(cgroup: &Path, linger_dir: &Path) -> Check {
    const NAME: &str = "service";
    let text = fs::read_to_string(cgroup).unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let unit = path.split('/').rfind(|part| part.ends_with(".service") || part.ends_with(".scope"));
    match unit {
        Some(unit) if unit.ends_with(".service") && !unit.starts_with("user@") => Check::warning(
            NAME,
            format!("this runs in {unit}"),
            "where a node is a service, set KillMode=process in its unit: otherwise stopping it ends the sessions",
        ),
        Some(unit) if unit.starts_with("session-") && lingers(linger_dir) => {
            Check::ok(NAME, format!("{unit}, and this user's processes may outlive it"))
        }
        Some(unit) if unit.starts_with("session-") => Check::warning(
            NAME,
            format!("{unit}: with KillUserProcesses=yes in logind.conf, logging out ends the sessions"),
            "`loginctl enable-linger`, and start the node as a service of the user",
        ),
        _ => Check::ok(NAME, "no service manager ends sessions here"),
    }
}

/// logind keeps a file per user who lingers.
fn lingers(dir: &Path) -> bool {
    std::env::var_os("USER").is_some_and(|user| dir.join(user).exists())
}

pub(super) fn node(node: &Result<NodeView, CliError>) -> Check {
    const NAME: &str = "node";
    const OURS: &str = env!("CARGO_PKG_VERSION");
    match node {
        Ok(node) if !node.warnings.is_empty() => {
            Check::warning(NAME, node.warnings.join("; "), "`cis node status` shows them as well")
        }
        Ok(node) if !node.running => Check::ok(NAME, "not running; commands that need one start it"),
        Ok(node) if node.version != OURS => Check::warning(
            NAME,
            format!("its version is {}, this command's {OURS}", node.version),
            "`cis node stop`; the next command starts the new one, and sessions continue",
        ),
        Ok(node) => Check::ok(NAME, format!("running, pid {}, version {OURS}", node.pid.unwrap_or_default())),
        Err(error) => {
            let hint = match error {
                CliError::Problem(problem) => problem.hint.as_deref(),
                CliError::Failed { .. } | CliError::OutputClosed => None,
            };
            Check::failed(NAME, error.detail(), hint.unwrap_or("its log is node.log in the home directory"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_home_must_be_writable_and_should_be_private() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(home(dir.path()).outcome, Outcome::Ok);
        assert_eq!(home(&dir.path().join("a/b")).outcome, Outcome::Ok);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(home(dir.path()).outcome, Outcome::Warning);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(home(dir.path()).outcome, Outcome::Failed);
        assert_eq!(home("/proc/nowhere".as_ref()).outcome, Outcome::Failed);
    }

    #[test]
    fn little_space_is_said() {
        assert_eq!(space(2_000_000_000, None).outcome, Outcome::Ok);
        assert_eq!(space(900_000_000, Some(10_000)).outcome, Outcome::Warning);
        assert_eq!(space(1_000, None).outcome, Outcome::Failed);
        assert_eq!(space(2_000_000_000, Some(7)).outcome, Outcome::Failed);
    }

    #[test]
    fn a_socket_needs_a_short_path() {
        assert_eq!(socket_path("/run/user/7/cis/node.sock".as_ref()).outcome, Outcome::Ok);
        assert_eq!(socket_path("x".repeat(108).as_ref()).outcome, Outcome::Failed);
        assert_eq!(socket_path("x".repeat(107).as_ref()).outcome, Outcome::Ok);
    }

    #[test]
    fn the_service_manager_is_read_from_the_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let at = |text: &str| {
            let path = dir.path().join("cgroup");
            fs::write(&path, text).unwrap();
            service(&path, dir.path()).outcome
        };
        assert_eq!(at("0::/\n"), Outcome::Ok);
        assert_eq!(at("0::/system.slice/cis.service\n"), Outcome::Warning);
        assert_eq!(at("0::/user.slice/user-7.slice/session-3.scope\n"), Outcome::Warning);
        assert_eq!(at("0::/user.slice/user-7.slice/user@7.service/app.slice/term.scope\n"), Outcome::Ok);
    }

    #[test]
    fn a_node_of_another_version_is_noticed() {
        let mut view: NodeView = serde_json::from_value(serde_json::json!({
            "running": true, "pid": 7, "version": "0.0.1", "socket": "", "home": "", "did": null, "host_pid": null,
            "stays": false, "started_ms": null, "open_runs": 0, "live_sessions": 0, "max_sessions": 1,
        }))
        .unwrap();
        assert_eq!(node(&Ok(view.clone())).outcome, Outcome::Warning);
        view.version = env!("CARGO_PKG_VERSION").into();
        assert_eq!(node(&Ok(view.clone())).outcome, Outcome::Ok);
        view.warnings.push("disk full".into());
        assert_eq!(node(&Ok(view)).outcome, Outcome::Warning);
        assert_eq!(node(&Err(CliError::unavailable("x"))).outcome, Outcome::Failed);
    }
}
