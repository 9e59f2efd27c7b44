//! The window: where one is, the keys that go elsewhere, how the line to the node stands, and notes.

use std::sync::Arc;
use std::time::Duration;

use cis_core::api::InboxItem;
use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, RichText, Ui};

use crate::command::{Command, Sender};
use crate::feed::{Pace, Shared};
use crate::model::{Link, Model, Tone, Update};
use crate::panels::{Go, Scene, events, inbox, node, run, runs, session, settings, start};
use crate::settings::{KEY, Settings};
use crate::theme::{self, Mark};
use crate::widgets::{ago, clock, left, mark, one_line};
use cis_local::now_ms;

/// What happens is drawn at most once in this time.
const FRAME: Duration = Duration::from_micros(16_600);
/// Notes are shown for so long, ms.
const NOTE_MS: i64 = 8_000;
/// Number of commands without an outcome that are shown at a time; the others follow when these are dismissed or known.
const UNCONFIRMED_SHOWN: usize = 3;
/// Of what a node says of its state, or of a command, so many characters are shown.
const WORDS_MAX: usize = 400;
/// Height of the status line.
const STATUS: f32 = 22.0;
/// Closes the window, as Ctrl+Q does in other programs.
const QUIT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Q);
/// Keys of the views, in the order of the bar.
const VIEWS: [(Go, &str, Key); 5] = [
    (Go::Inbox, "Inbox", Key::Num1),
    (Go::Runs, "Runs", Key::Num2),
    (Go::Events, "Events", Key::Num3),
    (Go::Node, "Node", Key::Num4),
    (Go::Settings, "Settings", Key::Num5),
];

/// The dashboard.
pub struct Dashboard {
    shared: Arc<Shared>,
    to: Sender,
    at: Go,
    inbox: inbox::Inbox,
    runs: runs::Runs,
    run: run::Run,
    session: session::Session,
    events: events::Events,
    node: node::Node,
    start: start::Start,
    settings: Settings,
    help: bool,
    /// From where the terminal was opened.
    from: Go,
    /// Something had the keys when this frame began: Esc is for leaving that.
    had_focus: bool,
}

