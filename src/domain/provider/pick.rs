//! A few values out of a body of any size, in one pass and without building the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The scalars at these JSON pointers, in their order; `None` for what is not there, is `null`, or is no scalar. Where a
/// key stands twice the last one counts, as in every reader that people use. A body that is no JSON has none of them.
///
/// Pointers are our own: keys in them are written as they stand, without `~` escapes.
pub(super) fn pick<const N: usize>(body: &[u8], pointers: [&str; N]) -> [Option<Value>; N] {
    let found = pick_all(body, &pointers);
    let mut found = found.into_iter();
    std::array::from_fn(|_| found.next().flatten())
}

/// As [`pick`], for a list.
pub(super) fn pick_all(body: &[u8], pointers: &[&str]) -> Vec<Option<Value>> {
    let mut found = vec![None; pointers.len()];
    if pointers.is_empty() {
        return found;
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let seed = Seed {
        wanted: pointers.iter().copied().enumerate().collect(),
        found: &mut found,
    };
    let read = seed.deserialize(&mut reader).and_then(|()| reader.end());
    if read.is_err() {
        return vec![None; pointers.len()];
    }
    found
}

/// A text, or a whole number as text: what names something. A number with a fraction, or beyond 64 bits, is none: two of
/// them could look the same.
pub(super) fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    }
}

/// What is still to be found from here on: the place of the answer, and the rest of the pointer.
struct Seed<'a> {
    wanted: Vec<(usize, &'a str)>,
    found: &'a mut Vec<Option<Value>>,
}

impl Seed<'_> {
    /// Those that end here get this value.
    fn put(self, value: Option<&Value>) {
        for (index, rest) in self.wanted {
            if let Some(slot) = self.found.get_mut(index) {
                *slot = value.filter(|_| rest.is_empty()).cloned();
            }
        }
    }
}

/// Those that go on below `key`.
fn below<'a>(wanted: &[(usize, &'a str)], key: &str) -> Vec<(usize, &'a str)> {
    let steps = wanted.iter().filter_map(|(index, rest)| {
        let rest = rest.strip_prefix('/')?;
        let (head, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (head == key).then_some((*index, tail))
    });
    steps.collect()
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let wanted = below(&self.wanted, &key);
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let mut found = vec![None; self.found.len()];
            map.next_value_seed(Seed {
                wanted: wanted.clone(),
                found: &mut found,
            })?;
            take(&wanted, &mut found, self.found);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for place in 0_usize.. {
            let wanted = below(&self.wanted, &place.to_string());
            if wanted.is_empty() {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                continue;
            }
            let mut found = vec![None; self.found.len()];
            let element = seq.next_element_seed(Seed {
                wanted: wanted.clone(),
                found: &mut found,
            })?;
            if element.is_none() {
                break;
            }
            take(&wanted, &mut found, self.found);
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Some(&text.into()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.put(Some(&number.into()));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put(Some(&number.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put(Some(&number.into()));
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.put(Some(&flag.into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(None);
        Ok(())
    }
}

/// Moves what was found below a key to its place: a later key of the same name replaces all that the earlier one had.
fn take(wanted: &[(usize, &str)], from: &mut [Option<Value>], to: &mut [Option<Value>]) {
    for (index, _) in wanted {
        if let (Some(from), Some(to)) = (from.get_mut(*index), to.get_mut(*index)) {
            *to = from.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BODY: &[u8] = br#"{"a":{"b":"x","c":[1,{"d":true}]},"e":7,"f":null,"g":1.5,"a2":{"a":1}}"#;

    #[test]
    fn values_are_found_where_the_pointers_point() {
        let found = pick(BODY, ["/a/b", "/a/c/1/d", "/e", "/g", "/a/c/0"]);
        assert_eq!(
            found,
            [
                Some(json!("x")),
                Some(json!(true)),
                Some(json!(7)),
                Some(json!(1.5)),
                Some(json!(1))
            ]
        );
    }

    #[test]
    fn what_is_not_there_or_no_scalar_is_nothing() {
        let found = pick(BODY, ["/a", "/a/x", "/f", "/e/x", "/a/c/9"]);
        assert_eq!(found, [const { None }; 5]);
    }

    #[test]
    fn a_body_that_breaks_after_the_value_has_none() {
        assert_eq!(pick(br#"{"a":1}x"#, ["/a"]), [None]);
        assert_eq!(pick(b"", ["/a"]), [None]);
        assert_eq!(pick(b"{\"a\":\"\xff\"}", ["/a"]), [None]);
    }

    #[test]
    fn of_two_keys_of_one_name_the_last_counts_whole() {
        assert_eq!(pick(br#"{"a":1,"a":2}"#, ["/a"]), [Some(json!(2))]);
        assert_eq!(pick(br#"{"a":{"b":1},"a":3}"#, ["/a/b"]), [None]);
    }

    #[test]
    fn a_deep_body_is_refused_and_not_followed() {
        assert_eq!(pick("[".repeat(100_000).as_bytes(), ["/a"]), [None]);
    }

    proptest! {
        #[test]
        fn what_is_picked_is_what_a_pointer_finds(body in "\\{(\"[ab]\":(1|\"x\"|\\{\"[ab]\":[12]\\}|null)(,\"[cd]\":[12]){0,1})?\\}") {
            let whole: Value = serde_json::from_str(&body).unwrap_or_default();
            for pointer in ["/a", "/a/a", "/a/b", "/c"] {
                let expected = whole.pointer(pointer).filter(|value| !value.is_object() && !value.is_null());
                let [found] = pick(body.as_bytes(), [pointer]);
                prop_assert_eq!(found.as_ref(), expected);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            let _ = pick(&body, ["/a", "/a/b", "/0/1"]);
        }
    }
}
