//! Answers that are typed in two parts: whether the second one is wanted, only the screen tells.
//!
//! Owns where an answer is divided, and what the screen has to show after the first part. When it is looked at, and typing itself, are
//! `answers`' matter.

use crate::hub::HubError;
use cis_core::api::InputReceipt;
use cis_core::ids::{SessionId, TimestampMs};
use cis_core::monitor::{Around, Choice, ScreenView};

const ENTER: &[u8] = b"\r";
const ESCAPE: u8 = 0x1b;

/// The rest is typed after the screen has shown for so long that it is wanted, ms: a program that was content with the first part goes on
/// meanwhile. What else it shows counts after the same time: lines are painted in steps.
const SHOWN_MS: i64 = 120;

/// The same behind a first key, ms: some programs show the key, and work for a while before they print anything else. Meanwhile they
/// look like one that waits for Enter.
const KEY_SHOWN_MS: i64 = 1_500;

/// The rest is not typed later than this, ms.
const KEY_MAX_MS: i64 = 5_000;
const CHOICE_MAX_MS: i64 = 3_000;

/// How often the screen is looked at until then, ms.
const LOOK_MS: i64 = 40;

/// What is typed after the first part.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    expects: Expects,
    first: Option<First>,
    /// The screen shows that it is wanted since then, or something else: which, and since when.
    steady: Option<(Shown, TimestampMs)>,
}

/// The first part, once it is typed.
#[derive(Debug)]
struct First {
    receipt: InputReceipt,
    until: TimestampMs,
}

/// What the screen shows where the rest is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Expects {
    /// This line, and then the first key. Any other line: that key was the whole answer. Where rows around the line are others,
    /// nobody knows what it is that reads.
    Key { line: String, key: char, around: Around },
    /// The same menu, with its pointer at this option: arrows were typed. Anything else: its program moved it in another way, or asks
    /// something else.
    Choice(Choice),
}

/// What the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Expected,
    /// Nothing new, or nothing that is certain.
    NotYet,
    Other,
}

/// The terminal, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// None where what was printed is not all here.
    pub(super) view: Option<&'a ScreenView>,
    /// Whether a program reads the terminal on which this is shown.
    pub(super) is_read: Option<bool>,
    /// The session waits at the prompt that the answer is for, and what stands above it is the same; where a key was typed, all that
    /// stands around its line, but for what moves by itself.
    pub(super) holds: bool,
}

/// What is to be done about the rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is looked again at that time.
    Later(TimestampMs),
    /// It is wanted if the program reads: that is to be found out.
    Ask,
    Type,
    /// It is not wanted, or nobody knows: this is said.
    Over(Result<InputReceipt, HubError>),
}

impl Rest {
    /// Takes what is typed later out of an answer to the prompt on this screen. `takes_keys`: its program takes each key as it comes, and
    /// shows it in a line.
    pub(super) fn of(bytes: &mut Vec<u8>, view: &ScreenView, takes_keys: bool) -> Option<Self> {
        let (at, expects) = if bytes.first() == Some(&ESCAPE) && bytes.ends_with(ENTER) {
            (bytes.len() - ENTER.len(), Expects::Choice(view.choice_by(bytes)?))
        } else if takes_keys {
            let key = std::str::from_utf8(bytes).ok()?.chars().next()?;
            // Blanks show nothing.
            let shows = !key.is_control() && !key.is_whitespace();
            let line = || Expects::Key { line: view.before_cursor(), key, around: view.around_cursor() };
            (key.len_utf8(), shows.then(line)?)
        } else {
            return None;
        };
        let rest = bytes.split_off(at);
        (!rest.is_empty()).then_some(Self { bytes: rest, expects, first: None, steady: None })
    }

    /// Whether the first part is a key.
    pub(super) fn follows_key(&self) -> bool {
        matches!(self.expects, Expects::Key { .. })
    }

    /// The first part was typed. The rest is looked for from now on, for a time.
    pub(super) fn first_typed(&mut self, receipt: InputReceipt, now: TimestampMs) -> TimestampMs {
        let patience = if matches!(self.expects, Expects::Choice(_)) { CHOICE_MAX_MS } else { KEY_MAX_MS };
        self.first = Some(First { receipt, until: now + patience });
        now + LOOK_MS
    }

    /// Whether the first part is typed.
    pub(super) fn is_due(&self) -> bool {
        self.first.is_some()
    }

    /// The host did not type it, as the screen is another one now.
    pub(super) fn look_again(&mut self) {
        self.steady = None;
    }

