use cis_core::event::FileReaders;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

use futures_util::FutureExt as _;
use serde_json::json;

use super::*;
use crate::files::FilesError;
use crate::transfers::share::all_here;
use cis_core::federation::transfer::{PART_BYTES_MIN, PartMedia, cut};

/// Where files come to: a directory, and blobs.
struct Place {
    home: tempfile::TempDir,
    blobs: Blobs,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        let blobs = Blobs::new(home.path());
        Self { home, blobs }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    fn begin(&self, list: &FileList, stop: &Stop) -> Restore {
        Restore::begin(&self.dir(), &list.files, 0o022, ".cis-restore-x".to_owned(), stop).unwrap()
    }

    /// Takes these parts, as they come.
    fn arrive(&self, list: &FileList, came: &[(Part, Vec<u8>)], stop: &Stop) -> Result<(), TransferError> {
        let restore = Some(self.begin(list, stop));
        let mut arrival = Arrival::new(&self.blobs, missing(&self.blobs, list)?, restore);
        for (part, bytes) in came {
            arrival.take(part, in_chunks(bytes))?;
        }
        Ok(arrival.whole()?.unwrap().finish(&self.blobs)?)
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.dir()).unwrap().next().is_none()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir().join(path)).unwrap()
    }
}

/// The bytes of a part, in chunks that do not end where contents do.
fn in_chunks(bytes: &[u8]) -> Incoming {
    let (to, chunks) = unbounded_channel();
    for chunk in bytes.chunks(40_000) {
        to.send(Bytes::copy_from_slice(chunk)).unwrap();
    }
    Incoming::new(chunks)
}

fn bytes(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|n| ((n + seed) / 10 % 251) as u8).collect()
}

/// A list of files, and its parts with their bytes.
fn listed(files: &[(&str, &[u8])]) -> (FileList, Vec<(Part, Vec<u8>)>) {
    let record = |(path, content): &(&str, &[u8])| ArtifactRecord {
        path: (*path).to_owned(),
        blob: BlobId::of(content),
        size: content.len() as u64,
        executable: path.starts_with("bin"),
        readers: FileReaders::default(),
    };
    let mut list = FileList { files: files.iter().map(record).collect(), parts: Vec::new() };
    let contents: BTreeMap<BlobId, &[u8]> =
        files.iter().map(|(_, content)| (BlobId::of(content), *content)).collect();
    let mut came = Vec::new();
    for pieces in cut(list.contents(), PART_BYTES_MIN) {
        let bytes = pieces.iter().flat_map(|piece| {
            let (start, size) = (piece.start as usize, piece.size as usize);
            contents[piece.blob.as_ref().unwrap()][start..start + size].to_vec()
        });
        let bytes = bytes.collect();
        came.push((Part { media: PartMedia::from(&json!({ "url": "mxc://x/y" })), pieces }, bytes));
    }
    list.parts = came.iter().map(|(part, _)| part.clone()).collect();
    (list, came)
}

