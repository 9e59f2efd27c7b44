//! Places of a script, and what to say of those where no value can stand.
//!
//! Knows nothing of how they are found.

use std::fmt;

/// What the position asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Outside quotes: `"${V}"`.
    Bare,
    /// Inside double quotes, or in a here-document that expands: `${V}`.
    Quoted,
    /// As one of these, for an id and nothing else.
    OnlyId {
        is_quoted: bool,
        /// Of any other value.
        refusal: Refusal,
    },
    /// No way.
    Refused(Refusal),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Between `'` and `'`.
    SingleQuotes,
    /// Between `` ` `` and `` ` ``.
    Backticks,
    /// In `$(( ))` or `(( ))`.
    Arithmetic,
    /// In `${ }`.
    Parameter,
    /// In `[[ ]]`.
    Condition,
    /// In the arguments of `eval`, `let`, `trap`, `alias` or `declare -i`.
    Evaluated(Evaluator),
    /// In the name of a variable, as of `read`, `unset`, `declare`, `printf -v` and `[ -v`.
    Name,
    /// In a script that another shell or interpreter runs: `sh -c`, `ssh`, `python -c`, `awk`, a here-document for a shell, `echo … | sh`.
    Program,
    /// The same, of `sed`, which has no variables.
    Sed,
    /// In an operand of `make`, which runs the value of a variable in it.
    Operand,
    /// After an open `[` of the same word: an array's subscript.
    Subscript,
    /// After `\`.
    Backslash,
    /// After `$`.
    Dollar,
    /// In a here-document whose word is quoted.
    LiteralHeredoc,
    /// In a here-document with substitutions.
    Heredoc,
    /// The quoting of what comes before is not followed; where that began, bytes.
    Lost(usize),
}

/// A builtin that runs its arguments as code; `declare` and the like do it only with some flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evaluator {
    pub(super) name: &'static str,
    pub(super) flag: Option<u8>,
}

impl fmt::Display for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.flag.map_or(Ok(()), |flag| write!(f, " -{}", char::from(flag)))
    }
}

/// Which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `sh`, `dash`, `ash`: any POSIX shell.
    Posix,
    /// `bash`, `zsh`, `ksh`.
    Extended,
}

impl Dialect {
    /// Of a shell as a task names it; none where it is no POSIX shell.
    pub(super) fn of(shell: &str) -> Option<Self> {
        match shell.rsplit('/').next()? {
            "sh" | "dash" | "ash" => Some(Self::Posix),
            "bash" | "zsh" | "ksh" => Some(Self::Extended),
            _ => None,
        }
    }
}

impl Refusal {
    /// What is wrong with a template at `at` of the script `text`, and what to write instead.
    pub(super) fn explain(self, text: &str, at: usize) -> (String, String) {
        let by_env = match self {
            // There it would be evaluated as code, too.
            Refusal::Arithmetic => "declare it as an integer where it comes from",
            Refusal::Name => "for one of several variables, use `case`",
            Refusal::Program => {
                "or pass it as a variable: env = { VALUE = \"{{ … }}\" }, and \"$VALUE\" between single quotes \
                 (ENVIRON[\"VALUE\"] in awk, \"$$VALUE\" in a makefile)"
            }
            Refusal::Sed => {
                "or as an argument of its own: python3 replace.py {{ … }}, which reads sys.argv[1]"
            }
            Refusal::Operand => {
                "or pass it as a variable: env = { VALUE = \"{{ … }}\" }, and \"$$VALUE\" in the makefile"
            }
            _ => "or pass it as a variable: env = { VALUE = \"{{ … }}\" }, and \"$VALUE\" in the script",
        };
        let program = "a value cannot stand in a script for another shell or interpreter, which runs it as code (shell injection)";
        let (message, help) = match self {
            Refusal::SingleQuotes => (
                "a value cannot stand inside single quotes, where the shell expands nothing",
                "use double quotes, or leave the single ones: 'before '{{ … }}' after'",
            ),
            Refusal::Backticks => {
                ("a value cannot stand inside backticks", "write $( … ) instead of backticks")
            }
            Refusal::Arithmetic => (
                "a value cannot stand in arithmetic, where shells evaluate it as code",
                "put it into a variable first: n={{ … }}, and check it before you calculate",
            ),
            Refusal::Parameter => {
                ("a value cannot stand inside ${ … }", "put it into a variable first: v={{ … }}")
            }
            Refusal::Condition => (
                "a value cannot stand inside [[ … ]], where shells may evaluate it as arithmetic",
                "use [ … ] or case",
            ),
            Refusal::Evaluated(by) => {
                let message =
                    format!("a value cannot stand in the arguments of `{by}`, which runs them as code");
                let help = "give the value to the task in `env`, and use the variable where nothing runs it";
                return (message, format!("{help}; {by_env}"));
            }
            Refusal::Name => (
                "a value cannot be a part of the name of a variable: shells evaluate a subscript in it",
                "write the name itself",
            ),
            Refusal::Sed => (
                program,
                "sed has no variables: pass it as a variable of the task, env = { VALUE = \"{{ … }}\" }, and use bash \
                 (${text//x/\"$VALUE\"}) or awk (ENVIRON[\"VALUE\"]) instead",
            ),
            Refusal::Program => (
                program,
                "pass it as an argument of its own: sh -c 'ls -- \"$1\"' sh {{ … }}; through ssh, on standard input: \
                 printf '%s\\n' {{ … }} | ssh host 'read -r v; ls -- \"$v\"'",
            ),
            Refusal::Operand => (
                "a value cannot stand in an operand of make: as in NAME=$(shell …), make runs it as code (shell injection)",
                "to choose a target, compare the value in a script: \
                 t={{ … }}; case \"$t\" in build|test) make \"$t\";; *) exit 1;; esac",
            ),
            Refusal::Subscript => (
                "a value cannot stand after an open [ of the same word: shells evaluate subscripts",
                "close the bracket first, or quote it",
            ),
            Refusal::Backslash => ("a value cannot stand right after a backslash", "leave the backslash out"),
            Refusal::Dollar => {
                ("a value cannot stand right after a dollar sign", "write \\$ for a dollar sign itself")
            }
            Refusal::LiteralHeredoc => (
                "a value cannot stand in a here-document whose word is quoted, where the shell expands nothing",
                "write the word without quotes (<<EOF)",
            ),
            Refusal::Heredoc => (
                "a value cannot stand in a here-document with substitutions other than $name and ${name}",
                "put those into variables before it",
            ),
            Refusal::Lost(since) => {
                let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..since.min(at)]).count() + 1;
                return (
                    format!(
                        "a value cannot stand here: the quoting cannot be followed from line {line} of the script on"
                    ),
                    format!("put it into a variable on the first line: v={{{{ … }}}}; {by_env}"),
                );
            }
        };
        (message.to_owned(), format!("{help}; {by_env}"))
    }
}