impl Dashboard {
    /// A dashboard of what `shared` has; commands go to `to`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, to: Sender) -> Self {
        Self {
            shared,
            to,
            at: Go::Inbox,
            inbox: inbox::Inbox::default(),
            runs: runs::Runs::default(),
            run: run::Run::default(),
            session: session::Session::default(),
            events: events::Events::default(),
            node: node::Node::default(),
            start: start::Start::default(),
            settings: Settings::default(),
            help: false,
            from: Go::Inbox,
            had_focus: false,
        }
    }

    /// Goes somewhere.
    pub fn go(&mut self, to: Go) {
        let to = if to == Go::Back { self.from } else { to };
        if self.at == Go::Node && to != Go::Node {
            self.node.leave();
        }
        match to {
            Go::Session(_) if !matches!(self.at, Go::Session(_)) => self.from = self.at,
            Go::Session(_) => {}
            _ => self.session.close(),
        }
        self.at = to;
    }

    /// Draws all of it.
    pub fn draw(&mut self, ui: &mut Ui) {
        let shared = Arc::clone(&self.shared);
        shared.look();
        self.settings.follow(ui.ctx());
        shared.stands(ui.input(|input| input.focused), self.settings.notify);
        let now = now_ms();
        if self.at != Go::Start
            && let Some(note) = self.start.outcome(now)
        {
            shared.apply(Update::Note(note));
        }
        let mut model = shared.model();
        self.keys(ui);
        egui::Panel::top("bar").show(ui, |ui| self.bar(ui, &model, now));
        // Back in the view of a run, its tasks are still there.
        model.look_at(if let Go::Run(run) = self.at { Some(run) } else { self.run.run() });
        status(ui, &model);
        let to = self.to.clone();
        notes(ui, &model, &to, now);
        let refusal = model.refusal();
        let mut scene = Scene { model: &model, to: &to, now, go: None, pick: None, refusal };
        egui::CentralPanel::default().show(ui, |ui| match self.at {
            Go::Inbox => inbox::show(ui, &mut self.inbox, &mut scene),
            Go::Runs => runs::show(ui, &mut self.runs, &mut scene),
            Go::Run(id) => run::show(ui, &mut self.run, id, &mut scene),
            Go::Session(id) => session::show(ui, &mut self.session, id, &mut scene),
            Go::Events => events::show(ui, &mut self.events, &mut scene),
            Go::Node => node::show(ui, &mut self.node, &mut scene),
            Go::Settings => {
                if settings::show(ui, &mut self.settings, &scene) {
                    self.settings.apply(ui.ctx());
                }
            }
            Go::Start => start::show(ui, &mut self.start, &mut scene),
            // One is never there: it leads somewhere.
            Go::Back => {}
        });
        if let Some(go) = scene.go {
            if let Some(name) = scene.pick.filter(|_| go == Go::Inbox) {
                self.inbox.pick(name);
            }
            self.go(go);
            ui.ctx().request_repaint();
        }
        if self.help {
            self.keys_help(ui.ctx());
        }
        self.had_focus = ui.ctx().memory(|memory| memory.focused().is_some());
        self.clocks(ui.ctx(), &model, now);
    }

    /// Only what is shown and changes with time needs frames of its own, when it does.
    fn clocks(&self, ctx: &egui::Context, model: &Model, now: i64) {
        let clock = |from| clock(from, now).1;
        let next = match self.at {
            Go::Inbox => {
                let left = |item: &InboxItem| item.until_ms.map(|until| left(until, now).1);
                let next = |item: &InboxItem| left(item).into_iter().chain([clock(item.since)]).min();
                model.inbox.items().filter_map(next).min()
            }
            // These ask for their own.
            Go::Session(_) | Go::Events | Go::Node | Go::Settings | Go::Start => None,
            _ => model.open_runs().map(clock).min(),
        };
        let notes = model.notes.iter().rev().map(|note| note.at_ms + NOTE_MS - now);
        let note = notes.take_while(|left| *left > 0).min();
        if let Some(left) = next.into_iter().chain(note.map(i64::unsigned_abs)).min() {
            ctx.request_repaint_after(Duration::from_millis(left));
        }
    }

    fn keys(&mut self, ui: &Ui) {
        let ctx = ui.ctx();
        let typing = self.session.takes_keys(ctx);
        // At the end of the frame egui looks for these keys among all, also those that the terminal has sent.
        ctx.options_mut(|options| {
            options.zoom_with_keyboard = !typing;
            options.quit_shortcuts = if typing { Vec::new() } else { vec![QUIT] };
        });
        if typing {
            return;
        }
        for (go, _, key) in VIEWS {
            if ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::CTRL, key))) {
                self.go(go);
            }
        }
        let new = KeyboardShortcut::new(Modifiers::CTRL, Key::N);
        if ctx.input_mut(|input| input.consume_shortcut(&new)) {
            self.go(Go::Start);
        }
        let seek =
            ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::CTRL, Key::F)));
        if seek {
            match self.at {
                Go::Runs => self.runs.seek = true,
                Go::Run(_) => self.run.seek(),
                Go::Session(_) => self.session.seek = true,
                Go::Events => self.events.seek = true,
                Go::Inbox | Go::Node | Go::Start | Go::Settings | Go::Back => {}
            }
        }
        if self.had_focus || ctx.memory(|memory| memory.focused().is_some()) {
            return;
        }
        if ctx.input(|input| input.key_pressed(Key::Questionmark) || input.key_pressed(Key::F1)) {
            self.help = !self.help;
        }
        if ctx.input(|input| input.key_pressed(Key::Escape)) {
            match self.at {
                _ if self.help => self.help = false,
                Go::Run(_) | Go::Start => self.go(Go::Runs),
                Go::Session(_) => self.go(Go::Back),
                _ => {}
            }
        }
    }

    fn bar(&mut self, ui: &mut Ui, model: &Model, now: i64) {
        ui.horizontal(|ui| {
            ui.label(RichText::new("CIS").heading().strong());
            ui.add_space(8.0);
            for (n, (go, name, _)) in VIEWS.into_iter().enumerate() {
                let waits = model.inbox.len();
                let text =
                    if go == Go::Inbox && waits > 0 { format!("{name} ({waits})") } else { name.to_owned() };
                let here = match (self.at, go) {
                    (Go::Run(_) | Go::Session(_) | Go::Start, Go::Runs) => true,
                    (at, go) => at == go,
                };
                let button = ui.selectable_label(here, text).on_hover_text(format!("Ctrl+{}", n + 1));
                if button.clicked() {
                    self.go(go);
                }
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("Keys").on_hover_text("What the keys do (?)").clicked() {
                    self.help = !self.help;
                }
                self.line(ui, model, now);
            });
        });
    }

    fn line(&self, ui: &mut Ui, model: &Model, now: i64) {
        let (state, text) = match &model.link {
            Link::Connecting => (Mark::Queued, "connecting…".to_owned()),
            Link::Up => (Mark::Good, "connected".to_owned()),
            Link::Lost { since_ms, .. } => {
                (Mark::Broken, format!("disconnected for {}", ago(ui, *since_ms, now)))
            }
            Link::Refused(_) => (Mark::Failed, "refused".to_owned()),
        };
        let down = matches!(model.link, Link::Lost { .. } | Link::Refused(_));
        if down && ui.button("Try now").clicked() {
            self.to.send(Command::Reconnect);
        }
        ui.label(&text);
        mark(ui, state, &text);
    }

    fn keys_help(&mut self, ctx: &egui::Context) {
        egui::Window::new("Keys").collapsible(false).resizable(false).open(&mut self.help).show(ctx, |ui| {
            let keys = [
                ("Ctrl+1 … 5", "Inbox, runs, events, node, settings"),
                ("Ctrl+N", "Start a run"),
                ("Ctrl+F", "Search"),
                ("↑ ↓ or K J", "Choose in the inbox"),
                ("1 … 9, A", "Go to an option, or to the words; Enter sends"),
                ("F, wheel, drag", "Fit, zoom and move a graph"),
                ("G, T, C", "Graph, tasks, critical path of a run"),
                ("Esc", "Back"),
                ("click, then type", "Into a terminal; Tab, Esc and Ctrl keys go to it as well"),
                ("Ctrl+Shift+C, V", "Copy from a terminal, paste into it"),
                ("Shift+Esc", "Takes the keys from a terminal again"),
                ("?", "This"),
            ];
            egui::Grid::new("keys").num_columns(2).spacing([24.0, 6.0]).show(ui, |ui| {
                for (key, what) in keys {
                    ui.label(RichText::new(key).monospace());
                    ui.label(what);
                    ui.end_row();
                }
            });
        });
    }
}

