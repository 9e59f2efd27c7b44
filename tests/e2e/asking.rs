//! What sessions say by themselves, and people's answers to it: asks, permissions, reviews, results.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Cis, Running, eventually, kill_9, pause, signal, wait_until_handled};
use super::rights::denials;

/// A run of one task whose session does this. `$E2E_WORK` is the directory of the test's files.
fn task(script: &str) -> String {
    format!(
        "version = 1\n[dag]\nid = \"ask\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = '''\ncis() {{ \"$E2E_CIS\" \"$@\"; }}\n{script}\n'''\n"
    )
}

/// The only item that waits, once there is one.
#[track_caller]
pub fn item(cis: &Cis) -> Value {
    eventually("something waits", || cis.json(&["inbox"])["items"].as_array()?.first().cloned())
}

/// The first of the items that wait now and that are so.
#[track_caller]
pub fn found(cis: &Cis, is: impl Fn(&&Value) -> bool) -> Option<Value> {
    cis.json(&["inbox"])["items"].as_array().unwrap().iter().find(is).cloned()
}

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_asks_and_gets_the_answer_of_whoever_was_first() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"cis task ask "Which database?" --option staging --option production > "$E2E_WORK/said""#,
    ));
    let asked = item(&cis);
    assert_eq!(asked["question"], "Which database?");
    assert_eq!((&asked["kind"], &asked["ask_type"]), (&"question".into(), &"clarification".into()));
    assert_eq!((&asked["task"], &asked["run"]), (&"a".into(), &run.as_str().into()));
    assert_eq!(asked["options"][1]["label"], "production");
    eventually("its session is blocked", || {
        (cis.json(&["dag", "sessions"])["items"][0]["state"] == "blocked").then_some(())
    });
    let shown = cis.ok(["inbox"]);
    assert!(
        shown.contains("2. production") && shown.contains(&format!("cis answer {} 1", id(&asked))),
        "{shown}"
    );
    for bad in [&["maybe"][..], &["3"], &["--keys", "y"], &["--text", "a\u{7}b"], &["--text", ""]] {
        cis.run([&["answer", &id(&asked)], bad].concat()).expect(2);
    }
    let long = "x".repeat(4097);
    cis.run(["answer", &id(&asked), "--text", &long]).expect(2);
    let said = cis.ok(["answer", &id(&asked).to_uppercase()[..4], "prod"]);
    assert_eq!(said, format!("Answered {}: production\n", id(&asked)));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "production\n");
    let late = cis.run(["answer", &id(&asked), "staging"]).expect(3).stderr;
    assert!(late.contains(&format!("{} was answered by uid:", id(&asked))), "{late}");
    let closed = cis.json(&["inbox", "show", &id(&asked)]);
    assert_eq!(
        (&closed["closed"]["how"], &closed["closed"]["text"]),
        (&"answered".into(), &"production".into())
    );
    assert_eq!(cis.ok(["inbox"]), "Nothing waits for you.\n");
}

#[test]
fn of_many_answers_at_once_one_counts() {
    let cis = Cis::new();
    let run = cis.start(&task(r#"cis task ask "Who?" > "$E2E_WORK/said""#));
    let asked = id(&item(&cis));
    let names: Vec<String> = (0..12).map(|n| format!("number {n}")).collect();
    let answers: Vec<Running> =
        names.iter().map(|name| cis.spawn(["answer", &asked, "--text", name])).collect();
    let ended: Vec<_> = answers.into_iter().map(Running::wait).collect();
    let first: Vec<usize> = (0..12).filter(|n| ended[*n].code == Some(0)).collect();
    assert_eq!(first.len(), 1, "{ended:?}");
    for late in ended.iter().filter(|late| late.code != Some(0)) {
        assert!(late.stderr.contains("was answered by uid:"), "{late:?}");
    }
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), format!("{}\n", names[first[0]]));
}

