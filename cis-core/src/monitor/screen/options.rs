//! The options of a prompt: numbered rows, letters, buttons, and what is typed for each.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::letters::{beside, is_step};
use super::meaning::{begins_no, begins_yes, is_choice, meaning_of};
use super::pattern;
use super::rows::{OTHER_POINTERS, POINTERS, ends_asking, unboxed};
use super::shape::presses;
use crate::event::{LABEL_CHARS_MAX, Meaning, OPTIONS_MAX, PromptOption};

/// How an option is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::monitor) enum Keys {
    /// Its number, at once.
    #[default]
    Number,
    /// Its number, then Enter.
    NumberEnter,
    /// The key in brackets at the end of its label (`(y)`, `(esc)`), else its number.
    Hint,
    /// Arrows down or up from the highlighted row, then Enter.
    Arrows,
    /// Arrows to the right from the first one, then Enter.
    Across,
}

pub(super) const ENTER: &str = "\r";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const ESCAPE: &str = "\x1b";

static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^(?P<pointer>[{POINTERS}{OTHER_POINTERS}]\s*)?[○◯]?\s*(?P<number>\d{{1,2}})[.)]\s+(?P<label>\S.*)$"
    ))
});
static HINT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s*\((?P<key>[a-z]|esc|enter)\)$"));
static SPELLED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[(\[](?P<letter>\pL)[)\]](?P<rest>[\pL'’]+(?: \pL[\pL'’]*)*)"));
/// A question whose yes ends or leaves something: what is allowed by it depends.
static TURNED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:abort|cancel|keep|skip|stop|do not|don['’]t|never)\b"));
/// A question for a refusal: its yes refuses.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:^|[:.!] )\W*(?:(?:really|please|do you|would you like to|(?:really )?want to|shall i|should i|are you sure (?:that )?you) )*(?:refuse|reject|deny|decline|disallow|forbid|block)\b",
    )
});
/// What a key is for, in words before a list of keys: `n to approve`, `y = refuse`.
static KEY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:^|[^\pL\pN/|,-])["'‘“`(\[<]?(?P<key>yes|no|y|n)["'’”`)\]>]?\s*(?:to|for|is|means?|will|=|:|->|→)\s*(?P<what>\pL[\pL']*(?: \pL[\pL']*)?)"#,
    )
});
/// The same, the key behind its word: `approve (n)`, `refuse with y`.
static KEY_LAST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(?P<what>approve|accept|allow|confirm|continue|proceed|agree|grant|refuse|reject|deny|decline|disallow|cancel|abort),?\s*(?:(?:with|by|via|press|type|hit|enter|using|is|=|:|->|→)\s*){0,3}["'‘“`(\[<]?(?P<key>yes|no|y|n)["'’”`)\]>]?\s*(?:[,;.(\[]|$|or\b|and\b)"#,
    )
});
static CHOICES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[(\[{<](?P<list>\[?\^?[\pL\pN?!.][\pL\pN_-]{0,15}\]?(?:(?:\s?[/|,]\s?|\s(?i:or|oder|ou|o)\s)(?:\[?\^?[\pL\pN?!.][\pL\pN_-]{0,15}\]?)){1,11})[)\]}>]|\b(?P<bare>(?i:yes/no|y/n)(?:/[\pL]{1,8}){0,3})\b",
    )
});
/// Keys, some of which are signs: `[y,n,q,a,d,j,J,g,/,e,?]`.
static SIGNS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[(\[](?P<list>[\pL\pN?!./@+-](?:,[\pL\pN?!./@+-])+)[)\]]"));
static APART: LazyLock<Regex> = LazyLock::new(|| pattern(r"[/|,]|\s(?i:or|oder|ou|o)\s"));
/// Yes or no, of which only the default is shown: `Skip it? [y]`, `Correct? [no]:`, `Clear<y>?`.
static ONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:\?\s*[\[(](?P<one>(?i:y|n|yes|no))[\])]\s*:?|[\[(](?P<asked>(?i:y|n|yes|no))[\])]\s*\?|<(?P<other>y|n)>\s*\?)\s*$",
    )
});
/// Answers that are named right behind a question.
static NAMED: LazyLock<Regex> = LazyLock::new(|| pattern(r"[?？:：]\s*[\[(<{][^\[\](){}<>]{1,40}[\])}>]"));
static SPACES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s{2,}"));

