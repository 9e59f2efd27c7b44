//! What the words of a shell command are taken for: code, names of variables, which shells evaluate as well, or anything else.
//!
//! Knows builtins, and the commands that give a script to another shell. Sees one word after the other, as it is written.

use std::borrow::Cow;

use super::position::{Dialect, Refusal};

/// What the next word of a command is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// A word.
    Command,
    /// `[[ … ]]`.
    Condition,
    /// After `eval`, `let`, `trap`, `alias` or `declare -i`.
    Evaluated,
    /// After `declare`, `typeset` or `local`: flags, and names with values behind `=`.
    Declaring,
    /// After `read` or `unset`: names.
    Naming,
    /// The value of an option of `read`.
    NamingValue,
    /// The first word after `printf`.
    Printing,
    /// After `printf -v`: a name.
    PrintingName,
    /// After `[` or `test`.
    Testing,
    /// After `[ -v`: a name.
    TestingName,
    /// After the name of a shell: its options.
    Shell,
    /// The value of an option of a shell, after which its options go on.
    ShellValue,
    /// The same, after which its script comes.
    ShellValueScript,
    /// After `sh -c` or `su -c`: a script.
    Script,
    /// After `-s` or `--shell`, as of `useradd`: the name of a shell that is not run.
    LoginShell,
    /// After `su`.
    Su,
    /// After `ssh`: its options and a host.
    Ssh,
    /// The value of an option of `ssh`.
    SshValue,
    /// After the host, or after the name of a shell there: without more words, that shell reads its standard input.
    RemoteShell,
    /// The value of an option after the host.
    RemoteValue,
    /// Words of a command that another shell reads: after `ssh host` and `watch`.
    RemoteCommand,
    /// After `watch`: its options and a command.
    Watch,
    /// The value of an option of `watch`.
    WatchValue,
}

impl Within {
    /// What comes after `word`. `is_first`: the word is the name of the command.
    pub(super) fn after(self, word: &[u8], is_first: bool, dialect: Dialect) -> Self {
        let is_option = word.len() > 1 && word.starts_with(b"-");
        match (self, word) {
            (_, b"[[") => Self::Condition,
            (_, b"]]") => Self::Command,
            (Self::Command, _) => Self::after_word(word, is_first, dialect),
            // Integers are calculated, and references are followed.
            (Self::Declaring, [b'-' | b'+', flags @ ..])
                if flags.iter().any(|b| matches!(b, b'i' | b'n')) =>
            {
                Self::Evaluated
            }
            (Self::Naming, [b'-', .., b'd' | b'i' | b'n' | b'N' | b'p' | b't' | b'u']) => Self::NamingValue,
            (Self::NamingValue, _) => Self::Naming,
            (Self::Printing, b"-v") => Self::PrintingName,
            (Self::Testing, b"-v" | b"-R") => Self::TestingName,
            (Self::TestingName, _) => Self::Testing,
            (Self::Shell, _) => Self::after_option_of_shell(word),
            (Self::ShellValue, _) => Self::Shell,
            (Self::ShellValueScript, _) => Self::Script,
            (Self::Su, b"-s" | b"--shell") => Self::Su,
            (Self::Su, b"--command" | [b'-', .., b'c']) => Self::Script,
            (Self::Ssh, _) if takes_value_of_ssh(word) => Self::SshValue,
            (Self::Ssh, _) if is_option => Self::Ssh,
            (Self::SshValue, _) => Self::Ssh,
            (Self::Ssh, _) => Self::RemoteShell,
            (Self::RemoteShell, _) if takes_value_of_ssh(word) => Self::RemoteValue,
            (Self::RemoteShell, _) if is_option => Self::RemoteShell,
            (Self::RemoteValue, _) => Self::RemoteShell,
            (Self::RemoteShell | Self::RemoteCommand, _) if runs_shell(word) => Self::RemoteShell,
            (Self::RemoteShell, _) => Self::RemoteCommand,
            (Self::Watch, b"-n" | b"-q" | b"--interval") => Self::WatchValue,
            // It runs the command without a shell.
            (Self::Watch, b"-x" | b"--exec") => Self::Command,
            (Self::WatchValue, _) => Self::Watch,
            (Self::Watch, _) if !is_option => Self::RemoteCommand,
            (Self::Script, _) if is_option => Self::Script,
            (Self::Printing | Self::PrintingName | Self::Script | Self::LoginShell, _) => Self::Command,
            (same, _) => same,
        }
    }

