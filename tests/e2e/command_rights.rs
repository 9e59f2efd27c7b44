//! Commands that a DAG file makes the node run have at most the rights of the run's submitter.

use std::path::PathBuf;

use super::harness::{Cis, Remote, Running, eventually, ulid_in};
use super::rights::denials;

const FRIEND: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

/// Attempts what an operator may not do, then answers. The directories of the node are exported before it.
const TRIES: &str = r#"
cis="$E2E_CIS"
try() { "$@" > "$E2E_WORK/said" 2>&1; echo "$? $*" >> "$E2E_WORK/tries"; cat "$E2E_WORK/said" >> "$E2E_WORK/all-said"; }
try "$cis" identity trust FRIEND
try "$cis" identity rotate
try "$cis" store gc
try "$cis" node token create --role admin --name mine
try "$cis" node stop
try "$cis" dag approve "$CIS_RUN" held
try "$cis" answer "$CIS_RUN:held" approve
try env -i PATH="$PATH" CIS_HOME="$CIS_HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$cis" identity trust FRIEND
# One that leaves its parents, and waits until the command is over.
(setsid env -i PATH="$PATH" CIS_HOME="$CIS_HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" E2E_MARK="$E2E_MARK" WORK="$E2E_WORK" CIS="$cis" sh -c '
while [ ! -e "$WORK/over" ]; do sleep 0.05; done
"$CIS" identity trust FRIEND > "$WORK/said-late" 2>&1; echo "$? late" >> "$WORK/tries"
"$CIS" dag list >> "$WORK/said-late" 2>&1; echo "$? late" >> "$WORK/tries"; echo done > "$WORK/late"' &) < /dev/null
"$cis" answer "$CIS_ITEM" --text "by a command" > "$E2E_WORK/answered" 2>&1; echo $? > "$E2E_WORK/answer-code"
"#;

/// A task whose approval names people, and a task that asks.
const CLIMB: &str = r#"
version = 1
[dag]
id = "climb"
[[tasks]]
id = "held"
approval = { prompt = "Really?", allowed = ["pl>=100", "@boss:example.org"] }
command = ["true"]
[[tasks]]
id = "ask"
script = '''
printf 'Proceed? [y/n] '; read -r x; echo "$x" > "$E2E_WORK/got"
'''
on_blocked = { action = "run", run = ["sh", "tries.sh"] }
"#;

/// Shell lines that make a command use this node, even if its run was submitted from another installation.
fn places(node: &Cis) -> String {
    let text = |path: PathBuf| path.display().to_string();
    format!("export CIS_HOME='{}' XDG_RUNTIME_DIR='{}'\n", text(node.home()), text(node.runtime()))
}

/// Runs a command as the node's owner in the work directory of the other installation.
fn as_owner(remote: &Remote, arguments: &[&str]) -> Running {
    let mut command = remote.node.command(arguments);
    command.current_dir(remote.away.work()).env("E2E_WORK", remote.away.work());
    Running::start(command)
}

fn a_command_climbs(from_afar: bool) {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let (node, away) = (&remote.node, &remote.away);
    away.write("tries.sh", format!("{}{}", places(node), TRIES.replace("FRIEND", FRIEND)));
    let dag = away.write("climb.toml", CLIMB);
    let words = ["dag", "run", "--detach", dag.to_str().unwrap()];
    let started =
        if from_afar { remote.run(&ann, &words) } else { as_owner(&remote, &words).wait() }.expect(0);
    let run = ulid_in(&started.stdout);
    eventually("its command has answered", || (!away.read("answer-code").is_empty()).then_some(()));
    away.write("over", "");
    eventually("what outlived the command has tried", || (!away.read("late").is_empty()).then_some(()));
    let (tries, said) = (away.read("tries"), [away.read("all-said"), away.read("said-late")].concat());
    assert_eq!(tries.lines().count(), 10, "{tries}");
    assert!(!tries.lines().any(|line| line.starts_with("0 ")), "something was allowed:\n{tries}\n{said}");
    assert!(said.contains("may not"), "{said}");
    assert_eq!(away.read("answer-code"), "0\n", "an operator answers: {}", away.read("answered"));
    assert!(!node.ok(["identity", "show"]).contains(FRIEND));
    assert_eq!(node.task(&run, "held")["state"], "queued", "people are named for that");
    assert!(denials(node) >= 8, "each refusal is an event");
    let answer = remote.audit().into_iter().find(|(kind, ..)| kind == "cis.dag.session.answered").unwrap();
    assert_eq!(answer.1["name"], "on_blocked:ask", "{answer:?}");
    node.ok(["dag", "approve", &run, "held"]);
    node.wait_run(&run, "succeeded");
    assert_eq!(away.read("got"), "by a command\n");
}

#[test]
fn a_command_of_on_blocked_is_an_operator_where_an_operators_token_submitted_its_run() {
    a_command_climbs(true);
}

#[test]
fn a_command_of_on_blocked_is_an_operator_where_the_owner_submitted_its_run() {
    a_command_climbs(false);
}

#[test]
fn a_command_has_no_rights_once_the_token_of_its_submitter_is_revoked() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let (node, away) = (&remote.node, &remote.away);
    // The command starts another run with the same command, which acts for the same token.
    let again = r#"[ "$CIS_TASK" = first ] && "$E2E_CIS" dag run --detach "$E2E_WORK/second.toml" > "$E2E_WORK/started" 2>&1
"$E2E_CIS" answer "$CIS_ITEM" --text y > "$E2E_WORK/said.$CIS_TASK" 2>&1; echo $? > "$E2E_WORK/code.$CIS_TASK"
"#;
    away.write("again.sh", format!("{}{again}", places(node)));
    let dag = |id: &str, before: &str| {
        format!(
            r#"
version = 1
[dag]
id = "{id}"
[[tasks]]
id = "{id}"
script = '''
{before}
printf 'Proceed? [y/n] '; read -r x
'''
on_blocked = {{ action = "run", run = ["sh", "again.sh"] }}
"#
        )
    };
    away.write("second.toml", dag("second", "while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done"));
    let first = away.write("first.toml", dag("first", ""));
    let started = remote.run(&ann, &["dag", "run", "--detach", first.to_str().unwrap()]).expect(0);
    node.wait_run(&ulid_in(&started.stdout), "succeeded");
    eventually("its command ends", || (!away.read("code.first").is_empty()).then_some(()));
    assert_eq!(away.read("code.first"), "0\n", "{}", away.read("said.first"));
    let second = ulid_in(&away.read("started"));
    node.ok(["node", "token", "revoke", "ann"]);
    // A new token with the same name does not count.
    remote.token("operator", "ann", &[]);
    away.write("go", "");
    eventually("its command has tried", || (!away.read("code.second").is_empty()).then_some(()));
    assert_ne!(away.read("code.second"), "0\n", "{}", away.read("said.second"));
    assert!(away.read("said.second").contains("may not"), "{}", away.read("said.second"));
    assert_eq!(node.show(&second)["run"]["state"], "running");
    node.ok(["answer", &format!("{second}:second"), "--text", "by the owner"]);
    node.wait_run(&second, "succeeded");
}

