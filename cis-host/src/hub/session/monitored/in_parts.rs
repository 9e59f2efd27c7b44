//! Answers that are typed in two parts: whether the second one is wanted, only the screen tells.
//!
//! Owns where an answer is divided, and what the screen has to show after the first part. When it is looked at, and typing itself, are
//! `answers`' matter.

use cis_core::api::InputReceipt;
use cis_core::monitor::ScreenView;

const ENTER: &[u8] = b"\r";
const ESCAPE: u8 = 0x1b;

/// What is typed after the first part.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    /// What the host said of the first part; none: that is not typed yet.
    pub(super) receipt: Option<InputReceipt>,
    expects: Expects,
}

/// What the screen shows where the rest is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Expects {
    /// This line, and one more character: the first key. Anything else: that key was the whole answer.
    Key(String),
    /// A menu whose pointer is at this option: arrows were typed. Anything else: its program moved it in another way.
    Choice(String),
}

/// What the screen shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Expected,
    /// Nothing new, or nothing that is certain.
    NotYet,
    Other,
}

impl Rest {
    /// Takes what is typed later out of an answer to the prompt on this screen. `takes_keys`: its program takes each key as it comes, and
    /// shows it in a line.
    pub(super) fn of(bytes: &mut Vec<u8>, view: &ScreenView, takes_keys: bool) -> Option<Self> {
        let (at, expects) = if bytes.first() == Some(&ESCAPE) && bytes.ends_with(ENTER) {
            (bytes.len() - ENTER.len(), Expects::Choice(view.chosen_by(bytes)?))
        } else if takes_keys {
            let first = std::str::from_utf8(bytes).ok()?.chars().next().filter(|key| !key.is_control())?;
            (first.len_utf8(), Expects::Key(view.before_cursor()))
        } else {
            return None;
        };
        let rest = bytes.split_off(at);
        (!rest.is_empty()).then_some(Self { bytes: rest, receipt: None, expects })
    }

    /// What the screen shows; none: what was printed is not all here.
    pub(super) fn shown(&self, view: Option<&ScreenView>) -> Shown {
        let Some(view) = view else { return Shown::NotYet };
        match &self.expects {
            Expects::Key(line) => {
                let now = view.before_cursor();
                match now.strip_prefix(line.as_str()).map(|more| more.trim().chars().count()) {
                    Some(0) => Shown::NotYet,
                    Some(1) => Shown::Expected,
                    _ => Shown::Other,
                }
            }
            // Some programs paint each step.
            Expects::Choice(choice) if view.chosen_by(ENTER).as_ref() == Some(choice) => Shown::Expected,
            Expects::Choice(_) => Shown::NotYet,
        }
    }

    /// Whether nothing is answered without the rest.
    pub(super) fn is_needed(&self) -> bool {
        matches!(self.expects, Expects::Choice(_))
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
            lines: lines.into(),
            ..ScreenView::default()
        }
    }

    fn parts(text: &str, screen: &str, takes_keys: bool) -> (String, Option<Rest>) {
        let mut bytes = text.as_bytes().to_vec();
        let rest = Rest::of(&mut bytes, &view(screen), takes_keys);
        (String::from_utf8(bytes).unwrap(), rest)
    }

    #[test]
    fn the_first_key_is_alone_where_keys_are_taken_as_they_come() {
        let (first, rest) = parts("né\r", "Delete it? [y/N] ", true);
        let rest = rest.unwrap();
        assert_eq!((first.as_str(), rest.bytes.as_slice(), rest.is_needed()), ("n", "é\r".as_bytes(), false));
        let shown = |screen| rest.shown(Some(&view(screen)));
        assert_eq!(shown("Delete it? [y/N] n"), Shown::Expected);
        assert_eq!(shown("Delete it? [y/N] "), Shown::NotYet);
        assert_eq!(rest.shown(None), Shown::NotYet);
        for other in ["Delete it? [y/N] no", "Delete it? [y/N] n\nFormat it? [Y/n] ", "Format it? [Y/n] n"] {
            assert_eq!(shown(other), Shown::Other, "{other}");
        }
        for whole in [("n", true), ("n\r", false), ("\r", true), ("\x1b[A", true)] {
            assert!(parts(whole.0, "Delete it? [y/N] ", whole.1).1.is_none(), "{whole:?}");
        }
    }

    #[test]
    fn a_choice_is_confirmed_where_the_pointer_is_at_it() {
        let (first, rest) = parts("\x1b[B\r", "? Where to:\n❯ test\n  production", false);
        let rest = rest.unwrap();
        assert_eq!((first.as_str(), rest.bytes.as_slice(), rest.is_needed()), ("\x1b[B", &b"\r"[..], true));
        assert_eq!(rest.shown(Some(&view("? Where to:\n  test\n❯ production"))), Shown::Expected);
        for other in ["? Where to:\n❯ test\n  production", "? Where to:\n  test\n❯ nowhere", "done"] {
            assert_eq!(rest.shown(Some(&view(other))), Shown::NotYet, "{other}");
        }
        assert!(parts("\x1b[B\r", "no menu", false).1.is_none());
    }
}
