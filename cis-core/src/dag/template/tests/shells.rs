//! What real shells make of rendered scripts.

use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::{command, rendered, script};
use crate::api::Program;
use crate::dag::template::{Rendered, referenced_outputs};

/// Runs a rendered script with nothing but its own environment: what it printed, and its exit code. Some
/// texts make ksh93 loop for ever, which is an outcome too: no code, and whatever it printed does not count.
fn run(shell: &str, rendered: &Rendered) -> (String, Option<i32>) {
    let Program::Script { text, .. } = &rendered.program else { panic!("a command") };
    let place = tempfile::tempdir().unwrap();
    let output = Command::new("/usr/bin/timeout")
        .args(["--signal=KILL", "5", shell, "-c", text])
        .env_clear()
        .envs([("PATH", "/nowhere"), ("LC_ALL", "C.UTF-8")])
        .envs(&rendered.env)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(place.path().read_dir().unwrap().count(), 0, "{text:?} made a file");
    let code = output.status.code();
    (code.map(|_| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default(), code)
}

/// `sh` is always there; others where they are.
fn shells() -> impl Iterator<Item = &'static str> {
    let others =
        ["/bin/bash", "/bin/zsh", "/bin/ksh"].into_iter().filter(|path| std::path::Path::new(path).exists());
    ["/bin/sh"].into_iter().chain(others)
}

#[test]
fn a_script_is_never_taken_for_an_option_of_the_shell() {
    for text in ["-x", "+x", "{{ '-x' | raw }}"] {
        for shell in shells() {
            let rendered = rendered(&script(shell, text), "").unwrap();
            assert_eq!(run(shell, &rendered).1, Some(127), "{shell} {text}");
        }
    }
}

/// What is worth what, where the value is given.
type Worth = fn(&str) -> String;

/// A part of a script: its text; what it prints of the value; what it prints besides.
type Part = (String, Option<Worth>, String);

/// A part of a word.
fn word_part() -> impl Strategy<Value = (String, Worth, String)> {
    let verbatim: Worth = str::to_owned;
    let nothing: Worth = |_| String::new();
    let with_dot: Worth = |v| format!("{v}.");
    prop_oneof![
        4 => Just(("{{ params.v }}".to_owned(), verbatim, String::new())),
        4 => Just(("\"{{ params.v }}\"".to_owned(), verbatim, String::new())),
        2 => Just(("$(printf '%s.' {{ params.v }})".to_owned(), with_dot, String::new())).prop_map(|(t, f, s)| (format!("\"{t}\""), f, s)),
        2 => Just(("\"$(printf \"%s.\" \"$(printf '%s' {{ params.v }}x # it's\n)\" | read -r y; printf '%s.' \"{{ params.v }}\")\"".to_owned(), with_dot, String::new())),
        1 => "[a-z]{1,3}".prop_map(move |t| (t.clone(), nothing, t)),
        1 => "[ -&(-z|}~\n]{0,6}".prop_map(move |t| (format!("'{t}'"), nothing, t)),
        1 => "[ -!#%-\\[\\]-_a-z|}~\n]{0,6}".prop_map(move |t| (format!("\"{t}\""), nothing, t)),
        1 => "[ -~]".prop_filter("not a template", |c| c != "{").prop_map(move |c| (format!("\\{c}"), nothing, c)),
        1 => Just(("\"${x#X}${#x}$((1 << 2))\"".to_owned(), nothing, " y34".to_owned())),
    ]
}

