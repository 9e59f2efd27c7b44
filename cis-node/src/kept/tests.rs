use std::fs;

use super::found::Found;
use super::*;
use cis_core::dag::{self, Task};

/// A run's directory with a program, and a place outside of it with another.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["run/tell.sh", "run/sub/tell.py", "run/it's", "out/tell", "out/python3"] {
            let path = files.at(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink(files.at("out/tell"), files.at("run/link")).unwrap();
        std::os::unix::fs::symlink(files.at("run/tell.sh"), files.at("out/back")).unwrap();
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn env(&self) -> BTreeMap<String, String> {
        let path = format!("{}:/nowhere", self.text("out"));
        [("PATH".to_owned(), path), ("TOOLS".to_owned(), self.text("run"))].into()
    }

    fn all_found(&self, run: &str, more: &str) -> Result<(Task, Found), Vec<String>> {
        let text = format!(
            "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = \"true\"\n{more}\non_blocked = {{ action = \"run\", run = {run} }}\n"
        );
        let mut dag = dag::parse(text.as_bytes(), "d.toml").unwrap();
        let found = programs_of(&dag, &self.at("run"), Some(&self.env()))?;
        Ok((dag.tasks.remove(0), found))
    }

    /// What is kept of a task that says this.
    fn found(&self, run: &str, more: &str) -> Result<Vec<String>, Vec<String>> {
        let (_, found) = self.all_found(run, more)?;
        let base = self.dir.path();
        Ok(found.files.iter().map(|path| path.strip_prefix(base).unwrap().display().to_string()).collect())
    }

    /// What is run of a task that says this.
    fn prepared(&self, run: &str, more: &str, program: Program) -> Result<Prepared, String> {
        let (task, found) = self.all_found(run, more).map_err(|wrong| wrong.join("\n"))?;
        let (workdir, env) = (self.at("run"), self.env());
        let kept: Vec<KeptFile> = found
            .files
            .iter()
            .map(|path| KeptFile {
                path: path.display().to_string(),
                blob: BlobId(path.display().to_string()),
            })
            .collect();
        let cwd = workdir.join(task.cwd.unwrap_or_default());
        let place = Place { workdir: &workdir, cwd: &cwd, env: &env, named: &found.named[0], kept: &kept };
        prepared(program, place, Path::new("/home/it's"))
    }

    fn ran(&self, run: &[&str], more: &str) -> Result<String, String> {
        self.prepared(&format!("{run:?}"), more, argv(run)).map(|prepared| prepared.argv.join(" "))
    }

    fn ran_text(&self, text: &str) -> Result<String, String> {
        self.prepared(&format!("{text:?}"), "", script(text)).map(|prepared| prepared.argv[2].clone())
    }
}

