use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::small_file::tests::{at_once, fifo};

struct Place {
    dir: tempfile::TempDir,
    blobs: Blobs,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let blobs = Blobs::new(dir.path());
        Self { dir, blobs }
    }

    fn cwd(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.cwd().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn collect(&self, globs: &[&str]) -> Result<Vec<ArtifactRecord>, FilesError> {
        let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
        collect(&self.cwd(), &globs, &self.blobs, &Redactor::default(), None, &Stop::default())
    }

    fn restore(&self, records: &[ArtifactRecord]) -> Result<(), FilesError> {
        restore(&self.cwd(), records, &self.blobs, 0o022, ".cis-restore-x".to_owned(), &Stop::default())
    }

    fn empty(&self) {
        fs::remove_dir_all(self.cwd()).unwrap();
        fs::create_dir(self.cwd()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.cwd())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The names of the files that are kept if `meanwhile` happens after each search.
fn kept_if(place: &Place, glob: &str, mut meanwhile: impl FnMut()) -> Result<Vec<String>, FilesError> {
    let (redactor, stop) = (Redactor::default(), Stop::default());
    let how = Collecting { blobs: &place.blobs, known: None, ahead: None, redactor: &redactor, bytes_max: 9 };
    let globs = Globs::new(&[glob.to_owned()]).unwrap();
    let limits = Limits { found_max: FILES_MAX, seen_max: SEEN_MAX };
    let kept = collect_found(&place.cwd(), &how, &stop, |tree| {
        let found = find(tree, &globs, false, limits, &stop);
        meanwhile();
        found
    });
    Ok(kept?.into_iter().map(|file| file.path).collect())
}

#[test]
fn a_file_that_is_renamed_after_the_search_is_kept_under_its_new_name() {
    let place = Place::new();
    place.write("out/a", "1");
    let part = place.write("out/z.part", "2");
    let kept = kept_if(&place, "out/*", || {
        let _ = fs::rename(&part, place.cwd().join("out/b"));
    });
    assert_eq!(kept.unwrap(), ["out/a", "out/b"]);
}

#[test]
fn a_file_that_is_removed_after_the_search_is_left_out_unless_its_glob_has_no_other() {
    let place = Place::new();
    let files = ["out/a", "out/b"].map(|name| place.write(name, "1"));
    let kept_without = |glob: &str, gone: &Path| {
        kept_if(&place, glob, || {
            let _ = fs::remove_file(gone);
        })
    };
    assert_eq!(kept_without("out/*", &files[0]).unwrap(), ["out/b"]);
    let refused = kept_without("out/b", &files[1]).unwrap_err();
    assert!(matches!(refused, FilesError::Nothing { .. }), "{refused}");
}

#[test]
fn files_that_keep_changing_are_not_kept() {
    let place = Place::new();
    place.write("out/b0", "1");
    let mut searches = 0;
    let refused = kept_if(&place, "out/*", || {
        let [from, to] = [searches, searches + 1].map(|n| place.cwd().join(format!("out/b{n}")));
        fs::rename(from, to).unwrap();
        searches += 1;
    });
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("keep changing"), "{refused}");
    assert_eq!(searches, 3);
}

#[test]
fn a_kept_content_that_was_cut_short_is_kept_anew_although_its_file_did_not_change() {
    let (place, known) = (Place::new(), KnownFiles::default());
    // Nobody can set the time of an inode, and only a file that did not change lately is not read again.
    let collect = || {
        let (dir, globs) = (Path::new(env!("CARGO_MANIFEST_DIR")), ["Cargo.toml".to_owned()]);
        collect_inputs(dir, &globs, &place.blobs, &known, &Stop::default()).unwrap()
    };
    let kept = collect();
    let path = place.blobs.file(&kept[0].blob).unwrap();
    File::options().write(true).open(path).unwrap().set_len(3).unwrap();
    assert_eq!(collect(), kept);
    assert!(place.blobs.has_whole(&kept[0].blob, kept[0].size));
}

#[test]
fn what_was_kept_comes_back_as_it_was() {
    let place = Place::new();
    place.write("out/b/tool", "#!/bin/sh\n");
    fs::set_permissions(place.cwd().join("out/b/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    place.write("out/a", "text");
    place.write("other", "not kept");
    place.write("out/key", "secret");
    fs::set_permissions(place.cwd().join("out/key"), fs::Permissions::from_mode(0o640)).unwrap();
    place.write("out/own/state", "private by its directory");
    fs::set_permissions(place.cwd().join("out/own"), fs::Permissions::from_mode(0o700)).unwrap();
    let kept = place.collect(&["out/**"]).unwrap();
    let listed: Vec<_> = kept.iter().map(|a| (a.path.as_str(), a.size, a.executable)).collect();
    assert_eq!(
        listed,
        [("out/a", 4, false), ("out/b/tool", 10, true), ("out/key", 6, false), ("out/own/state", 24, false)]
    );
    place.empty();
    place.restore(&kept).unwrap();
    assert_eq!(fs::read_to_string(place.cwd().join("out/a")).unwrap(), "text");
    let mode = |name| fs::metadata(place.cwd().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["out/a", "out/b/tool", "out/b"].map(mode), [0o644, 0o755, 0o755]);
    assert_eq!(mode("out/own/state"), 0o600);
    assert_eq!(mode("out/key"), 0o640, "who could not read it cannot read it now");
    fs::set_permissions(place.cwd().join("out/key"), fs::Permissions::from_mode(0o644)).unwrap();
    place.restore(&kept).unwrap();
    assert_eq!(mode("out/key"), 0o640, "also where its content is there already");
    fs::set_permissions(place.cwd().join("out/key"), fs::Permissions::from_mode(0o600)).unwrap();
    place.restore(&kept).unwrap();
    assert_eq!(mode("out/key"), 0o600, "fewer rights stay");
    assert_eq!(place.names(), ["out"], "nothing else is left");
    // What is there already is not written again; what differs is.
    let before = fs::metadata(place.cwd().join("out/a")).unwrap();
    place.write("out/b/tool", "changed");
    place.restore(&kept).unwrap();
    let after = fs::metadata(place.cwd().join("out/a")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(fs::read_to_string(place.cwd().join("out/b/tool")).unwrap(), "#!/bin/sh\n");
}

/// Two tasks get the same files at the same time: what the first one has begun to use stays as it is.
#[test]
fn files_that_came_meanwhile_stay_and_those_that_changed_meanwhile_come_back() {
    let place = Place::new();
    place.write("out/a", "text");
    place.write("out/b", "other");
    let kept = place.collect(&["out/*"]).unwrap();
    fs::remove_file(place.cwd().join("out/a")).unwrap();
    let begin = |staging: &str| {
        Restore::begin(&place.cwd(), &kept, 0o022, staging.to_owned(), &Stop::default()).unwrap()
    };
    let (first, second) = (begin(".cis-restore-1"), begin(".cis-restore-2"));
    first.finish(&place.blobs).unwrap();
    let inode = |name: &str| fs::metadata(place.cwd().join(name)).unwrap().ino();
    let before = inode("out/a");
    fs::remove_file(place.cwd().join("out/b")).unwrap();
    second.finish(&place.blobs).unwrap();
    assert_eq!(inode("out/a"), before, "it is not replaced");
    assert_eq!(fs::read_to_string(place.cwd().join("out/b")).unwrap(), "other");
    assert_eq!(place.names(), ["out"]);
}

#[test]
fn nothing_outside_is_read_through_a_link_or_a_pipe() {
    let place = Place::new();
    fs::write(place.dir.path().join("outside"), "secret").unwrap();
    place.write("out/real", "x");
    symlink(place.dir.path().join("outside"), place.cwd().join("out/link")).unwrap();
    symlink(place.dir.path(), place.cwd().join("out/dir")).unwrap();
    fifo(&place.cwd().join("out/pipe"));
    let (place, kept) = at_once(move || {
        let kept = place.collect(&["out/**"]).unwrap();
        (place, kept)
    });
    assert_eq!(kept.iter().map(|a| a.path.as_str()).collect::<Vec<_>>(), ["out/real"]);
    assert!(matches!(place.collect(&["../outside"]), Err(FilesError::Glob { .. })));
}

#[test]
fn a_restore_that_cannot_be_whole_changes_nothing() {
    let place = Place::new();
    place.write("out/a", "a");
    place.write("out/z", "z");
    let kept = place.collect(&["out/*"]).unwrap();
    // A blob that is damaged, one that is gone, a link, a directory and a file in the way.
    let blob = place.dir.path().join("blobs").join(&kept[1].blob.0[..2]).join(&kept[1].blob.0);
    place.empty();
    fs::write(&blob, "not z").unwrap();
    assert!(matches!(place.restore(&kept), Err(FilesError::Store(StoreError::BlobDamaged { .. }))));
    assert_eq!(place.names(), Vec::<String>::new());
    fs::remove_file(&blob).unwrap();
    assert!(place.restore(&kept).is_err());
    assert_eq!(place.names(), Vec::<String>::new());
    fs::write(&blob, "z").unwrap();
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, place.cwd().join("out")).unwrap();
    assert!(matches!(place.restore(&kept), Err(FilesError::Place { .. })));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "no link is followed");
    place.empty();
    fs::create_dir_all(place.cwd().join("out/z")).unwrap();
    assert!(matches!(place.restore(&kept), Err(FilesError::Place { .. })));
    assert!(!place.cwd().join("out/a").exists());
    place.empty();
    place.write("out", "a file");
    assert!(matches!(place.restore(&kept), Err(FilesError::Place { .. })));
    place.empty();
    let hostile = ArtifactRecord { path: "../escaped".to_owned(), ..kept[0].clone() };
    assert!(matches!(place.restore(&[hostile]), Err(FilesError::Place { .. })));
    assert!(!place.dir.path().join("escaped").exists());
}

#[test]
fn sizes_are_bounded_and_stopping_leaves_no_blob() {
    let place = Place::new();
    place.write("a", "12345");
    place.write("b", "12345");
    let globs = ["*".to_owned()];
    let kept = |bytes_max| {
        let redactor = &Redactor::default();
        let how = Collecting { blobs: &place.blobs, known: None, ahead: None, redactor, bytes_max };
        collect_with(&place.cwd(), &globs, &how, &Stop::default())
    };
    assert_eq!(kept(10).unwrap().len(), 2);
    assert!(matches!(kept(9), Err(FilesError::TooLarge { max: 9 })));
    let stop = Stop::default();
    stop.set();
    assert!(matches!(
        collect(&place.cwd(), &globs, &place.blobs, &Redactor::default(), None, &stop),
        Err(FilesError::Stopped)
    ));
}
