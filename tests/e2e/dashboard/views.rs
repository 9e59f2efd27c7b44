//! Every view of the window with a run in progress, in both colours and small, and what can be done there.

use crate::asking::item;
use crate::harness::{Cis, Desk, Remote, eventually};

/// Runs in every state, one of them with a task in every state.
fn fill(cis: &Cis) -> String {
    for (name, script) in [("good", "true"), ("bad", "echo no; exit 3")] {
        let dag = format!(
            "version = 1\n[dag]\nid = \"{name}\"\n[[tasks]]\nid = \"only\"\nscript = '{script}'\n[[tasks]]\nid = \"after\"\nneeds = [\"only\"]\nscript = 'true'\n"
        );
        let run = cis.start(&dag);
        cis.wait_run(&run, if name == "good" { "succeeded" } else { "failed" });
    }
    let run = cis.start(
        r#"version = 1
[dag]
id = "release"
max_parallel = 6
[[tasks]]
id = "fetch"
script = 'echo "version=1.4" >> "$CIS_OUTPUT"'
outputs = { version = { type = "string" } }
[[tasks]]
id = "lint"
needs = ["fetch"]
allow_failure = true
script = "exit 1"
[[tasks]]
id = "build"
needs = ["fetch"]
script = 'for n in 1 2 3; do echo "compiling part $n"; done; while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done'
[[tasks]]
id = "part"
needs = ["fetch"]
foreach = ["eu", "us", "asia"]
script = 'echo {{ item }}'
[[tasks]]
id = "ask"
needs = ["fetch"]
script = '''printf 'Which colour? [y/n] '; read -r x; echo "got $x"'''
[[tasks]]
id = "deploy"
needs = ["fetch"]
approval = { prompt = "Deploy 1.4 to all regions?" }
script = 'true'
[[tasks]]
id = "end"
needs = ["build", "part", "ask", "deploy", "lint"]
script = 'true'
"#,
    );
    eventually("two things wait", || (cis.json(&["inbox"])["items"].as_array()?.len() == 2).then_some(()));
    cis.wait_task(&run, "part", "succeeded");
    run
}

#[test]
fn every_view_shows_a_run_in_progress_in_both_colours() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = fill(&cis);
    let window = desk.open(&cis, &["gui"]);
    for colours in ["Dark", "Light"] {
        let picture = |view: &str| window.picture(&format!("{}-{view}", colours.to_lowercase()));
        window.key("ctrl+5");
        window.click(colours);
        picture("settings");
        window.key("ctrl+n");
        window.wait_for("Start a run");
        picture("start");
        window.key("ctrl+1");
        window.wait_for("Inbox (2)");
        window.wait_for("Deploy 1.4");
        picture("inbox");
        window.key("ctrl+2");
        window.wait_for("release");
        window.wait_for("good");
        picture("runs");
        window.click("release");
        window.wait_for("of 10 tasks");
        window.click("Graph");
        window.wait_for("Graph of release");
        picture("graph");
        window.click("Timeline");
        picture("timeline");
        window.click("Tasks");
        window.click("build");
        window.wait_for("Close");
        window.click("Log");
        window.wait_for("compiling part 3");
        picture("tasks");
        window.click("Open terminal");
        window.wait_for("live: click into it to type");
        window.wait_for("compiling part 3");
        picture("terminal");
        window.key("ctrl+3");
        for verb in ["pause", "resume"] {
            cis.ok(["dag", verb, &run]);
        }
        window.wait_for("run.resumed");
        picture("events");
        window.key("ctrl+4");
        window.wait_for("Version");
        picture("node");
        window.key("ctrl+1");
        window.key("question");
        window.wait_for("Fit, zoom and move a graph");
        picture("keys");
        window.key("Escape");
        window.wait_without("Fit, zoom and move a graph");
    }
    cis.write("go", "");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn a_run_is_paused_resumed_cancelled_and_retried_by_clicks() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(super::STAYS);
    cis.session_of("a");
    let window = desk.open(&cis, &["gui"]);
    window.key("ctrl+2");
    window.click("Pause");
    cis.wait_run(&run, "paused");
    window.click_twice("Resume", "Really resume");
    cis.wait_run(&run, "running");
    window.click_twice("Cancel", "Really cancel");
    cis.wait_run(&run, "cancelled");
    cis.write("go", "");
    window.click_twice("Retry failed", "Really retry");
    cis.wait_run(&run, "succeeded");
    window.wait_for("2 / 2");
    // Search leaves what is like it, and says so where nothing is.
    window.key("ctrl+f");
    window.wait_focused("Search runs");
    window.type_text("nothing like it");
    window.wait_for("No run is like that");
    window.picture("search");
}