#[test]
fn tasks_have_the_rights_of_their_sessions_for_every_submitter() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "plain"
[dag.on]
always = "last"
[[tasks]]
id = "first"
tty = false
script = '"$E2E_CIS" dag cancel "$CIS_RUN_ID" >> "$E2E_WORK/said" 2>&1; echo $? >> "$E2E_WORK/codes"'
[[tasks]]
id = "last"
tty = false
script = '"$E2E_CIS" identity trust FRIEND >> "$E2E_WORK/said" 2>&1; echo $? >> "$E2E_WORK/codes"'
"#;
    let run = cis.start(&text.replace("FRIEND", FRIEND));
    cis.wait_run(&run, "succeeded");
    cis.ok(["dag", "retry", &run]);
    eventually("all of them have tried", || (cis.read("codes").lines().count() == 4).then_some(()));
    cis.wait_run(&run, "succeeded");
    assert!(!cis.read("codes").lines().any(|code| code == "0"), "{}", cis.read("said"));
    assert!(!cis.ok(["identity", "show"]).contains(FRIEND));
}

#[test]
fn cached_results_are_not_shared_among_submitters() {
    let remote = Remote::start(&[]);
    let (ann, _) = remote.token("operator", "ann", &[]);
    let (bob, _) = remote.token("operator", "bob", &[]);
    // Which program `greet` is depends on the submitter's PATH, which is not part of the key.
    let text = "version = 1\n[dag]\nid = \"shared\"\n[[tasks]]\nid = \"a\"\ncommand = [\"greet\"]\n\
        artifacts = [\"out\"]\ncache = { key = \"v1\" }\n";
    let run = |cis: &Cis, words: Vec<&str>, says: &str| {
        let bin = cis.work().join(format!("{says}.bin"));
        std::fs::create_dir(&bin).unwrap();
        cis.write_program(&format!("{says}.bin/greet"), format!("#!/bin/sh\necho {says} > out\n"));
        let file = cis.write("shared.toml", text);
        let mut command = cis.command(words.iter().copied().chain([file.to_str().unwrap()]));
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        Running::start(command).wait().expect(0);
        cis.read("out")
    };
    let words = |token| remote.words(token, &["dag", "run"]);
    assert_eq!(run(&remote.away, words(&ann), "ann"), "ann\n");
    assert_eq!(run(&remote.node, vec!["dag", "run"], "owner"), "owner\n", "a token's is not the owner's");
    assert_eq!(run(&remote.away, words(&bob), "bob"), "bob\n", "nor another token's");
    assert_eq!(run(&remote.away, words(&ann), "again"), "ann\n", "one submitter's own is taken");
    assert_eq!(run(&remote.node, vec!["dag", "run"], "again"), "owner\n");
}
