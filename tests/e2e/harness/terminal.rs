//! A person's terminal: a real PTY, an emulator that shows what is on the screen, and keys.

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::{Config, TermMode};
use alacritty_terminal::vte::ansi::Processor;
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system};

use super::wait::{LONG, eventually};

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
    master: Box<dyn MasterPty + Send>,
    /// Held open until the program's end, so that the settings that it leaves can be read.
    slave: Option<Box<dyn SlavePty + Send>>,
    /// The settings that the program left.
    left: Option<String>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    replies: Replies,
    line: String,
    before: String,
}

impl Terminal {
    /// Starts `words` with exactly this environment.
    pub fn start(words: &[String], cwd: &Path, environment: Vec<(String, String)>) -> Self {
        let size = Size { columns: 80, rows: 24 };
        let pty = native_pty_system().openpty(pty_size(size)).unwrap();
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        command.cwd(cwd);
        command.env_clear();
        for (name, value) in environment {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        let before = settings_of(&*pty.master);
        let child = pty.slave.spawn_command(command).unwrap();
        let replies = Replies::default();
        let term = Term::new(Config::default(), &size, replies.clone());
        let shown = Arc::new((Mutex::new(Shown { term, closed: false }), Condvar::new()));
        let mut reader = pty.master.try_clone_reader().unwrap();
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut parser: Processor = Processor::new();
            let mut buffer = [0; 65536];
            loop {
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
        let writer = pty.master.take_writer().unwrap();
        let line = words.join(" ");
        Self {
            master: pty.master,
            slave: Some(pty.slave),
            left: None,
            writer,
            child,
            shown,
            replies,
            line,
            before,
        }
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
        self.left.clone().unwrap_or_else(|| settings_of(&*self.master))
    }

    /// Its settings before the program was started.
    pub fn settings_before(&self) -> &str {
        &self.before
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Another size of the window.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Size { columns, rows };
        self.lock().term.resize(size);
        self.master.resize(pty_size(size)).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// Waits for the program's end and all that it wrote, and gives its exit code.
    #[track_caller]
    pub fn wait_exit(&mut self) -> u32 {
        self.wait_end().exit_code()
    }

    /// The same, and gives the name of the signal that ended it; none: it exited.
    #[track_caller]
    pub fn wait_signal(&mut self) -> Option<String> {
        self.wait_end().signal().map(str::to_owned)
    }

    #[track_caller]
    fn wait_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let line = &self.line;
        let status = eventually(&format!("`{line}` ends"), || child.try_wait().unwrap());
        if let Some(slave) = self.slave.take() {
            self.left = Some(settings_of(&*self.master));
            drop(slave);
        }
        eventually(&format!("what `{line}` wrote"), || self.lock().closed.then_some(()));
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only where it ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings_of(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("a PTY has settings"))
}

fn pty_size(size: Size) -> PtySize {
    PtySize { rows: size.rows, cols: size.columns, pixel_width: 0, pixel_height: 0 }
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
