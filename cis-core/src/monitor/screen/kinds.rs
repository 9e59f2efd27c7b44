//! What a prompt wants, by its words, the terminal's modes and who reads: the general rules, for programs
//! that nobody wrote a profile for.

use regex::Regex;

use super::meaning::{begins_no, begins_yes};
use super::noise::is_gauge;
use super::page::Page;
use super::rows::{is_rule, unboxed};
use super::words::{
    ADDRESS, AGAIN, ARGUMENT, CHOICE, COMMAND, EACH, EDITOR_SCREEN, EDITORS, EDITS, ENDS_ASKING, ENTERS,
    ENTRY, ERROR, EXISTS, FAILED, FIELD, FINDER, GIVEN_UP, GOES_AHEAD, HEX, HEX_BYTES, LEAVE, LEAVES, LETTER,
    LIMIT, LINE_EDITORS, LISTED, LOGIN, MODE_LINE, NAMES, NO, ONE_OF, ONWARD, PAGER_LINE, PAGERS, PERMITS,
    POSITION, PREFERS, REPLACES, SECRET, SECRET_ASKED, SHELL, SILENT, TELLS, TELLS_OF, TRUST, VARIABLE,
    WANTS, WORD, YES, asks,
};
use crate::event::{Meaning, PromptKind, PromptOption};
use crate::monitor::evidence::Modes;

/// So many rows of a hex dump are an editor's.
const HEX_ROWS: usize = 3;

/// So many fields are a form.
const FIELDS: usize = 3;

/// Everything that tells what is wanted.
#[derive(Debug, Clone, Copy)]
pub(in crate::monitor) struct Asked<'a> {
    /// The screen.
    pub(in crate::monitor) page: &'a Page,
    /// The text that asks.
    pub(in crate::monitor) text: &'a str,
    /// What it offers.
    pub(in crate::monitor) options: &'a [PromptOption],
    /// Command names of those that read or sit in the foreground.
    pub(in crate::monitor) names: &'a [String],
    /// Of the terminal that is read.
    pub(in crate::monitor) modes: Option<Modes>,
    /// A program of the session made that terminal.
    pub(in crate::monitor) nested: bool,
    /// A line editor is at rest: it asked for brackets around what is pasted.
    pub(in crate::monitor) edits: bool,
}

impl Asked<'_> {
    fn named(&self, names: &Regex) -> bool {
        self.names.iter().any(|name| names.is_match(name))
    }
}

/// What a prompt wants.
pub(in crate::monitor) fn kind_of(asked: &Asked<'_>) -> PromptKind {
    let raw = asked.modes.is_some_and(|modes| !modes.canonical && !modes.echo);
    let text = asked.text.trim();
    if asked.modes.is_some_and(|modes| modes.canonical && !modes.echo) {
        return PromptKind::Password;
    }
    if raw && let Some(kind) = of_full_screen(asked, text) {
        return kind;
    }
    if unboxed(&asked.page.lead).is_empty()
        && let Some(kind) = of_nothing(asked, text, raw)
    {
        return kind;
    }
    if text.is_empty() {
        // A menu, a list or a form: the program waits for keys, and shows no words of a question.
        let view = &asked.page.view;
        let waits = raw && view.alternate && (!view.cursor_visible || view.cursor_painted);
        return if waits { PromptKind::Question } else { PromptKind::Unknown };
    }
    of_words(asked, text, raw)
}

/// What a dialog wants: its words tell, whatever else its program is.
pub(in crate::monitor) fn kind_of_dialog(asked: &Asked<'_>) -> PromptKind {
    match asked.modes {
        Some(modes) if modes.canonical && !modes.echo => PromptKind::Password,
        modes => of_words(asked, asked.text.trim(), modes.is_some_and(|modes| !modes.echo)),
    }
}

/// Nothing stands before the cursor: some programs are at rest so.
fn of_nothing(asked: &Asked<'_>, text: &str, raw: bool) -> Option<PromptKind> {
    if asks(text) || !asked.options.is_empty() {
        return None;
    }
    if asked.named(&LINE_EDITORS) {
        return Some(PromptKind::Editor);
    }
    // A line that a program edits itself, with nothing asked above it.
    let edits = asked.edits || (raw && asked.page.view.cursor_visible && asked.page.at_end());
    (edits && !asked.page.view.alternate || asked.named(&SILENT)).then_some(PromptKind::Idle)
}

