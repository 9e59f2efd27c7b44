//! Nothing that a file can hold makes the reader panic.

use proptest::prelude::*;

use super::parse;

const VALID: &str = r#"version = 1
[dag]
id = "ship"
params = { branch = { type = "string", default = "main" } }
max_parallel = 8
timeout = "2h"
env = { A = "{{ run.id }}" }
[dag.defaults]
retries = { count = 1, delay = "1s" }
[[tasks]]
id = "test"
script = """
echo "\u00e4 {{ params.branch }}" \
  $(cat <<EOF
{{ attempt + 1 }}
EOF
) '{{ task.id | raw }}'
"""
outputs = { failed = { type = "integer" } }
secrets = { T = { env = "T" } }
[[tasks]]
id = "fix-it"
needs = ["test"]
trigger = "all_done"
command = ["echo", "{{ tasks.test.outputs.failed | default(3) }}"]
cwd = "{{ dag.id }}"
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
}
