//! Streams of the API: events from the store and then live; terminals from the hub.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{broadcast, mpsc, watch};

use super::commands::DriverHandle;
use crate::server::{AttachFrame, AttachInput, AttachStreams, EventBatch};
use crate::shared::Shared;
use cis_core::event::Event;
use cis_core::ids::{Offset, RunId};
use cis_host::hub::{AttachOutput, Attached, HubError};
use cis_store::Readers;

/// Read from the store at a time.
const EVENTS_AT_ONCE: usize = 2_000;

/// Typed bytes on their way to a session.
const INPUTS_AHEAD: usize = 64;

/// Counts somebody who looks, as long as it lives: a node with viewers does not end by itself.
pub(super) struct Viewer {
    shared: Arc<Shared>,
    driver: DriverHandle,
}

impl Viewer {
    pub(super) fn new(shared: Arc<Shared>, driver: DriverHandle) -> Self {
        shared.viewers.fetch_add(1, Ordering::Relaxed);
        Self { shared, driver }
    }

    /// Waits for the end of the node.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.shared.ended.subscribe();
        async move { drop(ended.wait_for(|ended| *ended).await) }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
        self.driver.wake();
    }
}

struct Following {
    readers: Readers,
    live: broadcast::Receiver<Arc<EventBatch>>,
    run: Option<RunId>,
    after: Offset,
    /// Events up to `after` were given; those behind it may have to come from the store.
    caught_up: bool,
    ended: watch::Receiver<bool>,
    _viewer: Viewer,
}

/// Events after an offset: from the store until that is exhausted, then as they become durable. Who is
/// too slow for the live stream gets what was missed from the store again. The end of the node ends it, after the last event.
pub(super) fn events(
    readers: Readers,
    live: broadcast::Receiver<Arc<EventBatch>>,
    run: Option<RunId>,
    after: Offset,
    viewer: Viewer,
) -> impl Stream<Item = Arc<EventBatch>> + Send + 'static {
    let ended = viewer.shared.ended.subscribe();
    let state = Following { readers, live, run, after, caught_up: false, ended, _viewer: viewer };
    stream::unfold(state, |mut state| async move {
        loop {
            if !state.caught_up {
                let batch = state.stored().await?;
                match batch.events().last() {
                    Some(last) => {
                        state.after = last.offset;
                        return Some((Arc::new(batch), state));
                    }
                    None => state.caught_up = true,
                }
            }
            let received = tokio::select! {
                biased;
                received = state.live.recv() => received,
                _ = state.ended.wait_for(|ended| *ended) => return None,
            };
            match received {
                Ok(batch) => {
                    if let Some(batch) = state.wanted(batch) {
                        return Some((batch, state));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => state.caught_up = false,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}

impl Following {
    /// What of a live batch is to be given; mostly all of it, which others get as well.
    fn wanted(&mut self, batch: Arc<EventBatch>) -> Option<Arc<EventBatch>> {
        let (after, run) = (self.after, self.run);
        let wanted = |event: &&Arc<Event>| event.offset > after && (run.is_none() || event.run == run);
        let newest = batch.events().iter().rfind(wanted)?.offset;
        self.after = newest;
        if batch.events().iter().all(|event| wanted(&event)) {
            return Some(batch);
        }
        Some(Arc::new(EventBatch::new(batch.events().iter().filter(wanted).cloned().collect())))
    }

    /// The next events of the store; none where it cannot be read: then the stream ends, and its
    /// client resumes.
    async fn stored(&self) -> Option<EventBatch> {
        let (readers, after, run) = (self.readers.clone(), self.after, self.run);
        let read = tokio::task::spawn_blocking(move || readers.get()?.events(after, run, EVENTS_AT_ONCE))
            .await
            .ok()?;
        match read {
            Ok(events) => Some(EventBatch::new(events.into_iter().map(Arc::new).collect())),
            Err(error) => {
                tracing::error!(%error, "events cannot be read");
                None
            }
        }
    }
}

/// An attach as the API pumps it.
pub(super) fn attach(attached: Attached, viewer: Viewer) -> AttachStreams {
    let typing = attached.typing();
    let (input, mut typed) = mpsc::channel::<AttachInput>(INPUTS_AHEAD);
    tokio::spawn(async move {
        // Ends when the API drops its half.
        while let Some(input) = typed.recv().await {
            let taken = match input {
                AttachInput::Typed(bytes) => typing.type_bytes(&bytes).await,
                AttachInput::Control(control) => typing.control(control),
            };
            match taken {
                // What a read-only viewer types goes nowhere.
                Ok(()) | Err(HubError::ReadOnly { .. }) => {}
                Err(_) => return,
            }
        }
    });
    let ended = viewer.shared.ended.subscribe();
    let output = stream::unfold((attached, viewer, ended), |(mut attached, viewer, mut ended)| async move {
        let (output, next) = tokio::select! {
            biased;
            marked = attached.next_marked() => marked?,
            _ = ended.wait_for(|ended| *ended) => return None,
        };
        let frame = match output {
            AttachOutput::Bytes(bytes) => AttachFrame::Output { bytes, next },
            AttachOutput::Notice(notice) => AttachFrame::Notice(notice),
            AttachOutput::Lost(error) => {
                tracing::debug!(%error, "a viewer lost its session");
                return None;
            }
        };
        Some((frame, (attached, viewer, ended)))
    });
    AttachStreams { output: output.boxed(), input }
}
