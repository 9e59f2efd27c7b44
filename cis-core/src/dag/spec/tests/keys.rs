//! Keys, types and values.

use super::{HEAD, file, task};

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(file(r#"
version = 1
timeout = "1h"
[dag]
id = "d"
max_paralel = 2
script = "x"
[dag.defaults]
needs = ["a"]
[[tasks]]
id = "t"
comand = ["true"]
agents = "claude"
script = "true"
max_parallel = 1
retries = { counts = 1 }
"#), @r#"
        error: unknown key `timeout` in the file
         --> x.toml:3:1
          |
        3 | timeout = "1h"
          | ^^^^^^^ it belongs in [dag]

        error: unknown key `max_paralel` in [dag]
         --> x.toml:6:1
          |
        6 | max_paralel = 2
          | ^^^^^^^^^^^ did you mean `max_parallel`?

        error: unknown key `script` in [dag]
         --> x.toml:7:1
          |
        7 | script = "x"
          | ^^^^^^ it belongs in a task

        error: unknown key `needs` in [dag.defaults]
         --> x.toml:9:1
          |
        9 | needs = ["a"]
          | ^^^^^ it belongs in each task

        error: unknown key `comand` in a task
          --> x.toml:12:1
           |
        12 | comand = ["true"]
           | ^^^^^^ did you mean `command`?

        error: unknown key `agents` in a task
          --> x.toml:13:1
           |
        13 | agents = "claude"
           | ^^^^^^ did you mean `agent`?

        error: unknown key `max_parallel` in a task
          --> x.toml:15:1
           |
        15 | max_parallel = 1
           | ^^^^^^^^^^^^ it belongs in [dag]

        error: unknown key `counts` in `retries`
          --> x.toml:16:13
           |
        16 | retries = { counts = 1 }
           |             ^^^^^^ did you mean `count`?
        "#);
}

#[test]
fn keys_of_other_tools() {
    insta::assert_snapshot!(file(r#"
version = 1
[dag]
name = "d"
[[tasks]]
name = "a"
run = "make"
depends_on = ["b"]
"#), @r#"
        error: [dag] has no id
         --> x.toml:3:1
          |
        3 | [dag]
          | ^^^^^
          |
          = help: add id = "name-of-this-dag"

        error: unknown key `name` in [dag]
         --> x.toml:4:1
          |
        4 | name = "d"
          | ^^^^ did you mean `id`?

        error: this task has no id
         --> x.toml:5:1
          |
        5 | [[tasks]]
          | ^^^^^^^^^
          |
          = help: add id = "name"

        error: this task does nothing
         --> x.toml:5:1
          |
        5 | [[tasks]]
          | ^^^^^^^^^
          |
          = help: add command = ["program", "argument"], script = "…", or agent = "NAME" with a prompt

        error: unknown key `name` in a task
         --> x.toml:6:1
          |
        6 | name = "a"
          | ^^^^ did you mean `id`?

        error: unknown key `run` in a task
         --> x.toml:7:1
          |
        7 | run = "make"
          | ^^^ did you mean `script`?

        error: unknown key `depends_on` in a task
         --> x.toml:8:1
          |
        8 | depends_on = ["b"]
          | ^^^^^^^^^^ did you mean `needs`?
        "#);
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(task(r#"
command = "cargo test --all"
needs = "build"
env = { PORT = 8080 }
tty = "yes"
timeout = 30
grace = "30"
cwd = ["a"]
retries = "3"
outputs = { n = "integer" }
allow_failure = 1
"#), @r#"
        error: `command` must be an array of strings
         --> x.toml:7:11
          |
        7 | command = "cargo test --all"
          |           ^^^^^^^^^^^^^^^^^^ this is a string
          |
          = help: write command = ["cargo", "test", "--all"]; or script = "cargo test --all" to have a shell run it

        error: `needs` must be an array of strings
         --> x.toml:8:9
          |
        8 | needs = "build"
          |         ^^^^^^^ this is a string
          |
          = help: write needs = ["build"]

        error: `env.PORT` must be a string
         --> x.toml:9:16
          |
        9 | env = { PORT = 8080 }
          |                ^^^^ this is an integer
          |
          = help: write it in quotes: "8080"

        error: `tty` must be true or false
          --> x.toml:10:7
           |
        10 | tty = "yes"
           |       ^^^^^ this is a string
           |
           = help: write tty = true, without quotes

        error: `timeout` must be a time with its unit, as a string
          --> x.toml:11:11
           |
        11 | timeout = 30
           |           ^^ this is an integer
           |
           = help: write timeout = "30s" for seconds, or another unit: `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        error: `grace` is not a time
          --> x.toml:12:9
           |
        12 | grace = "30"
           |         ^^^^ did you mean "30s"?
           |
           = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        error: `cwd` must be a string
          --> x.toml:13:7
           |
        13 | cwd = ["a"]
           |       ^^^^^ this is an array
           |
           = help: write cwd = "sub/directory"

        error: `retries` must be a table
          --> x.toml:14:11
           |
        14 | retries = "3"
           |           ^^^ this is a string
           |
           = help: write retries = 2, or retries = { count = 2, delay = "1s" }

        error: `outputs.n` must be a table
          --> x.toml:15:17
           |
        15 | outputs = { n = "integer" }
           |                 ^^^^^^^^^ this is a string
           |
           = help: write n = { type = "string" }

        error: `allow_failure` must be true or false
          --> x.toml:16:17
           |
        16 | allow_failure = 1
           |                 ^ this is an integer
           |
           = help: write allow_failure = true, without quotes
        "#);
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(task(r#"
command = []
trigger = "all_sucess"
timeout = "0s"
grace = "soon"
retries = { count = -1, delay = "10m", max_delay = "5m", backoff = "linear" }
cwd = " "
shell = "bash -e"
outputs = { two-words = { type = "int" }, x = {} }
"#), @r#"
        error: `command` names no program
         --> x.toml:7:11
          |
        7 | command = []
          |           ^^
          |
          = help: write command = ["cargo", "test"]

        error: `all_sucess` is not a trigger
         --> x.toml:8:11
          |
        8 | trigger = "all_sucess"
          |           ^^^^^^^^^^^^ did you mean "all_success"?

        error: `timeout` is not a time
         --> x.toml:9:11
          |
        9 | timeout = "0s"
          |           ^^^^ must be longer than nothing
          |
          = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        error: `grace` is not a time
          --> x.toml:10:9
           |
        10 | grace = "soon"
           |         ^^^^^^
           |
           = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        error: `count` must be from 0 to 4294967295
          --> x.toml:11:21
           |
        11 | retries = { count = -1, delay = "10m", max_delay = "5m", backoff = "linear" }
           |                     ^^
           |
           = help: write count = 3

        error: `max_delay` is shorter than `delay`
          --> x.toml:11:52
           |
        11 | retries = { count = -1, delay = "10m", max_delay = "5m", backoff = "linear" }
           |                                                    ^^^^
           |
           = help: make it as long at least

        error: `linear` is not a backoff
          --> x.toml:11:68
           |
        11 | retries = { count = -1, delay = "10m", max_delay = "5m", backoff = "linear" }
           |                                                                    ^^^^^^^^
           |
           = help: there are fixed and exponential

        error: `cwd` is empty
          --> x.toml:12:7
           |
        12 | cwd = " "
           |       ^^^
           |
           = help: write cwd = "sub/directory"

        error: `shell` is one program, without arguments
          --> x.toml:13:9
           |
        13 | shell = "bash -e"
           |         ^^^^^^^^^
           |
           = help: write shell = "bash", and `set -eu` or the like in the script

        error: `two-words` cannot be the name of an output
          --> x.toml:14:13
           |
        14 | outputs = { two-words = { type = "int" }, x = {} }
           |             ^^^^^^^^^ did you mean `two_words`?
           |
           = help: use letters, digits and `_`, no digit first, at most 64

        error: `int` is not a type
          --> x.toml:14:34
           |
        14 | outputs = { two-words = { type = "int" }, x = {} }
           |                                  ^^^^^ did you mean "integer"?

        error: `outputs.x` has no type
          --> x.toml:14:47
           |
        14 | outputs = { two-words = { type = "int" }, x = {} }
           |                                               ^^
           |
           = help: add type = "string"
        "#);
}

#[test]
fn env_and_secrets() {
    insta::assert_snapshot!(task(r#"
script = "true"
[tasks.env]
"" = "x"
"A=B" = "x"
CIS_HOME = "x"
TOKEN = "open"
N = "a\u0000b"
[tasks.secrets]
TOKEN = { env = "TOKEN" }
A = "hunter2"
B = { env = "X", file = "y" }
C = {}
D = { vault = "x" }
"#), @r#"
        error: "" cannot be the name of a variable
         --> x.toml:9:1
          |
        9 | "" = "x"
          | ^^ it is empty
          |
          = help: write env = { NAME = "value" }

        error: `A=B` cannot be the name of a variable
          --> x.toml:10:1
           |
        10 | "A=B" = "x"
           | ^^^^^ it holds `=`
           |
           = help: use letters, digits and `_`

        error: `CIS_HOME` cannot be the name of a variable
          --> x.toml:11:1
           |
        11 | CIS_HOME = "x"
           | ^^^^^^^^ names that start with CIS_ are set by CIS
           |
           = help: choose another name

        error: `env.N` holds a NUL character
          --> x.toml:13:5
           |
        13 | N = "a\u0000b"
           |     ^^^^^^^^^^ no argument, variable or path can hold one
           |
           = help: leave \u0000 out

        error: variable `TOKEN` is set twice
          --> x.toml:15:9
           |
        15 | TOKEN = { env = "TOKEN" }
           |         ^^^^^^^^^^^^^^^^^ here as a secret
           |
          ::: x.toml:12:9
           |
        12 | TOKEN = "open"
           |         ------ and here in the open

        error: `secrets.A` must say where its value is, not what it is
          --> x.toml:16:5
           |
        16 | A = "hunter2"
           |     ^^^^^^^^^
           |
           = help: write A = { env = "A" } or A = { file = "path" }

        error: `secrets.B` has both env and file
          --> x.toml:17:5
           |
        17 | B = { env = "X", file = "y" }
           |     ^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: write B = { env = "B" } or B = { file = "path" }

        error: `secrets.C` does not say where its value is
          --> x.toml:18:5
           |
        18 | C = {}
           |     ^^
           |
           = help: write C = { env = "C" } or C = { file = "path" }

        error: `secrets.D` does not say where its value is
          --> x.toml:19:5
           |
        19 | D = { vault = "x" }
           |     ^^^^^^^^^^^^^^^
           |
           = help: write D = { env = "D" } or D = { file = "path" }

        error: unknown key `vault` in a secret
          --> x.toml:19:7
           |
        19 | D = { vault = "x" }
           |       ^^^^^
           |
           = help: a secret has env and file
        "#);
}

#[test]
fn a_secret_comes_from_a_variable_that_runs_get() {
    let keys = "script = 'true'\nsecrets = { TOKEN = { env = \"CIS_API_TOKEN\" } }";
    insta::assert_snapshot!(task(keys), @r#"
        error: `secrets.TOKEN` comes from `CIS_API_TOKEN`, a variable that no run gets
         --> x.toml:7:29
          |
        7 | secrets = { TOKEN = { env = "CIS_API_TOKEN" } }
          |                             ^^^^^^^^^^^^^^^ variables that start with CIS_ stay with the command
          |
          = help: use a variable with another name, or file = "path"
        "#);
    let text = format!("{HEAD}[[tasks]]\nid = \"t\"\n{keys}\n");
    let accepted = crate::dag::parse_accepted(text.as_bytes(), "x.toml");
    assert!(accepted.is_ok(), "an earlier version may have started it: {accepted:?}");
}
