//! Writer and reader together, against a model in memory.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    (folder, log)
}

/// Everything a reader finds: per byte what it is, none where it is cut.
fn read_all(reader: &mut LogReader, max: usize) -> Vec<Option<u8>> {
    let mut all = Vec::new();
    loop {
        match reader.read(all.len() as u64, max).unwrap() {
            Chunk::Data { offset, bytes } => {
                assert_eq!(offset, all.len() as u64);
                assert!(!bytes.is_empty() && bytes.len() <= max);
                all.extend(bytes.into_iter().map(Some));
            }
            Chunk::Cut { from, to } => {
                assert!(from == all.len() as u64 && to > from);
                all.resize(usize::try_from(to).unwrap(), None);
            }
            Chunk::End => return all,
        }
    }
}

/// Bytes by which a wrong place is noticed.
fn pattern(from: u64, length: usize) -> Vec<u8> {
    (from..).take(length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_is_what_was_written_and_the_rest_is_named(
        sizes in proptest::collection::vec(1usize..9000, 1..40),
        max in 1usize..5000,
    ) {
        let (_folder, path) = folder();
        let mut writer = LogWriter::new(path.clone(), LIMIT_BYTES_MIN);
        // This one looks in between, so that files change under it.
        let mut early = LogReader::open(&path).unwrap();
        for (at, size) in (0..).zip(&sizes) {
            let bytes = pattern(writer.total(), *size);
            prop_assert!(writer.append(&bytes, at).is_none());
            prop_assert_eq!(early.total().unwrap(), writer.total());
            let near_end = writer.total() - 1;
            let last = early.read(near_end, max).unwrap();
            prop_assert_eq!(last, Chunk::Data { offset: near_end, bytes: pattern(near_end, 1) });
        }
        let all = read_all(&mut LogReader::open(&path).unwrap(), max);
        prop_assert_eq!(all.len() as u64, writer.total());
        let whole = pattern(0, all.len());
        prop_assert!(all.iter().zip(&whole).all(|(read, wrote)| read.is_none_or(|read| read == *wrote)));
        let cut = all.iter().filter(|byte| byte.is_none()).count() as u64;
        prop_assert_eq!(cut, writer.cut());
        prop_assert!(writer.total() - cut <= LIMIT_BYTES_MIN);
        // The head whole, and at least 3/8 of the limit at the end.
        let head = all.len().min(usize::try_from(LIMIT_BYTES_MIN / 2).unwrap());
        let tail = all.len().saturating_sub(usize::try_from(LIMIT_BYTES_MIN / 8 * 3).unwrap());
        prop_assert!(all[..head].iter().chain(&all[tail..]).all(Option::is_some));
    }

    #[test]
    fn arbitrary_files_never_make_a_reader_fail_or_loop(
        head in proptest::collection::vec(any::<u8>(), 0..40),
        tails in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 4),
        times in proptest::collection::vec(any::<u8>(), 0..100),
        offset in any::<u64>(),
    ) {
        let (_folder, path) = folder();
        std::fs::write(&path, head).unwrap();
        for (slot, tail) in tails.iter().enumerate() {
            std::fs::write(layout::tail(&path, slot), tail).unwrap();
        }
        std::fs::write(layout::times(&path), times).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        let _ = reader.total().unwrap();
        if let Chunk::Cut { from, to } = reader.read(offset, 10).unwrap() {
            prop_assert!(from == offset && to > from);
        }
        let marks = read_times(&path).unwrap();
        prop_assert!(marks.is_sorted_by_key(|mark| mark.offset));
    }
}

#[test]
fn a_session_without_output_has_no_file_and_reads_as_empty() {
    let (folder, path) = folder();
    let mut writer = LogWriter::new(path.clone(), 1 << 20);
    writer.append(b"", 0);
    writer.finish();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut reader = LogReader::open(&path).unwrap();
    assert_eq!((reader.total().unwrap(), reader.read(0, 10).unwrap()), (0, Chunk::End));
}

#[test]
fn ten_gigabytes_stay_within_the_limit() {
    let (folder, path) = folder();
    // A limit that makes the same number of turns as 10 GB of output with one of 64 MiB.
    let (limit, total) = (64u64 << 10, 10u64 << 20);
    let mut writer = LogWriter::new(path, limit);
    let chunk = vec![1; 4096];
    for turn in 0..total / 4096 {
        writer.append(&chunk, i64::try_from(turn).unwrap() * 10);
        let on_disk: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(on_disk <= limit + 4 * 8 + 16 * (turn / 10 + 2), "{on_disk} bytes");
    }
    assert_eq!(writer.total(), total);
    assert!(writer.cut() >= total - limit);
}

