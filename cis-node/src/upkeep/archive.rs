//! The form of a backup: a tar archive (POSIX ustar) of plain files with these names and no others,
//! beginning with a head and ending with the hashes of all that stands before them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::error::UpkeepError;
use cis_core::ids::TimestampMs;

/// The first entry.
pub(super) const HEAD: &str = "cis-backup.json";
/// The last entry: lines as `sha256sum` writes and checks them.
pub(super) const SUMS: &str = "SHA256SUMS";
/// Of what this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 2;

/// The database.
pub(super) const DATABASE: &str = "cis.db";
/// Files of the home that belong to a backup where they are there.
pub(super) const FILES: &[&str] =
    &["identity.key", "token.key", "trust.toml", "config.toml", "rooms.json", "own-room.json"];

/// A longer name has no place in an archive.
const NAME_BYTES_MAX: usize = 250;

/// What the archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    /// The version of the program that made it.
    pub(super) cis: String,
    /// Unix ms.
    pub(super) made_ms: TimestampMs,
    /// It has the logs of ended runs, too.
    pub(super) all_logs: bool,
}

/// Whether a file of a backup may have this name. What is not allowed here is never a path.
pub(super) fn is_allowed(name: &str) -> bool {
    if name == DATABASE || FILES.contains(&name) {
        return true;
    }
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["blobs" | "secrets", dir, blob] => {
            let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            blob.len() == 64 && hex(blob) && blob.get(..2) == Some(*dir)
        }
        ["logs", file] | ["logs", _, file] => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            let sound = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
            name.len() <= NAME_BYTES_MAX && sound(file) && parts.iter().all(|part| sound(part))
        }
        _ => false,
    }
}

/// Writes an archive.
pub(super) struct ArchiveWriter<W: Write> {
    tar: tar::Builder<W>,
    sums: String,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn begin(out: W, head: &Head) -> Result<Self, UpkeepError> {
        let mut writer = Self { tar: tar::Builder::new(out), sums: String::new() };
        let json = serde_json::to_vec(head).map_err(|e| UpkeepError::Write(e.into()))?;
        writer.add(HEAD, json.len() as u64, json.as_slice())?;
        Ok(writer)
    }

    /// Adds a file of exactly so many bytes.
    pub(super) fn add(&mut self, name: &str, bytes: u64, content: impl Read) -> Result<(), UpkeepError> {
        let mut header = plain(bytes);
        header.set_path(name).map_err(UpkeepError::Write)?;
        header.set_cksum();
        let mut hashed = Hashed::new(content.take(bytes));
        self.tar.append(&header, &mut hashed).map_err(UpkeepError::Write)?;
        if hashed.count != bytes {
            // The archive is not finished, and the caller drops it.
            let short = format!("{name} became shorter while it was read");
            return Err(UpkeepError::Write(io::Error::other(short)));
        }
        self.sums.push_str(&hashed.into_hash());
        self.sums.push_str("  ");
        self.sums.push_str(name);
        self.sums.push('\n');
        Ok(())
    }

    /// Adds the hashes and the end.
    pub(super) fn finish(mut self) -> Result<W, UpkeepError> {
        let sums = std::mem::take(&mut self.sums);
        let mut header = plain(sums.len() as u64);
        header.set_path(SUMS).map_err(UpkeepError::Write)?;
        header.set_cksum();
        self.tar.append(&header, sums.as_bytes()).map_err(UpkeepError::Write)?;
        let mut out = self.tar.into_inner().map_err(UpkeepError::Write)?;
        out.flush().map_err(UpkeepError::Write)?;
        Ok(out)
    }
}

/// A header of a plain file that its owner alone can read.
fn plain(bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header
}

/// The lines of [`SUMS`]: hash by name.
pub(super) fn read_sums(text: &str) -> Result<BTreeMap<String, String>, UpkeepError> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let (hash, name) = line
            .split_once("  ")
            .filter(|(hash, _)| hash.len() == 64)
            .ok_or_else(|| UpkeepError::Damaged(format!("{SUMS} has a line that is none of its form")))?;
        if sums.insert(name.to_owned(), hash.to_owned()).is_some() {
            return Err(UpkeepError::Damaged(format!("{SUMS} names `{}` twice", name.escape_debug())));
        }
    }
    Ok(sums)
}

/// Hashes and counts what is read through it.
pub(super) struct Hashed<R> {
    from: R,
    hash: Sha256,
    pub(super) count: u64,
}

impl<R> Hashed<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, hash: Sha256::new(), count: 0 }
    }

    /// Of all that was read, in hexadecimal.
    pub(super) fn into_hash(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.count += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_home_are_allowed() {
        let blob = format!("blobs/ab/ab{}", "0".repeat(62));
        let log = "logs/01JD0V3Z8K6T9W2B5N7Q4R1XEC/deploy.1.2.log.tail0";
        for good in ["cis.db", "identity.key", &blob, &blob.replace("blobs", "secrets"), log, "logs/x.log"] {
            assert!(is_allowed(good), "{good}");
        }
        let wrong_dir = blob.replace("/ab/", "/cd/");
        let long = format!("logs/{}", "a".repeat(300));
        for bad in [
            "",
            "/etc/passwd",
            "cis.db/x",
            "../cis.db",
            "logs/../identity.key",
            "logs/./x",
            "logs//x",
            "logs/",
            "logs/a/b/c",
            "logs/.hidden",
            "blobs/ab/x",
            "node.lock",
            "./cis.db",
            "logs/a\0b",
            "logs/a\\b",
            &wrong_dir,
            &long,
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn the_sums_are_what_is_in_it() {
        let head = Head { format: 1, cis: "x".into(), made_ms: 1, all_logs: false };
        let mut archive = ArchiveWriter::begin(Vec::new(), &head).unwrap();
        archive.add("cis.db", 3, &b"abcdef"[..]).unwrap();
        assert!(archive.add("logs/x", 4, &b"abc"[..]).is_err(), "too short");
        let mut archive = ArchiveWriter::begin(Vec::new(), &head).unwrap();
        archive.add("cis.db", 3, &b"abcdef"[..]).unwrap();
        let bytes = archive.finish().unwrap();
        let mut tar = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> =
            tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, [HEAD, "cis.db", SUMS]);
        let sums =
            read_sums("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  cis.db\n").unwrap();
        assert!(sums.contains_key("cis.db"));
        assert!(
            String::from_utf8_lossy(&bytes)
                .contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  cis.db\n")
        );
        assert!(read_sums("x  cis.db").is_err() && read_sums("nonsense").is_err());
    }
}
