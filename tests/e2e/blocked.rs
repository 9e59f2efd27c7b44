//! Sessions that wait for a human: noticed by what really happens in their terminals, answered once.

use std::time::Duration;

use serde_json::Value;

use super::harness::{Cis, eventually, kill_9, pause};

/// A DAG with one task `ask` that runs this script.
fn asking(script: &str) -> String {
    format!("version = 1\n[dag]\nid = \"asking\"\n[[tasks]]\nid = \"ask\"\nscript = '''\n{script}\n'''\n")
}

/// The items of the inbox.
#[track_caller]
fn inbox(cis: &Cis) -> Vec<Value> {
    cis.json(&["inbox"])["items"].as_array().unwrap().clone()
}

/// Waits until there is an item whose question or screen has this text.
#[track_caller]
fn item(cis: &Cis, text: &str) -> Value {
    eventually(&format!("the inbox has `{text}`: {:?}", inbox(cis)), || {
        let has = |item: &Value, field: &str| item[field].as_str().is_some_and(|found| found.contains(text));
        inbox(cis).into_iter().find(|item| has(item, "question") || has(item, "screen"))
    })
}

fn id(item: &Value) -> &str {
    item["id"].as_str().unwrap()
}

/// Waits until nothing waits.
#[track_caller]
fn until_empty(cis: &Cis) {
    eventually(&format!("the inbox is empty: {:?}", inbox(cis)), || inbox(cis).is_empty().then_some(()));
}

#[test]
fn a_question_of_a_task_is_an_item_and_its_answer_is_typed_once() {
    let cis = Cis::new();
    let run = cis.start(&asking(
        r#"printf 'Overwrite the file? [y/N] '; date +%s%3N > "$E2E_WORK/shown"; read -r a; echo "$a" >> "$E2E_WORK/answers"; sleep 0.5"#,
    ));
    let question = item(&cis, "Overwrite the file?");
    assert_eq!(question["run"], run.as_str());
    assert_eq!((&question["task"], &question["kind"]), (&"ask".into(), &"permission".into()), "{question}");
    assert_eq!(question["episode"], 1);
    let shown: i64 = cis.read("shown").trim().parse().unwrap();
    let latency = question["since_ms"].as_i64().unwrap() - shown;
    eprintln!("prompt shown → durable: {latency} ms");
    assert!((900..10_000).contains(&latency), "{latency} ms");
    let session = cis.session_of("ask");
    assert_eq!(session["state"], "blocked");
    assert!(cis.ok(["dag", "why", "ask"]).contains("waits"), "{}", cis.ok(["dag", "why", "ask"]));
    let explained = cis.json(&["dag", "explain", "ask"]);
    assert_eq!(explained["item"], question["id"]);
    assert_eq!(explained["verdict"]["hash"], question["hash"]);
    assert!(cis.ok(["dag", "explain", "ask"]).contains("waits"));

    cis.ok(["answer", id(&question), "--text", "yes"]);
    let late = cis.run(["answer", id(&question), "--text", "no"]).expect(3);
    assert!(late.stderr.contains("answered by"), "{}", late.stderr);
    until_empty(&cis);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answers"), "yes\n");
}