/// Editors and pagers: by who reads, or by what such screens have in common.
fn of_full_screen(asked: &Asked<'_>, text: &str) -> Option<PromptKind> {
    let page = asked.page;
    let rows = || page.view.lines.iter().map(|line| line.trim());
    let tildes = rows().filter(|row| *row == "~").count();
    let low = page.cursor_row() + 1 >= page.end() && page.end() > 1;
    // What an editor asks in its lowest rows is a question like any other.
    let asks = page.cursor_row() + 4 >= page.end()
        && (!asked.options.is_empty() || ONWARD.is_match(text) || ENDS_ASKING.is_match(text));
    let bottom = page.cursor_row() + 3 >= page.view.lines.len();
    let asks = asks || (bottom && asked.named(&EDITORS) && ENTERS.is_match(text));
    if asks && (asked.named(&EDITORS) || asked.named(&PAGERS) || (bottom && page.view.alternate)) {
        return None;
    }
    // Text above a line that is typed into may show any of these signs.
    let is_text = page.view.alternate || page.cursor_row() + 2 < page.end();
    // An editor that paints its cursor itself names keys in a row at the bottom that save, and undo.
    let names = |row: &str, verb: &str| EDITS.find_iter(row).any(|key| key.as_str().ends_with(verb));
    let names_keys = |row: &str| names(row, "Save") && (names(row, "Undo") || names(row, "Redo"));
    let has_keys = if page.view.cursor_visible {
        rows().any(|row| EDITS.is_match(row))
    } else {
        let bottom = page.end().saturating_sub(3)..page.end();
        bottom.map(|row| page.row(row)).any(names_keys) && !is_gauge(&page.view.lines)
    };
    let has_place = || rows().any(|row| POSITION.is_match(row));
    if asked.named(&EDITORS)
        || rows().any(|row| EDITOR_SCREEN.is_match(row))
        || (is_text && (has_keys || has_place()))
    {
        return Some(PromptKind::Editor);
    }
    if asked.named(&PAGERS)
        || (low && PAGER_LINE.is_match(text) && text.len() > 1 && !text.ends_with('>') && is_pager_text(text))
    {
        return Some(PromptKind::Pager);
    }
    if page.view.alternate && low && text == ":" {
        return Some(PromptKind::Pager);
    }
    let is_dump = || rows().filter(|row| HEX.is_match(row)).count() >= HEX_ROWS || rows().any(is_bytes);
    // Below the text, with nothing but a message under it.
    let has_mode_line = || {
        let from = page.end().saturating_sub(2).max(page.cursor_row() + 1);
        (from..page.end()).any(|row| MODE_LINE.is_match(page.row(row).trim()))
    };
    if is_text && asked.options.is_empty() && !asks && (is_dump() || has_mode_line()) {
        return Some(PromptKind::Editor);
    }
    (page.view.alternate && tildes >= 3).then_some(PromptKind::Editor)
}

fn is_pager_text(text: &str) -> bool {
    let lower = text.to_lowercase();
    ["(end)", "more", "lines ", "press return", "press h for help"].iter().any(|sign| lower.contains(sign))
}

