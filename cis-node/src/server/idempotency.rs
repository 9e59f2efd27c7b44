//! Idempotency keys: a request with a key (the header `Idempotency-Key`, or `input` in its body) counts once, however often it is
//! sent.
//!
//! Owns the form of keys, what makes two requests the same, and how the answer to a repeated request is marked. The node behind
//! [`NodeApi`] remembers what each key made.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::body::{self, Body};
use super::errors::Failure;
use super::idempotency_api::Fingerprint;
use super::node_api::NodeApi;
use cis_core::api::{HasKey, Problem, ProblemKind};
use cis_core::ids::InputId;
use cis_core::policy::act::Act;
use cis_core::policy::{Permit, Principal};

/// Header with the key of a request (draft-ietf-httpapi-idempotency-key-header).
pub(super) const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of the answer to a repeated request. The draft names none; Stripe and others use this one.
pub(super) const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Maximum length of a key.
const KEY_CHARS_MAX: usize = 255;

/// Returns the fingerprint of some texts and bytes.
fn fingerprint(texts: &[&str], bytes: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.update(bytes);
    hash.finalize().into()
}

/// A request with its key.
pub(super) struct Keyed<T> {
    pub(super) request: T,
    /// The key of its header.
    key: Option<HeaderKey>,
    fingerprint: Fingerprint,
}

impl<T: DeserializeOwned + ToSchema + HasKey + 'static> Body<T> {
    /// Reads a body of at most 8 MiB with the key of the request.
    ///
    /// # Errors
    /// As [`Self::read`]; or the key is malformed, or given twice.
    pub(super) async fn read_keyed(self, who: &Principal) -> Result<Keyed<T>, Failure> {
        self.read_as(who, body::strict).await
    }

    /// Reads a body like [`Self::read_keyed`], of a type without internally tagged enums. It is parsed once.
    ///
    /// # Errors
    /// As [`Self::read_keyed`].
    pub(super) async fn read_large_keyed(self, who: &Principal) -> Result<Keyed<T>, Failure> {
        self.read_as(who, body::strict_where_wrong).await
    }

    async fn read_as(
        self,
        who: &Principal,
        read: fn(&[u8]) -> Result<T, Failure>,
    ) -> Result<Keyed<T>, Failure> {
        let request = self.into_request();
        body::must_be_json(request.headers())?;
        let key = HeaderKey::of(request.headers(), who)?;
        let to = format!("{} {}", request.method(), request.uri());
        let bytes = body::collect(request, body::LARGE_BYTES_MAX).await?;
        Keyed::new(read(&bytes)?, key, &["json", &to], &bytes)
    }
}

impl<T: HasKey> Keyed<T> {
    /// Gives a request its key, and its fingerprint, which is made of `about` and `bytes`.
    ///
    /// # Errors
    /// The key is given twice.
    pub(super) fn new(
        mut request: T,
        key: Option<HeaderKey>,
        about: &[&str],
        bytes: &Bytes,
    ) -> Result<Self, Failure> {
        let input = request.input_mut();
        match (&key, *input == InputId::NONE) {
            (Some(_), true) => {}
            (Some(_), false) => {
                let detail = "the request has two keys: the header Idempotency-Key, and `input` in its body";
                return Err(Failure(Problem::new(ProblemKind::BadInput, detail)));
            }
            // Without a key the request counts each time.
            (None, true) => *input = InputId(ulid::Ulid::new()),
            (None, false) => {}
        }
        Ok(Self { request, key, fingerprint: fingerprint(about, bytes) })
    }

    /// Carries the request out once. `act` receives `true` if the request was carried out before.
    ///
    /// # Errors
    /// The key was used for another request, or the node refuses this one.
    pub(super) async fn act<N, A, R, F>(
        mut self,
        node: Arc<N>,
        permit: Permit<A>,
        act: impl FnOnce(Arc<N>, Permit<A>, T, bool) -> F + Send,
    ) -> Result<KeyedAnswer<R>, Failure>
    where
        N: NodeApi,
        A: Act + Clone,
        T: Send,
        R: Send,
        F: Future<Output = Result<R, Problem>> + Send,
    {
        if let Some(HeaderKey(key)) = &self.key {
            *self.request.input_mut() = node.input_of(key);
        }
        let input = *self.request.input_mut();
        let repeated = node.begin_keyed(&permit, input, self.fingerprint).await?;
        let answer = act(Arc::clone(&node), permit.clone(), self.request, repeated).await;
        // The key of a request that made nothing may be used again.
        node.end_keyed(&permit, input);
        Ok(KeyedAnswer { answer: answer?, repeated })
    }
}

