//! The journal of a run on its way: what is new becomes signed envelopes, which are queued together with where the
//! journal then stands.
//!
//! That is done as late as possible, of all that happened until then: so a run of a thousand tasks costs a room few
//! messages.

use std::sync::Arc;

use cis_matrix::MatrixError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::journal::Sources;
use super::refusing::Matter;
use super::tell::{message, what};
use super::{Rooms, Stop, Trouble, numbering};
use crate::account::Opened;
use crate::problems::{blocking, internal};
use crate::restore;
use crate::room_waker::{ChosenBy, Claim, GroupsClaim};
use crate::transfers::to_json;
use cis_core::api::{Outgoing, Priority, Problem, RoomWrite};
use cis_core::event::{Category, EventBody};
use cis_core::federation::announcement::Announcement;
use cis_core::federation::envelope;
use cis_core::federation::journal::{Fact, Page, Writer};
use cis_core::federation::keepers;
use cis_core::federation::outgoing::{self, About, EnvelopeType, JOURNAL, ROTATED, SNAPSHOT};
use cis_core::ids::RunId;
use cis_core::policy::redact::shapes;
use cis_local::now_ms;

/// What an entry of the outbox holds that is sent as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Type of the event.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Its content.
    pub(super) content: Value,
}

impl Ready {
    /// Queues it as what this message says, as it is.
    pub(super) fn queued(&self, message: Outgoing) -> Result<RoomWrite, Problem> {
        let payload = serde_json::to_string(self).map_err(|error| internal(&error))?;
        Ok(RoomWrite::Queue(Outgoing { payload, ..message }))
    }
}

impl Rooms {
    /// Writes what is new of a run into its journal, and queues it.
    pub(super) async fn publish(&mut self, run: RunId, opened: &Opened) -> Result<(), Stop> {
        let Some(followed) = self.runs.get(&run) else { return Ok(()) };
        let kept = followed.kept.clone();
        let mut outgoing = self.outgoing(&kept.room, opened).await?;
        let epoch = restore::position(&kept.journal).map_or(0, |at| at.epoch);
        let about = About { run: Some(run), epoch };
        let sources = Sources {
            readers: self.node.readers.clone(),
            blobs: Arc::clone(&self.node.blobs),
            config: Arc::clone(&self.node.config),
            by: self.node.did.clone(),
        };
        let body_max = |kind| outgoing.body_max(kind, about, &sources.by);
        let (page_max, snapshot_max) = (body_max(JOURNAL), body_max(SNAPSHOT));
        let room = kept.room.clone();
        let part = match blocking(move || sources.part(&kept, page_max)).await? {
            Ok(part) => part,
            // Nothing else waits for that.
            Err(problem) => {
                tracing::warn!(%run, detail = problem.detail, "the journal of a run cannot be made");
                self.refusing.put_off_for(Matter::Journal(run, room), (problem.detail, false), now_ms());
                self.says_how_it_stands();
                return Ok(());
            }
        };
        // Once the journal is sent, nobody else knows that people's messages of the same events are missing.
        self.tell_up_to(run, part.upto).await?;
        let mut bodies: Vec<(EnvelopeType, Value)> = Vec::new();
        if let Some(snapshot) = part.snapshot {
            let body = match snapshot.body(snapshot_max) {
                Ok(body) => body,
                Err(file) => {
                    let media = upload(opened, &outgoing.room, file.bytes.clone()).await?;
                    file.body(media)
                }
            };
            bodies.push((SNAPSHOT, body));
        }
        for page in part.pages {
            let body = match page {
                Page::Inline { body, .. } => body,
                Page::File(file) => {
                    let media = upload(opened, &outgoing.room, file.bytes.clone()).await?;
                    file.body(media)
                }
            };
            bodies.push((JOURNAL, body));
        }
        let now = now_ms();
        let mut writes = self.rotations(&mut outgoing).await?;
        for (kind, body) in bodies {
            let signed = outgoing.envelope(kind, ulid::Ulid::new(), about, body, &self.node.keys.node);
            let content = signed.map_err(|error| internal(&error))?.into_content();
            writes.push(
                self.queued(run, &outgoing.room, (kind.name, what::JOURNAL, Priority::Terminal), content)
                    .await?,
            );
        }
        // Behind the entries that they name.
        for Announcement { kind, mut body } in part.announcements {
            shapes::hide_json(&mut body);
            match outgoing.envelope(kind, ulid::Ulid::new(), about, body, &self.node.keys.node) {
                Ok(signed) => {
                    // Runs are waited for, and their beginning is told before their end; the rest leaves room for what people wait for.
                    let is_of_run = kind.category == Category::Run;
                    let priority = if is_of_run { Priority::Terminal } else { Priority::Progress };
                    let about = (kind.name, what::ANNOUNCED, priority);
                    writes.push(self.queued(run, &outgoing.room, about, signed.into_content()).await?);
                }
                // The journal says it, and must not wait for this.
                Err(error) => tracing::warn!(%run, %error, "an event is not announced"),
            }
        }
        let journal = serde_json::to_string(&part.position).map_err(|error| internal(&error))?;
        writes.push(RoomWrite::Published {
            run,
            room: outgoing.room.clone(),
            offset: part.upto,
            journal: journal.clone(),
        });
        let (incarnation, seq) = (outgoing.numbering.incarnation(), outgoing.numbering.newest());
        writes.push(RoomWrite::Numbered { room: outgoing.room.clone(), incarnation, seq });
        self.keep(writes).await?;
        if let Some(followed) = self.runs.get_mut(&run) {
            (followed.kept.published, followed.kept.journal) = (part.upto, journal);
            followed.journal.told(now, self.budget.is_short());
            // What happened while this was made may have been told to people with the rest: nobody hears of it again.
            if followed.kept.told > part.upto {
                followed.journal.changed(now);
                if followed.has_ended {
                    followed.journal.ended(now);
                }
            }
        }
        if self.refusing.taken(&Matter::Journal(run, outgoing.room.clone())) {
            self.says_how_it_stands();
        }
        self.outgoing.insert(outgoing.room.clone(), outgoing);
        Ok(())
    }

