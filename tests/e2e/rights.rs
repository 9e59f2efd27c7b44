//! A process in a session has the rights of that session alone: it cannot answer itself.

use super::harness::{Cis, ulid_in};

/// Tries each verb and writes down how it ended.
const TRIES: &str = r#"
version = 1
[dag]
id = "sly"
[[tasks]]
id = "other"
script = 'echo private words; read -r x'
[[tasks]]
id = "sly"
tty = false
script = '''
while ! "$E2E_CIS" node status > "$E2E_WORK/status" 2>&1; do sleep 0.05; done
while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done
try() { "$@" > "$E2E_WORK/said" 2>&1; echo "$? $*" >> "$E2E_WORK/tries"; cat "$E2E_WORK/said" >> "$E2E_WORK/all-said"; }
try "$E2E_CIS" dag cancel "$CIS_RUN_ID"
try "$E2E_CIS" dag pause "$CIS_RUN_ID"
try "$E2E_CIS" dag unblock other --text hello
try "$E2E_CIS" dag kill other
try "$E2E_CIS" dag logs other
try "$E2E_CIS" session create -- true
try "$E2E_CIS" node stop
try "$E2E_CIS" store gc
try "$E2E_CIS" identity rotate
try "$E2E_CIS" identity show
try "$E2E_CIS" identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
try "$E2E_CIS" store backup "$E2E_WORK/keys.tar"
try "$E2E_CIS" --home "$E2E_WORK/other" store restore --force "$E2E_WORK/keys.tar"
try "$E2E_CIS" store rebuild
try env -u CIS_TOKEN "$E2E_CIS" store backup "$E2E_WORK/keys.tar"
try env -u CIS_TOKEN "$E2E_CIS" dag cancel "$CIS_RUN_ID"
try env CIS_TOKEN=0000 "$E2E_CIS" dag cancel "$CIS_RUN_ID"
try env -u CIS_TOKEN -u CIS_SOCKET -u CIS_ATTEMPT -u CIS_RUN_ID setsid "$E2E_CIS" dag unblock other --text hello
'''
"#;

#[test]
fn a_session_that_answers_cancels_or_reads_is_refused_and_audited() {
    let cis = Cis::new();
    let run = cis.start(TRIES);
    cis.session_of("other");
    cis.session_of("sly");
    cis.write("go", "");
    cis.wait_task(&run, "sly", "succeeded");
    let tries = cis.read("tries");
    assert_eq!(tries.lines().count(), 18, "{tries}");
    assert!(!cis.work().join("keys.tar").exists() && !cis.work().join("other").exists());
    assert!(!tries.lines().any(|line| line.starts_with("0 ")), "something was allowed:\n{tries}");
    let said = cis.read("all-said");
    assert!(!said.contains("private words"), "{said}");
    assert!(said.contains("may not"), "{said}");
    assert_eq!(cis.task(&run, "other")["state"], "running", "it was answered or killed");
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    assert!(denials(&cis) >= 14, "each refusal is an event");
    cis.unblock(&["other", "--text", "by a human"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_session_may_see_the_node() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"see\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = '\"$E2E_CIS\" node status --json > \"$E2E_WORK/seen\"'\n";
    cis.dag(text, &[]).expect(0);
    let seen: serde_json::Value = serde_json::from_str(&cis.read("seen")).unwrap();
    assert_eq!(seen["running"], true);
    ulid_in(&cis.ok(["dag", "list", "--json"]));
}

#[test]
fn inside_a_session_no_node_is_started() {
    let cis = Cis::new();
    let script = "while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done; timeout 2 \"$E2E_CIS\" dag list; echo $? > \"$E2E_WORK/code\"";
    let text = format!("version = 1\n[dag]\nid = \"in\"\n[[tasks]]\nid = \"a\"\nscript = '''{script}'''\n");
    let run = cis.start(&text);
    cis.session_of("a");
    cis.ok(["node", "stop"]);
    cis.write("go", "");
    super::harness::eventually("the task has tried", || (!cis.read("code").is_empty()).then_some(()));
    // It waits for a node instead (30 s), so timeout(1) ends it.
    assert_eq!(cis.read("code"), "124\n");
    cis.wait_run(&run, "succeeded");
}

/// How many refusals the database of this home tells of.
pub fn denials(cis: &Cis) -> usize {
    let sql = "select count(*) from events where type = 'cis.dag.node.denied'";
    let count: i64 = super::storage::read_database(cis).query_row(sql, [], |row| row.get(0)).unwrap();
    usize::try_from(count).unwrap()
}
