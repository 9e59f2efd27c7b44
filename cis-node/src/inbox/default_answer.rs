//! The answer that a task's file gives where nobody did in time (`on_blocked.default`).
//!
//! Owns what it means for a prompt, by whom it is given, and its id. When it is given is the scheduler's matter.

use std::sync::LazyLock;

use regex::Regex;

use super::given;
use cis_core::api::{Answer, AnswerWith, InboxItem, Problem, ProblemKind};
use cis_core::event::{Actor, ActorKind, Meaning, PromptOption, Via};
use cis_core::ids::{InboxId, InputId, SessionId};
use cis_core::text::without_widths;

/// Enter, or whatever is not named, does something: `no` and Enter would do that.
static OTHER_KEYS: LazyLock<Regex> = LazyLock::new(|| {
    let words = r"(?i)\b(?:enter|return|any key|anything|everything|otherwise|press|hit)\b|[⏎↵]";
    #[allow(clippy::expect_used, reason = "the pattern is constant, and a test uses it")]
    Regex::new(words).expect("it is a pattern")
});

/// A row of a list whose rows have numbers or letters: `1) apple`, `[b] pear`, `2.1 plum`.
static LISTED: LazyLock<Regex> = LazyLock::new(|| {
    let row = r"^\W{0,4}(?:(?P<mark>\d{1,3}|[A-Za-z])[.):\]]|(?P<part>\d+(?:\.\d+)+)[.):]?)\s+\S";
    #[allow(clippy::expect_used, reason = "the pattern is constant, and a test uses it")]
    Regex::new(row).expect("it is a pattern")
});

/// By this name it stands in events.
const RULE: &str = "on_blocked.default";

/// Who gives it.
pub(crate) fn actor() -> Actor {
    Actor { kind: ActorKind::Policy, name: RULE.to_owned(), via: Via::Internal }
}

/// One of the options of the prompt, or words.
///
/// # Errors
/// Nobody could answer the prompt so.
pub(crate) fn answer(session: SessionId, item: &InboxItem, text: &str) -> Result<Answer, Problem> {
    let input = input_of(session, &item.id);
    let with = |with| Answer { with, reason: None, hash: None, again: None, input };
    let option = with(AnswerWith::Option { option: text.to_owned() });
    if !item.options.is_empty() && counts_rows(item, text) {
        let detail =
            format!("the options of {} show no numbers, so `{text}` could mean any of them", item.id);
        return Err(
            Problem::new(ProblemKind::BadInput, detail).hint("set `default` to the text of an option")
        );
    }
    match given::meant(item, &option) {
        Ok(_) => Ok(option),
        // A meaning that the prompt does not offer is no word to be typed, nor is any where it offers others.
        Err(problem) if Meaning::parse(text).is_some() || !item.options.is_empty() => Err(problem),
        Err(_) if is_yes_or_no(text) && OTHER_KEYS.is_match(&item.question) => {
            let detail = format!("{} asks for a key, and it is not known which one means `{text}`", item.id);
            Err(Problem::new(ProblemKind::BadInput, detail).hint("`cis dag attach` lets somebody choose"))
        }
        Err(_) if is_in_no_row(item, text) => {
            let detail = format!("no row of the list that {} shows has the number `{text}`", item.id);
            Err(Problem::new(ProblemKind::BadInput, detail).hint("`cis dag attach` lets somebody choose"))
        }
        Err(_) => {
            let words = with(AnswerWith::Text { text: text.to_owned() });
            given::meant(item, &words).map(|_| words)
        }
    }
}

/// Whether it is a number that stands for a place in a list. The list may begin above what was found of it: it is scrolled, or has a line
/// between its groups. What a session asks by itself is complete.
fn counts_rows(item: &InboxItem, text: &str) -> bool {
    let text = text.trim();
    let Some(number) = number(text.strip_prefix("id:").unwrap_or(text)) else { return false };
    let is_named = item.options.iter().any(|option| option.label == text);
    !is_named && item.ask_type.is_none() && !item.options.iter().any(|option| shows(item, option, number))
}

/// Whether an option has this number in its row. The id of an option may be its place.
fn shows(item: &InboxItem, option: &PromptOption, number: &str) -> bool {
    let is_mark = |c: char| !c.is_alphanumeric();
    let behind = |row: &str| {
        let rest = row.trim_start_matches(is_mark).strip_prefix(number)?;
        rest.starts_with(is_mark).then(|| rest.trim_matches(is_mark).to_owned())
    };
    // The screen shows a secret in its own width, the label does not.
    let (label, screen) = (without_widths(&option.label), without_widths(&item.screen));
    let label = label.trim_matches(is_mark);
    let is_its_row = |rest: String| !rest.is_empty() && (label.starts_with(&rest) || rest.starts_with(label));
    behind(label).is_some() || (option.id == number && screen.lines().filter_map(behind).any(is_its_row))
}

/// Whether it is a number, and right above the question stands a list of which no row shows it.
fn is_in_no_row(item: &InboxItem, text: &str) -> bool {
    let Some(number) = number(text) else { return false };
    let rows = item.screen.trim_end().lines().rev().skip(1);
    let marks: Vec<_> = rows.map_while(|row| LISTED.captures(row)).collect();
    let shows = |mark: &regex::Captures<'_>| mark.name("mark").is_some_and(|mark| mark.as_str() == number);
    marks.len() >= 2 && item.ask_type.is_none() && !marks.iter().any(shows)
}

/// The digits of a number, as people write it for a row: `2`, `2.`, `2)`.
fn number(text: &str) -> Option<&str> {
    let text = text.trim();
    let digits = text.strip_suffix(['.', ')']).unwrap_or(text);
    digits.parse::<usize>().ok().map(|_| digits)
}

