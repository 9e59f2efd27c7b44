//! A desk: an X server without a screen, the bus by which screen readers see programs, hands on keyboard and mouse,
//! and the dashboard as `cis gui` opens it.
//!
//! What the window shows is read as a screen reader does (AT-SPI), so that a test waits for words and clicks what has a
//! name, wherever it stands. Pictures are the X server's own, and are kept.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::de::DeserializeOwned;
use zbus::zvariant::{DynamicType, OwnedObjectPath, Type, Value};

use super::wait::eventually_within;
use super::{Cis, Running, signal};

/// Width and height of the screen, and of the window as it opens.
pub const SCREEN: (u32, u32) = (1280, 820);

/// Drawing without a graphics card, and the first look at its fonts, take their time beside other tests.
const SLOW: Duration = Duration::from_secs(50);

/// `AtspiStateType` of what has the keys (atspi-constants.h).
const FOCUSED: u32 = 12;
/// `AtspiStateType` of a widget that can be used.
const ENABLED: u32 = 8;
/// After this time, another click is not part of a double click.
const DOUBLE_CLICK: Duration = Duration::from_millis(400);
/// `AtspiRole` of a link.
const LINK: u32 = 88;

/// An X server and a bus. Dropping it ends both.
pub struct Desk {
    server: Child,
    bus: Child,
    display: String,
    frames: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    bus_address: String,
    readers: zbus::Connection,
}

/// Something that the window shows.
#[derive(Debug, Clone)]
pub struct Shown {
    bus: String,
    path: OwnedObjectPath,
    /// What a screen reader says.
    pub name: String,
    /// It has the keys.
    pub focused: bool,
    /// Whether it can be used.
    pub enabled: bool,
    role: u32,
}

/// The dashboard's window. Dropping it ends the dashboard.
pub struct Window<'a> {
    desk: &'a Desk,
    running: Option<Running>,
    bus: String,
    id: String,
}

/// What `org.a11y.atspi.Cache` says of a node: object, application, parent, index, children, interfaces, name, role,
/// description, states.
type Item = (Address, Address, Address, i32, i32, Vec<String>, String, u32, String, Vec<u32>);
type Address = (String, OwnedObjectPath);

impl Desk {
    /// With a display number that the server finds by itself.
    pub fn new(cis: &Cis) -> Self {
        let frames = tempfile::Builder::new().prefix("frames-").tempdir_in(cis.work()).unwrap();
        let size = format!("{}x{}x24", SCREEN.0, SCREEN.1);
        let (server, display) = start(
            cis,
            "Xvfb",
            &["-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp", "-fbdir"],
            Some(frames.path()),
        );
        let words = ["--session", "--nofork", "--nopidfile", "--print-address=1"];
        let (bus, bus_address) = start(cis, "dbus-daemon", &words, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let readers = runtime.block_on(async {
            let session = connect(&bus_address).await;
            let (at, on) = ("org.a11y.Bus", ("org.a11y.Status", "ScreenReaderEnabled", Value::from(true)));
            let set = Some("org.freedesktop.DBus.Properties");
            session.call_method(Some(at), "/org/a11y/bus", set, "Set", &on).await.unwrap();
            let answer = session.call_method(Some(at), "/org/a11y/bus", Some(at), "GetAddress", &()).await;
            let address: String = answer.unwrap().body().deserialize().unwrap();
            connect(&address).await
        });
        Self { server, bus, display: format!(":{display}"), frames, runtime, bus_address, readers }
    }

    /// `cis ARGUMENTS` with this desk before it.
    pub fn command(&self, cis: &Cis, arguments: &[&str]) -> Command {
        let mut command = cis.command(arguments);
        command
            .env("DISPLAY", &self.display)
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address);
        command
    }

