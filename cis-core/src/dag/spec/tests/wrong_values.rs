//! Values of conditions, items, approvals and caches that are wrong, and what is said of them.

use super::task;

#[test]
fn wrong_values() {
    let said: Vec<String> = [
        "if = true",
        "if = \" \"",
        "foreach = 3",
        "foreach = [inf]",
        "foreach = [\"a\\u0000\"]",
        "foreach = [99999999999999999999]",
        "approval = \"Deploy?\"",
        "approval = { timeout = \"1d\" }",
        "approval = { prompt = \"?\", who = [\"a\"], timeout = 5 }",
        "artifacts = \"out\"",
        "artifacts = [\"/etc/passwd\", \"../x\", \"a[\", \"{{ item }}\"]",
        "cache = true",
        "cache = { key = \"auto\", ttl = \"0s\" }",
        "cache = \"auto\"",
        "concurrency = \"account\"",
        "concurrency = {}",
        "concurrency = { group = \"a b\" }",
        "priority = 1.5",
        "priority = 99999999999",
        "idle = \"soon\"",
        "retries = { on = [\"exit:0\", \"exit:x\", \"time\", 75] }",
        "retries = { on = [] }",
        "outputs = { n = { type = \"array\" } }",
    ]
    .map(|keys| task(&format!("{keys}\nscript = \"true\"")))
    .into();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: `if` must be a string
         --> x.toml:6:6
          |
        6 | if = true
          |      ^^^^ this is a boolean
          |
          = help: write it in quotes: "true"

        ----
        error: `if` is empty
         --> x.toml:6:6
          |
        6 | if = " "
          |      ^^^
          |
          = help: write if = "tasks.test.outputs.failed > 0"

        ----
        error: `foreach` must be a list or an expression in quotes
         --> x.toml:6:11
          |
        6 | foreach = 3
          |           ^
          |
          = help: write foreach = ["eu", "us"], or foreach = "tasks.plan.outputs.regions"

        ----
        error: `foreach` holds inf or nan, which no JSON has
         --> x.toml:6:12
          |
        6 | foreach = [inf]
          |            ^^^
          |
          = help: write it as a string

        ----
        error: `foreach` holds a NUL character
         --> x.toml:6:12
          |
        6 | foreach = ["a\u0000"]
          |            ^^^^^^^^^ no argument, variable or path can hold one
          |
          = help: leave \u0000 out

        ----
        error: `foreach` holds an integer that does not fit 64 bits
         --> x.toml:6:12
          |
        6 | foreach = [99999999999999999999]
          |            ^^^^^^^^^^^^^^^^^^^^
          |
          = help: write it as a string

        ----
        error: `approval` must be a table
         --> x.toml:6:12
          |
        6 | approval = "Deploy?"
          |            ^^^^^^^^^ this is a string
          |
          = help: write approval = { prompt = "Deploy?" }

        ----
        error: `approval` does not say what is asked
         --> x.toml:6:12
          |
        6 | approval = { timeout = "1d" }
          |            ^^^^^^^^^^^^^^^^^^
          |
          = help: write approval = { prompt = "Deploy?" }

        ----
        error: unknown key `who` in `approval`
         --> x.toml:6:28
          |
        6 | approval = { prompt = "?", who = ["a"], timeout = 5 }
          |                            ^^^
          |
          = help: `approval` has prompt, timeout and allowed

        error: `timeout` must be a time with its unit, as a string
         --> x.toml:6:51
          |
        6 | approval = { prompt = "?", who = ["a"], timeout = 5 }
          |                                                   ^ this is an integer
          |
          = help: write timeout = "5s" for seconds, or another unit: `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        ----
        error: `artifacts` must be an array of strings
         --> x.toml:6:13
          |
        6 | artifacts = "out"
          |             ^^^^^ this is a string
          |
          = help: write artifacts = ["out"]

        ----
        error: `/etc/passwd` cannot be a glob of `artifacts`
         --> x.toml:6:14
          |
        6 | artifacts = ["/etc/passwd", "../x", "a[", "{{ item }}"]
          |              ^^^^^^^^^^^^^ it is an absolute path
          |
          = help: write it relative to the task's directory

        error: `../x` cannot be a glob of `artifacts`
         --> x.toml:6:29
          |
        6 | artifacts = ["/etc/passwd", "../x", "a[", "{{ item }}"]
          |                             ^^^^^^ it leaves the task's directory
          |
          = help: leave out `..`, or set `cwd`

        error: `a[` cannot be a glob of `artifacts`
         --> x.toml:6:37
          |
        6 | artifacts = ["/etc/passwd", "../x", "a[", "{{ item }}"]
          |                                     ^^^^ unclosed character class; missing ']'
          |
          = help: see the guide for what globs can hold

        error: this task has no `item`
         --> x.toml:6:47
          |
        6 | artifacts = ["/etc/passwd", "../x", "a[", "{{ item }}"]
          |                                               ^^^^
          |
          = help: add foreach = ["a", "b"] to it

        ----
        error: this cache does not know what the result depends on
         --> x.toml:6:9
          |
        6 | cache = true
          |         ^^^^ "auto" needs `inputs`
          |
          = help: add inputs = ["src/**"]; [] if it reads no files; or write key = "a text with {{ … }}"

        ----
        error: this cache does not know what the result depends on
         --> x.toml:6:17
          |
        6 | cache = { key = "auto", ttl = "0s" }
          |                 ^^^^^^ "auto" needs `inputs`
          |
          = help: add inputs = ["src/**"]; [] if it reads no files; or write key = "a text with {{ … }}"

        error: `ttl` is not a time
         --> x.toml:6:31
          |
        6 | cache = { key = "auto", ttl = "0s" }
          |                               ^^^^ must be longer than nothing
          |
          = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        ----
        error: `cache` must be a table
         --> x.toml:6:9
          |
        6 | cache = "auto"
          |         ^^^^^^ this is a string
          |
          = help: write cache = true, or cache = { key = "auto", ttl = "7d" }

        ----
        error: `concurrency` must be a table
         --> x.toml:6:15
          |
        6 | concurrency = "account"
          |               ^^^^^^^^^ this is a string
          |
          = help: write concurrency = { group = "name" }

        ----
        error: `concurrency` names no group
         --> x.toml:6:15
          |
        6 | concurrency = {}
          |               ^^
          |
          = help: write concurrency = { group = "name" }

        ----
        error: `a b` cannot be the id of a group
         --> x.toml:6:25
          |
        6 | concurrency = { group = "a b" }
          |                         ^^^^^
          |
          = help: use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit first

        ----
        error: `priority` must be a whole number
         --> x.toml:6:12
          |
        6 | priority = 1.5
          |            ^^^ this is a float
          |
          = help: write priority = 5

        ----
        error: `priority` must be from -2147483648 to 2147483647
         --> x.toml:6:12
          |
        6 | priority = 99999999999
          |            ^^^^^^^^^^^
          |
          = help: write priority = 5

        ----
        error: `idle` is not a time
         --> x.toml:6:8
          |
        6 | idle = "soon"
          |        ^^^^^^
          |
          = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        ----
        error: `exit:0` is no ending that is tried again
         --> x.toml:6:19
          |
        6 | retries = { on = ["exit:0", "exit:x", "time", 75] }
          |                   ^^^^^^^^
          |
          = help: there are exit:N with N from 1 to 255, timeout, signal, outputs, error, blocked, rate_limit and login

        error: `exit:x` is no ending that is tried again
         --> x.toml:6:29
          |
        6 | retries = { on = ["exit:0", "exit:x", "time", 75] }
          |                             ^^^^^^^^
          |
          = help: there are exit:N with N from 1 to 255, timeout, signal, outputs, error, blocked, rate_limit and login

        error: `time` is no ending that is tried again
         --> x.toml:6:39
          |
        6 | retries = { on = ["exit:0", "exit:x", "time", 75] }
          |                                       ^^^^^^ did you mean "timeout"?

        error: `on` must be a string
         --> x.toml:6:47
          |
        6 | retries = { on = ["exit:0", "exit:x", "time", 75] }
          |                                               ^^ this is an integer
          |
          = help: write it in quotes: "75"

        ----
        error: `on` names no ending
         --> x.toml:6:18
          |
        6 | retries = { on = [] }
          |                  ^^
          |
          = help: leave it out to try again after all of them

        ----
        error: `array` is not a type
         --> x.toml:6:26
          |
        6 | outputs = { n = { type = "array" } }
          |                          ^^^^^^^
          |
          = help: there are string, integer, number, boolean, list and json
        "#);
}
