//! Why a session is thought to wait: the monitor's explanation, in the terms of what people were told.

use super::commands::Waiting;
use cis_core::api::ExplainView;
use cis_core::event::Layer;
use cis_core::ids::{SessionId, TimestampMs};
use cis_core::monitor::{Explanation, LayerReport};
use cis_core::text;

/// Puts both together. The monitor counts prompts its own way, and knows nothing of what sessions ask.
pub(super) fn explained(
    session: SessionId,
    mut explanation: Explanation,
    waiting: &Waiting,
    now: TimestampMs,
) -> ExplainView {
    let told = waiting.told.as_deref();
    let item = told.map(|prompt| prompt.item.clone());
    if let Some(at) = waiting.held_ms {
        let left = text::duration((at - now).max(0).unsigned_abs());
        let because = format!(
            "It came to many prompts in a short time: what it waits at is not in the inbox yet; it will be in {left}, if it waits then."
        );
        explanation.because.insert(0, because);
    }
    match told {
        Some(prompt) if prompt.layer == Layer::Asked => {
            let seen = vec![format!("it asks by itself: {}", prompt.question)];
            let report = LayerReport { layer: Layer::Asked, says: Some(prompt.kind), at_ms: None, seen };
            // Its screen is held back until then.
            explanation.verdict = None;
            explanation.layers.retain(|layer| layer.layer != Layer::Asked);
            explanation.layers.insert(0, report);
            let because = "what a session asks by itself comes before what its screen shows";
            explanation.because.insert(0, because.to_owned());
        }
        Some(prompt) => {
            if let Some(verdict) = &mut explanation.verdict {
                verdict.episode = prompt.episode;
            }
        }
        None => {}
    }
    ExplainView { session, item, explanation }
}
