use serde_json::json;

use super::*;
use cis_core::event::{ArtifactRecord, FileReaders};
use cis_core::federation::transfer::{PartMedia, cut};

fn blob(n: u64) -> BlobId {
    BlobId(format!("{n:064x}"))
}

fn part(name: &str, pieces: &[(u64, u64, u64)]) -> Part {
    let piece = |&(n, start, size): &(u64, u64, u64)| Piece { blob: Some(blob(n)), start, size };
    Part { media: PartMedia::from(&json!({ "url": name })), pieces: pieces.iter().map(piece).collect() }
}

fn learned(known: &KnownUploads, contents: &[(u64, u64)], parts: &[Part]) {
    let ids: Vec<_> = contents.iter().map(|(n, size)| (blob(*n), *size)).collect();
    known.learn_parts("!a", &ids.iter().map(|(id, size)| (id, *size)).collect(), parts);
}

fn asked(known: &KnownUploads, room: &str, contents: &[(u64, u64)]) -> (Vec<String>, usize) {
    let (parts, new) = known.parts_of(room, contents.iter().map(|(n, size)| (blob(*n), *size)).collect());
    (parts.iter().map(|part| part.media.value()["url"].as_str().unwrap().to_owned()).collect(), new.len())
}

#[test]
fn contents_are_known_in_their_room_with_their_parts_in_order() {
    let known = KnownUploads::default();
    let parts = [
        part("one", &[(1, 0, 8)]),
        part("two", &[(1, 8, 8)]),
        part("shared", &[(2, 0, 1), (3, 0, 2)]),
        part("three", &[(1, 16, 1)]),
    ];
    learned(&known, &[(1, 17), (2, 1), (3, 2)], &parts);
    assert_eq!(
        asked(&known, "!a", &[(3, 2), (1, 17), (2, 1), (4, 1)]),
        (["shared", "one", "two", "three"].map(str::to_owned).to_vec(), 1)
    );
    assert_eq!(asked(&known, "!b", &[(1, 17), (2, 1)]), (Vec::new(), 2));
}

#[test]
fn many_small_contents_share_one_part_in_memory() {
    let known = KnownUploads::default();
    let contents: Vec<(u64, u64)> = (0..10_000).map(|n| (n, 10)).collect();
    let ids: Vec<_> = contents.iter().map(|(n, size)| (blob(*n), *size)).collect();
    let parts: Vec<Part> = cut(ids.iter().map(|(id, size)| (id, *size)), u64::MAX)
        .into_iter()
        .map(|pieces| Part { media: PartMedia::from(&json!({ "url": "all" })), pieces })
        .collect();
    learned(&known, &contents, &parts);
    assert_eq!(
        known
            .known()
            .parts
            .values()
            .flat_map(|parts| &parts.what)
            .map(Arc::as_ptr)
            .collect::<HashSet<_>>()
            .len(),
        1
    );
    assert_eq!(asked(&known, "!a", &contents), (vec!["all".to_owned()], 0));
}

#[test]
fn a_layout_that_fits_into_no_other_list_is_not_remembered() {
    let known = KnownUploads::default();
    // A content begins beside another one, and goes on beside a third one.
    let odd = [part("odd", &[(1, 0, 3), (2, 0, 3)]), part("rest", &[(2, 3, 3), (3, 0, 1)])];
    learned(&known, &[(1, 3), (2, 6), (3, 1)], &odd);
    assert_eq!(asked(&known, "!a", &[(1, 3), (2, 6), (3, 1)]), (Vec::new(), 3));
    // Nobody here has seen the content 5: its size may be another one.
    learned(&known, &[(4, 3)], &[part("unseen", &[(4, 0, 3), (5, 0, 3)])]);
    assert_eq!(asked(&known, "!a", &[(4, 3)]), (Vec::new(), 1));
    learned(&known, &[], &[part("empty", &[])]);
}

#[test]
fn lists_have_a_bound_in_bytes() {
    let known = KnownUploads::default();
    let uploaded = |n: u64| Uploaded { sha256: blob(n), size: LISTS_BYTES_MAX / 4, media: json!({}) };
    for n in 0..4 {
        known.learn_list("!a", &uploaded(n), Arc::default());
        known.learn_list("!a", &uploaded(n), Arc::default());
    }
    assert!((0..4).all(|n| known.list("!a", &uploaded(n)).is_some()));
    assert!(known.list("!b", &uploaded(0)).is_none());
    known.learn_list("!a", &uploaded(9), Arc::default());
    // Those that are used stay.
    assert!([9, 0].map(|n| known.list("!a", &uploaded(n)).is_some()).iter().all(|is_there| *is_there));
    for n in 10..13 {
        known.learn_list("!a", &uploaded(n), Arc::default());
    }
    assert!((1..4).all(|n| known.list("!a", &uploaded(n)).is_none()));
    assert!(
        [0, 9, 10, 11, 12].map(|n| known.list("!a", &uploaded(n)).is_some()).iter().all(|is_there| *is_there)
    );
}

#[test]
fn what_is_old_or_was_missed_at_the_homeserver_goes_up_again() {
    let known = KnownUploads::default();
    learned(&known, &[(1, 8), (2, 8)], &[part("one", &[(1, 0, 8)]), part("two", &[(2, 0, 8)])]);
    let at = |later| known.parts_at("!a", vec![(blob(1), 8)], Instant::now() + later).1.len();
    assert_eq!((at(Duration::ZERO), at(AGE_MAX)), (0, 1));
    let file = ArtifactRecord {
        path: "a".to_owned(),
        blob: blob(1),
        size: 8,
        executable: false,
        readers: FileReaders::default(),
    };
    let uploaded = Uploaded { sha256: blob(9), size: 7, media: json!({}) };
    known.learn_list("!a", &uploaded, Arc::new(FileList { files: vec![file], parts: Vec::new() }));
    known.learn_place_of_list("!a", &uploaded);
    assert_eq!(known.place_of_list("!a", &blob(9)), Some(uploaded.clone()));
    known.forget("!b", &uploaded);
    assert!(known.place_of_list("!a", &blob(9)).is_some());
    known.forget("!a", &uploaded);
    assert!(known.place_of_list("!a", &blob(9)).is_none() && known.list("!a", &uploaded).is_none());
    assert_eq!(asked(&known, "!a", &[(1, 8), (2, 8)]), (vec!["two".to_owned()], 1));
}