fn of_words(asked: &Asked<'_>, text: &str, raw: bool) -> PromptKind {
    let near = asked.page.above(asked.page.cursor_row(), 6).join(" \n");
    let offers = |meaning: Meaning| asked.options.iter().any(|option| option.meaning == Some(meaning));
    let yes_no = offers_yes_no(asked.options);
    // Where modes are unknown, or are only those of a terminal inside, nothing says that what is typed shows. A secret that is
    // listed as a question would be answered in the open, and stored.
    let may_hide = raw || asked.nested || asked.modes.is_none();
    if may_hide && !yes_no && is_secret(text) {
        return PromptKind::Password;
    }
    if text.contains("--More--") {
        return PromptKind::Pager;
    }
    if TRUST.is_match(text) || (yes_no && TRUST.is_match(&near)) {
        return PromptKind::Trust;
    }
    let login = LOGIN.is_match(text) || (ADDRESS.is_match(text) && ENTRY.is_match(&near));
    if login && !yes_no {
        return PromptKind::Login;
    }
    if is_error(asked, text, &near) {
        return PromptKind::Error;
    }
    if LIMIT.is_match(text) && !yes_no {
        return PromptKind::RateLimit;
    }
    if asked.options.is_empty() && rests(asked, text, raw) {
        return PromptKind::Idle;
    }
    if (LEAVE.is_match(text) && !CHOICE.is_match(text)) || EACH.is_match(text) {
        return PromptKind::Permission;
    }
    if offers(Meaning::AllowAlways) && !PREFERS.is_match(text) {
        return PromptKind::Permission;
    }
    // Of three and more things, none of them yes or no, one is chosen.
    let chooses =
        !yes_no && (asked.options.len() >= 3 || (asked.options.len() == 2 && ONE_OF.is_match(text)));
    if VARIABLE.is_match(text) || (asked.options.is_empty() && NAMES.is_match(text)) {
        return PromptKind::Question;
    }
    // Yes or no to something that is no question and would do nothing is how something shall be.
    let (head, questions) = (text.split(['[', '(']).next().unwrap_or(text), is_question(text));
    if yes_no && !questions && !PERMITS.is_match(text) && !head.trim().is_empty() {
        return PromptKind::Question;
    }
    if GOES_AHEAD.is_match(text) || wants_again(text) {
        return PromptKind::Permission;
    }
    if yes_no || PERMITS.is_match(text) && has_question_mark(text) && !chooses {
        return if PREFERS.is_match(text) { PromptKind::Question } else { PromptKind::Permission };
    }
    if asked.options.is_empty() && asks_by_name(asked, text) {
        return PromptKind::Permission;
    }
    if !asked.options.is_empty() {
        let labels: Vec<&str> = asked.options.iter().map(|option| option.label.as_str()).collect();
        let told = format!("{near} {text} {}", labels.join(" "));
        if REPLACES.is_match(&told) && EXISTS.is_match(&told) {
            return PromptKind::Permission;
        }
    }
    if WORD.is_match(text) || LETTER.is_match(text) || WORD.is_match(&near) {
        return PromptKind::Permission;
    }
    if ONWARD.is_match(text) && FAILED.is_match(&near) {
        return PromptKind::Error;
    }
    PromptKind::Question
}

/// Whether an option agrees and another one refuses, also where their words are too many to mean just that.
fn offers_yes_no(options: &[PromptOption]) -> bool {
    let is_open = |option: &PromptOption| option.meaning.is_none() && option.label.contains(' ');
    let agrees = |option: &PromptOption| {
        option.meaning == Some(Meaning::AllowOnce) || (is_open(option) && begins_yes(&option.label))
    };
    let refuses = |option: &PromptOption| {
        matches!(option.meaning, Some(Meaning::Deny | Meaning::DenyAndSay))
            || (is_open(option) && begins_no(&option.label))
    };
    // Letters of other languages have no meaning, and are told by their places.
    let is_yes = |yes: &PromptOption| match yes.id.to_lowercase().as_str() {
        "j" | "o" | "s" | "t" | "д" => true,
        "y" => !yes.label.is_ascii(),
        _ => false,
    };
    let is_no = |no: &PromptOption| matches!(no.id.to_lowercase().as_str(), "n" | "н");
    let is_pair = matches!(options, [yes, no, ..]
        if (is_yes(yes) && is_no(no)) || (YES.is_match(&yes.label) && NO.is_match(&no.label)));
    is_pair || (options.iter().any(agrees) && options.iter().any(refuses))
}

/// It has a question mark that is no option, and no key in front of its word (`?:Help`).
pub(in crate::monitor) fn is_question(text: &str) -> bool {
    let mut depth = 0_usize;
    let text = text.trim_start_matches(['?', '？']);
    text.chars().any(|c| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, '?' | '？')
    })
}

/// A row in which an editor tells where its cursor is, or which keys it has.
pub(in crate::monitor) fn tells_of_editor(row: &str) -> bool {
    let row = row.trim();
    POSITION.is_match(row) || MODE_LINE.is_match(row) || EDITS.is_match(row) || EDITOR_SCREEN.is_match(row)
}

/// The text wants the same key again before a program ends, or takes words that can be given up. In the row below a text, an editor asks so.
pub(in crate::monitor) fn asks_below_text(text: &str) -> bool {
    wants_again(text) || GIVEN_UP.is_match(text)
}

fn wants_again(text: &str) -> bool {
    AGAIN.is_match(text) && LEAVES.is_match(text)
}

/// A question mark stands behind the sign that some programs paint before their questions.
fn has_question_mark(text: &str) -> bool {
    text.trim_start_matches(['?', ' ']).contains(['?', '？'])
}

