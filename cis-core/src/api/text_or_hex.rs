//! Bytes in JSON: a string if they are UTF-8, otherwise `{"hex": "…"}`.

use serde::{Deserialize, Deserializer, Serialize as _, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Text(String),
    Hex { hex: String },
}

/// Writes.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => to.serialize_str(text),
        Err(_) => std::collections::BTreeMap::from([("hex", hex::encode(bytes))]).serialize(to),
    }
}

/// Reads.
///
/// # Errors
/// Neither a string nor hexadecimal digits.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    match Given::deserialize(from)? {
        Given::Text(text) => Ok(text.into_bytes()),
        Given::Hex { hex } => hex::decode(hex).map_err(serde::de::Error::custom),
    }
}

/// Returns the schema.
#[must_use]
pub fn schema() -> OneOfBuilder {
    let digits = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^([0-9a-fA-F]{2})*$"));
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String).description(Some("Text, as UTF-8.")))
        .item(
            ObjectBuilder::new()
                .description(Some("Any bytes, in hexadecimal digits."))
                .property("hex", digits)
                .required("hex"),
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Sample(#[serde(with = "super")] Vec<u8>);

    #[test]
    fn bytes_come_back_as_they_were() {
        for (bytes, written) in [
            (&b"ls\n"[..], json!("ls\n")),
            (b"", json!("")),
            ("ä\u{1b}".as_bytes(), json!("ä\u{1b}")),
            (b"\xff\x00", json!({ "hex": "ff00" })),
        ] {
            let sample = Sample(bytes.to_vec());
            let value = serde_json::to_value(&sample).unwrap();
            assert_eq!(value, written);
            assert_eq!(serde_json::from_value::<Sample>(value).unwrap(), sample);
        }
        assert!(serde_json::from_value::<Sample>(json!({ "hex": "f" })).is_err());
        assert!(serde_json::from_value::<Sample>(json!([1])).is_err());
    }
}
