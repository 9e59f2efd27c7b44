//! Calls about what waits for humans.

use super::query::ToQuery as _;
use super::{Client, ClientError};
use crate::api::{Answer, AnswerReceipt, InboxItem, ListInbox, Listing, paths};

#[allow(clippy::missing_errors_doc, reason = "as every call: the node's answer, or that there was none")]
impl Client {
    /// What waits for humans, oldest first.
    pub async fn inbox(&self, which: &ListInbox) -> Result<Listing<InboxItem>, ClientError> {
        self.get(&which.on(paths::INBOX.to_owned())).await
    }

    /// An item of it.
    pub async fn inbox_item(&self, item: &str) -> Result<InboxItem, ClientError> {
        self.get(&paths::fill(paths::INBOX_ITEM, &[item])).await
    }

    /// Answers an item. The first answer counts; sent twice with the same input id, it counts once.
    pub async fn answer(&self, item: &str, answer: &Answer) -> Result<AnswerReceipt, ClientError> {
        self.post_once(&paths::fill(paths::INBOX_ANSWER, &[item]), answer).await
    }
}