#[test]
fn a_log_that_cannot_be_written_is_told_once_counted_and_tried_again() {
    let (folder, _) = folder();
    let inner = folder.path().join("outer/inner");
    let path = inner.join("log");
    let mut writer = LogWriter::new(path.clone(), 1 << 20);
    let trouble = writer.append(b"lost", 0).unwrap().to_string();
    assert!(trouble.contains(path.to_str().unwrap()) && trouble.contains("No such file"), "{trouble}");
    assert!(writer.append(b"lost", 1000).is_none(), "tried again, in vain, and not told again");
    std::fs::create_dir_all(&inner).unwrap();
    assert!(writer.append(b"lost", 1001).is_none());
    assert!(writer.append(b"kept", 2000).is_none());
    assert_eq!((writer.total(), writer.cut()), (16, 12));
    let lost = writer.lost().unwrap();
    assert_eq!(lost.bytes, 12);
    assert!(lost.cause.contains("No such file"), "{}", lost.cause);
    writer.finish();
    writer.append(b"late", 3000);
    assert_eq!((writer.cut(), writer.lost().unwrap().bytes), (16, 12));
}

#[test]
fn a_log_whose_folder_is_removed_reports_lost_bytes_and_continues() {
    let (folder, _) = folder();
    let inner = folder.path().join("inner");
    let path = inner.join("log");
    let mut writer = LogWriter::new(path.clone(), 1 << 20);
    assert!(writer.append(b"gone", 1000).is_none());
    std::fs::remove_dir_all(&inner).unwrap();
    // Not every write checks.
    assert!(writer.append(b"too", 1100).is_none());
    let trouble = writer.append(b"kept", 5000).unwrap().to_string();
    assert!(trouble.contains("were removed"), "{trouble}");
    assert!(writer.append(b"!", 5001).is_none());
    writer.finish();
    assert_eq!((writer.total(), writer.cut()), (12, 7));
    assert_eq!(writer.lost().map(|lost| lost.bytes), Some(7));
    let all = read_all(&mut LogReader::open(&path).unwrap(), 100);
    assert_eq!(all, [None; 7].into_iter().chain(b"kept!".map(Some)).collect::<Vec<_>>());

    // A log without further output checks when it is closed.
    let mut writer = LogWriter::new(path, 1 << 20);
    assert!(writer.append(b"gone", 1000).is_none());
    std::fs::remove_dir_all(&inner).unwrap();
    writer.finish();
    assert_eq!(
        writer.lost().map(|lost| (lost.bytes, lost.cause)),
        Some((4, "the files of the log were removed".to_owned()))
    );
}

#[test]
fn times_are_sparse_and_only_for_more_than_one_burst() {
    let (_folder, path) = folder();
    let mut writer = LogWriter::new(path.clone(), 1 << 20);
    for at in [0, 50, 99] {
        writer.append(b"x", at);
    }
    assert_eq!(read_times(&path).unwrap(), []);
    for at in [100, 150, 250] {
        writer.append(b"x", at);
    }
    let expected = [(0, 0), (3, 100), (5, 250)].map(|(offset, at_ms)| Mark { offset, at_ms });
    assert_eq!(read_times(&path).unwrap(), expected);
}

#[test]
fn pipes_and_devices_in_place_of_a_log_are_refused_and_nobody_waits_for_them() {
    let fifo = |path: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    let (folder, path) = folder();
    fifo(&path);
    for log in [path, PathBuf::from("/dev/full")] {
        let mut writer = LogWriter::new(log.clone(), 1 << 20);
        let trouble = writer.append(b"lost", 1000).unwrap().to_string();
        assert!(trouble.contains("not a regular file"), "{trouble}");
        assert!(writer.append(b"lost", 1001).is_none());
        assert_eq!((writer.total(), writer.cut()), (8, 8));
        let error = LogReader::open(&log).unwrap_err().to_string();
        assert_eq!(error, format!("cannot open log {}: not a regular file", log.display()));
    }
    let log = folder.path().join("other");
    [layout::times(&log), layout::tail(&log, 0)].iter().for_each(|path| fifo(path));
    let mut writer = LogWriter::new(log.clone(), 1 << 20);
    for at in [0, 200] {
        assert!(writer.append(b"x", at).is_none(), "times are an extra");
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "xx");
    assert!(read_times(&log).is_err() && LogReader::open(&log).unwrap().total().is_err());
}

#[test]
fn files_are_private_and_no_link_is_followed() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let mut writer = LogWriter::new(path.clone(), 1 << 20);
    writer.append(b"x", 0);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let target = folder.path().join("target");
    std::fs::write(&target, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(LogWriter::new(link, 1 << 20).append(b"x", 0).is_some());
    assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
}
