//! Recognizes the prompt of an interactive shell, which asks nobody anything.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;
use super::rows::unboxed;
use crate::monitor::evidence::Modes;

/// Command names of shells.
static SHELLS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^-?(?:r?bash|r?zsh|fish|dash|ash|sh|[mlo]?ksh(?:93)?|pdksh|yash|t?csh|busybox|elvish|nu|xonsh|pwsh)$",
    )
});
/// Prompts of shells that edit the line themselves. The prompt of a script's `read` ends with a word or a colon.
static EDITED: LazyLock<Regex> = LazyLock::new(|| pattern(r"[$#%❯➜»λ✗]$|^\S+@\S+ .*>$|^(?:PS )?[~/]\S*>$"));
/// Default prompts of shells that let the terminal edit the line.
static COLLECTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[$#]$|^(?:\w*sh-[\d.]+\S*|\[?\w[\w.-]*@\S+(?: \S+)?)[$#%]$"));

/// Whether a process with this name that reads after the text `lead` is a shell that waits for a command.
pub(in crate::monitor) fn is_shell_prompt(name: &str, modes: Modes, lead: &str) -> bool {
    let text = unboxed(lead).trim();
    SHELLS.is_match(name)
        && match (modes.canonical, modes.echo) {
            (false, false) => EDITED.is_match(text),
            (true, true) => COLLECTED.is_match(text),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Modes = Modes { canonical: false, echo: false };
    const LINES: Modes = Modes { canonical: true, echo: true };

    #[test]
    fn prompts_of_shells_are_recognized() {
        for (name, modes, lead) in [
            ("bash", RAW, "build$ "),
            ("bash", RAW, "pat@vm:~/src$ "),
            ("-bash", RAW, "[pat@vm src]# "),
            ("zsh", RAW, "work% "),
            ("zsh", RAW, "➜  src git:(main) ✗ "),
            ("fish", RAW, "pat@vm ~> "),
            ("mksh", RAW, "mk$ "),
            ("dash", LINES, "$ "),
            ("sh", LINES, "# "),
            ("bash", LINES, "bash-5.2$ "),
            ("bash", LINES, "pat@vm:~$ "),
        ] {
            assert!(is_shell_prompt(name, modes, lead), "{name} {lead}");
        }
    }

    #[test]
    fn prompts_of_scripts_and_other_programs_are_not() {
        for (name, modes, lead) in [
            ("bash", LINES, "Go on? [y/N] "),
            ("bash", LINES, "name> "),
            ("sh", LINES, "deploy$ "),
            ("bash", RAW, "Release name: "),
            ("bash", RAW, "> "),
            ("fish", RAW, "read> "),
            ("bash", Modes { canonical: true, echo: false }, "$ "),
            ("bash", Modes { canonical: false, echo: true }, "$ "),
            ("python3", RAW, ">>> "),
            ("psql", RAW, "shop=# "),
            ("gdb", RAW, "(gdb) "),
            ("sh", LINES, ""),
        ] {
            assert!(!is_shell_prompt(name, modes, lead), "{name} {lead}");
        }
    }
}
