//! What the words of a shell command are taken for: code, names of variables, which shells evaluate as well, or anything else.
//!
//! Knows builtins, shells and their options, and how words for a shell on another host are read. Sees one word after the other, as it
//! is written. Of other programs that run a command or code, [`super::programs`] knows.

use std::borrow::Cow;

use super::position::{Dialect, Evaluator, Refusal};
use super::programs::{Call, Step, is_stdin};

/// Builtins that run their arguments as code.
const EVALUATING: [&str; 5] = ["eval", "let", "trap", "alias", "compgen"];
/// Of ksh and zsh: they calculate the values of variables, or follow them as references.
const EVALUATING_VARIABLES: [&str; 3] = ["integer", "float", "nameref"];
const DECLARING: [&str; 3] = ["declare", "typeset", "local"];
/// Commands that run none of their arguments.
const INERT: [&str; 22] = [
    ":", "true", "false", "cat", "cp", "mv", "rm", "ls", "mkdir", "touch", "tee", "grep", "cd", "export",
    "readonly", "return", "exit", "for", "select", "type", "which", "logger",
];
/// Commands with the name of a shell as an argument, which they do not run.
const LOGIN_SHELL: [&str; 4] = ["useradd", "usermod", "adduser", "chsh"];
const SHELLS: [&str; 12] =
    ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash", "yash", "csh", "tcsh"];
/// Bytes between the words of a script, and between its commands.
const BETWEEN_WORDS: &[u8] = b" \t\n;&|()<>`";
/// How much of the beginning of a word decides, bytes. A word can be long, and hold many templates.
const BEGINNING: usize = 256;

/// What the next word of a command is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) struct Within {
    words: Words,
    place: Place,
}

/// Which shell reads the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The one of the script.
    Here,
    /// Another one, which gets all words as one script: after `ssh host` and `watch`.
    There,
    /// The same, and a command of that script runs standard input.
    ThereReadingScript,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// A word.
    Command,
    /// Words of a command that runs none of them, whatever they are.
    Inert,
    /// After `echo`, and the format of `printf`: the same, and it prints them.
    Echo,
    /// After `sudo`, `ssh`, `python` …: its options and operands.
    Program(Call),
    /// The value of an option of that.
    ProgramValue(Call),
    /// The same, which is code.
    ProgramCode(Call),
    /// The same, which is a file with code.
    ProgramFile(Call),
    /// The word before this one was the first one of a script for another shell.
    Remote,
    /// After `.` or `source`: the file.
    Sourcing,
    /// Arguments of a script that a shell or an interpreter reads from standard input, as after `sh -s`.
    ScriptInStdin,
    /// `[[ … ]]`.
    Condition,
    /// After `eval`, `let`, `trap`, `alias` or `declare -i`.
    Evaluated(Evaluator),
    /// After `declare`, `typeset` or `local`: flags, and names with values behind `=`.
    Declaring(&'static str),
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
    /// After `sh -c`: a script.
    Script,
    /// After the script of `sh -c`: its `$0`, which is often the name of a shell.
    ScriptName,
    /// After `docker run --entrypoint`.
    Entrypoint,
    /// After `docker run --entrypoint sh`: other options, an image, and the options of the shell.
    EntrypointShell,
}

impl Within {
    /// The next word is one of a command.
    pub(super) const COMMAND: Self = Self { words: Words::Command, place: Place::Here };
    /// A script for another shell comes.
    const THERE: Self = Self { words: Words::NEXT, place: Place::There };

    /// What comes after `word`. `is_first`: the word is the name of the command.
    pub(super) fn after(self, word: &[u8], is_first: bool, dialect: Dialect) -> Self {
        match self.place {
            Place::Here => match self.words.after(word, is_first, dialect) {
                Words::Remote => Self::THERE.after_part(&unquoted(word)),
                words => Self { words, ..self },
            },
            Place::There | Place::ThereReadingScript => self.after_part(&unquoted(word)),
        }
    }

    /// The same for the arguments of a program that no shell reads, and for which builtins mean nothing.
    fn after_argument(self, word: &[u8]) -> Self {
        let next = self.after(word, false, Dialect::Posix);
        match next.words {
            Words::Condition
            | Words::Evaluated(_)
            | Words::Declaring(_)
            | Words::Naming
            | Words::NamingValue
            | Words::Printing
            | Words::PrintingName
            | Words::Testing
            | Words::TestingName
            | Words::Sourcing => Self { words: Words::Inert, ..next },
            _ => next,
        }
    }

