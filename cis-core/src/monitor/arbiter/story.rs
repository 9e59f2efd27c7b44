//! A test bench: a program that lives in time, evidence that is given only where the arbiter wants it,
//! and what it concludes, as text.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Arbiter, Seed};
use crate::event::{Meaning, PromptOption};
use crate::ids::TimestampMs;
use crate::monitor::{
    Change, KernelEvidence, Modes, Profile, Reader, ReaderHow, ScreenView, Signal, TypedKeys,
};

pub(super) const LINES: Modes = Modes { canonical: true, echo: true };
pub(super) const HIDDEN: Modes = Modes { canonical: true, echo: false };
pub(super) const RAW: Modes = Modes { canonical: false, echo: false };

/// A session whose evidence a test sets, and whose time it lets pass.
pub(super) struct Story {
    pub(super) arbiter: Arbiter,
    pub(super) now: TimestampMs,
    pub(super) evidence: KernelEvidence,
    pub(super) view: ScreenView,
    /// What happened, a line each.
    pub(super) told: String,
    /// So often was wanted.
    pub(super) screens: u32,
    pub(super) kernels: u32,
    last_output_ms: TimestampMs,
}

impl Story {
    pub(super) fn of(profile: Arc<Profile>) -> Self {
        Self::seeded(profile, Seed::default())
    }

    pub(super) fn plain() -> Self {
        Self::of(Profile::plain())
    }

    pub(super) fn agent(name: &str) -> Self {
        let mut story = Self::of(Profile::builtin(name).expect("a built-in profile"));
        story.reads("node", ReaderHow::Poll, RAW);
        story.view.cursor_visible = false;
        story
    }

    pub(super) fn seeded(profile: Arc<Profile>, seed: Seed) -> Self {
        let evidence = KernelEvidence {
            at_ms: 0,
            output_bytes: 0,
            quiet_ms: 0,
            modes: Some(LINES),
            foreground: Vec::new(),
            opaque: false,
            readers: Vec::new(),
            beside: 0,
            inside_opaque: false,
            cpu_ms: 0,
            processes: 1,
        };
        let view = ScreenView { cols: 80, cursor_visible: true, ..ScreenView::default() };
        Self {
            arbiter: Arbiter::new(profile, seed, 0),
            now: 0,
            evidence,
            view,
            told: String::new(),
            screens: 0,
            kernels: 0,
            last_output_ms: 0,
        }
    }

    /// The program shows this; the cursor stands behind its end.
    pub(super) fn shows(&mut self, screen: &str) -> &mut Self {
        self.puts(screen);
        self.bytes(screen.len() as u64)
    }

    /// The same, and nobody comes to look at it.
    pub(super) fn unseen(&mut self, screen: &str) {
        self.puts(screen);
        self.last_output_ms = self.now;
        self.evidence.output_bytes += screen.len() as u64;
        self.arbiter.output(screen.len() as u64, self.now);
    }

    /// So much later somebody comes: first to tell who reads now.
    pub(super) fn late(&mut self, ms: i64) -> &mut Self {
        self.now += ms;
        let evidence = self.evidence.clone();
        self.arbiter.kernel(&evidence, self.now);
        self.serve();
        self
    }

    /// What the screen shows, before anybody is told of it.
    pub(super) fn puts(&mut self, screen: &str) {
        self.view.lines = screen.split('\n').map(|row| row.trim_end().to_owned()).collect();
        let last = screen.split('\n').next_back().unwrap_or_default();
        self.view.cursor_row = (self.view.lines.len() - 1) as u16;
        self.view.cursor_col = last.chars().count() as u16;
    }

    pub(super) fn bytes(&mut self, bytes: u64) -> &mut Self {
        self.last_output_ms = self.now;
        self.evidence.output_bytes += bytes;
        self.arbiter.output(bytes, self.now);
        self.serve();
        self
    }

