//! The desktop is told of what begins to wait for a human, while nobody looks at the window.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Mutex;
use zbus::zvariant::Value;

use super::Shared;
use crate::model::{Ring, Tone};

/// With more of them at once only their number is told.
const EACH_MAX: usize = 3;

/// The desktop decides how long a notification stays.
const TIMEOUT_OF_DESKTOP: i32 = -1;

/// A desktop takes a notification within this time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Tells the desktop, for ever. Where it takes no notifications that is said once.
pub(super) async fn serve(shared: Arc<Shared>) {
    let mut said = false;
    loop {
        shared.rung.notified().await;
        let rings = shared.take_rings();
        // Whoever looks at the window sees it there.
        if !shared.rings.load(Ordering::Relaxed) || shared.focused.load(Ordering::Relaxed) {
            continue;
        }
        for ring in few(rings) {
            if let Err(error) = show(&ring).await
                && !std::mem::replace(&mut said, true)
            {
                let hint = Some("Settings turn notifications off".to_owned());
                shared.note(Tone::Bad, format!("the desktop takes no notifications: {error}"), hint);
            }
        }
    }
}

/// Tells it something, whoever looks, and says what became of it.
pub(super) async fn try_one(shared: Arc<Shared>) {
    let ring = Ring {
        title: "CIS: this is how it looks".to_owned(),
        text: "When something waits for you, its question stands here.".to_owned(),
    };
    match show(&ring).await {
        Ok(()) => shared.note(Tone::Good, "The desktop has taken a notification".to_owned(), None),
        Err(error) => {
            let hint = Some("is a notification service running?".to_owned());
            shared.note(Tone::Bad, format!("the desktop takes no notifications: {error}"), hint);
        }
    }
}

/// Of many at once their number.
fn few(rings: Vec<Ring>) -> Vec<Ring> {
    if rings.len() <= EACH_MAX {
        return rings;
    }
    let text = rings.iter().take(EACH_MAX).map(|ring| ring.title.as_str()).collect::<Vec<_>>().join("\n");
    vec![Ring { title: format!("{} wait for you", rings.len()), text }]
}

/// Sends a notification (Desktop Notifications Specification, `org.freedesktop.Notifications.Notify`).
async fn show(ring: &Ring) -> Result<(), String> {
    let shown = tokio::time::timeout(ANSWER_TIME_MAX, notify(ring)).await;
    let shown = shown.map_err(|_| format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()))?;
    shown.map_err(|error| error.to_string())
}

async fn notify(ring: &Ring) -> zbus::Result<()> {
    // Some desktops remove the notifications of a connection that is closed, so there is one for all.
    static DESKTOP: Mutex<Option<zbus::Connection>> = Mutex::const_new(None);
    let mut kept = DESKTOP.lock().await;
    let desktop = match kept.take() {
        Some(desktop) => desktop,
        None => zbus::Connection::session().await?,
    };
    // The specification lets a body have markup, and this is text of somebody else.
    let text = ring.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (replaces, icon, actions, hints) = (0u32, "", [""; 0], HashMap::<&str, Value<'_>>::new());
    let title = ring.title.as_str();
    let body = ("CIS", replaces, icon, title, text.as_str(), &actions[..], hints, TIMEOUT_OF_DESKTOP);
    let name = "org.freedesktop.Notifications";
    desktop.call_method(Some(name), "/org/freedesktop/Notifications", Some(name), "Notify", &body).await?;
    // After an error the next one begins anew.
    *kept = Some(desktop);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_as_one() {
        let rings = |n: usize| {
            (0..n).map(|n| Ring { title: format!("t{n}"), text: "which?".to_owned() }).collect::<Vec<_>>()
        };
        assert_eq!(few(rings(3)).len(), 3);
        let one = few(rings(7));
        assert_eq!(
            (one.len(), one[0].title.as_str(), one[0].text.as_str()),
            (1, "7 wait for you", "t0\nt1\nt2")
        );
    }
}
