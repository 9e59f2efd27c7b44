//! Envelopes by Matrix: state of a room for all, messages to devices for one.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

use cis_matrix::{MatrixError, RoomName};

use super::INFO;
use super::carrier::{Announcement, Asking, Carrier, Device, Heard, Letter, Sending, Trouble};
use crate::account::{Backoff, News, Opened};
use crate::node::Node;

/// The node's account.
pub(super) struct Matrix {
    opened: Opened,
    news: broadcast::Receiver<News>,
    own: Device,
}

impl Carrier for Matrix {
    async fn open(node: &Node) -> Result<Self, Trouble> {
        let opened = node.matrix.open().await?;
        let news = opened.feed.subscribe();
        opened.feed.refresh().await?;
        let own = Device { user: opened.session.user.clone(), device: opened.session.device.clone() };
        Ok(Self { opened, news, own })
    }

    fn own(&self) -> &Device {
        &self.own
    }

    fn be_urgent(&self, is_urgent: bool) {
        self.opened.feed.be_urgent(is_urgent);
    }

    async fn resolve(&self, name: &str) -> Result<String, Trouble> {
        let parsed: RoomName = name.parse().map_err(|error: cis_matrix::RoomNameError| {
            MatrixError::BadInput { detail: error.to_string() }
        })?;
        Ok(self.opened.client.resolve(parsed).await?)
    }

    async fn announce(&self, room: &str, id: &str, content: Value) -> Result<bool, Trouble> {
        let client = &self.opened.client;
        match client.send_state(room, INFO, &self.own.user, content.clone()).await {
            // A room where it may not set state: the timeline says the same, to those who read it now.
            Err(MatrixError::Forbidden { .. }) => {
                client.send(room, INFO, content, id).await?;
                Ok(false)
            }
            announced => {
                announced?;
                Ok(true)
            }
        }
    }

    async fn announced(&self, room: &str) -> Result<Vec<Announcement>, Trouble> {
        let state = self.opened.client.state(room, INFO).await?;
        Ok(state.into_iter().map(|one| Announcement { sender: one.sender, content: one.content }).collect())
    }

    fn is_member(&self, room: &str, user: &str) -> Asking {
        let client = Arc::clone(&self.opened.client);
        let (room, user) = (room.to_owned(), user.to_owned());
        Box::pin(async move {
            let mut backoff = Backoff::default();
            loop {
                match client.member(&room, &user).await {
                    Ok(member) => return member.is_some(),
                    Err(error) if error.is_passing() => tokio::time::sleep(backoff.after(&error)).await,
                    Err(error) => {
                        tracing::debug!(user, room, %error, "it is not known whether an account is in a room");
                        return false;
                    }
                }
            }
        })
    }

    async fn hear(&mut self) -> Result<Vec<Heard>, Trouble> {
        loop {
            match self.news.recv().await {
                Ok(News::Batch(batch, _)) => {
                    let mut heard = Vec::new();
                    for said in &batch.rooms {
                        for event in said.events.iter().filter(|event| event.kind == INFO) {
                            let (sender, content) = (event.sender.clone(), event.content.clone());
                            heard.push(Heard::Announced(said.room.clone(), Announcement { sender, content }));
                        }
                    }
                    let letter = |message: &cis_matrix::DeviceMessage| Letter {
                        sender: message.sender.clone(),
                        device: message.encryption.device.clone(),
                        kind: message.kind.clone(),
                        content: message.content.clone(),
                    };
                    heard.extend(batch.messages.iter().map(letter).map(Heard::Letter));
                    return Ok(heard);
                }
                // Messages that passed by are repeated.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // It is asked again, and what is sent meanwhile is repeated.
                Ok(News::Away(_)) => {}
                Ok(News::Over(error)) => return Err(error.into()),
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Trouble::Away("its login ended".to_owned()));
                }
            }
        }
    }

    fn send(&self, to: Device, kind: String, content: Value) -> Sending {
        let client = Arc::clone(&self.opened.client);
        Box::pin(async move {
            let Device { user, device } = to;
            if let Err(error) = client.send_to_device(&user, &device, &kind, &content).await {
                tracing::debug!(user, device, kind, %error, "a message to a node was not sent");
            }
        })
    }
}