#[test]
fn inbox_cards_name_the_run_and_a_rejection_has_a_reason() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let dag = "version = 1\n[dag]\nid = \"release\"\n[dag.params]\nregion = { type = \"string\" }\n[[tasks]]\nid = \"deploy\"\napproval = { prompt = \"Deploy it?\", timeout = \"2h\" }\nscript = 'true'\n";
    let file = cis.write("release.toml", dag).display().to_string();
    for region in ["region=eu", "region=us"] {
        cis.ok(["dag", "run", "--detach", &file, "--param", region]);
    }
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("Inbox (2)");
    let items = cis.json(&["inbox"])["items"].clone();
    let run = |at: usize| items[at]["run"].as_str().unwrap().to_owned();
    for (at, region) in ["eu", "us"].into_iter().enumerate() {
        let short = run(at)[20..].to_lowercase();
        window.wait_for(&format!("release {short} / deploy, region={region}"));
    }
    window.wait_for("the task fails then");
    window.picture("cards");
    window.key("a");
    window.wait_focused("Reason");
    window.type_text("not on a Friday");
    window.picture("reason");
    window.click("reject");
    let detail = cis.wait_run(&run(0), "failed")["run"]["detail"].to_string();
    assert!(detail.contains("not on a Friday"), "{detail}");
    cis.ok(["dag", "cancel", &run(1)]);
    cis.wait_run(&run(1), "cancelled");
}

#[test]
fn a_viewer_sees_disabled_actions_with_the_reason() {
    let remote = Remote::start(&[]);
    let desk = Desk::new(&remote.away);
    let (file, _) = remote.token("viewer", "vera", &[]);
    let run = remote.node.start(super::ASKS);
    item(&remote.node);
    let window = desk.open(&remote.away, &remote.words(&file, &["gui"]));
    window.wait_for("Paint it?");
    window.wait_for("token:vera is a viewer on this node");
    assert!(!window.wait_named("yes").enabled);
    window.picture("inbox");
    window.click("Open terminal");
    window.wait_for("live, only to look at");
    window.wait_for("Paint it?");
    window.key("ctrl+2");
    assert!(!window.wait_named("Cancel").enabled);
    window.picture("runs");
    remote.node.ok(["dag", "cancel", &run]);
    remote.node.wait_run(&run, "cancelled");
}

#[test]
fn a_small_window_shows_what_matters() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = fill(&cis);
    let window = desk.open(&cis, &["gui"]);
    window.resize(640, 480);
    for (key, view, text) in
        [("ctrl+1", "inbox", "Deploy 1.4"), ("ctrl+2", "runs", "release"), ("ctrl+4", "node", "Version")]
    {
        window.key(key);
        window.wait_for(text);
        window.picture(view);
    }
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn files_that_are_cleaned_away_take_no_run_from_the_list() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start("version = 1\n[dag]\nid = \"old\"\n[[tasks]]\nid = \"a\"\nscript = 'echo it'\n");
    cis.wait_run(&run, "succeeded");
    let window = desk.open(&cis, &["gui"]);
    window.key("ctrl+2");
    window.wait_for("old");
    let other = cis.start("version = 1\n[dag]\nid = \"later\"\n[[tasks]]\nid = \"a\"\nscript = 'true'\n");
    cis.wait_run(&other, "succeeded");
    window.wait_for("later");
    cis.ok(["store", "gc", "--older-than", "1ms"]);
    window.key("ctrl+3");
    window.wait_for("node.cleaned");
    window.key("ctrl+2");
    window.wait_for("old");
    assert!(window.text().contains("later"));
}

#[test]
fn an_item_is_what_was_asked() {
    // What the other tests wait for, said by the node itself.
    let cis = Cis::new();
    let run = cis.start(super::ASKS);
    let asked = item(&cis);
    assert!(asked["options"].as_array().is_some_and(|options| options.len() == 2), "{asked}");
    cis.ok(["answer", asked["id"].as_str().unwrap(), "--text", "y"]);
    cis.wait_run(&run, "succeeded");
}
