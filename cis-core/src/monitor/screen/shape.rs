//! The shape of the text before the cursor: does it look as if an answer belonged behind it?

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::rows::unboxed;

/// How much the text before the cursor looks like a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::monitor) enum Shape {
    /// There is none.
    Empty,
    /// Something in progress: dots, a percentage, a bar.
    Progress,
    /// Text that says nothing about it.
    Weak,
    /// It ends as prompts end.
    Strong,
}

static PROGRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:\.\.\.|…|\. \. \.)\s*$|(?:^|[\s(\[|])\d+([.,]\d+)?\s?%\s*$|[\[(|][=#>█▓▒░. -]{4,}[\])|]?\s*$",
        r"|\d+\s?/\s?\d+[\])]?\s*$|\d\s?[kKMG]?i?B/s\b|\b(?i:eta)\b",
    ))
});
/// What is being done, as sentences of progress begin; it is no progress where it ends as prompts end.
static DOING: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\W*\p{Lu}?\pL{2,}ing\b[^?:>$#]*$"));
/// Programs that show the terminal of others, here or on another machine.
static CARRIERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(screen|tmux(: \w+)?|script|expect|unbuffer|dtach|abduco|zellij|mosh(-client)?|ssh|docker|podman|kubectl|minicom|picocom)$",
    )
});
static PRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(press|hit|type|strike|push)\b.{0,40}\b(any key|enter|return|key|space|yes|\[?q\]?)\b|\b(press|hit) \S{1,12}( to|$)|taste drücken|drücken? (sie )?.{0,24}taste|appuyez sur|pulse |キーを押",
    )
});
static ENDS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:[?:>$#%\]»❯›➜λ〉＞：？]|--More--.*|\(END\)|[)}=*»|~])\s*$"));
static ASKS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[?？]\s|[?:：]\s[^:]{0,40}$|^\? "));
static CONTINUES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(press|hit) [<\[]?(enter|return|any key|a key)[>\]]? to (continue|proceed|go on)\b",
        r"|\b(any|another) (other )?key (to (continue|proceed|go on)|for (more|another))\b",
    ))
});
/// A key ends the program. Servers say that, too.
static ENDS_WITH_KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^\W*(press|hit|push|strike) (any key|enter|return|<enter>|\[enter\]) to (quit|exit|stop|close|end|finish|leave)\W*$",
    )
});
/// A question with groups of answers or defaults behind it, to its end.
static QUESTION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[?？](?:\s*[(\[{][^()\[\]{}]+[)\]}]){0,3}\s*:?\s*$"));
/// A count, a bar or a percentage in brackets, to the end.
static COUNTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[(\[{](?:\s*\d+\s?/\s?\d+\s*|[=#>█▓▒░. -]{4,}|\s*\d+([.,]\d+)?\s?%\s*)[)\]}]\s*:?\s*$")
});
/// An address that ends with what looks like a question.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)https?://\S*\?\s*$"));
static SERVES: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)https?://|\b(listening|serving|watching|running (at|on)|ready in)\b"));
static LISTENS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(listening|serving|server (is )?(running|started|ready)|running (at|on)|ready in|watching for|waiting for (file )?changes",
        r"|starting (development )?server|press (ctrl|control|\^)|press .{1,12} (to|for|\+).{0,40}\b(quit|stop|exit|help|reload|restart|shortcuts)",
        r"|(ctrl|control)[-+ ]?c to|local:\s+https?://|https?://(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::\]))",
    ))
});

/// The shape of the text before the cursor.
pub(in crate::monitor) fn shape_of(lead: &str) -> Shape {
    let text = unboxed(lead);
    if text.is_empty() {
        // A prompt may be nothing but a character of frames; a row of blanks is none.
        return if lead.trim().is_empty() { Shape::Empty } else { Shape::Weak };
    }
    if PRESS.is_match(text) || text.ends_with("?...") {
        Shape::Strong
    } else if !is_question(text) && (PROGRESS.is_match(text) || DOING.is_match(text)) {
        Shape::Progress
    } else if ENDS.is_match(text) || ASKS.is_match(text) {
        Shape::Strong
    } else {
        Shape::Weak
    }
}

/// Whether the text names a key to press.
pub(in crate::monitor) fn presses(text: &str) -> bool {
    PRESS.is_match(text)
}

/// The lowest row asks for a key to continue, and nothing above it says that a server runs.
pub(in crate::monitor) fn ends_with_key(last_rows: &[String]) -> bool {
    last_rows.last().is_some_and(|row| CONTINUES.is_match(row)) && !serves(last_rows)
}

/// The text before the cursor asks for a key that ends the program, and no server runs.
pub(in crate::monitor) fn ends_program(lead: &str, last_rows: &[String]) -> bool {
    ENDS_WITH_KEY.is_match(unboxed(lead)) && !serves(last_rows)
}

