//! A real homeserver: Synapse, as `cargo xtask test` installs it, with its default rate limits.
//!
//! [`Synapse::shared`] is one for all tests that run now, of whatever binary: users are everybody's own. A keeper
//! beside it ends it when the last of them has ended, however that was. [`Synapse::own`] is for those that stop it.

mod http;
mod user;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub use user::{User, encoded};

/// A machine that builds at the same time takes long.
const START_TIME_MAX: Duration = Duration::from_secs(180);

/// The shared one stays for so long between two tests.
const LINGER: &str = "5";

const KEEPER: &str = include_str!("keeper.py");

/// A homeserver that answers.
pub struct Synapse {
    url: String,
    runs: Runs,
    /// What it reads whenever it starts.
    _reads: Option<Arc<tempfile::TempDir>>,
}

enum Runs {
    /// As long as this lock is held.
    Shared(#[allow(dead_code, reason = "it is held")] File),
    Own {
        folder: tempfile::TempDir,
        port: u16,
        child: Option<Child>,
    },
}

impl Synapse {
    /// The one of all tests. Who registers a user of its own is disturbed by nobody.
    pub fn shared() -> Self {
        let base = target().join("synapse");
        fs::create_dir_all(&base).unwrap();
        let start = opened(&base.join("start.lock"));
        start.lock().unwrap();
        let folder = base.join("shared");
        if let Some((url, users)) = running(&folder) {
            return Self { url, runs: Runs::Shared(users), _reads: None };
        }
        let until = Instant::now() + START_TIME_MAX;
        loop {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            let url = format!("http://127.0.0.1:{}", configure(&folder));
            let users = opened(&folder.join("users"));
            users.lock_shared().unwrap();
            let mut keeper = Command::new("setsid");
            keeper.arg("--fork").arg(python()).args(["-c", KEEPER]).arg(&folder).arg(base.join("start.lock"));
            let started = quiet(keeper.arg(LINGER)).status().unwrap();
            assert!(started.success(), "the keeper of Synapse does not start");
            // Without an answer its port was taken meanwhile: the keeper ends with the lock.
            if answers(&url, until, &folder, || false) {
                fs::write(folder.join("ready"), &url).unwrap();
                return Self { url, runs: Runs::Shared(users), _reads: None };
            }
        }
    }

    /// One of this test's own, that it may stop and start.
    pub fn own() -> Self {
        Self::own_with("")
    }

    /// The same, with more lines in its configuration; `{url}` there is where it answers, `{port}` its port.
    pub fn own_with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("cis-synapse-").tempdir().unwrap();
        let port = configure(folder.path());
        let mut config = File::options().append(true).open(folder.path().join("homeserver.yaml")).unwrap();
        let more = more.replace("{url}", &format!("http://127.0.0.1:{port}"));
        let more = more.replace("{port}", &port.to_string());
        config.write_all(more.as_bytes()).unwrap();
        let runs = Runs::Own { folder, port, child: None };
        let mut made = Self { url: format!("http://127.0.0.1:{port}"), runs, _reads: None };
        made.start();
        made
    }

    /// Keeps a folder that its configuration names.
    pub fn keeping(mut self, folder: &Arc<tempfile::TempDir>) -> Self {
        self._reads = Some(Arc::clone(folder));
        self
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Any request of a user, whatever becomes of it: the whole path.
    #[allow(clippy::needless_pass_by_value, reason = "made for this call alone")]
    pub fn ask(
        &self,
        user: &User,
        method: &str,
        path: &str,
        body: serde_json::Value,
    ) -> (u16, serde_json::Value) {
        http::request(&self.url, method, path, Some(&user.token), Some(&body)).unwrap()
    }

    /// A new user. Registering gives a token: no login, and none of the limits of logins.
    pub fn register(&self, name: &str) -> User {
        User::register(&self.url, name)
    }

    /// Everything that it has written down so far, its database and its files; of one of the test's own.
    pub fn written(&self) -> Vec<u8> {
        let Runs::Own { folder, .. } = &self.runs else { panic!("the shared Synapse is everybody's") };
        let (mut all, mut folders) = (Vec::new(), vec![folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => all.extend(fs::read(entry.path()).unwrap_or_default()),
                    _ => {}
                }
            }
        }
        all
    }

    /// A token of a user for another program of theirs: of no device, and without the limits of logins.
    pub fn other_token(&self, user: &User) -> String {
        let path = format!("/_synapse/admin/v1/users/{}/login", user.id);
        let admin = User::register_admin(&self.url);
        let none = serde_json::json!({});
        let said = http::request(&self.url, "POST", &path, Some(&admin.token), Some(&none)).unwrap();
        assert_eq!(said.0, 200, "{said:?}");
        said.1["access_token"].as_str().unwrap().to_owned()
    }

    /// Lifts the rate limits of a user, as an administrator can.
    pub fn lift_limits(&self, user: &User) {
        let path = format!("/_synapse/admin/v1/users/{}/override_ratelimit", user.id);
        let admin = User::register_admin(&self.url);
        let none = serde_json::json!({ "messages_per_second": 0, "burst_count": 0 });
        let said = http::request(&self.url, "POST", &path, Some(&admin.token), Some(&none)).unwrap();
        assert_eq!(said.0, 200, "{said:?}");
    }

