//! How people name a room: its id, an alias, or a link of matrix.to.
//!
//! Owns the reading of such a text. What it names is the homeserver's to say.

use std::fmt;
use std::str::FromStr;

use matrix_sdk::ruma::matrix_uri::MatrixId;
use matrix_sdk::ruma::{MatrixToUri, MatrixUri, OwnedRoomOrAliasId, OwnedServerName, RoomOrAliasId, UserId};

/// A longer text is no name: ids and aliases have 255 bytes at most, a link has some servers beside.
const NAME_BYTES_MAX: usize = 2048;

/// Servers of a link that are asked at most.
pub(crate) const VIA_MAX: usize = 8;

/// A room, as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName {
    pub(crate) id: OwnedRoomOrAliasId,
    /// Servers that are in the room: an id alone need not name one.
    pub(crate) via: Vec<OwnedServerName>,
}

/// Why a text names no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no room: {why}")]
pub struct RoomNameError {
    text: String,
    why: &'static str,
}

impl RoomName {
    /// The id or the alias.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.id.as_str()
    }

    /// Whether it is an id, which needs no look-up.
    #[must_use]
    pub fn is_id(&self) -> bool {
        self.id.is_room_id()
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        let text = text.trim();
        let wrong = |why| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            RoomNameError { text: shown, why }
        };
        if text.len() > NAME_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let (id, via) = if text.starts_with("https://matrix.to/") {
            let link = MatrixToUri::parse(text).map_err(|_| wrong("the link is damaged"))?;
            (link.id().clone(), link.via().to_vec())
        } else if text.starts_with("matrix:") {
            let link = MatrixUri::parse(text).map_err(|_| wrong("the link is damaged"))?;
            (link.id().clone(), link.via().to_vec())
        } else if text.starts_with(['!', '#']) {
            // Of ids nothing but the first character is prescribed.
            let id = <&RoomOrAliasId>::try_from(text)
                .ok()
                .filter(|id| id.as_str().len() > 1 && !text.contains(char::is_whitespace))
                .ok_or_else(|| wrong("the id or alias is damaged"))?;
            return Ok(Self { id: id.to_owned(), via: Vec::new() });
        } else {
            return Err(wrong("take an id (!…), an alias (#name:server) or a link of matrix.to"));
        };
        let id: OwnedRoomOrAliasId = match id {
            MatrixId::Room(room) => room.into(),
            MatrixId::RoomAlias(alias) => alias.into(),
            MatrixId::Event(room, _) => room,
            _ => return Err(wrong("it is a link to something else")),
        };
        Ok(Self { id, via: via.into_iter().take(VIA_MAX).collect() })
    }
}

/// Whether this is a whole Matrix id of a person or a program.
pub(crate) fn user_id(text: &str) -> Result<matrix_sdk::ruma::OwnedUserId, crate::MatrixError> {
    UserId::parse(text.trim()).map_err(|_| crate::MatrixError::BadInput {
        detail: format!("`{}` is no Matrix id: it is written @name:server", text.escape_debug()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RoomName {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn ids_aliases_and_links_are_read() {
        assert!(name("!abc:example.org").is_id());
        assert!(name("!aGkO9nothingbehind").is_id(), "an id of version 12 has no server");
        assert_eq!(name(" #builds:example.org\n").as_str(), "#builds:example.org");
        let link = name("https://matrix.to/#/!abc%3Aexample.org?via=example.org&via=other.org");
        assert_eq!(link.as_str(), "!abc:example.org");
        assert_eq!(link.via, ["example.org", "other.org"]);
        assert_eq!(name("https://matrix.to/#/%23builds%3Aexample.org").as_str(), "#builds:example.org");
        assert_eq!(
            name("https://matrix.to/#/!abc:example.org/$event?via=example.org").as_str(),
            "!abc:example.org"
        );
        assert_eq!(name("matrix:r/builds:example.org").as_str(), "#builds:example.org");
    }

    #[test]
    fn what_names_no_room_is_refused_with_what_would() {
        for text in ["", "builds", "@ann:example.org", "https://matrix.to/#/@ann:example.org", "#builds", "!"]
        {
            let error = text.parse::<RoomName>().unwrap_err().to_string();
            assert!(error.contains("names no room"), "{error}");
        }
        assert!("x\x1b[2J".parse::<RoomName>().unwrap_err().to_string().find('\x1b').is_none());
        assert!(format!("!{}", "a".repeat(3000)).parse::<RoomName>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(https://matrix.to/#/|matrix:r|[!#])?\\PC{0,60}") {
            let _ = text.parse::<RoomName>();
        }
    }
}
