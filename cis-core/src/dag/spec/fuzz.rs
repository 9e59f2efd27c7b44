//! Nothing that a file can hold makes the reader panic.

use proptest::prelude::*;

use super::parse;

const VALID: &str = r#"version = 1
[dag]
id = "ship"
params = { branch = { type = "string", default = "main", description = "what" }, zones = { type = "list", default = [1, { a = 0.5 }] } }
max_parallel = 8
timeout = "2h"
env = { A = "{{ run.id }}" }
cwd = "."
groups = { account = { limit = 2, frees_when_blocked = true } }
on = { success = "good", failure = "report", cancel = "stopped", always = "clean", blocked = "tell" }
[dag.defaults]
retries = { count = 1, delay = "1s", max_delay = "2s", backoff = "fixed", jitter = false, on = ["exit:75", "timeout"] }
idle = "5m"
grace = "1s"
tty = false
logs = "keep"
shell = "sh"
retry_lost = false
commit = "coordinator"
[[tasks]]
id = "test"
script = """
echo "\u00e4 {{ params.branch }}" \
  $(cat <<EOF
{{ attempt + 1 }}
EOF
) '{{ task.id | raw }}'
"""
outputs = { failed = { type = "integer" }, zones = { type = "list" } }
secrets = { T = { env = "T" }, U = { file = "u" } }
inputs = ["src/**", "{a,b}/*.[ch]"]
cache = { key = "auto", ttl = "7d" }
allow_failure = true
priority = -5
timeout = "1m"
[[tasks]]
id = "fix-it"
needs = ["test"]
trigger = "all_done"
if = "tasks.test.outputs.failed > 0 and 'a' in params.branch"
foreach = "tasks.test.outputs.zones | default([1, \"}}\"])"
approval = { prompt = "Fix {{ tasks.test.outputs.failed }}?", timeout = "1d", allowed = ["pl>=50", "@ann:example.org"] }
command = ["echo", "{{ tasks.test.outputs.failed | default(3) }}", "{{ item.a }} {{ tasks.test.output }}"]
cwd = "{{ dag.id }}"
concurrency = { group = "account" }
tags = ["gpu"]
nodes = ["build-1"]
artifacts = ["out/**"]
cache = { key = "{{ item }}" }
[[tasks]]
id = "all"
needs = ["fix-it"]
foreach = ["a", 1, 1979-05-27T00:00:00Z, [true], { k = 'v' }]
script = "echo {{ item }}"
[[tasks]]
id = "good"
script = "true"
[[tasks]]
id = "report"
script = "echo {{ tasks.test.outputs.failed | default('none') }}"
[[tasks]]
id = "stopped"
script = "true"
on_blocked = { action = "run", run = ["tell", "{{ task.id }}"], kinds = ["question"], notify = ["@{{ params.branch }}"], escalate_after = "5m" }
[[tasks]]
id = "tell"
script = "true"
on_blocked = { action = "ask", deadline = "1h", default = "no {{ attempt }}" }
[[tasks]]
id = "clean"
script = "true"
[[tasks]]
id = "agent"
needs = ["test"]
agent = "gemini"
prompt = "Look at {{ tasks.test.output }}"
[[tasks]]
id = "other"
agent = "my.own"
prompt_file = "prompts/{{ params.branch }}.md"
"#;

/// What is most likely to hit something when put anywhere.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "\"",
    "'",
    "\"\"\"",
    "\\",
    "\\u0000",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    ".",
    "1",
    "-",
    "é",
    "\u{0}",
    "{%",
    "%}",
    "tasks.",
    "params.",
    "| raw",
    "$(",
    "<<EOF\n",
    "`",
    "[[tasks]]\n",
    "needs = [\"test\"]\n",
    "#",
    "item",
    "{{ item }}",
    "tasks.test.output",
    "foreach = [[[1]]]\n",
    "foreach = \"range(9)\"\n",
    "if = \"\"\n",
    "../",
    "exit:",
    "(",
    ")",
    " | default(1)",
];

proptest! {
    // PROPTEST_CASES says how many.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, "x");
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        let _ = parse(text.as_bytes(), "x");
    }

    #[test]
    fn a_right_file_with_pieces_put_in_and_taken_out(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, prop::sample::select(PIECES)), 1..8),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, cut, piece) in edits {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        if let Err(wrong) = parse(&bytes, "x") {
            prop_assert!(!wrong.findings.is_empty());
            prop_assert!(wrong.findings.iter().all(|f| f.line > 0 && f.column > 0 && !f.rendered.is_empty()));
        }
    }
}

#[test]
fn the_file_that_is_changed_is_right() {
    parse(VALID.as_bytes(), "x").unwrap();

    for key in super::keys::every_name() {
        assert!(VALID.contains(&format!("{key} = ")), "it has no {key}");
    }
}
