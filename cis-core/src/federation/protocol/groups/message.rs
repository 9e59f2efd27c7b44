//! What the coordinators of a room and the keeper of its groups say to each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::settings::BootMs;
use crate::ids::Epoch;

/// Number of a report of one coordinator, which only that coordinator can date.
pub type ReportNonce = u64;

/// Groups in one message, at most.
pub const GROUPS_MAX: usize = 250;

/// What a coordinator has of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupReport {
    /// Places that its runs take.
    pub uses: u32,
    /// Of its quota it keeps so many places, and gives the others back with this.
    pub holds: u32,
    /// Tasks that wait for a place.
    pub waiting: u32,
}

/// What a coordinator gets of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupPlaces {
    /// It may take so many places.
    pub places: u32,
    /// So many places all coordinators hold or take.
    pub taken: u32,
    /// Of its places so many may be taken again when their tasks end. The others go back: another coordinator waits for them.
    pub fair: u32,
}

/// A message between a coordinator and the keeper of groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "said")]
pub enum GroupMessage {
    /// What the sender's runs have of the groups. To the keeper. Repeated until `Quotas` comes.
    Report {
        /// The term of the keeper, as the sender knows it.
        epoch: Epoch,
        /// Of this report.
        nonce: ReportNonce,
        /// By group; of what is not here it has nothing.
        groups: BTreeMap<String, GroupReport>,
    },
    /// The receiver may take so much of the groups.
    Quotas {
        /// The sender's term.
        epoch: Epoch,
        /// A report of the receiver: the lease begins when that was sent.
        nonce: ReportNonce,
        /// How long the lease is, ms.
        lease_ms: BootMs,
        /// By group, of those that the receiver reported.
        groups: BTreeMap<String, GroupPlaces>,
    },
    /// The sender keeps the groups from now on, and asks for a report. To all coordinators.
    Recover {
        /// The sender's term.
        epoch: Epoch,
    },
}
