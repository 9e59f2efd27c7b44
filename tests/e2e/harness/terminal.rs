//! A person's terminal: a real PTY, an emulator that shows what is on the screen, and keys.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::{Config, TermMode};
use alacritty_terminal::vte::ansi::Processor;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::wait::{LONG, eventually, pause};

/// The program that runs the tests may ignore these (`nohup`); a program on a terminal does not.
const DEFAULT_SIGNALS: &str = "--default-signal=HUP,INT,QUIT,ALRM,TERM,CHLD";
/// How often, at 10 ms, it is looked whether a program ended as its terminal went away, before it is killed.
const LOOKS_MAX: u32 = 25;

/// Width and height of the emulator.
#[derive(Clone, Copy)]
struct Size {
    columns: u16,
    rows: u16,
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.rows.into()
    }
    fn screen_lines(&self) -> usize {
        self.rows.into()
    }
    fn columns(&self) -> usize {
        self.columns.into()
    }
}

/// Collects what a real terminal would send back to the program.
#[derive(Clone, Default)]
struct Replies(Arc<Mutex<Vec<String>>>);

impl EventListener for Replies {
    fn send_event(&self, event: Event) {
        if let Event::PtyWrite(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

struct Shown {
    term: Term<Replies>,
    closed: bool,
}

/// The terminal, with a program on it. Dropping it kills the program.
pub struct Terminal {
    master: File,
    /// Held open until the program's end, so that the settings that it leaves can be read.
    slave: Option<OwnedFd>,
    /// The settings that the program left.
    left: Option<String>,
    child: Child,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    replies: Replies,
    line: String,
    before: String,
}

impl Terminal {
    /// Starts `words` with exactly this environment.
    pub fn start(words: &[String], cwd: &Path, environment: Vec<(String, String)>) -> Self {
        let size = Size { columns: 80, rows: 24 };
        let (master, slave) = open_pty(size);
        // Both become the next program: the process that is started is the one that runs `words`.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "env", DEFAULT_SIGNALS]).args(words).current_dir(cwd);
        command.env_clear().envs(environment).env("TERM", "xterm-256color");
        let end = || slave.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        let before = settings_of(&master);
        let child = command.spawn().unwrap();
        // Holds the other end as well.
        drop(command);
        let replies = Replies::default();
        let term = Term::new(Config::default(), &size, replies.clone());
        let shown = Arc::new((Mutex::new(Shown { term, closed: false }), Condvar::new()));
        let mut reader = master.try_clone().unwrap();
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut parser: Processor = Processor::new();
            let mut buffer = [0; 65536];
            loop {
                // EIO once nobody holds the other end.
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut shown = into.0.lock().unwrap();
                if count == 0 {
                    shown.closed = true;
                }
                parser.advance(&mut shown.term, &buffer[..count]);
                into.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        let line = words.join(" ");
        Self { master, slave: Some(slave), left: None, child, shown, replies, line, before }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.0.lock().unwrap()
    }

    /// Waits until `look` says so.
    #[track_caller]
    fn wait(&self, what: &str, look: impl Fn(&Shown) -> bool) {
        let end = Instant::now() + LONG;
        let mut shown = self.lock();
        while !look(&shown) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !shown.closed,
                "`{}`: {what} did not come; the screen is\n{}",
                self.line,
                text_of(&shown.term)
            );
            shown = self.shown.1.wait_timeout(shown, left.min(Duration::from_millis(200))).unwrap().0;
        }
    }

    /// Waits until the screen has this text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait(&format!("`{text}`"), |shown| text_of(&shown.term).contains(text));
    }

    /// What the screen shows, a line each.
    pub fn screen(&self) -> String {
        text_of(&self.lock().term)
    }

    /// Whether the program left the emulator in a mode that a shell would suffer from.
    pub fn odd_modes(&self) -> TermMode {
        let odd =
            TermMode::ALT_SCREEN | TermMode::MOUSE_MODE | TermMode::BRACKETED_PASTE | TermMode::APP_CURSOR;
        let shows_cursor = self.lock().term.mode().contains(TermMode::SHOW_CURSOR);
        let modes = *self.lock().term.mode() & odd;
        if shows_cursor { modes } else { modes | TermMode::SHOW_CURSOR }
    }

    /// What the emulator was asked and would have answered.
    pub fn answers_to_queries(&self) -> Vec<String> {
        self.replies.0.lock().unwrap().clone()
    }

    /// The line discipline's settings.
    pub fn settings(&self) -> String {
        self.left.clone().unwrap_or_else(|| settings_of(&self.master))
    }

    /// Its settings before the program was started.
    pub fn settings_before(&self) -> &str {
        &self.before
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Another size of the window.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Size { columns, rows };
        self.lock().term.resize(size);
        tcsetwinsize(&self.master, pty_size(size)).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end and all that it wrote, and gives its exit code; 1 where a signal ended it.
    #[track_caller]
    pub fn wait_exit(&mut self) -> u32 {
        self.wait_end().code().map_or(1, i32::unsigned_abs)
    }

    /// The same, and gives the signal that ended it; none: it exited.
    #[track_caller]
    pub fn wait_signal(&mut self) -> Option<Signal> {
        self.wait_end().signal().and_then(Signal::from_named_raw)
    }

    #[track_caller]
    fn wait_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let line = &self.line;
        let status = eventually(&format!("`{line}` ends"), || child.try_wait().unwrap());
        if let Some(slave) = self.slave.take() {
            self.left = Some(settings_of(&self.master));
            drop(slave);
        }
        eventually(&format!("what `{line}` wrote"), || self.lock().closed.then_some(()));
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // As if its window was closed. All of it fails only where it ended before.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::HUP);
        }
        for _ in 0..LOOKS_MAX {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends of a terminal.
fn open_pty(size: Size) -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, pty_size(size)).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    (File::from(master), slave)
}

fn settings_of(master: &File) -> String {
    format!("{:?}", tcgetattr(master).expect("a PTY has settings"))
}

fn pty_size(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn text_of(term: &Term<Replies>) -> String {
    let mut text = String::new();
    for row in 0..term.screen_lines() {
        let line = &term.grid()[Line(i32::try_from(row).unwrap())];
        let cells: String = (0..term.columns()).map(|column| line[Column(column)].c).collect();
        text.push_str(cells.trim_end());
        text.push('\n');
    }
    text
}
