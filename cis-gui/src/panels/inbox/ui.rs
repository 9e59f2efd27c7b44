//! The inbox, drawn.

use std::collections::BTreeMap;
use std::time::Duration;

use cis_core::api::{AnswerReceipt, AnswerWith, InboxItem, option_numbers};
use cis_core::event::PromptKind;
use eframe::egui::{self, Key, RichText, ScrollArea, Ui};

use super::view::{self, Card};
use crate::command::{Command, Slot};
use crate::model::{Link, Model};
use crate::panels::{Go, Scene, refusal, unknown};
use crate::theme::{self, Mark};
use crate::widgets::{empty, mark, one_line};

/// Of a question so much is laid out, characters: a session's own text has at most 4 KiB.
const QUESTION_CHARS: usize = 4_096;
/// Of a screen so much is laid out, characters.
const SCREEN_CHARS: usize = 16_000;

/// Maximum length of a reason, characters.
const REASON_CHARS: usize = 500;
/// So many options are buttons; another one is an answer in words.
const OPTIONS_MAX: usize = 50;
/// Items of which what was written is kept while another one is shown, at most.
const DRAFTS_MAX: usize = 20;
/// What comes to stand where another item stood takes no clicks for so long, s: nobody has read it.
const UNREAD_S: f64 = 0.7;

/// What is chosen and typed.
#[derive(Debug, Default)]
pub struct Inbox {
    chosen: Option<String>,
    /// Since when it is shown, where nobody chose it.
    since: Option<f64>,
    text: String,
    /// The item that the text is for: one that moves on takes no text of another.
    text_of: Option<String>,
    /// What was written for other items and not sent, by their names; the newest last.
    drafts: Vec<(String, String)>,
    /// What a key chose and the next frame gives the keys to.
    reach: Option<Reach>,
    /// Answers by their items, until they are accepted, or their words are in the field again.
    sent: BTreeMap<String, Sent>,
    /// The item that somebody wants to answer once more.
    again: Option<String>,
}

impl Inbox {
    /// Shows this item, because somebody asked for it by what it says.
    pub fn pick(&mut self, name: String) {
        if self.chosen.as_ref() != Some(&name) {
            (self.chosen, self.since) = (Some(name), None);
        }
    }
}

/// An answer that was sent.
#[derive(Debug)]
struct Sent {
    /// What becomes of it.
    slot: Slot<AnswerReceipt>,
    /// What somebody wrote for it: the answer itself, or the reason of a decision.
    words: String,
}

impl Sent {
    /// Whether it was accepted; none: that is not known yet.
    fn accepted(&self) -> Option<bool> {
        self.slot.look(|answer| answer.map(Result::is_ok))
    }
}

/// What can be reached with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The option of that number.
    Number(usize),
    Words,
}

/// Draws the inbox.
pub fn show(ui: &mut Ui, state: &mut Inbox, scene: &mut Scene<'_>) {
    give_back(state, scene.model);
    state.drafts.retain(|(of, _)| is_kept(scene.model, of));
    let cards = view::cards(scene.model, scene.now);
    let there = |name: &String| cards.iter().any(|card| card.name == *name);
    if state.text_of.as_ref().is_some_and(|of| !there(of)) {
        if !state.text.is_empty() {
            return over(ui, state);
        }
        state.text_of = None;
    }
    if cards.is_empty() {
        // What was known before the line was lost is no news.
        if scene.model.inbox.listed() && matches!(scene.model.link, Link::Up | Link::Connecting) {
            empty(ui, "Nothing waits for you", "Questions of sessions and approvals of tasks appear here.");
        } else {
            unknown(ui, scene.model, "What waits for a human is loaded.");
        }
        return;
    }
    if !state.chosen.as_ref().is_some_and(there) {
        state.since = state.chosen.replace(cards[0].name.clone()).map(|_| ui.input(|input| input.time));
    }
    keys(ui, state, &cards);
    egui::Panel::left("inbox-list")
        .default_size(320.0)
        .resizable(true)
        .show(ui, |ui| list(ui, state, &cards));
    egui::CentralPanel::default().show(ui, |ui| {
        let item = state.chosen.as_deref().and_then(|name| scene.model.inbox.named(name)).cloned();
        if let Some(item) = item {
            ScrollArea::vertical().show(ui, |ui| detail(ui, state, &item, scene));
        }
    });
}

