//! What a session shows at one moment, as a recording: people who replay it see what the monitor saw.
//!
//! Owns how long it stands still, so that each verdict has its time. What led to the screen is not in it.

use super::{Header, Label, Moment, Recording, What};
use crate::ids::TimestampMs;
use crate::monitor::KernelEvidence;
use crate::term_size::TermSize;

/// So long it stands, ms: longer than the monitor waits before any verdict that rests on a still screen.
const STANDS_MS: u64 = 35_000;

/// Between two samples of the kernel's evidence, ms.
const SAMPLE_MS: u64 = 500;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Of its terminal.
    pub size: TermSize,
    /// The profile that reads its screen.
    pub profile: String,
    /// Escape sequences that show the screen, secrets replaced.
    pub painted: String,
    /// What the kernel showed last.
    pub evidence: Option<KernelEvidence>,
}

impl Still {
    /// The recording of it. `truth` is what somebody said of it, at that time (Unix ms).
    #[must_use]
    pub fn recording(self, command: String, truth: Label, at: TimestampMs) -> Recording {
        let Self { size, profile, painted, evidence } = self;
        let header = Header { size, started_ms: at, command, profile: Some(profile), ..Header::default() };
        let mut moments = vec![
            Moment { at_ms: 0, what: What::Output(painted) },
            Moment { at_ms: 0, what: What::Label(truth) },
        ];
        if let Some(evidence) = evidence {
            let sample = |n| Moment { at_ms: n * SAMPLE_MS, what: What::Kernel(Box::new(evidence.clone())) };
            moments.extend((0..=STANDS_MS / SAMPLE_MS).map(sample));
        } else {
            moments.push(Moment { at_ms: STANDS_MS, what: What::Remark("the end".to_owned()) });
        }
        Recording { header, moments }
    }
}