    fn after_word(word: &[u8], is_first: bool, dialect: Dialect) -> Self {
        if matches!(word, b"eval" | b"let") {
            return Self::Evaluated;
        }
        let name = unquoted(word);
        match &*name {
            b"eval" | b"let" | b"trap" | b"alias" | b"compgen" if is_first => Self::Evaluated,
            b"integer" | b"float" | b"nameref" if is_first && dialect == Dialect::Extended => Self::Evaluated,
            b"declare" | b"typeset" | b"local" if is_first => Self::Declaring,
            b"read" | b"unset" if is_first => Self::Naming,
            b"printf" if is_first => Self::Printing,
            b"[" | b"test" if is_first => Self::Testing,
            b"su" | b"runuser" if is_first => Self::Su,
            b"ssh" if is_first => Self::Ssh,
            b"watch" if is_first => Self::Watch,
            b"-s" | b"--shell" => Self::LoginShell,
            name if is_shell(name) => Self::Shell,
            _ => Self::Command,
        }
    }

    fn after_option_of_shell(word: &[u8]) -> Self {
        let is_script =
            matches!(word, [b'-', flags @ ..] if !flags.starts_with(b"-") && flags.contains(&b'c'));
        match word {
            [b'-' | b'+', .., b'o' | b'O'] if is_script => Self::ShellValueScript,
            _ if is_script => Self::Script,
            b"--rcfile" | b"--init-file" | [b'-' | b'+', .., b'o' | b'O'] => Self::ShellValue,
            [b'-' | b'+', ..] => Self::Shell,
            _ => Self::Command,
        }
    }

    /// What a list in parentheses holds, as in `declare -a names=(`.
    pub(super) fn in_parentheses(self) -> Self {
        if matches!(self, Self::Evaluated | Self::Condition) { self } else { Self::Command }
    }

    /// Whether what is given to its standard input is a script.
    pub(super) fn reads_script(self) -> bool {
        matches!(self, Self::Shell | Self::Su | Self::RemoteShell)
    }

    /// Why no value can stand after `part`, which is the beginning of a word.
    pub(super) fn refuses(self, part: &[u8]) -> Option<Refusal> {
        let part = part.strip_prefix(b"\"").unwrap_or(part);
        let is_option = part.starts_with(b"-");
        match self {
            Self::Condition => Some(Refusal::Condition),
            Self::Evaluated => Some(Refusal::Evaluated),
            // `x[$(…)]=1`, as well as a name that is all of the value.
            Self::Declaring => (!part.contains(&b'=')).then_some(Refusal::Evaluated),
            Self::Naming => (!is_option).then_some(Refusal::Name),
            Self::Printing => part.starts_with(b"-v").then_some(Refusal::Name),
            Self::PrintingName | Self::TestingName => Some(Refusal::Name),
            Self::Script | Self::RemoteShell | Self::RemoteCommand => Some(Refusal::Program),
            Self::Su => {
                (part.starts_with(b"-c") || part.starts_with(b"--command=")).then_some(Refusal::Program)
            }
            Self::Watch => (!is_option).then_some(Refusal::Program),
            Self::Command
            | Self::NamingValue
            | Self::Testing
            | Self::Shell
            | Self::ShellValue
            | Self::ShellValueScript
            | Self::LoginShell
            | Self::Ssh
            | Self::SshValue
            | Self::RemoteValue
            | Self::WatchValue => None,
        }
    }
}

/// Whether a command follows this word: keywords, assignments, and commands that run another one.
pub(super) fn is_before_command(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 15] = [
        b"then", b"do", b"else", b"elif", b"if", b"while", b"until", b"!", b"{", b"time", b"command",
        b"builtin", b"exec", b"nohup", b"sudo",
    ];
    let name = word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    WORDS.contains(&word) || (name > 0 && matches!(word[name..], [b'=', ..] | [b'+', b'=', ..]))
}

/// A word as the shell takes it, if its quotes hold nothing that is replaced: `\eval` is `eval`.
fn unquoted(word: &[u8]) -> Cow<'_, [u8]> {
    let is_quote = |byte: &u8| matches!(byte, b'\\' | b'\'' | b'"');
    if !word.iter().any(is_quote) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(word.iter().copied().filter(|byte| !is_quote(byte)).collect())
}

fn is_shell(word: &[u8]) -> bool {
    let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or(word);
    // Not in `--shell=/bin/sh`.
    !word.contains(&b'=') && matches!(name, b"sh" | b"bash" | b"dash" | b"ash" | b"zsh" | b"ksh")
}

/// Whether a word is a shell without a script, as `'bash -s'` is.
fn runs_shell(word: &[u8]) -> bool {
    let word = unquoted(word);
    let mut parts = word.split(|byte| *byte == b' ');
    parts.next().is_some_and(is_shell) && parts.all(|part| part.starts_with(b"-"))
}

/// Options of OpenSSH (`ssh(1)`).
fn takes_value_of_ssh(option: &[u8]) -> bool {
    matches!(option, [b'-', letter] if b"BbcDEeFIiJLlmOoPpQRSWw".contains(letter))
}