    /// Looks at the screen.
    pub(super) fn look(&mut self, id: SessionId, seen: Seen<'_>, now: TimestampMs) -> Next {
        let is_read = seen.is_read;
        let shown = seen.view.map_or(Shown::NotYet, |view| self.shown(view, seen.holds));
        let since = self.steady.filter(|(before, _)| *before == shown).map_or(now, |(_, since)| since);
        self.steady = Some((shown, since));
        let is_late = self.first.as_ref().is_none_or(|first| now >= first.until);
        let look = now + LOOK_MS;
        let wanted_ms = match self.expects {
            Expects::Key { .. } => KEY_SHOWN_MS,
            Expects::Choice(_) => SHOWN_MS,
        };
        match shown {
            Shown::Other if now - since >= SHOWN_MS => Next::Over(self.given_up(id, true)),
            Shown::Expected if now - since >= wanted_ms && is_read == Some(true) => Next::Type,
            _ if is_late => Next::Over(self.given_up(id, false)),
            // A program that works took the key, or is about to show something else.
            Shown::Expected if now - since >= wanted_ms => Next::Ask,
            _ => Next::Later(look),
        }
    }

    /// What is said where it is not typed, or nobody knows. `is_answered`: it was not sent, and something else is there, so the first part was enough.
    pub(super) fn given_up(&self, id: SessionId, is_answered: bool) -> Result<InputReceipt, HubError> {
        match (&self.expects, &self.first) {
            (Expects::Key { .. }, Some(first)) if is_answered && self.bytes == ENTER => {
                Ok(first.receipt.clone())
            }
            (Expects::Key { .. }, _) => Err(HubError::TypedInPart { id }),
            // Without Enter nothing was chosen.
            (Expects::Choice(_), _) => Err(HubError::NotChosen { id }),
        }
    }