    /// What comes after a part of a script for another shell: whole words, without their quotes.
    fn after_part(mut self, script: &[u8]) -> Self {
        for piece in script.split_inclusive(|byte| BETWEEN_WORDS.contains(byte)) {
            let (word, end) = match piece.split_last() {
                Some((end, word)) if BETWEEN_WORDS.contains(end) => (word, *end),
                _ => (piece, b' '),
            };
            let is_redirection = matches!(end, b'<' | b'>');
            let is_descriptor = is_redirection && word.iter().all(u8::is_ascii_digit);
            if !word.is_empty() && !is_descriptor && !is_before_command(word) {
                self.words = match self.words.after(word, false, Dialect::Posix) {
                    // `ssh` through `ssh`.
                    Words::Remote => Words::NEXT.after(word, false, Dialect::Posix),
                    words => words,
                };
            }
            if matches!(end, b' ' | b'\t') {
                continue;
            }
            if self.words.reads_script() {
                self.place = Place::ThereReadingScript;
            }
            if !is_redirection {
                self.words = Words::NEXT;
            }
        }
        self
    }

    /// What a list in parentheses holds, as in `declare -a names=(`.
    pub(super) fn in_parentheses(self) -> Self {
        if self.is_evaluated() || self.is_condition() { self } else { Self::COMMAND }
    }

    /// Whether the words are in `[[ … ]]` of the script.
    pub(super) fn is_condition(self) -> bool {
        self.words == Words::Condition && self.place == Place::Here
    }

    /// Whether the words are arguments of `eval`, `declare -i` and the like.
    pub(super) fn is_evaluated(self) -> bool {
        matches!(self.words, Words::Evaluated(_))
    }

    /// Whether the words are arguments of `declare` and the like.
    pub(super) fn is_declaring(self) -> bool {
        matches!(self.words, Words::Declaring(_))
    }

    /// Whether what is given to its standard input is a script.
    pub(super) fn reads_script(self) -> bool {
        self.place == Place::ThereReadingScript || self.words.reads_script()
    }

    /// Whether the next word is a file that is run, as `<(…)` is one.
    pub(super) fn runs_file(self) -> bool {
        match self.words {
            Words::Shell | Words::Sourcing | Words::ProgramFile(_) => true,
            Words::Program(call) => call.runs_file(),
            _ => false,
        }
    }

    /// Whether its words are printed.
    pub(super) fn prints(self) -> bool {
        matches!(self.words, Words::Echo | Words::Printing)
    }

    /// Why no value can stand after `part`, which is the beginning of a word.
    pub(super) fn refuses(self, part: &[u8]) -> Option<Refusal> {
        match self.place {
            Place::Here => self.words.refuses(&unquoted(&part[..part.len().min(BEGINNING)])),
            Place::There | Place::ThereReadingScript => Some(Refusal::Program),
        }
    }
}

impl Words {
    /// The next word is the name of a command, or an assignment before it.
    const NEXT: Self = Self::Program(Call::NOTHING);