    /// Opens the dashboard by `cis ARGUMENTS` and waits until it is drawn.
    #[track_caller]
    pub fn open(&self, cis: &Cis, arguments: &[&str]) -> Window<'_> {
        // Beside the tested binary, as it is installed.
        let program = cis.binary().with_file_name("cis-gui");
        assert!(program.exists(), "{} is not there: `cargo build -p cis-gui` builds it", program.display());
        self.open_with(self.command(cis, arguments))
    }

    /// Opens it by this command.
    #[track_caller]
    pub fn open_with(&self, command: Command) -> Window<'_> {
        let before = self.programs();
        let running = Running::start(command);
        let mut window = Window { desk: self, running: Some(running), bus: String::new(), id: String::new() };
        window.bus = eventually_within(SLOW, "the dashboard is seen by screen readers", || {
            assert!(!window.has_ended(), "the dashboard ended: {:?}", window.take().wait());
            self.programs().into_iter().find(|bus| !before.contains(bus))
        });
        window.id = eventually_within(SLOW, "there is a window", || {
            let found = self.try_hands(&["search", "--onlyvisible", "--class", "cis-gui"])?;
            found.lines().last().map(str::to_owned)
        });
        eventually_within(SLOW, "something is shown", || (!window.shown().is_empty()).then_some(()));
        window.focus();
        window
    }

    fn programs(&self) -> Vec<String> {
        let at = Some(("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root"));
        let children: Option<Vec<Address>> = self.ask(at, "org.a11y.atspi.Accessible", "GetChildren", &());
        children.unwrap_or_default().into_iter().map(|(bus, _)| bus).collect()
    }

    /// None: whom it asks is not there, or not any more.
    fn ask<T: DeserializeOwned + Type>(
        &self,
        at: Option<(&str, &str)>,
        interface: &str,
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> Option<T> {
        let (bus, path) = at?;
        self.runtime.block_on(async {
            let asked = self.readers.call_method(Some(bus), path, Some(interface), method, body);
            let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.ok()?.ok()?;
            answer.body().deserialize().ok()
        })
    }

    fn hands(&self, words: &[&str]) {
        assert!(self.try_hands(words).is_some(), "xdotool {words:?} failed");
    }

    fn try_hands(&self, words: &[&str]) -> Option<String> {
        let done = Command::new("xdotool").args(words).env("DISPLAY", &self.display).output();
        let done = done.unwrap_or_else(|e| panic!("xdotool: {e}; `cargo xtask test` installs it"));
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// What the screen shows now.
    fn frame(&self) -> Frame {
        let file = fs::read(self.frames.path().join("Xvfb_screen0")).unwrap();
        let number = |at: usize| -> usize {
            u32::from_be_bytes(file[4 * at..4 * at + 4].try_into().unwrap()).try_into().unwrap()
        };
        let (header, width, height, row, colors) = (number(0), number(4), number(5), number(12), number(19));
        assert_eq!((number(11), row), (32, 4 * width), "bits of a pixel, bytes of a row");
        let start = header + 12 * colors;
        Frame(file[start..start + height * row].to_vec())
    }
}

/// Rows of pixels as X11's XWD format has them ("XWDFile.h"): blue, green, red and a byte without meaning.
///
/// Tests compare many of them, without optimization: they become a picture only where one is kept.
#[derive(PartialEq)]
struct Frame(Vec<u8>);

impl Frame {
    /// Red, green, blue, and opaque.
    fn pixels(mut self) -> Vec<u8> {
        for pixel in self.0.chunks_exact_mut(4) {
            pixel.swap(0, 2);
            pixel[3] = u8::MAX;
        }
        self.0
    }

    fn colors(&self) -> usize {
        let mut found = std::collections::BTreeSet::new();
        let mut last: &[u8] = &[];
        for pixel in self.0.chunks_exact(4) {
            if pixel != last {
                found.insert(&pixel[..3]);
                last = pixel;
            }
        }
        found.len()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.bus] {
            signal(child.id(), Signal::TERM);
            let _ = child.wait();
        }
    }
}

