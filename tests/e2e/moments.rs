//! What is typed lands where it was meant to, whoever else types, and however fast questions come and go.

use serde_json::Value;

use super::asking::item;
use super::harness::{Cis, eventually};

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn answers_to_questions_that_come_and_go_reach_no_other_question() {
    let cis = Cis::new();
    // The node has much to read meanwhile.
    let flood = cis.ok(["session", "create", "--", "sh", "-c", "exec timeout 60 yes flood"]);
    // What comes too late is thrown away before the next question, which stands where nothing stood.
    let run = cis.start_task(
        "ask",
        r#"
command = ["bash", "-c", '''
ask() {
  while read -t 0; do read -r -t 0.01 late; done
  printf "$1"; answer=; read -r $2 answer; echo "$3|$answer" >> "$E2E_WORK/got"
}
for n in 1 2 3 4; do
  ask "Which $n?\n" "-t 1.5" "Which $n?"
  ask "Remove $n? " "-t 1.5" "Remove $n?"
  ask "Remove $n? And all of it? " "-t 1.5" "Remove $n? And all of it?"
  echo
done
ask "The last one? " "" "The last one?"
''']
"#,
    );
    let mut answered = Vec::new();
    let mut under_way = Vec::new();
    eventually("the run ends", || {
        let items = cis.json(&["inbox", &run])["items"].as_array().cloned().unwrap_or_default();
        for item in items {
            let (id, question) = (words(&item["id"]), words(&item["question"]));
            if !answered.contains(&id) {
                let text = format!("for {question}");
                // Two at once, of which one counts at most.
                under_way.extend((0..2).map(|_| cis.spawn(["answer", &id, "--text", &text])));
                answered.push(id);
            }
        }
        (cis.show(&run)["run"]["state"] == "succeeded").then_some(())
    });
    under_way.into_iter().for_each(|one| drop(one.wait()));
    let got = cis.read("got");
    assert_eq!(got.lines().count(), 13, "{got}");
    for line in got.lines() {
        let (question, answer) = line.split_once('|').unwrap();
        assert!(answer.is_empty() || answer == format!("for {question}"), "{got}");
    }
    assert!(got.ends_with("The last one?|for The last one?\n"), "{got}");
    cis.ok(["session", "terminate", flood.trim()]);
}

#[test]
fn an_answer_does_not_follow_what_an_attached_person_typed() {
    let cis = Cis::new();
    let run = cis.start(
        "version = 1\n[dag]\nid = \"p\"\n[[tasks]]\nid = \"ask\"\nscript = '''\nprintf 'Proceed? [y/n] '; read -r x; echo \"$x\" > \"$E2E_WORK/got\"\n'''\n",
    );
    let asked = item(&cis);
    let mut terminal = cis.terminal(&["dag", "attach", "ask"]);
    terminal.wait_for("Proceed?");
    terminal.type_keys("n");
    terminal.wait_for("Proceed? [y/n] n");
    let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "--text", "y"]).expect(3).stderr;
    assert!(refused.contains("somebody typed meanwhile"), "{refused}");
    terminal.type_keys("\r");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "n\n");
}

#[test]
fn exec_does_not_type_a_password() {
    let cis = Cis::new();
    let session = cis.ok([
        "session",
        "create",
        "--",
        "sh",
        "-c",
        "stty -echo; printf 'Password: '; read -r x; stty echo; echo \"got $x\"; exec sleep 300",
    ]);
    let session = session.trim();
    assert_eq!(item(&cis)["kind"], "password");
    let refused = cis.run(["session", "exec", session, "make"]).expect(3).stderr;
    assert!(refused.contains("asks for a password") && refused.contains("cis dag attach"), "{refused}");
    let mut terminal = cis.terminal(&["dag", "attach", session]);
    terminal.wait_for("Password:");
    terminal.type_keys("open\r");
    terminal.wait_for("got open");
    eventually("it asks no more", || {
        cis.json(&["inbox"])["items"].as_array().unwrap().is_empty().then_some(())
    });
    cis.run(["session", "exec", session, "more", "--quiet", "100ms"]).expect(0);
}