    fn after(self, word: &[u8], is_first: bool, dialect: Dialect) -> Self {
        match (self, word) {
            (Self::Inert | Self::Echo | Self::ScriptInStdin | Self::Evaluated(_), _) => return self,
            // In quotes these are words like others.
            (_, b"[[") => return Self::Condition,
            (_, b"]]") => return Self::Command,
            _ => {}
        }
        let plain = unquoted(word);
        let word = &*plain;
        match (self, word) {
            (Self::Command, _) => Self::after_word(word, is_first, dialect),
            (Self::Program(call), _) if is_assignment(word) && !call.takes_code() => self,
            (Self::Program(call), _) => Self::after_step(call.step(word), word, dialect),
            (Self::ProgramFile(call), _) => Self::after_step(call.after_file(word), word, dialect),
            (Self::ProgramValue(call), _) => Self::Program(call),
            (Self::ProgramCode(call), _) if call.runs_shell() && reads_script(word) => Self::ScriptInStdin,
            (Self::ProgramCode(call), _) if call.ends_with_code() => Self::Command,
            (Self::ProgramCode(call), _) => Self::Program(call.with_code()),
            (Self::Sourcing, _) if is_stdin(word) => Self::ScriptInStdin,
            (Self::Declaring(name), [b'-' | b'+', flags @ ..]) => Self::after_flags(name, flags),
            // Names of functions: `read` has no such option.
            (Self::Naming, b"-f") => Self::Inert,
            (Self::Naming, [b'-', .., b'd' | b'i' | b'n' | b'N' | b'p' | b't' | b'u']) => Self::NamingValue,
            (Self::NamingValue, _) => Self::Naming,
            (Self::Printing, b"-v") => Self::PrintingName,
            (Self::Printing, _) => Self::Echo,
            (Self::PrintingName, _) => Self::Inert,
            (Self::Testing, b"-v" | b"-R") => Self::TestingName,
            (Self::TestingName, _) => Self::Testing,
            (Self::Shell, _) => Self::after_option_of_shell(word),
            (Self::ShellValue, _) => Self::Shell,
            (Self::ShellValueScript, _) => Self::Script,
            (Self::Script, [b'-', _, ..]) => Self::Script,
            (Self::Script, _) if reads_script(word) => Self::ScriptInStdin,
            (Self::Script, _) => Self::ScriptName,
            (Self::Entrypoint, _) if is_shell(word) => Self::EntrypointShell,
            (Self::EntrypointShell, [b'-', flags @ .., b'c']) if flags.iter().all(u8::is_ascii_lowercase) => {
                Self::Script
            }
            (Self::Sourcing | Self::ScriptName | Self::Entrypoint, _) => Self::Command,
            (same, _) => same,
        }
    }

    fn after_step(step: Step, word: &[u8], dialect: Dialect) -> Self {
        match step {
            Step::Next(call) => Self::Program(call),
            Step::BeforeValue(call) => Self::ProgramValue(call),
            Step::BeforeCode(call) => Self::ProgramCode(call),
            Step::BeforeFile(call) => Self::ProgramFile(call),
            Step::Stdin => Self::ScriptInStdin,
            Step::Command => Self::after_word(word, true, dialect),
            Step::Remote => Self::Remote,
            Step::File => Self::Command,
        }
    }

    fn after_word(word: &[u8], is_first: bool, dialect: Dialect) -> Self {
        match word {
            b"--entrypoint" => Self::Entrypoint,
            _ if word.strip_prefix(b"--entrypoint=").is_some_and(is_shell) => Self::EntrypointShell,
            _ if among(&LOGIN_SHELL, word).is_some() => Self::Inert,
            _ if is_shell(word) => Self::Shell,
            _ if is_first => Self::after_name(word, dialect),
            _ => Self::Command,
        }
    }

    /// After the name of a command.
    fn after_name(name: &[u8], dialect: Dialect) -> Self {
        let variables = among(&EVALUATING_VARIABLES, name).filter(|_| dialect == Dialect::Extended);
        if let Some(name) = among(&EVALUATING, name).or(variables) {
            return Self::Evaluated(Evaluator { name, flag: None });
        }
        if let Some(name) = among(&DECLARING, name) {
            return Self::Declaring(name);
        }
        match name {
            b"read" | b"unset" => Self::Naming,
            b"printf" => Self::Printing,
            b"[" | b"test" => Self::Testing,
            b"." | b"source" => Self::Sourcing,
            b"echo" => Self::Echo,
            _ if among(&INERT, name).is_some() => Self::Inert,
            _ if is_assignment(name) => Self::Command,
            // `$SUDO`, and others that may hold nothing.
            [b'$', ..] => Self::NEXT,
            _ => Call::of(base_name(name)).map_or(Self::Command, Self::Program),
        }
    }

    fn after_flags(name: &'static str, flags: &[u8]) -> Self {
        // Numbers are calculated, and references are followed. `-E`, `-F` and `-X` are numbers of ksh and zsh.
        if let Some(flag) = flags.iter().find(|flag| b"inEFX".contains(flag)) {
            return Self::Evaluated(Evaluator { name, flag: Some(*flag) });
        }
        // Names of functions.
        if flags.contains(&b'f') { Self::Inert } else { Self::Declaring(name) }
    }

