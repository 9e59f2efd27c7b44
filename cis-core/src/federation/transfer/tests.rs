use crate::event::FileReaders;
use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn blob(n: u64) -> BlobId {
    BlobId(format!("{n:064x}"))
}

fn file(path: &str, n: u64, size: u64) -> ArtifactRecord {
    let blob = if size == 0 { BlobId::of(b"") } else { blob(n) };
    ArtifactRecord { path: path.to_owned(), blob, size, executable: false, readers: FileReaders::default() }
}

fn media(name: &str) -> PartMedia {
    PartMedia::from(&json!({ "url": format!("mxc://a/{name}") }))
}

fn piece(n: u64, start: u64, size: u64) -> Piece {
    Piece { blob: Some(blob(n)), start, size }
}

/// A list with parts for all of its contents.
fn list(files: Vec<ArtifactRecord>, part_max: u64) -> FileList {
    let mut list = FileList { files, parts: Vec::new() };
    list.parts = cut(list.contents(), part_max)
        .into_iter()
        .enumerate()
        .map(|(n, pieces)| Part { media: media(&n.to_string()), pieces })
        .collect();
    list
}

fn reopened(list: &FileList) -> Result<FileList, BadList> {
    let (uploaded, bytes) = list.pack().unwrap();
    FileList::open(&uploaded, &bytes)
}

fn refused(files: Vec<ArtifactRecord>) -> BadList {
    reopened(&list(files, 100)).unwrap_err()
}

#[test]
fn a_list_comes_back_as_it_was_packed_and_no_other_bytes_count() {
    let list = list(vec![file("a", 1, 3), file("b/c", 2, 250), file("d", 3, 0), file("e", 1, 3)], 100);
    assert_eq!(reopened(&list), Ok(list.clone()));
    let (uploaded, mut bytes) = list.pack().unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(FileList::open(&uploaded, &bytes), Err(BadList::Another));
    bytes.pop();
    assert_eq!(FileList::open(&uploaded, &bytes), Err(BadList::Another));
}

#[test]
fn a_short_list_is_told_whole_and_checked_as_any_other() {
    let of = |size: u64| list(vec![file("a", 1, size)], PART_BYTES_MAX);
    let hundred = of(100_000_000);
    let (told, bytes) = hundred.pack().unwrap();
    assert_eq!(FileList::inline(&told), Some(bytes.as_slice()));
    assert_eq!(FileList::open(&told, &bytes), Ok(hundred));
    assert!(told.media.to_string().len() <= MEDIA_BYTES_MAX);
    let other = Uploaded { media: json!({ "list": "{}" }), ..told };
    assert_eq!(FileList::open(&other, FileList::inline(&other).unwrap()), Err(BadList::Another));
    let (uploaded, _) = of(1_000_000_000).pack().unwrap();
    assert_eq!((FileList::inline(&uploaded), &uploaded.media), (None, &Value::Null));
}

#[test]
fn paths_that_leave_the_directory_or_clash_are_refused() {
    let deep = format!("{}x", "x/".repeat(DEPTH_MAX));
    for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "./a", "a\0b", &"x/".repeat(3000), &deep]
    {
        let why = refused(vec![file(path, 1, 1)]);
        assert!(matches!(why, BadList::Path(_)), "{path:?}: {why}");
    }
    assert_eq!(refused(vec![file("a", 1, 1), file("a", 1, 1)]), BadList::Clash("a".to_owned()));
    assert_eq!(refused(vec![file("a/b/c", 1, 1), file("a/b", 2, 1)]), BadList::Clash("a/b".to_owned()));
    // `a.b` sorts between `a` and `a/b`.
    let three = vec![file("a", 1, 1), file("a.b", 2, 1), file("a/b", 3, 1)];
    assert_eq!(refused(three), BadList::Clash("a".to_owned()));
}

#[test]
fn parts_must_make_up_the_files() {
    let good = list(vec![file("a", 1, 1_500_000), file("b", 2, 10)], 1_000_000);
    assert_eq!(good.parts.len(), 3);
    let changed = |change: &dyn Fn(&mut FileList)| {
        let mut list = good.clone();
        change(&mut list);
        reopened(&list).unwrap_err()
    };
    let parts = |why: BadList| assert!(matches!(why, BadList::Parts(_)), "{why}");
    parts(changed(&|list| drop(list.parts.remove(0))));
    parts(changed(&|list| drop(list.parts.remove(1))));
    parts(changed(&|list| list.parts.swap(0, 1)));
    parts(changed(&|list| list.parts[1].pieces[0].size -= 1));
    parts(changed(&|list| list.parts[2].pieces[0].size = 0));
    parts(changed(&|list| list.parts[1].pieces[0].start = u64::MAX));
    parts(changed(&|list| list.files[0].size = 7));
    parts(changed(&|list| list.files[1].blob = BlobId("../../../../etc/passwd".to_owned())));
    parts(changed(&|list| list.files[1].blob = list.files[0].blob.clone()));
    parts(changed(&|list| list.parts.insert(1, Part { media: media("x"), pieces: vec![piece(2, 0, 10)] })));
    // Nothing is the content of no other file, and of each empty one.
    parts(changed(&|list| list.files.push(ArtifactRecord { size: 0, ..file("c", 3, 1) })));
    parts(changed(&|list| list.files.push(ArtifactRecord { size: 1, ..file("c", 3, 0) })));
}