fn argv(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

fn script(text: &str) -> Program {
    Program::Script { shell: "sh".to_owned(), text: text.to_owned() }
}

#[test]
fn programs_in_the_directory_of_the_run_are_kept_and_others_are_not() {
    let files = Files::new();
    let absolute = format!("['{}']", files.text("run/tell.sh"));
    let outside = format!("['{}']", files.text("out/tell"));
    let back = format!("['{}']", files.text("out/back"));
    let cases: [(&str, &[&str]); 34] = [
        ("['./tell.sh', 'x']", &["run/tell.sh"]),
        ("['sub/../tell.sh']", &["run/tell.sh"]),
        (&absolute, &["run/tell.sh"]),
        (&outside, &[]),
        // A name outside that leads in, and one inside that leads out: both can be changed.
        (&back, &["out/back"]),
        ("['./link']", &["run/link"]),
        // Bare names are looked for in PATH; every other word may be a program as well.
        ("['tell', './tell.sh']", &["run/tell.sh"]),
        ("['nobody']", &[]),
        ("['python3', 'sub/tell.py', 'tell.sh']", &["run/sub/tell.py", "run/tell.sh"]),
        ("['python3', '-W', 'ignore', 'sub/tell.py']", &["run/sub/tell.py"]),
        ("['bash', '-o', 'pipefail', './tell.sh']", &["run/tell.sh"]),
        ("['deno', 'run', 'sub/tell.py']", &["run/sub/tell.py"]),
        ("['/usr/bin/env', 'bash', './tell.sh']", &["run/tell.sh"]),
        ("['nohup', 'timeout', '9', 'nice', '-n', '5', './tell.sh']", &["run/tell.sh"]),
        ("['sh', '-x', 'tell.sh']", &["run/tell.sh"]),
        ("['sh', '-ec', './tell.sh now', 'x']", &["run/tell.sh"]),
        ("['env', 'sh', '-c', 'exec ./tell.sh']", &["run/tell.sh"]),
        ("['sh', '-c', '{{ task.id }} \"$1\"', 'x']", &[]),
        ("'./tell.sh {{ task.id }} && true'", &["run/tell.sh"]),
        ("'A=1 ./tell.sh; ./link'", &["run/link", "run/tell.sh"]),
        ("'sh tell.sh > out'", &["run/tell.sh"]),
        ("'\"./tell.sh\" now'", &["run/tell.sh"]),
        ("'. ./tell.sh'", &["run/tell.sh"]),
        ("'exec ./tell.sh'", &["run/tell.sh"]),
        ("\"#!/bin/sh\\nset -e\\n# so\\nif true; then ./tell.sh; fi\"", &["run/tell.sh"]),
        ("'x=$(./tell.sh) && echo \"$(sub/tell.py)\"'", &["run/sub/tell.py", "run/tell.sh"]),
        ("'$TOOLS/tell.sh'", &["run/tell.sh"]),
        ("\"bash -c './tell.sh now'\"", &["run/tell.sh"]),
        ("\"./it\\\\'s\"", &["run/it's"]),
        ("'echo x > tell.sh'", &[]),
        ("'tell \"$CIS_ITEM\" y'", &[]),
        ("'[ \"$1\" ] || tell x'", &[]),
        ("['/usr/bin/python3.12', '-u', '-m', 'json']", &[]),
        ("['../out/tell']", &[]),
    ];
    for (run, expected) in cases {
        assert_eq!(files.found(run, "").unwrap(), expected, "{run}");
    }
    assert_eq!(files.found("['./tell.py']", "cwd = 'sub'").unwrap(), ["run/sub/tell.py"]);
    let path = format!("env = {{ PATH = 'sub:{}' }}", files.text("run"));
    assert_eq!(
        files.found("['tell.sh']", &path).unwrap(),
        ["run/tell.sh"],
        "found by a PATH that leads there"
    );
}

#[test]
fn what_is_not_there_or_cannot_be_told_is_refused() {
    let files = Files::new();
    for (run, word) in [
        ("['./later.sh']", "`./later.sh` is not there"),
        ("'true && ./later.sh'", "`./later.sh` is not there"),
        ("['bash', '-o', 'pipefail', 'later.sh']", "`bash` is given no script"),
        ("['env', 'sh', '{{ task.id }}.sh']", "`sh` is given no script"),
        ("'. \"$X/later.sh\"'", "`.` is given no script"),
        ("'$PWD/tell.sh'", "`$PWD/tell.sh` runs is known only when"),
        ("'./t*.sh'", "known only when"),
        ("'$(echo ./tell.sh)'", "known only when"),
        ("'x=./tell.sh; $x'", "known only when"),
        ("'eval ./tell.sh'", "known only when"),
        ("'bash -c \"./$1\"'", "known only when"),
        ("'\"./tell.sh'", "cannot be split"),
    ] {
        let wrong = files.found(run, "").unwrap_err();
        assert!(wrong[0].contains("task `t`") && wrong[0].contains(word), "{run}: {wrong:?}");
    }
    let wrong = files.found("['./tell.py']", "cwd = '{{ run.id }}'").unwrap_err();
    assert!(wrong[0].contains("is not there"), "known when it is run: {wrong:?}");
}

#[test]
fn what_was_kept_stands_in_its_place_and_what_was_not_is_not_run() {
    let files = Files::new();
    let (sh, py) = ("/home/it's/0/tell.sh", "/home/it's/0/tell.py");
    assert_eq!(files.ran(&["./tell.sh", "x"], "").unwrap(), format!("{sh} x"));
    assert_eq!(files.ran(&["env", "bash", "tell.sh"], "").unwrap(), format!("env bash {sh}"));
    assert_eq!(files.ran(&["tell", "x"], "").unwrap(), "tell x");
    // What lies elsewhere is looked for once.
    let elsewhere = files.ran(&["../../out/tell", "../tell.sh"], "cwd = 'sub'").unwrap();
    assert_eq!(elsewhere, format!("{} {sh}", files.at("out/tell").canonicalize().unwrap().display()));
    let quoted = |path: &str| format!("'{}'", path.replace('\'', r"'\''"));
    assert_eq!(
        files.ran_text("\n A=1 \"./tell.sh\" x; echo \"$(sub/tell.py)\"").unwrap(),
        // Numbered as they were met.
        format!("\n A=1 {} x; echo \"$({})\"", quoted(sh), quoted(&py.replace("/0/", "/1/")))
    );
    assert_eq!(files.ran_text("exec sub/tell.py").unwrap(), format!("exec {}", quoted(py)));
    assert_eq!(files.ran(&["sh", "-c", "./tell.sh now"], "").unwrap(), format!("sh -c {} now", quoted(sh)));
    assert_eq!(
        files.ran_text("bash -c './tell.sh now'").unwrap(),
        format!("bash -c {}", quoted(&format!("{} now", quoted(sh))))
    );
    let open = |program| files.prepared("['./{{ task.id }}.sh']", "", program).unwrap_err();
    for refused in
        [argv(&["./t.sh"]), argv(&[&files.text("run/t.sh")]), script("true; ./t.sh"), script("sub/../x")]
    {
        assert!(open(refused).contains("was not kept"));
    }
}

#[test]
fn its_directory_and_its_path_are_those_of_the_submission() {
    let files = Files::new();
    std::os::unix::fs::symlink(files.at("run/sub"), files.at("out/bin")).unwrap();
    let path = format!("/usr/bin::sub:{}:{}:{}", files.text("run"), files.text("out/bin"), files.text("out"));
    let got =
        files.prepared("['true']", &format!("cwd = 'sub'\nenv = {{ PATH = '{path}' }}"), argv(&["true"]));
    assert_eq!(
        (got.unwrap().cwd, true),
        (files.at("run/sub").canonicalize().unwrap().display().to_string(), true)
    );
    let (_, found) = files.all_found("['true']", &format!("env = {{ PATH = '{path}' }}")).unwrap();
    let workdir = files.at("run");
    let env = [("PATH".to_owned(), path)].into();
    let place = Place { workdir: &workdir, cwd: &workdir, env: &env, named: &found.named[0], kept: &[] };
    let got = prepared(argv(&["true"]), place, Path::new("/home/x")).unwrap();
    assert!(got.is_exact);
    assert_eq!(got.path.unwrap(), format!("/usr/bin:{}", files.text("out")));
}

#[test]
fn a_run_at_the_root_keeps_no_system() {
    assert!(!is_below(Path::new("/bin/sh"), Path::new("/")));
}
