//! What a prompt wants, by its words, the terminal's modes and who reads: the general rules, for programs
//! that nobody wrote a profile for.

use std::sync::LazyLock;

use regex::Regex;

use super::page::Page;
use super::pattern;
use crate::event::{Meaning, PromptKind, PromptOption};
use crate::monitor::evidence::Modes;

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
}

static EDITORS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(r?vim?|nvim|view|vimdiff|nano|pico|emacs(client)?|joe|jed|micro|hx|helix|kak|ne|mcedit|mg|zile|e3.*|tilde)(\.\w+)?$",
    )
});
static EDITOR_SCREEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^-- [A-Z][A-Z -]+ --|\^G (Help|Get Help|Hilfe)|\^X (Exit|Beenden)|-UU?U?:[-*%]{2}|^\[No Name\]")
});
static PAGERS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(less|more|most|pg|lv|w3m|bat|moar|ov)$"));
static PAGER_LINE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^:$|\(END\)$|^--\s?more\s?--|^lines \d+-\d+|\blines? \d+[-/]\d+|press RETURN to continue or q|\(press h for help or q to quit\)|^~$|^[^ ]+ \(\d+%\)|\d+/\d+ \d+%$|^\S+$",
    )
});
static SHELL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:\(\S+\)\s)?(?:\[?[\w.~+/@:-]+(?:[ :][\w.~/+@-]+)?\]?\s?)?(?:\([^()]*\))?[$#%❯➜»λ]$|^[\w.-]+(?:[@:(\[][\w@./:~ =-]*[)\]]?)?(?::\d+)*[:*]?[-=#*'?!~]?>{1,3}$|^>{1,3}$|^\.{3}$|^\([\w-]+\)$|^(?:In|Out) ?\[\d+\]:$|^(irb|pry)\S*[>*]$|^\w*\[?\d+\]?[>:]$|^\*$",
    )
});
static PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(pass(word|phrase|code|wort|wd)|mot de passe|contraseña|\bpin\b|\bsecret\b|\btoken\b|api.?key|パスワード|密码|密碼|пароль|otp\b|verification code)[^?]{0,60}[:：>\]]?\s*$",
    )
});
static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)^(?:enter |your |please enter )*(?:[\w.-]+ )?(user ?name|user ?id|login|log ?in as|email( address)?|e-?mail|benutzername|identifiant|usuario|account)\b[^?]{0,80}[:：>]\s*$",
        r"|\blogin:\s*$|(sign|log) ?in (with|to|using)|enter (this|the) (one-time )?code|device code|paste (the |your )?(authori[sz]ation )?(code|token)|authenticate (with|in) ",
    ))
});
static TRUST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)fingerprint|authenticity of|do you trust|trust (this|the) |trust[^.]{0,40}\?|\bcertificate\b.{0,60}(accept|trust|reject)|\(R\)eject, accept|import .{0,30}\bkey\b|continue connecting|store key in cache|unknown (host|key)",
    )
});
static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\babort\b.{0,20}\b(retry|ignore|skip)\b|\b(retry|ignore|skip)\b.{0,20}\babort\b|\b(retry|try again)\b[^.]{0,30}[?\])]|\((r)\)etry|\[r\]etry",
    )
});
static FAILED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(error|failed|failure|fatal|cannot|could not|unable to|conflict)\b"));
static LIMIT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)rate.?limit|usage limit|quota (exceeded|reached)|too many requests|limit reached")
});
static PERMITS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b(proceed|continue|overwrite|replace|remove|delete|erase|wipe|unlink|destroy|drop|install|uninstall|upgrade|update|allow|approve|permit|accept|agree",
        r"|execute|run|apply|perform|commit|push|discard|reset|format|write|modify|kill|stop|restart|reboot|shut ?down|abort|quit|exit|leave|purge|prune|clean|download|fetch|send|submit",
        r"|are you sure|sure|is th(is|at) ok(ay)?|ok\?|confirm|really|reopen|move|override|create|make|deploy|release|publish|merge|revert|undo|terminate|clear|truncate|grant|do you want to|shall i|should i|may i|can i|go ahead|okay to",
        r"|weiter|fortfahren|löschen|überschreiben|ersetzen|entfernen|wirklich|installieren|continuer|supprimer|écraser|remplacer|voulez|eliminar|sobrescribir|desea|borrar|continuare|продолжить|удалить|перезаписать)\b",
        r"|続行|上書き|削除|実行|继续|覆盖|删除|繼續|계속|삭제",
    ))
});
static PREFERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^\W*(would you like|do you (like|have|use|prefer)|save |use |enable |include |add |is the information|is this (information )?correct|does |did |have you|has |was |were |is your|are you (a|the|using|new))|see what's new",
    )
});
static ONWARD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(press|hit|strike)\b.{0,30}\b(any key|enter|return|space)\b"));

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
    if text.is_empty() {
        return PromptKind::Unknown;
    }
    of_words(asked, text, raw)
}

