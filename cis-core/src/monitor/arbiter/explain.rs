//! Why the verdict is what it is, in words.

use super::Arbiter;
use super::terminal::Reported;
use crate::event::{Layer, PromptKind};
use crate::ids::TimestampMs;
use crate::monitor::evidence::{Reader, ReaderHow};
use crate::monitor::profile::Says;
use crate::monitor::screen::{Shape, shape_of};
use crate::monitor::verdict::{Explanation, LayerReport};
use crate::text;

impl Arbiter {
    /// The evidence layer by layer, and how the verdict follows from it.
    #[must_use]
    pub fn explain(&self, now: TimestampMs) -> Explanation {
        let all = self.candidates(now);
        let alone = |layer: Layer| {
            all.iter()
                .filter(|one| one.verdict.layer == layer && one.ready_ms <= now)
                .map(|one| one.verdict.kind)
                .next()
        };
        let layers = vec![
            self.report_layer(alone(Layer::Terminal)),
            self.kernel_layer(alone(Layer::Kernel)),
            self.screen_layer(alone(Layer::Screen)),
            self.quiet_layer(alone(Layer::Quiet), now),
        ];
        let mut because = Vec::new();
        match &self.standing {
            Some(standing) => {
                // It may begin with the name of a program.
                because.push(format!("{}.", standing.why));
                if standing.gone_ms.is_some() {
                    because
                        .push("Its prompt seems gone; that must last a moment before it counts.".to_owned());
                }
            }
            None => because.push(self.no_verdict().to_owned()),
        }
        let pending = all.iter().filter(|one| one.ready_ms > now && self.standing.is_none());
        because.extend(pending.map(|one| {
            let left = text::duration((one.ready_ms - now).unsigned_abs());
            format!("In {left} it counts as {}: {}.", one.verdict.kind.as_str(), one.why)
        }));
        let (profile, verdict, what_if) =
            (self.profile.name.clone(), self.verdict().cloned(), self.what_if(now));
        Explanation { profile, verdict, layers, because, what_if }
    }

    /// Why there is none.
    fn no_verdict(&self) -> &'static str {
        if !self.was_looked_at() {
            "It has not been looked at yet."
        } else if self.seeded.is_some() {
            "The prompt that it was last known to wait at has not been seen again yet."
        } else {
            "Nothing shows that it waits for a human."
        }
    }

    fn report_layer(&self, says: Option<PromptKind>) -> LayerReport {
        let mut seen = Vec::new();
        if let Some(report) = &self.terminal.report {
            let means = match report.says {
                Reported::Waits(kind) => format!("waits ({})", kind.as_str()),
                Reported::Working => "at work".to_owned(),
                Reported::Idle => "at its prompt".to_owned(),
            };
            seen.push(format!("{}: {means}.", capital(&report.seen)));
        }
        if let Some((_, notice)) = self.terminal.last_notice() {
            seen.push(format!("Its last notification: {notice}."));
        }
        let at = self.terminal.report.as_ref().map(|report| report.at_ms);
        LayerReport {
            layer: Layer::Terminal,
            says,
            at_ms: at.max(self.terminal.last_notice().map(|(at, _)| *at)),
            seen,
        }
    }

    fn kernel_layer(&self, says: Option<PromptKind>) -> LayerReport {
        let mut seen = Vec::new();
        if let Some(last) = &self.kernel.last {
            seen.extend(last.readers.iter().map(reader));
            if last.readers.is_empty() {
                seen.push("Nobody waits for the terminal.".to_owned());
            }
            if last.opaque {
                seen.push(
                    "A process in the foreground runs as somebody else and cannot be looked into.".to_owned(),
                );
            }
            match last.modes {
                None => seen.push("It has no terminal.".to_owned()),
                Some(modes) if modes.canonical && !modes.echo => {
                    seen.push("The terminal collects a line and does not show it.".to_owned())
                }
                Some(modes) if modes.canonical => seen.push("The terminal collects lines.".to_owned()),
                Some(_) => seen.push("The terminal passes every key on.".to_owned()),
            }
            if self.profile.full_screen {
                seen.push("This program listens in every state: that tells nothing of it.".to_owned());
            }
        }
        LayerReport { layer: Layer::Kernel, says, at_ms: self.kernel.at_ms, seen }
    }

    fn screen_layer(&self, says: Option<PromptKind>) -> LayerReport {
        let mut seen = Vec::new();
        match &self.found {
            Some((found, _)) if found.by_look => {
                seen.push("No rule of its profile matches; a menu stands at the bottom.".to_owned());
            }
            Some((found, _)) => {
                let means = match found.says {
                    Says::Waits(kind) => kind.as_str(),
                    Says::Working => "working",
                };
                seen.push(format!("Rule {:?} matches: {means}.", found.rule));
            }
            None => seen.push("No rule of its profile matches.".to_owned()),
        }
        if let Some(page) = &self.cells.page {
            let shape = match shape_of(&page.lead) {
                Shape::Empty => "Nothing stands before the cursor.",
                Shape::Progress => "What stands before the cursor looks like progress.",
                Shape::Weak => "What stands before the cursor does not look like a prompt.",
                Shape::Strong => "What stands before the cursor looks like a prompt.",
            };
            seen.push(shape.to_owned());
        }
        LayerReport { layer: Layer::Screen, says, at_ms: self.cells.seen_ms, seen }
    }

    fn quiet_layer(&self, says: Option<PromptKind>, now: TimestampMs) -> LayerReport {
        let ago = |ms: i64| text::duration(ms.max(0).unsigned_abs());
        let seen = vec![
            format!("Its cells have been still for {}.", ago(self.cells.quiet(now))),
            format!("The last output came {} ago.", ago(now - self.cells.last_output_ms)),
        ];
        LayerReport { layer: Layer::Quiet, says, at_ms: self.cells.seen_ms, seen }
    }
}

fn reader(reader: &Reader) -> String {
    let how = match reader.how {
        ReaderHow::Read => "sits in a read of",
        ReaderHow::Poll => "waits, among other things, for",
    };
    let what = if reader.nested { "a terminal inside" } else { "the terminal" };
    let foreign = if reader.foreign { ", from outside the session" } else { "" };
    format!("{} (pid {}) {how} {what}{foreign}.", reader.name, reader.pid)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
