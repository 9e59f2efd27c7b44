//! Rendered tasks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

mod decide;
mod shells;

fn task(action: Action) -> Task {
    Task::new(TaskId::new("my-task").unwrap(), action)
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
    use_it(&Values {
        run: "RUN",
        dag: "ship",
        attempt: 2,
        params,
        outputs: &outputs,
        tails: &BTreeMap::new(),
        item: None,
    })
}

fn rendered(task: &Task, v: &str) -> Result<Rendered, RenderError> {
    with(&params(v), |values| render(task, values))
}

fn argv(task: &Task, v: &str) -> Vec<String> {
    match rendered(task, v).unwrap().program {
        Program::Argv(argv) => argv,
        Program::Script { .. } | Program::Agent { .. } => panic!("no command"),
    }
}

#[test]
fn no_value_stands_in_an_argument_that_is_a_script() {
    for argv in [
        &["sh", "-c", "echo {{ params.v }}"][..],
        &["/bin/bash", "-euo", "pipefail", "-c", "{{ params.v }}", "x"],
        &["dash", "-c", "echo '{{ params.v }}'"],
        &["zsh", "-ec", "{{ params.v }}"],
        &["ksh", "-c", "{{ params.v }}"],
        &["env", "-i", "A=1", "sh", "-c", "{{ params.v }}"],
        &["sudo", "-u", "x", "timeout", "5", "bash", "-lc", "{{ params.v }}"],
        &["docker", "run", "x", "sh", "-c", "{{ params.v }}"],
        &["python3", "-c", "print('{{ params.v }}')"],
        &["perl", "-e{{ params.v }}"],
        &["node", "-e", "{{ params.v }}"],
        &["ssh", "host", "ls", "{{ params.v }}"],
        &["su", "-", "x", "--command={{ params.v }}"],
        &["flock", "/x", "-c", "{{ params.v }}"],
        &["watch", "ls {{ params.v }}"],
        &["sshpass", "-e", "/usr/bin/ssh", "host", "ls {{ params.v }}"],
        &["docker", "run", "--entrypoint", "sh", "x", "-c", "{{ params.v }}"],
        &["awk", "{ print \"{{ params.v }}\" }", "x"],
        &["xargs", "sed", "-i", "s/x/{{ params.v }}/"],
        &["make", "-C", "x", "VERSION={{ params.v }}"],
        &["env", "-S", "sh {{ params.v }}"],
    ] {
        let said = rendered(&command(argv), "V").unwrap_err().to_string();
        assert!(said.contains("(shell injection)"), "{argv:?}: {said}");
        assert!(said.contains("argument of its own") && said.contains("env = {"), "{argv:?}: {said}");
    }
    for argv in [&["sed", "s/x/{{ params.v }}/"][..], &["gsed", "-ne", "{{ params.v }}p"]] {
        let said = rendered(&command(argv), "V").unwrap_err().to_string();
        assert!(
            said.contains("${text//x/\"$VALUE\"}") && !said.contains("single quotes"),
            "{argv:?}: {said}"
        );
    }
    for argv in [&["make", "{{ params.v }}"][..], &["make", "--", "test-{{ params.v }}"]] {
        let said = rendered(&command(argv), "V").unwrap_err().to_string();
        assert!(said.contains("operand of make") && said.contains("case \"$t\""), "{argv:?}: {said}");
    }
    for argv_ in [
        &["sh", "-c", "ls -- \"$1\"", "sh", "{{ params.v }}"][..],
        &["sh", "{{ params.v }}", "-c", "{{ params.v }}"],
        &["python3", "-c", "import sys", "{{ params.v }}"],
        &["python3", "-c", "import sys", "-c", "{{ params.v }}"],
        &["python3", "-mpytest", "-c", "{{ params.v }}"],
        &["env", "X={{ params.v }}", "sh", "-c", "echo \"$X\""],
        &["echo", "bash", "-c", "{{ params.v }}"],
        &["printf", "-v", "{{ params.v }}"],
        &["test", "-v", "{{ params.v }}"],
        &["trap", "{{ params.v }}"],
        &["make", "{{ run.id }}", "test-{{ attempt }}", "-C", "{{ params.v }}"],
        &["make", "-C", "{{ params.v }}", "RUN={{ run.id }}"],
        &["awk", "-v", "v={{ params.v }}", "{ print v }", "{{ params.v }}"],
        &["sed", "-n", "{{ attempt }}p", "{{ params.v }}"],
        &["ssh", "-fNL", "80:a:80", "{{ params.v }}"],
        &["ssh", "-p", "{{ params.v }}", "{{ params.v }}", "uptime"],
        &["sh", "-c", "echo {{ params.v | raw }}"],
        &[
            "sh",
            "-c",
            "echo {{ run.id }} {{ dag.id }} {{ task.id }} {{ attempt }} \"$1\"",
            "sh",
            "{{ params.v }}",
        ],
    ] {
        let filled = argv(&command(argv_), "V");
        assert!(filled.iter().any(|argument| argument.contains('V')), "{filled:?}");
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
fn a_prompt_is_text_and_its_file_is_named() {
    let agent = |prompt| task(Action::Agent { agent: "gemini".into(), prompt });
    let rendered_ =
        rendered(&agent(Prompt::Text("Do {{ params.v }}, it's {{ tasks.a-1.outputs.x }}.".into())), "$(z)")
            .unwrap();
    let program = Program::Agent { agent: "gemini".into(), prompt: "Do $(z), it's out.".into() };
    assert_eq!((rendered_.program, rendered_.prompt_file, rendered_.env.len()), (program, None, 0));
    let of_file = rendered(&agent(Prompt::File("prompts/{{ params.v }}.md".into())), "x").unwrap();
    assert_eq!(of_file.prompt_file.as_deref(), Some("prompts/x.md"));
    let needs = agent(Prompt::Text("{{ tasks.b.output }} {{ tasks.a-1.outputs.x }}".into()));
    assert_eq!(referenced_tails(&needs), [TaskId::new("b").unwrap()]);
    assert_eq!(referenced_outputs(&needs).len(), 1);
    let long = rendered(&agent(Prompt::Text("{{ params.v }}".into())), &"x".repeat(PROMPT_BYTES_MAX + 1));
    assert!(matches!(long, Err(RenderError::TooLong { place, .. }) if place == "prompt"));
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
            "{{ params.n + params.n + 1.5 }} {{ -1 }} {{ [1, 'a'] }} {{ {'k': none} }} {{ none }}",
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
fn nothing_is_joined_that_has_no_value() {
    for text in [
        "{{ tasks.a-1.outputs.missing | join(',') }}",
        "{{ [params.v, tasks.a-1.outputs.missing] | join(',') }}",
    ] {
        let said = rendered(&command(&[text]), "V").unwrap_err().to_string();
        assert!(said.contains("left no output `missing`"), "{text}: {said}");
    }
    let given = "{{ tasks.a-1.outputs.missing | default([]) | join(',') }}";
    assert!(rendered(&command(&[given]), "V").is_ok());
}

#[test]
fn what_has_no_value_is_an_error_inside_of_values_and_in_filters() {
    let gone = "tasks.a-1.outputs.missing";
    for text in [
        "[params.v, GONE]",
        "{'a': [GONE]}",
        "dict(a=GONE)",
        "[[GONE]] | join(',')",
        "GONE | chain([1]) | list",
        "[1] | chain(GONE) | join(',')",
        "[1] | chain([GONE]) | list",
        "GONE | zip([1]) | list",
        "[1] | zip(GONE) | list",
        "[1] | zip([GONE]) | list",
        "GONE | groupby('a') | list",
        "[{'a': GONE}] | groupby('a') | list",
        "[1, GONE] | sum",
        "GONE | sum",
        "[1, GONE] | min",
        "[1, GONE] | max",
        "[1, GONE] | unique | list",
        "[1, GONE] | reverse | list",
        "[1, GONE] | string",
        "[{'a': GONE}] | upper",
        "[GONE] | trim",
        "[[GONE]] | map('string') | list",
        "'a' ~ [GONE]",
        "[GONE] ~ 'a' ~ 'b'",
        "('a' ~ [1, GONE]) | length",
        "1 + 2 ~ [GONE] - 1",
        "'a' ~ [GONE] if true else 'b'",
        "[GONE] ~ 'a' == 'b'",
        "'b' != 'a' ~ [GONE] ",
        "'b' in 'a' ~ [GONE]",
    ] {
        let text = text.replace("GONE", gone);
        let said = rendered(&command(&[&format!("{{{{ {text} }}}}")]), "V").unwrap_err().to_string();
        assert!(said.contains("left no output `missing`"), "{text}: {said}");
        let said = with(&params("V"), |values| items(&format!("[{text}]"), &command(&["true"]), values));
        assert!(said.unwrap_err().to_string().contains("left no output `missing`"), "[{text}]");
    }
    let inside = rendered(&command(&["{{ [params.j.gone] }}"]), "V").unwrap_err().to_string();
    assert!(inside.contains("a part of it has no value"), "{inside}");
    // Whether a name that may have a default is to blame, or which one of several, is not known.
    for text in [
        "[GONE | default(0), params.j.gone]",
        "[GONE | default(0), params.j.gone] | join(',')",
        "'a' ~ [GONE | default(0), params.j.gone]",
        "[params.gone, GONE]",
    ] {
        let text = text.replace("GONE", gone);
        let said = rendered(&command(&[&format!("{{{{ {text} }}}}")]), "V").unwrap_err().to_string();
        assert!(said.contains("a part of it has no value"), "{text}: {said}");
    }
    for (text, value) in [
        ("[1, GONE] | select('defined') | list", "[1]"),
        ("[1, GONE | default(2)] | sum", "3"),
        ("[GONE] | map('default', 'x') | join", "x"),
        ("[3, 1] | chain([2]) | max", "3"),
        ("['b', 'A'] | min(case_sensitive=true)", "A"),
        ("[{'a': 1}, {'a': 2}] | sum(attribute='a')", "3"),
        ("[{'a': 1}] | groupby('a') | list", r#"[[1,[{"a":1}]]]"#),
        ("[1] | zip([none]) | list", "[[1,null]]"),
        ("[1, GONE | default(2)] | string", "[1, 2]"),
        ("'a' ~ [1, 2] ~ -1", "a[1, 2]-1"),
        ("'a' ~ -1 ~ 'b' == 'a-1b'", "true"),
        ("'a' ~ (1 if 'a' ~ 'b' is string else 2) ~ 'c'", "a1c"),
        ("[3, [GONE] | length] | join('~')", "3~1"),
    ] {
        let text = text.replace("GONE", gone);
        assert_eq!(argv(&command(&[&format!("{{{{ {text} }}}}")]), "V"), [value], "{text}");
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
        command[0]: foo: unknown name `foo`; there are params.NAME, tasks.ID.outputs.NAME, tasks.ID.output, item, run.id, dag.id, task.id and attempt; a text stands in quotes
        command[0]: params: `params` is not a value; write params.NAME
        command[0]: tasks.a-1.x: `tasks.a-1.x` is not a value; write tasks.ID.outputs.NAME, or tasks.ID.output for the end of its log
        command[0]: run.foo: `run.foo` is not a value; write run.id
        command[0]: raw: `raw` is not the last filter; write it last: {{ … | raw }}
        command[0]: raw: `raw` stands inside brackets; write it last: {{ … | raw }}
        command[0]: -: templates have no whitespace control; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ params.v -}}: syntax error (unexpected end of input, expected expression)
        command[0]: ': this string does not end; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ }}: there is nothing in it; to have the two braces themselves, write {{ "{{" }}
        command[0]: {{ params.v params.n }}: syntax error (unexpected input after expression)
        command[0]: nope: no filter `nope`; there are abs, attr, bool, capitalize, chain, count, d, default, dictsort, first, float, groupby, int, items, join, last, length, lines, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, select, selectattr, sort, split, string, sum, title, trim, unique, upper, zip
        command[0]: nope: no test `nope`; did you mean `none`?
        command[0]: ]: unexpected `]`; to have the two braces themselves, write {{ "{{" }}
        command[0]: p: unknown name `p`; there are params.NAME, tasks.ID.outputs.NAME, tasks.ID.output, item, run.id, dag.id, task.id and attempt; a text stands in quotes
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

#[test]
fn no_expression_makes_much_of_little() {
    let outputs = [("x".to_owned(), serde_json::Value::from("a".repeat(60_000)))];
    let outputs = BTreeMap::from([(TaskId::new("p").unwrap(), BTreeMap::from(outputs))]);
    let (params, tails) = (BTreeMap::new(), BTreeMap::new());
    let values = Values {
        run: "R",
        dag: "d",
        attempt: 1,
        params: &params,
        outputs: &outputs,
        tails: &tails,
        item: None,
    };
    let refused = |text: &str| items(text, &command(&["true"]), &values).expect_err(text).to_string();
    let x = "tasks.p.outputs.x";
    assert!(refused(&format!("{x} | replace('a', {x}) | list")).contains("more than 1048576 bytes"));
    assert!(
        refused(&format!("[range(90000) | map('string') | join({x})]")).contains("more than 1048576 bytes")
    );
    assert!(refused("[1] | map('batch', 1000000000) | list").contains("unknown filter"));
    for text in ["[1] * 1000000000", "'a' * 1000000000 | list"] {
        assert!(refused(text).contains("do not multiply"), "{text}");
    }
    for filter in ["batch(1000000000, 0)", "slice(1000000000)", "indent(1000000000)"] {
        assert!(refused(&format!("[1] | {filter}")).contains("no filter"), "{filter}");
    }
}

#[test]
fn no_expression_is_deeper_than_the_engine_stands() {
    let values_are_not_asked =
        |text: String| check(&text, Place::Start(Site::Plain), &mut Compiled::default(), false).errors;
    for (head, again, tail) in [
        ("", "not ", "true"),
        ("1", "+1", ""),
        ("", "-", "1"),
        ("true", "|string", ""),
        ("item", ".a", ""),
        ("item", "[0]", ""),
        ("", "[", "]"),
        ("1 if true else ", "1 if true else ", "1"),
    ] {
        let deep = |count: usize| format!("{{{{ {head}{}{tail} }}}}", again.repeat(count));
        let errors = values_are_not_asked(deep(5000));
        assert!(errors[0].message.contains("more than 100 operators"), "{again}: {errors:?}");
        if again != "[" {
            assert_eq!(values_are_not_asked(deep(20)), [], "{again}");
        }
    }
    let list = (0..3000).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    assert_eq!(values_are_not_asked(format!("{{{{ [{list}] }}}}")), [], "a long list is not deep");
}