const DIGITS: [Key; 9] =
    [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// What somebody was writing for is over: what is typed on goes nowhere else.
fn over(ui: &mut Ui, state: &mut Inbox) {
    ui.label(RichText::new("What you were answering is over").heading());
    ui.label("Somebody else has answered, or it waits no more. What you wrote was not sent:");
    let field = egui::TextEdit::singleline(&mut state.text).id(words_id()).desired_width(f32::INFINITY);
    ui.add(field).request_focus();
    let left = ui.button("Leave it").on_hover_text("Esc").clicked();
    if left || ui.input(|input| input.key_pressed(Key::Escape)) {
        state.text.clear();
        ui.ctx().memory_mut(|memory| memory.surrender_focus(words_id()));
    }
}

/// What somebody wrote for an answer that was refused is in its field again, once its item is shown or is over.
fn give_back(state: &mut Inbox, model: &Model) {
    let Inbox { sent, text, text_of, .. } = state;
    sent.retain(|_, sent| match sent.accepted() {
        None => true,
        Some(accepted) => !accepted && !sent.words.is_empty(),
    });
    if !text.is_empty() {
        return;
    }
    let is_due = |name: &String, sent: &mut Sent| {
        let shown = text_of.as_ref() == Some(name) || model.inbox.named(name).is_none();
        shown && sent.accepted() == Some(false)
    };
    let due = sent.extract_if(.., is_due).next();
    if let Some((name, sent)) = due {
        (*text, *text_of) = (sent.words, Some(name));
    }
}

/// The field is for this item now. What was written for the one before waits until that is shown again.
fn turn_to(state: &mut Inbox, model: &Model, name: String) {
    let text = std::mem::take(&mut state.text);
    if let Some(before) = state.text_of.take()
        && !text.is_empty()
        && is_kept(model, &before)
    {
        state.drafts.push((before, text));
        if state.drafts.len() > DRAFTS_MAX {
            state.drafts.remove(0);
        }
    }
    if let Some(at) = state.drafts.iter().position(|(of, _)| *of == name) {
        state.text = state.drafts.remove(at).1;
    }
    state.text_of = Some(name);
}

/// Whether what is written for an item is kept while another one is shown: not what may be a secret.
fn is_kept(model: &Model, name: &str) -> bool {
    let item = model.inbox.named(name);
    item.is_some_and(|item| !item.kind.needs_terminal() && item.kind != PromptKind::Login)
}

fn words_id() -> egui::Id {
    egui::Id::unique("answer in words")
}

fn keys(ui: &Ui, state: &mut Inbox, cards: &[Card]) {
    // What was pressed for another item is none for this one, which nobody has read.
    if ui.ctx().text_edit_focused() || state.since.is_some() {
        state.reach = None;
        return;
    }
    // A key only goes there: what is sent, Enter sends.
    let plain = |key: Key| ui.input(|input| input.modifiers.is_none() && input.key_pressed(key));
    if let Some(at) = DIGITS.into_iter().position(plain) {
        state.reach = Some(Reach::Number(at + 1));
    } else if plain(Key::A) {
        state.reach = Some(Reach::Words);
        // The letter itself is none of them.
        ui.ctx().input_mut(|input| input.events.retain(|event| !matches!(event, egui::Event::Text(_))));
    }
    if ui.ctx().memory(|memory| memory.focused().is_some()) {
        return;
    }
    let at = cards.iter().position(|card| Some(&card.name) == state.chosen.as_ref()).unwrap_or(0);
    let (up, down) = ui.input(|input| {
        (
            input.key_pressed(Key::ArrowUp) || input.key_pressed(Key::K),
            input.key_pressed(Key::ArrowDown) || input.key_pressed(Key::J),
        )
    });
    let to = if up { at.saturating_sub(1) } else { (at + usize::from(down)).min(cards.len() - 1) };
    if to != at {
        state.since = None;
    }
    state.chosen = Some(cards[to].name.clone());
}

fn list(ui: &mut Ui, state: &mut Inbox, cards: &[Card]) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        for card in cards {
            let chosen = state.chosen.as_ref() == Some(&card.name);
            let mut frame = theme::card(ui.visuals());
            if chosen {
                frame = frame.stroke(egui::Stroke::new(1.0, theme::accent(ui.visuals().dark_mode)));
            }
            let inner = frame.show(ui, |ui| {
                ui.set_min_width(ui.available_width());
                ui.horizontal(|ui| {
                    mark(ui, Mark::Waits, card.kind);
                    ui.label(RichText::new(card.kind).strong());
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.label(RichText::new(&card.waited).small().weak());
                    });
                });
                ui.label(&card.title);
                ui.label(RichText::new(&card.of).small().weak());
                if !card.params.is_empty() {
                    ui.add(egui::Label::new(RichText::new(&card.params).small().weak()).truncate());
                }
                if let Some(deadline) = &card.deadline {
                    ui.label(RichText::new(deadline).small());
                }
                if let Some(by) = &card.answered_by {
                    ui.label(RichText::new(format!("answered by {by}, and still there")).small());
                }
            });
            let response = inner.response.interact(egui::Sense::click());
            if response.has_focus() {
                let stroke = ui.visuals().widgets.active.bg_stroke;
                ui.painter().rect_stroke(response.rect, 8.0, stroke, egui::StrokeKind::Inside);
            }
            let run = [card.of.as_str(), &card.params].into_iter().filter(|text| !text.is_empty());
            let run = run.collect::<Vec<_>>().join(", ");
            let label = format!("{}: {} ({run})", card.kind, card.title);
            response
                .widget_info(|| egui::WidgetInfo::selected(egui::Role::ListBoxOption, true, chosen, &label));
            if response.clicked() {
                state.since = None;
                state.chosen = Some(card.name.clone());
            }
        }
    });
}

