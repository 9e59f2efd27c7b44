//! Who answers, and what was answered: programs that sessions change, answers that a crash left in between.

use rustix::process::Signal;

use super::asking::item;
use super::harness::{Cis, eventually, kill_9, signal};

#[test]
fn an_agent_that_changes_the_program_of_on_blocked_cannot_answer_itself() {
    let cis = Cis::new();
    cis.write_program("list.sh", "#!/bin/sh\necho \"list $CIS_ITEM\" >> \"$E2E_WORK/told\"\n");
    cis.write_program("text.sh", "#!/bin/sh\necho \"text $CIS_ITEM $1\" >> \"$E2E_WORK/told\"\n");
    cis.write("script.sh", "echo \"script $CIS_ITEM\" >> \"$E2E_WORK/told\"\n");
    let task = |id: &str, run: &str| {
        format!(
            r#"
[[tasks]]
id = "{id}"
script = '''
printf '#!/bin/sh\n"$E2E_CIS" answer "$CIS_ITEM" --text itself\n' > "{id}.sh"; chmod 755 "{id}.sh"
printf 'Proceed? [y/n] '; read -r x; echo "$x" > "$E2E_WORK/{id}.got"
'''
on_blocked = {{ action = "run", run = {run} }}
"#
        )
    };
    let tasks = [
        task("list", r#"["./list.sh"]"#),
        task("text", r#""./text.sh {{ task.id }}""#),
        task("script", r#"["sh", "script.sh"]"#),
        task("made", r#"["./{{ task.id }}.sh"]"#),
    ];
    let text = format!("version = 1\n[dag]\nid = \"self\"\nmax_parallel = 4\n{}", tasks.concat());
    let run = cis.start(&text);
    let said = eventually("the programs of the submission are run", || {
        let said = cis.read("told");
        (said.lines().count() == 3).then_some(said)
    });
    for name in ["list ", "text ", "script "] {
        assert!(said.contains(name), "{said}");
    }
    assert!(said.lines().any(|line| line.starts_with("text ") && line.ends_with(" text")), "{said}");
    eventually("what was made later is not run, and that is said", || {
        let warnings = cis.status()["warnings"].to_string();
        (warnings.contains("./made.sh") && warnings.contains("was not kept")).then_some(())
    });
    // A node that comes later runs them as well.
    kill_9(cis.node_pid().unwrap());
    let items = cis.json(&["inbox"])["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 4, "nobody answered: {items:?}");
    assert!(items.iter().all(|item| item["answered_by"].is_null()), "{items:?}");
    for task in ["list", "text", "script", "made"] {
        // The new node looks for itself first.
        eventually("it is answered", || {
            (cis.run(["answer", &format!("{run}:{task}"), "--text", "a human"]).code == Some(0)).then_some(())
        });
    }
    cis.wait_run(&run, "succeeded");
    for task in ["list", "text", "script", "made"] {
        assert_eq!(cis.read(&format!("{task}.got")), "a human\n");
    }
    let left = super::storage::entries_below(&cis.home());
    assert!(!left.iter().any(|path| path.to_string_lossy().contains(".running-")), "{left:?}");
    // What is not there yet is refused before anything runs.
    let absent = format!("version = 1\n[dag]\nid = \"x\"\n{}", task("absent", r#"["./absent.sh"]"#));
    let refused = cis.dag(&absent, &[]).expect(2).stderr;
    assert!(refused.contains("`./absent.sh` is not there"), "{refused}");
}

/// What the store of a node has that is killed after it has recorded an answer, and before it has typed it.
fn record_answer(cis: &Cis, asked: &serde_json::Value) {
    use cis_core::event::{Actor, ActorKind, AnswerRecord, EventBody, EventDraft, Via};
    use cis_core::ids::{InboxId, InputId};
    let text = |field: &str| asked[field].as_str().unwrap().to_owned();
    let at_ms = asked["since_ms"].as_i64().unwrap() + 1;
    let input = InputId::from_parts(at_ms.unsigned_abs(), 7);
    let answer =
        AnswerRecord { option: None, text: "first".into(), reason: None, by: "uid:4711".into(), bytes: 6 };
    let body = EventBody::SessionAnswered {
        session: text("session").parse().unwrap(),
        task: Some(cis_core::ids::TaskId::new(&text("task")).unwrap()),
        item: InboxId(text("id")),
        input,
        answer: Box::new(answer),
    };
    let actor = Actor { kind: ActorKind::Human, name: "uid:4711".into(), via: Via::Socket };
    let run = Some(text("run").parse().unwrap());
    let draft = EventDraft { run, at_ms, actor: Some(actor), cause: Some(input), body };
    let mut writer = cis_store::Writer::open(&cis.home().join("cis.db")).unwrap();
    writer.append(&draft, InputId::from_parts(at_ms.unsigned_abs(), 8).0).unwrap();
    writer.commit().unwrap();
}

#[test]
fn an_answer_that_a_killed_node_did_not_type_is_shown_as_such() {
    let cis = Cis::new();
    let run = cis.start_task(
        "ask",
        r#"
script = '''
printf 'Proceed? [y/n] '; read -r x; echo "$x" >> "$E2E_WORK/got"
'''
"#,
    );
    let asked = item(&cis);
    let id = asked["id"].as_str().unwrap();
    // Its session lives on.
    cis.ok(["node", "stop"]);
    record_answer(&cis, &asked);
    let after = item(&cis);
    assert_eq!((&after["id"], &after["answered_by"]), (&asked["id"], &"uid:4711".into()), "{after}");
    let shown = cis.ok(["inbox"]);
    assert!(shown.contains("answered by uid:4711") && shown.contains("may not have been typed"), "{shown}");
    assert!(shown.contains(&format!("cis answer {id} --again")), "{shown}");
    let late = cis.run(["answer", id, "--text", "second"]).expect(3).stderr;
    assert!(late.contains("was answered by uid:4711") && late.contains("--again"), "{late}");
    eventually("the monitor sees it", || {
        cis.json(&["dag", "explain", "ask"])["verdict"].is_object().then_some(())
    });
    assert_eq!(
        (item(&cis)["id"].as_str(), cis.read("got").as_str()),
        (Some(id), ""),
        "nothing is typed by itself"
    );
    cis.ok(["answer", id, "--text", "again", "--again"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "again\n");
}

#[test]
fn neither_by_env_nor_by_another_directory_an_agent_answers_itself() {
    let cis = Cis::new();
    std::fs::create_dir(cis.work().join("place")).unwrap();
    for name in ["by-env.sh", "place/by-link.sh"] {
        cis.write_program(name, "#!/bin/sh\necho \"$0\" >> \"$E2E_WORK/told\"\n");
    }
    let text = r#"
version = 1
[dag]
id = "self"
max_parallel = 2
[[tasks]]
id = "by-env"
script = '''
printf '#!/bin/sh\n"$E2E_CIS" answer "$CIS_ITEM" --text itself\n' > by-env.sh; chmod 755 by-env.sh
printf 'Proceed? [y/n] '; read -r x; echo "$x" > "$E2E_WORK/by-env.got"
'''
on_blocked = { action = "run", run = ["env", "WHO=me", "./by-env.sh"] }
[[tasks]]
id = "by-link"
cwd = "place"
script = '''
cd "$E2E_WORK"; mkdir -p other
printf '#!/bin/sh\n"$E2E_CIS" answer "$CIS_ITEM" --text itself\n' > other/by-link.sh; chmod 755 other/by-link.sh
mv place was; ln -s other place
printf 'Proceed? [y/n] '; read -r x; echo "$x" > "$E2E_WORK/by-link.got"
'''
on_blocked = { action = "run", run = ["./by-link.sh"] }
"#;
    let run = cis.start(text);
    eventually("what was there at the submission is run", || {
        cis.read("told").contains("by-env").then_some(())
    });
    eventually("the other one is run, or it is said why not", || {
        let warnings = cis.status()["warnings"].to_string();
        (cis.read("told").contains("by-link") || warnings.contains("place")).then_some(())
    });
    for task in ["by-env", "by-link"] {
        eventually("nobody answered", || {
            let items = cis.json(&["inbox"])["items"].as_array().unwrap().clone();
            let item = items.iter().find(|item| item["task"] == task)?;
            assert!(item["answered_by"].is_null(), "{item}");
            (cis.run(["answer", &format!("{run}:{task}"), "--text", "a human"]).code == Some(0)).then_some(())
        });
    }
    cis.wait_run(&run, "succeeded");
    for task in ["by-env", "by-link"] {
        assert_eq!(cis.read(&format!("{task}.got")), "a human\n");
    }
}

#[test]
fn an_answer_waits_for_a_new_node_to_know_its_session() {
    let cis = Cis::new();
    let run = cis.start_task(
        "a",
        r#"
script = '''
for i in 1 2 3 4 5; do
    printf 'Go on %s? [y/N] ' $i; read -r x; echo "$i $x" >> "$E2E_WORK/got"
done
'''
"#,
    );
    let asked = |number: u32| {
        eventually("it asks", || {
            item(&cis)["question"].as_str()?.contains(&format!("on {number}?")).then_some(())
        });
    };
    let name = format!("{run}:a");
    asked(1);
    kill_9(cis.node_pid().unwrap());
    cis.ok(["answer", &name, "--text", "y"]);
    asked(2);
    kill_9(cis.node_pid().unwrap());
    cis.ok(["dag", "unblock", "a", "--text", "y"]);
    asked(3);
    cis.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach"]);
    cis.ok(["answer", &name, "--text", "y"]);
    // As long as the session host does not answer, nobody says that the session has ended.
    asked(4);
    let host = cis.host_pid().unwrap();
    signal(host, Signal::STOP);
    kill_9(cis.node_pid().unwrap());
    for command in [&["answer", &name][..], &["dag", "unblock", "a"]] {
        let said = cis.run([command, &["--text", "n"]].concat()).expect(3).stderr;
        assert!(said.contains("cannot be reached") && said.contains("the session goes on"), "{said}");
    }
    signal(host, Signal::CONT);
    for number in [4, 5] {
        asked(number);
        eventually("the host is there again", || {
            (cis.run(["answer", &name, "--text", "y"]).code == Some(0)).then_some(())
        });
    }
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "1 y\n2 y\n3 y\n4 y\n5 y\n");
}
