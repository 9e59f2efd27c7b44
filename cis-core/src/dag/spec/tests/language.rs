//! Conditions, items, approvals, caches, groups and handlers.

use serde_json::json;

use super::{HEAD, file, right, task};
use crate::dag::{Approval, Cache, CacheKey, Foreach, Group, Handlers, RetryOn, ValueType};
use crate::ids::TaskId;

#[test]
fn the_keys_that_most_tasks_do_without_are_read() {
    let dag = right(
        r#"
version = 1

[dag]
id = "d"
params = { zones = { type = "list", default = ["a", { b = 1 }] } }

[dag.groups]
account = { limit = 2, frees_when_blocked = true }
lock = { limit = 1 }

[dag.defaults]
priority = -1
idle = "5m"
concurrency = { group = "account" }
retries = { count = 2, on = ["exit:75", "timeout"] }

[dag.on]
failure = "report"
always = "clean"

[[tasks]]
id = "plan"
script = "plan"
outputs = { regions = { type = "list" }, n = { type = "integer" }, ok = { type = "boolean" }, any = { type = "json" } }
inputs = ["src/**", "Cargo.lock"]
artifacts = ["out/**"]
cache = { ttl = "7d" }

[[tasks]]
id = "deploy"
needs = ["plan"]
if = "tasks.plan.outputs.n > 0"
foreach = "tasks.plan.outputs.regions"
approval = { prompt = "Deploy {{ tasks.plan.outputs.n }}?", timeout = "1d" }
command = ["deploy", "{{ item }}", "{{ item.name }}", "{{ tasks.plan.output }}"]
outputs = { url = { type = "string" } }
priority = 5
concurrency = { group = "lock" }
cache = { key = "{{ item }} {{ params.zones[0] }}" }

[[tasks]]
id = "all"
needs = ["deploy"]
if = "tasks.plan.outputs.ok"
foreach = "tasks.deploy.outputs.url"
script = "echo {{ item }} {{ tasks.deploy.outputs.url | join(',') }}"
retries = { on = ["signal", "error", "outputs", "signal"] }
cache = false

[[tasks]]
id = "each"
foreach = [1, 0.5, "x", true, [2], { a = 1979-05-27 }]
script = "echo {{ item }}"
cache = true
inputs = []

[[tasks]]
id = "nothing"
foreach = []
if = "true"
script = "true"

[[tasks]]
id = "report"
if = "tasks.plan.outputs.any | default(false)"
script = "echo {{ tasks.deploy.outputs.url | default('none') }} {{ tasks.plan.output | default('') }}"

[[tasks]]
id = "clean"
script = "true"
"#,
    );
    let id = |name: &str| TaskId::new(name).unwrap();
    let on = Handlers { failure: Some(id("report")), always: Some(id("clean")), ..Handlers::default() };
    assert_eq!(dag.on, on);
    let group = |limit, frees_when_blocked| Group { limit, frees_when_blocked };
    assert_eq!((dag.groups["account"], dag.groups["lock"]), (group(2, true), group(1, false)));
    assert_eq!(dag.params["zones"].default, Some(json!(["a", { "b": 1 }])));

    let [plan, deploy, all, each, nothing, _, clean] = &dag.tasks[..] else { panic!("seven tasks") };
    assert_eq!(plan.outputs["regions"], ValueType::List);
    assert_eq!((plan.inputs.len(), plan.artifacts.as_slice()), (2, ["out/**".to_owned()].as_slice()));
    assert_eq!(plan.cache, Some(Cache { key: CacheKey::Auto, ttl_ms: Some(7 * 24 * 3_600_000) }));
    assert_eq!((plan.priority, plan.idle_ms, plan.group.as_deref()), (-1, Some(300_000), Some("account")));
    assert_eq!(plan.retries.on, [RetryOn::Exit(75), RetryOn::Timeout]);

    assert_eq!(deploy.condition.as_deref(), Some("tasks.plan.outputs.n > 0"));
    assert_eq!(deploy.foreach, Some(Foreach::Expression("tasks.plan.outputs.regions".into())));
    let prompt = "Deploy {{ tasks.plan.outputs.n }}?".into();
    assert_eq!(deploy.approval, Some(Approval { prompt, timeout_ms: Some(24 * 3_600_000), allowed: None }));
    assert_eq!((deploy.priority, deploy.group.as_deref()), (5, Some("lock")));
    let key = CacheKey::Text("{{ item }} {{ params.zones[0] }}".into());
    assert_eq!(deploy.cache, Some(Cache { key, ttl_ms: None }));

    assert_eq!((all.cache.as_ref(), all.retries.count), (None, 2));
    assert_eq!(all.retries.on, [RetryOn::Signal, RetryOn::Error, RetryOn::Outputs]);
    let items = vec![json!(1), json!(0.5), json!("x"), json!(true), json!([2]), json!({ "a": "1979-05-27" })];
    assert_eq!(each.foreach, Some(Foreach::Items(items)));
    assert_eq!(each.cache, Some(Cache { key: CacheKey::Auto, ttl_ms: None }));
    assert_eq!(nothing.foreach, Some(Foreach::Items(Vec::new())));
    assert!(clean.approval.is_none() && clean.condition.is_none());
}

