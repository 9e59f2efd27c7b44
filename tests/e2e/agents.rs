//! Real agents against a model server of ours: they start, stop at their own prompts, are answered by what an
//! option means, and leave what they said.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cis, Model, Reply, eventually, eventually_within, kill_9};

/// A full-screen agent takes seconds to start on a quiet machine.
const AGENTS_TAKE: Duration = Duration::from_secs(120);

/// A run of an agent comes to its end.
#[track_caller]
fn wait_end(cis: &Cis, run: &str, state: &str) {
    eventually_within(AGENTS_TAKE, &format!("run {run} is {state}: {}", cis.show(run)), || {
        (cis.show(run)["run"]["state"] == state).then_some(())
    });
}

/// The open item of a task.
#[track_caller]
fn waiting(cis: &Cis, task: &str) -> Value {
    eventually_within(AGENTS_TAKE, &format!("task {task} waits in the inbox"), || {
        let inbox = cis.json(&["inbox"]);
        inbox["items"].as_array()?.iter().find(|item| item["task"] == task).cloned()
    })
}

fn meanings(item: &Value) -> Vec<&str> {
    item["options"].as_array().into_iter().flatten().filter_map(|option| option["meaning"].as_str()).collect()
}

/// What a later task gets of the task `work`.
const READER: &str =
    "[[tasks]]\nid = \"reader\"\nneeds = [\"work\"]\nscript = \"printf %s {{ tasks.work.output }} > got\"\n";

#[test]
fn agents_llm_asks_is_allowed_by_meaning_and_its_answer_reaches_the_next_task() {
    let model = Model::start(|turn| match turn.results.as_slice() {
        [] => Reply::Run("touch made; echo of-the-command".to_owned()),
        [result, ..] => Reply::Text(format!("The tool said {}.", result.trim())),
    });
    let cis = Cis::new();
    cis.set_up_llm(&model);
    let run = cis.start_task("work", &format!("agent = \"llm\"\nprompt = \"--make; it $(id)\"\n{READER}"));
    let item = waiting(&cis, "work");
    assert_eq!(item["kind"], "permission", "{item}");
    assert!(item["question"].as_str().unwrap().contains("Approve tool call?"), "{item}");
    assert!(meanings(&item).contains(&"allow_once") && meanings(&item).contains(&"deny"), "{item}");
    assert!(!cis.work().join("made").exists(), "nothing runs before it is allowed");
    cis.ok(["answer", item["id"].as_str().unwrap(), "allow_once"]);
    wait_end(&cis, &run, "succeeded");
    assert!(cis.work().join("made").exists());
    assert!(cis.read("got").contains("The tool said of-the-command."), "{}", cis.read("got"));
    assert_eq!(model.turns()[0].user, "--make; it $(id)", "the prompt came as it was written");
}

#[test]
fn agents_llm_runs_the_example_and_is_refused_where_it_is_denied() {
    let model = Model::start(|turn| match (turn.user.contains("denied"), turn.results.len()) {
        (true, 0) => Reply::Run("touch denied".to_owned()),
        (true, _) => Reply::Text("I was not allowed to.".to_owned()),
        (false, _) => Reply::Text(format!("You said: {}", turn.user)),
    });
    let cis = Cis::new();
    cis.set_up_llm(&model);
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags/agent-llm.toml");
    cis.run(["dag", "run", example.to_str().unwrap(), "--param", "topic=tests"]).expect(0);
    let said = cis.read("look.txt");
    assert!(said.contains("You said: Say in a sentence what tests are about."), "{said}");

    let run = cis.start_task("work", "agent = \"llm\"\nprompt = \"denied\"");
    let item = waiting(&cis, "work");
    cis.ok(["answer", item["id"].as_str().unwrap(), "deny"]);
    wait_end(&cis, &run, "succeeded");
    assert!(!cis.work().join("denied").exists());
}

#[test]
fn agents_gemini_is_allowed_by_meaning_hands_in_and_leaves_no_process() {
    let model = Model::start(|turn| match turn.results.as_slice() {
        [] => Reply::Run("touch made; echo of-the-command".to_owned()),
        [..] => Reply::Text("All is made as you said.".to_owned()),
    });
    let cis = Cis::new();
    cis.set_up_gemini(&model);
    let run = cis.start_task("work", &format!("agent = \"gemini\"\nprompt = \"Make it.\"\n{READER}"));
    let item = waiting(&cis, "work");
    assert_eq!(item["kind"], "permission", "{item}");
    assert!(item["question"].as_str().unwrap().contains("Allow execution"), "{item}");
    let offered = meanings(&item);
    for meaning in ["allow_once", "allow_session", "deny_and_say"] {
        assert!(offered.contains(&meaning), "{meaning} in {item}");
    }
    assert!(!cis.work().join("made").exists(), "nothing runs before it is allowed");
    cis.ok(["answer", item["id"].as_str().unwrap(), "allow_once"]);
    wait_end(&cis, &run, "succeeded");
    assert!(cis.work().join("made").exists());
    assert_eq!(cis.read("got"), "All is made as you said.");
    let left: Vec<String> = cis.processes().into_iter().map(|process| process.command).collect();
    assert!(!left.iter().any(|command| command.contains("gemini")), "{left:?}");
}