    /// Removes all media that were uploaded, as an administrator can; of one of the test's own.
    pub fn remove_media(&self) {
        let Runs::Own { .. } = &self.runs else { panic!("the shared Synapse is everybody's") };
        let later = std::time::SystemTime::now() + Duration::from_secs(60);
        let before = later.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let path = format!("/_synapse/admin/v1/media/delete?before_ts={before}&keep_profiles=false");
        let admin = User::register_admin(&self.url);
        let none = serde_json::json!({});
        let said = http::request(&self.url, "POST", &path, Some(&admin.token), Some(&none)).unwrap();
        assert_eq!(said.0, 200, "{said:?}");
        assert!(said.1["total"].as_u64() > Some(0), "{said:?}");
    }

    /// Stops it.
    pub fn stop(&mut self) {
        let Runs::Own { child, .. } = &mut self.runs else { panic!("the shared Synapse is everybody's") };
        let mut child = child.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// Starts it again, where it was.
    pub fn start(&mut self) {
        let Runs::Own { folder, child, .. } = &mut self.runs else {
            panic!("the shared Synapse is everybody's")
        };
        let until = Instant::now() + START_TIME_MAX;
        loop {
            let mut server = Command::new("setpriv");
            server.args(["--pdeathsig", "KILL", "--"]).arg(python());
            server.args(["-m", "synapse.app.homeserver", "-c"]).arg(folder.path().join("homeserver.yaml"));
            let mut started = quiet(&mut server).process_group(0).spawn().unwrap();
            if answers(&self.url, until, folder.path(), || started.try_wait().unwrap().is_some()) {
                *child = Some(started);
                return;
            }
            // A port was taken, and may be free soon. What it said of that is not to be read again.
            let _ = started.kill();
            started.wait().unwrap();
            fs::remove_file(folder.path().join("homeserver.log")).unwrap();
        }
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        if let Runs::Own { child: Some(child), .. } = &mut self.runs {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where cargo builds to: of a test CARGO_TARGET_TMPDIR is TARGET/tmp; another program lies in TARGET/debug.
fn target() -> PathBuf {
    let program = || std::env::current_exe().unwrap().parent().unwrap().to_owned();
    option_env!("CARGO_TARGET_TMPDIR").map_or_else(program, PathBuf::from).parent().unwrap().to_owned()
}

fn python() -> PathBuf {
    let path = target().join("agents/synapse/bin/python");
    assert!(
        path.exists(),
        "{} is not there: `cargo xtask agents` installs what the tests start",
        path.display()
    );
    path
}

/// The shared one, where it runs; and the lock that keeps it running.
fn running(folder: &Path) -> Option<(String, File)> {
    let url = fs::read_to_string(folder.join("ready")).ok()?;
    let users = opened(&folder.join("users"));
    users.lock_shared().unwrap();
    http::request(&url, "GET", "/_matrix/client/versions", None, None).ok()?;
    Some((url, users))
}

/// Waits until it answers; false where it ended before.
fn answers(url: &str, until: Instant, folder: &Path, mut ended: impl FnMut() -> bool) -> bool {
    loop {
        if http::request(url, "GET", "/_matrix/client/versions", None, None)
            .is_ok_and(|(status, _)| status == 200)
        {
            return true;
        }
        let said = || fs::read_to_string(folder.join("homeserver.log")).unwrap_or_default();
        assert!(Instant::now() < until, "Synapse does not start: {}", said());
        if ended() || said().contains("Address already in use") {
            return false;
        }
        // Nothing tells when somebody begins to listen: the condition is polled.
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn opened(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).unwrap()
}

/// Writes the configuration of a Synapse with nothing in it; gives its port.
fn configure(folder: &Path) -> u16 {
    // Another process may take it before Synapse does: then it is tried with another one.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |name: &str| folder.join(name).display().to_string();
    let log = format!(
        "version: 1\nformatters: {{p: {{format: '%(asctime)s %(name)s %(levelname)s %(message)s'}}}}\n\
         handlers: {{f: {{class: logging.FileHandler, formatter: p, filename: '{}'}}}}\n\
         root: {{level: WARNING, handlers: [f]}}\ndisable_existing_loggers: false\n",
        at("homeserver.log")
    );
    fs::write(folder.join("log.yaml"), log).unwrap();
    // Made up: nobody else is to believe it.
    fs::write(folder.join("signing.key"), format!("ed25519 a_test {}\n", "A".repeat(43))).unwrap();
    let config = format!(
        "server_name: cis.test\npid_file: '{}'\n\
         listeners: [{{port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}]\n\
         database: {{name: sqlite3, args: {{database: '{}'}}}}\n\
         log_config: '{}'\nmedia_store_path: '{}'\nsigning_key_path: '{}'\n\
         registration_shared_secret: {}\nmacaroon_secret_key: x\nform_secret: x\n\
         trusted_key_servers: []\nsuppress_key_server_warning: true\nreport_stats: false\n\
         # A password costs 12 ms in place of 230.\nbcrypt_rounds: 4\n\
         # All tests come from one address; the limits of each account are as they are.\n\
         rc_login: {{address: {{per_second: 100, burst_count: 100}}}}\n",
        at("pid"),
        at("homeserver.db"),
        at("log.yaml"),
        at("media"),
        at("signing.key"),
        user::SHARED_SECRET,
    );
    fs::write(folder.join("homeserver.yaml"), config).unwrap();
    port
}