impl Window<'_> {
    /// Everything that is shown, as a screen reader gets it. Empty: it says nothing (yet, or any more).
    pub fn shown(&self) -> Vec<Shown> {
        let at = Some((self.bus.as_str(), "/org/a11y/atspi/cache"));
        let items: Vec<Item> = self.desk.ask(at, "org.a11y.atspi.Cache", "GetItems", &()).unwrap_or_default();
        items
            .into_iter()
            .map(|((bus, path), _, _, _, _, _, name, role, _, states)| {
                let is = |state: u32| states.first().is_some_and(|states| states & (1 << state) != 0);
                let (focused, enabled) = (is(FOCUSED), is(ENABLED));
                Shown { bus, path, name, focused, enabled, role }
            })
            .collect()
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let names: Vec<String> =
            self.shown().into_iter().map(|one| one.name).filter(|name| !name.is_empty()).collect();
        names.join("\n")
    }

    /// The first thing with this name.
    pub fn find(&self, name: &str) -> Option<Shown> {
        self.shown().into_iter().find(|one| one.name == name)
    }

    /// Waits until something of this name is shown.
    #[track_caller]
    pub fn wait_named(&self, name: &str) -> Shown {
        self.wait(&format!("`{name}` is shown"), || self.find(name))
    }

    /// Waits until this text is shown, alone or within other text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait(&format!("`{text}` is shown"), || self.text().contains(text).then_some(()));
    }

    /// Waits until this text is not shown any more.
    #[track_caller]
    pub fn wait_without(&self, text: &str) {
        self.wait(&format!("`{text}` is gone"), || (!self.text().contains(text)).then_some(()));
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = std::time::Instant::now() + SLOW;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if std::time::Instant::now() > end {
                self.picture("failed");
                panic!("within {SLOW:?} it did not come true that {what}; this is shown:\n{}", self.text());
            }
            super::pause(Duration::from_millis(30));
        }
    }

    /// Presses a key until it has given the keys to what has this name.
    #[track_caller]
    pub fn wait_key(&self, key: &str, name: &str) {
        self.wait(&format!("{key} goes to `{name}`"), || {
            let there = self.shown().iter().any(|one| one.focused && one.name.eq_ignore_ascii_case(name));
            if !there {
                self.key(key);
            }
            there.then_some(())
        });
    }

    /// Waits until what has this name has the keys.
    #[track_caller]
    pub fn wait_focused(&self, name: &str) {
        self.wait(&format!("`{name}` has the keys"), || {
            self.shown().iter().any(|one| one.focused && one.name == name).then_some(())
        });
    }

    /// Waits for a link, and gives its name.
    #[track_caller]
    pub fn wait_link(&self) -> String {
        self.wait("there is a link", || {
            self.shown().into_iter().find(|one| one.role == LINK).map(|one| one.name)
        })
    }

    /// Clicks what has this name, in its middle.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let one = self.wait_named(name);
        let (x, y) = self.wait_still(&one);
        self.desk.hands(&["mousemove", &x.to_string(), &y.to_string()]);
        self.desk.hands(&["click", "1"]);
    }

    /// Clicks the widget with this name and then the question that replaces it, more slowly than a double click.
    #[track_caller]
    pub fn click_twice(&self, name: &str, question: &str) {
        self.click(name);
        self.wait_named(question);
        super::pause(DOUBLE_CLICK);
        self.click(question);
    }

    /// Where its middle is, once that stays the same: what is loaded meanwhile moves things.
    #[track_caller]
    fn wait_still(&self, one: &Shown) -> (i32, i32) {
        let mut before = None;
        self.wait(&format!("`{}` stands still", one.name), || {
            let now = self.middle(one);
            (now.is_some() && std::mem::replace(&mut before, now) == now).then_some(now?)
        })
    }

    fn middle(&self, one: &Shown) -> Option<(i32, i32)> {
        let at = Some((one.bus.as_str(), one.path.as_str()));
        let ((x, y, width, height),): ((i32, i32, i32, i32),) =
            self.desk.ask(at, "org.a11y.atspi.Component", "GetExtents", &0_u32)?;
        (width > 0 && height > 0).then_some((x + width / 2, y + height / 2))
    }

    /// Presses keys, by their names in X11: `ctrl+2`.
    pub fn key(&self, keys: &str) {
        self.desk.hands(&["key", keys]);
    }

    /// Presses a key, as a person does again when nothing came of it, until this text is shown.
    #[track_caller]
    pub fn press_until(&self, keys: &str, text: &str) {
        let mut last = None::<std::time::Instant>;
        self.wait(&format!("{keys} leads to `{text}`"), || {
            if self.text().contains(text) {
                return Some(());
            }
            if last.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                last = Some(std::time::Instant::now());
                self.key(keys);
            }
            None
        });
    }

    /// Types text.
    pub fn type_text(&self, text: &str) {
        self.desk.hands(&["type", "--delay", "8", text]);
    }

    /// Gives the window the keys.
    pub fn focus(&self) {
        self.desk.hands(&["windowfocus", "--sync", &self.id]);
    }

    /// Makes the window as large as this.
    pub fn resize(&self, width: u32, height: u32) {
        self.desk.hands(&["windowsize", "--sync", &self.id, &width.to_string(), &height.to_string()]);
    }

    /// Keeps a picture of the screen, below the target directory; gives its path. What is said is there before it is
    /// drawn: the picture is taken once nothing changes for some frames (clocks do, each second).
    pub fn picture(&self, name: &str) -> PathBuf {
        let mut frame = self.desk.frame();
        for _ in 0..20 {
            super::pause(Duration::from_millis(150));
            if std::mem::replace(&mut frame, self.desk.frame()) == frame {
                break;
            }
        }
        let target = Path::new(env!("CARGO_BIN_EXE_cis")).ancestors().nth(2).unwrap();
        let folder = target.join("dashboard");
        fs::create_dir_all(&folder).unwrap();
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let path = folder.join(format!("{test}-{name}.png"));
        let file = fs::File::create(&path).unwrap();
        let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), SCREEN.0, SCREEN.1);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_compression(png::Compression::Fast);
        encoder.write_header().unwrap().write_image_data(&frame.pixels()).unwrap();
        eprintln!("picture: {}", path.display());
        path
    }

    /// How many colors the screen has: a window that is not drawn has one or two.
    pub fn colors(&self) -> usize {
        self.desk.frame().colors()
    }

    fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    fn has_ended(&self) -> bool {
        !super::is_alive(self.pid())
    }

    fn take(&mut self) -> Running {
        self.running.take().expect("it runs")
    }
}

async fn connect(address: &str) -> zbus::Connection {
    zbus::connection::Builder::address(address).unwrap().build().await.unwrap()
}

/// Starts a server that says on its first line where it is.
#[track_caller]
fn start(cis: &Cis, program: &str, words: &[&str], last: Option<&Path>) -> (Child, String) {
    let mut command = Command::new(program);
    command.args(words).args(last).env_clear().envs(cis.environment()).stdin(Stdio::null());
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.unwrap_or_else(|e| panic!("{program}: {e}; `cargo xtask test` installs it"));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    if line.trim().is_empty() {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        panic!("{program} did not start: {said}");
    }
    // What it says later is nobody's; it must not wait for a reader.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (child, line.trim().to_owned())
}