/// Editors and pagers: by who reads, or by what such screens have in common.
fn of_full_screen(asked: &Asked<'_>, text: &str) -> Option<PromptKind> {
    let page = asked.page;
    let named = |names: &Regex| asked.names.iter().any(|name| names.is_match(name));
    let rows = || page.view.lines.iter().map(|line| line.trim());
    let tildes = rows().filter(|row| *row == "~").count();
    let low = page.cursor_row() + 1 >= page.end() && page.end() > 1;
    // What an editor asks in its lowest rows is a question like any other.
    let asks = page.cursor_row() + 3 >= page.end()
        && (!asked.options.is_empty() || ONWARD.is_match(text) || text.ends_with(['?', '？']));
    if asks && (named(&EDITORS) || named(&PAGERS)) {
        return None;
    }
    if named(&EDITORS) || rows().any(|row| EDITOR_SCREEN.is_match(row)) {
        return Some(PromptKind::Editor);
    }
    if named(&PAGERS)
        || (low && PAGER_LINE.is_match(text) && text.len() > 1 && !text.ends_with('>') && is_pager_text(text))
    {
        return Some(PromptKind::Pager);
    }
    if page.view.alternate && low && text == ":" {
        return Some(PromptKind::Pager);
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
    let yes_no = offers(Meaning::AllowOnce) && (offers(Meaning::Deny) || offers(Meaning::DenyAndSay));
    if raw && PASSWORD.is_match(text) && !text.contains('?') && !yes_no {
        return PromptKind::Password;
    }
    if text.contains("--More--") {
        return PromptKind::Pager;
    }
    let trust = TRUST.is_match(text) || (yes_no && TRUST.is_match(&near));
    if trust {
        return PromptKind::Trust;
    }
    if LOGIN.is_match(text) && !yes_no {
        return PromptKind::Login;
    }
    if ERROR.is_match(text)
        || (ERROR.is_match(&format!("{near} {text}")) && FAILED.is_match(&near) && text.len() < 60)
    {
        return PromptKind::Error;
    }
    if LIMIT.is_match(text) {
        return PromptKind::RateLimit;
    }
    if asked.options.is_empty() && SHELL.is_match(text) && !asks_above(asked.page) {
        return PromptKind::Idle;
    }
    if offers(Meaning::AllowAlways) && !PREFERS.is_match(text) {
        return PromptKind::Permission;
    }
    if yes_no || PERMITS.is_match(text) && text.contains(['?', '？']) {
        return if PREFERS.is_match(text) { PromptKind::Question } else { PromptKind::Permission };
    }
    if only_yes(&near) {
        return PromptKind::Permission;
    }
    if ONWARD.is_match(text) {
        return if FAILED.is_match(&near) { PromptKind::Error } else { PromptKind::Question };
    }
    PromptKind::Question
}

/// A bare `>` below a row that asks is that question's.
fn asks_above(page: &Page) -> bool {
    let lead = page.lead.trim();
    let bare = matches!(lead, ">" | "*" | "#?" | "?" | ":" | "➜" | "❯" | "»");
    bare && page.above(page.cursor_row(), 1).first().is_some_and(|row| row.ends_with(['?', ':', '？', '：']))
}

/// "Only 'yes' will be accepted" and the like stand above some prompts.
fn only_yes(near: &str) -> bool {
    let near = near.to_lowercase();
    near.contains("only 'yes' will be accepted")
        || near.contains("type 'yes' to")
        || near.contains("type yes to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;
    use crate::monitor::screen::letters;

    const LINE: Modes = Modes { canonical: true, echo: true };
    const RAW: Modes = Modes { canonical: false, echo: false };

    fn kind(screen: &str, modes: Modes, name: &str, alternate: bool) -> PromptKind {
        let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
        let row = lines.len().saturating_sub(1);
        let col = lines.last().map_or(0, |line| line.chars().count());
        let view = ScreenView {
            lines,
            cols: 80,
            cursor_row: row as u16,
            cursor_col: col as u16,
            cursor_visible: true,
            alternate,
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
    }

    #[test]
    fn full_screens() {
        use PromptKind::*;
        assert_eq!(kind("text\n~\n~\n~\n~", RAW, "x", true), Editor);
        assert_eq!(kind("text\nfile", RAW, "less", true), Pager);
        assert_eq!(kind("text\n(END)", RAW, "x", true), Pager);
        assert_eq!(kind("text\n:", RAW, "x", true), Pager);
        assert_eq!(kind("text\n--More--(5%)", RAW, "x", false), Pager);
        assert_eq!(kind("a\n^G Help   ^O Write Out   ^X Exit", RAW, "x", true), Editor);
    }
}
