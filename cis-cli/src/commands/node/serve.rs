//! `cis node serve`: the node itself, in the foreground. Commands and session hosts start it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use cis_node::config;
use cis_node::{Ended, NodeError, NodeOptions};
use rustix::fs::Mode;

use crate::commands::session_host::umask;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::home::{Home, refuse_in_session};
use crate::settings;

/// What a node says where `CIS_LOG` says nothing else. Of the Matrix SDK only what matters: it reports as errors what
/// is none (every failed request, which its caller reports as well; what is not there at a first login).
const LOGGED: &str = "info,matrix_sdk=warn,matrix_sdk::http_client=off,matrix_sdk::account=off,\
matrix_sdk_crypto::backups=error,matrix_sdk_crypto::machine=error,matrix_sdk_crypto::identities::manager=error";

/// Place of the home among the words that start a node again.
const HOME_WORD: usize = 2;

/// The node itself; commands and session hosts start it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// It stays when there is nothing to do
    #[arg(long)]
    stays: bool,
    /// Say on standard output when it listens, and leave the terminal
    #[arg(long)]
    ready_stdout: bool,
    /// umask of sessions, octal
    #[arg(long, value_parser = umask)]
    session_umask: Option<u32>,
    /// Settings come from the file and -c alone: a node that is started again has those of its first start
    #[arg(long)]
    no_variables: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    // The caller's umask is for what sessions make; what the node makes is its own alone.
    let inherited = rustix::process::umask(Mode::from_raw_mode(0o077)).as_raw_mode();
    let session_umask = format!("{:o}", args.session_umask.unwrap_or(inherited));
    if args.ready_stdout {
        // Fails only for the leader of a process group, which has no terminal to lose then.
        let _ = rustix::process::setsid();
    }
    log_to_stderr();
    if let Err(error) = refuse_in_session(&context.home.dir) {
        if args.ready_stdout {
            say(&format!("error: {error}"));
        }
        return Err(CliError::unavailable(error));
    }
    let variable = |name: &str| std::env::var_os(name).filter(|_| !args.no_variables);
    let config = match config::load(&context.home, variable, &context.overrides) {
        Ok(config) => config,
        Err(error) => {
            if args.ready_stdout {
                say(&format!("error: {error}; `cis config check` shows all"));
            }
            return Err(settings::error(error));
        }
    };
    let exe = program();
    let home = context.home.dir.as_os_str();
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let mut host_command = host_command(&context.home);
    host_command.extend(words(&["--session-umask", &session_umask]));
    let mut restart = vec![exe.into_os_string(), "--home".into(), home.to_owned()];
    restart.extend(config.node_flags().into_iter().flat_map(|flag| [OsString::from("-c"), flag.into()]));
    restart.extend(words(&["node", "serve", "--no-variables", "--session-umask", &session_umask]));
    if args.stays {
        restart.push("--stays".into());
    }
    let mut again = restart.clone();
    let restart: Vec<String> = restart.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options = NodeOptions {
        home: context.home.clone(),
        config,
        stays: args.stays,
        restart,
        host_command,
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        rooms_in_memory: None,
        account: None,
        heartbeat_ms: None,
    };
    let to_stdout = args.ready_stdout;
    let ready = move |_| {
        if to_stdout {
            say("ready");
        }
    };
    match cis_node::run(options, ready) {
        Ok(Ended::Stopped) => Ok(Exit::OK),
        Ok(Ended::Restart { home }) => {
            again[HOME_WORD] = home.into_os_string();
            let mut command = Command::new(&again[0]);
            command.args(&again[1..]);
            let error = cis_host::hand_environment_over(&mut command).err().unwrap_or_else(|| command.exec());
            Err(CliError::unavailable(format!("cannot restart the node: {error}")))
        }
        Err(NodeError::AlreadyRunning { .. }) if to_stdout => {
            say("running");
            Ok(Exit::OK)
        }
        Err(error) => {
            if to_stdout {
                say(&format!("error: {error}"));
            }
            Err(CliError::unavailable(error.to_string()))
        }
    }
}

/// Says one line to whoever started us, and closes the line to them.
fn say(line: &str) {
    let mut stdout = io::stdout();
    // Whoever asked may be gone already; the node goes on.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Returns the command of a session host of the home.
pub(super) fn host_command(home: &Home) -> Vec<OsString> {
    vec![
        program().into_os_string(),
        "--home".into(),
        home.dir.clone().into_os_string(),
        "session-host".into(),
    ]
}

/// The file of this program, for processes that we start. An upgrade may have replaced it while we
/// run: then the new one is at the same path.
fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("cis"));
    match exe.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => PathBuf::from(path),
        None => exe,
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CIS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOGGED));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    // A second subscriber cannot be: this is the only place that makes one.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        // Its log may be on a full disk: complaining about that to the same place would end the node.
        .log_internal_errors(false)
        .try_init();
}