#[test]
fn a_question_outlives_the_node_and_a_thread_goes_on() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
id=$(cis task ask "First?" --no-wait); echo "$id" > "$E2E_WORK/id"
cis task progress "half way" --percent 50 --thread "$id"
cis task ask --wait-for "$id" > "$E2E_WORK/first"
cis task ask "Second?" --thread "$id" > "$E2E_WORK/second"
"#,
    ));
    let first = id(&item(&cis));
    eventually("progress is shown", || cis.ok(["dag", "show", &run]).contains("50 % half way").then_some(()));
    assert_eq!(cis.task(&run, "a")["said"]["percent"], 50);
    kill_9(cis.node_pid().unwrap());
    cis.ok(["answer", &first, "--text", "one"]);
    eventually("the second question", || (item(&cis)["question"] == "Second?").then_some(()));
    let second = id(&item(&cis));
    // However often.
    for _ in 0..4 {
        kill_9(cis.node_pid().unwrap());
        eventually("it waits still", || (id(&item(&cis)) == second).then_some(()));
    }
    cis.ok(["answer", &second, "--text", "two", "--reason", "after some thought"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!((cis.read("first"), cis.read("second")), ("one\n".into(), "two\n".into()));
    let shown = cis.ok(["inbox", "show", &first]);
    for line in
        ["asked: First?", "progress: half way", "answered: one", "asked: Second?", "two: after some thought"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn permissions_and_reviews_are_exit_codes() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
say() { cis "$@" 2>> "$E2E_WORK/why"; echo $? >> "$E2E_WORK/codes"; }
say task request-permission "Drop the table?"
say task request-permission "Drop the other?"
say task review "Look at db/42.sql"
say task review "And now?"
"#,
    ));
    let wait =
        |question: &str| eventually(question, || (item(&cis)["question"] == question).then(|| item(&cis)));
    let first = wait("Drop the table?");
    assert_eq!((&first["kind"], &first["options"][0]["id"]), (&"permission".into(), &"allow".into()));
    cis.run(["answer", &id(&first), "--text", "well"]).expect(2);
    cis.ok(["answer", &id(&first), "allow_once"]);
    cis.ok(["answer", &id(&wait("Drop the other?")), "deny", "--reason", "it is in use"]);
    assert_eq!(wait("Look at db/42.sql")["kind"], "review");
    let said = cis.ok(["dag", "reject", "a", "--reason", "no index"]);
    assert!(said.starts_with("The work of task a of run ") && said.ends_with("is rejected.\n"), "{said}");
    wait("And now?");
    cis.ok(["dag", "approve", &run, "a"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("codes"), "0\n1\n1\n0\n");
    let why = cis.read("why");
    assert!(why.contains("denied by uid:") && why.contains(": it is in use\n"), "{why}");
    assert!(why.contains("rejected by uid:") && why.contains(": no index\n"), "{why}");
}

#[test]
fn a_decision_without_a_run_needs_one_if_the_task_waits_in_several() {
    let cis = Cis::new();
    let gated = cis.start(
        "version = 1\n[dag]\nid = \"gate\"\n[[tasks]]\nid = \"a\"\napproval = { prompt = \"Go?\" }\ncommand = [\"true\"]\n",
    );
    let reviewed = cis.start(&task("cis task review \"And this?\""));
    eventually("both wait", || (cis.json(&["inbox"])["items"].as_array().unwrap().len() == 2).then_some(()));
    for decision in [&["dag", "approve", "a"][..], &["dag", "reject", "a", "--reason", "no"]] {
        let refused = cis.run(decision).expect(2).stderr;
        assert!(refused.contains("task `a` waits in 2 runs"), "{decision:?}: {refused}");
        for run in [&gated, &reviewed] {
            assert!(refused.contains(&run[20..].to_ascii_lowercase()), "{run}: {refused}");
        }
    }
    cis.ok(["dag", "approve", &gated, "a"]);
    cis.wait_run(&gated, "succeeded");
    let said = cis.ok(["dag", "approve", "a"]);
    assert!(said.starts_with("The work of task a of run ") && said.ends_with("is approved.\n"), "{said}");
    cis.wait_run(&reviewed, "succeeded");
}

#[test]
fn results_are_handed_in_and_outputs_written() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "result"
[[tasks]]
id = "a"
tty = false
outputs = { version = { type = "string" }, notes = { type = "string" } }
script = '''
"$E2E_CIS" task output version=1.4.2 "notes=two
lines"
"$E2E_CIS" task complete --text "all is well"
sleep 300
'''
[[tasks]]
id = "b"
needs = ["a"]
tty = false
command = ["printf", "%s|%s", "{{ tasks.a.outputs.version }}", "{{ tasks.a.outputs.notes }}"]
"#;
    let run = cis.start(text);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.ok(["dag", "logs", "b"]).replace('\r', ""), "1.4.2|two\nlines");
}

