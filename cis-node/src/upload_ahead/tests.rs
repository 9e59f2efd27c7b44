use std::fs;

use super::*;
use crate::link::{LinkEnd, Wish, pair};

struct Place {
    home: tempfile::TempDir,
    blobs: Blobs,
    ahead: UploadAhead,
    jobs: LinkEnd,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(home.path());
        let (link, jobs) = pair();
        let ahead = UploadAhead::new(link, Arc::default(), "!a".to_owned());
        Self { home, blobs, ahead, jobs }
    }

    fn file(&self, bytes: &[u8]) -> File {
        let path = self.home.path().join("file");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    /// Reads a file as a collection does. Returns its upload, if one begins; `finishes`: the file is read to its end.
    fn read(&mut self, bytes: &[u8], finishes: bool) -> Option<GrowingContent> {
        let (file, mut blob) = (self.file(bytes), self.blobs.writer(bytes.len() as u64).unwrap());
        let begun = self.ahead.begin(&file, bytes.len() as u64, (&self.blobs, &blob), &Stop::default());
        blob.write(bytes).unwrap();
        if let Some(reading) = &begun {
            reading.wrote(bytes.len() as u64);
        }
        let id = blob.finish().unwrap();
        if let Some(reading) = begun.filter(|_| finishes) {
            reading.finish(&id, bytes.len() as u64);
        }
        match self.jobs.0.try_recv() {
            Ok(Wish::Files(job)) => match *job {
                Job::Ahead(content) => Some(content),
                other => panic!("{other:?}"),
            },
            _ => None,
        }
    }
}

#[test]
fn a_large_file_goes_up_while_it_is_read_and_a_small_one_or_a_known_one_afterwards() {
    let mut place = Place::new();
    let large = vec![1; 2 << 20];
    assert!(place.read(&large[..1 << 20], true).is_none(), "it shares a part with others");
    let mut content = place.read(&large, true).unwrap();
    assert_eq!(*content.written.borrow(), 2 << 20);
    let whole = content.whole.try_recv().unwrap();
    assert_eq!((whole.blob.clone(), whole.size), (BlobId::of(&large), 2 << 20));
    assert!(!content.stop.is_set());
    // Another upload of the same content waits for this one.
    let uploads = Arc::clone(&place.ahead.uploads);
    assert!(uploads.uploading.try_lock(&whole.blob.0).is_none());
    assert!(place.read(&large, true).is_none(), "only its hash tells whether it is the same");
    let mut other = large;
    other[7] = 0;
    assert!(place.read(&other, true).is_some(), "it has the same size, and begins in another way");
}

#[test]
fn what_is_not_read_to_its_end_or_is_uploaded_by_others_is_stopped() {
    let mut place = Place::new();
    let mut given_up = place.read(&vec![1; 2 << 20], false).unwrap();
    assert!(given_up.stop.is_set() && given_up.whole.try_recv().is_err());
    let bytes = vec![2; 2 << 20];
    let _turn = place.ahead.uploads.uploading.try_lock(&BlobId::of(&bytes).0).unwrap();
    assert!(place.read(&bytes, true).unwrap().stop.is_set());
}

#[test]
fn only_some_are_on_their_way_at_a_time() {
    let mut place = Place::new();
    let contents: Vec<_> = (0..20).filter_map(|n| place.read(&vec![n; 2 << 20], true)).collect();
    let count = contents.len();
    assert!(count > 0 && count < 20, "{count}");
    drop(contents);
    assert!(place.read(&vec![21; 2 << 20], true).is_some());
}
