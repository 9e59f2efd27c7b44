//! Whether the session host answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cis_host::control::HostClient;
use cis_host::protocol::Role;
use cis_local::Home;
use cis_local::is_stopped;

/// A host that works answers within this time. A command waits for less than 5 s for its node.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// A session host that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresponsive {
    /// What is wrong.
    pub(super) why: String,
    /// What helps.
    pub(super) remedy: String,
}

/// Asks the host when somebody wants to know. One request is under way at a time.
#[derive(Debug, Default, Clone)]
pub(super) struct HostHealth(Arc<tokio::sync::Mutex<()>>);

impl HostHealth {
    /// Returns what is wrong with the host with this pid; none if it answers, or if it cannot be connected to.
    pub(super) async fn check(&self, home: &Home, pid: u32) -> Option<Unresponsive> {
        if is_stopped(pid) {
            return Some(Unresponsive {
                why: format!(
                    "the session host (pid {pid}) is stopped (SIGSTOP): no session can start, end or be typed into"
                ),
                remedy: format!("`kill -CONT {pid}` lets the session host go on"),
            });
        }
        let one = Arc::clone(&self.0).try_lock_owned().ok()?;
        let home = home.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let answers = answers(&home);
            drop(one);
            answers
        });
        // A connection to a host that hangs can wait for its place.
        match tokio::time::timeout(ANSWER_TIME_MAX + Duration::from_millis(200), asked).await {
            Ok(Ok(true) | Err(_)) => None,
            Ok(Ok(false)) | Err(_) => Some(Unresponsive {
                why: format!(
                    "the session host (pid {pid}) has not answered for {} s: sessions may not start, end or be typed into",
                    ANSWER_TIME_MAX.as_secs()
                ),
                remedy: format!(
                    "if that lasts: `kill -9 {pid}` ends the session host and its sessions, whose tasks start again"
                ),
            }),
        }
    }
}

/// Whether the host greets a new connection. True as well if none can be made: the driver says why.
fn answers(home: &Home) -> bool {
    let until = Instant::now() + ANSWER_TIME_MAX;
    let Ok(mut client) = HostClient::connect(home.host_place(), Role::Stream) else { return true };
    loop {
        match client.receive_messages() {
            Ok(messages) if messages.is_empty() => {}
            Ok(_) | Err(_) => return true,
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if client.wait(left).is_err() {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_host_that_does_not_greet_is_unresponsive() {
        let dir = crate::testing::private_directory();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().to_owned() };
        let (health, me) = (HostHealth::default(), std::process::id());
        assert_eq!(health.check(&home, me).await, None, "the driver says that nothing listens");
        let _lock = cis_local::LockFile::take(&home.host_lock()).unwrap().unwrap();
        let _listener = UnixListener::bind(home.host_socket()).unwrap();
        let found = health.check(&home, me).await.unwrap();
        assert!(found.why.contains(&format!("pid {me}")) && found.remedy.contains("kill -9"), "{found:?}");
    }
}
