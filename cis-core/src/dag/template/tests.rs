//! Rendered tasks, and what real shells make of them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dag::{RetryPolicy, Trigger};

fn task(action: Action) -> Task {
    Task {
        id: TaskId::new("my-task").unwrap(),
        needs: Vec::new(),
        trigger: Trigger::AllSuccess,
        action,
        env: BTreeMap::new(),
        cwd: None,
        tty: true,
        secrets: BTreeMap::new(),
        timeout_ms: None,
        grace_ms: 0,
        retries: RetryPolicy::default(),
        allow_failure: false,
        outputs: BTreeMap::new(),
        retry_lost: true,
    }
}

fn script(shell: &str, text: &str) -> Task {
    task(Action::Script { text: text.into(), shell: shell.into() })
}

fn command(argv: &[&str]) -> Task {
    task(Action::Command(argv.iter().map(|text| (*text).into()).collect()))
}

fn params(v: &str) -> BTreeMap<String, Value> {
    let all = json!({ "v": v, "n": 3, "half": 0.5, "yes": true, "j": { "b": [1, null], "a": "x" } });
    serde_json::from_value(all).unwrap()
}

fn with<T>(params: &BTreeMap<String, Value>, use_it: impl FnOnce(&Values<'_>) -> T) -> T {
    let written = BTreeMap::from([("x".to_owned(), json!("out")), ("list".to_owned(), json!(["a", "b"]))]);
    let outputs = BTreeMap::from([(TaskId::new("a-1").unwrap(), written)]);
    use_it(&Values { run: "RUN", dag: "ship", attempt: 2, params, outputs: &outputs })
}

fn rendered(task: &Task, v: &str) -> Result<Rendered, RenderError> {
    with(&params(v), |values| render(task, values))
}

fn argv(task: &Task, v: &str) -> Vec<String> {
    match rendered(task, v).unwrap().program {
        Program::Argv(argv) => argv,
        Program::Script { .. } => panic!("a script"),
    }
}

#[test]
fn each_element_stays_one_argument() {
    let task = command(&[
        "echo",
        "a{{ params.v }}b",
        "{{ params.n }} {{ params.half }} {{ params.yes }}",
        "{{params.j}}",
        "}}",
    ]);
    assert_eq!(
        argv(&task, "x y; $(z)\n'"),
        ["echo", "ax y; $(z)\n'b", "3 0.5 true", r#"{"a":"x","b":[1,null]}"#, "}}"]
    );
}

#[test]
fn expressions_are_those_of_the_engine() {
    for (expression, value) in [
        ("{{ run.id }}/{{ dag.id }}/{{ task.id }}#{{ attempt }}", "RUN/ship/my-task#2"),
        ("{{ tasks.a-1.outputs.x }}{{ tasks['a-1'].outputs[\"x\"] | upper }}", "outOUT"),
        ("{{ tasks.a-1.outputs.list | join(\",\") }} {{ tasks.a-1.outputs.list[0] }}", "a,b a"),
        ("{{ tasks.a-1.outputs.missing | default('none') }}", "none"),
        ("{{ 'v0' ~ params.v ~ (params.n - 1) }}", "v0V2"),
        (
            "{{ params.n * 2 + 1.5 }} {{ -1 }} {{ [1, 'a'] }} {{ {'k': none} }} {{ none }}",
            r#"7.5 -1 [1,"a"] {"k":null} null"#,
        ),
        ("{{ 'a' if params.v == 'V' and params.n is odd else 'b' }}", "a"),
        ("{{ params.j.a }}{{ params.j['b'][0] }}", "x1"),
        ("{{ params.v | replace(from='V', to='W') if false else dict(a=1) }}", r#"{"a":1}"#),
        ("{{ \"{{ }} {%\" }} {{ params.v | raw }}", "{{ }} {% V"),
    ] {
        assert_eq!(argv(&command(&[expression]), "V"), [value], "{expression}");
    }
}

#[test]
fn what_has_no_value_is_an_error() {
    let said: Vec<String> = [
        "{{ tasks.a-1.outputs.missing }}",
        "{{ tasks.a-1.outputs.missing ~ 'x' }}",
        "{{ tasks.gone.outputs.x }}",
        "{{ params.gone }}",
        "{{ params.j.gone }}",
        "{{ params.j.gone.further }}",
        "{{ 1 / 0 }}",
        "{{ params.v + 1 }}",
        "{{ foo }}",
        "{{ params }}",
        "{{ tasks.a-1.x }}",
        "{{ run.foo }}",
        "{{ params.v | raw | upper }}",
        "{{ (params.v | raw) }}",
        "{{- params.v }}",
        "{{ params.v -}}",
        "{{ 'x }}",
        "{{ }}",
        "{{ params.v params.n }}",
        "{{ params.v | nope }} ",
        "{{ params.v is nope }}",
        "{{ (params.v ]}}",
        "{{ pärams }}",
        "{{ range(params.n }}",
    ]
    .map(|text| rendered(&command(&[text]), "V").unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        command[0]: {{ tasks.a-1.outputs.missing }}: task `a-1` left no output `missing`; add `| default(…)` if that can be
        command[0]: {{ tasks.a-1.outputs.missing ~ 'x' }}: task `a-1` left no output `missing`; add `| default(…)` if that can be
        command[0]: {{ tasks.gone.outputs.x }}: task `gone` left no output `x`; add `| default(…)` if that can be
        command[0]: {{ params.gone }}: parameter `gone` has no value
        command[0]: {{ params.j.gone }}: it has no value; add `| default(…)` if that can be
        command[0]: {{ params.j.gone.further }}: undefined value
        command[0]: {{ 1 / 0 }}: invalid operation (unable to calculate 1 / 0)
        command[0]: {{ params.v + 1 }}: invalid operation (tried to use + operator on unsupported types string and number)
        command[0]: foo: unknown name `foo`; there are params.NAME, tasks.ID.outputs.NAME, run.id, dag.id, task.id and attempt; a text stands in quotes
        command[0]: params: `params` is not a value; write params.NAME
        command[0]: tasks.a-1.x: `tasks.a-1.x` is not a value; write tasks.ID.outputs.NAME
        command[0]: run.foo: `run.foo` is not a value; write run.id
        command[0]: raw: `raw` is not the last filter; write it last: {{ … | raw }}
        command[0]: raw: `raw` stands inside brackets; write it last: {{ … | raw }}
        command[0]: -: templates have no whitespace control; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ params.v -}}: syntax error (unexpected end of input, expected expression)
        command[0]: ': this string does not end; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ }}: there is nothing in it; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ params.v params.n }}: syntax error (unexpected input after expression)
        command[0]: nope: no filter `nope`; there are abs, attr, batch, bool, capitalize, chain, count, d, default, dictsort, first, float, format, groupby, indent, int, items, join, last, length, lines, list, lower, map, max, min, pprint, reject, rejectattr, replace, reverse, round, select, selectattr, slice, sort, split, string, sum, title, trim, unique, upper, zip
        command[0]: nope: no test `nope`; did you mean `none`?
        command[0]: ]: unexpected `]`; to have the two braces themselves, write {{ "{{" }}
        command[0]: p: unknown name `p`; there are params.NAME, tasks.ID.outputs.NAME, run.id, dag.id, task.id and attempt; a text stands in quotes
        command[0]: {{ range(params.n }}: syntax error (unexpected end of input, expected `,`)
        "#);
}

#[test]
fn environment_and_directory_are_plain_text() {
    let mut task = script("sh", "echo {{ params.v }} \"{{ params.v }}\" {{ params.n }} {{ params.v }}");
    task.env.insert("A".into(), "'{{ params.v }}'".into());
    task.cwd = Some("sub/{{ dag.id }}".into());
    let rendered = rendered(&task, "x y").unwrap();
    let text = "echo \"${CIS_V1}\" \"${CIS_V1}\" \"${CIS_V2}\" \"${CIS_V1}\"".to_owned();
    assert_eq!(rendered.program, Program::Script { shell: "sh".into(), text });
    assert_eq!(json!(rendered.env), json!({ "A": "'x y'", "CIS_V1": "x y", "CIS_V2": "3" }));
    assert_eq!(rendered.cwd.as_deref(), Some("sub/ship"));
}

#[test]
fn sizes_and_nul_are_refused() {
    let long = "x".repeat(MAX_ARGUMENT_BYTES);
    assert!(rendered(&command(&["{{ params.v }}"]), &long).is_ok());
    let said: Vec<String> = [
        rendered(&command(&["a", "{{ params.v }}y"]), &long),
        rendered(&script("sh", "echo {{ params.v }}"), &long),
        rendered(&script("sh", &"#".repeat(MAX_SCRIPT_BYTES + 1)), ""),
        rendered(&script("sh", "{{ params.v | raw }}"), &"x".repeat(MAX_SCRIPT_BYTES + 1)),
        rendered(&command(&["{{ params.v }}"]), "a\0b"),
        rendered(&script("sh", "echo \"{{ params.v }}\""), "a\0b"),
        rendered(&script("sh", "echo '{{ params.v }}'"), "a"),
    ]
    .map(|result| result.unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(said.join("\n"), @r#"
        command[1] is 131072 bytes long with its values in place, and at most 131071 are possible: pass a file
        the value of {{ params.v }} in script is 131071 bytes long with its values in place, and at most 131064 are possible: pass a file
        script is 1048577 bytes long with its values in place, and at most 1048576 are possible: pass a file
        script is 1048577 bytes long with its values in place, and at most 1048576 are possible: pass a file
        command[0] holds a NUL byte
        the value of {{ params.v }} in script holds a NUL byte
        script: {{ params.v }}: a value cannot stand inside single quotes, where the shell expands nothing; use double quotes, or leave the single ones: 'before '{{ … }}' after'; or pass it as a variable: env = { VALUE = "{{ … }}" }, and "$VALUE" in the script
        "#);
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

#[test]
fn outputs_that_are_needed_are_named_once() {
    let mut task = script(
        "sh",
        "# {{ tasks.no.outputs.x }}\necho {{ tasks.b.outputs.y }} {{ tasks.a-1.outputs.x ~ tasks.b.outputs.y }}",
    );
    task.env.insert("A".into(), "{{ tasks['c'].outputs.z }}{{ params.v }}".into());
    let named: Vec<String> =
        referenced_outputs(&task).into_iter().map(|(id, name)| format!("{id}.{name}")).collect();
    assert_eq!(named, ["a-1.x", "b.y", "c.z"]);
}

/// Runs a rendered script with nothing but its own environment: what it printed, and its exit code.
fn run(shell: &str, rendered: &Rendered) -> (String, Option<i32>) {
    let Program::Script { text, .. } = &rendered.program else { panic!("a command") };
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(shell)
        .args(["-c", text])
        .env_clear()
        .envs([("PATH", "/nowhere"), ("LC_ALL", "C.UTF-8")])
        .envs(&rendered.env)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(place.path().read_dir().unwrap().count(), 0, "{text:?} made a file");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// `sh` is always there; others where they are.
fn shells() -> impl Iterator<Item = &'static str> {
    let others =
        ["/bin/bash", "/bin/zsh", "/bin/ksh"].into_iter().filter(|path| std::path::Path::new(path).exists());
    ["/bin/sh"].into_iter().chain(others)
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        option_env!("CIS_FUZZ_CASES").and_then(|n| n.parse().ok()).unwrap_or(64)
    ) })]

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
