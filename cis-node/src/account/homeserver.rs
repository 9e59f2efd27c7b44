//! What the node asks of its homeserver, as far as people and nodes talk in rooms.
//!
//! A login has it from `cis-matrix`; tests have a homeserver in memory. What only a login can do (verification, recovery) is not here.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use cis_matrix::{
    Answer, Batch, Beginning, Client, Content, CreateRoom, Media, Member, Page, RoomEvent, RoomInfo,
    RoomName, Seal, StateEvent,
};
use serde_json::Value;

/// Takes the chunks of a file as they come.
pub type TakeChunk = Box<dyn FnMut(Bytes) + Send>;

/// Makes the trait, and implements it by the methods of [`Client`] that have the same names.
macro_rules! homeserver {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)*) -> $gives:ty;)*) => {
        /// A homeserver, as one account sees it.
        pub trait Homeserver: Send + Sync + fmt::Debug {
            $(
                #[doc = concat!("[`Client::", stringify!($name), "`] says what it does.")]
                fn $name(&self $(, $argument: $kind)*) -> Answer<$gives>;
            )*
        }

        impl Homeserver for Client {
            $(
                fn $name(&self $(, $argument: $kind)*) -> Answer<$gives> {
                    Self::$name(self $(, $argument)*)
                }
            )*
        }
    };
}

homeserver! {
    fn logout(&self) -> ();
    fn whoami(&self) -> String;
    fn other_devices(&self) -> usize;

    fn position(&self) -> Option<String>;
    fn next(&self, since: Option<&str>, wait: Duration) -> Batch;
    fn send_to_device(&self, user: &str, device: &str, kind: &str, content: &Value) -> ();

    fn create_room(&self, room: CreateRoom) -> RoomInfo;
    fn rooms(&self) -> Vec<RoomInfo>;
    fn resolve(&self, name: RoomName) -> String;
    fn room(&self, room: &str) -> RoomInfo;
    fn is_encrypted(&self, room: &str) -> bool;
    fn successor(&self, room: &str) -> Option<RoomName>;
    fn succeeds(&self, room: &str, old: &str) -> Option<bool>;
    fn join(&self, name: RoomName) -> RoomInfo;
    fn invite(&self, room: &str, user: &str) -> ();
    fn joined_ms(&self, room: &str) -> Option<i64>;
    fn member(&self, room: &str, user: &str) -> Option<Member>;
    fn members(&self, room: &str) -> Vec<Member>;

    fn state(&self, room: &str, kind: &str) -> Vec<StateEvent>;
    fn forward(&self, room: &str, from: Option<&str>, limit: u32) -> Page;
    fn backward(&self, room: &str, from: Option<&str>, limit: u32) -> Page;
    fn beginning(&self, room: &str) -> Option<Beginning>;
    fn place_after(&self, room: &str, event: &str) -> Option<String>;
    fn event(&self, room: &str, event: &str) -> Option<RoomEvent>;
    fn seal(&self, room: &str, event: &RoomEvent) -> Option<Seal>;

    fn send(&self, room: &str, kind: &str, content: Value, transaction: &str) -> String;
    fn send_state(&self, room: &str, kind: &str, key: &str, content: Value) -> String;
    fn read_receipt(&self, room: &str, event: &str) -> ();

    fn upload_bytes_max(&self) -> u64;
    fn upload(&self, room: &str, content: Content) -> Media;
    fn download(&self, media: Media, bytes_max: u64) -> Vec<u8>;
    fn download_in_chunks(&self, media: Media, bytes_max: u64, take: TakeChunk) -> ();
}