pub(super) fn option(id: &str, label: &str, meaning: Option<Meaning>, keys: String) -> PromptOption {
    PromptOption { id: id.to_owned(), label: label.chars().take(LABEL_CHARS_MAX).collect(), meaning, keys }
}

fn arrows(from: usize, to: usize) -> String {
    let steps = if to >= from { DOWN.repeat(to - from) } else { UP.repeat(from - to) };
    steps + ENTER
}

/// The last list of rows that are numbered from 1 up, or from 0. Gives the options and the index of its first row.
pub(in crate::monitor) fn numbered(rows: &[&str], keys: Keys) -> Option<(Vec<PromptOption>, usize)> {
    let mut list: Vec<(usize, bool, String)> = Vec::new();
    let (mut least, mut is_padded) = (1, false);
    for (index, row) in rows.iter().enumerate() {
        let row = unboxed(row);
        let Some(found) = NUMBERED.captures(row) else { continue };
        let Ok(number) = found["number"].parse::<usize>() else { continue };
        // In a list from `00`, numbers are no ids.
        is_padded = &found["number"] == "00" || (is_padded && found["number"].starts_with('0'));
        if is_padded {
            list.clear();
            continue;
        }
        if number <= 1 && number != least + list.len() {
            list.clear();
            least = number;
        }
        if number == least + list.len() && list.len() < OPTIONS_MAX {
            list.push((index, found.name("pointer").is_some(), found["label"].trim_end().to_owned()));
        }
    }
    let first = list.first().filter(|_| list.len() >= 2)?.0;
    let highlighted = list.iter().position(|(_, pointed, _)| *pointed);
    let options = list.iter().enumerate().map(|(place, (_, _, label))| {
        let id = (least + place).to_string();
        let hint = HINT.captures(label).map(|found| found["key"].to_owned());
        let typed = match (keys, &hint) {
            (Keys::Hint, Some(key)) => named(key),
            (Keys::NumberEnter, _) => id.clone() + ENTER,
            (Keys::Arrows | Keys::Across, _) => arrows(highlighted.unwrap_or(0), place),
            (Keys::Number | Keys::Hint, _) => id.clone(),
        };
        let label = HINT.replace(label, "");
        option(&id, &label, meaning_of(&label), typed)
    });
    Some((options.collect(), first))
}

fn named(key: &str) -> String {
    match key {
        "esc" => ESCAPE.to_owned(),
        "enter" => ENTER.to_owned(),
        letter => letter.to_owned(),
    }
}

/// Buttons in one row, apart by two blanks or more, among them one whose label begins with `first`.
pub(in crate::monitor) fn buttons(row: &str, first: &str) -> Option<Vec<PromptOption>> {
    let row = unboxed(row);
    let from = row.find(first)?;
    let labels = SPACES.split(row[from..].trim()).map(|label| label.trim_matches(['<', '>', '[', ']', ' ']));
    let known = labels.take_while(|label| label.starts_with(first) || is_choice(label));
    let options: Vec<PromptOption> = known
        .take(OPTIONS_MAX)
        .enumerate()
        .map(|(place, label)| {
            option(&(place + 1).to_string(), label, meaning_of(label), RIGHT.repeat(place) + ENTER)
        })
        .collect();
    (options.len() >= 2).then_some(options)
}

/// Letters or words that a line prompt offers: `[y/N]`, `(yes/no)`, `(Y)es/(N)o`. `enter`: a line is read,
/// so Enter follows.
pub(in crate::monitor) fn letters(line: &str, enter: bool) -> Vec<PromptOption> {
    let typed = |word: &str| if enter { format!("{word}{ENTER}") } else { word.to_owned() };
    let mut options = offered(line, typed);
    // Yes to one of these is no to what was under way: which of them allows something is not for words to say.
    let question = line.split(['[', '(']).next().unwrap_or(line);
    if TURNED.is_match(question) || REFUSAL.is_match(question) {
        clear_meanings(&mut options);
    }
    if turns(line) {
        turn(&mut options);
    }
    options
}