#[test]
fn the_same_question_asked_twice_is_two_items() {
    let cis = Cis::new();
    let run = cis.start(&asking(
        r#"for i in 1 2; do printf 'Continue? [y/n] '; read -r a; echo "$i $a" >> "$E2E_WORK/answers"; done"#,
    ));
    let first = item(&cis, "Continue?");
    cis.ok(["answer", id(&first), "--text", "one"]);
    let second =
        eventually("it asks again", || inbox(&cis).into_iter().find(|item| item["id"] != first["id"]));
    assert_eq!(second["episode"], 2);
    cis.run(["answer", id(&first), "--text", "late"]).expect(3);
    cis.ok(["answer", id(&second), "--text", "two"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answers"), "1 one\n2 two\n");
}

#[test]
fn a_prompt_and_its_answer_outlive_kill_9_of_the_node() {
    let cis = Cis::new();
    let run = cis.start(
        &asking(r#"read -r -p 'Name? ' a; echo "$a" >> "$E2E_WORK/answers""#)
            .replace("id = \"ask\"\nscript", "id = \"ask\"\nshell = \"bash\"\nscript"),
    );
    let before = item(&cis, "Name?");
    for _ in 0..3 {
        kill_9(cis.node_pid().unwrap());
        let after = item(&cis, "Name?");
        assert_eq!((&after["id"], &after["episode"]), (&before["id"], &before["episode"]), "{after}");
    }
    // The new node looks for itself; until then, and after that, it is the same prompt.
    eventually("the monitor sees it again", || {
        cis.json(&["dag", "explain", "ask"])["verdict"].is_object().then_some(())
    });
    assert_eq!(item(&cis, "Name?")["id"], before["id"]);
    cis.ok(["answer", id(&before), "--text", "Ann"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answers"), "Ann\n");
}

#[test]
fn a_prompt_that_ends_while_no_node_is_there_is_over() {
    let cis = Cis::new();
    let session = cis.ok([
        "session",
        "create",
        "--name",
        "away",
        "--",
        "bash",
        "-c",
        r#"read -r -p 'Go on? ' a; echo "$a" > "$E2E_WORK/answers"; sleep 300"#,
    ]);
    item(&cis, "Go on?");
    assert_eq!(cis.json(&["dag", "sessions"])["items"][0]["state"], "blocked");
    let unblocked = cis.spawn(["dag", "unblock", "away", "--text", "yes"]);
    unblocked.wait().expect(0);
    eventually("it was typed", || (cis.read("answers") == "yes\n").then_some(()));
    until_empty(&cis);
    eventually("it works", || {
        (cis.json(&["dag", "sessions"])["items"][0]["state"] == "working").then_some(())
    });
    cis.ok(["session", "terminate", session.trim()]);
}

#[test]
fn passwords_are_seen_and_never_answered() {
    let cis = Cis::new();
    cis.start(&asking("stty -echo; printf 'Password: '; read -r secret; stty echo; sleep 300"));
    let password = item(&cis, "Password:");
    assert_eq!(password["kind"], "password");
    let refused = cis.run(["answer", id(&password), "--text", "hunter2-hunter2"]).expect(3);
    assert!(refused.stderr.contains("cis dag attach"), "{}", refused.stderr);
    let refused = cis.run(["dag", "unblock", "ask", "--text", "hunter2-hunter2"]).expect(3);
    assert!(refused.stderr.contains("attach"), "{}", refused.stderr);
    let mut terminal = cis.terminal(&["dag", "attach", "ask"]);
    terminal.wait_for("Password:");
    terminal.type_keys("hunter2-hunter2\r");
    until_empty(&cis);
    drop(terminal);
    let database = cis.home().join("cis.db");
    for file in [database.clone(), database.with_extension("db-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(15).any(|part| part == b"hunter2-hunter2"), "it stands in {}", file.display());
    }
}

#[test]
fn python_asks_for_a_password_too() {
    let cis = Cis::new();
    cis.start(&asking("exec python3 -c 'import getpass, time; getpass.getpass(\"Passphrase for the key: \"); time.sleep(300)'"));
    assert_eq!(item(&cis, "Passphrase for the key")["kind"], "password");
}

#[test]
fn a_prompt_in_a_terminal_inside_is_found() {
    let cis = Cis::new();
    let run = cis.start(&asking(
        r#"script -qc "bash -c 'read -r -p \"Inner question? \" a; echo \$a > \$E2E_WORK/answers'" /dev/null"#,
    ));
    let inner = item(&cis, "Inner question?");
    cis.ok(["answer", id(&inner), "--text", "fine"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answers"), "fine\n");
}

#[test]
fn a_pager_waits() {
    let cis = Cis::new();
    let run = cis.start(&asking("seq 1000 | less"));
    let pager = item(&cis, "23");
    assert_eq!(pager["kind"], "pager", "{pager}");
    let how = format!("cis answer {} --keys q", id(&pager));
    for words in [&["dag", "show"][..], &["dag", "why", "ask"]] {
        assert!(cis.ok(words).contains(&how), "{words:?}");
    }
    cis.ok(["answer", id(&pager), "--keys", "q"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_full_screen_menu_waits() {
    let cis = Cis::new();
    let run =
        cis.start(&asking("whiptail --yesno 'Delete the old files?' 10 40 && touch \"$E2E_WORK/deleted\""));
    let menu = item(&cis, "Delete the old files?");
    cis.ok(["answer", id(&menu), "--keys", "Enter"]);
    cis.wait_run(&run, "succeeded");
    assert!(cis.work().join("deleted").exists());
}

#[test]
fn work_waits_for_nobody() {
    let cis = Cis::new();
    let run = cis.start(&asking(
        r#"echo 'error: Proceed? [y/N]'; echo 'Password:'; i=0; while [ ! -e "$E2E_WORK/open" ]; do i=$((i+1)); sleep 0.1; done"#,
    ));
    cis.session_of("ask");
    pause(Duration::from_secs(5));
    assert_eq!(inbox(&cis), Vec::<Value>::new());
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_default_answers_at_its_deadline() {
    let cis = Cis::new();
    let text = asking(r#"printf 'Which one? '; read -r a; echo "$a" > "$E2E_WORK/answers""#);
    let run = cis.start(&text.replace(
        "id = \"ask\"\n",
        "id = \"ask\"\non_blocked = { action = \"ask\", deadline = \"2s\", default = \"the first\" }\n",
    ));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("answers"), "the first\n");
}

/// Screens on which Enter would choose something: a menu, and a dialog whose buttons are told apart by colour.
/// Then menus whose row is pointed at by its ground alone, on a screen of their own and below a log.
const CHOICES: [&str; 6] = [
    r"What to do?\n❯ Delete all\n  Keep all\n",
    r"\033[H\033[2J┌──────────────┐\n│ Delete all?  │\n│              │\n│ <Yes>   <No> │\n└──────────────┘\n\033[?25l",
    r"\033[?1049h\033[H\033[2JSetup: what do you want to do?\n\n  Install\n\033[7m  Repair\033[0m\n  Delete everything\n  Quit\n\033[?25l",
    r"What now?\n  Install\n\033[7m  Repair\033[0m\n  Delete everything\n",
    r"What now?\n   Install\n=> Repair\n   Delete everything\n",
    r"\033[H\033[2JSetup: what do you want to do?\n\n    Install\n  * Repair\n    Delete everything\n    Quit",
];

#[test]
fn words_are_not_typed_where_enter_would_choose_something() {
    let cis = Cis::new();
    let script = |screen: &str| {
        format!(r#"stty raw -echo opost; printf '{screen}'; dd bs=1 count=1 2>/dev/null > "$E2E_WORK/typed""#)
    };
    for screen in CHOICES {
        let run = cis.start(&asking(&script(screen)));
        let asked = eventually("the question", || inbox(&cis).pop());
        let refused = cis.run(["answer", id(&asked), "--text", "no"]).expect(2).stderr;
        assert!(refused.contains("Enter would choose"), "{refused}");
        assert_eq!(cis.read("typed"), "");
        cis.ok(["answer", id(&asked), "--keys", "x"]);
        cis.wait_run(&run, "succeeded");
        assert_eq!(cis.read("typed"), "x");
        let by_default = "id = \"ask\"\non_blocked = { deadline = \"2s\", default = \"n\" }\n";
        let run = cis.start(&asking(&script(screen)).replace("id = \"ask\"\n", by_default));
        cis.wait_run(&run, "failed");
        assert_eq!(cis.read("typed"), "", "{screen}");
    }
}

#[test]
fn a_default_that_brings_its_question_back_ends_the_task() {
    let cis = Cis::new();
    let text = asking(
        r#"until [ "$a" = yes ]; do printf 'Please type yes or no: '; read -r a; echo "$a" >> "$E2E_WORK/typed"; done"#,
    );
    let by_default = "id = \"ask\"\non_blocked = { deadline = \"100ms\", default = \"maybe\" }\n";
    let run = cis.start(&text.replace("id = \"ask\"\n", by_default));
    cis.wait_run(&run, "failed");
    assert_eq!(cis.read("typed"), "maybe\n".repeat(10));
    let shown = cis.show(&run).to_string();
    assert!(shown.contains("it came back each time"), "{shown}");
}

#[test]
fn hostile_screens_change_nothing_outside() {
    let cis = Cis::new();
    cis.start(&asking(
        r#"
printf '\033]0;evil\a\033]2;y\nrm -rf /\a\033]9;note\033[31m\a\033]777;notify;a;b\033\\'
printf '\033[c\033[>c\033[21t\033[6n\033]10;?\a\033]7501;?\a\033]7501;state=blocked:kind=permission:msg=\377\a'
printf '\033P+q544e\033\\\033[?1049h\377\376 \302\233 broken \033]52;c;?\a'
head -c 1000000 /dev/zero | tr '\0' x
printf '\033[5n'
stty raw -echo
while :; do
  replies="$replies$(dd bs=1 count=1 2>/dev/null)"
  case $replies in *'[0n') break ;; esac
done
stty sane; printf %s "$replies" > "$E2E_WORK/replies"
printf '\n\342\200\256desrever\n@room ``` <b>Continue?</b> '
read -r a; echo "$a" >> "$E2E_WORK/answers"; sleep 300
"#,
    ));
    let other =
        cis.ok(["session", "create", "--name", "other", "--", "sh", "-c", "echo calm; exec sleep 300"]);
    let hostile = item(&cis, "Continue?");
    let text = hostile.to_string();
    let said = ["question", "screen"].map(|field| hostile[field].as_str().unwrap().to_owned());
    for said in &said {
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
        assert!(!said.contains(['\u{202e}', '\u{9b}']), "{said:?}");
    }
    assert!(text.len() < 20_000, "{} bytes", text.len());
    let replies =
        eventually("it has read them", || Some(cis.read("replies")).filter(|read| !read.is_empty()));
    assert!(!replies.contains("evil") && !replies.contains("rm -rf"), "it answered itself: {replies:?}");
    let (status, identity) = (replies.find("\x1b]7501;?\x1b\\"), replies.find("\x1b[?62"));
    assert!(status.is_some() && identity.is_some(), "{replies:?}");
    cis.ok(["answer", id(&hostile), "--text", "ok"]);
    eventually("it was typed", || (cis.read("answers") == "ok\n").then_some(()));
    let log = cis.ok(["dag", "logs", "--plain", other.trim()]);
    assert_eq!(log.trim(), "calm");
    assert!(!cis.ok(["inbox", "show", id(&hostile)]).contains('\x1b'));
}
