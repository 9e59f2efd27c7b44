//! Expressions in conditions, items, approvals and caches that are wrong, and what is said of them.

use super::{file, right};

#[test]
fn wrong_expressions() {
    let said: Vec<String> = [
        "if = \"{{ params.x }}\"",
        "if = \"1 + 1\"",
        "if = \"'yes'\"",
        "if = \"run.id\"",
        "if = \"params.x\"",
        "if = \"tasks.a.outputs.n\"",
        "if = \"tasks.a.outputs.list | nothing > 1\"",
        "if = \"tasks.a.output == 'x'\"",
        "if = \"tasks.b.outputs.n > 1\"",
        "if = \"item > 1\"",
        "if = \"attempt > (1\"",
        "foreach = \"tasks.a.outputs.n\"",
        "foreach = \"tasks.each.outputs.n > tasks.each.output\"",
        "foreach = \"range(10_000_000)\"",
        "foreach = \"{'a': 1}\"",
        "foreach = \"params.x\"",
        "env = { A = \"{{ item }}\", B = \"{{ tasks.each.output }}\", C = \"{{ 1 / 0 }}\" }",
        "approval = { prompt = \"{{ tasks.a.output }} {{ item }} {% x %}\" }",
        "cache = { key = \"{{ tasks.gone.outputs.n }}\" }",
    ]
    .map(|keys| {
        file(&format!(
            "version = 1\n[dag]\nid = \"d\"\nparams = {{ x = {{ type = \"string\" }} }}\n\
             [[tasks]]\nid = \"t\"\nneeds = [\"a\", \"each\"]\nscript = \"true\"\n{keys}\n\
             [[tasks]]\nid = \"a\"\nscript = \"true\"\noutputs = {{ n = {{ type = \"integer\" }}, list = {{ type = \"list\" }} }}\n\
             [[tasks]]\nid = \"each\"\nscript = \"true\"\nforeach = [1]\noutputs = {{ n = {{ type = \"integer\" }} }}\n\
             [[tasks]]\nid = \"b\"\nscript = \"true\"\noutputs = {{ n = {{ type = \"integer\" }} }}\n"
        ))
    })
    .into();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: this is an expression already
         --> x.toml:9:7
          |
        9 | if = "{{ params.x }}"
          |       ^^
          |
          = help: write it without the braces

        ----
        error: this is a number, and only true or false decides: compare it, as in `… > 0`
         --> x.toml:9:7
          |
        9 | if = "1 + 1"
          |       ^^^^^

        ----
        error: this is a text, and only true or false decides: compare it, as in `… == "text"`
         --> x.toml:9:7
          |
        9 | if = "'yes'"
          |       ^^^^^

        ----
        error: this is a text, and only true or false decides: compare it, as in `… == "text"`
         --> x.toml:9:7
          |
        9 | if = "run.id"
          |       ^^^^^^

        ----
        error: this is a text, and only true or false decides: compare it, as in `… == "text"`
         --> x.toml:9:7
          |
        9 | if = "params.x"
          |       ^^^^^^^^

        ----
        error: this is a number, and only true or false decides: compare it, as in `… > 0`
         --> x.toml:9:7
          |
        9 | if = "tasks.a.outputs.n"
          |       ^^^^^^^^^^^^^^^^^

        ----
        error: no filter `nothing`
         --> x.toml:9:30
          |
        9 | if = "tasks.a.outputs.list | nothing > 1"
          |                              ^^^^^^^
          |
          = help: there are abs, attr, bool, capitalize, chain, count, d, default, dictsort, first, float, groupby, int, items, join, last, length, lines, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, select, selectattr, sort, split, string, sum, title, trim, unique, upper, zip

        ----
        error: logs are not read for what is decided before a task starts
         --> x.toml:9:7
          |
        9 | if = "tasks.a.output == 'x'"
          |       ^^^^^^^^^^^^^^
          |
          = help: have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME

        ----
        error: task `t` does not come after `b`
         --> x.toml:9:7
          |
        9 | if = "tasks.b.outputs.n > 1"
          |       ^^^^^^^^^^^^^^^^^ its outputs may not be there yet
          |
          = help: add "b" to the needs of task `t`

        ----
        error: this is decided once, before there are items
         --> x.toml:9:7
          |
        9 | if = "item > 1"
          |       ^^^^
          |
          = help: choose the items in foreach, as in `… | reject("equalto", "x")`

        ----
        error: syntax error (unexpected end of input, expected `)`)
         --> x.toml:9:7
          |
        9 | if = "attempt > (1"
          |       ^^^^^^^^^^^^

        error: this is decided before the first try
         --> x.toml:9:7
          |
        9 | if = "attempt > (1"
          |       ^^^^^^^
          |
          = help: leave `attempt` out

        ----
        error: this is a number, and foreach goes over a list
         --> x.toml:9:12
          |
        9 | foreach = "tasks.a.outputs.n"
          |            ^^^^^^^^^^^^^^^^^

        ----
        error: logs are not read for what is decided before a task starts
         --> x.toml:9:35
          |
        9 | foreach = "tasks.each.outputs.n > tasks.each.output"
          |                                   ^^^^^^^^^^^^^^^^^
          |
          = help: have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME

        error: task `each` has items, and each has a log of its own
         --> x.toml:9:35
          |
        9 | foreach = "tasks.each.outputs.n > tasks.each.output"
          |                                   ^^^^^^^^^^^^^^^^^
          |
          = help: use an output: tasks.each.outputs.NAME is the list of its items' values

        ----
        error: there are more than 10000 items: split the work, or have one item do more
         --> x.toml:9:12
          |
        9 | foreach = "range(10_000_000)"
          |            ^^^^^^^^^^^^^^^^^

        ----
        error: this is an object, and foreach goes over a list
         --> x.toml:9:12
          |
        9 | foreach = "{'a': 1}"
          |            ^^^^^^^^

        ----
        error: this is a text, and foreach goes over a list: `… | split(",")` or `… | lines` make one of it
         --> x.toml:9:12
          |
        9 | foreach = "params.x"
          |            ^^^^^^^^

        ----
        error: this task has no `item`
         --> x.toml:9:17
          |
        9 | env = { A = "{{ item }}", B = "{{ tasks.each.output }}", C = "{{ 1 / 0 }}" }
          |                 ^^^^
          |
          = help: add foreach = ["a", "b"] to it

        error: task `each` has items, and each has a log of its own
         --> x.toml:9:35
          |
        9 | env = { A = "{{ item }}", B = "{{ tasks.each.output }}", C = "{{ 1 / 0 }}" }
          |                                   ^^^^^^^^^^^^^^^^^
          |
          = help: use an output: tasks.each.outputs.NAME is the list of its items' values

        error: invalid operation (unable to calculate 1 / 0)
         --> x.toml:9:63
          |
        9 | env = { A = "{{ item }}", B = "{{ tasks.each.output }}", C = "{{ 1 / 0 }}" }
          |                                                               ^^^^^^^^^^^

        ----
        error: logs are not read for what is decided before a task starts
         --> x.toml:9:27
          |
        9 | approval = { prompt = "{{ tasks.a.output }} {{ item }} {% x %}" }
          |                           ^^^^^^^^^^^^^^
          |
          = help: have that task write what matters to $CIS_OUTPUT, and use tasks.ID.outputs.NAME

        error: this is decided once, before there are items
         --> x.toml:9:48
          |
        9 | approval = { prompt = "{{ tasks.a.output }} {{ item }} {% x %}" }
          |                                                ^^^^
          |
          = help: choose the items in foreach, as in `… | reject("equalto", "x")`

        error: only {{ … }} can stand here, no blocks and no comments
         --> x.toml:9:56
          |
        9 | approval = { prompt = "{{ tasks.a.output }} {{ item }} {% x %}" }
          |                                                        ^^
          |
          = help: to have this text itself, write {{ "{%" }}

        ----
        error: no task has the id `gone`
         --> x.toml:9:21
          |
        9 | cache = { key = "{{ tasks.gone.outputs.n }}" }
          |                     ^^^^^^^^^^^^^^^^^^^^
        "#);
}

