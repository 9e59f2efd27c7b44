//! The JSON Schema that `cis dag schema` prints: it takes every example, and what it refuses is wrong.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::examples::{dags_in_pages, examples};
use super::harness::{Cis, Installed, installed};

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

/// The errors that Python's `jsonschema` finds in each document. Panics if the schema is no schema.
fn errors(schema: &Value, documents: &[Value]) -> Vec<Vec<String>> {
    let mut python = Command::new(installed(Installed::Synapse))
        .args(["-c", include_str!("schema/validate.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = serde_json::json!({ "schema": schema, "documents": documents });
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the schema is wrong");
    let errors: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(errors.len(), documents.len());
    errors
}

#[test]
fn it_takes_what_is_right() {
    let cis = Cis::new();
    let schema = cis.json(&["dag", "schema"]);
    let files = examples()
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()));
    let (places, texts): (Vec<_>, Vec<_>) = files.chain(dags_in_pages()).unzip();
    let documents: Vec<Value> = texts.iter().map(|text| as_json(text)).collect();
    for (place, wrong) in places.iter().zip(errors(&schema, &documents)) {
        assert!(wrong.is_empty(), "{place}: {wrong:?}");
    }
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    let cis = Cis::new();
    let task = "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = \"true\"\n";
    let changes = [
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
        ("script = \"true\"", "script = \"true\"\nsecrets = { A = { env = \"CIS_A\" } }"),
        ("script = \"true\"", "script = \"true\"\ncache = \"auto\""),
        ("script = \"true\"", "script = \"true\"\nagent = \"claude\""),
    ];
    let wrong = changes.map(|(line, with)| task.replacen(line, with, 1));
    let documents: Vec<Value> = wrong.iter().map(|text| as_json(text)).chain([as_json(task)]).collect();
    let errors = errors(&cis.json(&["dag", "schema"]), &documents);
    assert_eq!(errors[wrong.len()], [""; 0]);
    for (((_, with), text), errors) in changes.iter().zip(wrong).zip(errors) {
        assert!(!errors.is_empty(), "the schema takes {with:?}");
        let file = cis.write("wrong.toml", &text);
        cis.run(["dag", "validate", file.to_str().unwrap()]).expect(2);
    }
}