fn detail(ui: &mut Ui, state: &mut Inbox, item: &InboxItem, scene: &mut Scene<'_>) {
    let name = item.name();
    if state.text_of.as_ref() != Some(&name) {
        turn_to(state, scene.model, name);
    }
    ui.horizontal(|ui| {
        ui.label(RichText::new(view::kind(item.kind)).heading());
        ui.label(RichText::new(view::of(scene.model, item)).weak());
    });
    let params = view::params(scene.model, item);
    if !params.is_empty() {
        ui.add(egui::Label::new(RichText::new(params).small().weak()).wrap());
    }
    if !item.question.is_empty() {
        ui.add(egui::Label::new(item.question.chars().take(QUESTION_CHARS).collect::<String>()).wrap());
    }
    if let Some((text, changes)) = view::deadline(item, scene.now) {
        ui.ctx().request_repaint_after(Duration::from_millis(changes));
        ui.label(RichText::new(text).strong());
    }
    ui.add_space(6.0);
    refusal(ui, scene);
    answers(ui, state, item, scene);
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        if let Some(session) = item.session
            && ui.button("Open terminal").clicked()
        {
            scene.go = Some(Go::Session(session));
        }
        if let Some(run) = item.run
            && ui.button("Open run").clicked()
        {
            scene.go = Some(Go::Run(run));
        }
    });
    if !item.screen.is_empty() {
        ui.add_space(6.0);
        ui.label(RichText::new("What its screen shows").small().weak());
        let screen: String = item.screen.chars().take(SCREEN_CHARS).collect();
        egui::Frame::new().fill(ui.visuals().extreme_bg_color).corner_radius(6).inner_margin(10).show(
            ui,
            |ui| {
                ScrollArea::horizontal().show(ui, |ui| {
                    ui.add(egui::Label::new(RichText::new(screen).monospace()).extend());
                });
            },
        );
    }
}

fn answers(ui: &mut Ui, state: &mut Inbox, item: &InboxItem, scene: &Scene<'_>) {
    ui.add_enabled_ui(scene.refused().is_none(), |ui| given(ui, state, item, scene));
}

