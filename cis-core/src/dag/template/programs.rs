//! Programs that run a command, or code, that they get in their arguments: which of their words are options, and where the command
//! or the code stands.
//!
//! One table. A program that is not in it is taken for one that runs nothing of its arguments. Knows nothing of shells, whose options
//! have another form.

use super::position::Refusal;

/// How a program reads its arguments. Lists of names are texts, with blanks between the names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    names: &'static str,
    /// Letters of options with a value: the rest of the word, or the next word if nothing is left.
    values: &'static str,
    /// Letters of options whose value is nothing but the rest of the word.
    attached: &'static str,
    /// Letters of options that say what is run: what comes behind their value is for that.
    last: &'static str,
    /// Long options with a value, which can be the next word.
    long_values: &'static str,
    /// Letters of options whose value is code.
    code: &'static str,
    /// Long options whose value is code.
    long_code: &'static str,
    /// Letters of options whose value is a file with code.
    files: &'static str,
    /// Long options whose value is a file with code.
    long_files: &'static str,
    /// How many words stand between the options and what comes then.
    operands: u8,
    /// What comes behind options and operands.
    then: Then,
    /// Options with which something else comes then.
    modes: &'static [Mode],
    /// Why no value can stand in its code.
    refusal: Refusal,
}

#[derive(Debug, PartialEq, Eq)]
struct Mode {
    letter: u8,
    long: &'static str,
    then: Then,
}

/// What comes behind options and operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// A command.
    Command,
    /// The same. Without it the program runs a shell.
    CommandOrShell,
    /// Words that are joined to a script for a shell. Without them it runs a shell.
    Remote,
    /// A file with code, and arguments for it. Without a file, the code is read from standard input.
    File,
    /// Code, unless an option gave it, and arguments for it.
    Code,
    /// More options and operands. Without code, the program runs a shell.
    Operands,
    /// More options and operands. One with a `=` gives a variable its value, which is code.
    Variables,
}

const PLAIN: Program = Program {
    names: "",
    values: "",
    attached: "",
    last: "",
    long_values: "",
    code: "",
    long_code: "",
    files: "",
    long_files: "",
    operands: 0,
    then: Then::Command,
    modes: &[],
    refusal: Refusal::Program,
};