#[test]
fn agents_gemini_whose_own_shell_asks_is_found_while_its_screen_spins() {
    let model = Model::start(|turn| match turn.results.as_slice() {
        [] => Reply::Run("read -p 'Name: ' name; echo got-$name".to_owned()),
        [result, ..] => Reply::Text(format!("It said {result}")),
    });
    let cis = Cis::new();
    cis.set_up_gemini(&model);
    let run = cis.start_task("work", "agent = \"gemini\"\nprompt = \"Ask.\"");
    let item = waiting(&cis, "work");
    cis.ok(["answer", item["id"].as_str().unwrap(), "allow_once"]);
    let nested = eventually_within(AGENTS_TAKE, "the shell in it is found", || {
        let inbox = cis.json(&["inbox"]);
        inbox["items"]
            .as_array()?
            .iter()
            .find(|one| one["task"] == "work" && one["id"] != item["id"])
            .cloned()
    });
    assert_eq!(nested["kind"], "question", "{nested}");
    assert_eq!(nested["layer"], "kernel", "the kernel shows it, whatever the screen does: {nested}");
    cis.ok(["dag", "cancel", &run]);
    wait_end(&cis, &run, "cancelled");
}

/// A profile whose program is a script of ours.
pub fn scripted(cis: &Cis, name: &str, keys: &str, script: &str) -> String {
    let program = cis.write_program(name, format!("#!/bin/sh\n{script}\n"));
    format!("[agents.{name}]\ncommand = [{:?}]\n{keys}\n", program.display().to_string())
}

/// Keys of a profile whose prompt is typed where this stands.
pub fn typed_at(name: &str, ready: &str) -> String {
    format!(
        "prompt = \"typed\"\n[[agents.{name}.screen.rules]]\nname = \"ready\"\nis = \"idle\"\nregion = \"last 1\"\nany = [{ready:?}]"
    )
}

/// What Claude Code shows: at work for a second, and then these words with its input line. The program goes on where a key is typed.
const LIKE_CLAUDE: &str = r#"
import os, sys, time, tty
tty.setraw(0)
box = "\r\n".join(["─" * 80, "❯ ", "─" * 80])
def show(text):
    sys.stdout.write("\x1b[2J\x1b[3J\x1b[H" + text.replace("\n", "\r\n"))
    sys.stdout.flush()
def works():
    for turn in range(10):
        show(f"{'✶✢'[turn % 2]} Shimmying…\n\n" + box + "\r\n  ⏸ manual mode on · esc to interrupt")
        time.sleep(0.1)
def rests(answer):
    show(answer + "\n\n✻ Worked for 14s\n\n" + box + "\r\n  ? for shortcuts")
works()
"#;

#[test]
fn agents_answers_are_whole_also_if_they_are_longer_than_the_screen_and_the_agent_sleeps_before_them() {
    let cis = Cis::new();
    let mut config = String::new();
    for (name, more) in [
        ("long", r"rests('● Plan:\n' + '\n'.join(f'  - {n}' for n in range(1, 41))); os.read(0, 1)"),
        // Its input line is there, and it does not look at its terminal.
        ("sleeps", r"rests('● So far.'); time.sleep(4); works(); rests('● It is done.'); os.read(0, 1)"),
    ] {
        let program = cis.write(&format!("{name}.py"), format!("{LIKE_CLAUDE}{more}\n"));
        config.push_str(&format!(
            "[agents.{name}]\nextends = \"claude\"\ncommand = [\"python3\", {:?}]\n",
            program.display().to_string()
        ));
    }
    cis.configure(&config);
    let task = |id: &str| {
        format!(
            "[[tasks]]\nid = \"{id}\"\nagent = \"{id}\"\nprompt = \"go\"\n\
             [[tasks]]\nid = \"{id}-reader\"\nneeds = [\"{id}\"]\nscript = \"printf %s {{{{ tasks.{id}.output }}}} > {id}.got\"\n"
        )
    };
    let run = cis.start(&format!("version = 1\n[dag]\nid = \"answers\"\n{}{}", task("long"), task("sleeps")));
    wait_end(&cis, &run, "succeeded");
    let plan: String = (1..=40).map(|n| format!("\n- {n}")).collect();
    assert_eq!(cis.read("long.got"), format!("Plan:{plan}"));
    assert_eq!(cis.read("sleeps.got"), "It is done.");
}