#[test]
fn an_approval_says_who_decides_it() {
    let with = |allowed: &str| {
        task(&format!("approval = {{ prompt = \"?\", allowed = {allowed} }}\nscript = \"true\""))
    };
    let good = "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"a\"\nscript = \"true\"\napproval = { prompt = \"?\", allowed = [\"pl>=50\", \"@ann:example.org\"] }\n";
    let dag = crate::dag::parse(good.as_bytes(), "x.toml").unwrap();
    let allowed = dag.tasks[0].approval.as_ref().unwrap().allowed.clone().unwrap();
    assert_eq!(Vec::<String>::from(*allowed), ["pl>=50", "@ann:example.org"]);
    insta::assert_snapshot!(
        [with("[\"pl>=50\", \"ann\", 7]"), with("[]"), with("\"@ann:example.org\"")].join("\n\n----\n"),
        @r#"
        error: `ann` names nobody: use "@ann:example.org", "*:example.org", "pl>=50", or "*" for everybody in the room
         --> x.toml:6:49
          |
        6 | approval = { prompt = "?", allowed = ["pl>=50", "ann", 7] }
          |                                                 ^^^^^

        error: `allowed` must be a string
         --> x.toml:6:56
          |
        6 | approval = { prompt = "?", allowed = ["pl>=50", "ann", 7] }
          |                                                        ^ this is an integer
          |
          = help: write it in quotes: "7"

        ----
        error: nobody could decide: the list is empty: name at least one, such as "pl>=50" or "@ann:example.org"
         --> x.toml:6:38
          |
        6 | approval = { prompt = "?", allowed = [] }
          |                                      ^^

        ----
        error: `allowed` must be an array of strings
         --> x.toml:6:38
          |
        6 | approval = { prompt = "?", allowed = "@ann:example.org" }
          |                                      ^^^^^^^^^^^^^^^^^^ this is a string
          |
          = help: write allowed = ["@ann:example.org"]
        "#
    );
}

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

        error: `{{ item }}` cannot be a glob of `artifacts`
         --> x.toml:6:43
          |
        6 | artifacts = ["/etc/passwd", "../x", "a[", "{{ item }}"]
          |                                           ^^^^^^^^^^^^ globs are no templates
          |
          = help: use `*`, or a `cwd` with the value in it

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
fn groups_and_handlers() {
    let work = "[[tasks]]\nid = \"work\"\nscript = \"true\"\noutputs = { n = { type = \"integer\" } }\n";
    let said: Vec<String> = [
        "groups = { a = {}, \"b c\" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }",
        "on = { failure = \"reprot\", success = \"\", blocked = \"report\" }\n[[tasks]]\nid = \"report\"\nscript = \"true\"",
        "on = { failure = \"report\", always = \"report\" }\n[[tasks]]\nid = \"report\"\nscript = \"true\"",
        "on = { failure = \"report\" }\n[[tasks]]\nid = \"report\"\nneeds = [\"work\"]\nforeach = [1]\napproval = { prompt = \"?\" }\nscript = \"true\"",
        "on = { failure = \"report\" }\n[[tasks]]\nid = \"report\"\nscript = \"true\"\n[[tasks]]\nid = \"x\"\nneeds = [\"report\"]\nscript = \"true\"",
        "on = { failure = \"report\" }\n[[tasks]]\nid = \"report\"\nscript = \"{{ tasks.work.outputs.n }}\"",
        "on = { failure = \"work\" }",
    ]
    .map(|dag| file(&format!("{HEAD}{dag}\n{work}")))
    .into();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: `groups.a` has no limit
         --> x.toml:4:12
          |
        4 | groups = { a = {}, "b c" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }
          |            ^
          |
          = help: add limit = 1

        error: `b c` cannot be the id of a group
         --> x.toml:4:20
          |
        4 | groups = { a = {}, "b c" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }
          |                    ^^^^^
          |
          = help: use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit first

        error: `limit` must be from 1 to 4294967295
         --> x.toml:4:38
          |
        4 | groups = { a = {}, "b c" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }
          |                                      ^
          |
          = help: write limit = 3

        error: unknown key `frees` in a group
         --> x.toml:4:60
          |
        4 | groups = { a = {}, "b c" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }
          |                                                            ^^^^^ did you mean `frees_when_blocked`?

        error: `groups.e` must be a table
         --> x.toml:4:80
          |
        4 | groups = { a = {}, "b c" = { limit = 0 }, d = { limit = 1, frees = true }, e = 3 }
          |                                                                                ^ this is an integer
          |
          = help: write e = { limit = 1 }

        ----
        error: no task has the id `reprot`
         --> x.toml:4:18
          |
        4 | on = { failure = "reprot", success = "", blocked = "report" }
          |                  ^^^^^^^^ did you mean "report"?

        error: `success` is empty
         --> x.toml:4:38
          |
        4 | on = { failure = "reprot", success = "", blocked = "report" }
          |                                      ^^
          |
          = help: write success = "report"

        ----
        error: task `report` is named twice in [dag.on]
         --> x.toml:4:37
          |
        4 | on = { failure = "report", always = "report" }
          |                                     ^^^^^^^^ a task is for one of these
          |
         ::: x.toml:4:18
          |
        4 | on = { failure = "report", always = "report" }
          |                  -------- the first one is here
          |
          = help: name it in `always` alone, or add a task that does the same

        ----
        error: task `report` of [dag.on] cannot have needs
         --> x.toml:7:10
          |
        7 | needs = ["work"]
          |          ^^^^^^ it runs by itself, not after others
          |
         ::: x.toml:4:18
          |
        4 | on = { failure = "report" }
          |                  -------- it is named here
          |
          = help: leave it out

        error: task `report` of [dag.on] cannot have foreach
         --> x.toml:8:11
          |
        8 | foreach = [1]
          |           ^^^ it runs by itself, not after others
          |
         ::: x.toml:4:18
          |
        4 | on = { failure = "report" }
          |                  -------- it is named here
          |
          = help: leave it out

        error: task `report` of [dag.on] cannot have an approval
         --> x.toml:9:23
          |
        9 | approval = { prompt = "?" }
          |                       ^^^ it runs by itself, not after others
          |
         ::: x.toml:4:18
          |
        4 | on = { failure = "report" }
          |                  -------- it is named here
          |
          = help: leave it out

        ----
        error: no task can need `report`
          --> x.toml:10:10
           |
        10 | needs = ["report"]
           |          ^^^^^^^^ [dag.on] names it: it runs by itself
           |
           = help: leave this need out

        ----
        error: the other task may not have run
         --> x.toml:7:14
          |
        7 | script = "{{ tasks.work.outputs.n }}"
          |              ^^^^^^^^^^^^^^^^^^^^ this task is named in [dag.on]
          |
          = help: add what holds then: … | default("none")

        ----
        error: there are no tasks but those of [dag.on]
         --> x.toml:4:18
          |
        4 | on = { failure = "work" }
          |                  ^^^^^^
          |
          = help: add a task that does the work
        "#);
}