/// The answer to a request with a key.
pub(super) struct KeyedAnswer<R> {
    pub(super) answer: R,
    pub(super) repeated: bool,
}

impl<R> KeyedAnswer<R> {
    pub(super) fn map<Q>(self, into: impl FnOnce(R) -> Q) -> KeyedAnswer<Q> {
        KeyedAnswer { answer: into(self.answer), repeated: self.repeated }
    }
}

impl<R: IntoResponse> IntoResponse for KeyedAnswer<R> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if self.repeated {
            response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
        }
        response
    }
}

/// SHA-256 of a key of the header and its caller: two callers may use the same key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeaderKey(Fingerprint);

impl HeaderKey {
    /// Reads the header.
    ///
    /// # Errors
    /// The key is malformed, or there are several.
    pub(super) fn of(headers: &HeaderMap, who: &Principal) -> Result<Option<Self>, Failure> {
        let mut all = headers.get_all(KEY_HEADER).iter();
        let (first, second) = (all.next(), all.next());
        let Some(given) = first else { return Ok(None) };
        // The draft wants a quoted string (RFC 9651); most clients send it without quotes.
        let text = given.to_str().ok().map(str::trim);
        let text =
            text.map(|text| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text));
        let is_key = |text: &&str| {
            (1..=KEY_CHARS_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        let Some(text) = text.filter(is_key).filter(|_| second.is_none()) else {
            let detail =
                format!("Idempotency-Key is one string of 1 to {KEY_CHARS_MAX} visible ASCII characters");
            return Err(Failure(Problem::new(ProblemKind::BadInput, detail)));
        };
        Ok(Some(Self(fingerprint(&["idempotency key", &who.actor().name, text], &[]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::HandIn;
    use cis_core::event::Via;
    use cis_core::policy::{Rights, Who};

    fn who(uid: u32) -> Principal {
        Principal { who: Who::User { uid }, via: Via::Socket, rights: Rights::Admin }
    }

    fn key_of(values: &[&'static str], uid: u32) -> Result<Option<HeaderKey>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY_HEADER, HeaderValue::from_static(value));
        }
        HeaderKey::of(&headers, &who(uid)).map_err(|failure| failure.0.detail)
    }

    #[test]
    fn a_key_is_a_string_of_its_caller() {
        let plain = key_of(&["8e03978e-40d5"], 1).unwrap();
        assert!(plain.is_some());
        assert_eq!(key_of(&["\"8e03978e-40d5\""], 1).unwrap(), plain);
        assert_ne!(key_of(&["8e03978e-40d5"], 2).unwrap(), plain);
        assert_eq!(key_of(&[], 1).unwrap(), None);
        for wrong in [&[""][..], &["\"\""], &["a\"b"], &["a", "a"]] {
            assert!(key_of(wrong, 1).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_request_has_one_key_and_is_what_it_says() {
        let made = |input: InputId, key: Option<HeaderKey>, text: &'static str| {
            Keyed::new(HandIn { text: None, input }, key, &["json"], &Bytes::from_static(text.as_bytes()))
                .map_err(|failure| failure.0.detail)
        };
        let one = InputId::from_parts(1, 1);
        let key = || Some(HeaderKey([2; 32]));
        assert!(made(one, key(), "x").is_err());
        assert_eq!(made(InputId::NONE, key(), "x").unwrap().key, key());
        assert_ne!(made(InputId::NONE, None, "x").unwrap().request.input, InputId::NONE);
        let print = |text| made(one, None, text).unwrap().fingerprint;
        assert_eq!(print("x"), print("x"));
        assert_ne!(print("x"), print("y"));
    }
}
