//! What the API's inbox needs of the node behind it.

use std::future::Future;

use cis_core::api::{
    Answer, AnswerReceipt, Ask, AskView, HandIn, InboxItem, ListInbox, Listing, Page, Problem, ReadAsk, Say,
    ThreadMessage,
};
use cis_core::ids::{InboxId, SessionId};
use cis_core::policy::Principal;

type Outcome<T> = Result<T, Problem>;

/// The inbox of a node. Names of items are as people typed them until resolved.
pub trait InboxApi: Send + Sync + 'static {
    /// What waits for a human, oldest first.
    fn inbox(&self, query: ListInbox) -> impl Future<Output = Outcome<Listing<InboxItem>>> + Send;
    /// The item that a name means.
    fn item(&self, name: String) -> impl Future<Output = Outcome<InboxItem>> + Send;
    /// Answers an item, after checking that `who` may.
    fn answer(
        &self,
        principal: Principal,
        item: InboxItem,
        answer: Answer,
    ) -> impl Future<Output = Outcome<AnswerReceipt>> + Send;
    /// What was said in the thread of an item, oldest first.
    fn thread(
        &self,
        item: InboxItem,
        query: Page,
    ) -> impl Future<Output = Outcome<Listing<ThreadMessage>>> + Send;
    /// A session asks people something.
    fn ask(
        &self,
        principal: Principal,
        session: SessionId,
        ask: Ask,
    ) -> impl Future<Output = Outcome<AskView>> + Send;
    /// How an ask of a session stands.
    fn read_ask(
        &self,
        session: SessionId,
        item: InboxId,
        query: ReadAsk,
    ) -> impl Future<Output = Outcome<AskView>> + Send;
    /// A session takes back what it asked. Of an ask that is over nothing changes.
    fn withdraw_ask(
        &self,
        principal: Principal,
        session: SessionId,
        item: InboxId,
    ) -> impl Future<Output = Outcome<AskView>> + Send;
    /// A session tells people something.
    fn say(
        &self,
        principal: Principal,
        session: SessionId,
        say: Say,
    ) -> impl Future<Output = Outcome<()>> + Send;
    /// A session hands in the result of its task.
    fn hand_in(
        &self,
        principal: Principal,
        session: SessionId,
        result: HandIn,
    ) -> impl Future<Output = Outcome<()>> + Send;
}
