//! Actions, ids, needs and templates.

use super::{HEAD, file, right, task};

#[test]
fn actions() {
    let said: Vec<String> = [
        "",
        "command = [\"a\"]\nscript = \"b\"",
        "command = [\" \", \"x\"]",
        "command = [\"echo\", 3]",
        "script = \"\"",
        "command = [\"a\"]\nshell = \"bash\"",
        "trigger = \"one_failed\"\nscript = \"a\"",
        "shell = \"{{ params.x }}\"\nscript = \"a\"",
    ]
    .map(task)
    .into();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: this task does nothing
         --> x.toml:4:1
          |
        4 | [[tasks]]
          | ^^^^^^^^^
          |
          = help: add command = ["program", "argument"], script = "…", or agent = "NAME" with a prompt

        ----
        error: this task has a command and a script
         --> x.toml:7:1
          |
        7 | script = "b"
          | ^^^^^^ leave one of them out
          |
         ::: x.toml:6:1
          |
        6 | command = ["a"]
          | ------- here is the other

        ----
        error: `command` names no program
         --> x.toml:6:12
          |
        6 | command = [" ", "x"]
          |            ^^^
          |
          = help: write command = ["cargo", "test"]

        ----
        error: `command` must be a string
         --> x.toml:6:20
          |
        6 | command = ["echo", 3]
          |                    ^ this is an integer
          |
          = help: write it in quotes: "3"

        ----
        error: `script` is empty
         --> x.toml:6:10
          |
        6 | script = ""
          |          ^^
          |
          = help: write script = "./test.sh"

        ----
        error: `shell` is for scripts
         --> x.toml:7:9
          |
        7 | shell = "bash"
          |         ^^^^^^ this task has a command, which runs without a shell
          |
          = help: leave it out, or write script instead of command

        ----
        error: trigger = "one_failed" without needs never lets the task run
         --> x.toml:6:11
          |
        6 | trigger = "one_failed"
          |           ^^^^^^^^^^^^
          |
          = help: add needs = ["the task that may fail"]

        ----
        error: `shell` cannot be a template
         --> x.toml:6:9
          |
        6 | shell = "{{ params.x }}"
          |         ^^^^^^^^^^^^^^^^ the quoting of values depends on it
          |
          = help: write shell = "bash"
        "#);
}

