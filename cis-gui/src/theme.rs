//! Colours and sizes, light and dark; states by colour and by shape.

use cis_core::event::{RunState, TaskState};
use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Visuals};

use crate::fonts;

/// What a state means to whoever looks, in the order of how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Waits for what it needs.
    Pending,
    /// May start.
    Queued,
    /// At work.
    Running,
    /// Waits for a human.
    Waits,
    /// Ended well.
    Good,
    /// Ended without success of its own.
    Passed,
    /// Ended because somebody wanted it to.
    Cancelled,
    /// Failed.
    Failed,
    /// Could not be run.
    Broken,
    /// Starts nothing new.
    Paused,
}

impl Mark {
    /// Of a task; one whose session waits for a human, or that waits for approval, says so.
    #[must_use]
    pub fn of_task(state: TaskState, waits: bool) -> Self {
        match state {
            _ if waits && !state.is_terminal() => Self::Waits,
            TaskState::Pending => Self::Pending,
            TaskState::Queued => Self::Queued,
            TaskState::Running | TaskState::Processing => Self::Running,
            TaskState::Succeeded => Self::Good,
            TaskState::Completed => Self::Passed,
            TaskState::Failed => Self::Failed,
            TaskState::Error => Self::Broken,
            TaskState::Cancelled => Self::Cancelled,
        }
    }

    /// Of a run.
    #[must_use]
    pub fn of_run(state: RunState, waits: bool) -> Self {
        match state {
            _ if waits && !state.is_terminal() => Self::Waits,
            RunState::Created => Self::Pending,
            RunState::Running => Self::Running,
            RunState::Paused => Self::Paused,
            RunState::Succeeded => Self::Good,
            RunState::Failed => Self::Failed,
            RunState::Error => Self::Broken,
            RunState::Cancelled => Self::Cancelled,
        }
    }

    /// Its colour.
    #[must_use]
    pub fn colour(self, dark: bool) -> Color32 {
        let (on_dark, on_light) = match self {
            Self::Pending => (0x006e_7681, 0x008c_959f),
            Self::Queued => (0x009a_a4b2, 0x0057_606a),
            Self::Running => (0x004c_9aff, 0x0009_69da),
            Self::Waits => (0x00f5_c542, 0x00b0_7600),
            Self::Good => (0x003f_b950, 0x001a_7f37),
            Self::Passed => (0x006b_a57a, 0x004f_8a5f),
            Self::Cancelled => (0x00a3_8bd6, 0x007a_5fb5),
            Self::Failed => (0x00f8_5149, 0x00cf_222e),
            Self::Broken => (0x00ff_8c42, 0x00bc_4c00),
            Self::Paused => (0x008b_b0c9, 0x004b_708a),
        };
        hex(if dark { on_dark } else { on_light })
    }
}

fn hex(rgb: u32) -> Color32 {
    let [_, r, g, b] = rgb.to_be_bytes();
    Color32::from_rgb(r, g, b)
}

/// Colour of what can be acted on.
#[must_use]
pub fn accent(dark: bool) -> Color32 {
    hex(if dark { 0x004c_9aff } else { 0x0009_69da })
}

/// Colour of what goes from one task to another: seen, and not looked at first.
#[must_use]
pub fn wire(dark: bool) -> Color32 {
    hex(if dark { 0x0056_6070 } else { 0x00a4_adb9 })
}

/// Sets fonts and their sizes, spaces and colours of both themes.
pub fn install(ctx: &egui::Context) {
    fonts::install(ctx);
    ctx.set_visuals_of(egui::Theme::Dark, visuals(true));
    ctx.set_visuals_of(egui::Theme::Light, visuals(false));
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Heading, FontId::new(20.0, FontFamily::Proportional)),
            (TextStyle::Body, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Button, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Small, FontId::new(12.0, FontFamily::Proportional)),
            (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
        ]
        .into();
        // A click on a text is one on what it stands in.
        style.interaction.selectable_labels = false;
        // A cursor that blinks is two frames a second for nothing.
        style.visuals.text_cursor.blink = false;
        style.spacing.item_spacing = egui::vec2(8.0, 6.0);
        style.spacing.button_padding = egui::vec2(10.0, 5.0);
        style.spacing.interact_size.y = 26.0;
        style.spacing.scroll = egui::style::ScrollStyle::solid();
    });
}

fn visuals(dark: bool) -> Visuals {
    let mut visuals = if dark { Visuals::dark() } else { Visuals::light() };
    let (ground, card, deep, line, text) = if dark {
        (0x0016_191f, 0x001f_232b, 0x0010_1217, 0x0033_3945, 0x00d9_dde3)
    } else {
        (0x00f6_f7f9, 0x00ff_ffff, 0x00ff_ffff, 0x00d5_dae1, 0x001f_242c)
    };
    visuals.panel_fill = hex(ground);
    visuals.window_fill = hex(card);
    visuals.extreme_bg_color = hex(deep);
    visuals.faint_bg_color = hex(card);
    visuals.override_text_color = Some(hex(text));
    visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, hex(line));
    visuals.selection.bg_fill = accent(dark).gamma_multiply(0.35);
    // What is chosen is written in it.
    visuals.selection.stroke = Stroke::new(1.0, hex(text));
    let (still, near, held) =
        if dark { (0x002b_323d, 0x0037_404d, 0x0043_4e5d) } else { (0x00e3_e7ec, 0x00d6_dce3, 0x00c8_d0d9) };
    for (widget, fill) in [
        (&mut visuals.widgets.inactive, still),
        (&mut visuals.widgets.hovered, near),
        (&mut visuals.widgets.active, held),
        (&mut visuals.widgets.open, near),
    ] {
        (widget.weak_bg_fill, widget.bg_fill) = (hex(fill), hex(fill));
    }
    visuals.hyperlink_color = accent(dark);
    // What has the keys is seen from afar, and what is said by the way can be read: 4.5 to 1 at least (WCAG 2.2, 1.4.3).
    visuals.widgets.active.bg_stroke = Stroke::new(2.0, accent(dark));
    visuals.weak_text_alpha = 0.72;
    for widget in [
        &mut visuals.widgets.noninteractive,
        &mut visuals.widgets.inactive,
        &mut visuals.widgets.hovered,
        &mut visuals.widgets.active,
        &mut visuals.widgets.open,
    ] {
        widget.corner_radius = CornerRadius::same(6);
    }
    visuals
}

/// A card: something of its own on the ground of a panel.
pub fn card(visuals: &Visuals) -> egui::Frame {
    egui::Frame::new()
        .fill(visuals.window_fill)
        .stroke(visuals.widgets.noninteractive.bg_stroke)
        .corner_radius(8)
        .inner_margin(12)
}
