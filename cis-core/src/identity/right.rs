//! What nodes may do for each other.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What another node may do in the rooms that it shares with this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Give runs to the room.
    Submit,
    /// Coordinate runs, and vote on who does.
    Coordinate,
    /// Work on tasks.
    Execute,
}

impl Right {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Coordinate => "coordinate",
            Self::Execute => "execute",
        }
    }

    /// The words for these.
    #[must_use]
    pub fn words<'a>(rights: impl IntoIterator<Item = &'a Self>) -> Vec<&'static str> {
        rights.into_iter().map(|right| right.word()).collect()
    }
}

impl std::str::FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "submit" => Ok(Self::Submit),
            "coordinate" => Ok(Self::Coordinate),
            "execute" => Ok(Self::Execute),
            _ => Err(format!("unknown right `{text}`: the rights are submit, coordinate and execute")),
        }
    }
}
