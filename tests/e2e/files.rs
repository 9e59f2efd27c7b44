//! Bad files: what is said, the exit code, and that nothing comes of them.

use super::harness::Cis;

/// Each with a part of what must be said, and the place.
const BAD: &[(&str, &str, &str)] = &[
    ("key", "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncomand = [\"true\"]\n", "6:1"),
    (
        "need",
        "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"build\"\ncommand = [\"true\"]\n[[tasks]]\nid = \"b\"\nneeds = [\"biuld\"]\ncommand = [\"true\"]\n",
        "9:10",
    ),
    ("syntax", "version = 1\n[dag\n", "2:5"),
    ("type", "version = 1\n[dag]\nid = \"x\"\nmax_parallel = \"two\"\n", "4:16"),
];

#[test]
fn bad_files_exit_with_2_name_the_place_and_create_nothing() {
    let cis = Cis::new();
    for (name, text, place) in BAD {
        let file = cis.write(&format!("{name}.toml"), text);
        for verb in ["run", "validate"] {
            let out = cis.run(["dag", verb, file.to_str().unwrap()]).expect(2);
            let wanted = format!("{name}.toml:{place}");
            assert!(out.stderr.contains(&wanted), "`dag {verb}` does not say {wanted}:\n{}", out.stderr);
        }
    }
    assert_eq!(cis.json(&["dag", "list"])["items"], serde_json::json!([]));
}

#[test]
fn misspelled_names_get_a_suggestion() {
    let cis = Cis::new();
    let said = |name: &str, text: &str| {
        cis.run(["dag", "validate", cis.write(name, text).to_str().unwrap()]).expect(2).stderr
    };
    assert!(said("key.toml", BAD[0].1).contains("did you mean `command`"));
    assert!(said("need.toml", BAD[1].1).contains("did you mean \"build\""));
}

#[test]
fn cycles_and_values_in_single_quotes_are_refused() {
    let cis = Cis::new();
    let cycle = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\nneeds = [\"b\"]\ncommand = [\"true\"]\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n";
    assert!(cis.dag(cycle, &[]).expect(2).stderr.contains("a → b → a"));
    let quotes = "version = 1\n[dag]\nid = \"x\"\nparams = { p = { type = \"string\", default = \"v\" } }\n[[tasks]]\nid = \"a\"\nscript = \"echo '{{ params.p }}'\"\n";
    assert!(cis.dag(quotes, &[]).expect(2).stderr.contains("single quotes"));
}

#[test]
fn files_that_are_not_text_or_not_there_are_said() {
    let cis = Cis::new();
    let file = cis.write("binary.toml", b"version = 1\n\xff\xfe\n");
    assert!(cis.run(["dag", "run", file.to_str().unwrap()]).expect(2).stderr.contains("binary.toml"));
    assert!(cis.run(["dag", "run", "no-such.toml"]).expect(2).stderr.contains("no-such.toml"));
}

#[test]
fn a_good_file_is_valid_without_a_run() {
    let cis = Cis::new();
    let file = cis
        .write("good.toml", "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n");
    cis.run(["dag", "validate", file.to_str().unwrap()]).expect(0);
    assert_eq!(cis.json(&["dag", "list"])["items"], serde_json::json!([]));
}

#[test]
fn a_mistake_is_told_once() {
    let cis = Cis::new();
    let file = cis.write("key.toml", BAD[0].1);
    for verb in ["run", "validate"] {
        let said = cis.run(["dag", verb, file.to_str().unwrap()]).expect(2).stderr;
        assert_eq!(said.matches("unknown key").count(), 1, "{said}");
        assert!(!said.contains("error: error:"), "{said}");
    }
}
