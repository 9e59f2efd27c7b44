//! What a pipe carries between a viewer's node and the node of a session.

use serde::{Deserialize, Serialize};

use crate::api::{Attach, AttachControl, AttachNotice, Problem, ReadLog, SendInput};
use crate::federation::base64_bytes;
use crate::ids::{RunId, SessionId, TaskId};

/// Characters of a person's name.
const NAME_MAX: usize = 64;
/// Bytes that a frame takes besides its data, about.
const FRAME_BYTES: usize = 64;

/// What a view is to show. The first frame of a viewer's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The run of the session.
    pub run: RunId,
    /// The task that the session works on.
    pub task: TaskId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The session.
    pub session: SessionId,
    /// The person, as the sender says: `uid:1000`, `token:NAME`.
    pub by: String,
    /// What of it.
    pub what: What,
}

impl Open {
    /// The person's name, safe to show.
    #[must_use]
    pub fn name(&self) -> String {
        self.by.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
    }
}

/// What of a session is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// Its terminal.
    Terminal {
        /// As the viewer asked for it.
        attach: Attach,
    },
    /// Its log.
    Log {
        /// As the reader asked for it.
        read: ReadLog,
    },
    /// The text on its screen, as JSON.
    Screen {},
    /// What the monitor knows of it, as JSON.
    Explain {},
    /// What comes of typing this into it, as JSON.
    Input {
        /// What is typed.
        request: SendInput,
    },
}

impl What {
    /// Whether it is one value as JSON.
    #[must_use]
    pub fn is_value(&self) -> bool {
        matches!(self, Self::Screen {} | Self::Explain {} | Self::Input { .. })
    }
}

/// One thing that goes through a pipe. Each is for one direction; the other end refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Frame {
    /// From the viewer: the beginning.
    Open(Box<Open>),
    /// From the viewer: typed bytes.
    Typed {
        /// They.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// From the viewer: its terminal changed.
    Control {
        /// How.
        control: AttachControl,
    },
    /// From the viewer: it looks no more.
    Bye {},
    /// To the viewer: terminal bytes, or a part of a log or of a value.
    Output {
        /// They.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
        /// First byte of the session's output that they and all before them do not stand for, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
    },
    /// To the viewer: something else to know.
    Notice {
        /// What.
        notice: AttachNotice,
    },
    /// To the viewer: nothing follows.
    End {
        /// Why there is not all of it; none: it was shown whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
}

impl Frame {
    /// Bytes of it, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let data = match self {
            Self::Typed { data } | Self::Output { data, .. } => data.len(),
            Self::Notice { notice: AttachNotice::Ended { screen, detail, .. } } => {
                detail.len() + screen.as_ref().map_or(0, String::len)
            }
            Self::Open(open) => match &open.what {
                What::Input { request } => request.data.len(),
                _ => 0,
            },
            _ => 0,
        };
        FRAME_BYTES + data
    }

    /// The same in about so many bytes: of the end of a session its last screen is left out where that is longer.
    #[must_use]
    pub(super) fn fitting(mut self, bytes: usize) -> Self {
        if self.size() > bytes
            && let Self::Notice { notice: AttachNotice::Ended { screen, .. } } = &mut self
        {
            *screen = None;
        }
        self
    }

    /// Whether nothing follows it in its direction.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Bye {} | Self::End { .. })
    }
}
