//! `cis dag run`: what it runs, in which order, with which values, and the exit code.

use super::harness::{Cis, ulid_in};

#[test]
fn a_run_that_succeeds_exits_with_0_and_one_that_fails_with_1() {
    let cis = Cis::new();
    cis.dag("version = 1\n[dag]\nid = \"good\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[])
        .expect(0);
    let out = cis
        .dag("version = 1\n[dag]\nid = \"bad\"\n[[tasks]]\nid = \"a\"\nscript = \"exit 7\"\n", &[])
        .expect(1);
    let said = format!("{}{}", out.stdout, out.stderr);
    assert!(said.contains('a') && said.contains("exit code 7"), "{said}");
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_ours() {
    let cis = Cis::new();
    let text =
        "version = 1\n[dag]\nid = \"e\"\n[[tasks]]\nid = \"a\"\ncommand = [\"no-such-program-here\"]\n";
    let out = cis.dag(text, &[]).expect(3);
    assert!(format!("{}{}", out.stdout, out.stderr).contains("no-such-program-here"));
}

#[test]
fn needs_come_first_and_what_needs_a_failed_task_does_not_run() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "order"
[[tasks]]
id = "last"
needs = ["left", "right"]
script = "echo last >> $E2E_WORK/order"
[[tasks]]
id = "left"
needs = ["first"]
script = "echo middle >> $E2E_WORK/order"
[[tasks]]
id = "right"
needs = ["first"]
script = "echo middle >> $E2E_WORK/order"
[[tasks]]
id = "first"
script = "echo first >> $E2E_WORK/order"
[[tasks]]
id = "bad"
needs = ["last"]
script = "exit 1"
[[tasks]]
id = "never"
needs = ["bad"]
script = "echo never >> $E2E_WORK/order"
"#;
    let out = cis.dag(text, &["--json"]).expect(1);
    assert_eq!(cis.read("order"), "first\nmiddle\nmiddle\nlast\n");
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert_eq!(cis.task(&run, "never")["state"], "cancelled", "{}", out.stdout);
}

#[test]
fn no_more_than_max_parallel_run_at_a_time() {
    let cis = Cis::new();
    let mut text =
        "version = 1\n[dag]\nid = \"few\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..8 {
        // Each holds a file while it runs and counts those that are there.
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nscript = '''
touch \"$E2E_WORK/held-{n}\"
ls \"$E2E_WORK\" | grep -c '^held-' >> \"$E2E_WORK/counts\"
sleep 0.2
rm \"$E2E_WORK/held-{n}\"
'''\n"
        ));
    }
    cis.dag(&text, &[]).expect(0);
    let counts: Vec<u32> = cis.read("counts").lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(counts.len(), 8);
    assert!(counts.iter().all(|&count| count <= 2), "{counts:?}");
    assert!(counts.contains(&2), "two slots were there, one was used: {counts:?}");
}

const PARAMS: &str = r#"
version = 1
[dag]
id = "params"
params = { name = { type = "string", default = "nobody" }, times = { type = "integer", default = 1 } }
[[tasks]]
id = "say"
tty = false
command = ["sh", "-c", 'printf "%s|" "$@" > "$E2E_WORK/said"', "sh", "{{ params.name }}", "{{ params.times }}"]
"#;

#[test]
fn parameters_have_defaults_types_and_stay_one_argument() {
    let cis = Cis::new();
    cis.dag(PARAMS, &[]).expect(0);
    assert_eq!(cis.read("said"), "nobody|1|");
    cis.dag(PARAMS, &["--param", "name=a b; $(touch pwned) 'x'", "--param", "times=3"]).expect(0);
    assert_eq!(cis.read("said"), "a b; $(touch pwned) 'x'|3|");
    assert!(!cis.work().join("pwned").exists());
    let before = cis.json(&["dag", "list"])["items"].as_array().unwrap().len();
    cis.dag(PARAMS, &["--param", "times=many"]).expect(2);
    cis.dag(PARAMS, &["--param", "nmae=x"]).expect(2);
    assert_eq!(
        cis.json(&["dag", "list"])["items"].as_array().unwrap().len(),
        before,
        "bad values created a run"
    );
}