/// It says who asks, and what about: `rm: descend into directory 'd'?`.
fn asks_by_name(asked: &Asked<'_>, text: &str) -> bool {
    let Some((name, rest)) = text.split_once(": ") else { return false };
    let known = asked.names.iter().any(|known| known == name);
    known && text.ends_with(['?', '？']) && !PREFERS.is_match(rest) && !CHOICE.is_match(rest)
}

/// A secret that a program shows as stars, or not at all, by itself.
fn is_secret(text: &str) -> bool {
    // Without the sign before a question (`?`, `[?]`, `◆`), and what is painted behind it.
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let text = text.trim_end_matches(['*', '•', '●', ' ']);
    let asked = text.trim_end_matches([':', '：', ' ']);
    let asked = if asked.ends_with(['?', '？']) { asked } else { text };
    SECRET_ASKED.is_match(asked)
        || (SECRET.is_match(text) && !text.contains(['?', '？']) && !text.to_lowercase().contains("select"))
}

fn is_error(asked: &Asked<'_>, text: &str, near: &str) -> bool {
    let again = |option: &PromptOption| {
        let label = option.label.to_lowercase();
        label.starts_with("retry") || label.starts_with("try again")
    };
    ERROR.is_match(text)
        || (ERROR.is_match(&format!("{near} {text}")) && FAILED.is_match(near) && text.len() < 60)
        || (asked.options.iter().any(again) && (FAILED.is_match(text) || FAILED.is_match(near)))
}

/// A prompt for the next command, or for words at any time.
fn rests(asked: &Asked<'_>, text: &str, raw: bool) -> bool {
    let page = asked.page;
    if ARGUMENT.is_match(text) {
        return false;
    }
    if (COMMAND.is_match(text) && !CHOICE.is_match(text)) || names_itself(asked, text) {
        return true;
    }
    if SHELL.is_match(text) && !text.contains(['?', '？']) && !WANTS.is_match(text) {
        let finds = raw && (page.view.lines.iter().any(|row| FINDER.is_match(row)) || has_list_below(page));
        return !finds && !asks_above(page);
    }
    // A line of a full screen that takes words at any time, such as that of a chat. Without a line, something is to be chosen.
    let takes_words = page.view.alternate && page.view.cursor_visible && !page.lead.trim().is_empty();
    raw && takes_words && !is_form(page) && !asks(text) && !WANTS.is_match(text)
}

/// Bytes in hex digits, some of which are letters: no row of a calendar.
fn is_bytes(row: &str) -> bool {
    HEX_BYTES.find(row).is_some_and(|bytes| bytes.as_str().contains(|c: char| c.is_ascii_alphabetic()))
}

/// The cursor is in one of several fields.
fn is_form(page: &Page) -> bool {
    let is_field = |row: &String| FIELD.is_match(row);
    let at = page.view.lines.get(page.cursor_row());
    at.is_some_and(is_field) && page.view.lines.iter().filter(|row| is_field(row)).count() >= FIELDS
}

/// Rows right below the line that is typed into: a list that is searched.
fn has_list_below(page: &Page) -> bool {
    let row = page.cursor_row();
    let holds = |row: usize| !page.row(row).trim().is_empty() && !is_rule(page.row(row));
    page.view.cursor_visible && holds(row + 1) && holds(row + 2)
}

/// A bare `>` below a row that asks is that question's.
fn asks_above(page: &Page) -> bool {
    let lead = page.lead.trim();
    let bare = lead.chars().count() <= 2 && !matches!(lead, "$" | "#" | "%");
    let asked = || page.above(page.cursor_row(), 1).first().is_some_and(|row| asks(row));
    (bare && (asked() || is_below_list(page))) || is_told_above(page)
}

/// The row right above says what is to be typed.
fn is_told_above(page: &Page) -> bool {
    let above = page.cursor_row().checked_sub(1).map_or("", |row| page.row(row));
    page.lead.trim_end().ends_with('>') && TELLS.is_match(above) && !TELLS_OF.is_match(above)
}

/// Numbered rows stand right above: what is typed is one of the numbers.
fn is_below_list(page: &Page) -> bool {
    let near = page.above(page.cursor_row(), 2);
    near.len() == 2 && near.iter().all(|row| LISTED.is_match(row))
}