#[test]
fn what_is_too_long_is_said_without_showing_it() {
    let long = "x".repeat(1024 * 1024);
    let many = "1,".repeat(10_001);
    let heavy = format!("\"{long}\",").repeat(5);
    let id = "t".repeat(60);
    let said: Vec<String> = [
        task(&format!("script = \"true\"\nif = \"{long}\"")),
        task(&format!("script = \"true\"\nforeach = \"{long}\"")),
        task(&format!("script = \"true\"\nforeach = [{many}]")),
        task(&format!("script = \"true\"\nforeach = [{heavy}]")),
        task(&format!("script = \"true\"\napproval = {{ prompt = \"{long}\" }}")),
        task(&format!("script = \"true\"\ncache = {{ key = \"{long}\" }}")),
        task(&format!("script = \"true\"\nartifacts = [\"{long}\"]")),
        task(&format!("script = \"true\"\nconcurrency = {{ group = \"{long}\" }}")),
        file(&format!("{HEAD}[[tasks]]\nid = \"{id}\"\nscript = \"true\"\nforeach = [1]\n")),
    ]
    .into();
    assert!(said.iter().all(|text| text.len() < 2000));
    let first_lines: Vec<&str> = said.iter().map(|text| text.lines().next().unwrap()).collect();
    insta::assert_snapshot!(first_lines.join("\n"), @r#"
        error: `if` is 1048576 bytes long, and 65536 are the most
        error: `foreach` is 1048576 bytes long, and 65536 are the most
        error: `foreach` has 10001 items, and 10000 are the most
        error: the items of `foreach` are 5242880 bytes long, and 4194304 are the most
        error: `prompt` is 1048576 bytes long, and 65536 are the most
        error: `key` is 1048576 bytes long, and 65536 are the most
        error: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` cannot be a glob of `artifacts`
        error: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` cannot be the id of a group
        error: the id of a task with foreach has at most 58 characters
        "#);
}
