//! What the person wishes, done.

use std::sync::Arc;

use cis_client::input_id;
use cis_core::api::{Answer, AnswerWith, CancelRun, Decide, RetryRun};
use tokio::sync::mpsc::Receiver;

use super::super::board::Asked;
use super::super::feed::{Errand, Said};
use super::super::ui::Message;
use super::super::ui::form::Given;
use super::super::ui::press::Wish;
use super::{ERRANDS_MAX, Left, View};
use crate::error::CliError;
use crate::progress::model::Index;
use crate::term::attach::{self, How};
use crate::term::detach::Detach;

impl View<'_> {
    pub(super) fn grant(&mut self, wish: Wish) {
        let client = Arc::clone(&self.line.client);
        let run = Arc::clone(&self.line.run);
        let errand = match wish {
            Wish::Quit | Wish::Attach(_) => return,
            Wish::LogClosed => {
                self.reading = None;
                return;
            }
            Wish::Log(index) => return self.read_log(index),
            Wish::Answer { task, asked, given } => return self.answer(task, *asked, given),
            Wish::Cancel => self.line.act("The run is being cancelled.".to_owned(), async move {
                client.cancel_run(&run, CancelRun::default()).await
            }),
            Wish::Pause => {
                self.line.act("Paused: running tasks continue, no more are started.".to_owned(), async move {
                    client.pause_run(&run).await
                })
            }
            Wish::Resume => {
                self.line.act("Resumed.".to_owned(), async move { client.resume_run(&run).await })
            }
            Wish::Retry(scope) => self.line.act("It runs again.".to_owned(), async move {
                client.retry_run(&run, &RetryRun { scope }).await
            }),
        };
        self.keep(errand);
    }

    pub(super) fn keep(&mut self, errand: Errand) {
        self.others.retain(|other| !other.is_over());
        if self.others.len() < ERRANDS_MAX {
            self.others.push(errand);
        } else {
            self.ui.message = Some(Message::bad("The node has not answered to what was wanted before."));
        }
    }

    fn read_log(&mut self, index: Index) {
        match self.board.more[index].session {
            Some(session) => self.reading = Some(self.line.log(index, session.to_string())),
            None => {
                self.ui.over = None;
                self.ui.message = Some(Message::good("This task has printed nothing yet."));
            }
        }
    }

    /// Sends an answer. It names the prompt that the person saw; the node refuses it where another is there.
    fn answer(&mut self, index: Index, asked: Asked, given: Given) {
        let client = Arc::clone(&self.line.client);
        let name = self.board.model.task(index).name.to_string();
        if let Given::Decision { approve, reason } = given {
            let run = Arc::clone(&self.line.run);
            let good = format!("{name} is {}.", if approve { "approved" } else { "rejected" });
            let errand = self
                .line
                .act(good, async move { client.decide(&run, &name, &Decide { approve, reason }).await });
            return self.keep(errand);
        }
        let with = match given {
            // Its id, and nobody else's words.
            Given::Option(id) => AnswerWith::Option { option: format!("id:{id}") },
            Given::Words(text) => AnswerWith::Text { text },
            Given::Decision { .. } => return,
        };
        let (Some(item), Ok(input)) = (asked.item, input_id()) else { return };
        let hash = Some(asked.hash).filter(|hash| !hash.is_empty());
        let answer = Answer { with, reason: None, hash, again: None, input };
        let errand = self.line.act(format!("{name} is answered."), async move {
            client.answer(&item.to_string(), &answer).await
        });
        self.keep(errand);
    }

    /// Goes to a session and comes back when it ends or is left. Events are taken in meanwhile.
    pub(super) async fn attach(
        &mut self,
        index: Index,
        keys: &str,
        said: &mut Receiver<Said>,
    ) -> Result<Option<Left>, CliError> {
        let Some(session) = self.board.more[index].session else { return Ok(None) };
        let how = How { read_only: false, detach: Detach::new(keys)? };
        let client = Arc::clone(&self.line.client);
        let (context, id) = (self.context, session.to_string());
        self.printing = None;
        let mut at_session = Box::pin(attach::attach(context, &client, &id, how));
        let left = loop {
            tokio::select! {
                left = &mut at_session => break left,
                Some(said) = said.recv() => self.take(said)?,
            }
        };
        self.ui.message = match left {
            Ok(attach::Left::Signal(number)) => return Ok(Some(Left::Signal(number))),
            Ok(attach::Left::Detached) => None,
            Ok(attach::Left::Ended { detail, .. }) => {
                Some(Message::good(format!("The session ended: {detail}")))
            }
            Ok(attach::Left::NodeAway { stopped }) => {
                let how = if stopped { "was stopped" } else { "went away" };
                Some(Message::bad(format!("The node {how}; the session lives on.")))
            }
            Err(CliError::Problem(problem)) => Some(Message::bad(problem.detail)),
            Err(error) => return Err(error),
        };
        Ok(None)
    }
}
