//! What is known of a session at a moment, as it is gathered.

use serde::{Deserialize, Serialize};

use crate::ids::TimestampMs;

/// How a terminal treats what is typed (termios(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modes {
    /// It collects lines (ICANON).
    pub canonical: bool,
    /// It shows what is typed (ECHO).
    pub echo: bool,
}

/// How a process waits for its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderHow {
    /// Asleep in a read of it: exact.
    Read,
    /// Asleep in poll, select or epoll with it among what is waited for: also listeners that do not mind.
    Poll,
}

/// A process that waits for input from a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its pid.
    pub pid: u32,
    /// Its command name.
    pub name: String,
    /// How it waits.
    pub how: ReaderHow,
    /// The terminal is nested: one that a program of the session made (script, tmux, an agent's shell).
    pub nested: bool,
    /// The terminal is nested, and this process has opened another one inside, to which it passes on what is typed (`script` in `script`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outer: bool,
    /// The number of that nested terminal; 0: an older session host does not tell it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inside: u32,
    /// It polls by sleeping between its looks: nothing tells whether it waits or works.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sleeps: bool,
    /// It waits for a peer as well, or writes to one (a socket, a device): what is typed may be for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub peer: bool,
    /// It is no process of the session's tree (a pinentry of an agent daemon).
    pub foreign: bool,
    /// Modes of the terminal that it reads, where they can be known.
    pub modes: Option<Modes>,
}

impl Reader {
    /// A process that waits at the session's own terminal, and for nothing else.
    #[must_use]
    pub fn new(pid: u32, name: impl Into<String>, how: ReaderHow, modes: Option<Modes>) -> Self {
        Self {
            pid,
            name: name.into(),
            how,
            nested: false,
            outer: false,
            inside: 0,
            sleeps: false,
            peer: false,
            foreign: false,
            modes,
        }
    }
}

/// What the kernel shows of a session's terminal at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelEvidence {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// Output so far.
    pub output_bytes: u64,
    /// ms since the last output byte; since the start, where there was none.
    pub quiet_ms: u64,
    /// Modes of the session's own terminal; none: it has pipes.
    pub modes: Option<Modes>,
    /// Command names of the processes in the foreground of the session's terminal.
    #[serde(default)]
    pub foreground: Vec<String>,
    /// Some process of the foreground cannot be looked into: it runs as somebody else (sudo).
    #[serde(default)]
    pub opaque: bool,
    /// Who waits for a terminal: in the foreground of the session's, of one nested in it, or foreign.
    pub readers: Vec<Reader>,
    /// Terminals inside that have processes of the session in their foreground. One that has another one inside (`script` in `script`) does not
    /// count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beside: u32,
    /// Some of those processes cannot be looked into, or it would have taken too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inside_opaque: bool,
    /// CPU time of the whole tree, ms.
    pub cpu_ms: u64,
    /// Live processes of the tree.
    pub processes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Something that the program said to its terminal beside text. Untrusted text, bounded and without
/// control characters by whoever found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "signal")]
pub enum Signal {
    /// OSC 0 or 2.
    Title {
        /// The title.
        text: String,
    },
    /// OSC 9 or 777: a notification.
    Notification {
        /// Its text.
        text: String,
    },
    /// BEL outside of sequences.
    Bell,
    /// CSI ? 2004 h or l: it wants to know what is pasted. Line editors say so while they read a line, and
    /// take it back when they have it.
    PasteBrackets {
        /// From now on, or not any more.
        on: bool,
    },
    /// OSC 133: `A` prompt, `B` command line, `C` output, `D` end of a command.
    Shell {
        /// The letter.
        mark: char,
        /// Of `D`: the exit code, where it is given.
        code: Option<i32>,
    },
    /// OSC 7501: the program's status.
    Status {
        /// `idle`, `working`, `blocked`, `done`, `error`, or what else it says.
        state: String,
        /// Who says so.
        app: Option<String>,
        /// `permission`, `question` …
        kind: Option<String>,
        /// In words.
        message: Option<String>,
    },
    /// OSC 7501 with `?`: it asks whether this terminal understands such reports. Whoever answers the
    /// terminal's queries answers this one too, in its order.
    StatusQuery,
}

/// Rows of a screen from the top, without blanks at their ends.
pub type Lines = Vec<String>;

/// A screen as text, sanitised. Rows are as the terminal shows them; one that it has wrapped goes on in the same line, and empty ones
/// follow at the end instead.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScreenView {
    /// All rows.
    pub lines: Lines,
    /// Cells of a row.
    pub cols: u16,
    /// Cursor, from 0.
    pub cursor_row: u16,
    /// Cursor, from 0, in cells.
    pub cursor_col: u16,
    /// The program shows the cursor, or paints one of its own.
    pub cursor_visible: bool,
    /// It paints one of its own, which may blink.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cursor_painted: bool,
    /// The alternate screen, as full-screen programs use it.
    pub alternate: bool,
    /// While no cursor shows: the row of a list that is pointed at by its color alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointed: Option<Pointed>,
}

/// A row that a program points at without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointed {
    /// From 0.
    pub row: u16,
    /// What tells it from the other rows of its list.
    pub by: PointedBy,
}

/// How a row stands out from the others of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointedBy {
    /// Another color behind it.
    Ground,
    /// Letters of another color, bold, or underlined.
    Letters,
}
