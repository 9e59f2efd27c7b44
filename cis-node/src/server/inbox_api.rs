//! What the API's inbox needs of the node behind it.

use std::future::Future;

use cis_core::api::{
    Answer, AnswerReceipt, Ask, AskView, HandIn, InboxItem, ListInbox, Listing, Page, Problem, ReadAsk, Say,
    ThreadMessage,
};
use cis_core::ids::InboxId;
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The inbox of a node. Names of items are as people typed them until resolved.
pub trait InboxApi: Send + Sync + 'static {
    /// What waits for a human, oldest first.
    fn inbox(
        &self,
        permit: Permit<act::ReadSessions>,
        query: ListInbox,
    ) -> impl Future<Output = Outcome<Listing<InboxItem>>> + Send;
    /// The item that a name means.
    fn item(
        &self,
        permit: Permit<act::ReadSessions>,
        name: String,
    ) -> impl Future<Output = Outcome<InboxItem>> + Send;
    /// The same, to answer it.
    fn item_to_answer(
        &self,
        permit: &Permit<act::Answer>,
        name: String,
    ) -> impl Future<Output = Outcome<InboxItem>> + Send;
    /// Answers an item.
    ///
    /// # Errors
    /// Among others that the principal may not answer this one.
    fn answer(
        &self,
        permit: Permit<act::Answer>,
        item: InboxItem,
        answer: Answer,
    ) -> impl Future<Output = Outcome<AnswerReceipt>> + Send;
    /// What was said in the thread of an item, oldest first.
    fn thread(
        &self,
        permit: Permit<act::ReadSessions>,
        item: String,
        query: Page,
    ) -> impl Future<Output = Outcome<Listing<ThreadMessage>>> + Send;
    /// A session asks people something.
    fn ask(&self, permit: Permit<act::SpeakAs>, ask: Ask) -> impl Future<Output = Outcome<AskView>> + Send;
    /// How an ask of a session stands.
    fn read_ask(
        &self,
        permit: Permit<act::SpeakAs>,
        item: InboxId,
        query: ReadAsk,
    ) -> impl Future<Output = Outcome<AskView>> + Send;
    /// A session takes back what it asked. Of an ask that is over nothing changes.
    fn withdraw_ask(
        &self,
        permit: Permit<act::SpeakAs>,
        item: InboxId,
    ) -> impl Future<Output = Outcome<AskView>> + Send;
    /// A session tells people something.
    fn say(&self, permit: Permit<act::SpeakAs>, say: Say) -> impl Future<Output = Outcome<()>> + Send;
    /// A session hands in the result of its task.
    fn hand_in(
        &self,
        permit: Permit<act::SpeakAs>,
        result: HandIn,
    ) -> impl Future<Output = Outcome<()>> + Send;
}