#[test]
fn what_a_session_may_not_say_is_refused_and_audited() {
    let cis = Cis::new();
    // Another session, whose token the first one has got hold of.
    let other = "version = 1\n[dag]\nid = \"o\"\n[[tasks]]\nid = \"o\"\ntty = false\nscript = 'echo \"$CIS_TOKEN\" > \"$E2E_WORK/foreign\"; while [ ! -e \"$E2E_WORK/done\" ]; do sleep 0.05; done'\n";
    let other = cis.start(other);
    eventually("the other one is there", || (!cis.read("foreign").is_empty()).then_some(()));
    let run = cis.start(&task(
        r#"
cis task ask "Please?" --no-wait > "$E2E_WORK/id"; id=$(cat "$E2E_WORK/id")
try() { "$@" >> "$E2E_WORK/all" 2>&1; echo "$? $*" >> "$E2E_WORK/tries"; }
try "$E2E_CIS" answer "$id" --text "yes, myself"
try "$E2E_CIS" inbox
try "$E2E_CIS" inbox show "$id"
try "$E2E_CIS" dag unblock "$CIS_RUN_ID/a" --text yes
try env CIS_TOKEN=0000 "$E2E_CIS" task ask "forged?" --no-wait
try env -u CIS_TOKEN "$E2E_CIS" task notify "without"
try env CIS_TOKEN="$(cat "$E2E_WORK/foreign")" "$E2E_CIS" task ask --wait-for "$id" --timeout 1s
try env -u CIS_TOKEN -u CIS_SOCKET -u CIS_ATTEMPT -u CIS_RUN_ID setsid "$E2E_CIS" answer "$id" --text "as somebody"
echo done > "$E2E_WORK/done"
cis task ask --wait-for "$id" > "$E2E_WORK/said"
"#,
    ));
    eventually("it has tried everything", || (!cis.read("done").is_empty()).then_some(()));
    let tries = cis.read("tries");
    assert_eq!(tries.lines().count(), 8, "{tries}");
    assert!(!tries.lines().any(|line| line.starts_with("0 ")), "something was allowed:\n{tries}");
    let denied = denials(&cis);
    assert!(denied >= 7, "{denied} refusals are events; {tries}{}", cis.read("all"));
    let asked = item(&cis);
    assert_eq!((id(&asked), &asked["answered_by"]), (cis.read("id").trim().to_owned(), &Value::Null));
    cis.ok(["answer", &id(&asked), "--text", "by a human"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "by a human\n");
    cis.wait_run(&other, "succeeded");
}

#[test]
fn what_is_asked_is_text_and_people_use_other_commands() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
no() { cis "$@" > /dev/null 2>> "$E2E_WORK/why"; echo $? >> "$E2E_WORK/codes"; }
no task ask "$(printf 'a\033]0;x\007b')" --no-wait
no task ask "$(head -c 5000 /dev/zero | tr '\0' x)" --no-wait
no task ask "x" --option a --option a --no-wait
no task ask "x" --thread zzzzzz --no-wait
no task notify ""
no task progress "$(printf 'a\033b')"
no task output 1x=2
no task output nothing
no task ask "In time?" --timeout 100ms
"#,
    ));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("codes"), "2\n".repeat(8) + "1\n", "{}", cis.read("why"));
    let outside = cis.run(["task", "ask", "x"]).expect(2).stderr;
    assert!(outside.contains("only works inside a session"), "{outside}");
    // The question whose asker gave up is not there any more once its session has ended.
    assert_eq!(cis.ok(["inbox"]), "Nothing waits for you.\n");
    for (name, code) in [("zzzzzz", 2), ("0", 2), ("", 2)] {
        cis.run(["answer", name, "--text", "x"]).expect(code);
    }
}

#[test]
fn a_question_is_withdrawn_when_its_asker_is_gone() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
"$E2E_CIS" task ask "Anybody?" & asker=$!
while [ ! -e "$E2E_WORK/kill" ]; do sleep 0.05; done
kill -9 $asker; wait $asker
while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done
"#,
    ));
    let asked = id(&item(&cis));
    cis.write("kill", "");
    // It has a lease of 30 s.
    pause(Duration::from_secs(20));
    assert_eq!(id(&item(&cis)), asked);
    eventually("it is withdrawn", || {
        (cis.json(&["inbox", "show", &asked])["closed"]["how"] == "withdrawn").then_some(())
    });
    eventually("its session works again", || {
        (cis.json(&["dag", "sessions"])["items"][0]["state"] == "working").then_some(())
    });
    cis.write("end", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_question_whose_asker_gives_up_is_withdrawn_at_once() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
"$E2E_CIS" task ask "In time?" --timeout 300ms 2> "$E2E_WORK/late"; echo $? > "$E2E_WORK/late.code"
"$E2E_CIS" task request-permission "May I?" 2> "$E2E_WORK/left" & echo $! > "$E2E_WORK/asker"
wait $!; echo $? > "$E2E_WORK/left.code"
id=$("$E2E_CIS" task ask "Whenever?" --no-wait)
"$E2E_CIS" task ask --wait-for "$id" --timeout 100ms 2> "$E2E_WORK/stays"
while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done
"#,
    ));
    eventually("the second question", || {
        let items = cis.json(&["inbox"])["items"].as_array()?.clone();
        (items.len() == 1 && items[0]["question"] == "May I?").then_some(())
    });
    assert_eq!(cis.read("late.code"), "1\n");
    assert!(cis.read("late").contains("it is withdrawn"), "{}", cis.read("late"));
    signal(cis.read("asker").trim().parse().unwrap(), Signal::TERM);
    eventually("only the one that stays is left", || {
        let items = cis.json(&["inbox"])["items"].as_array()?.clone();
        (items.len() == 1 && items[0]["question"] == "Whenever?").then_some(())
    });
    assert_eq!(cis.read("left.code"), "143\n", "{}", cis.read("left"));
    eventually("it gave up", || cis.read("stays").contains("it stays in the inbox").then_some(()));
    let over = cis.run(["dag", "history", &run, "--action", "withdrawn", "--json"]).expect(0).json_lines();
    assert_eq!(over.len(), 2, "{over:?}");
    // When the lease of an asker ends, the node withdraws the question, and nobody is named.
    assert!(over.iter().all(|entry| entry["actor"]["name"].is_string()), "a lease was waited for: {over:?}");
    assert_eq!(item(&cis)["question"], "Whenever?");
    eventually("its session works again", || {
        (cis.json(&["dag", "sessions"])["items"][0]["state"] == "working").then_some(())
    });
    cis.write("end", "");
    cis.wait_run(&run, "succeeded");
}

