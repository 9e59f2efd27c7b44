use std::fs;

use super::*;
use crate::dag;

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

    /// What is kept of a task that says this.
    fn found(&self, run: &str, more: &str) -> Result<Vec<String>, Vec<String>> {
        let text = format!(
            "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = \"true\"\n{more}\non_blocked = {{ action = \"run\", run = {run} }}\n"
        );
        let dag = dag::parse(text.as_bytes(), "d.toml").unwrap();
        let env = [("PATH".to_owned(), format!("{}:/nowhere", self.text("out")))].into();
        let found = programs_of(&dag, &self.at("run"), Some(&env))?;
        let base = self.dir.path();
        Ok(found.iter().map(|path| path.strip_prefix(base).unwrap().display().to_string()).collect())
    }

    fn prepared(&self, program: Program, kept: &[&str]) -> Result<Prepared, String> {
        let (workdir, path) = (self.at("run"), self.text("out"));
        let place = Place { workdir: &workdir, cwd: &workdir, path: &path };
        let kept: Vec<KeptFile> = kept
            .iter()
            .map(|name| KeptFile { path: self.text(name), blob: BlobId((*name).to_owned()) })
            .collect();
        prepared(program, place, &kept, Path::new("/home/x"))
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
    let cases: [(&str, &[&str]); 19] = [
        ("['./tell.sh', 'x']", &["run/tell.sh"]),
        ("['sub/../tell.sh']", &["run/tell.sh"]),
        (&absolute, &["run/tell.sh"]),
        (&outside, &[]),
        // A name outside that leads in, and one inside that leads out: both can be changed.
        (&back, &["out/back"]),
        ("['./link']", &["run/link"]),
        // Bare names are looked for in PATH.
        ("['tell', './tell.sh']", &[]),
        ("['nobody']", &[]),
        // The script of an interpreter; of anything else an argument is no program.
        ("['python3', 'sub/tell.py', 'tell.sh']", &["run/sub/tell.py"]),
        ("['sh', '-e', 'tell.sh']", &[]),
        ("['sh', '-x', 'tell.sh']", &["run/tell.sh"]),
        ("['/usr/bin/python3.12', '-u', 'sub/tell.py']", &["run/sub/tell.py"]),
        ("['sh', '-c', './tell.sh', './tell.sh']", &[]),
        ("['sh', '{{ task.id }}.sh']", &[]),
        ("'./tell.sh {{ task.id }} && true'", &["run/tell.sh"]),
        ("'A=1 ./tell.sh; ./link'", &["run/tell.sh"]),
        ("'sh tell.sh > out'", &["run/tell.sh"]),
        ("'\"./tell.sh\"'", &[]),
        ("'./tell.sh\"x\"'", &[]),
    ];
    for (run, expected) in cases {
        assert_eq!(files.found(run, "").unwrap(), expected, "{run}");
    }
    assert_eq!(files.found("['./tell.py']", "cwd = 'sub'").unwrap(), ["run/sub/tell.py"]);
    assert!(files.found("['./tell.py']", "cwd = '{{ run.id }}'").unwrap().is_empty(), "known when it is run");
    let wrong = files.found("['./later.sh']", "").unwrap_err();
    assert!(
        wrong.len() == 1 && wrong[0].contains("task `t`") && wrong[0].contains("`./later.sh`"),
        "{wrong:?}"
    );
    let path = format!("env = {{ PATH = 'sub:{}' }}", files.text("run"));
    assert_eq!(
        files.found("['tell.sh']", &path).unwrap(),
        ["run/tell.sh"],
        "found by a PATH that leads there"
    );
}

#[test]
fn what_was_kept_stands_in_its_place_and_what_was_not_is_not_run() {
    let files = Files::new();
    let ran = |program, kept: &[&str]| files.prepared(program, kept).map(|prepared| prepared.argv.join(" "));
    assert_eq!(
        ran(argv(&["./tell.sh", "./tell.sh"]), &["run/tell.sh"]).unwrap(),
        "/home/x/0/tell.sh ./tell.sh"
    );
    assert_eq!(ran(argv(&["sh", "tell.sh"]), &["run/tell.sh"]).unwrap(), "sh /home/x/0/tell.sh");
    assert_eq!(ran(argv(&["tell", "x"]), &[]).unwrap(), "tell x");
    assert_eq!(ran(argv(&["sh", "nothing there"]), &[]).unwrap(), "sh nothing there");
    let text = "\n A=1 ./tell.sh x; sub/tell.py";
    assert_eq!(
        ran(script(text), &["run/tell.sh"]).unwrap(),
        "sh -c \n A=1 '/home/x/0/tell.sh' x; sub/tell.py"
    );
    assert_eq!(ran(script("echo ./tell.sh"), &[]).unwrap(), "sh -c echo ./tell.sh");
    // Names come from a file: they may be anything.
    let program = Program::Script { shell: "sh".to_owned(), text: "sh sub/tell.py".to_owned() };
    let prepared = files.prepared(program, &["run/sub/tell.py"]).unwrap();
    assert_eq!(prepared.files, [(PathBuf::from("/home/x/0/tell.py"), BlobId("run/sub/tell.py".to_owned()))]);
    for refused in [
        argv(&["./tell.sh"]),
        argv(&["./new"]),
        argv(&["sh", "tell.sh"]),
        script("./tell.sh"),
        script("sh ./tell.sh"),
    ] {
        let said = files.prepared(refused, &["run/link"]).unwrap_err();
        assert!(said.contains("was not kept"), "{said}");
    }
}

#[test]
fn a_word_with_a_quote_in_it_stays_one() {
    let files = Files::new();
    let workdir = files.at("run");
    let place = Place { workdir: &workdir, cwd: &workdir, path: "" };
    let kept = [KeptFile { path: files.text("run/tell.sh"), blob: BlobId("b".to_owned()) }];
    let got = prepared(script("./tell.sh x"), place, &kept, Path::new("/it's")).unwrap();
    assert_eq!(got.argv[2], r"'/it'\''s/0/tell.sh' x");
}

#[test]
fn a_run_at_the_root_keeps_no_system() {
    let place = Place { workdir: Path::new("/"), cwd: Path::new("/"), path: "/bin" };
    assert_eq!(place.changeable("sh", true), None);
}
