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
