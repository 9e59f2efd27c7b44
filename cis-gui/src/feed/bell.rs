//! The desktop is told of what begins to wait for a human, while nobody looks at the window.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use notify_rust::{Notification, Timeout};

use super::Shared;
use crate::model::{Ring, Tone};

/// With more of them at once only their number is told.
const EACH_MAX: usize = 3;

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
            // The desktop may be slow to answer; the line to the node does not wait for it.
            let shown = tokio::task::spawn_blocking(move || show(&ring)).await;
            if let Ok(Err(error)) = shown
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
    match tokio::task::spawn_blocking(move || show(&ring)).await {
        Ok(Ok(())) => shared.note(Tone::Good, "The desktop has taken a notification".to_owned(), None),
        Ok(Err(error)) => {
            let hint = Some("is a notification service running?".to_owned());
            shared.note(Tone::Bad, format!("the desktop takes no notifications: {error}"), hint);
        }
        Err(error) => shared.note(Tone::Bad, format!("it came to no end: {error}"), None),
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

fn show(ring: &Ring) -> Result<(), String> {
    Notification::new()
        .appname("CIS")
        .summary(&ring.title)
        // The specification lets a body have markup, and this is somebody else's text.
        .body(&ring.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
        .timeout(Timeout::Default)
        .show()
        .map(drop)
        .map_err(|error| error.to_string())
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
