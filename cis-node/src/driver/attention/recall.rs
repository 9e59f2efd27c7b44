//! What an earlier life of the node knew of the sessions that are taken over: the same prompt is the same
//! item of the inbox, under the same number. Asks that are open are the inbox's to bring back.

use super::super::Driver;
use super::Attention;
use cis_core::event::{Layer, PromptRecord};
use cis_host::protocol::ToHost;
use cis_store::{KnownItem, Waited};

impl Driver {
    /// Remembers what live sessions waited at, where this life of the node does not know it yet.
    pub(in crate::driver) fn recall(&mut self) {
        let found = self.parts.readers.get().and_then(|reader| reader.waited());
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "what sessions waited at cannot be read: it is found out anew");
                return;
            }
        };
        for (session, waited) in found {
            if self.attention.get(session).is_some() {
                continue;
            }
            let attention = restored(waited);
            // The host may not have heard it: the message is no event.
            let waits = attention.told().is_some();
            self.parts.worker.to_host.push(ToHost::Waits { session, waits });
            self.attention.put(session, attention);
        }
    }
}

fn restored(waited: Waited) -> Attention {
    let Waited { newest, open } = waited;
    let mut waiting: Option<PromptRecord> = None;
    for known in open.iter().filter(|known| known.waits || known.waited) {
        let newer = known.item.episode > waiting.as_ref().map(|prompt| prompt.episode);
        if let Some(episode) = known.item.episode.filter(|_| newer) {
            waiting = Some(prompt(known, episode));
        }
    }
    Attention::restored(newest, waiting)
}

fn prompt(known: &KnownItem, episode: u32) -> PromptRecord {
    let item = &known.item;
    PromptRecord {
        item: item.id.clone(),
        episode,
        kind: item.kind,
        hash: item.hash.clone(),
        layer: item.layer.unwrap_or(Layer::Kernel),
        confidence: item.confidence,
        question: item.question.clone(),
        options: item.options.clone(),
        screen: item.screen.clone(),
        ask: known.ask,
        until_ms: item.until_ms,
        waited_ms: 0,
    }
}