/// A row asks for a key to continue. A server or a watcher names keys, too, and does not wait for them.
pub(in crate::monitor) fn asks_for_enter(last_rows: &[String]) -> bool {
    last_rows.iter().any(|row| CONTINUES.is_match(row)) && !serves(last_rows)
}

fn serves(last_rows: &[String]) -> bool {
    last_rows.iter().any(|row| SERVES.is_match(row))
}

/// Nothing but dots: an interpreter waits for the rest of what was begun.
pub(in crate::monitor) fn continues(lead: &str) -> bool {
    matches!(lead.trim(), ".." | "..." | "....")
}

/// A program of this name passes on what others show: its own reading tells nothing of theirs.
pub(in crate::monitor) fn is_carrier(name: &str) -> bool {
    CARRIERS.is_match(name)
}

/// The text before the cursor asks, and does not only say which keys there are.
pub(in crate::monitor) fn answers(lead: &str) -> bool {
    let text = unboxed(lead);
    // Shells of protocols have an address as their prompt.
    let asks = || is_question(text) || text.ends_with(['>', '❯']);
    shape_of(lead) == Shape::Strong && (asks() || !LISTENS.is_match(text))
}

/// The text ends as a question does, whatever it names.
fn is_question(text: &str) -> bool {
    QUESTION.is_match(text) && !COUNTED.is_match(text) && !ADDRESS.is_match(text)
}

/// The last rows are those of a server or a watcher that takes keys and does not wait for them.
pub(in crate::monitor) fn is_listener(last_rows: &[String]) -> bool {
    last_rows.iter().any(|row| LISTENS.is_match(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_look_like_prompts() {
        for strong in [
            "Proceed? [y/N] ",
            "Password: ",
            "bash-5.2$ ",
            ">>> ",
            "package name: (classic) ",
            "(gdb) ",
            "In [1]: ",
            "Press any key to continue . . .",
            "Press ENTER to continue...",
            "? Project name › ",
            "Name: foo",
            "$ ",
            "--More--(5%)",
            "sqlite> ",
            "Weiter mit beliebiger Taste: ",
            "名前：",
            "(Reading) ok? ",
            "100% sure? ",
        ] {
            assert_eq!(shape_of(strong), Shape::Strong, "{strong}");
        }
    }

    #[test]
    fn a_question_may_name_an_address_a_key_or_a_fraction() {
        for asked in [
            "? Are your files at https://localhost:5173? (y/N) ",
            "Ctrl-K to paste, Ctrl-C to abort?",
            "  Which range? [? for help] (10.0.0.0/16) ",
        ] {
            assert!(answers(asked), "{asked}");
        }
        for told in [
            "Local: http://localhost:5173/ ",
            "Press q to quit: ",
            "Done? 12/80",
            "Is the database up? (3/30)",
            "Waiting, is it up? [####......]",
            "GET http://localhost:3000/search?",
        ] {
            assert!(!answers(told), "{told}");
        }
    }

    #[test]
    fn any_other_key_is_waited_for_unless_a_server_runs() {
        let row = "--- Press q to quit, or any other key to continue ---".to_owned();
        assert!(is_listener(std::slice::from_ref(&row)) && asks_for_enter(std::slice::from_ref(&row)));
        assert!(ends_with_key(std::slice::from_ref(&row)));
        assert!(!ends_with_key(&["Serving on port 80".to_owned(), row.clone()]));
        // It was pressed.
        let after = ["Server started.".to_owned(), "Press Ctrl+C to stop".to_owned()];
        assert!(!ends_with_key(&[vec![row], after.to_vec()].concat()));
    }

    #[test]
    fn progress_does_not() {
        for progress in [
            "Building...",
            "Waiting for deploy…",
            " 45%",
            "[=====>     ]",
            "12/80",
            "1.2 MB/s eta 0:12",
            "(12/80)",
        ] {
            assert_eq!(shape_of(progress), Shape::Progress, "{progress}");
        }
        assert_eq!(shape_of("Compiling foo v1.0"), Shape::Progress);
        assert_eq!(shape_of("Compiled foo v1.0"), Shape::Weak);
        assert_eq!(shape_of("vm-2% "), Shape::Strong);
        assert_eq!(shape_of("   "), Shape::Empty);
    }

    #[test]
    fn servers_listen() {
        for row in [
            "  ➜  Local:   http://localhost:5173/",
            "  press h + enter to show help",
            "Serving HTTP on 0.0.0.0 port 8000",
            "Quit the server with CONTROL-C to stop",
            "Listening on port 3000",
            "Found 0 errors. Watching for file changes.",
        ] {
            assert!(is_listener(&[row.to_owned()]), "{row}");
        }
        assert!(!is_listener(&["Press q to go on".to_owned(), "Which port?".to_owned()]));
    }
}