#[test]
fn values_in_scripts_can_never_become_code() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "quoting"
params = { value = { type = "string" } }
[[tasks]]
id = "say"
tty = false
script = '''
printf '%s\n' {{ params.value }} > "$E2E_WORK/bare"
printf '%s\n' "<{{ params.value }}>" > "$E2E_WORK/quoted"
'''
"#;
    for value in [
        "plain",
        "a  b",
        "$(touch pwned)",
        "`touch pwned`",
        "\"; touch pwned; \"",
        "'; touch pwned; '",
        "*",
        "-n",
    ] {
        cis.dag(text, &["--param", &format!("value={value}")]).expect(0);
        assert_eq!(cis.read("bare"), format!("{value}\n"));
        assert_eq!(cis.read("quoted"), format!("<{value}>\n"));
    }
    assert!(!cis.work().join("pwned").exists());
}

#[test]
fn outputs_reach_later_tasks() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "outputs"
[[tasks]]
id = "make"
script = '''
echo "count=3" >> "$CIS_OUTPUT"
echo "word=two words; \$(false)" >> "$CIS_OUTPUT"
'''
outputs = { count = { type = "integer" }, word = { type = "string" } }
[[tasks]]
id = "use"
needs = ["make"]
tty = false
env = { WORD = "{{ tasks.make.outputs.word }}" }
script = 'echo "$WORD {{ tasks.make.outputs.count }}" > "$E2E_WORK/used"'
"#;
    cis.dag(text, &[]).expect(0);
    assert_eq!(cis.read("used"), "two words; $(false) 3\n");
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert_eq!(cis.task(&run, "make")["outputs"]["count"], 3);
}

#[test]
fn a_declared_output_that_is_missing_or_of_another_type_fails_the_task() {
    let cis = Cis::new();
    for script in ["true", "echo n=three >> $CIS_OUTPUT"] {
        let text = format!(
            "version = 1\n[dag]\nid = \"o\"\n[[tasks]]\nid = \"a\"\nscript = '{script}'\noutputs = {{ n = {{ type = \"integer\" }} }}\n"
        );
        let out = cis.dag(&text, &[]).expect(1);
        assert!(format!("{}{}", out.stdout, out.stderr).contains('n'), "{out:?}");
    }
}

#[test]
fn failed_tries_are_repeated_as_often_as_the_file_says() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "retry"
[[tasks]]
id = "third"
script = 'echo x >> "$E2E_WORK/third"; test $(wc -l < "$E2E_WORK/third") -ge 3'
retries = { count = 3, delay = "10ms", jitter = false }
[[tasks]]
id = "never"
allow_failure = true
script = 'echo x >> "$E2E_WORK/never"; exit 1'
retries = { count = 2, backoff = "fixed", delay = "10ms" }
"#;
    cis.dag(text, &[]).expect(0);
    assert_eq!(cis.read("third").lines().count(), 3);
    assert_eq!(cis.read("never").lines().count(), 3);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert_eq!(cis.task(&run, "third")["attempts"], 3);
    assert_eq!(cis.task(&run, "never")["state"], "completed");
}

#[test]
fn a_task_that_takes_too_long_is_ended_and_fails() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"slow\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"300\"]\ntimeout = \"300ms\"\n";
    let began = std::time::Instant::now();
    let out = cis.dag(text, &[]).expect(1);
    assert!(format!("{}{}", out.stdout, out.stderr).contains("timed out"), "{out:?}");
    assert!(began.elapsed().as_secs() < 10, "it took {:?}", began.elapsed());
}

#[test]
fn a_run_that_takes_too_long_fails() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"slow\"\ntimeout = \"500ms\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"300\"]\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n";
    cis.dag(text, &[]).expect(1);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert_eq!(cis.task(&run, "b")["state"], "cancelled");
}