#[test]
fn ids_and_needs() {
    insta::assert_snapshot!(file(&format!(r#"{HEAD}
[[tasks]]
id = "Build All"
script = "true"
[[tasks]]
id = "test"
needs = ["Build All", "biuld", "tests"]
script = "true"
[[tasks]]
id = "test"
script = "true"
[[tasks]]
id = ""
script = "true"
[[tasks]]
script = "true"
"#)), @r#"
        error: `Build All` cannot be the id of a task
         --> x.toml:6:6
          |
        6 | id = "Build All"
          |      ^^^^^^^^^^^ did you mean "build-all"?
          |
          = help: use 1 to 64 of a-z, 0-9, `_` and `-`

        error: no task has the id `biuld`
          --> x.toml:10:23
           |
        10 | needs = ["Build All", "biuld", "tests"]
           |                       ^^^^^^^
           |
           = help: there are test

        error: no task has the id `tests`
          --> x.toml:10:32
           |
        10 | needs = ["Build All", "biuld", "tests"]
           |                                ^^^^^^^ did you mean "test"?

        error: two tasks have the id `test`
          --> x.toml:13:6
           |
        13 | id = "test"
           |      ^^^^^^ give this one another id
           |
          ::: x.toml:9:6
           |
         9 | id = "test"
           |      ------ the first one is here

        error: "" cannot be the id of a task
          --> x.toml:16:6
           |
        16 | id = ""
           |      ^^
           |
           = help: use 1 to 64 of a-z, 0-9, `_` and `-`

        error: this task has no id
          --> x.toml:18:1
           |
        18 | [[tasks]]
           | ^^^^^^^^^
           |
           = help: add id = "name"
        "#);
}

#[test]
fn cycles() {
    insta::assert_snapshot!(file(&format!(r#"{HEAD}
[[tasks]]
id = "a"
needs = ["c"]
script = "true"
[[tasks]]
id = "b"
needs = ["a"]
script = "true"
[[tasks]]
id = "c"
needs = ["b"]
script = "true"
[[tasks]]
id = "d"
needs = ["d"]
script = "true"
"#)), @r#"
        error: tasks form a dependency cycle: a → c → b → a
         --> x.toml:7:10
          |
        7 | needs = ["c"]
          |          ^^^ none of them could ever start
          |
          = help: leave out one of these needs

        error: task `d` needs itself
          --> x.toml:19:10
           |
        19 | needs = ["d"]
           |          ^^^ leave it out
        "#);
}

#[test]
fn templates() {
    insta::assert_snapshot!(file(r#"
version = 1
[dag]
id = "d"
params = { branch = { type = "string" } }
env = { WHERE = "{{ params.place }}" }
[[tasks]]
id = "plan"
script = "echo {{ params.brnch }}"
outputs = { regions = { type = "json" } }
[[tasks]]
id = "other"
command = ["echo", "{{ tasks.plan.outputs.regions }}", "{{ branch }}", "{% if x %}", "{{ 1 +"]
[[tasks]]
id = "my-task"
needs = ["plan"]
script = """
echo \
   '{{ params.branch }}' "{{ tasks.plan.outputs.region }}"
docker ps --format '{{.Names}}'
echo {{ tasks.paln.outputs.regions | uper }} {{ tasks.my-task.outputs.x }}
"""
[[tasks]]
id = "py"
shell = "python3"
script = "print({{ attempt }})"
"#), @r#"
        error: no parameter `place`
         --> x.toml:6:21
          |
        6 | env = { WHERE = "{{ params.place }}" }
          |                     ^^^^^^^^^^^^
          |
          = help: [dag] params has branch

        error: no parameter `brnch`
         --> x.toml:9:19
          |
        9 | script = "echo {{ params.brnch }}"
          |                   ^^^^^^^^^^^^ did you mean `params.branch`?

        error: task `other` does not come after `plan`
          --> x.toml:13:24
           |
        13 | command = ["echo", "{{ tasks.plan.outputs.regions }}", "{{ branch }}", "{% if x %}", "{{ 1 +"]
           |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^ its outputs may not be there yet
           |
           = help: add needs = ["plan"] to task `other`

        error: unknown name `branch`
          --> x.toml:13:60
           |
        13 | command = ["echo", "{{ tasks.plan.outputs.regions }}", "{{ branch }}", "{% if x %}", "{{ 1 +"]
           |                                                            ^^^^^^
           |
           = help: there are params.NAME, tasks.ID.outputs.NAME, tasks.ID.output, item, run.id, dag.id, task.id and attempt; a text stands in quotes

        error: only {{ … }} can stand here, no blocks and no comments
          --> x.toml:13:73
           |
        13 | command = ["echo", "{{ tasks.plan.outputs.regions }}", "{{ branch }}", "{% if x %}", "{{ 1 +"]
           |                                                                         ^^
           |
           = help: to have this text itself, write {{ "{%" }}

        error: this {{ has no }}
          --> x.toml:13:87
           |
        13 | command = ["echo", "{{ tasks.plan.outputs.regions }}", "{{ branch }}", "{% if x %}", "{{ 1 +"]
           |                                                                                       ^^
           |
           = help: to have the two braces themselves, write {{ "{{" }}

        error: a value cannot stand inside single quotes, where the shell expands nothing
          --> x.toml:19:5
           |
        19 |    '{{ params.branch }}' "{{ tasks.plan.outputs.region }}"
           |     ^^^^^^^^^^^^^^^^^^^
           |
           = help: use double quotes, or leave the single ones: 'before '{{ … }}' after'; or pass it as a variable: env = { VALUE = "{{ … }}" }, and "$VALUE" in the script

        error: task `plan` declares no output `region`
          --> x.toml:19:30
           |
        19 |    '{{ params.branch }}' "{{ tasks.plan.outputs.region }}"
           |                              ^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean `tasks.plan.outputs.regions`?

        error: an expression cannot start with a dot
          --> x.toml:20:23
           |
        20 | docker ps --format '{{.Names}}'
           |                       ^
           |
           = help: if it is for another program, write {{ "{{.Names}}" }}

        error: no filter `uper`
          --> x.toml:21:38
           |
        21 | echo {{ tasks.paln.outputs.regions | uper }} {{ tasks.my-task.outputs.x }}
           |                                      ^^^^
           |
           = help: did you mean `upper`?

        error: task `my-task` cannot use its own outputs
          --> x.toml:21:49
           |
        21 | echo {{ tasks.paln.outputs.regions | uper }} {{ tasks.my-task.outputs.x }}
           |                                                 ^^^^^^^^^^^^^^^^^^^^^^^

        error: a value cannot stand in a script for `python3`, whose quoting is not known here
          --> x.toml:26:17
           |
        26 | script = "print({{ attempt }})"
           |                 ^^^^^^^^^^^^^
           |
           = help: pass it as a variable: env = { VALUE = "{{ … }}" }, and read VALUE in the script; or write {{ … | raw }} if the value may become code
        "#);
}

#[test]
fn outputs_of_tasks_that_come_before_can_be_used() {
    let task = |id: &str, needs: &str, script: &str| {
        format!(
            "[[tasks]]\nid = \"{id}\"\nneeds = [{needs}]\nscript = '''{script}'''\noutputs.x.type = \"string\"\n"
        )
    };
    let text = format!(
        "{HEAD}{}{}{}",
        task("a-1", "", "true"),
        task("b", "'a-1'", "true"),
        task("c", "'b'", "echo {{ tasks.a-1.outputs.x }} {{ tasks[\"b\"].outputs.x }}")
    );
    right(&text);
}
