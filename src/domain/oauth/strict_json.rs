//! JSON that somebody else wrote, read without a choice: what two readers could read in two ways is refused.
//!
//! Guaranteed: no object has a name twice (a token endpoint's answer, a token's claims: the first or the last reader would
//! win), and nothing is nested deeper than [`MAX_DEPTH`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and lists inside of each other at the most; the outermost is the first.
pub const MAX_DEPTH: usize = 16;

/// Bytes that are no such JSON. Says nothing of what stood in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no JSON, names a member twice, or is nested deeper than 16")]
pub struct NotJson;

/// Reads a value.
///
/// # Errors
/// When the bytes are no UTF-8, no JSON, name a member of an object twice, or are nested too deeply.
pub fn read(bytes: &[u8]) -> Result<Value, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotJson)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Strict { left: MAX_DEPTH }
        .deserialize(&mut json)
        .map_err(|_| NotJson)?;
    json.end().map_err(|_| NotJson)?;
    Ok(value)
}

/// What reads one value, with so many levels below it.
#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl Strict {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(value) = from.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a name twice"));
            }
            let value = from.next_value_seed(inside)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_with_each_name_once_is_read_as_serde_reads_it(value in any_json()) {
            let text = serde_json::to_string(&value).unwrap();
            let theirs: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read(text.as_bytes()).unwrap(), theirs);
        }

        #[test]
        fn no_bytes_make_it_panic_and_what_it_reads_serde_reads_alike(bytes: Vec<u8>) {
            if let Ok(value) = read(&bytes) {
                prop_assert_eq!(value, serde_json::from_slice::<Value>(&bytes).unwrap());
            }
        }
    }

    #[test]
    fn a_name_twice_is_refused_wherever_it_stands_and_however_it_is_escaped() {
        for text in [
            r#"{"access_token":"a","access_token":"b"}"#,
            r#"{"access_token":"a","access_token":"a"}"#,
            r#"{"access_token":"a","\u0061ccess_token":"b"}"#,
            r#"{"unknown":{"x":1,"x":1}}"#,
            r#"[{"x":[{"y":1,"y":2}]}]"#,
        ] {
            assert_eq!(read(text.as_bytes()), Err(NotJson), "{text}");
        }
        assert_eq!(
            read(br#"{"a":{"x":1},"b":{"x":1}}"#),
            Ok(json!({"a":{"x":1},"b":{"x":1}}))
        );
    }

    #[test]
    fn sixteen_levels_are_read_and_seventeen_are_not() {
        assert!(read(nested(16).as_bytes()).is_ok());
        assert_eq!(read(nested(17).as_bytes()), Err(NotJson));
        assert_eq!(read(nested(100_000).as_bytes()), Err(NotJson));
    }

    #[test]
    fn what_follows_a_value_and_what_is_no_utf_8_is_refused() {
        for bytes in [
            &b"{}{}"[..],
            b"{} x",
            b"",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            b"{\"a\":1e999}",
        ] {
            assert_eq!(read(bytes), Err(NotJson), "{bytes:?}");
        }
    }
}
