//! Limits of time: idle sessions, lifetimes, `exec`; and the warnings before them.

use super::harness::{Cis, eventually};

/// Warned 300 ms before; for limits above 600 ms.
fn quick() -> Cis {
    Cis::new().env("CIS_TIMEOUTS_SESSION_WARNING", "300ms")
}

fn create(cis: &Cis, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["session", "create"].iter().chain(arguments).copied().collect();
    cis.ok(all).trim().to_owned()
}

/// Limits that a session was warned of, as the database tells.
fn warnings(cis: &Cis, id: &str) -> Vec<String> {
    let database = super::storage::read_database(cis);
    let sql = "select body ->> 'limit' from events
        where type = 'cis.dag.session.expiring' and body ->> 'session' = ?1 order by offset";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([id], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn ended(cis: &Cis, id: &str) -> serde_json::Value {
    eventually(&format!("session {id} has ended"), || {
        let listing = cis.json(&["session", "list", "--all"]);
        let found = listing["items"].as_array()?.iter().find(|session| session["id"] == id).cloned()?;
        (found["state"] == "terminated").then_some(found)
    })
}

#[test]
fn an_idle_session_ends_and_one_that_is_typed_into_does_not() {
    let cis = quick();
    // Neither reads its terminal: who waits for a human is not idle.
    let idle = create(&cis, &["--idle", "1500ms", "--", "sleep", "300"]);
    let used = create(&cis, &["--idle", "3s", "--", "sleep", "300"]);
    let mut typed = 0;
    let gone = eventually("the idle one has ended", || {
        typed += 1;
        cis.ok(["session", "exec", &used, "x", "--quiet", "100ms"]);
        let listing = cis.json(&["session", "list", "--all"]);
        listing["items"]
            .as_array()?
            .iter()
            .find(|s| s["id"] == idle.as_str() && s["state"] == "terminated")
            .cloned()
    });
    assert!(typed > 1);
    assert_eq!(gone["detail"], "idle for too long");
    assert_eq!(warnings(&cis, &idle), ["idle"]);
    assert_eq!(ended(&cis, &used)["detail"], "idle for too long", "when nobody types any more");
}

#[test]
fn a_lifetime_ends_a_session_whatever_it_does() {
    let cis = quick();
    let id = create(
        &cis,
        &["--lifetime", "1s", "--no-tty", "--", "sh", "-c", "while :; do echo x; sleep 0.05; done"],
    );
    assert_eq!(ended(&cis, &id)["detail"], "its lifetime was over");
    assert_eq!(warnings(&cis, &id), ["lifetime"]);
}

#[test]
fn an_idle_task_fails_after_a_warning_and_one_at_work_does_not() {
    let cis = quick();
    let text = r#"
version = 1
[dag]
id = "idle"
[[tasks]]
id = "waits"
script = 'exec sleep 300'
idle = "1200ms"
[[tasks]]
id = "works"
script = 'end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done'
idle = "1200ms"
"#;
    let out = cis.dag(text, &[]).expect(1);
    assert!(out.stderr.contains("expiring") && out.stderr.contains("waits is idle"), "{}", out.stderr);
    let listing = cis.json(&["dag", "list"]);
    let run = listing["items"][0]["id"].as_str().unwrap().to_owned();
    let waits = cis.task(&run, "waits");
    assert_eq!(waits["state"], "failed");
    assert!(waits["reason"].as_str().unwrap().contains("was idle for 1.2s"), "{waits}");
    assert_eq!(cis.task(&run, "works")["state"], "succeeded");
}

#[test]
fn exec_waits_as_long_as_is_configured_and_the_session_lives_on() {
    let cis = Cis::new().env("CIS_TIMEOUTS_EXEC_DEFAULT", "400ms").env("CIS_TIMEOUTS_EXEC_MAX", "1m");
    let id = create(&cis, &["--", "cat"]);
    let out = cis.run(["session", "exec", &id, "text", "--wait-for", "never"]).expect(1);
    assert!(out.stderr.contains("within 400ms") && out.stderr.contains("continues"), "{}", out.stderr);
    let out = cis.run(["session", "exec", &id, "text", "--timeout", "2m"]).expect(2);
    assert!(out.stderr.contains("the maximum, 1m") && out.stderr.contains("exec_max"), "{}", out.stderr);
    let longer = [
        "-c",
        "timeouts.exec_max=3m",
        "session",
        "exec",
        &id,
        "text",
        "--timeout",
        "2m",
        "--wait-for",
        "text",
    ];
    cis.ok(longer);
    assert_eq!(cis.json(&["session", "list"])["items"][0]["id"], id.as_str());
    cis.ok(["session", "terminate", &id]);
}
