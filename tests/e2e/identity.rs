//! Who the node is, and whom it trusts, over restarts and a change of keys.

use super::harness::Cis;

const OTHER: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

fn show(cis: &Cis) -> serde_json::Value {
    serde_json::from_str(&cis.ok(["identity", "show", "--json"])).unwrap()
}

#[test]
fn trust_is_kept_and_what_makes_no_sense_is_refused() {
    let cis = Cis::new();
    let own = show(&cis)["did"].as_str().unwrap().to_owned();
    assert!(own.starts_with("did:key:z6Mk"), "{own}");
    cis.ok(["identity", "trust", OTHER, "--name", "builder"]);
    cis.ok(["node", "stop"]);
    let view = show(&cis);
    assert_eq!((&view["trusted"][0]["did"], &view["trusted"][0]["name"]), (&OTHER.into(), &"builder".into()));
    let said = cis.ok(["identity", "show"]);
    assert!(said.contains(&own) && said.contains("builder"), "{said}");
    assert!(cis.run(["identity", "trust", &own]).expect(2).stderr.contains("this node itself"));
    assert!(cis.run(["identity", "trust", "did:key:zNobody"]).expect(2).stderr.contains("identity show"));
    cis.ok(["identity", "untrust", OTHER]);
    assert!(cis.run(["identity", "untrust", OTHER]).expect(2).stderr.contains("is not trusted"));
    cis.ok(["identity", "revoke", OTHER]);
    assert!(cis.run(["identity", "trust", OTHER]).expect(3).stderr.contains("was revoked"));
    let view = show(&cis);
    assert_eq!((&view["trusted"], &view["revoked"][0]["did"]), (&serde_json::json!([]), &OTHER.into()));
}

#[test]
fn a_run_goes_on_under_the_nodes_new_key() {
    let cis = Cis::new();
    let script = "while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done";
    let text = format!(
        "version = 1\n[dag]\nid = \"r\"\n[[tasks]]\nid = \"a\"\nscript = '''{script}'''\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n"
    );
    let run = cis.start(&text);
    cis.session_of("a");
    let old = show(&cis)["did"].clone();
    let said = cis.ok(["identity", "rotate"]);
    assert!(said.contains("cis node stop"), "{said}");
    let view = show(&cis);
    assert_eq!(view["running"], old);
    assert_ne!(view["did"], old);
    cis.ok(["node", "stop"]);
    let after = show(&cis);
    assert_eq!((&after["did"], &after["running"]), (&view["did"], &serde_json::Value::Null));
    assert_eq!((&after["rotated"][0]["old"], &after["rotated"][0]["new"]), (&old, &view["did"]));
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_list_that_was_changed_by_hand_trusts_nobody() {
    let cis = Cis::new();
    cis.ok(["identity", "trust", OTHER]);
    cis.ok(["node", "stop"]);
    let path = cis.home().join("trust.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("revision = 1", "revision = 9");
    std::fs::write(&path, &text).unwrap();
    let view = show(&cis);
    assert_eq!(view["trusted"], serde_json::json!([]));
    assert!(view["problem"].as_str().unwrap().contains("trust.toml"), "{view}");
    let refused = cis.run(["identity", "trust", OTHER]).expect(3).stderr;
    assert!(refused.contains("move") && refused.contains("away"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing is written over it");
}