/// The last question of a row. Programs that take one key write the next question behind the answered one: `Keep it? [y/N] n  Delete the
/// rest? [y/N]`.
pub(super) fn last_question(row: &str) -> &str {
    let named = NAMED.find_iter(row).filter(|found| !row[found.end()..].trim().is_empty());
    let ends: Vec<usize> = named.map(|found| found.end()).collect();
    let next = |end: &usize| {
        let offered = letters(&row[..*end], true);
        let rest = row[*end..].trim_start_matches([':', '：', '?', '？', '>', ' ']);
        let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let lower = word.to_lowercase();
        let is_answer =
            |one: &PromptOption| lower == one.id.to_lowercase() || lower == one.label.to_lowercase();
        let is_answered = word.chars().count() == 1 || offered.iter().any(is_answer);
        let rest = if is_answered { more.trim() } else { rest.trim() };
        let ends_so = is_answered && ends_asking(rest);
        let has_words = rest.starts_with(char::is_alphabetic) && rest.contains(' ');
        (offered.len() >= 2 && has_words && (ends_so || asks_on(rest))).then_some(rest)
    };
    ends.iter().rev().find_map(next).unwrap_or(row)
}

/// Whether a text behind a prompt is another question, whoever wrote it: it names its answers, or a key to press.
pub(in crate::monitor) fn asks_on(text: &str) -> bool {
    let text = text.trim();
    let names = || NAMED.find_iter(text).last().is_some_and(|found| text[found.end()..].trim().len() <= 1);
    presses(text) || (names() && letters(text, true).len() >= 2)
}

/// Takes the meanings that a yes and a no have nearly everywhere.
fn clear_meanings(options: &mut [PromptOption]) {
    for option in options {
        option.meaning =
            option.meaning.filter(|meaning| !matches!(meaning, Meaning::AllowOnce | Meaning::Deny));
    }
}

/// Makes a yes and a no mere keys: `n` that approves must not be chosen by the word `no`.
pub(in crate::monitor) fn turn(options: &mut [PromptOption]) {
    if !options.iter().any(|option| matches!(option.id.to_lowercase().as_str(), "y" | "n" | "yes" | "no")) {
        return;
    }
    clear_meanings(options);
    for option in options {
        if is_spelled_out(option) {
            option.label.clone_from(&option.id);
        }
    }
}

/// Whether a text gives the key of a yes to a refusal, or the key of a no to a permission.
pub(in crate::monitor) fn turns(text: &str) -> bool {
    let all = KEY_FIRST.captures_iter(text).chain(KEY_LAST.captures_iter(text));
    all.into_iter().any(|found| is_against(&found["key"], &found["what"]))
}

/// Whether a key of a yes or a no stands for the contrary, by the words that are told with it.
pub(in crate::monitor) fn is_against(key: &str, what: &str) -> bool {
    let first = what.split_whitespace().next().unwrap_or_default();
    let means = |meaning| [what, first].into_iter().any(|words| meaning_of(words) == Some(meaning));
    match key.to_lowercase().as_str() {
        "y" | "yes" => begins_no(what) || means(Meaning::Cancel),
        "n" | "no" => begins_yes(what) || means(Meaning::Continue) || first.eq_ignore_ascii_case("next"),
        _ => false,
    }
}

/// The same, whatever the question is.
fn offered(line: &str, typed: impl Fn(&str) -> String) -> Vec<PromptOption> {
    let mut options: Vec<PromptOption> = Vec::new();
    let spelled: Vec<&str> =
        SPELLED.captures_iter(line).filter_map(|found| Some(found.name("letter")?.as_str())).collect();
    let keeps_case = differ_in_case(&spelled);
    let mut add = |id: &str, label: &str| {
        let id = if keeps_case { id.to_owned() } else { id.to_lowercase() };
        if options.len() < OPTIONS_MAX && !options.iter().any(|known| known.id == id) {
            options.push(option(&id, label, meaning_of(label), typed(&id)));
        }
    };
    for found in SPELLED.captures_iter(line) {
        let rest = &found["rest"];
        let rest = [" or", " oder", " ou"].iter().find_map(|or| rest.strip_suffix(or)).unwrap_or(rest);
        add(&found["letter"], &format!("{}{rest}", &found["letter"]));
    }
    if SPELLED.find_iter(line).count() >= 2 {
        return options;
    }
    options.clear();
    let (signs, choices) = (SIGNS.captures_iter(line).last(), CHOICES.captures_iter(line).last());
    let starts =
        |found: &Option<Captures<'_>>| found.as_ref().and_then(|found| found.get(0)).map(|all| all.start());
    let is_long = |found: &Captures<'_>| found["list"].split(',').count() >= 3;
    let has_signs = signs.as_ref().is_some_and(is_long) && starts(&signs) >= starts(&choices);
    let Some(found) = (if has_signs { signs } else { choices }) else {
        return lettered(line, typed);
    };
    let list = found.name("list").or(found.name("bare")).map_or("", |list| list.as_str());
    let words: Vec<&str> = match has_signs {
        true => list.split(',').collect(),
        false => APART.split(list).map(|word| word.trim().trim_matches(['[', ']'])).collect(),
    };
    if is_step(line, found.get(0).map_or(0, |list| list.start()), &words) {
        return lettered(line, typed);
    }
    let plain = words.iter().filter(|word| is_choice(word) || word.chars().count() == 1).count();
    if plain < 2 {
        return Vec::new();
    }
    // A default may be written large, but not where a small yes and no stand among signs.
    let keeps_case = differ_in_case(&words) || (has_signs && words.contains(&"y") && words.contains(&"n"));
    let has_yes_no = has_yes_no(&words);
    for word in words {
        let id = if keeps_case { word.to_owned() } else { word.to_lowercase() };
        let label = spelled_out(&id, has_yes_no).unwrap_or(word);
        // Keys that are not what they are written as.
        let pressed = id.starts_with(['^', '.']) || id.starts_with("c-") || id.starts_with("m-");
        if id.is_empty()
            || pressed
            || options.len() == OPTIONS_MAX
            || options.iter().any(|known| known.id == id)
        {
            continue;
        }
        options.push(option(&id, label, meaning_of(label), typed(&id)));
    }
    options
}