/// It is at rest where it shows nothing but its name (`debugfs: `).
fn names_itself(asked: &Asked<'_>, text: &str) -> bool {
    let name = text.trim_end_matches([':', '>', ' ']);
    name.len() > 1
        && name.len() < text.len()
        && asked.names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;
    use crate::monitor::screen::letters;

    const LINE: Modes = Modes { canonical: true, echo: true };
    const RAW: Modes = Modes { canonical: false, echo: false };

    fn kind(screen: &str, modes: Modes, name: &str, alternate: bool) -> PromptKind {
        kind_with(true, screen, modes, name, alternate)
    }

    fn kind_with(cursor: bool, screen: &str, modes: Modes, name: &str, alternate: bool) -> PromptKind {
        let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
        let row = lines.len().saturating_sub(1);
        let col = lines.last().map_or(0, |line| line.chars().count());
        let view = ScreenView {
            lines,
            cols: 80,
            cursor_row: row as u16,
            cursor_col: col as u16,
            cursor_visible: cursor,
            cursor_painted: false,
            alternate,
            pointed: None,
        };
        let page = Page::of(view);
        let text = page.asking();
        let options = letters(&text, true);
        kind_of(&Asked {
            page: &page,
            text: &text,
            options: &options,
            names: &[name.to_owned()],
            modes: Some(modes),
            nested: false,
            edits: false,
        })
    }

    #[test]
    fn line_prompts() {
        use PromptKind::*;
        let cases = [
            ("Do you want to continue? [Y/n] ", Permission),
            ("rm: remove regular empty file 'f'? ", Permission),
            ("cp: overwrite 'b'? ", Permission),
            ("Would you like to use TypeScript? (y/n) ", Question),
            ("What is your name? ", Question),
            ("Name: ", Question),
            ("Username for 'https://example.invalid': ", Login),
            ("host login: ", Login),
            ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", Trust),
            ("(A)bort, (R)etry, (I)gnore? ", Error),
            ("bash-5.2# ", Idle),
            ("user@host:~/src$ ", Idle),
            (">>> ", Idle),
            ("(gdb) ", Idle),
            ("(to) ", Question),
            ("php > ", Idle),
            ("lftp :~> ", Idle),
            ("MariaDB [(none)]> ", Idle),
            ("Break 1 [2]> ", Idle),
            ("0] ", Idle),
            ("(No game) ", Idle),
            ("Choose a race (? for Help): ", Question),
            ("Could not find it. Do you want to create it?\nYour choice [y/n]: ", Permission),
            ("Use default settings?\nYour choice [y/n]: ", Question),
            ("\"a.txt\" already exists.\n(o)verwrite, (s)kip, (q)uit? ", Permission),
            ("?- ", Idle),
            ("user=> ", Idle),
            ("Command (m for help): ", Idle),
            ("Enter your name> ", Question),
            ("< rm ... ./a > ? ", Permission),
            ("rm a b ?...", Permission),
            ("Change (N)ame, (E)mail, or (O)kay/(Q)uit? ", Question),
            ("Reversed patch detected!  Assume -R? [n] ", Permission),
            ("Unattached inode 12\nConnect to /lost+found<y>? ", Permission),
            ("Is CN=a correct?\n  [no]:  ", Question),
            ("> Keep source apart (y/n) [n]: ", Question),
            ("Support for foo (FOO) [N/y/?] ", Question),
            ("[4/4] use_docker [y/n] (n): ", Question),
            ("Name of the release? ", Question),
            ("Type 'YES' if you understand this and want to continue: ", Permission),
            ("record this change? [Ynq?] ", Permission),
            ("; ", Idle),
            ("Email address: ", Question),
            ("Quit now? ([yes]/no): ", Permission),
            ("Save file a.txt? (y, n, !, ., q, C-r, d or C-h) ", Permission),
            ("Modified buffers exist; exit anyway? (yes or no) ", Permission),
            ("Name (localhost:pat): ", Login),
            ("Save changes before closing? (y,n,esc)", Permission),
            ("Is the information correct? [Y/n] ", Question),
            ("Would you like to install them? (y/n) ", Permission),
            ("Would you like instructions? ", Question),
            ("Is it ok to stop here? (y/n) ", Permission),
            ("Shred the disk (y/n)? ", Permission),
            ("What do you want to install: ", Question),
            ("x: descend into directory 'd'? ", Permission),
            ("y: colour? ", Question),
            ("Disconnect from the server? ", Permission),
            ("¿Desea continuar? [S/n] ", Permission),
            ("Continuer ? [O/n] ", Permission),
            ("sqlite> ", Idle),
            ("irb(main):001:0> ", Idle),
            ("In [3]: ", Idle),
            ("1) red\n2) blue\n#? ", Question),
            ("What shall it be called?\n> ", Question),
            ("  Only 'yes' will be accepted to approve.\n\n  Enter a value: ", Permission),
            ("Press any key to continue . . .", Question),
            ("", Unknown),
        ];
        for (screen, want) in cases {
            assert_eq!(kind(screen, LINE, "x", false), want, "{screen}");
        }
        assert_eq!(kind("Geheim ", Modes { canonical: true, echo: false }, "x", false), Password);
        assert_eq!(kind("Password: ", RAW, "node", false), Password);
        assert_eq!(kind("? Passphrase of the key ‣ ****", RAW, "node", false), Password);
        assert_eq!(kind("? What is your password? ", RAW, "node", false), Password);
        assert_eq!(kind("? Change the password? (y/N) ", RAW, "node", false), Permission);
        assert_eq!(kind("", LINE, "bc", false), Idle);
        assert_eq!(kind("debugfs:  ", LINE, "debugfs", false), Idle);
        assert_eq!(kind("Name: ", LINE, "debugfs", false), Question);
        assert_eq!(kind("", LINE, "ed", false), Editor);
    }

    #[test]
    fn buttons_in_other_languages_agree_and_refuse() {
        let option = |label: &str| super::super::options::option(label, label, None, String::new());
        for (yes, no) in [("Да", "Нет"), ("Ja", "Nein"), ("< Oui >", "< Non >"), ("はい", "いいえ")]
        {
            assert!(offers_yes_no(&[option(yes), option(no), option("…")]), "{yes}");
        }
        assert!(!offers_yes_no(&[option("Januar"), option("Nebel")]));
    }

    #[test]
    fn full_screens() {
        use PromptKind::*;
        assert_eq!(kind("text\n~\n~\n~\n~", RAW, "x", true), Editor);
        assert_eq!(kind("text\nfile", RAW, "less", true), Pager);
        assert_eq!(kind("  1/2\n> ", RAW, "fzf", true), Question);
        assert_eq!(kind("files\n  a.txt", RAW, "x", true), Idle);
        // Something is to be chosen or pressed.
        assert_eq!(kind_with(false, "files\n  a.txt", RAW, "x", true), Question);
        let keys = "text\n\n^S Save F5 Undo ^O Open\n^K Find";
        assert_eq!(kind_with(false, keys, RAW, "x", true), Editor);
        for bar in ["^S Save ^Q Quit", "^X Cut  ^V Paste", "F2 Save  F3 Undone"] {
            assert_eq!(
                kind_with(false, &format!("a.txt\n\n{bar}\nF1 Help"), RAW, "x", true),
                Question,
                "{bar}"
            );
        }
        assert_eq!(kind("text\n(END)", RAW, "x", true), Pager);
        assert_eq!(kind("text\n:", RAW, "x", true), Pager);
        assert_eq!(kind("text\n--More--(5%)", RAW, "x", false), Pager);
        assert_eq!(kind("a\n^G Help   ^O Write Out   ^X Exit", RAW, "x", true), Editor);
        assert_eq!(kind("some text\n\nnotes.txt   Row 1    Col 12", RAW, "x", true), Editor);
        assert_eq!(
            kind("BEAV 0: \n          0: 68 65 6C 6C 6F 20 77 6F  hello\nBEAV  data", RAW, "x", true),
            Editor
        );
        assert_eq!(kind("Ln 3, Col 1\n\nsome text", RAW, "x", true), Editor);
        assert_eq!(kind("abcdef12 one\nabcdef13 two\nabcdef14 three\nbash-5.2# ", RAW, "bash", false), Idle);
        let traced = "Expecting value: line 1 column 1 (char 0)\n? Continue? (Y/n) ";
        assert_eq!(kind(traced, RAW, "node", false), Permission);
        let dump = "00000000  68 65 6C 6C\n00000010\n00000020\n";
        assert_eq!(kind(&format!("{dump}---  a"), RAW, "x", true), Editor);
        assert_eq!(kind(&format!("{dump}Save changes (Yes/No/Cancel) ? "), RAW, "x", true), Permission);
    }
}