/// The status line at the bottom: why the connection is down and what to do, else the node and why actions are disabled.
/// It is always there, so that nothing moves when its text changes.
fn status(ui: &mut Ui, model: &Model) {
    let (trouble, text) = match &model.link {
        Link::Lost { why, .. } => (true, one_line(why, WORDS_MAX)),
        Link::Refused(problem) => {
            let hint = problem.hint.as_deref().map(|hint| format!(". {hint}")).unwrap_or_default();
            (true, one_line(&format!("{}{hint}", problem.detail), WORDS_MAX))
        }
        Link::Connecting | Link::Up => (false, standing(model)),
    };
    egui::Panel::bottom("status").exact_size(STATUS).resizable(false).show(ui, |ui| {
        ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
            if trouble {
                mark(ui, Mark::Broken, "trouble");
            }
            let words = RichText::new(&text).small();
            let words = if trouble { words.strong() } else { words.weak() };
            let label = ui.add(egui::Label::new(words).truncate());
            if !text.is_empty() {
                label.on_hover_text(&text);
            }
        });
    });
}

/// Returns the node, and why actions are disabled.
fn standing(model: &Model) -> String {
    let refusal = model.refusal().map(|refusal| refusal.why().to_owned());
    let node = model.node.as_ref().map(|node| format!("Node {} in {}", node.version, node.home));
    let parts: Vec<String> = refusal.into_iter().chain(node).collect();
    one_line(&parts.join(" · "), WORDS_MAX)
}

/// Commands whose outcome is unknown, and for a while what became of others.
fn notes(ui: &mut Ui, model: &Model, to: &Sender, now: i64) {
    let fresh: Vec<_> = model.notes.iter().rev().filter(|note| now - note.at_ms < NOTE_MS).take(3).collect();
    if fresh.is_empty() && model.unconfirmed.is_empty() {
        return;
    }
    egui::Panel::bottom("notes").show(ui, |ui| {
        for (command, text) in model.unconfirmed.iter().rev().take(UNCONFIRMED_SHOWN) {
            ui.horizontal_wrapped(|ui| {
                mark(ui, Mark::Broken, "not confirmed");
                ui.label(one_line(&format!("Not confirmed: {text}"), WORDS_MAX));
                if ui.button("Dismiss").clicked() {
                    to.send(Command::Dismiss(*command));
                }
            });
        }
        for note in fresh {
            ui.horizontal_wrapped(|ui| {
                let (state, word) = match note.tone {
                    Tone::Good => (Mark::Good, "done"),
                    Tone::Bad => (Mark::Failed, "refused"),
                };
                mark(ui, state, word);
                ui.label(one_line(&note.text, WORDS_MAX));
                if let Some(hint) = &note.hint {
                    ui.label(RichText::new(one_line(hint, WORDS_MAX)).weak());
                }
            });
        }
    });
}

#[cfg(test)]
mod tests;

impl eframe::App for Dashboard {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        eframe::set_value(storage, KEY, &self.settings);
    }
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// There is no display, or no way to draw on it.
#[allow(clippy::disallowed_methods, reason = "the edge: frames keep a pace")]
pub fn open(client: cis_client::Client, title: &str) -> eframe::Result {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(title)
            .with_app_id("cis-gui")
            .with_inner_size([1280.0, 820.0])
            .with_min_inner_size([640.0, 420.0]),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "cis-gui",
        options,
        Box::new(move |created| {
            theme::install(&created.egui_ctx);
            let ctx = created.egui_ctx.clone();
            let pace = Pace::default();
            // One frame for whatever happens in its time, and not the two that an immediate request gives.
            let shared = Shared::new(Arc::new(move || ctx.request_repaint_after(pace.next(FRAME))));
            let to = crate::feed::start(client, &shared)?;
            let mut dashboard = Dashboard::new(shared, to);
            if let Some(settings) = created.storage.and_then(|kept| eframe::get_value::<Settings>(kept, KEY))
            {
                dashboard.settings = settings.sound();
            }
            dashboard.settings.apply(&created.egui_ctx);
            Ok(Box::new(dashboard))
        }),
    )
}