#[test]
fn what_a_list_says_of_contents_that_are_not_its_own_counts_nowhere() {
    let good = list(vec![file("a", 1, 10)], 0);
    let mut hostile = list(vec![file("b", 2, 10)], 0);
    hostile.parts[0].pieces.insert(0, piece(1, 0, 2));
    hostile.parts.push(Part { media: media("y"), pieces: vec![piece(1, 2, 9)] });
    let opened = reopened(&hostile).unwrap();
    assert_eq!(
        opened.parts,
        [Part { media: media("0"), pieces: vec![Piece { blob: None, ..piece(1, 0, 2) }, piece(2, 0, 10)] }]
    );
    let merged = FileList::merged([hostile, good.clone()]).unwrap();
    assert_eq!(merged.parts, [opened.parts, good.parts].concat());
    assert_eq!(reopened(&merged), Ok(merged.clone()));
}

#[test]
fn hostile_lists_take_little_time_and_memory() {
    let above = "a/".repeat(DEPTH_MAX - 1);
    let files: Vec<_> = (0..FILES_MAX).map(|n| file(&format!("{above}{n}"), 1, 1)).collect();
    assert_eq!(check_files(&files), Ok(()));
    let mut crumbs = list(vec![file("a", 1, 100_000)], 0);
    crumbs.parts = (0..100_000).map(|at| Part { media: media(""), pieces: vec![piece(1, at, 1)] }).collect();
    assert_eq!(crumbs.check_parts(), Err(BadList::TooLarge));
    let media: PartMedia = serde_json::from_str(&format!("[{}0]", "0,".repeat(2000))).unwrap();
    assert!(!media.is_too_long());
    assert_eq!(size_of_val(&media), 16);
}

#[test]
fn what_is_too_large_is_refused() {
    let many = (0..=FILES_MAX).map(|n| file(&n.to_string(), 1, 1)).collect();
    assert_eq!(refused(many), BadList::TooLarge);
    assert_eq!(check_files(&[file("a", 1, BYTES_MAX), file("b", 2, 1)]), Err(BadList::TooLarge));
    assert_eq!(check_files(&[file("a", 1, u64::MAX), file("b", 2, 1)]), Err(BadList::TooLarge));
    let mut wide = list(vec![file("a", 1, 10)], 10);
    wide.parts[0].pieces.push(piece(2, 0, PART_BYTES_MAX));
    assert_eq!(reopened(&wide), Err(BadList::TooLarge));
    let mut encrypted = list(vec![file("a", 1, 20 << 20)], PART_BYTES_MAX);
    encrypted.parts = vec![Part { pieces: vec![piece(1, 0, 20 << 20)], ..encrypted.parts.remove(0) }];
    assert_eq!(reopened(&encrypted).as_ref(), Ok(&encrypted));
    encrypted.parts[0].media = PartMedia::from(&json!({ "file": {} }));
    assert_eq!(reopened(&encrypted), Err(BadList::TooLarge));
    let mut far = list(vec![file("a", 1, 10)], 10);
    far.parts[0].media = PartMedia::from(&json!("x".repeat(5000)));
    assert_eq!(reopened(&far), Err(BadList::TooLarge));
}

#[test]
fn a_merged_list_has_the_later_file_and_no_part_that_nobody_needs() {
    let first = list(vec![file("a", 1, 1), file("b", 2, 1)], 100);
    let second = list(vec![file("b", 3, 1), file("c", 1, 1)], 100);
    let merged = FileList::merged([first.clone(), second.clone()]).unwrap();
    assert_eq!(merged.files, [file("a", 1, 1), file("b", 3, 1), file("c", 1, 1)]);
    // Each content once.
    let mut later = second.parts[0].clone();
    later.pieces.iter_mut().find(|piece| piece.blob == Some(blob(1))).unwrap().blob = None;
    let mut earlier = first.parts[0].clone();
    earlier.pieces.iter_mut().find(|piece| piece.blob == Some(blob(2))).unwrap().blob = None;
    assert_eq!(merged.parts, [earlier, later]);
    assert_eq!(reopened(&merged), Ok(merged.clone()));
    let again = FileList::merged([second.clone(), merged, second.clone()]).unwrap();
    assert_eq!(again.parts.len(), 1, "all contents are in the part of the second one");
    let clash = FileList::merged([second, list(vec![file("c/d", 4, 1)], 9)]);
    assert_eq!(clash, Err(BadList::Clash("c".to_owned())));
}

proptest! {
    /// Whatever contents there are: their parts make them up, none is too large, and lists can be merged in any way.
    #[test]
    fn contents_are_cut_and_merged(
        first in proptest::collection::vec(0_u64..3_000_000, 0..12),
        second in proptest::collection::vec(0_usize..24, 0..12),
        part_max in 500_000_u64..9_000_000,
    ) {
        let size = |n: usize| first.get(n).copied().unwrap_or(n as u64 * 100_000);
        let files = |names: &mut dyn Iterator<Item = usize>, of: &str| {
            let names: BTreeSet<usize> = names.collect();
            names.iter().map(|n| file(&format!("{of}/{n}"), *n as u64, size(*n))).collect::<Vec<_>>()
        };
        let one = list(files(&mut (0..first.len()), "x"), part_max);
        let two = list(files(&mut second.iter().copied(), "y"), part_max / 2);
        for list in [&one, &two] {
            prop_assert_eq!(reopened(list), Ok(list.clone()));
            prop_assert!(list.parts.iter().all(|part| part.size() <= part_max && !part.pieces.is_empty()));
            let bytes: u64 = list.parts.iter().map(Part::size).sum();
            prop_assert_eq!(bytes, list.contents().values().sum::<u64>());
        }
        let merged = FileList::merged([one, two]).unwrap();
        prop_assert_eq!(reopened(&merged), Ok(merged));
    }
}
