use std::io::Write as _;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::*;
use crate::RoomsInMemory;
use crate::files::Stop;
use cis_core::federation::transfer::{PART_BYTES_MAX, cut};
use cis_core::ids::BlobId;

/// A content, as the thread that reads it has it.
struct Read {
    file: tempfile::NamedTempFile,
    written: watch::Sender<u64>,
    whole: oneshot::Sender<WholeContent>,
    stop: Stop,
}

fn content() -> (Read, GrowingContent) {
    let (written, so_far) = watch::channel(0);
    let (whole, end) = oneshot::channel();
    let (file, stop) = (tempfile::NamedTempFile::new().unwrap(), Stop::default());
    let content = GrowingContent {
        room: "!a".to_owned(),
        file: file.reopen().unwrap(),
        written: so_far,
        whole: end,
        stop: stop.clone(),
        permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
    };
    (Read { file, written, whole, stop }, content)
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n / 1000 % 251) as u8).collect()
}

#[tokio::test]
async fn parts_are_those_of_an_upload_afterwards_and_are_known_at_the_end() {
    let (uploads, rooms) = (Arc::new(KnownUploads::default()), RoomsInMemory::default());
    let store = MediaStore::Memory(rooms.clone());
    let all = bytes(20_000_000);
    let (mut read, content) = content();
    let uploading = tokio::spawn({
        let uploads = Arc::clone(&uploads);
        async move { upload(&store, &uploads, content).await }
    });
    let mut size = 0;
    for piece in all.chunks(300_000) {
        read.file.write_all(piece).unwrap();
        size += piece.len() as u64;
        read.written.send_replace(size);
        tokio::task::yield_now().await;
    }
    let blob = BlobId::of(&all);
    let turn = uploads.uploading.try_lock(&blob.0).unwrap();
    assert_eq!(uploads.parts_of("!a", vec![(blob.clone(), size)]).1.len(), 1, "not known before");
    read.whole.send(WholeContent { blob: blob.clone(), size, turn }).unwrap();
    drop(read.written);
    uploading.await.unwrap().unwrap();
    let (parts, new) = uploads.parts_of("!a", vec![(blob.clone(), size)]);
    assert!(new.is_empty());
    let pieces: Vec<_> = parts.iter().map(|part| part.pieces.clone()).collect();
    assert_eq!(pieces, cut([(&blob, size)], PART_BYTES_MAX));
    let kept = parts.iter().flat_map(|part| {
        let media = part.media.value();
        rooms.kept(media["url"].as_str().unwrap()).unwrap()
    });
    assert!(kept.eq(all));
    assert!(uploads.uploading.try_lock(&blob.0).is_some(), "its turn is over");
}

#[tokio::test]
async fn what_is_given_up_or_stopped_is_not_known_and_ends() {
    for is_stopped in [true, false] {
        let uploads = KnownUploads::default();
        let store = MediaStore::Memory(RoomsInMemory::default());
        let (mut read, content) = content();
        read.file.write_all(&bytes(9_000_000)).unwrap();
        read.written.send_replace(9_000_000);
        let uploading = upload(&store, &uploads, content);
        if is_stopped {
            read.stop.set();
        } else {
            drop((read.written, read.whole));
        }
        let ended = timeout(Duration::from_secs(10), uploading).await.expect("it ends");
        assert!(matches!(ended, Err(TransferError::Files(FilesError::Stopped))), "{ended:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_announced_is_not_known() {
    let uploads = KnownUploads::default();
    let store = MediaStore::Memory(RoomsInMemory::default());
    let (mut read, content) = content();
    let all = bytes(2_000_000);
    read.file.write_all(&all).unwrap();
    read.written.send_replace(1_500_000);
    let blob = BlobId::of(&all);
    let turn = uploads.uploading.try_lock(&blob.0).unwrap();
    read.whole.send(WholeContent { blob: blob.clone(), size: 2_000_000, turn }).unwrap();
    drop(read.written);
    upload(&store, &uploads, content).await.unwrap();
    assert_eq!(uploads.parts_of("!a", vec![(blob, 2_000_000)]).1.len(), 1);
}