    /// An answer to the present prompt would be typed.
    pub(super) fn holds(&mut self) -> bool {
        let holds = self.arbiter.holds(&self.view, self.now);
        self.serve();
        holds
    }

    /// What the item of the present prompt shows of the screen.
    pub(super) fn item_rows(&self) -> String {
        let mut rows = self.view.lines.clone();
        self.arbiter.mask(&mut rows);
        rows.join("\n")
    }

    /// From now on a process of this name waits for the session's terminal.
    pub(super) fn reads(&mut self, name: &str, how: ReaderHow, modes: Modes) -> &mut Self {
        self.evidence.modes = Some(modes);
        self.evidence.foreground = vec![name.to_owned()];
        let reader = Reader::new(7, name, how, Some(modes));
        self.evidence.readers = vec![reader];
        self
    }

    /// So many terminals inside, side by side, have processes of the session in front.
    pub(super) fn beside(&mut self, terminals: u32) -> &mut Self {
        self.evidence.beside = terminals;
        self
    }

    pub(super) fn nobody_reads(&mut self) -> &mut Self {
        self.evidence.readers.clear();
        self
    }

    pub(super) fn signal(&mut self, signal: &Signal) -> &mut Self {
        self.arbiter.signal(signal, self.now);
        self.serve();
        self
    }

    pub(super) fn title(&mut self, text: &str) -> &mut Self {
        self.signal(&Signal::Title { text: text.to_owned() })
    }

    pub(super) fn status(&mut self, state: &str, kind: Option<&str>) -> &mut Self {
        let kind = kind.map(str::to_owned);
        self.signal(&Signal::Status { state: state.to_owned(), app: None, kind, message: None })
    }

    pub(super) fn typed(&mut self) -> &mut Self {
        self.typed_keys(TypedKeys::Answer)
    }

    pub(super) fn typed_keys(&mut self, keys: TypedKeys) -> &mut Self {
        self.arbiter.typed_keys(keys, self.now);
        self.serve();
        self
    }

    /// Lets time pass; what is wanted is given at once.
    pub(super) fn pass(&mut self, ms: i64) -> &mut Self {
        let end = self.now + ms;
        while let Some(wake) = self.arbiter.poll_timeout().filter(|wake| *wake <= end) {
            assert!(wake > self.now, "it wakes in the past: {wake} at {}", self.now);
            self.now = wake;
            self.serve();
        }
        self.now = end;
        self
    }

    fn serve(&mut self) {
        for _ in 0..8 {
            let want = self.arbiter.want(self.now);
            if want.kernel {
                self.kernels += 1;
                self.evidence.at_ms = self.now;
                self.evidence.quiet_ms = (self.now - self.last_output_ms).unsigned_abs();
                let evidence = self.evidence.clone();
                self.arbiter.kernel(&evidence, self.now);
            }
            if want.screen {
                self.screens += 1;
                self.arbiter.screen(self.view.clone(), self.now);
            }
            for change in self.arbiter.changes(self.now) {
                let _ = writeln!(self.told, "{:>6} {}", self.now, line(&change));
            }
            if !want.kernel && !want.screen {
                return;
            }
        }
        panic!("it wants the same again and again at {}", self.now);
    }

    /// What was told since the last call.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.told)
    }
}

fn line(change: &Change) -> String {
    match change {
        Change::Blocked(verdict) => {
            let meaning = |option: &PromptOption| {
                let meaning = option.meaning.map_or("-", Meaning::as_str);
                format!(" [{} {} {:?}]", option.label, meaning, option.keys)
            };
            let options: String = verdict.options.iter().map(meaning).collect();
            format!(
                "blocked {} {} by {}: {}{options}",
                verdict.episode, verdict.kind, verdict.layer, verdict.question
            )
        }
        Change::Over { episode } => format!("over {episode}"),
        Change::Marker { kind, text } => format!("marker {kind}: {text}"),
        Change::Complete { text } => format!("complete: {text}"),
        Change::Done { text } => format!("done: {text}"),
    }
}
