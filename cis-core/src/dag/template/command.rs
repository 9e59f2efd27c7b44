//! What the words of a shell command are taken for: code, names of variables, which shells evaluate as well, or anything else.
//!
//! Knows builtins, and the commands that give a script to another shell or interpreter. Sees one word after the other, as it is
//! written. Of which programs that are, [`super::programs`] knows more.

use std::borrow::Cow;

use super::position::{Dialect, Refusal};
use super::programs::{Argument, Interpreter, Prefix};

/// What the next word of a command is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) enum Within {
    /// A word.
    Command,
    /// Words of a command that runs none of them, whatever they are.
    Inert,
    /// After `echo`, and the format of `printf`: the same, and it prints them.
    Echo,
    /// After `sudo`, `timeout` …: its options and operands, before the command that it runs.
    Prefix(Prefix),
    /// The value of an option of that.
    PrefixValue(Prefix),
    /// After `python`, `perl` …: its options.
    Interpreter(Interpreter),
    /// The value of an option of that.
    InterpreterValue(Interpreter),
    /// After `.` or `source`: the file.
    Sourcing,
    /// Arguments of a script that a shell or an interpreter reads from standard input, as after `sh -s`.
    ScriptInStdin,
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
    /// After `sh -c`, `su -c` or `python -c`: a script.
    Script,
    /// After `-s` or `--shell`, as of `useradd`: the name of a shell that is not run.
    LoginShell,
    /// After `su` or `script`.
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
            (Self::Inert | Self::Echo | Self::ScriptInStdin, _) => self,
            (_, b"[[") => Self::Condition,
            (_, b"]]") => Self::Command,
            (Self::Command, _) => Self::after_word(word, is_first, dialect),
            (Self::Prefix(prefix), _) => Self::after_prefix(prefix, word, dialect),
            (Self::PrefixValue(prefix), _) => Self::Prefix(prefix),
            (Self::Interpreter(interpreter), _) => match interpreter.argument(word) {
                Argument::Option => self,
                Argument::OptionWithValue => Self::InterpreterValue(interpreter),
                Argument::BeforeCode => Self::Script,
                Argument::Stdin => Self::ScriptInStdin,
                Argument::File => Self::Command,
            },
            (Self::InterpreterValue(interpreter), _) => Self::Interpreter(interpreter),
            (Self::Sourcing, _) => {
                if is_stdin(word) {
                    Self::ScriptInStdin
                } else {
                    Self::Command
                }
            }
            // Integers are calculated, and references are followed.
            (Self::Declaring, [b'-' | b'+', flags @ ..])
                if flags.iter().any(|b| matches!(b, b'i' | b'n')) =>
            {
                Self::Evaluated
            }
            // Names of functions: `read` has no such option.
            (Self::Naming, b"-f") => Self::Inert,
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
            (Self::Printing, _) => Self::Echo,
            (Self::PrintingName, _) => Self::Inert,
            (Self::Script | Self::LoginShell, _) => Self::Command,
            (same, _) => same,
        }
    }

    /// The same for the arguments of a program that no shell reads, and for which builtins mean nothing.
    fn after_argument(self, word: &[u8]) -> Self {
        match self.after(word, false, Dialect::Posix) {
            Self::Condition
            | Self::Evaluated
            | Self::Declaring
            | Self::Naming
            | Self::NamingValue
            | Self::Printing
            | Self::PrintingName
            | Self::Testing
            | Self::TestingName
            | Self::Sourcing => Self::Inert,
            program => program,
        }
    }

    fn after_prefix(prefix: Prefix, word: &[u8], dialect: Dialect) -> Self {
        match word {
            b"-c" | b"--command" if prefix.takes_script && prefix.operands == 0 => Self::Script,
            [b'-', letter] if prefix.values.contains(letter) => Self::PrefixValue(prefix),
            [b'-', _, ..] => Self::Prefix(prefix),
            _ if is_assignment(word) => Self::Prefix(prefix),
            _ => match prefix.operands.checked_sub(1) {
                Some(operands) => Self::Prefix(Prefix { operands, ..prefix }),
                None => Self::after_word(word, true, dialect),
            },
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
            b"." | b"source" if is_first => Self::Sourcing,
            b"echo" if is_first => Self::Echo,
            b":" | b"true" | b"false" | b"cat" | b"cp" | b"mv" | b"rm" | b"ls" | b"mkdir" | b"touch"
            | b"grep" | b"cd" | b"export" | b"readonly" | b"return" | b"exit" | b"for" | b"select"
            | b"type" | b"which" | b"logger"
                if is_first =>
            {
                Self::Inert
            }
            b"-s" | b"--shell" => Self::LoginShell,
            name if is_shell(name) => Self::Shell,
            name if is_first => Self::after_program(base_name(name)),
            _ => Self::Command,
        }
    }

    fn after_program(name: &[u8]) -> Self {
        match name {
            b"su" | b"runuser" | b"script" => Self::Su,
            b"ssh" => Self::Ssh,
            b"watch" => Self::Watch,
            name => Prefix::of(name)
                .map(Self::Prefix)
                .or_else(|| Interpreter::of(name).map(Self::Interpreter))
                .unwrap_or(Self::Command),
        }
    }

    fn after_option_of_shell(word: &[u8]) -> Self {
        let is_script =
            matches!(word, [b'-', flags @ ..] if !flags.starts_with(b"-") && flags.contains(&b'c'));
        match word {
            [b'-' | b'+', .., b'o' | b'O'] if is_script => Self::ShellValueScript,
            _ if is_script => Self::Script,
            b"--rcfile" | b"--init-file" | [b'-' | b'+', .., b'o' | b'O'] => Self::ShellValue,
            [b'-', flags @ ..] if !flags.starts_with(b"-") && flags.contains(&b's') => Self::ScriptInStdin,
            [b'-' | b'+', ..] => Self::Shell,
            _ if is_stdin(word) => Self::ScriptInStdin,
            _ => Self::Command,
        }
    }

    /// What a list in parentheses holds, as in `declare -a names=(`.
    pub(super) fn in_parentheses(self) -> Self {
        if matches!(self, Self::Evaluated | Self::Condition) { self } else { Self::Command }
    }

    /// Whether what is given to its standard input is a script.
    pub(super) fn reads_script(self) -> bool {
        matches!(
            self,
            Self::Shell | Self::Su | Self::RemoteShell | Self::Interpreter(_) | Self::ScriptInStdin
        )
    }

    /// Whether the next word is a file that is run, as `<(…)` is one.
    pub(super) fn runs_file(self) -> bool {
        matches!(self, Self::Shell | Self::Interpreter(_) | Self::Sourcing)
    }

    /// Whether its words are printed.
    pub(super) fn prints(self) -> bool {
        matches!(self, Self::Echo | Self::Printing)
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
            Self::Interpreter(interpreter) => interpreter.begins_code(part).then_some(Refusal::Program),
            Self::Command
            | Self::Inert
            | Self::Echo
            | Self::Prefix(_)
            | Self::PrefixValue(_)
            | Self::InterpreterValue(_)
            | Self::Sourcing
            | Self::ScriptInStdin
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

/// What each argument of a command is taken for.
pub(super) fn arguments<'a>(argv: impl Iterator<Item = &'a str>) -> Vec<Within> {
    let mut within = Within::Prefix(Prefix::NONE);
    let each = |word: &str| {
        let next = within.after_argument(word.as_bytes());
        std::mem::replace(&mut within, next)
    };
    argv.map(each).collect()
}

/// Whether a command follows this word: keywords, assignments, and builtins that run a command.
pub(super) fn is_before_command(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 13] = [
        b"then", b"do", b"else", b"elif", b"if", b"while", b"until", b"!", b"{", b"time", b"command",
        b"builtin", b"exec",
    ];
    WORDS.contains(&word) || is_assignment(word)
}

/// Whether this word begins a compound command.
pub(super) fn begins_compound(word: &[u8]) -> bool {
    matches!(word, b"{" | b"if" | b"while" | b"until" | b"for" | b"select" | b"case")
}

/// Whether this word ends a compound command.
pub(super) fn ends_compound(word: &[u8]) -> bool {
    matches!(word, b"}" | b"done" | b"fi" | b"esac")
}

fn is_assignment(word: &[u8]) -> bool {
    let name = word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    name > 0 && matches!(word[name..], [b'=', ..] | [b'+', b'=', ..])
}

fn is_stdin(word: &[u8]) -> bool {
    matches!(word, b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0")
}

fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
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
    // Not in `--shell=/bin/sh`.
    !word.contains(&b'=')
        && matches!(base_name(word), b"sh" | b"bash" | b"dash" | b"ash" | b"zsh" | b"ksh" | b"mksh" | b"fish")
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