#[test]
fn values_of_different_declared_types_are_not_compared() {
    let text = |condition: &str| {
        format!(
            "version = 1\n[dag]\nid = \"d\"\nparams = {{ s = {{ type = \"string\" }}, b = {{ type = \"boolean\" }} }}\n\
             [[tasks]]\nid = \"t\"\nneeds = [\"a\", \"each\"]\nscript = \"true\"\nif = {condition:?}\n\
             [[tasks]]\nid = \"a\"\nscript = \"true\"\noutputs = {{ n = {{ type = \"integer\" }}, s = {{ type = \"string\" }}, \
             j = {{ type = \"json\" }} }}\n\
             [[tasks]]\nid = \"each\"\nscript = \"true\"\nforeach = [1]\noutputs = {{ n = {{ type = \"integer\" }} }}\n"
        )
    };
    for condition in [
        "tasks.a.outputs.s > 0",
        "0 < tasks.a.outputs.s",
        "tasks.a.outputs.n == params.s",
        "params.b == 'true' or true",
        "not (tasks.each.outputs.n > 0)",
        "1 < tasks.a.outputs.n < run.id",
        "tasks.a.outputs.s > 0 in [0]",
        "'a' > 0 in [true]",
        "[1, 'a'] | select('==', 1) | list | length == 1",
    ] {
        let said = file(&text(condition));
        assert!(said.contains("cannot compare "), "{condition}: {said}");
        // A node of an earlier version may have started a run of it.
        let accepted = crate::dag::parse_accepted(text(condition).as_bytes(), "x.toml");
        assert!(accepted.is_ok(), "{condition}: {accepted:?}");
    }
    // What is no operator is no comparison.
    for condition in ["tasks.a.outputs.n ! 3", "tasks.a.outputs.n = 3", "tasks.a.outputs.n > = 3"] {
        let said = file(&text(condition));
        assert!(said.contains("error: ") && !said.contains("cannot compare"), "{condition}: {said}");
    }
    for condition in [
        "tasks.a.outputs.n > 0.5",
        "tasks.a.outputs.s | int > 0",
        "tasks.a.outputs.j > 0 and tasks.a.outputs.j == 'x'",
        "params.b == true and params.s != none",
        "(tasks.each.outputs.n | length) > 0 and tasks.each.outputs.n[0] == 1",
    ] {
        right(&text(condition));
    }
    insta::assert_snapshot!(file(&text("params.s > 3")), @r#"
        error: cannot compare a text with a number (`>`)
         --> x.toml:9:7
          |
        9 | if = "params.s > 3"
          |       ^^^^^^^^^^^^
          |
          = help: convert the text with `| int` or `| float`, or declare the output with type = "integer"
        "#);
}

#[test]
fn places_in_scripts_are_not_judged_in_the_file_of_a_run() {
    for runs in [
        "script = 'sh -c \"echo {{ params.v }}\"'",
        "script = 'echo {{ params.v }} | sh'",
        "command = ['sh', '-c', 'echo {{ params.v }}']",
        "script = 'true'\non_blocked = { action = 'run', run = ['sh', '-c', 'echo {{ params.v }}'] }",
    ] {
        let text = format!(
            "version = 1\n[dag]\nid = \"d\"\n[dag.params.v]\ntype = \"string\"\n[[tasks]]\nid = \"t\"\n{runs}\n"
        );
        assert!(file(&text).contains("a script for another shell"), "{runs}");
        let accepted = crate::dag::parse_accepted(text.as_bytes(), "x.toml");
        assert!(accepted.is_ok(), "an earlier version may have started it: {accepted:?}");
        let unreadable = text.replace("params.v }", "foo }");
        assert!(crate::dag::parse_accepted(unreadable.as_bytes(), "x.toml").is_err());
    }
}
