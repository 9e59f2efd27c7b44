//! A test that fails leaves no process behind, also if it had left a node.

use std::path::Path;
use std::process::Command;

use crate::harness::{Node, eventually, on_a_runtime};
use crate::sessions::session;

/// If it is set, [`a_test_that_fails_if_it_is_told_to`] fails. It writes the process of its session to this file.
const FAILS: &str = "CIS_TEST_FAILS";

#[test]
fn what_a_failed_test_left_is_ended() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let failed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "left::a_test_that_fails_if_it_is_told_to"])
        .env(FAILS, &file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&failed.stdout);
    assert!(!failed.status.success() && said.contains("1 failed"), "{failed:?}");
    let pid = std::fs::read_to_string(file).unwrap();
    on_a_runtime(async {
        eventually("its session ends", async || (!Path::new("/proc").join(&pid).exists()).then_some(()))
            .await;
    });
}

#[test]
fn a_test_that_fails_if_it_is_told_to() {
    let Some(file) = std::env::var_os(FAILS) else { return };
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let id = node.client.create_session(&session(&["sleep", "600"])).await.unwrap().id.to_string();
        let pid = eventually("it runs", async || node.client.session(&id).await.unwrap().pid).await;
        std::fs::write(file, pid.to_string()).unwrap();
        node.leave().await;
        panic!("it was told to");
    });
}
