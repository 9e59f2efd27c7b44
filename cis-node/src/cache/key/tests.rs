use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;
use cis_core::dag::{SecretSource, ValueType};
use cis_core::ids::TokenId;

pub(crate) fn spec(argv: &[&str]) -> TaskSpec {
    TaskSpec {
        program: Program::Argv(argv.iter().map(|&one| one.to_owned()).collect()),
        env: BTreeMap::new(),
        base_env: None,
        umask: None,
        cwd: "/work".to_owned(),
        keeps_log: false,
        tty: false,
        secrets: BTreeMap::new(),
        run_secrets: Vec::new(),
        sensitive: Vec::new(),
        timeout_ms: None,
        idle_ms: None,
        grace_ms: 1,
        log_limit_bytes: 1,
        outputs: BTreeMap::new(),
        artifacts: Vec::new(),
        cache: None,
        context: None,
        profile: None,
        inputs: BTreeMap::new(),
    }
}

pub(crate) fn auto() -> CacheUse {
    CacheUse {
        key: CacheKey::Auto,
        inputs: Vec::new(),
        ttl_ms: None,
        refresh: false,
        cwd: ".".to_owned(),
        scope: "dag/task".to_owned(),
        submitter: None,
    }
}

fn key(spec: &TaskSpec, cache: &CacheUse, cwd: &Path) -> Result<String, FilesError> {
    let made = recipe(spec, cache, None).finish(cwd, &cache.inputs, &Globs::new(&[])?, &Stop::default());
    made.map(|noted| noted.key)
}

#[test]
fn whatever_a_result_depends_on_changes_the_key_and_nothing_else_does() {
    let nowhere = Path::new("/");
    let base = spec(&["make", "all"]);
    let same = key(&base, &auto(), nowhere).unwrap();
    let change = |change: fn(&mut TaskSpec, &mut CacheUse)| {
        let (mut spec, mut cache) = (base.clone(), auto());
        change(&mut spec, &mut cache);
        key(&spec, &cache, nowhere).unwrap()
    };
    let unchanged = [
        change(|spec, _| spec.timeout_ms = Some(9)),
        change(|spec, _| spec.cwd = "/elsewhere".to_owned()),
        change(|spec, _| spec.umask = Some(0)),
        change(|_, cache| cache.ttl_ms = Some(5)),
        change(|_, cache| cache.scope = "other".to_owned()),
    ];
    assert!(unchanged.iter().all(|other| *other == same));
    let mut changed = vec![
        same,
        change(|spec, _| spec.program = Program::Argv(vec!["make all".to_owned()])),
        change(|spec, _| spec.program = Program::Script { shell: "make".to_owned(), text: "all".to_owned() }),
        change(|spec, _| {
            spec.program = Program::Agent { agent: "make".to_owned(), prompt: "all".to_owned() }
        }),
        change(|spec, _| {
            spec.program = Program::Agent { agent: "make".to_owned(), prompt: "more".to_owned() }
        }),
        change(|_, cache| cache.cwd = "sub".to_owned()),
        change(|spec, _| {
            spec.outputs.insert("n".to_owned(), ValueType::Integer);
        }),
        change(|spec, _| {
            spec.outputs.insert("n".to_owned(), ValueType::String);
        }),
        change(|spec, _| spec.artifacts.push("out/*".to_owned())),
        change(|spec, _| {
            spec.secrets.insert("T".to_owned(), SecretSource::Env("T".to_owned()));
        }),
        change(|_, cache| cache.key = CacheKey::Text("v1".to_owned())),
        change(|_, cache| cache.submitter = Some(Submitter::Token { id: TokenId::from_parts(1, 1) })),
        change(|_, cache| cache.submitter = Some(Submitter::Token { id: TokenId::from_parts(1, 2) })),
        change(|_, cache| cache.submitter = Some(Submitter::Member { room: "!r:x".to_owned() })),
        change(|_, cache| {
            cache.key = CacheKey::Text("v1".to_owned());
            cache.scope = "x".to_owned();
        }),
    ];
    let mut with_env = base.clone();
    with_env.env.insert("A".to_owned(), "1".to_owned());
    changed.push(key(&with_env, &auto(), nowhere).unwrap());
    let all = changed.len();
    changed.sort();
    changed.dedup();
    assert_eq!(changed.len(), all);
}

#[test]
fn the_form_of_keys_stays() {
    // Another value means that every entry of every home is lost: change `FORM` too.
    let found = key(&spec(&["make", "all"]), &auto(), Path::new("/")).unwrap();
    assert_eq!(found, "6e10838f46ed7e4d9fa5a535d85d6298690ddbb6df889b2f2f067b9984aac157");
}

