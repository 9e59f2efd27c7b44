//! Who may read and reach what: files are ours alone, and so is the socket.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::harness::{Cis, is_root, skip};
use super::storage::{entries_below, files_below};

const ONE: &str = "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\nscript = 'umask; echo words'\n";

#[test]
fn everything_in_the_home_is_ours_alone() {
    let cis = Cis::new();
    cis.dag(ONE, &[]).expect(0);
    for path in entries_below(&cis.home()).into_iter().chain(entries_below(&cis.runtime())) {
        let Ok(meta) = path.symlink_metadata() else { continue }; // Gone in the meantime.
        if !meta.is_symlink() {
            assert_eq!(meta.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
        }
    }
}

#[test]
fn a_task_has_the_submitters_umask_or_a_tighter_one() {
    let cis = Cis::new();
    cis.dag(ONE, &[]).expect(0);
    let log = cis.ok(["dag", "logs", "--plain", "a"]);
    let umask = u32::from_str_radix(log.lines().next().unwrap().trim(), 8).unwrap();
    assert!(umask == 0o077 || umask == 0o022, "umask {umask:o}");
}

#[test]
fn another_user_is_kept_out_and_can_have_an_installation_of_its_own() {
    if !is_root() {
        skip("becoming another user needs root");
        return;
    }
    let owner = Cis::new();
    let run = owner.start("version = 1\n[dag]\nid = \"mine\"\n[[tasks]]\nid = \"a\"\nscript = 'read -r x'\n");
    owner.session_of("a");
    let stranger = Cis::as_nobody();
    // The stranger's program, the owner's home and socket.
    for verb in [["dag", "cancel", run.as_str()], ["dag", "unblock", "a"]] {
        let mut command = stranger.command(verb);
        if verb[1] == "unblock" {
            command.args(["--text", "x"]);
        }
        command.env("CIS_HOME", owner.home()).env("XDG_RUNTIME_DIR", owner.runtime());
        let out = super::harness::Running::start(command).wait();
        assert!(matches!(out.code, Some(2 | 3)), "{out:?}");
    }
    assert_eq!(owner.show(&run)["run"]["state"], "running");
    owner.unblock(&["a", "--text", "x"]);
    owner.wait_run(&run, "succeeded");

    stranger.dag(ONE, &[]).expect(0);
    assert!(!files_below(&stranger.home()).is_empty());
    for path in entries_below(&stranger.home()) {
        if let Ok(meta) = path.symlink_metadata() {
            assert_eq!(meta.uid(), 65534, "{} belongs to another user", path.display());
        }
    }
    // Its program must not be found through us at the end: it stops as itself.
    stranger.stop();
}

#[test]
fn a_home_that_others_could_write_to_is_said() {
    let cis = Cis::new();
    cis.ok(["init"]);
    std::fs::set_permissions(cis.home(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let said = cis.run(["doctor"]);
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(text.contains(cis.home().to_str().unwrap()), "doctor does not mention the open home:\n{text}");
}

#[test]
fn each_run_and_session_has_the_umask_of_its_own_caller() {
    let cis = Cis::new();
    let dag = cis.write("one.toml", ONE);
    let with = |umask: &str, rest: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(cis.binary()).args(rest);
        command.current_dir(cis.work()).env_clear().envs(cis.environment());
        super::harness::Running::start(command).wait().expect(0)
    };
    with("000", &["node", "start", "--detach"]);
    for umask in ["077", "022", "007"] {
        with(umask, &["dag", "run", dag.to_str().unwrap()]);
        let log = cis.ok(["dag", "logs", "--plain", "a"]);
        assert_eq!(log.lines().next(), Some(format!("0{umask}").as_str()));
        let file = cis.work().join(format!("umask-{umask}"));
        let script = format!("umask > {0}.new && mv {0}.new {0}", file.display());
        with(umask, &["session", "create", "--", "sh", "-c", &script]);
        let told = super::harness::eventually("the session has told", || std::fs::read_to_string(&file).ok());
        assert_eq!(told.trim(), format!("0{umask}"));
    }
}