#[test]
fn files_are_restored_while_their_parts_come() {
    let place = Place::new();
    let (large, here) = (bytes(1_000_000, 1), bytes(300_000, 2));
    place.blobs.put(&here, Safety::Processes).unwrap();
    place.blobs.put(b"", Safety::Processes).unwrap();
    let files: [(&str, &[u8]); 7] = [
        ("bin/tool", b"small"),
        ("large", &large),
        ("large.copy", &large),
        ("here/a", &here),
        ("here/b", &here),
        ("small.copy", b"small"),
        ("empty", b""),
    ];
    let (list, came) = listed(&files);
    assert!(came.len() > 4, "the large file has several parts");
    place.arrive(&list, &came, &Stop::default()).unwrap();
    for (path, content) in files {
        assert!(place.read(path) == content, "{path}");
    }
    let mode = |path: &str| fs::metadata(place.dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bin/tool"), mode("large"), mode("small.copy")), (0o755, 0o644, 0o644));
    assert_eq!(fs::read_dir(place.dir()).unwrap().count(), 6, "nothing else is left");
    assert!(missing(&place.blobs, &list).unwrap().is_empty());
}

#[test]
fn a_content_that_a_power_cut_cut_short_is_fetched_again() {
    let place = Place::new();
    let large = bytes(300_000, 1);
    let (list, came) = listed(&[("large", &large)]);
    place.blobs.put(&large, Safety::Processes).unwrap();
    let file = place.blobs.file(&BlobId::of(&large)).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_len(7).unwrap();
    assert!(!all_here(&place.blobs, &list.files).unwrap());
    place.arrive(&list, &came, &Stop::default()).unwrap();
    assert!(place.read("large") == large);
    assert!(all_here(&place.blobs, &list.files).unwrap());
}

#[test]
fn what_arrives_is_written_once_and_not_read_from_the_blobs() {
    let place = Place::new();
    let large = bytes(600_000, 1);
    let (list, came) = listed(&[("large", &large)]);
    let mut arrival = Arrival::new(
        &place.blobs,
        missing(&place.blobs, &list).unwrap(),
        Some(place.begin(&list, &Stop::default())),
    );
    for (part, bytes) in &came {
        arrival.take(part, in_chunks(bytes)).unwrap();
    }
    let restore = arrival.whole().unwrap().unwrap();
    let elsewhere = Blobs::new(&place.home.path().join("none"));
    restore.finish(&elsewhere).unwrap();
    assert!(place.read("large") == large);
}

#[tokio::test]
async fn a_part_is_asked_for_shortly_before_those_before_it_have_come() {
    let (received, all) = watch::channel(0);
    let asked = |before| wait_for_turn(all.clone(), before).now_or_never().is_some();
    assert!(asked(0) && asked(AHEAD_BYTES));
    assert!(!asked(AHEAD_BYTES + 1));
    received.send_replace(1);
    assert!(asked(AHEAD_BYTES + 1) && !asked(AHEAD_BYTES + 2));
}

#[tokio::test]
async fn a_part_is_asked_for_when_nothing_comes_or_it_comes_slowly() {
    let (received, all) = watch::channel(0);
    let began = Instant::now();
    wait_for_turn(all.clone(), u64::MAX).await;
    let quiet = began.elapsed();
    assert!(quiet >= QUIET_MAX && quiet < TURN_WAIT_MAX, "{quiet:?}");
    let slowly = async {
        loop {
            received.send_modify(|all| *all += 1);
            tokio::time::sleep(QUIET_MAX / 10).await;
        }
    };
    tokio::select! {
        () = slowly => {}
        () = wait_for_turn(all.clone(), u64::MAX) => {}
    }
    assert!(began.elapsed() >= TURN_WAIT_MAX);
}

#[test]
fn a_content_with_another_hash_places_nothing() {
    let place = Place::new();
    let large = bytes(1_000_000, 1);
    let (list, mut came) = listed(&[("a", b"small"), ("large", &large)]);
    came[0].1[7] ^= 1;
    let altered = place.arrive(&list, &came, &Stop::default());
    assert!(matches!(&altered, Err(TransferError::Altered { .. })), "{altered:?}");
    assert!(place.is_empty());
    assert!(!missing(&place.blobs, &list).unwrap().is_empty());
}

#[test]
fn a_stop_or_a_failure_in_the_middle_leaves_nothing() {
    let place = Place::new();
    let large = bytes(1_000_000, 1);
    let (list, came) = listed(&[("a", b"small"), ("large", &large), ("z", &large)]);
    let (stop, some) = (Stop::default(), &came[..came.len() - 1]);
    let mut arrival =
        Arrival::new(&place.blobs, missing(&place.blobs, &list).unwrap(), Some(place.begin(&list, &stop)));
    for (part, bytes) in some {
        arrival.take(part, in_chunks(bytes)).unwrap();
    }
    assert!(!place.is_empty(), "files are staged");
    drop(arrival);
    assert!(place.is_empty());
    let cut_short = place.arrive(&list, some, &stop);
    assert!(matches!(&cut_short, Err(TransferError::Missing { .. })), "{cut_short:?}");
    let mut arrival =
        Arrival::new(&place.blobs, missing(&place.blobs, &list).unwrap(), Some(place.begin(&list, &stop)));
    for (part, bytes) in &came {
        arrival.take(part, in_chunks(bytes)).unwrap();
    }
    stop.set();
    let stopped = arrival.whole().unwrap().unwrap().finish(&place.blobs);
    assert!(matches!(stopped, Err(FilesError::Stopped)), "{stopped:?}");
    assert!(place.is_empty());
}