    /// Writes into rooms that this node keeps their groups, and the takeovers that it wants into the journals of their runs.
    pub(super) async fn claim(&mut self) -> Result<(), Trouble> {
        for claim in self.waker.take_groups_claims() {
            let Some(opened) = self.opened().await else { continue };
            if let Err(error) = self.write_groups_claim(&claim, &opened).await {
                tracing::warn!(room = claim.room, %error, "the groups of a room are not kept");
            }
        }
        for claim in self.waker.take_claims() {
            let Some(opened) = self.opened().await else { continue };
            match self.write_claim(&claim, &opened).await {
                Ok(()) => {}
                Err(Stop::Trouble(trouble)) => return Err(trouble),
                Err(Stop::Matrix(error)) => {
                    tracing::warn!(run = %claim.run, %error, "a run is not taken over")
                }
            }
        }
        Ok(())
    }

    async fn write_groups_claim(&self, claim: &GroupsClaim, opened: &Opened) -> Result<(), MatrixError> {
        let GroupsClaim { room, epoch, id } = claim;
        let draft = keepers::draft(*epoch, *id, room, &opened.session.user);
        match draft.sign(&self.node.keys.node, envelope::SIZE_MAX) {
            Ok(signed) => {
                let content = signed.into_content();
                opened.client.send(room, keepers::TYPE, content, &id.to_string()).await.map(drop)
            }
            Err(error) => Err(MatrixError::BadInput { detail: error.to_string() }),
        }
    }