#[test]
fn triggers_decide_what_runs_after_a_failure() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "triggers"
[[tasks]]
id = "bad"
script = "exit 1"
[[tasks]]
id = "good"
script = "true"
[[tasks]]
id = "on-success"
needs = ["bad", "good"]
script = "touch $E2E_WORK/on-success"
[[tasks]]
id = "on-failure"
needs = ["bad", "good"]
trigger = "one_failed"
script = "touch $E2E_WORK/on-failure"
[[tasks]]
id = "no-failure"
needs = ["good"]
trigger = "one_failed"
script = "touch $E2E_WORK/no-failure"
[[tasks]]
id = "when-done"
needs = ["bad", "good"]
trigger = "all_done"
script = "touch $E2E_WORK/when-done"
[[tasks]]
id = "always"
needs = ["on-success"]
trigger = "always"
script = "touch $E2E_WORK/always"
"#;
    cis.dag(text, &[]).expect(1);
    let ran = |name: &str| cis.work().join(name).exists();
    assert_eq!(
        ["on-success", "on-failure", "no-failure", "when-done", "always"].map(ran),
        [false, true, false, true, true]
    );
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert_eq!(cis.task(&run, "no-failure")["state"], "completed");
    assert_eq!(cis.task(&run, "on-success")["state"], "cancelled");
}

#[test]
fn a_task_has_the_submitters_environment_its_own_and_its_directory() {
    let cis = Cis::new().env("FROM_SUBMITTER", "yes");
    std::fs::create_dir(cis.work().join("below")).unwrap();
    let text = r#"
version = 1
[dag]
id = "env"
[[tasks]]
id = "a"
cwd = "below"
env = { OWN = "mine", FROM_FILE = "1" }
script = 'echo "$FROM_SUBMITTER $OWN $(basename "$PWD") $CIS_TASK_ID" > "$E2E_WORK/env"; env | grep -c ^CIS_TOKEN= >> "$E2E_WORK/env"'
"#;
    cis.dag(text, &[]).expect(0);
    assert_eq!(cis.read("env"), "yes mine below a\n1\n");
}

#[test]
fn a_task_is_on_a_terminal_unless_it_says_otherwise() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "tty"
[[tasks]]
id = "on"
script = 'test -t 0 && test -t 1 && test -t 2 && : < /dev/tty && touch "$E2E_WORK/on"'
[[tasks]]
id = "off"
tty = false
script = 'test ! -t 0 && test ! -t 1 && test ! -t 2 && touch "$E2E_WORK/off"'
"#;
    cis.dag(text, &[]).expect(0);
    assert!(cis.work().join("on").exists() && cis.work().join("off").exists());
}

#[test]
fn a_file_can_come_through_stdin() {
    let cis = Cis::new();
    let file = cis.write(
        "piped.toml",
        "version = 1\n[dag]\nid = \"piped\"\n[[tasks]]\nid = \"a\"\nscript = 'touch $E2E_WORK/ran'\n",
    );
    let mut command = cis.command(["dag", "run", "-"]);
    command.stdin(std::fs::File::open(file).unwrap());
    super::harness::Running::start(command).wait().expect(0);
    assert!(cis.work().join("ran").exists());
}

#[test]
fn outputs_that_are_no_file_fail_the_task_and_hold_nothing_up() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "odd"
[[tasks]]
id = "pipe"
script = 'rm -f "$CIS_OUTPUT"; mkfifo "$CIS_OUTPUT"'
[[tasks]]
id = "link"
script = 'echo stolen=1 > "$E2E_WORK/elsewhere"; ln -sf "$E2E_WORK/elsewhere" "$CIS_OUTPUT"'
"#;
    let run = cis.spawn_dag(text, &[]);
    let out = run.wait_within(std::time::Duration::from_secs(20)).expect(1);
    for task in ["pipe", "link"] {
        let wanted = format!("failed {task} (");
        let line = out.stderr.lines().find(|line| line.contains(&wanted)).unwrap();
        assert!(line.contains("no longer a regular file"), "{line}");
    }
    assert_eq!(cis.status()["running"], true);
}
