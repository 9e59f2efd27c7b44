//! The dashboard without a window: frames by hand, and how long each takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cis_gui::app::Dashboard;
use cis_gui::command::{Command, Sender};
use cis_gui::feed::Shared;
use cis_gui::theme;
use eframe::egui::{self, Event, Key, Modifiers, Pos2, Rect, Vec2, pos2, vec2};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedReceiver;

/// Processor time of this thread so far, ms: what else runs on the machine does not count.
pub(crate) fn processor_ms() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    let ms = used.tv_sec as f64 * 1e3 + used.tv_nsec as f64 / 1e6;
    ms
}

/// How large the window would be.
const SIZE: Vec2 = vec2(1280.0, 820.0);

pub(crate) struct Stage {
    pub(crate) ctx: egui::Context,
    pub(crate) dashboard: Dashboard,
    pub(crate) commands: UnboundedReceiver<Command>,
    began: Instant,
}

impl Stage {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let (to, commands) = Sender::channel();
        let ctx = egui::Context::default();
        theme::install(&ctx);
        Self { ctx, dashboard: Dashboard::new(Arc::clone(shared), to), commands, began: Instant::now() }
    }

    /// One frame: update, layout and triangles. Gives its processor time, ms, and when the next one is asked for.
    pub(crate) fn frame(&mut self, events: Vec<Event>) -> (f64, Duration) {
        let input = egui::RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)),
            time: Some(self.began.elapsed().as_secs_f64()),
            events,
            ..egui::RawInput::default()
        };
        let began = processor_ms();
        let output = self.ctx.run_ui(input, |ui| self.dashboard.draw(ui));
        let triangles = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        let took = processor_ms() - began;
        drop(triangles);
        let wait = output.viewport_output.values().map(|view| view.repaint_delay).min();
        (took, wait.unwrap_or(Duration::MAX))
    }

    /// Frames until nothing asks for another one at once.
    pub(crate) fn settle(&mut self) -> Duration {
        for _ in 0..2_000 {
            let (_, wait) = self.frame(Vec::new());
            if wait > Duration::from_millis(500) {
                return wait;
            }
            std::thread::sleep(wait.min(Duration::from_millis(16)));
        }
        Duration::ZERO
    }

    pub(crate) fn press(&mut self, key: Key) {
        let event = |pressed| Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        self.frame(vec![event(true)]);
        self.frame(vec![event(false)]);
    }

    /// A frame with the wheel turned over the middle. Gives how long it took, ms.
    pub(crate) fn turn(&mut self, points: f32) -> f64 {
        let middle = Event::PointerMoved(pos2(SIZE.x / 2.0, SIZE.y / 2.0));
        let turned = Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: vec2(0.0, points),
            phase: egui::TouchPhase::Move,
            modifiers: Modifiers::NONE,
            source: egui::MouseWheelSource::Unknown,
        };
        self.frame(vec![middle, turned]).0
    }

    /// The pointer goes elsewhere.
    pub(crate) fn leave(&mut self) {
        self.frame(vec![Event::PointerGone]);
        self.settle();
    }

    /// Turns the wheel, and lets the zoom come to rest.
    pub(crate) fn wheel(&mut self, points: f32) {
        self.turn(points);
        for _ in 0..60 {
            self.frame(Vec::new());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.leave();
    }
}
