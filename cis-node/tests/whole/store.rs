//! What a node keeps: cleaning, backups, restores, and a look at all of its files.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use cis_core::api::{CleanStore, Decide, ReadLog};
use cis_core::event::RunState;
use cis_local::Home;
use cis_node::upkeep;

use crate::harness::{Node, eventually, on_a_runtime, task};

/// A run that leaves a log and an artifact.
const OVER: &str = r#"
version = 1
[dag]
id = "over"
[[tasks]]
id = "t"
tty = false
script = "echo said; echo content of x > x"
artifacts = ["x"]
"#;

const GATED: &str = r#"
version = 1
[dag]
id = "gated"
[dag.defaults]
tty = false
[[tasks]]
id = "a"
script = "echo a is over"
[[tasks]]
id = "deploy"
needs = ["a"]
approval = { prompt = "Deploy?" }
command = ["true"]
"#;

async fn over(node: &Node, work: &Path) -> String {
    let run = node.submit_in(work, OVER).await;
    node.reaches(&run, RunState::Succeeded).await;
    run
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn home(dir: &Path) -> Home {
    Home::locate(Some(dir.into()), None, None).unwrap()
}

#[test]
fn cleaning_takes_what_ended_runs_left_and_nothing_of_open_ones() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let over = over(&node, work.path()).await;
        let open = node.submit(GATED).await;
        node.question(&open).await;
        let young = CleanStore { max_age_ms: Some(3_600_000), ..CleanStore::default() };
        assert_eq!(node.client.clean_store(&young).await.unwrap().runs, 0);
        let all = CleanStore { max_age_ms: Some(0), ..CleanStore::default() };
        let dry = node.client.clean_store(&CleanStore { dry_run: true, ..all }).await.unwrap();
        assert!(dry.dry_run && dry.runs == 1 && dry.log_bytes > 0, "{dry:?}");
        assert_eq!(node.log_of(&over, "t").await, "said\n", "nothing was removed yet");
        let report = node.client.clean_store(&all).await.unwrap();
        assert_eq!((report.runs, report.log_bytes, report.failed.len()), (1, dry.log_bytes, 0), "{report:?}");
        assert!(report.young_bytes > 0, "blobs that were put a moment ago may be in use: {report:?}");
        for file in files_below(&node.home.dir.join("blobs")) {
            let long_ago = SystemTime::now() - Duration::from_secs(3600);
            File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
        }
        let report = node.client.clean_store(&all).await.unwrap();
        assert!(report.blobs > 0 && report.runs == 0 && report.kept_bytes > 0, "{report:?}");
        assert!(node.client.artifact(&over, "t", "x").await.is_err());
        // The run is still known, and its log says that it is gone.
        assert_eq!(node.client.run(&over).await.unwrap().run.state, RunState::Succeeded);
        let gone =
            node.client.task_log(&over, "t", &ReadLog::default()).await.map(drop).unwrap_err().to_string();
        assert!(gone.contains("was removed"), "{gone}");
        assert_eq!(node.log_of(&open, "a").await, "a is over\n");
        node.client.decide(&open, "deploy", &Decide { approve: true, reason: None }).await.unwrap();
        node.reaches(&open, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn a_backup_of_a_node_at_work_is_a_home_in_which_its_runs_go_on() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(&scratch.path().join("one"), &[]).await;
        let over = over(&node, work.path()).await;
        let open = node.submit(GATED).await;
        node.question(&open).await;
        let go = scratch.path().join("go");
        let wait = format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
        let text = format!(
            "version = 1\n[dag]\nid = \"w\"\n[[tasks]]\nid = \"w\"\ntty = false\nscript = {wait:?}\n"
        );
        let works = node.submit(&text).await;
        eventually("it works", async || task(&node.client.run(&works).await.unwrap(), "w").session).await;

        let back_up = |home: &Home, all_logs| {
            upkeep::backup(home, scratch.path(), Vec::new(), all_logs, &mut |_| {}).unwrap()
        };
        let (report, bytes) = back_up(&node.home, false);
        assert!(report.missing.is_empty() && report.files > 3, "{report:?}");
        let (with_logs, all) = back_up(&node.home, true);
        assert!(with_logs.files > report.files, "{with_logs:?}");
        let restore = |home: &Home, bytes: &[u8], force| upkeep::restore(home, bytes, force, &mut |_| {});
        let busy = restore(&node.home, &bytes, true).unwrap_err().to_string();
        assert!(busy.contains("a node uses"), "{busy}");

        // Nothing is restored of what is not whole.
        let two = home(&scratch.path().join("two"));
        assert!(restore(&two, &bytes[..bytes.len() / 2], false).is_err());
        let mut damaged = bytes.clone();
        let at = damaged.windows(9).position(|part| part == b"a is over").unwrap();
        damaged[at] ^= 1;
        assert!(restore(&two, &damaged, false).is_err());
        assert!(!two.database().exists());
        let restored = restore(&two, &bytes, false).unwrap();
        assert_eq!((restored.files, restored.bytes, restored.kept), (report.files, report.bytes, None));
        assert!(restore(&two, &all, false).is_err(), "something is there");
        let deep = upkeep::deep_check(&two, &mut |_| {}).unwrap();
        assert_eq!(
            (deep.findings, deep.logs_left_out),
            (Vec::<String>::new(), 1),
            "the log of the ended run"
        );
        let kept = restore(&two, &all, true).unwrap().kept.unwrap();
        assert!(home(&kept).database().exists(), "what was there is kept");
        let deep = upkeep::deep_check(&two, &mut |_| {}).unwrap();
        assert_eq!((deep.findings, deep.logs_left_out), (Vec::<String>::new(), 0));

        // The same node goes on elsewhere: what lived at the backup is lost there, and runs again.
        let did = node.did.clone();
        node.stop().await;
        let node = Node::local(&two.dir, &[]).await;
        assert_eq!(node.did, did);
        assert_eq!(node.log_of(&over, "t").await, "said\n");
        let artifact = node.client.artifact(&over, "t", "x").await.unwrap().read_to_end(100).await.unwrap();
        assert_eq!(artifact, b"content of x\n");
        eventually("it runs again", async || {
            let detail = node.client.run(&works).await.unwrap();
            (task(&detail, "w").attempts == 2).then_some(())
        })
        .await;
        fs::write(go, "").unwrap();
        node.reaches(&works, RunState::Succeeded).await;
        node.client.decide(&open, "deploy", &Decide { approve: true, reason: None }).await.unwrap();
        node.reaches(&open, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn a_damaged_or_missing_file_is_found_by_a_deep_check() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(&scratch.path().join("home"), &[]).await;
        over(&node, work.path()).await;
        let place = node.home.clone();
        node.stop().await;
        let findings = || upkeep::deep_check(&place, &mut |_| {}).unwrap().findings;
        assert_eq!(findings(), Vec::<String>::new());
        // The file of the artifact, among those of the run's text and environment.
        let blobs = files_below(&place.dir.join("blobs"));
        let blob = blobs.iter().find(|path| fs::read(path).unwrap() == b"content of x\n").unwrap();
        fs::write(blob, "content of y\n").unwrap();
        let found = findings();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(blob.file_name().unwrap().to_str().unwrap()), "{found:?}");
        fs::remove_file(blob).unwrap();
        assert_eq!(findings().len(), 1);
        let logs = files_below(&place.logs());
        let log =
            logs.iter().find(|path| fs::read(path).unwrap().windows(4).any(|part| part == b"said")).unwrap();
        fs::remove_file(log).unwrap();
        assert_eq!(findings().len(), 2, "{:?}", findings());
        // A backup says what it lacks.
        let backup = upkeep::backup(&place, scratch.path(), Vec::new(), true, &mut |_| {});
        assert_eq!(backup.unwrap().0.missing.len(), 1);
    });
}
