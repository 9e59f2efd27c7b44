//! Runs that a room follows: what is said where that cannot be, and that everything else goes on.

use super::harness::Cis;

const FILE: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
command = ["sh", "-c", "test -t 0 && echo terminal; echo planned"]
tty = false
[[tasks]]
id = "deploy"
needs = ["plan"]
tty = false
command = ["true"]
approval = { prompt = "Deploy?", allowed = ["pl>=50", "@ann:example.org"] }
"#;

fn configure(cis: &Cis, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(cis.home()).unwrap();
    std::fs::set_permissions(cis.home(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(cis.home().join("config.toml"), text).unwrap();
}

#[test]
fn without_an_account_a_hybrid_run_says_how_to_get_one() {
    let cis = Cis::new();
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let room = "#builds:example.org";
    for args in [["dag", "execute", file, "--room", room], ["dag", "run", "--room", room, file]] {
        let said = cis.run(args).expect(3).stderr;
        assert!(said.contains("no Matrix account") && said.contains("cis matrix login"), "{said}");
    }
    let said = cis.run(["dag", "execute", "--hybrid", file]).expect(2).stderr;
    assert!(said.contains("needs a room") && said.contains("auto_create_room"), "{said}");
    let said = cis.run(["dag", "execute", "--hybrid", "--room", "builds", file]).expect(2).stderr;
    assert!(said.contains("matrix.to"), "{said}");
    let said = cis.run(["dag", "execute", "--local", "--room", room, file]).expect(2).stderr;
    assert!(said.contains("cannot be used with"), "{said}");
    assert_eq!(cis.run(["dag", "list", "--json"]).expect(0).json()["items"], serde_json::json!([]));
}

#[test]
fn the_configuration_says_what_holds_without_a_flag() {
    let cis = Cis::new();
    configure(&cis, "[dag]\ndefault_mode = \"hybrid\"\n");
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let said = cis.run(["dag", "run", file]).expect(2).stderr;
    assert!(said.contains("needs a room"), "{said}");
    let run = cis.run(["dag", "run", "--local", "--create-only", "--json", file]).expect(0).json();
    assert_eq!((&run["mode"], &run["room"]), (&"local".into(), &serde_json::Value::Null));
    let off = Cis::new();
    configure(&off, "[dag]\nroom_id = \"!r:example.org\"\n[dag.matrix]\nenabled = false\n");
    let said = off.run(["dag", "run", "--hybrid", file]).expect(3).stderr;
    assert!(said.contains("dag.matrix.enabled"), "{said}");
}

#[test]
fn a_mode_is_switched_only_to_what_can_be() {
    let cis = Cis::new();
    let run = cis.start(FILE);
    let said = cis.run(["dag", "mode", &run, "hybrid", "--room", "!r:example.org"]).expect(3).stderr;
    assert!(said.contains("cis matrix login"), "{said}");
    let said = cis.ok(["dag", "mode", &run, "local"]);
    assert!(said.contains("is local now"), "{said}");
    super::harness::eventually("the question", || {
        (cis.show(&run)["run"]["approvals"][0] == "deploy").then_some(())
    });
    let asked = cis.task(&run, "deploy");
    assert_eq!(asked["approval"]["allowed"], serde_json::json!(["pl>=50", "@ann:example.org"]), "{asked}");
    // Whoever has the socket is the owner: the list is for rooms.
    cis.ok(["dag", "approve", &run, "deploy"]);
    cis.wait_run(&run, "succeeded");
    let said = cis.run(["dag", "mode", &run, "local"]).expect(3).stderr;
    assert!(said.contains("has ended"), "{said}");
    let status = cis.run(["node", "status", "--json"]).expect(0).json();
    assert_eq!(status["outbox"], 0);
}

#[test]
fn every_command_gets_a_terminal_and_agents_get_the_rest() {
    let cis = Cis::new();
    let file = cis.write("ship.toml", FILE);
    let file = file.to_str().unwrap();
    let run = cis.run(["dag", "execute", "--use-agent", "--detach", file]).expect(0).stdout;
    let run = run.trim();
    super::harness::eventually("the question", || {
        (cis.show(run)["run"]["approvals"][0] == "deploy").then_some(())
    });
    let log = cis.ok(["dag", "logs", "plan"]);
    assert!(log.contains("terminal"), "{log}");
    cis.ok(["dag", "approve", run, "deploy"]);
    let said = cis.run(["dag", "execute", "--use-agent=nobody", file]).expect(2).stderr;
    assert!(said.contains("there is no agent `nobody`"), "{said}");
    let named = cis.run(["dag", "run", "--create-only", "--use-agent=shell", file]).expect(0).stdout;
    let tasks = cis.show(named.trim())["tasks"].clone();
    assert!(tasks.as_array().unwrap().iter().all(|task| task["agent"] == "shell"), "{tasks}");
    let said = cis.run(["dag", "execute", "--run-id", run, "--use-agent"]).expect(2).stderr;
    assert!(said.contains("decided already"), "{said}");
}