#[test]
fn content_names_modes_and_links_of_inputs_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("src")).unwrap();
    fs::write(path("src/a"), "1").unwrap();
    let cache = CacheUse { inputs: vec!["src/**".to_owned()], ..auto() };
    let now = || key(&spec(&["x"]), &cache, dir.path()).unwrap();
    let mut seen = vec![now()];
    fs::write(path("other"), "no input").unwrap();
    assert_eq!(now(), seen[0]);
    fs::write(path("src/a"), "2").unwrap();
    seen.push(now());
    fs::rename(path("src/a"), path("src/b")).unwrap();
    seen.push(now());
    fs::set_permissions(path("src/b"), fs::Permissions::from_mode(0o755)).unwrap();
    seen.push(now());
    symlink("/etc/passwd", path("src/link")).unwrap();
    seen.push(now());
    fs::remove_file(path("src/link")).unwrap();
    symlink("/etc/group", path("src/link")).unwrap();
    seen.push(now());
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all);
    let missing = CacheUse { inputs: vec!["lib/**".to_owned()], ..auto() };
    let refused = key(&spec(&["x"]), &missing, dir.path()).unwrap_err();
    assert!(matches!(refused, FilesError::Nothing { .. }), "{refused}");
}

/// A task reads the file behind a link, and so does the key.
#[test]
fn what_links_lead_to_counts() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name);
    let shared = outside.path().join("shared");
    fs::create_dir_all(shared.join("deep")).unwrap();
    fs::create_dir(path("src")).unwrap();
    fs::write(path("prod"), "1").unwrap();
    symlink("../prod", path("src/current")).unwrap();
    symlink(&shared, path("src/shared")).unwrap();
    symlink("..", shared.join("deep/circle")).unwrap();
    symlink("nowhere", path("src/broken")).unwrap();
    let cache = CacheUse { inputs: vec!["src/**".to_owned()], ..auto() };
    let now = || key(&spec(&["x"]), &cache, dir.path()).unwrap();
    let mut seen = vec![now()];
    fs::write(path("prod"), "2").unwrap();
    seen.push(now());
    fs::write(shared.join("deep/file"), "3").unwrap();
    seen.push(now());
    fs::set_permissions(shared.join("deep/file"), fs::Permissions::from_mode(0o755)).unwrap();
    seen.push(now());
    fs::write(outside.path().join("target"), "4").unwrap();
    symlink("../../target", shared.join("deep/link")).unwrap();
    seen.push(now());
    fs::write(outside.path().join("target"), "5").unwrap();
    seen.push(now());
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all);
}

proptest! {
    #[test]
    fn where_arguments_are_cut_counts(words in prop::collection::vec("[ab]{0,3}", 0..5), other in prop::collection::vec("[ab]{0,3}", 0..5)) {
        let of = |words: &[String]| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            key(&spec(&words), &auto(), Path::new("/")).unwrap()
        };
        prop_assert_eq!(of(&words) == of(&other), words == other);
    }
}

#[test]
fn a_prompt_that_is_no_argument_and_its_way_change_the_key() {
    use GivenPrompt::{Stdin, Typed};
    let made = |spec: &TaskSpec, cache: &CacheUse, prompt: Option<GivenPrompt<'_>>| {
        let recipe = recipe(spec, cache, prompt);
        recipe.finish(Path::new("/"), &[], &Globs::new(&[]).unwrap(), &Stop::default()).unwrap().key
    };
    let model = spec(&["model"]);
    let prompts = [None, Some(Stdin("about a")), Some(Stdin("about b")), Some(Typed("about a"))];
    let mut keys = prompts.map(|prompt| made(&model, &auto(), prompt)).to_vec();
    // Programs with the same words.
    let script = Program::Script { shell: "model".to_owned(), text: "about a".to_owned() };
    let agent = Program::Agent { agent: "model".to_owned(), prompt: "about a".to_owned() };
    for program in [script, agent] {
        keys.push(made(&TaskSpec { program, ..model.clone() }, &auto(), None));
    }
    keys.push(made(&spec(&["model", "about a"]), &auto(), None));
    let different: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
    let text = CacheUse { key: CacheKey::Text("v1".to_owned()), ..auto() };
    let named = prompts.map(|prompt| made(&model, &text, prompt));
    assert!(named.iter().all(|key| *key == named[0]), "its author decides");
}
