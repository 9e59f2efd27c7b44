//! Read receipts: that we saw what somebody said.

use matrix_sdk::ruma::api::client::receipt::create_receipt::v3::ReceiptType;
use matrix_sdk::ruma::events::receipt::ReceiptThread;

use crate::send::event_id;
use crate::{Answer, Client, answer};

impl Client {
    /// Shows everybody in the room that all up to this event was read. Homeservers do not count receipts as messages.
    #[must_use]
    pub fn read_receipt(&self, room: &str, event: &str) -> Answer<()> {
        let (room, event) = (self.joined(room), event_id(event));
        answer(async move {
            Ok(room?.send_single_receipt(ReceiptType::Read, ReceiptThread::Unthreaded, event?).await?)
        })
    }
}
