//! `version`, `[dag]` and parameters.

use std::collections::BTreeMap;

use serde_json::json;

use super::{HEAD, file, right};
use crate::dag::resolve_params;

#[test]
fn heads() {
    let tasks = "[[tasks]]\nid = \"t\"\nscript = \"true\"\n";
    let said: Vec<String> = [
        "".to_owned(),
        tasks.to_owned(),
        format!("version = 2\nfuture = true\n{tasks}"),
        format!("version = \"1\"\n[dag]\nmax_parallel = 0\ntimeout = \"11years\"\n{tasks}"),
        format!("version = 1\n[dag]\nid = \"my dag\"\n{tasks}"),
        format!("{HEAD}[tasks]\nid = \"t\"\n"),
        format!("tasks = []\n{HEAD}"),
        format!("tasks = [1]\n{HEAD}"),
    ]
    .iter()
    .map(|text| file(text))
    .collect();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: the file does not say its version
         --> x.toml:1:1
          |
        1 |
          | ^
          |
          = help: add version = 1 at its top

        error: the file has no [dag]
         --> x.toml:1:1
          |
        1 |
          | ^
          |
          = help: add [dag] with id = "name-of-this-dag"

        error: the file has no tasks
         --> x.toml:1:1
          |
        1 |
          | ^
          |
          = help: add [[tasks]] with id = "hello" and command = ["echo", "hello"]

        ----
        error: the file does not say its version
         --> x.toml:1:1
          |
        1 | [[tasks]]
          | ^
          |
          = help: add version = 1 at its top

        error: the file has no [dag]
         --> x.toml:1:1
          |
        1 | [[tasks]]
          | ^
          |
          = help: add [dag] with id = "name-of-this-dag"

        ----
        error: this version of the format is not known here
         --> x.toml:1:11
          |
        1 | version = 2
          |           ^
          |
          = help: write version = 1, or use a newer cis

        ----
        error: `version` must be 1, without quotes
         --> x.toml:1:11
          |
        1 | version = "1"
          |           ^^^
          |
          = help: write version = 1

        error: [dag] has no id
         --> x.toml:2:1
          |
        2 | [dag]
          | ^^^^^
          |
          = help: add id = "name-of-this-dag"

        error: `max_parallel` must be from 1 to 4294967295
         --> x.toml:3:16
          |
        3 | max_parallel = 0
          |                ^
          |
          = help: write max_parallel = 3

        error: `timeout` is not a time
         --> x.toml:4:11
          |
        4 | timeout = "11years"
          |           ^^^^^^^^^ longer than ten years
          |
          = help: write `500ms`, `30s`, `5m`, `2h` or `1h 30m`

        ----
        error: `my dag` cannot be the id of a DAG
         --> x.toml:3:6
          |
        3 | id = "my dag"
          |      ^^^^^^^^
          |
          = help: use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit first

        ----
        error: `tasks` is one table, not a list
         --> x.toml:4:1
          |
        4 | [tasks]
          | ^^^^^^^
          |
          = help: write [[tasks]], with two brackets

        ----
        error: there are no tasks in it
         --> x.toml:1:9
          |
        1 | tasks = []
          |         ^^
          |
          = help: write [[tasks]] before the keys of each task

        ----
        error: `each of tasks` must be a table
         --> x.toml:1:10
          |
        1 | tasks = [1]
          |          ^ this is an integer
          |
          = help: write [[tasks]] before the keys of each task
        "#);
}

#[test]
fn params_and_their_defaults() {
    insta::assert_snapshot!(file(r#"
version = 1
[dag]
id = "d"
[dag.params]
a = { type = "integer", default = "3" }
b = { default = "main" }
c = { type = "text" }
d = { type = "number", default = nan }
e-f = { type = "boolean", default = "true" }
g = { type = "integer", default = 99999999999999999999 }
h = "string"
i = { type = "string", default = 1, required = true }
[[tasks]]
id = "t"
script = "true"
"#), @r#"
        error: the default of `params.a` must be an integer of 64 bits
         --> x.toml:6:35
          |
        6 | a = { type = "integer", default = "3" }
          |                                   ^^^ its type is integer
          |
          = help: write default = 3, or change the type

        error: `params.b` has no type
         --> x.toml:7:5
          |
        7 | b = { default = "main" }
          |     ^^^^^^^^^^^^^^^^^^^^
          |
          = help: add type = "string"

        error: `text` is not a type
         --> x.toml:8:14
          |
        8 | c = { type = "text" }
          |              ^^^^^^
          |
          = help: there are string, integer, number, boolean and list

        error: the default of `params.d` must be a number that is neither inf nor nan
         --> x.toml:9:34
          |
        9 | d = { type = "number", default = nan }
          |                                  ^^^ its type is number
          |
          = help: write default = 0.5, or change the type

        error: `e-f` cannot be the name of a parameter
          --> x.toml:10:1
           |
        10 | e-f = { type = "boolean", default = "true" }
           | ^^^ did you mean `e_f`?
           |
           = help: use letters, digits and `_`, no digit first, at most 64

        error: the default of `params.e-f` must be true or false
          --> x.toml:10:37
           |
        10 | e-f = { type = "boolean", default = "true" }
           |                                     ^^^^^^ its type is boolean
           |
           = help: write default = true, or change the type

        error: the default of `params.g` must be an integer of 64 bits
          --> x.toml:11:35
           |
        11 | g = { type = "integer", default = 99999999999999999999 }
           |                                   ^^^^^^^^^^^^^^^^^^^^ its type is integer
           |
           = help: write default = 3, or change the type

        error: `params.h` must be a table
          --> x.toml:12:5
           |
        12 | h = "string"
           |     ^^^^^^^^ this is a string
           |
           = help: write h = { type = "string" }

        error: the default of `params.i` must be a string
          --> x.toml:13:34
           |
        13 | i = { type = "string", default = 1, required = true }
           |                                  ^ its type is string
           |
           = help: write default = "text", or change the type

        error: unknown key `required` in a parameter
          --> x.toml:13:37
           |
        13 | i = { type = "string", default = 1, required = true }
           |                                     ^^^^^^^^
           |
           = help: a parameter has type, default and description
        "#);
}

#[test]
fn params_are_typed_as_declared() {
    let dag = right(&format!(
        "{HEAD}[dag.params]\nzone.type = \"string\"\ncount = {{ type = \"integer\", default = 3 }}\nall.type = \"boolean\"\n\
         share = {{ type = \"number\", default = 0.5 }}\n[[tasks]]\nid = \"t\"\nscript = \"true\"\n"
    ));
    let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let values = resolve_params(&dag, &given(&[("zone", " a=b "), ("all", "true"), ("share", "2")])).unwrap();
    assert_eq!(json!(values), json!({ "zone": " a=b ", "count": 3, "all": true, "share": 2 }));
    let wrong = given(&[("zoen", "x"), ("count", "many"), ("all", "yes"), ("share", "NaN")]);
    insta::assert_snapshot!(resolve_params(&dag, &wrong).unwrap_err().join("\n"), @r#"
        no parameter `zoen`: did you mean `zone`?
        parameter `zone` is missing: give --param zone=…
        parameter `count` cannot be `many`: expected an integer, such as 3 (64 bits, no fraction)
        parameter `all` cannot be `yes`: expected true or false
        parameter `share` cannot be `NaN`: expected a number, such as 0.5
        "#);
}