/// The kernel takes connections also for a node that is stopped.
#[test]
fn a_second_signal_ends_an_asker_whose_node_does_not_answer() {
    let cis = Cis::new();
    let run = cis.start(&task(
        r#"
"$E2E_CIS" task ask "Anybody?" 2> "$E2E_WORK/left" & echo $! > "$E2E_WORK/asker"
wait $!; echo $? > "$E2E_WORK/left.code"
"#,
    ));
    item(&cis);
    let asker: u32 = cis.read("asker").trim().parse().unwrap();
    for number in [Signal::TERM, Signal::HUP] {
        wait_until_handled(asker, number);
    }
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    // The first one withdraws the question, which takes as long as the node is stopped.
    signal(asker, Signal::TERM);
    signal(asker, Signal::HUP);
    eventually("the asker leaves", || {
        ["143\n", "129\n"].contains(&cis.read("left.code").as_str()).then_some(())
    });
    assert!(cis.read("left").contains("did not confirm"), "{}", cis.read("left"));
    signal(node, Signal::CONT);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn waiting_for_a_question_that_was_asked_in_passing_blocks_its_session() {
    let cis = Cis::new();
    let run = cis.start(
        r#"version = 1
[dag]
id = "later"
max_parallel = 1
[[tasks]]
id = "a"
tty = false
script = '''
hold() { while [ ! -e "$E2E_WORK/$1" ]; do sleep 0.05; done; }
id=$("$E2E_CIS" task ask "Whenever?" --no-wait); echo "$id" > "$E2E_WORK/asked"
hold wait
"$E2E_CIS" task ask --wait-for "$id" --timeout 300ms 2> "$E2E_WORK/gave-up"
touch "$E2E_WORK/left"
hold again
"$E2E_CIS" task ask --wait-for "$id" > "$E2E_WORK/said"
'''
[[tasks]]
id = "b"
tty = false
script = 'touch "$E2E_WORK/b"; while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done'
"#,
    );
    let asked = id(&item(&cis));
    let state = || {
        let listing = cis.json(&["dag", "sessions"]);
        let sessions = listing["items"].as_array().unwrap();
        let of_a = sessions.iter().find(|session| session["task"] == "a");
        of_a.map(|session| session["state"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    eventually("it has asked", || (cis.read("asked").trim() == asked).then_some(()));
    assert_eq!((state().as_str(), cis.task(&run, "b")["state"].as_str()), ("working", Some("queued")));
    assert!(item(&cis).get("episode").is_none_or(Value::is_null), "nobody waits");
    cis.write("wait", "");
    eventually("its slot is free while it waits", || cis.work().join("b").exists().then_some(()));
    eventually("it gave up", || cis.work().join("left").exists().then_some(()));
    assert!(cis.read("gave-up").contains("it stays in the inbox"), "{}", cis.read("gave-up"));
    eventually("it works again, long before its lease is over", || (state() == "working").then_some(()));
    assert_eq!(id(&item(&cis)), asked);
    cis.write("again", "");
    eventually("it waits again", || (state() == "blocked").then_some(()));
    kill_9(cis.node_pid().unwrap());
    eventually("also over a restart", || (state() == "blocked" && id(&item(&cis)) == asked).then_some(()));
    cis.ok(["dag", "unblock", "a", "--text", "now"]);
    eventually("it has the answer", || (cis.read("said") == "now\n").then_some(()));
    cis.write("end", "");
    cis.wait_run(&run, "succeeded");
}