/// Whether it is an answer to a question of yes or no.
fn is_yes_or_no(text: &str) -> bool {
    ["y", "n", "yes", "no"].iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// The same for the same prompt, also after a restart.
fn input_of(session: SessionId, item: &InboxId) -> InputId {
    InputId::hashed(&format!("{RULE} {session} {item}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::given::tests::item;

    /// What is typed for a default at a question with these options; none: the attempt fails.
    fn typed(question: &str, options: &[&str], default: &str) -> Option<String> {
        let keys: Vec<_> = options.iter().map(|label| format!("{label}\r")).collect();
        let options: Vec<_> =
            options.iter().zip(&keys).map(|(label, keys)| (*label, *label, None, keys.as_str())).collect();
        let item = InboxItem { question: question.to_owned(), ..item(&options) };
        let answer = answer(SessionId::from_parts(1, 1), &item, default).ok()?;
        let given = given::given(&item, &answer).unwrap();
        Some(String::from_utf8(given.answer.bytes).unwrap())
    }

    #[test]
    fn a_default_is_an_option_or_words_where_there_are_none() {
        assert_eq!(typed("Proceed? [y/N]", &["y", "n"], "n").as_deref(), Some("n\r"));
        assert_eq!(typed("Your name:", &[], "ada").as_deref(), Some("ada\r"));
        assert_eq!(typed("Enter your name:", &[], "ada").as_deref(), Some("ada\r"));
        assert_eq!(typed("Do it?", &[], "no").as_deref(), Some("no\r"));
        assert_eq!(typed("Continue? [Y/s]", &["Y", "s"], "no"), None);
        assert_eq!(typed("Proceed? [y/N]", &["y", "n"], "maybe"), None);
    }

    /// A coordinator that took the run over knows the options by a room, which does not tell what types them.
    #[test]
    fn a_default_for_another_node_needs_no_keys() {
        let item = item(&[("y", "yes", None, ""), ("n", "no", None, "")]);
        let answer = answer(SessionId::from_parts(1, 1), &item, "n").unwrap();
        assert!(matches!(given::meant(&item, &answer), Ok(given::Meant::Option(option)) if option.id == "n"));
        assert!(given::given(&item, &answer).is_err(), "this node could not type it");
    }

    #[test]
    fn a_number_is_an_option_only_where_rows_show_numbers() {
        assert_eq!(typed("What?", &["Keep", "Erase"], "1"), None);
        assert_eq!(typed("What?", &["Keep", "Erase"], "2)"), None);
        assert_eq!(typed("What?", &["Keep", "Erase"], "Keep").as_deref(), Some("Keep\r"));
        assert_eq!(typed("What?", &["1. Keep", "2. Erase"], "1").as_deref(), Some("1. Keep\r"));
        assert_eq!(typed("How many?", &["1", "5"], "5").as_deref(), Some("5\r"));
    }

    #[test]
    fn the_place_of_an_option_is_no_number_that_its_row_shows() {
        let options =
            [("1", "v9", None, "\x1b[A\r"), ("2", "v10", None, "\r"), ("12", "v2", None, "\x1b[B\r")];
        let given = |rows: [&str; 3], default: &str| {
            let screen = format!("Which?\n{}\n\n", rows.join("\n"));
            let item = InboxItem { screen, ..item(&options) };
            answer(SessionId::from_parts(1, 1), &item, default).is_ok()
        };
        for rows in [
            ["  v9", "\u{276f} v10", "  v2"],
            ["2 of 40", "  v9 2", "* v10"],
            ["1. v9", "\u{276f} 12. v10", "2. v2"],
        ] {
            assert!(!given(rows, "2") && !given(rows, "id:2") && !given(rows, "2."), "{rows:?}");
            assert!(given(rows, "v10"), "{rows:?}");
        }
        for rows in [
            ["1. v9", "\u{276f} 2. v10", "12. v2"],
            ["\u{2502} [1] v9 \u{2502}", "\u{2502} [2] v10 (new) \u{2502}", "x"],
            ["", " \u{276f} 2) v1", "0"],
        ] {
            assert!(given(rows, "2") && given(rows, "2."), "{rows:?}");
        }
    }

    #[test]
    fn a_number_is_typed_below_a_list_only_if_a_row_shows_it() {
        let typed = |screen: &str, default: &str| {
            let item = InboxItem { screen: screen.to_owned(), ..item(&[]) };
            answer(SessionId::from_parts(1, 1), &item, default).is_ok()
        };
        for list in [
            " 1) apple\n 3) cherry\n 7) grape",
            "a) red\nb) blue",
            "1.1 plan\n1.2 build\n2.1 test",
            "* [1] a\n* [3] b",
        ] {
            let screen = format!("Pick:\n{list}\nChoice: \n\n");
            assert!(!typed(&screen, "2") && !typed(&screen, "2)"), "{list}");
            assert!(typed(&screen, "red"), "{list}");
        }
        assert!(typed("Pick:\n 1) apple\n 3) cherry\nChoice: ", "3"));
        for screen in ["How many? ", "1) built\n2) tested\n\nHow many? ", "took 3.5 s\nHow many? "] {
            assert!(typed(screen, "8"), "{screen}");
        }
    }

    #[test]
    fn no_is_not_typed_where_enter_or_whatever_is_not_named_goes_on() {
        for question in [
            "Press Enter to erase the disk, or s to skip:",
            "[Enter] erase / [s] skip",
            "Type s to skip, anything else erases:",
            "Erase the disk? (hit s to skip)",
        ] {
            for default in ["no", "n", "Yes"] {
                assert_eq!(typed(question, &[], default), None, "{question} {default}");
            }
        }
    }
}