fn statement() -> impl Strategy<Value = Vec<Part>> {
    let fixed = |text: &str, out: &str| -> Part { (text.to_owned(), None, out.to_owned()) };
    let word = prop::collection::vec(word_part(), 1..5).prop_map(|parts| {
        parts.into_iter().map(|(text, value, rest)| -> Part { (text, Some(value), rest) }).collect::<Vec<_>>()
    });
    let around = prop::sample::select(vec![
        ("printf '%s|' ", "\n", ""),
        ("(printf '%s|' ", ") # don't {{ } read\n", ""),
        ("f() { printf '%s|' \"$1\"; }; f ", ";", ""),
        ("case a in (b) ;; a) printf '%s|' ", ";; esac\n", ""),
        ("if true; then printf '%s|' ", "\nfi\n", ""),
        ("printf '%s|' \\\n ", " && :\n", ""),
        ("z=", "; printf '%s|' \"$z\"\n", ""),
        (
            "while read -r l; do printf '%s' \"$l|\"; done <<E\nit's \"$n\" {{ params.n }} \\$(x) ${n}\nE\nprintf '%s|' ",
            "\n",
            "it's \"N\" 3 $(x) N|",
        ),
    ]);
    (around, word).prop_map(move |((before, after, first), word)| {
        let mut parts = vec![fixed(before, first)];
        parts.extend(word);
        parts.push(fixed(after, "|"));
        parts
    })
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "'",
            "\"",
            "'; touch x; '",
            "\"; touch x; \"",
            "$(touch x)",
            "`touch x`",
            "\\",
            "a\nb\n",
            "\n",
            "-n",
            "*",
            "~",
            "${IFS}",
            "$(( x ))",
            "a[$(touch x)]",
            "E\ntouch x\n",
            "; touch x #",
            "}}",
            "{{ params.v }}",
            "%s%n",
            "\u{1b}[31m",
            "ä😀",
        ])
        .prop_map(str::to_owned),
        "[^\0]{0,12}",
    ]
}

/// Pieces from which scripts are put together without any sense.
const SOUP: &[&str] = &[
    "'",
    "\"",
    "$",
    "$(",
    ")",
    "(",
    "`",
    "\\",
    "\n",
    " ",
    "#",
    "a",
    "echo ",
    "cat <<E\n",
    "<<-'E'\n",
    "\nE\n",
    "${a}",
    "${a:-",
    "}",
    "$((",
    "))",
    "((",
    "1",
    "[",
    "]",
    "[[ ",
    " ]]",
    "case a in ",
    "a) ",
    ";; esac",
    ";",
    "|",
    "$a",
    "$'",
    "$1",
    "if ",
    "then ",
    "fi\n",
];

proptest! {
    // PROPTEST_CASES says how many.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shells_print_values_as_they_are(statements in prop::collection::vec(statement(), 1..5), v in hostile()) {
        let mut text = "x='X y' n=N\n".to_owned();
        let mut expected = String::new();
        for (part, value, rest) in statements.into_iter().flatten() {
            text.push_str(&part);
            expected.push_str(&value.map(|value| value(&v)).unwrap_or_default());
            expected.push_str(&rest);
        }
        for shell in shells() {
            let rendered = rendered(&script(shell, &text), &v);
            prop_assert!(rendered.is_ok(), "{text}\n{rendered:?}");
            let (printed, _) = run(shell, &rendered.unwrap());
            prop_assert_eq!(&printed, &expected, "{} of\n{}", shell, text);
        }
    }

    /// In any script, however broken: a place that is accepted behaves as if the value, here a plain
    /// word, had been typed there.
    #[test]
    fn accepted_places_are_what_they_seem(
        pieces in prop::collection::vec(prop_oneof![2 => Just("{{ params.v }}"), 9 => prop::sample::select(SOUP)], 1..16),
    ) {
        let text = format!(":\n{}", pieces.concat());
        // The shell's own process id is another one each time.
        if text.contains("$$") {
            return Ok(());
        }
        for shell in shells() {
            let Ok(rendered) = rendered(&script(shell, &text), "+q") else { continue };
            let typed = Rendered {
                program: Program::Script { shell: shell.into(), text: text.replace("{{ params.v }}", "+q") },
                ..rendered.clone()
            };
            prop_assert_eq!(run(shell, &rendered), run(shell, &typed), "{} of\n{}", shell, text);
        }
    }

    #[test]
    fn rendering_never_panics(text in "[{}'\"$()|. a-z\\\\\n#<E-]{0,60}", v in "\\PC{0,5}") {
        let _ = rendered(&script("sh", &text), &v);
        let _ = rendered(&command(&[&text]), &v);
        let _ = referenced_outputs(&script("bash", &text));
    }
}