const PROGRAMS: &[Program] = &[
    // Builtins and keywords, the last two of zsh.
    Program { names: "command builtin coproc noglob nocorrect", ..PLAIN },
    Program { names: "exec", values: "a", ..PLAIN },
    Program { names: "time", values: "fo", long_values: "format output", ..PLAIN },
    // Programs in front of a command.
    Program { names: "nohup setsid busybox toybox", ..PLAIN },
    Program {
        names: "sudo",
        values: "ughpCDRrtTU",
        long_values: "user group host prompt close-from chdir chroot role type command-timeout other-user",
        modes: &[
            Mode { letter: b'i', long: "login", then: Then::CommandOrShell },
            Mode { letter: b's', long: "shell", then: Then::CommandOrShell },
        ],
        ..PLAIN
    },
    Program {
        names: "doas",
        values: "uC",
        modes: &[Mode { letter: b's', long: "", then: Then::CommandOrShell }],
        ..PLAIN
    },
    Program {
        names: "env",
        values: "auC",
        long_values: "argv0 unset chdir",
        code: "S",
        long_code: "split-string",
        ..PLAIN
    },
    Program { names: "timeout", values: "ks", long_values: "kill-after signal", operands: 1, ..PLAIN },
    Program { names: "nice", values: "n", long_values: "adjustment", ..PLAIN },
    Program { names: "ionice", values: "cnp", long_values: "class classdata", ..PLAIN },
    Program { names: "stdbuf", values: "ioe", long_values: "input output error", ..PLAIN },
    Program {
        names: "xargs",
        values: "IndPLaEs",
        attached: "eil",
        long_values: "max-args delimiter max-procs arg-file max-chars process-slot-var",
        ..PLAIN
    },
    Program { names: "sshpass", values: "pfdP", ..PLAIN },
    Program { names: "taskset chrt gosu su-exec", operands: 1, ..PLAIN },
    Program { names: "chroot", operands: 1, then: Then::CommandOrShell, ..PLAIN },
    Program {
        names: "fakeroot",
        values: "lsib",
        long_values: "lib faked",
        then: Then::CommandOrShell,
        ..PLAIN
    },
    Program { names: "pkexec", long_values: "user", then: Then::CommandOrShell, ..PLAIN },
    Program {
        names: "unshare",
        values: "RwSG",
        long_values: "map-user map-group map-users map-groups propagation setgroups root wd setuid setgid \
                      monotonic boottime",
        then: Then::CommandOrShell,
        ..PLAIN
    },
    Program {
        names: "nsenter",
        values: "tSGW",
        attached: "muinpCUTrw",
        long_values: "target setuid setgid wdns",
        then: Then::CommandOrShell,
        ..PLAIN
    },
    Program {
        names: "setpriv",
        long_values: "ambient-caps inh-caps bounding-set ruid euid rgid egid reuid regid groups securebits \
                      pdeathsig selinux-label apparmor-profile",
        ..PLAIN
    },
    Program {
        names: "systemd-run",
        values: "puEMHC",
        long_values: "property unit setenv machine host slice description service-type uid gid nice \
                      working-directory on-active on-boot on-startup on-unit-active on-unit-inactive \
                      on-calendar timer-property path-property socket-property",
        modes: &[Mode { letter: b'S', long: "shell", then: Then::CommandOrShell }],
        ..PLAIN
    },
    Program {
        names: "strace",
        values: "abeEIoOpPsSuUX",
        long_values: "output attach env user string-limit trace trace-path columns",
        ..PLAIN
    },
    Program {
        names: "xvfb-run",
        values: "efnpsw",
        long_values: "error-file auth-file server-num xauth-protocol server-args wait",
        ..PLAIN
    },
    Program {
        names: "flock",
        values: "wE",
        long_values: "timeout conflict-exit-code",
        code: "c",
        long_code: "command",
        operands: 1,
        ..PLAIN
    },
    // Programs that give a script to a shell.
    Program {
        names: "su",
        values: "gGsw",
        long_values: "group supp-group shell whitelist-environment",
        code: "c",
        long_code: "command session-command",
        then: Then::Operands,
        ..PLAIN
    },
    Program {
        names: "runuser",
        values: "gGswu",
        long_values: "group supp-group shell whitelist-environment user",
        code: "c",
        long_code: "command session-command",
        then: Then::Operands,
        modes: &[Mode { letter: b'u', long: "user", then: Then::Command }],
        ..PLAIN
    },
    Program {
        names: "script",
        values: "OIBTmEo",
        long_values: "log-out log-in log-io log-timing logging-format echo output-limit",
        code: "c",
        long_code: "command",
        then: Then::Operands,
        ..PLAIN
    },
    Program { names: "ssh", values: "BbcDEeFIiJLlmOoPpQRSWw", operands: 1, then: Then::Remote, ..PLAIN },
    Program { names: "autossh", values: "BbcDEeFIiJLlMmOoPpQRSWw", operands: 1, then: Then::Remote, ..PLAIN },
    Program {
        names: "watch",
        values: "nqs",
        long_values: "interval equexit shotsdir",
        then: Then::Remote,
        modes: &[Mode { letter: b'x', long: "exec", then: Then::Command }],
        ..PLAIN
    },
    // Programs that run lines of their standard input in a shell.
    Program { names: "at", values: "qt", files: "f", then: Then::Operands, ..PLAIN },
    Program { names: "ed", values: "p", long_values: "prompt", then: Then::Operands, ..PLAIN },
    // Programs whose first operand is code, which can start programs and write files.
    Program {
        names: "awk gawk mawk nawk",
        values: "FvilW",
        attached: "dDopL",
        long_values: "field-separator assign include load",
        code: "e",
        long_code: "source",
        files: "fE",
        long_files: "file exec",
        then: Then::Code,
        ..PLAIN
    },
    Program {
        names: "sed gsed",
        values: "l",
        attached: "i",
        long_values: "line-length",
        code: "e",
        long_code: "expression",
        files: "f",
        long_files: "file",
        then: Then::Code,
        refusal: Refusal::Sed,
        ..PLAIN
    },
    // It runs `$(shell …)` in the value of a variable that is an argument, also if no rule uses the variable. Behind each beginning
    // of an operand, a value can be the rest of such an argument: `=$(shell …)` and `!=…`.
    Program {
        names: "make gmake",
        values: "CIoW",
        attached: "jlO",
        long_values: "directory include-dir old-file assume-old new-file assume-new what-if",
        code: "E",
        long_code: "eval",
        files: "f",
        long_files: "file makefile",
        then: Then::Variables,
        ..PLAIN
    },
    // Interpreters.
    Program {
        names: "python pypy",
        values: "WX",
        attached: "m",
        last: "mc",
        code: "c",
        then: Then::File,
        ..PLAIN
    },
    Program { names: "perl", values: "I", attached: "iMmFxDCVd", code: "eE", then: Then::File, ..PLAIN },
    Program { names: "ruby", values: "IrCE", attached: "ixFKTW", code: "e", then: Then::File, ..PLAIN },
    Program {
        names: "node nodejs bun",
        values: "rC",
        long_values: "require import input-type loader",
        code: "ep",
        long_code: "eval print",
        then: Then::File,
        ..PLAIN
    },
    Program { names: "php", values: "cdtSz", code: "rBRE", files: "fF", then: Then::File, ..PLAIN },
    Program { names: "lua luajit", values: "l", code: "e", then: Then::File, ..PLAIN },
    Program { names: "tclsh", then: Then::File, ..PLAIN },
    Program { names: "expect", values: "D", code: "c", files: "f", then: Then::File, ..PLAIN },
    Program { names: "Rscript", code: "e", then: Then::File, ..PLAIN },
    // Its options are words behind one dash: `-persist`, `-default-settings`, `-slow`.
    Program { names: "gnuplot", attached: "pds", code: "e", files: "c", then: Then::File, ..PLAIN },
    Program { names: "osascript", values: "ls", code: "e", then: Then::File, ..PLAIN },
    Program {
        names: "julia",
        values: "CHJLpt",
        attached: "Og",
        long_values: "cpu-target home sysimage load procs threads machine-file",
        code: "eE",
        long_code: "eval print",
        then: Then::File,
        ..PLAIN
    },
    Program {
        names: "dc",
        code: "e",
        long_code: "expression",
        files: "f",
        long_files: "file",
        then: Then::File,
        ..PLAIN
    },
];