    fn shown(&self, view: &ScreenView, holds: bool) -> Shown {
        match &self.expects {
            Expects::Key { line, key, around } => {
                let now = view.before_cursor();
                if now == *line {
                    return Shown::NotYet;
                }
                // What was offered goes away with the first key: `Name: (foo) `.
                let before = now.strip_suffix(*key).map(str::trim_end).filter(|before| !before.is_empty());
                let is_it = before.is_some_and(|before| line.starts_with(before));
                match is_it {
                    true if holds || view.around_cursor().is_as(around) => Shown::Expected,
                    true => Shown::NotYet,
                    false => Shown::Other,
                }
            }
            Expects::Choice(_) if !holds => Shown::Other,
            // Some programs paint each step.
            Expects::Choice(choice) if choice.is_pointed_at(view) => Shown::Expected,
            Expects::Choice(_) => Shown::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(screen: &str) -> ScreenView {
        let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
        let last = lines.last().cloned().unwrap_or_default();
        ScreenView {
            cols: 80,
            cursor_row: u16::try_from(lines.len() - 1).unwrap(),
            cursor_col: u16::try_from(last.chars().count()).unwrap(),
            cursor_visible: true,
            lines,
            ..ScreenView::default()
        }
    }

    fn parts(text: &str, screen: &str, takes_keys: bool) -> (String, Option<Rest>) {
        let mut bytes = text.as_bytes().to_vec();
        let rest = Rest::of(&mut bytes, &view(screen), takes_keys);
        (String::from_utf8(bytes).unwrap(), rest)
    }

    const RECEIPT: InputReceipt = InputReceipt { output_offset: 7 };

    fn id() -> SessionId {
        SessionId::from_parts(1, 1)
    }

    /// What follows where this is shown, at these times after the first part was typed.
    fn follows(rest: Rest, looks: &[(&str, Option<bool>, i64)]) -> Next {
        follows_where(rest, looks, true)
    }

    /// The same. `holds`: see [`Seen`].
    fn follows_where(mut rest: Rest, looks: &[(&str, Option<bool>, i64)], holds: bool) -> Next {
        rest.first_typed(RECEIPT, 0);
        let mut last = Next::Later(0);
        for (screen, is_read, now) in looks {
            let view = view(screen);
            last = rest.look(id(), Seen { view: Some(&view), is_read: *is_read, holds }, *now);
        }
        last
    }

    #[test]
    fn the_first_key_is_alone_where_keys_are_taken_as_they_come() {
        const ASKS: &str = "Delete it? [y/N] ";
        let (first, rest) = parts("né\r", ASKS, true);
        assert_eq!((first.as_str(), rest.unwrap().bytes.as_slice()), ("n", "é\r".as_bytes()));
        for whole in [("n", true), ("n\r", false), ("\r", true), (" x\r", true), ("\x1b[A", true)] {
            assert!(parts(whole.0, ASKS, whole.1).1.is_none(), "{whole:?}");
        }
        let no = || parts("n\r", ASKS, true).1.unwrap();
        let shown = "Delete it? [y/N] n";
        assert_eq!(follows(no(), &[(shown, Some(true), 10), (shown, Some(true), 1_500)]), Next::Later(1_540));
        assert_eq!(follows(no(), &[(shown, Some(true), 10), (shown, Some(true), 1_510)]), Next::Type);
        assert_eq!(follows(no(), &[(shown, None, 10), (shown, None, 1_510)]), Next::Ask);
        assert_eq!(follows(no(), &[(shown, None, 10), (shown, Some(false), 1_510)]), Next::Ask, "it works");
        let unknown = Next::Over(Err(HubError::TypedInPart { id: id() }));
        assert_eq!(follows(no(), &[(shown, None, 10), (shown, Some(false), KEY_MAX_MS)]), unknown);
        assert_eq!(follows(no(), &[(ASKS, Some(true), KEY_MAX_MS)]), unknown);
        for other in ["Delete it? [y/N] no", "Delete it? [y/N] n\nFormat it? [Y/n] ", "Format it? [Y/n] n"] {
            assert_eq!(follows(no(), &[(other, Some(true), 10)]), Next::Later(50), "it may be half painted");
            let last = follows(no(), &[(other, Some(true), 10), (other, Some(true), 130)]);
            assert_eq!(last, Next::Over(Ok(RECEIPT)), "{other}");
        }
        // Of more than a key nobody knows what was taken.
        let (_, name) = parts("bob\r", "? Name: (foo) ", true);
        assert_eq!(follows(name.unwrap(), &[("done", None, 10), ("done", None, 130)]), unknown);
        let (_, name) = parts("bob\r", "? Name: (foo) ", true);
        let shown = "? Name: b";
        assert_eq!(follows(name.unwrap(), &[(shown, None, 10), (shown, Some(true), 1_510)]), Next::Type);
    }

    #[test]
    fn the_rest_of_a_word_is_not_typed_where_something_else_is_asked_around_its_line() {
        const ASKS: &str = "Setup\nDelete it? [y/N] ";
        let no = || parts("n\r", ASKS, true).1.unwrap();
        let follows = |screen, holds| {
            follows_where(no(), &[(screen, Some(true), 10), (screen, Some(true), 1_510)], holds)
        };
        assert_eq!(follows("Setup\nDelete it? [y/N] n", false), Next::Type);
        let asks_elsewhere = "Format the disk? Enter: yes\nDelete it? [y/N] n";
        assert_eq!(follows(asks_elsewhere, true), Next::Type, "it moves by itself");
        assert!(matches!(follows(asks_elsewhere, false), Next::Later(_)));
        let looks = [(asks_elsewhere, Some(true), 10), (asks_elsewhere, Some(true), KEY_MAX_MS)];
        let unknown = Next::Over(Err(HubError::TypedInPart { id: id() }));
        assert_eq!(follows_where(no(), &looks, false), unknown);
    }

    #[test]
    fn a_choice_is_confirmed_where_the_pointer_is_at_it() {
        let choose = |screen| parts("\x1b[B\r", screen, false);
        let (first, rest) = choose("? Where to:\n❯ test\n  production");
        assert_eq!((first.as_str(), rest.unwrap().bytes.as_slice()), ("\x1b[B", &b"\r"[..]));
        assert!(choose("no menu").1.is_none());
        let follows = |screen, last| {
            let rest = choose("? Where to:\n❯ test\n  production\n  production west").1.unwrap();
            follows(rest, &[(screen, Some(true), 10), (screen, Some(true), last)])
        };
        assert_eq!(follows("? Where to:\n  test\n❯ production\n  production west", 200), Next::Type);
        for wrong in
            ["? Where to:\n❯ test\n  production", "? Where to:\n  production\n❯ production west", "done"]
        {
            let refused = Next::Over(Err(HubError::NotChosen { id: id() }));
            assert_eq!(follows(wrong, CHOICE_MAX_MS), refused, "{wrong}");
        }
        let described =
            follows("? Where to:\n  test\n❯ production (with care)\n  production west", CHOICE_MAX_MS);
        assert_eq!(described, Next::Over(Err(HubError::NotChosen { id: id() })), "nobody was shown the rest");
        // Some programs scroll.
        assert_eq!(follows("? Where to:\n❯ production\n  production west\n  nowhere", 200), Next::Type);
        let rest = choose("? Where to:\n❯ test\n  production").1.unwrap();
        let shown = ("? Where to:\n  test\n❯ production", Some(true));
        let refused = Next::Over(Err(HubError::NotChosen { id: id() }));
        let looks = [(shown.0, shown.1, 10), (shown.0, shown.1, 130)];
        assert_eq!(follows_where(rest, &looks, false), refused, "above it stands another command");
    }
}
