//! Names of things in Matrix: users, rooms, events. Owns their shape, and links to them.
//!
//! A name from outside is checked here before it stands in a message, a list or a map.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// No name of Matrix is longer, bytes.
const NAME_BYTES_MAX: usize = 255;
/// No link to a room is longer, bytes.
const LINK_BYTES_MAX: usize = 2048;
/// So many servers are named in a link.
const VIA_MAX: usize = 3;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a user.
    #[error("`{0}` is not a Matrix user: expected one such as @ann:example.org")]
    User(String),
    /// Not a room.
    #[error("`{0}` is not a Matrix room id: expected one that begins with `!`")]
    Room(String),
    /// Not an event.
    #[error("`{0}` is not a Matrix event id: expected one that begins with `$`")]
    Event(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $fits:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if text.len() <= NAME_BYTES_MAX && $fits(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(NameError::$error(crate::text::clean::line(text, 60)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A user, such as `@ann:example.org`.
    UserId, User, is_user
);
name!(
    /// A room; since version 12 of rooms without the name of a server.
    RoomId, Room, is_room
);
name!(
    /// An event in a room.
    EventId, Event, is_event
);

impl UserId {
    /// The server that the user is of.
    #[must_use]
    pub fn server(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, server)| server)
    }

    /// A link to the user, as clients make pills of it.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://matrix.to/#/{}", encoded(&self.0))
    }
}

/// Where an event lies, to be linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The room.
    pub room: RoomId,
    /// The event.
    pub event: EventId,
    /// Servers that know the room; needed where its id names none.
    pub via: Vec<String>,
}

impl Place {
    /// A link to it.
    #[must_use]
    pub fn link(&self) -> String {
        let mut out =
            format!("https://matrix.to/#/{}/{}", encoded(self.room.as_str()), encoded(self.event.as_str()));
        for (at, server) in self.via.iter().filter(|server| is_server(server)).take(VIA_MAX).enumerate() {
            out.push(if at == 0 { '?' } else { '&' });
            out.push_str("via=");
            out.push_str(&encoded(server));
        }
        out
    }
}

/// Printable ASCII without the colon that ends it: also the older, wider form of names.
fn is_user(text: &str) -> bool {
    let Some((name, server)) = text.strip_prefix('@').and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()) && is_server(server)
}

fn is_room(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('!') else { return false };
    let (opaque, server) = rest.split_once(':').map_or((rest, None), |(id, server)| (id, Some(server)));
    !opaque.is_empty() && opaque.bytes().all(|b| b.is_ascii_graphic()) && server.is_none_or(is_server)
}

/// Whether a text has the shape of a room as people name one: an id, an alias, or a link. What it names is
/// the homeserver's to say.
#[must_use]
pub fn names_a_room(text: &str) -> bool {
    let is_alias = || {
        let parts = text.strip_prefix('#').and_then(|rest| rest.split_once(':'));
        parts.is_some_and(|(name, server)| !name.is_empty() && is_server(server))
    };
    let is_link = || {
        ["https://matrix.to/#/", "matrix:r/", "matrix:roomid/"]
            .iter()
            .any(|start| text.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
    };
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    plain
        && (text.len() <= NAME_BYTES_MAX && (is_room(text) || is_alias())
            || text.len() <= LINK_BYTES_MAX && is_link())
}

fn is_event(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()))
}

/// A host name or address, with a port where there is one.
pub(super) fn is_server(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(plain)
}

/// Percent-encoded but for what links of Matrix keep as it is.
fn encoded(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'@' | b':')
        {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_shape() {
        for good in ["@ann:example.org", "@a=2fb/c:[::1]:8448", "@Old<Name>:localhost:8008"] {
            assert!(good.parse::<UserId>().is_ok(), "{good}");
        }
        let long = format!("@{}:x", "a".repeat(300));
        for bad in ["ann:example.org", "@ann", "@:x", "@a b:x", "@ä:x", "@a:", "@a:x/y", "@a\n:x", &long] {
            assert!(bad.parse::<UserId>().is_err(), "{bad}");
        }
        assert!("!aGkO9zfA".parse::<RoomId>().is_ok());
        assert!("!a:b.org".parse::<RoomId>().is_ok());
        assert!("#a:b.org".parse::<RoomId>().is_err());
        assert!("$abc_-".parse::<EventId>().is_ok());
        assert!("$".parse::<EventId>().is_err());
    }

    #[test]
    fn a_room_is_named_by_id_alias_or_link() {
        for good in [
            "!aGkO9zfA",
            "!a:b.org",
            "#bäume:example.org",
            "https://matrix.to/#/%23builds:example.org?via=example.org",
            "matrix:r/builds:example.org",
            "matrix:roomid/abc:example.org?via=b",
        ] {
            assert!(names_a_room(good), "{good}");
        }
        let long = format!("#{}:x", "a".repeat(300));
        for bad in ["", "builds", "#builds", "#:x", "#a b:x", "@ann:x", "https://matrix.to/#/", "!a\n", &long]
        {
            assert!(!names_a_room(bad), "{bad}");
        }
    }

    #[test]
    fn links_hold_nothing_that_ends_an_attribute() {
        let user: UserId = "@a\"><b>:x".parse().unwrap();
        assert_eq!(user.link(), "https://matrix.to/#/@a%22%3E%3Cb%3E:x");
        let place = Place {
            room: "!r".parse().unwrap(),
            event: "$e/+".parse().unwrap(),
            via: vec!["a.org".into(), "no good".into(), "b:8448".into()],
        };
        assert_eq!(place.link(), "https://matrix.to/#/!r/$e%2F%2B?via=a.org&via=b:8448");
    }
}
