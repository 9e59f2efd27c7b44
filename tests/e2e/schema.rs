//! The JSON Schema that `cis dag schema` prints: it takes every example, and what it refuses is wrong.

use serde_json::Value;

use super::examples::{dags_in_pages, examples};
use super::harness::Cis;

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn it_takes_what_is_right() {
    let cis = Cis::new();
    let schema = cis.json(&["dag", "schema"]);
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let files = examples()
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()));
    for (place, text) in files.chain(dags_in_pages()) {
        let wrong: Vec<String> = validator
            .iter_errors(&as_json(&text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{place}: {wrong:?}");
    }
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    let cis = Cis::new();
    let validator = jsonschema::validator_for(&cis.json(&["dag", "schema"])).unwrap();
    let task = "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = \"true\"\n";
    assert!(validator.is_valid(&as_json(task)));
    for (line, with) in [
        ("version = 1", "version = 2"),
        ("version = 1", ""),
        ("id = \"d\"", "id = \"a b\""),
        ("id = \"d\"", ""),
        ("id = \"d\"", "id = \"d\"\ntasks = []"),
        ("id = \"d\"", "id = \"d\"\non = { blocking = \"t\" }"),
        ("id = \"d\"", "id = \"d\"\ngroups = { a = { frees_when_blocked = true } }"),
        ("id = \"d\"", "id = \"d\"\nparams = { \"a-b\" = { type = \"string\" } }"),
        ("id = \"d\"", "id = \"d\"\ndefaults = { needs = [\"a\"] }"),
        ("id = \"t\"", "id = \"T\""),
        ("script = \"true\"", ""),
        ("script = \"true\"", "script = \"true\"\ncommand = [\"true\"]"),
        ("script = \"true\"", "command = \"true\""),
        ("script = \"true\"", "script = \"true\"\nretries = { counts = 1 }"),
        ("script = \"true\"", "script = \"true\"\nretries = -1"),
        ("script = \"true\"", "script = \"true\"\ntimeout = 30"),
        ("script = \"true\"", "script = \"true\"\ntimeout = \"soon\""),
        ("script = \"true\"", "script = \"true\"\ntrigger = \"sometimes\""),
        ("script = \"true\"", "script = \"true\"\nforeach = 3"),
        ("script = \"true\"", "script = \"true\"\nif = true"),
        ("script = \"true\"", "script = \"true\"\napproval = { timeout = \"1d\" }"),
        ("script = \"true\"", "script = \"true\"\noutputs = { n = { type = \"text\" } }"),
        ("script = \"true\"", "script = \"true\"\nenv = { CIS_X = \"1\" }"),
        ("script = \"true\"", "script = \"true\"\nsecrets = { A = { env = \"A\", file = \"a\" } }"),
        ("script = \"true\"", "script = \"true\"\ncache = \"auto\""),
        ("script = \"true\"", "script = \"true\"\nagent = \"claude\""),
    ] {
        let text = task.replacen(line, with, 1);
        assert!(!validator.is_valid(&as_json(&text)), "the schema takes {with:?}");
        let file = cis.write("wrong.toml", &text);
        cis.run(["dag", "validate", file.to_str().unwrap()]).expect(2);
    }
}