    async fn write_claim(&mut self, claim: &Claim, opened: &Opened) -> Result<(), Stop> {
        let Claim { room, run, cut, chosen_by, lost, at_ms } = claim;
        let mut outgoing = self.outgoing(room, opened).await?;
        let own = self.node.did.clone();
        let mut writer = Writer::take_over(*run, own.clone(), *cut);
        let epoch = writer.epoch();
        let (owner, cut, forced, lost) = (own.clone(), cut.n, *chosen_by != ChosenBy::Timeline, *lost);
        let voted = matches!(chosen_by, ChosenBy::Votes(_));
        let body = EventBody::RunTakenOver { owner, epoch, cut, forced, voted, lost };
        writer.push(Fact { at_ms: *at_ms, actor: None, cause: None, body });
        let about = About { run: Some(*run), epoch };
        let mut writes = self.rotations(&mut outgoing).await?;
        for page in writer.flush(outgoing.body_max(JOURNAL, about, &own), 1) {
            // It is small.
            let Page::Inline { body, .. } = page else { continue };
            let signed = outgoing.envelope(JOURNAL, ulid::Ulid::new(), about, body, &self.node.keys.node);
            let content = signed.map_err(|error| internal(&error))?.into_content();
            writes.push(
                self.queued(*run, room, (JOURNAL.name, what::JOURNAL, Priority::Terminal), content).await?,
            );
        }
        let (incarnation, seq) = (outgoing.numbering.incarnation(), outgoing.numbering.newest());
        writes.push(RoomWrite::Numbered { room: room.clone(), incarnation, seq });
        self.keep(writes).await?;
        self.outgoing.insert(room.clone(), outgoing);
        Ok(())
    }

    /// That the node has another key, for a room that was not told since: what comes is to be known as the same node's.
    async fn rotations(&self, outgoing: &mut outgoing::Outgoing) -> Result<Vec<RoomWrite>, Stop> {
        let mut writes = Vec::new();
        if self.outgoing.contains_key(&outgoing.room) {
            return Ok(writes);
        }
        for rotation in self.node.identity.own_rotations() {
            let new = rotation.new.0.clone();
            let told = self.node.read({
                let new = new.clone();
                move |reader| reader.room_messages(None, what::ROTATED, Some(&new))
            });
            if told.await?.iter().any(|message| message.room == outgoing.room) {
                continue;
            }
            let body = outgoing::rotated(&rotation);
            let key = &self.node.keys.node;
            let signed = outgoing.envelope(ROTATED, ulid::Ulid::new(), About::default(), body, key);
            let content = signed.map_err(|error| internal(&error))?.into_content();
            let about = message(&outgoing.room, (what::ROTATED, Priority::Terminal), None, Some(new));
            writes.push(Ready { kind: ROTATED.name.to_owned(), content }.queued(about)?);
        }
        Ok(writes)
    }

    /// An envelope for the outbox. Programs page through a run by its relation to the card.
    async fn queued(
        &self,
        run: RunId,
        room: &str,
        (kind, what, priority): (&str, &str, Priority),
        mut content: Value,
    ) -> Result<RoomWrite, Stop> {
        if let (Some(card), Some(fields)) = (self.card_of(run, room).await?, content.as_object_mut()) {
            let relation = json!({ "rel_type": "m.reference", "event_id": card });
            fields.insert("m.relates_to".to_owned(), relation);
        }
        let about = message(room, (what, priority), Some(run), None);
        Ok(Ready { kind: kind.to_owned(), content }.queued(about)?)
    }

    /// How we send to a room.
    async fn outgoing(&mut self, room: &str, opened: &Opened) -> Result<outgoing::Outgoing, Stop> {
        if let Some(known) = self.outgoing.get(room) {
            // Whoever logged in meanwhile may be somebody else: what is signed names its sender.
            let sender = Some(opened.session.user.clone());
            return Ok(outgoing::Outgoing { sender, ..known.clone() });
        }
        let name = room.to_owned();
        let state = self.node.read(move |reader| reader.room_state(&name)).await?;
        let encrypted = opened.client.is_encrypted(room).await?;
        Ok(outgoing::Outgoing {
            room: room.to_owned(),
            sender: Some(opened.session.user.clone()),
            size_max: if encrypted { envelope::SIZE_MAX_ENCRYPTED } else { envelope::SIZE_MAX },
            numbering: numbering(&state, now_ms()),
        })
    }
}

/// Uploads a file for a room; what names it then.
async fn upload(opened: &Opened, room: &str, bytes: Vec<u8>) -> Result<Value, Stop> {
    Ok(to_json(opened.client.upload(room, bytes.into()).await?))
}