    fn after_option_of_shell(word: &[u8]) -> Self {
        let is_script =
            matches!(word, [b'-', flags @ ..] if !flags.starts_with(b"-") && flags.contains(&b'c'));
        match word {
            [b'-' | b'+', .., b'o' | b'O'] if is_script => Self::ShellValueScript,
            _ if is_script || word == b"--command" => Self::Script,
            b"--rcfile" | b"--init-file" | [b'-' | b'+', .., b'o' | b'O'] => Self::ShellValue,
            [b'-', flags @ ..] if !flags.starts_with(b"-") && flags.contains(&b's') => Self::ScriptInStdin,
            [b'-' | b'+', ..] => Self::Shell,
            _ if is_stdin(word) => Self::ScriptInStdin,
            _ => Self::Command,
        }
    }

    fn reads_script(self) -> bool {
        match self {
            // After `xargs sh -c`, the script comes from standard input.
            Self::Script | Self::ProgramCode(_) => true,
            Self::Shell | Self::EntrypointShell | Self::ScriptInStdin => true,
            Self::Program(call) => call.reads_script(),
            _ => false,
        }
    }

    fn refuses(self, part: &[u8]) -> Option<Refusal> {
        let is_option = part.starts_with(b"-");
        match self {
            Self::Condition => Some(Refusal::Condition),
            Self::Evaluated(by) => Some(Refusal::Evaluated(by)),
            // `x[$(…)]=1`, as well as a name that is all of the value.
            Self::Declaring(_) => (!part.contains(&b'=')).then_some(Refusal::Name),
            Self::Naming => (!is_option).then_some(Refusal::Name),
            Self::Printing => part.starts_with(b"-v").then_some(Refusal::Name),
            Self::PrintingName | Self::TestingName => Some(Refusal::Name),
            Self::Script | Self::Remote => Some(Refusal::Program),
            Self::ProgramCode(call) => Some(call.refusal()),
            Self::Shell => part.starts_with(b"--command=").then_some(Refusal::Program),
            Self::Program(call) => call.refuses(part),
            Self::ProgramValue(call) => call.runs_value(part).then_some(Refusal::Program),
            Self::Command
            | Self::Inert
            | Self::Echo
            | Self::ProgramFile(_)
            | Self::ScriptName
            | Self::Sourcing
            | Self::ScriptInStdin
            | Self::NamingValue
            | Self::Testing
            | Self::ShellValue
            | Self::ShellValueScript
            | Self::Entrypoint
            | Self::EntrypointShell => None,
        }
    }
}

/// What each argument of a command is taken for.
pub(super) fn arguments<'a>(argv: impl Iterator<Item = &'a str>) -> Vec<Within> {
    let mut within = Within { words: Words::NEXT, place: Place::Here };
    let each = |word: &str| {
        let next = within.after_argument(word.as_bytes());
        std::mem::replace(&mut within, next)
    };
    argv.map(each).collect()
}

/// Whether a command follows this word: keywords, assignments, and builtins that run a command.
pub(super) fn is_before_command(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 14] = [
        b"then", b"do", b"else", b"elif", b"if", b"while", b"until", b"!", b"{", b"time", b"coproc",
        b"command", b"builtin", b"exec",
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

/// Whether a shell runs its standard input if its script is this one.
fn reads_script(script: &[u8]) -> bool {
    Within::THERE.after_part(script).reads_script()
}

fn is_assignment(word: &[u8]) -> bool {
    let name = word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    name > 0 && matches!(word[name..], [b'=', ..] | [b'+', b'=', ..])
}

fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
}

/// The one of these names that this word is.
fn among(names: &[&'static str], word: &[u8]) -> Option<&'static str> {
    names.iter().copied().find(|name| name.as_bytes() == word)
}

fn is_shell(word: &[u8]) -> bool {
    // Not in `--shell=/bin/sh`.
    !word.contains(&b'=') && among(&SHELLS, base_name(word)).is_some()
}

/// A word as the shell takes it, if its quotes hold nothing that is replaced: `\eval` is `eval`.
fn unquoted(word: &[u8]) -> Cow<'_, [u8]> {
    let is_quote = |byte: u8| matches!(byte, b'\\' | b'\'' | b'"');
    if !word.iter().any(|byte| is_quote(*byte)) {
        return Cow::Borrowed(word);
    }
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [byte, after @ ..] = rest {
        rest = match rest {
            // A line that goes on.
            [b'\\', b'\n', behind @ ..] => behind,
            [b'$', b'\'' | b'"', ..] => after,
            _ if is_quote(*byte) => after,
            _ => {
                plain.push(*byte);
                after
            }
        };
    }
    Cow::Owned(plain)
}