#[test]
fn agents_get_their_prompts_as_the_profile_says_and_no_shell_sees_them() {
    let cis = Cis::new();
    let mut config = scripted(
        &cis,
        "piped",
        "prompt = \"stdin\"",
        "cat > piped.got; tty <&1 > /dev/null && echo terminal",
    );
    config.push_str(&scripted(
        &cis,
        "given",
        "prompt_args = [\"--\", \"<{prompt}>\"]\nenv = { A = \"agent\", B = \"agent\" }",
        "printf %s \"$2\" > given.got; echo $A-$B",
    ));
    config.push_str(&scripted(
        &cis,
        "typed",
        &typed_at("typed", "your turn>"),
        "printf 'your turn> '; read -r one; read -r two; printf '%s|%s' \"$one\" \"$two\" > typed.got",
    ));
    cis.configure(&config);
    cis.write("prompt.md", "a {{ no.template }}\n$(touch hacked) `x` \"'\n");
    let done = cis.dag(
        "version = 1\n[dag]\nid = \"prompts\"\n\
         [[tasks]]\nid = \"piped\"\nagent = \"piped\"\nprompt_file = \"prompt.md\"\n\
         [[tasks]]\nid = \"given\"\nagent = \"given\"\nprompt = \"--x; $(touch hacked)\\n{{ run.id }}\"\nenv = { B = \"task\" }\n\
         [[tasks]]\nid = \"typed\"\nagent = \"typed\"\nprompt = \"first line\\n$(touch hacked)\"\n",
        &[],
    );
    done.expect(0);
    assert_eq!(cis.read("piped.got"), "a {{ no.template }}\n$(touch hacked) `x` \"'\n");
    assert!(cis.ok(["dag", "logs", "piped"]).contains("terminal"));
    assert!(cis.read("given.got").starts_with("<--x; $(touch hacked)\n01"), "{}", cis.read("given.got"));
    assert!(cis.ok(["dag", "logs", "given"]).contains("agent-task"));
    assert_eq!(cis.read("typed.got"), "first line|$(touch hacked)");
    assert!(!cis.work().join("hacked").exists());
}

#[test]
fn agents_get_a_typed_prompt_at_their_own_prompt_and_no_other() {
    let cis = Cis::new();
    let script = "printf 'Which model? '; read -r m; printf 'your turn> '; read -r p; printf '%s|%s' \"$m\" \"$p\" > chosen.got";
    cis.configure(&scripted(&cis, "choosy", &typed_at("choosy", "your turn>"), script));
    let run = cis.start_task("work", "agent = \"choosy\"\nprompt = \"remove it\"");
    let item = waiting(&cis, "work");
    assert_eq!((&item["kind"], &item["question"]), (&"question".into(), &"Which model?".into()), "{item}");
    cis.ok(["answer", item["id"].as_str().unwrap(), "--text", "small"]);
    wait_end(&cis, &run, "succeeded");
    assert_eq!(cis.read("chosen.got"), "small|remove it");
}

#[test]
fn agents_without_a_run_keep_their_typed_prompt_and_their_profile_over_a_restart() {
    let cis = Cis::new();
    let script = "printf 'Which model? '; read -r m; printf 'your turn> '; read -r p; printf '%s|%s' \"$m\" \"$p\" > chosen.got";
    let asked = scripted(&cis, "choosy", &typed_at("choosy", "your turn>"), script);
    // The command alone does not tell which of the two was asked for.
    let program = cis.work().join("choosy").display().to_string();
    cis.configure(&format!("{asked}[agents.zeta]\ncommand = [{program:?}]\n"));
    cis.ok(["session", "create", "--agent", "choosy", "remove it"]);
    let item = eventually("it asks", || cis.json(&["inbox"])["items"].get(0).cloned());
    assert_eq!(item["question"], "Which model?", "{item}");
    kill_9(cis.node_pid().unwrap());
    eventually("the next node answers", || {
        (cis.run(["answer", item["id"].as_str().unwrap(), "--text", "small"]).code == Some(0)).then_some(())
    });
    eventually("the prompt is typed", || (cis.read("chosen.got") == "small|remove it").then_some(()));
    eventually("nothing of it is kept", || {
        std::fs::read_dir(cis.home().join("outputs")).unwrap().next().is_none().then_some(())
    });
}

#[test]
fn agents_that_are_not_there_are_told_before_anything_runs() {
    let cis = Cis::new();
    cis.configure("[agents.absent]\ncommand = [\"no-such-agent\"]\n");
    let text = |agent: &str| {
        format!(
            "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"first\"\nscript = \"touch ran\"\n[[tasks]]\nid = \"work\"\nneeds = [\"first\"]\nagent = \"{agent}\"\nprompt = \"p\"\n"
        )
    };
    for (agent, said) in [
        ("absent", "agent `absent` runs the program `no-such-agent`, which is not in PATH ("),
        ("claud", "there is no agent `claud`: did you mean `claude`?"),
    ] {
        let refused = cis.dag(&text(agent), &[]).expect(2);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        let file = cis.write("valid.toml", text(agent));
        let warned = cis.run(["dag", "validate", file.to_str().unwrap()]).expect(0);
        assert!(warned.stderr.contains(said), "{}", warned.stderr);
        let alone = cis.run(["session", "create", "--agent", agent]).expect(2);
        assert!(alone.stderr.contains(said.split(": ").next().unwrap()), "{}", alone.stderr);
    }
    assert!(!cis.work().join("ran").exists());
}
