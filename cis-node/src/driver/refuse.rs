//! Requests while nothing can be made durable.

use super::{Driver, Stopping};
use crate::commands::{Command, RunVerb};
use cis_core::api::{Problem, ProblemKind};
use cis_local::now_ms;

impl Driver {
    /// While nothing can be made durable, nothing is promised.
    pub(super) fn refuse_commands(&mut self) {
        let why = self.stuck.as_ref().map(|(why, _)| why.clone()).unwrap_or_default();
        // No host is looked for meanwhile.
        self.kill_held(now_ms());
        while let Ok(sent) = self.parts.commands.try_recv() {
            let command = sent.take();
            let problem = || {
                Problem::new(ProblemKind::Unavailable, format!("cannot record anything: {why}"))
                    .hint("the node continues by itself once the database can be written again")
            };
            match command {
                // Requests that only read are answered.
                Command::Status { .. }
                | Command::Times { .. }
                | Command::Allowed { .. }
                | Command::BoundTasks { .. }
                | Command::HeldByRoom { .. }
                | Command::Groups { .. }
                | Command::Policy { .. }
                | Command::Waiting { .. } => self.obey(command, now_ms()),
                Command::Stop { kill_sessions, reason, reply } => {
                    self.stopping = Some(Stopping { kill_sessions, reason });
                    if let Some(reply) = reply {
                        let _ = reply.send(Ok(()));
                    }
                }
                Command::RoomRead { room, heads, .. } => self.put_off_read(&room, heads),
                Command::ServeRoom { room } => self.serve_room(&room),
                Command::HeldFor { session, reply } => drop(reply.send(Ok(self.held_for(session)))),
                Command::Nodes { reply } => drop(reply.send(Ok(self.room_nodes(now_ms())))),
                Command::Forked { room, run, lost, .. } => self.leave_forked(&room, run, lost),
                Command::Overtaken { run, reply } => self.overtaken(run, reply),
                Command::RoomsAway => self.rooms_away(),
                Command::Begin { reply, .. } => drop(reply.send(Err(problem()))),
                Command::End { input } => self.end_keyed(input),
                // What fills the disk may be what is ended.
                Command::Kill { .. } => self.end_unrecorded(command),
                Command::Run { ref asked, .. } if matches!(asked.verb(), RunVerb::Cancel { .. }) => {
                    self.end_unrecorded(command);
                }
                Command::Create { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Recover { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Observe { reply, .. }
                | Command::TakeOver { reply, .. }
                | Command::Drain { reply, .. }
                | Command::Pause { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Run { reply, .. }
                | Command::SetGroup { reply, .. }
                | Command::Expose { reply, .. }
                | Command::Typing { reply, .. } => drop(reply.send(Err(problem()))),
                Command::ChangePolicy { reply, .. } => drop(reply.send(Err(problem()))),
                Command::TakeInput { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Cleaning { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Why { run, task, reply } => {
                    let mut view = self.why(run, &task, now_ms());
                    if let Ok(Some(view)) = &mut view {
                        let stuck =
                            format!("No task starts or ends, because the node cannot record it ({why}).");
                        view.because.insert(0, stuck);
                        view.try_this.insert(0, "cis node status".to_owned());
                    }
                    let _ = reply.send(view);
                }
                Command::CreateSession { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Ask { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Say { reply, .. }
                | Command::HandIn { reply, .. }
                | Command::WithdrawAsk { reply, .. }
                | Command::Record { reply, .. }
                | Command::Rooms { reply, .. }
                | Command::RoomReplaced { reply, .. }
                | Command::Refused { reply, .. } => drop(reply.send(Err(problem()))),
                Command::Sync { reply } => drop(reply.send(Err(problem()))),
                Command::Answer { reply, .. } => drop(reply.send(Err(problem()))),
                Command::AnswerHeld(held) => drop(held.reply.send(Err(problem()))),
                Command::StillWaiting { session, item } => self.still_waiting(session, &item, now_ms()),
                Command::WaitsNoMore { session, item } => self.waits_no_more(session, &item, now_ms()),
                Command::RoomServed { name, room } => self.room_served(&name, &room, now_ms()),
                // Taken when the database can be written again.
                Command::Files(done) => self.keep_done(*done),
                // Done when the database can be written again.
                Command::Twin { room } => self.federation.twin_later = Some(room),
                Command::NodeFound => self.federation.found_later = true,
                // Nothing could be recorded of it, and nodes repeat what matters.
                Command::Disregarded { .. } | Command::Federated { .. } | Command::DefaultRefused { .. } => {}
                // Made known when the database can be written again.
                Command::Seen(sighting) => self.seen(*sighting, now_ms()),
                Command::Resized { session, size } => self.turn.resize(session, size),
                Command::NotTyped(lost) => self.not_typed(*lost, now_ms()),
                // Counted, and told when the database can be written again.
                Command::Denied { action, actor, .. } => self.denials.withhold(&actor, &action, now_ms()),
            }
        }
    }
}
