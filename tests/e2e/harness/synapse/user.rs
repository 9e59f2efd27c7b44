//! Somebody with an account, who speaks plain HTTP: what another client would do.

use std::sync::atomic::{AtomicU32, Ordering};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;

use super::http;

/// By this the tests' users are registered.
pub const SHARED_SECRET: &str = "made-up-for-tests";

/// Names are used once: the homeserver may be shared.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An account with a device.
#[derive(Debug, Clone)]
pub struct User {
    url: String,
    /// `@name:cis.test`.
    pub id: String,
    pub name: String,
    pub password: String,
    pub token: String,
    pub device: String,
}

impl User {
    pub(super) fn register(url: &str, name: &str) -> Self {
        Self::make(url, name, false)
    }

    pub(super) fn register_admin(url: &str) -> Self {
        Self::make(url, "admin", true)
    }

    fn make(url: &str, name: &str, admin: bool) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let name = format!("{name}-{}-{count}-{}", std::process::id(), now.as_millis());
        let password = format!("password of {name}");
        let path = "/_synapse/admin/v1/register";
        let nonce =
            http::request(url, "GET", path, None, None).unwrap().1["nonce"].as_str().unwrap().to_owned();
        let mut mac = Hmac::<Sha1>::new_from_slice(SHARED_SECRET.as_bytes()).unwrap();
        let role = if admin { "admin" } else { "notadmin" };
        mac.update([&nonce, name.as_str(), &password, role].join("\0").as_bytes());
        let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let body =
            json!({ "nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac });
        let (status, said) = http::request(url, "POST", path, None, Some(&body)).unwrap();
        assert_eq!(status, 200, "{said}");
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let (id, token, device) = (text("user_id"), text("access_token"), text("device_id"));
        Self { url: url.to_owned(), id, name, password, token, device }
    }

    /// Where its homeserver answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Invites somebody.
    #[track_caller]
    pub fn invite(&self, room: &str, user: &str) {
        self.ok("POST", &format!("/rooms/{}/invite", encoded(room)), Some(json!({ "user_id": user })));
    }

    /// The same user, in another program.
    pub fn with_token(&self, token: String) -> Self {
        Self { token, ..self.clone() }
    }

    /// Any request of the client API, whatever becomes of it: the path behind `/_matrix/client/v3`.
    #[allow(clippy::needless_pass_by_value, reason = "made for this call alone")]
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let path = format!("/_matrix/client/v3{path}");
        http::request(&self.url, method, &path, Some(&self.token), body.as_ref()).unwrap()
    }

    /// The same; it must succeed.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, said) = self.ask(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {said}");
        said
    }

    /// Makes a room with these in it, once they join.
    #[track_caller]
    pub fn create_room(&self, name: &str, invite: &[&str]) -> String {
        let body = json!({ "name": name, "preset": "private_chat", "invite": invite });
        self.ok("POST", "/createRoom", Some(body))["room_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn join(&self, room: &str) {
        self.ok("POST", &format!("/join/{}", encoded(room)), Some(json!({})));
    }

    /// Says something; gives the event's id. A sender has 10 events, then one in 5 s.
    #[track_caller]
    pub fn say(&self, room: &str, text: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": text }))
    }

    /// Sends an event; gives its id.
    #[track_caller]
    pub fn send(&self, room: &str, kind: &str, content: Value) -> String {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/rooms/{}/send/{kind}/say-{}-{count}", encoded(room), std::process::id());
        self.ok("PUT", &path, Some(content))["event_id"].as_str().unwrap().to_owned()
    }

    /// Sends a message to a device, in clear.
    #[track_caller]
    pub fn to_device(&self, user: &str, device: &str, kind: &str, content: &Value) {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sendToDevice/{kind}/to-{}-{count}", std::process::id());
        self.ok("PUT", &path, Some(json!({ "messages": { user: { device: content } } })));
    }

    /// Answers an event in words, as Element does it.
    #[track_caller]
    pub fn reply(&self, room: &str, to: &str, text: &str) -> String {
        let relation = json!({ "m.in_reply_to": { "event_id": to } });
        self.send(
            room,
            "m.room.message",
            json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation }),
        )
    }

    /// Reacts to an event.
    #[track_caller]
    pub fn react(&self, room: &str, to: &str, key: &str) -> String {
        let relation = json!({ "rel_type": "m.annotation", "event_id": to, "key": key });
        self.send(room, "m.reaction", json!({ "m.relates_to": relation }))
    }

    /// The newest events of a room, newest first.
    #[track_caller]
    pub fn newest(&self, room: &str) -> Vec<Value> {
        let path = format!("/rooms/{}/messages?dir=b&limit=100", encoded(room));
        self.ok("GET", &path, None)["chunk"].as_array().unwrap().clone()
    }

    /// Ends the login of a device of this user: what somebody does who lost it.
    #[track_caller]
    pub fn end_login(&self, token: &str) {
        let path = "/_matrix/client/v3/logout";
        let (status, said) = http::request(&self.url, "POST", path, Some(token), Some(&json!({}))).unwrap();
        assert_eq!(status, 200, "{said}");
    }
}

/// As a part of a path.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
