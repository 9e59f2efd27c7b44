//! The crate against a real homeserver: Synapse with its default rate limits.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests read clocks and files, poll conditions with deadlines, and fail by panicking"
)]
#![recursion_limit = "256"]

mod account;
mod device;
mod encryption;
mod following;
mod recovery;
mod rooms;
mod sending;
#[path = "../../../tests/e2e/harness/synapse/mod.rs"]
#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
mod synapse;
mod verification;

use std::time::Duration;

use cis_matrix::{Batch, Client, Login, Proof, RoomEvent, Secret, Session};
use synapse::{Synapse, User};

/// A batch that is waited for.
const WAIT: Duration = Duration::from_secs(20);

/// A user's client, with the folder of its store.
struct Logged {
    client: Client,
    session: Session,
    store: tempfile::TempDir,
}

impl Logged {
    /// By the token that registering gave.
    async fn new(user: &User, synapse: &Synapse) -> Self {
        let store = tempfile::tempdir().unwrap();
        let proof = Proof::Token(Secret::new(&user.token));
        let (client, session) = Client::login(login(user, synapse, proof, &store)).await.unwrap();
        Self { client, session, store }
    }

    /// Batches from `since` on until one has what is looked for; gives all events of a room, and the place behind.
    async fn until(
        &self,
        since: Option<String>,
        room: &str,
        wanted: impl Fn(&RoomEvent) -> bool,
    ) -> (Vec<RoomEvent>, String) {
        let (mut since, mut events) = (since, Vec::new());
        loop {
            let batch = self.client.next(since.as_deref(), WAIT).await.unwrap();
            assert_ne!(Some(&batch.next_batch), since.as_ref(), "nothing comes: {events:?}");
            events.extend(of(&batch, room));
            since = Some(batch.next_batch);
            if events.iter().any(&wanted) {
                return (events, since.unwrap());
            }
        }
    }
}

fn login(user: &User, synapse: &Synapse, proof: Proof, store: &tempfile::TempDir) -> Login {
    Login {
        homeserver: synapse.url().to_owned(),
        user: user.name.clone(),
        proof,
        device_name: "test".to_owned(),
        store: store.path().join("store"),
    }
}

fn of(batch: &Batch, room: &str) -> Vec<RoomEvent> {
    batch.rooms.iter().filter(|update| update.room == room).flat_map(|update| update.events.clone()).collect()
}

/// Texts of the messages among events.
fn texts(events: &[RoomEvent]) -> Vec<String> {
    let body = |event: &RoomEvent| {
        let content: serde_json::Value = serde_json::from_str(event.content.get()).unwrap();
        content["body"].as_str().map(str::to_owned)
    };
    events.iter().filter(|event| event.kind == "m.room.message").filter_map(body).collect()
}
