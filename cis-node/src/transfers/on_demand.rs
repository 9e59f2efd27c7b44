//! Files of other nodes that somebody here reads.
//!
//! Owns which of them are on their way: each comes once, however many wait for it, and goes on for a moment when nobody does.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::TransferError;
use crate::files::Stop;
use crate::known_uploads::Coming;
use crate::node::Node;
use cis_core::api::{Problem, ProblemKind};
use cis_core::federation::transfer::FileList;
use cis_core::ids::BlobId;

/// So long somebody waits while nothing comes.
const QUIET_MAX: Duration = Duration::from_secs(300);
/// So long a file comes on that nobody waits for: they may be about to ask again.
const UNWANTED_MAX: Duration = Duration::from_secs(60);

impl Node {
    /// Waits until a content of a list is here. `wanted`: the list with that file and its parts alone.
    pub(crate) async fn bring(&self, room: &str, wanted: FileList) -> Result<(), Problem> {
        let key = key_of(room, &wanted);
        let mut coming = {
            let mut all = self.uploads.on_demand.coming();
            let known = all.get(&key).map(watch::Sender::subscribe);
            known.unwrap_or_else(|| {
                let (told, coming) = watch::channel(None);
                all.insert(key.clone(), told.clone());
                tokio::spawn(self.clone().bring_once(key, room.to_owned(), wanted, told));
                coming
            })
        };
        loop {
            let done = coming.borrow_and_update().clone();
            if let Some(done) = done {
                return done.map_err(unavailable);
            }
            match timeout(QUIET_MAX, coming.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(unavailable(TransferError::Panicked.to_string())),
                Err(_) => {
                    let detail = "the file is on another node, and nothing of it has come for 5 minutes";
                    return Err(unavailable(detail.to_owned())
                        .hint("`cis node status` says whether the homeserver answers"));
                }
            }
        }
    }

    async fn bring_once(self, key: BlobId, room: String, wanted: FileList, told: watch::Sender<Coming>) {
        let stop = Stop::default();
        let (node, stopped, progress) = (self.clone(), stop.clone(), told.clone());
        let fetching = tokio::spawn(async move {
            let arrived = move || progress.send_modify(|_| {});
            let _permit = node.job_permit(&stopped).await?;
            arrived();
            node.fetch(&room, &wanted, None, &stopped, arrived).await.map(|_| ())
        });
        let done = tokio::select! {
            done = fetching => done.unwrap_or(Err(TransferError::Panicked)).map_err(|error| error.to_string()),
            () = unwanted(&told) => Err("nobody waits for it any more".to_owned()),
        };
        stop.set();
        let mut all = self.uploads.on_demand.coming();
        all.remove(&key);
        // While the map is locked: a request that comes later begins again.
        told.send_replace(Some(done));
    }
}

/// A list that names another address for the same content is in the way of no other list.
fn key_of(room: &str, wanted: &FileList) -> BlobId {
    let text = serde_json::to_vec(&(room, wanted)).unwrap_or_default();
    BlobId::of(text)
}

async fn unwanted(told: &watch::Sender<Coming>) {
    loop {
        told.closed().await;
        sleep(UNWANTED_MAX).await;
        if told.is_closed() {
            return;
        }
    }
}

fn unavailable(detail: String) -> Problem {
    Problem::new(ProblemKind::Unavailable, detail)
}