/// What a letter stands for nearly everywhere. `y` and `n` say yes and no only beside each other.
fn spelled_out(letter: &str, has_yes_no: bool) -> Option<&'static str> {
    Some(match letter {
        "y" | "Y" if has_yes_no => "yes",
        "n" | "N" if has_yes_no => "no",
        "?" => "help",
        _ => return None,
    })
}

/// Whether both `y` and `n` are among these keys, each of them once.
fn has_yes_no(keys: &[&str]) -> bool {
    let is_there_once = |letter| keys.iter().filter(|key| key.eq_ignore_ascii_case(letter)).count() == 1;
    is_there_once("y") && is_there_once("n")
}

/// Whether the label of an option is only what its letter stands for, and no text of the screen.
pub(in crate::monitor) fn is_spelled_out(option: &PromptOption) -> bool {
    option.label == option.id || spelled_out(&option.id, true) == Some(&option.label)
}

/// Letters beside their words, or run together; or only the one that Enter stands for.
fn lettered(line: &str, typed: impl Fn(&str) -> String) -> Vec<PromptOption> {
    let mut pairs = beside(line);
    if let Some(found) = ONE.captures(line).filter(|_| pairs.is_empty()) {
        let keys = if found.name("one").or(found.name("asked")).is_some_and(|one| one.len() > 1) {
            ["yes", "no"]
        } else {
            ["y", "n"]
        };
        pairs = keys.map(|key| (key.to_owned(), key.to_owned())).to_vec();
    }
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    let (keeps_case, has_yes_no) = (differ_in_case(&keys), has_yes_no(&keys));
    let made = pairs.iter().take(OPTIONS_MAX).map(|(key, label)| {
        let id = if keeps_case { key.clone() } else { key.to_lowercase() };
        let label = if key == label { spelled_out(&id, has_yes_no).unwrap_or(label) } else { label };
        option(&id, label, meaning_of(label), typed(&id))
    });
    made.collect()
}

