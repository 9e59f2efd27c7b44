//! The parts of a node that requests and rooms reach.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::broadcast;

use cis_core::api::RemoteView;
use cis_core::ids::{NodeDid, TimestampMs};
use cis_host::hub::Hub;
use cis_local::Home;
use cis_store::{Blobs, Readers};

use crate::RoomsInMemory;
use crate::account::Account;
use crate::agents::AgentNames;
use crate::commands::DriverHandle;
use crate::config::{Config, Identity, Keys, Tokens};
use crate::control_requests::ControlRequests;
use crate::environments::Environments;
use crate::host_health::{HostHealth, Unresponsive};
use crate::known_uploads::KnownUploads;
use crate::link::Link;
use crate::members::Members;
use crate::open_views::Views;
use crate::own_commands::OwnCommands;
use crate::room_waker::RoomWaker;
use crate::server::EventBatch;
use crate::shared::Shared;
use crate::upkeep::auto::Upkeep;
use crate::verifications::Verifications;

/// See the module.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) home: Home,
    pub(crate) config: Arc<Config>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) did: NodeDid,
    pub(crate) identity: Arc<Identity>,
    pub(crate) members: Arc<Members>,
    pub(crate) stays: bool,
    pub(crate) started_ms: TimestampMs,
    pub(crate) max_sessions: u32,
    pub(crate) readers: Readers,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) environments: Arc<Environments>,
    pub(crate) agents: Arc<AgentNames>,
    pub(crate) hub: Hub,
    pub(crate) driver: DriverHandle,
    pub(crate) events: broadcast::Sender<Arc<EventBatch>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: Link,
    pub(crate) control: Arc<ControlRequests>,
    pub(crate) views: Arc<Views>,
    pub(crate) uploads: Arc<KnownUploads>,
    pub(crate) upkeep: Upkeep,
    pub(crate) matrix: Account,
    /// Rooms are those of this process, not of a homeserver.
    pub(crate) rooms_in_memory: Option<RoomsInMemory>,
    pub(crate) verifications: Arc<Verifications>,
    pub(crate) rooms: RoomWaker,
    /// See [`crate::outbox_name`].
    pub(crate) outbox_name: String,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) remote: Option<RemoteView>,
    pub(crate) own_commands: OwnCommands,
    /// Hard limit of realtime CPU time of processes outside of sessions, µs.
    pub(crate) limit_outside: u64,
    pub(crate) host_health: HostHealth,
}

impl Node {
    /// Returns what is wrong with the session host if it does not answer.
    pub(crate) async fn unresponsive_host(&self) -> Option<Unresponsive> {
        let pid = self.shared.host_pid.load(Ordering::Relaxed);
        if pid == 0 {
            // The driver says why there is none.
            return None;
        }
        self.host_health.check(&self.home, pid).await
    }
}