/// A program in a command, up to one of its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    program: &'static Program,
    /// How many operands are still to come.
    operands: u8,
    then: Then,
    /// It has code, so that its standard input is data.
    has_code: bool,
}

/// What the next word of a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An option or an operand.
    Next(Call),
    /// An option, and the next word is its value.
    BeforeValue(Call),
    /// An option, and the next word is code.
    BeforeCode(Call),
    /// An option, and the next word is a file with code.
    BeforeFile(Call),
    /// It says that the code is read from standard input.
    Stdin,
    /// The name of a command.
    Command,
    /// The first word of a script for a shell.
    Remote,
    /// The code, or a file with it: what follows is for it.
    File,
}

impl Call {
    /// Nothing yet: the next word is the name of a command, or an assignment.
    pub(super) const NOTHING: Self =
        Self { program: &PLAIN, operands: 0, then: Then::Command, has_code: false };

    /// The one of that name, whatever its version is.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let length =
            name.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.').map_or(0, |at| at + 1);
        let program = find(name).or_else(|| find(&name[..length]))?;
        Some(Self { program, operands: program.operands, then: program.then, has_code: false })
    }

    /// What this word is.
    pub(super) fn step(self, word: &[u8]) -> Step {
        match word {
            b"-" if self.then == Then::File => Step::Stdin,
            _ if self.then == Then::File && is_stdin(word) => Step::Stdin,
            [b'-', b'-', option @ ..] => self.after_long(option),
            [b'-', letters @ ..] => self.after_letters(letters),
            _ => match (self.operands.checked_sub(1), self.then) {
                (Some(operands), _) => Step::Next(Self { operands, ..self }),
                (None, Then::Command | Then::CommandOrShell) => Step::Command,
                (None, Then::Remote) => Step::Remote,
                (None, Then::File | Then::Code) => Step::File,
                (None, Then::Operands | Then::Variables) => Step::Next(self),
            },
        }
    }

    /// What comes after the name of a file with code.
    pub(super) fn after_file(self, name: &[u8]) -> Step {
        if name == b"-" || is_stdin(name) { Step::Stdin } else { Step::Next(self.with_code()) }
    }

    /// The same program, behind its code.
    pub(super) fn with_code(self) -> Self {
        Self { has_code: true, ..self }
    }

    /// Whether what comes behind its code is for the code.
    pub(super) fn ends_with_code(self) -> bool {
        !self.program.last.is_empty()
    }

    /// Whether its code is a script for a shell.
    pub(super) fn runs_shell(self) -> bool {
        !matches!(self.then, Then::File | Then::Code | Then::Variables)
    }

    /// Whether its next operand is code.
    pub(super) fn takes_code(self) -> bool {
        self.then == Then::Code && self.operands == 0 && !self.has_code
    }

    /// Whether its first operand is a file with code.
    pub(super) fn runs_file(self) -> bool {
        self.then == Then::File && !self.has_code
    }

    /// Whether it runs what it is given on standard input, if no more words come.
    pub(super) fn reads_script(self) -> bool {
        let reads_none = matches!(self.then, Then::Command | Then::Code | Then::Variables);
        !self.has_code && self.operands == 0 && !reads_none
    }

    /// Why no value can stand after this part of a word.
    pub(super) fn refuses(self, part: &[u8]) -> Option<Refusal> {
        if self.runs_rest(part) {
            Some(self.refusal())
        } else {
            (self.then == Then::Variables && !part.starts_with(b"-")).then_some(Refusal::Operand)
        }
    }

    /// Why no value can stand in its code.
    pub(super) fn refusal(self) -> Refusal {
        self.program.refusal
    }

    /// Whether it runs what comes after this part of a word.
    fn runs_rest(self, part: &[u8]) -> bool {
        match part {
            [b'-', b'-', option @ ..] => {
                let length = option.iter().position(|byte| *byte == b'=');
                length.is_some_and(|length| is_abbreviated(self.program.long_code, &option[..length]))
            }
            [b'-', letters @ ..] => {
                let Program { values, attached, code, files, .. } = self.program;
                let takes_value =
                    |letter: &u8| [code, values, attached, files].iter().any(|set| has(set, *letter));
                letters.iter().position(takes_value).is_some_and(|at| {
                    has(code, letters[at])
                        || (has(values, letters[at]) && self.runs_value(&letters[at + 1..]))
                })
            }
            _ if self.then == Then::Variables => part.contains(&b'='),
            _ => self.takes_code() || (self.operands == 0 && self.then == Then::Remote),
        }
    }

    /// Whether it runs what comes after this part of an option's value: `ssh -o ProxyCommand=`.
    pub(super) fn runs_value(self, part: &[u8]) -> bool {
        let length = part.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        self.then == Then::Remote
            && length < part.len()
            && part[..length].to_ascii_lowercase().ends_with(b"command")
    }

    fn after_long(self, option: &[u8]) -> Step {
        let length = option.iter().position(|byte| *byte == b'=').unwrap_or(option.len());
        let (name, value) = (&option[..length], option.get(length + 1..));
        let Program { long_values, long_code, long_files, modes, .. } = self.program;
        let next = self.in_mode(modes.iter().find(|mode| is_abbreviated(mode.long, name)));
        if is_abbreviated(long_code, name) {
            return match value {
                None => Step::BeforeCode(next),
                // It may be a shell that reads its script from standard input.
                Some(_) if self.runs_shell() => Step::Next(next),
                Some(_) => Step::Next(next.with_code()),
            };
        }
        if is_abbreviated(long_files, name) {
            return value.map_or(Step::BeforeFile(next), |file| next.after_file(file));
        }
        if value.is_none() && is_abbreviated(long_values, name) {
            Step::BeforeValue(next)
        } else {
            Step::Next(next)
        }
    }

    /// After options of a letter each, of which the first one with a value has the rest.
    fn after_letters(self, letters: &[u8]) -> Step {
        let Program { values, attached, code, files, modes, .. } = self.program;
        let mut next = self;
        for (at, letter) in letters.iter().enumerate() {
            let rest = &letters[at + 1..];
            next = next.in_mode(modes.iter().find(|mode| mode.letter == *letter));
            if has(self.program.last, *letter) && !rest.is_empty() {
                return Step::File;
            }
            // `node -pe` is one option.
            if has(code, *letter) && rest.iter().all(|letter| has(code, *letter)) {
                return Step::BeforeCode(next);
            }
            if has(code, *letter) {
                return Step::Next(next.with_code());
            }
            if has(files, *letter) {
                return if rest.is_empty() { Step::BeforeFile(next) } else { next.after_file(rest) };
            }
            if has(values, *letter) && rest.is_empty() {
                return Step::BeforeValue(next);
            }
            if has(values, *letter) || has(attached, *letter) {
                break;
            }
        }
        Step::Next(next)
    }

    fn in_mode(self, mode: Option<&Mode>) -> Self {
        Self { then: mode.map_or(self.then, |mode| mode.then), ..self }
    }
}

/// Whether this is the name of standard input.
pub(super) fn is_stdin(word: &[u8]) -> bool {
    matches!(word, b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0")
}

fn find(name: &[u8]) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.names.split_ascii_whitespace().any(|each| each.as_bytes() == name))
}

fn has(letters: &str, letter: u8) -> bool {
    letters.as_bytes().contains(&letter)
}

/// Whether a long option is one of these names, or the beginning of one, which GNU programs accept.
fn is_abbreviated(names: &str, option: &[u8]) -> bool {
    !option.is_empty() && names.split_ascii_whitespace().any(|name| name.as_bytes().starts_with(option))
}