/// Whether two of them are one letter, large and small: then case matters, and is no mark of a default.
fn differ_in_case(words: &[&str]) -> bool {
    let same = |a: &&str, b: &&str| a != b && a.to_lowercase() == b.to_lowercase();
    words.iter().enumerate().any(|(place, word)| words[..place].iter().any(|other| same(word, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_yes_allows_is_not_said_where_the_question_is_turned() {
        for question in
            ["Abort? [y/N]", "Do not proceed? [Y/n]", "Keep the old file? (yes/no)", "Cancel it? (y)es/(n)o"]
        {
            let options = letters(question, true);
            assert_eq!(options.len(), 2, "{question}");
            assert!(options.iter().all(|option| option.meaning.is_none()), "{question}: {options:?}");
        }
        assert_eq!(letters("Proceed? [y/N]", true)[1].meaning, Some(Meaning::Deny));
    }

    #[test]
    fn keys_that_the_text_turns_around_have_no_meaning() {
        for turned in [
            "Press n to approve, y to refuse [n/y]",
            "Press 'n' to continue or 'y' to abort [y/n]",
            "Run it? (n = allow, y = deny) [y/n]",
            "Type no to accept, yes to reject: [yes/no]",
            "Approve (n) or refuse (y) [n/y]",
            "Press y to not approve, n to approve [y/n]",
            "Press y to wait or n to continue anyway [y/n]",
            "To approve press n, to refuse press y [y/n]",
            "Refuse the request? [y/n]",
            "Deny access? (yes/no)",
            "Do you really want to reject it? [y/n]",
        ] {
            let options = letters(turned, true);
            assert_eq!(options.len(), 2, "{turned}");
            assert!(options.iter().all(|option| option.meaning.is_none()), "{turned}: {options:?}");
        }
        let labels =
            letters("Press n to approve, y to refuse [n/y]", true).into_iter().map(|option| option.label);
        assert_eq!(labels.collect::<Vec<_>>(), ["n", "y"], "a no is not typed as the key that approves");
        for straight in [
            "Press y to approve, n to refuse [y/n]",
            "Run it? (y = allow, n = deny) [y/n]",
            "Type yes to continue, no to quit: [yes/no]",
            "Do you want to continue? (n/Y)",
            "Approve (y), refuse (n) [y/n]",
            "Would you like to proceed, yes or no? [yes/no]",
        ] {
            let options = letters(straight, true);
            let meanings: Vec<_> = options.iter().filter_map(|option| option.meaning).collect();
            assert!(
                meanings.contains(&Meaning::AllowOnce) && meanings.contains(&Meaning::Deny),
                "{straight}: {options:?}"
            );
        }
    }

    #[test]
    fn letters_of_both_cases_are_typed_as_they_stand() {
        let ids = |line: &str| letters(line, true).into_iter().map(|option| option.id).collect::<Vec<_>>();
        assert_eq!(ids("replace a? [y]es, [n]o, [A]ll, [N]one, [r]ename: "), ["y", "n", "A", "N", "r"]);
        assert_eq!(ids("Overwrite? [Y/n/A/a] "), ["Y", "n", "A", "a"]);
        assert_eq!(ids("Overwrite? [y/N] "), ["y", "n"]);
        let abort = letters("Disk full. Retry? [a/r/i] ", true);
        assert!(abort.iter().all(|option| option.label != "all"), "{abort:?}");
    }

    #[test]
    fn a_letter_means_nothing_that_the_screen_does_not_say() {
        for line in [
            "Cut or copy? [c/x] ",
            "Go on? [q/f] ",
            "Save? [s/n] ",
            "Weiter? [j/n] ",
            "Continuer? [o/N] ",
            "Choose [c/d] ",
            "Replace? [y/a/q] ",
            "Run it? [y/Y/n] ",
            "[n]ext [y]ank ",
            "n/s/q>",
        ] {
            let options = letters(line, true);
            assert!(options.len() >= 2, "{line}: {options:?}");
            assert!(options.iter().all(|option| option.meaning.is_none()), "{line}: {options:?}");
        }
        let meanings =
            |line| letters(line, true).into_iter().map(|option| option.meaning).collect::<Vec<_>>();
        let (yes, no, quit) = (Some(Meaning::AllowOnce), Some(Meaning::Deny), Some(Meaning::Cancel));
        assert_eq!(meanings("Stage it [y,n,q,a]? "), [yes, no, None, None]);
        assert_eq!(meanings("Replace? [N/Y/c] "), [no, yes, None]);
        assert_eq!(meanings("[n]ext [y]ank [q]uit "), [None, None, quit]);
        assert_eq!(meanings("Wait (w), Quit (q)? "), [None, quit]);
    }

    fn short(options: &[PromptOption]) -> Vec<String> {
        let meaning = |option: &PromptOption| option.meaning.map_or("-", |meaning| meaning.as_str());
        options.iter().map(|o| format!("{} {:?} {} {:?}", o.id, o.label, meaning(o), o.keys)).collect()
    }

    #[test]
    fn numbered_rows_with_each_kind_of_keys() {
        let rows = ["Go on?", "│   1. Yes (y)   │", "│ ❯ 2. No (esc)  │", "text"];
        let (options, first) = numbered(&rows, Keys::Hint).expect("a list");
        assert_eq!(first, 1);
        assert_eq!(short(&options), [r#"1 "Yes" allow_once "y""#, r#"2 "No" deny "\u{1b}""#]);
        let keys =
            |keys| numbered(&rows, keys).expect("a list").0.into_iter().map(|o| o.keys).collect::<Vec<_>>();
        assert_eq!(keys(Keys::Number), ["1", "2"]);
        assert_eq!(keys(Keys::NumberEnter), ["1\r", "2\r"]);
        assert_eq!(keys(Keys::Arrows), ["\x1b[A\r", "\r"]);
        let rows = ["Drop?", "❯ 0. No", "  1. Yes", "  2. Later"];
        let (options, first) = numbered(&rows, Keys::Arrows).expect("a list from 0");
        assert_eq!((first, options[0].id.as_str(), options[1].keys.as_str()), (1, "0", "\x1b[B\r"));
        let (options, first) =
            numbered(&["1. a", "2. b", "0. c", "1. d"], Keys::Number).expect("the last list");
        assert_eq!((first, options[1].label.as_str()), (2, "d"));
        assert!(numbered(&["1. only one"], Keys::Number).is_none());
        assert!(numbered(&["2. not from", "3. one up"], Keys::Number).is_none());
    }

    #[test]
    fn the_last_question_of_a_row_is_the_one_that_is_asked() {
        for (row, last) in [
            ("Keep the notes? [y/N] n  Delete the backup? [y/N]", "Delete the backup? [y/N]"),
            ("Keep the notes? [y/N]  Delete the backup? [y/N]", "Delete the backup? [y/N]"),
            ("Keep it? [y/N] N  Drop it? [y/N]: y  Clear it? (y/n)", "Clear it? (y/n)"),
            ("Keep the notes? [y/N] n  Name of it:", "Name of it:"),
            ("Keep it? (yes/no) yes Press any key", "Press any key"),
        ] {
            assert_eq!(last_question(row), last, "{row}");
        }
        for row in [
            "Proceed? [y/N] or type a name:",
            "Would you like to use TypeScript? (y/n) [default: n]:",
            "Support for foo? (FOO) [N/y/?]",
            "[4/4] use_docker [y/n] (n):",
            "Port: [8080] or another one? [y/n]",
            "Overwrite? [y/N] n",
            "Keep the notes? [y/N] is it so?",
        ] {
            assert_eq!(last_question(row), row, "{row}");
        }
    }

    #[test]
    fn letters_and_words() {
        assert_eq!(
            short(&letters("Proceed? [y/N] ", true)),
            [r#"y "yes" allow_once "y\r""#, r#"n "no" deny "n\r""#]
        );
        assert_eq!(
            short(&letters("Run shell command? (Y)es/(N)o/(D)on't ask again [Yes]: ", true)),
            [r#"y "Yes" allow_once "y\r""#, r#"n "No" deny "n\r""#, r#"d "Don't ask again" - "d\r""#]
        );
        assert_eq!(
            short(&letters("continue connecting (yes/no/[fingerprint])? ", true))[..2],
            [r#"yes "yes" allow_once "yes\r""#.to_owned(), r#"no "no" deny "no\r""#.to_owned()]
        );
        assert_eq!(letters("Port [8080]: ", true), []);
        assert_eq!(letters("see (docs/index) for more: ", true), []);
        assert_eq!(letters("Stage this hunk [y,n,q,a,d,e,?]? ", false).len(), 7);
        let ids = |line| letters(line, true).into_iter().map(|option| option.id).collect::<String>();
        assert_eq!(ids("(1/2) Stage this hunk [y,n,q,a,d,j,J,g,/,e,p,?]? "), "ynqadjJg/ep?");
        assert_eq!(ids("Delete partitions (1,2,3)? [y/N] "), "yn");
        assert_eq!(ids("Discard it [y,n,q,a,d,K,g,/,s,e,?]? "), "ynqadKg/se?");
    }

    #[test]
    fn buttons_of_a_row() {
        let row = "┃   Allow once   Allow always   Reject                ctrl+f fullscreen  enter confirm";
        assert_eq!(
            short(&buttons(row, "Allow").expect("buttons")),
            [
                r#"1 "Allow once" allow_once "\r""#,
                r#"2 "Allow always" allow_always "\u{1b}[C\r""#,
                r#"3 "Reject" deny "\u{1b}[C\u{1b}[C\r""#,
            ]
        );
        assert!(buttons("Allowed", "Allow").is_none());
    }
}
