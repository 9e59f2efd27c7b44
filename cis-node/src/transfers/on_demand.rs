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
const QUIET_MAX: Duration = Duration::from_secs(60);
/// So long a file comes on that nobody waits for: they may be about to ask again.
const UNWANTED_MAX: Duration = Duration::from_secs(60);

impl Node {
    /// Waits until a content of a list is here. `wanted`: the list with that file and its parts alone.
    pub(crate) async fn bring(&self, room: &str, wanted: FileList) -> Result<(), Problem> {
        let Some(file) = wanted.files.first() else { return Ok(()) };
        let key = (room.to_owned(), file.blob.clone());
        let mut coming = {
            let mut all = self.uploads.on_demand.coming();
            let known = all.get(&key).map(watch::Sender::subscribe);
            known.unwrap_or_else(|| {
                let (told, coming) = watch::channel(Coming::Parts(0));
                all.insert(key.clone(), told.clone());
                tokio::spawn(self.clone().bring_once(key, wanted, told));
                coming
            })
        };
        loop {
            let now = coming.borrow_and_update().clone();
            if let Coming::Done(done) = now {
                return done.map_err(unavailable);
            }
            match timeout(QUIET_MAX, coming.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(unavailable(TransferError::Panicked.to_string())),
                Err(_) => {
                    let detail = "the file is on another node, and nothing of it has come for a minute";
                    return Err(unavailable(detail.to_owned())
                        .hint("`cis node status` says whether the homeserver answers"));
                }
            }
        }
    }

    async fn bring_once(self, key: (String, BlobId), wanted: FileList, told: watch::Sender<Coming>) {
        let stop = Stop::default();
        let arrived = || {
            told.send_modify(|coming| {
                if let Coming::Parts(parts) = coming {
                    *parts += 1;
                }
            });
        };
        let fetching = async {
            let _place = self.place_for_job(&stop).await?;
            self.fetch_telling(&key.0, &wanted, &stop, &arrived).await
        };
        let done = tokio::select! {
            done = fetching => done.map_err(|error| error.to_string()),
            () = unwanted(&told) => Err("nobody waits for it any more".to_owned()),
        };
        stop.set();
        let mut all = self.uploads.on_demand.coming();
        all.remove(&key);
        // Under the lock: whoever comes later begins again.
        told.send_replace(Coming::Done(done));
    }
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
