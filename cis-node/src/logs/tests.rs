use super::*;
use cis_host::log::LogWriter;

const SECRET: &str = "hunter2SECRETvalue";

/// A log of these bytes with its secret beside it.
fn log(limit: u64, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut writer = LogWriter::new(path.clone(), limit);
    assert!(writer.append(bytes, 0).is_none());
    writer.finish();
    let named = [("T".to_owned(), SECRET.to_owned())].into();
    secret_file::keep(&path, &secret_file::Secrets { named, sensitive: Vec::new() }).unwrap();
    (dir, path)
}

async fn read(path: &Path, from: u64, plain: bool) -> String {
    let query = ReadLog { from: Some(from), plain, ..ReadLog::default() };
    let parts: Vec<LogPiece> = stored(path.to_owned(), &query, None, None).collect().await;
    String::from_utf8(parts.into_iter().flat_map(|piece| piece.bytes).collect()).unwrap()
}

#[tokio::test]
async fn a_log_read_from_within_a_secret_shows_nothing_of_it() {
    let (_dir, path) = log(1 << 20, format!("plain {SECRET} end").as_bytes());
    for plain in [false, true] {
        for from in 0..6u64 {
            let before = "plain ".get(usize::try_from(from).unwrap()..).unwrap();
            assert_eq!(read(&path, from, plain).await, format!("{before}*** end"));
        }
        for from in 6..24 {
            assert_eq!(read(&path, from, plain).await, "*** end", "from {from}");
        }
        assert_eq!(read(&path, 24, plain).await, " end");
        assert_eq!(read(&path, 28, plain).await, "");
        assert_eq!(read(&path, 99, plain).await, "");
    }
}

#[tokio::test]
async fn plain_text_is_redacted_as_it_is_shown() {
    let (_dir, path) = log(1 << 20, b"a \x1b[1mhunter2\x1b[0mSECRET\x1b[31mvalue b");
    assert_eq!(read(&path, 0, true).await, "a *** b");
    for from in 2..33 {
        assert_eq!(read(&path, from, true).await, "*** b", "from {from}");
    }
    assert_eq!(read(&path, 33, true).await, " b");
    // Bytes as they are hide it from us, and from whoever searches for it.
    assert!(read(&path, 0, false).await.contains("hunter2\x1b[0mSECRET"));
}

#[tokio::test]
async fn the_end_of_a_secret_that_was_cut_is_cut_as_well() {
    let all: String = std::iter::repeat_n(SECRET, 40_000).collect();
    let (_dir, path) = log(1 << 18, all.as_bytes());
    for plain in [false, true] {
        let text = read(&path, 0, plain).await;
        assert!(text.contains("were cut here]"), "{text}");
        assert!(!text.contains("value"), "the end of a secret is shown: {text}");
    }
}

#[test]
fn the_end_of_a_log_is_plain_and_begins_with_a_whole_character() {
    let text = format!("first line\n\x1b[31mgr\u{fc}n {SECRET} \u{fc}\u{fc}\x1b[0m\r\n");
    let (_dir, path) = log(1 << 20, text.as_bytes());
    let whole = "first line\ngr\u{fc}n *** \u{fc}\u{fc}\n";
    assert_eq!(tail(&path, None, 1000, || false).unwrap(), whole);
    let total = Some(text.len() as u64);
    for bytes in 0..=text.len() {
        let end = tail(&path, total, bytes, || false).unwrap();
        assert!(end.len() <= bytes && whole.ends_with(&end), "{bytes}: {end:?}");
    }
    assert_eq!(tail(&path.with_extension("none"), total, 10, || false).unwrap(), "");
}

#[tokio::test]
async fn a_log_whose_secrets_cannot_be_read_is_withheld() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.1.log");
    std::fs::write(&log, "the value is hunter2-secret\n").unwrap();
    std::fs::write(dir.path().join("a.1.log.secrets"), "{ damaged").unwrap();
    let shown: Vec<LogPiece> = stored(log, &ReadLog::default(), None, None).collect().await;
    assert_eq!(shown, [withheld()]);
}

#[test]
fn a_log_whose_secrets_are_missing_is_withheld_if_its_run_declares_some() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.1.log");
    assert_eq!(tail(&log, None, 100, || true).unwrap(), "", "it has no output");
    std::fs::write(&log, "the value is hunter2-secret\n").unwrap();
    assert_eq!(tail(&log, None, 100, || true), None);
    assert_eq!(tail(&log, None, 100, || false).unwrap(), "the value is hunter2-secret\n");
    let named = [("T".to_owned(), "hunter2-secret".to_owned())].into();
    secret_file::keep(&log, &secret_file::Secrets { named, sensitive: Vec::new() }).unwrap();
    assert_eq!(tail(&log, None, 100, || true), None, "those of other tasks are not known");
    secret_file::keep_run(dir.path(), &["hunter2-secret".to_owned()].into()).unwrap();
    assert_eq!(tail(&log, None, 100, || unreachable!("it is there")).unwrap(), "the value is ***\n");
}

#[tokio::test]
async fn a_cut_at_the_end_is_named() {
    let (_dir, path) = log(1 << 20, b"kept");
    let read = async |from| {
        let query = ReadLog { from: Some(from), plain: true, ..ReadLog::default() };
        let parts: Vec<LogPiece> = stored(path.clone(), &query, Some(1004), None).collect().await;
        String::from_utf8(parts.into_iter().flat_map(|piece| piece.bytes).collect()).unwrap()
    };
    assert_eq!(read(0).await, "kept\n[cis: 1.0 KB of output were cut here]\n");
    assert_eq!(read(504).await, "\n[cis: 500 B of output were cut here]\n");
    assert_eq!(read(2000).await, "");
}

#[test]
fn what_hides_secrets_leaves_none_and_keeps_the_rest_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let [said, silent, plain] = ["a.1.log", "b.1.log", "c.1.log"].map(|name| dir.path().join(name));
    std::fs::write(&said, "the value is hunter2-secret\n").unwrap();
    std::fs::write(&plain, "no value\n").unwrap();
    let named = [("T".to_owned(), "hunter2-secret".to_owned())].into();
    let secrets = secret_file::Secrets { named, sensitive: Vec::new() };
    secret_file::keep(&said, &secrets).unwrap();
    // It wrote nothing, so it has no log.
    secret_file::keep(&silent, &secrets).unwrap();
    secret_file::keep_run(dir.path(), &std::collections::BTreeSet::new()).unwrap();
    let logs = secret_file::logs_in(dir.path());
    assert_eq!(logs, [said.clone(), silent, plain.clone()].into());
    logs.iter().for_each(|log| hide_secrets(log).unwrap());
    assert_eq!(std::fs::read_to_string(&said).unwrap(), "the value is ***\n");
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), "no value\n");
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.1.log", "c.1.log", "secrets"]);
}
