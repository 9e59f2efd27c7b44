//! Who may read a file that a task left.
//!
//! Owns what the rights of a file and of the directories above it mean (inode(7), acl(5)). In doubt it is the owner alone: the file comes back
//! with the owner's group of the node, and without an access control list.

use std::os::fd::AsFd;

use rustix::fs::{fgetxattr, fstat};
use rustix::io::Errno;

use crate::files::is_own_group;
use cis_core::event::FileReaders;

/// The access control list of a file, as the kernel gives it.
const ACL: &std::ffi::CStr = c"system.posix_acl_access";
/// A longer one is not looked at, bytes.
const ACL_BYTES_MAX: usize = 4 + 8 * 128;

/// A right, in the bits of others.
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// Who may read this file, if they may pass the directories above it.
pub(super) fn of_file(file: impl AsFd) -> FileReaders {
    who(file, READ)
}

/// Who may read this file, in doubt more than may: whether somebody could read it whom a record leaves out.
pub(super) fn at_most(file: impl AsFd) -> FileReaders {
    let Ok(stat) = fstat(&file) else { return FileReaders::Everybody };
    match (stat.st_mode & 0o040 != 0, stat.st_mode & 0o004 != 0) {
        _ if !matches!(list_of(&file, &mut [0; ACL_BYTES_MAX]), Ok(None)) => FileReaders::Everybody,
        (false, false) => FileReaders::Owner,
        (true, false) if is_own_group(&stat) => FileReaders::Group,
        _ => FileReaders::Everybody,
    }
}

/// Who may pass this directory: only they may read what lies in it.
pub(super) fn through(dir: impl AsFd) -> FileReaders {
    who(dir, SEARCH)
}

fn who(file: impl AsFd, right: u32) -> FileReaders {
    let Ok(stat) = fstat(&file) else { return FileReaders::Owner };
    let mut bytes = [0; ACL_BYTES_MAX];
    let Ok(list) = list_of(&file, &mut bytes) else { return FileReaders::Owner };
    judge(stat.st_mode, is_own_group(&stat), list, right)
}

/// The access control list of a file; none: it has none. An error: that cannot be told.
fn list_of(file: impl AsFd, bytes: &mut [u8; ACL_BYTES_MAX]) -> Result<Option<&[u8]>, Errno> {
    match fgetxattr(file, ACL, &mut *bytes) {
        Ok(size) => Ok(Some(&bytes[..size])),
        // The file has no list, or its file system has no lists.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `is_ours`: its group is the one that the file will have when it comes back.
fn judge(mode: u32, is_ours: bool, list: Option<&[u8]>, right: u32) -> FileReaders {
    let (group, others) = ((mode >> 3) & right != 0, mode & right != 0);
    match list {
        Some(list) if others && all_may(list, right) => FileReaders::Everybody,
        Some(_) => FileReaders::Owner,
        // Members of its group may not, although all others may.
        None if others && !group => FileReaders::Owner,
        None if others => FileReaders::Everybody,
        None if group && is_ours => FileReaders::Group,
        None => FileReaders::Owner,
    }
}

/// Whether each entry of a list has the right, also the mask, which limits others.
fn all_may(list: &[u8], right: u32) -> bool {
    let Some(entries) = list.strip_prefix(&2_u32.to_le_bytes()) else { return false };
    let (entries, rest) = entries.as_chunks::<8>();
    let has = |entry: &[u8; 8]| u32::from(u16::from_le_bytes([entry[2], entry[3]])) & right != 0;
    rest.is_empty() && !entries.is_empty() && entries.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use FileReaders::{Everybody, Group, Owner};

    #[test]
    fn who_may_read_is_told_by_mode_and_group() {
        for (mode, is_ours, readers) in [
            (0o644, true, Everybody),
            (0o644, false, Everybody),
            (0o640, true, Group),
            (0o640, false, Owner),
            (0o600, true, Owner),
            (0o604, true, Owner),
            (0o711, true, Owner),
        ] {
            assert_eq!(judge(mode, is_ours, None, READ), readers, "{mode:o} {is_ours}");
        }
        assert_eq!(judge(0o711, true, None, SEARCH), Everybody);
        assert_eq!(judge(0o750, false, None, SEARCH), Owner);
    }

    /// A file in place to which others have more rights than the record says gets the rights of the record.
    #[test]
    fn who_at_most_may_read_errs_to_the_other_side() {
        let file = tempfile::tempfile().unwrap();
        for (mode, readers) in [(0o600, Owner), (0o640, Group), (0o604, Everybody), (0o644, Everybody)] {
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode)).unwrap();
            assert_eq!(at_most(&file), readers, "{mode:o}");
        }
    }

    /// Entries of a list: kind and rights.
    fn list(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (kind, rights) in entries {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(u32::MAX.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_list_means_the_owner_unless_everybody_in_it_may_read() {
        let all = [(0x01, 6), (0x02, 4), (0x04, 4), (0x10, 4), (0x20, 4)];
        assert_eq!(judge(0o644, true, Some(&list(&all)), READ), Everybody);
        for at in 0..all.len() {
            let mut one = all;
            one[at].1 = 0;
            assert_eq!(judge(0o644, true, Some(&list(&one)), READ), Owner, "{at}");
        }
        assert_eq!(judge(0o640, true, Some(&list(&all)), READ), Owner, "named users");
        for damaged in [&list(&all)[..30], &[][..], &[0; 12][..]] {
            assert_eq!(judge(0o644, true, Some(damaged), READ), Owner);
        }
    }
}