fn given(ui: &mut Ui, state: &mut Inbox, item: &InboxItem, scene: &Scene<'_>) {
    if item.kind.needs_terminal() {
        (state.reach, state.since) = (None, None);
        ui.label(match item.kind {
            PromptKind::Password => "A password is typed into its terminal, and goes no other way.",
            _ => "It is answered in its terminal: words would become text of what is shown there.",
        });
        return;
    }
    if let Some(by) = &item.answered_by {
        let by = one_line(by, 80);
        ui.label(format!("{by} has answered, and the prompt is still there."));
    }
    let name = item.name();
    if item.answered_ms.is_some() && state.again.as_ref() != Some(&name) {
        state.reach = None;
        if ui.button("Answer once more").on_hover_text("It is typed after the first answer").clicked() {
            state.again = Some(name);
        }
        return;
    }
    hold(ui, state, &name);
    let reach = if ui.is_enabled() { state.reach.take() } else { None };
    let chosen = option_buttons(ui, item, reach);
    let words = reach == Some(Reach::Words);
    let (with, reason) = if item.kind == PromptKind::Approval {
        // The text that accompanies a decision is its reason.
        reason_field(ui, state, words);
        let reason = chosen.is_some().then(|| std::mem::take(&mut state.text));
        (chosen, reason.filter(|reason| !reason.is_empty()))
    } else if item.takes_text() {
        (chosen.or(words_field(ui, state, words)), None)
    } else {
        (chosen, None)
    };
    if let Some(with) = with {
        let words = if let AnswerWith::Text { text } = &with { Some(text) } else { reason.as_ref() };
        let (slot, words) = (Slot::default(), words.cloned().unwrap_or_default());
        state.sent.insert(name.clone(), Sent { slot: slot.clone(), words });
        state.again = None;
        let (hash, again) = (item.hash.clone(), item.answered_ms);
        scene.to.send(Command::Answer { item: name, with, hash, again, reason, slot });
    }
}

/// Disables what follows while the outcome of an answer is unknown, and while nobody can have read the item.
fn hold(ui: &mut Ui, state: &mut Inbox, name: &str) {
    if state.sent.get(name).is_some_and(|sent| sent.accepted().is_none()) {
        ui.disable();
    }
    if let Some(since) = state.since {
        let unread = since + UNREAD_S - ui.input(|input| input.time);
        if unread > 0.0 {
            ui.ctx().request_repaint_after(Duration::from_secs_f64(unread));
            ui.disable();
        } else {
            state.since = None;
        }
    }
}

/// Draws a button for each option. Returns the one that was clicked.
fn option_buttons(ui: &mut Ui, item: &InboxItem, reach: Option<Reach>) -> Option<AnswerWith> {
    let mut chosen = None;
    let numbers = option_numbers(&item.options);
    ui.horizontal_wrapped(|ui| {
        for (option, number) in item.options.iter().take(OPTIONS_MAX).zip(numbers) {
            let whole = one_line(&option.label, 2_000);
            let label = one_line(&whole, 60);
            // Some labels begin with it already.
            let number_before =
                number.map(|number| format!("{number}. ")).filter(|before| !label.starts_with(before));
            let mut button = ui.button(number_before.unwrap_or_default() + &label);
            button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, ui.is_enabled(), &whole));
            if whole.chars().count() > 60 {
                button = button.on_hover_text(&whole);
            }
            if let Some(number @ 1..=9) = number {
                button = button.on_hover_text(format!("Key {number}"));
            }
            if number.is_some_and(|number| reach == Some(Reach::Number(number))) {
                button.request_focus();
            }
            if button.clicked() {
                chosen = Some(AnswerWith::Option { option: format!("id:{}", option.id) });
            }
        }
    });
    chosen
}

/// Draws the field for the reason of a decision.
fn reason_field(ui: &mut Ui, state: &mut Inbox, focus: bool) {
    let field = egui::TextEdit::singleline(&mut state.text)
        .id(words_id())
        .hint_text("Reason (optional), recorded with the decision")
        .char_limit(REASON_CHARS)
        .desired_width(f32::INFINITY);
    let field = ui.add(field);
    field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, ui.is_enabled(), "Reason"));
    if focus {
        field.request_focus();
    }
}

/// Draws the field for an answer in words. Returns the words that were sent.
fn words_field(ui: &mut Ui, state: &mut Inbox, focus: bool) -> Option<AnswerWith> {
    let mut sent = None;
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 90.0).max(120.0);
        let field = egui::TextEdit::singleline(&mut state.text)
            .id(words_id())
            .hint_text("Answer in words")
            .desired_width(width);
        let field = ui.add(field);
        let enabled = ui.is_enabled();
        field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, enabled, "Answer in words"));
        if focus {
            field.request_focus();
        }
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let pressed = ui.add_enabled(!state.text.is_empty(), egui::Button::new("Send")).clicked();
        if (entered || pressed) && !state.text.is_empty() {
            sent = Some(AnswerWith::Text { text: std::mem::take(&mut state.text) });
        }
    });
    sent
}
