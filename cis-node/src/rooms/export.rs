//! A run as a file that proves what happened: its journal out of its room, with what the owners of the room said.
//!
//! Reads the room, and changes nothing. The format, and what the file proves, is `federation::export`'s matter.

use super::timeline::Timeline;
use super::whole::{Whole, content};
use crate::account::Opened;
use crate::matrix::matrix_problem;
use crate::node::Node;
use cis_core::api::{Problem, ProblemKind};
use cis_core::federation::envelope::{Carrier, verify};
use cis_core::federation::export::{FORMAT, Line, VERSION};
use cis_core::federation::membership;
use cis_core::federation::outgoing::{JOURNAL, ROTATED, SNAPSHOT};
use cis_core::federation::recovery::{Found, Recovery};
use cis_core::ids::RunId;
use cis_local::now_ms;
use cis_matrix::MatrixError;
use serde_json::value::RawValue;

/// A longer file is not kept in memory.
const BYTES_MAX: usize = 1 << 30;

impl Node {
    /// The lines of the export of a run.
    pub(crate) async fn export_of(&self, opened: &Opened, room: &str, run: RunId) -> Result<String, Problem> {
        let problem = |error: MatrixError| matrix_problem(&error);
        let mut whole = Whole::begin(opened, room).await.map_err(problem)?;
        let mut timeline = Timeline::open(self, opened, room, &whole).await.map_err(problem)?;
        let mut recovery = Recovery::new(room.to_owned(), timeline.coordinators());
        let header = Line::Header {
            format: FORMAT.to_owned(),
            v: VERSION,
            room: room.to_owned(),
            run,
            made_ms: now_ms(),
        };
        let (mut text, mut events) = (header.encode(), 0);
        for (number, statement) in timeline.before().iter().enumerate() {
            let id = format!("state {}", number + 1);
            text.push_str(&told(id, membership::TYPE, &statement.sender, &statement.content)?);
            events += 1;
        }
        let mut entries = 0;
        while let Some(page) = whole.next().await.map_err(problem)? {
            for event in &page {
                let is_statement = event.kind == membership::TYPE;
                if timeline.take(event) && !is_statement {
                    continue;
                }
                let is_of_run = [JOURNAL.name, SNAPSHOT.name, ROTATED.name].contains(&event.kind.as_str());
                if !is_statement && !is_of_run {
                    continue;
                }
                let Some(content) = content(event) else { continue };
                let carrier = Carrier { room, type_name: &event.kind, sender: Some(&event.sender) };
                let standing = |did: &_| recovery.standing_of(did, |did| timeline.standing(self, did));
                if !is_statement && event.kind != ROTATED.name {
                    // What does not count here is nobody's proof.
                    match verify(&content, carrier, standing) {
                        Ok(envelope) if envelope.run() == Some(run) => entries += 1,
                        _ => continue,
                    }
                }
                text.push_str(&told(event.id.clone(), &event.kind, &event.sender, &event.content)?);
                events += 1;
                let found = Found { type_name: &event.kind, sender: &event.sender, content: &content };
                if let Some(file) = recovery.hear(found, |did| timeline.standing(self, did)) {
                    let line = match whole.fetch(&file).await.map_err(problem)? {
                        Ok(data) => Line::File { data },
                        Err(why) => Line::NoFile { why },
                    };
                    text.push_str(&line.encode());
                }
                if text.len() > BYTES_MAX {
                    let detail = format!("the export of run {run} has more than {} MB", BYTES_MAX >> 20);
                    return Err(Problem::new(ProblemKind::TooLarge, detail));
                }
            }
        }
        if entries == 0 {
            let detail = format!("room {room} has nothing of run {run} that this account can read");
            let hint = "`cis matrix audit ROOM` shows what the room has; in an encrypted room, `cis matrix verify` says whether its keys are there";
            return Err(Problem::new(ProblemKind::NotFound, detail).hint(hint));
        }
        let end = Line::end(&text, events).encode();
        text.push_str(&end);
        Ok(text)
    }
}

/// A line with an event of the room, its content as it is.
fn told(id: String, kind: &str, sender: &str, content: &RawValue) -> Result<String, Problem> {
    let content = serde_json::from_str(content.get()).map_err(|error| crate::problems::internal(&error))?;
    Ok(Line::Event { id, type_name: kind.to_owned(), sender: sender.to_owned(), content }.encode())
}
