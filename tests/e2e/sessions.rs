//! Sessions: listing, answering, ending; those of tasks and those created alone.

use super::harness::{Cis, eventually, is_alive};

const ASK: &str = r#"
version = 1
[dag]
id = "ask"
[[tasks]]
id = "ask"
script = 'printf "name? "; read -r name; echo "hello $name" > "$E2E_WORK/answered"'
"#;

#[test]
fn a_session_of_a_task_is_listed_and_answered() {
    let cis = Cis::new();
    let run = cis.start(ASK);
    let session = cis.session_of("ask");
    assert_eq!(session["run"], run.as_str());
    assert!(is_alive(u32::try_from(session["pid"].as_u64().unwrap()).unwrap()));
    let table = cis.ok(["dag", "sessions"]);
    assert!(table.contains("ask"), "{table}");
    cis.unblock(&["ask", "--text", "world"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answered"), "hello world\n");
    assert_eq!(cis.json(&["dag", "sessions"])["items"], serde_json::json!([]), "only live ones are listed");
}

#[test]
fn keys_are_sent_by_name() {
    let cis = Cis::new();
    let run = cis.start(ASK);
    let id = cis.session_of("ask")["id"].as_str().unwrap().to_owned();
    cis.unblock(&[&id, "--keys", "a b Enter"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answered"), "hello ab\n");
    cis.run(["dag", "unblock", &id, "--text", "late"]).expect(3);
    cis.run(["dag", "unblock", "no-such-session", "--text", "x"]).expect(2);
}

#[test]
fn kill_ends_the_tree_and_the_task() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"k\"\n[[tasks]]\nid = \"a\"\nscript = 'sleep 300 & sleep 300'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n";
    let run = cis.start(text);
    cis.session_of("a");
    cis.ok(["dag", "kill", "a"]);
    cis.wait_task(&run, "a", "cancelled");
    cis.wait_task(&run, "b", "cancelled");
    assert!(
        !cis.processes().iter().any(|process| process.command.starts_with("sleep")),
        "{:?}",
        cis.processes()
    );
}

#[test]
fn two_sessions_of_one_name_are_ambiguous() {
    let cis = Cis::new();
    cis.start(ASK);
    cis.session_of("ask");
    cis.start(ASK);
    eventually("two sessions are there", || {
        (cis.json(&["dag", "sessions"])["items"].as_array().unwrap().len() == 2).then_some(())
    });
    let out = cis.run(["dag", "unblock", "ask", "--text", "x"]).expect(2);
    assert!(out.stderr.contains("ambiguous") || out.stderr.contains("several"), "{}", out.stderr);
    assert!(cis.read("answered").is_empty(), "one of the two was answered");
}

fn create(cis: &Cis, command: &[&str]) -> String {
    let arguments: Vec<&str> = ["session", "create", "--json", "--"].iter().chain(command).copied().collect();
    let view = cis.run(arguments).expect(0).json();
    view["id"].as_str().unwrap_or_else(|| panic!("no id in {view}")).to_owned()
}

#[test]
fn a_session_alone_is_created_used_listed_and_terminated() {
    let cis = Cis::new();
    let id = create(&cis, &["sh", "-c", "while read -r line; do echo \"got <$line>\"; done"]);
    let out = cis.run(["session", "exec", &id, "first words", "--wait-for", "got <first.words>"]).expect(0);
    assert!(out.stdout.contains("got <first words>"), "{}", out.stdout);
    let listing = cis.json(&["session", "list"]);
    let pid = u32::try_from(listing["items"][0]["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(listing["items"][0]["id"], id.as_str());
    assert!(is_alive(pid));
    cis.ok(["session", "terminate", &id]);
    eventually("its process is gone", || (!is_alive(pid)).then_some(()));
    assert_eq!(cis.json(&["session", "list"])["items"], serde_json::json!([]));
}

#[test]
fn waiting_for_a_pattern_that_cannot_come_any_more_ends() {
    let cis = Cis::new();
    let id = create(&cis, &["sh", "-c", "read -r line; exit 5"]);
    let out = cis.run(["session", "exec", &id, "x", "--wait-for", "never"]);
    assert_ne!(out.code, Some(0), "{out:?}");
}

#[test]
fn a_session_has_the_directory_and_environment_of_its_creator() {
    let cis = Cis::new().env("MINE", "yes");
    let id =
        create(&cis, &["sh", "-c", "pwd > \"$E2E_WORK/where\"; echo $MINE >> \"$E2E_WORK/where\"; exec cat"]);
    let wanted = format!("{}\nyes\n", cis.work().canonicalize().unwrap().display());
    eventually("it wrote both", || (cis.read("where") == wanted).then_some(()));
    cis.ok(["session", "terminate", &id]);
}

#[test]
fn a_program_that_nobody_reads_is_never_stalled() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"loud\"\n[[tasks]]\nid = \"a\"\nscript = 'head -c 20000000 /dev/zero | tr \"\\\\0\" x; touch \"$E2E_WORK/through\"'\n";
    cis.dag(text, &[]).expect(0);
    assert!(cis.work().join("through").exists());
}
