//! JSON that Postern wrote itself, read into its types.
//!
//! [`read`] is `serde_json::from_str`, but for one thing: a struct is read by the names of its fields alone. What serde
//! derives would read a list as a struct too, field by field in their order; nobody writes that, and for each type of the
//! wire it was as much code as the reading by name. As it is never asked for here, the compiler leaves it out: a tenth of
//! the Worker. For the same reason all of it is read as text, never as bytes: each kind of input is a copy of all readers.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Reads a value.
///
/// # Errors
/// When the text is not JSON, or not of a `T`.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(ByName(&mut json))?;
    json.end()?;
    Ok(value)
}

/// What is written of a value, as a tree.
///
/// `serde_json::to_value` by way of the text: what writes a type as text is in the Worker anyway, and what writes it as a
/// tree would be there once more.
///
/// # Errors
/// When JSON cannot hold the value.
pub fn tree<T: Serialize>(value: &T) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

/// What reads, asks, or is read, with everything inside of it wrapped in the same way.
struct ByName<T>(T);

macro_rules! as_it_is {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ByName<D> {
    type Error = D::Error;

    // There is no struct inside of these. (What asks for anything, such as a `Value`, reads no struct either.)
    as_it_is! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(ByName(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, ByName(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(ByName(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, ByName(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, ByName(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(ByName(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, ByName(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for ByName<V> {
    type Value = V::Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(to)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(ByName(from))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(ByName(from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(ByName(from))
    }

    fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(ByName(from))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(ByName(from))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ByName<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(ByName(from))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(ByName(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(ByName(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for ByName<A> {
    type Error = A::Error;
    type Variant = ByName<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(seed)?;
        Ok((value, ByName(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(ByName(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, ByName(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.newtype_variant_seed(Fields(visitor))
    }
}

/// The fields of a variant, which stand where those of a struct would.
struct Fields<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        from.deserialize_map(self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Plain {
        number: u64,
        #[serde(default)]
        text: Option<String>,
        list: Vec<(u16, String)>,
        any: Value,
        inner: Option<Box<Plain>>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Newtype(Plain);

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Unit,
        One(Plain),
        Two(u8, Newtype),
        Fields { plain: Plain, more: i32 },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(flatten)]
        plain: Plain,
        newtype: Newtype,
        choices: Vec<Choice>,
        map: BTreeMap<String, Option<bool>>,
        result: Result<(), f64>,
    }

    fn plain() -> impl Strategy<Value = Plain> {
        let leaf = (
            any::<u64>(),
            any::<Option<String>>(),
            any::<Vec<(u16, String)>>(),
            any::<bool>(),
        );
        let leaf = leaf.prop_map(|(number, text, list, any)| Plain {
            number,
            text,
            list,
            any: serde_json::json!([any, { "a": null }]),
            inner: None,
        });
        (leaf.clone(), proptest::option::of(leaf)).prop_map(|(outer, inner)| Plain {
            inner: inner.map(Box::new),
            ..outer
        })
    }

    fn all() -> impl Strategy<Value = All> {
        let result = prop_oneof![
            Just(Ok(())),
            (-1_000_i32..1_000).prop_map(|n| Err(f64::from(n) / 8.0))
        ];
        (
            plain(),
            plain(),
            any::<BTreeMap<String, Option<bool>>>(),
            any::<i32>(),
            result,
        )
            .prop_map(|(plain, other, map, more, result)| All {
                plain: plain.clone(),
                newtype: Newtype(other.clone()),
                choices: vec![
                    Choice::Unit,
                    Choice::One(plain.clone()),
                    Choice::Two(7, Newtype(other)),
                    Choice::Fields { plain, more },
                ],
                map,
                result,
            })
    }

    proptest! {
        #[test]
        fn what_serde_wrote_is_read_as_serde_would_read_it(all in all()) {
            let text = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(read::<All>(&text).unwrap(), serde_json::from_str::<All>(&text).unwrap());
            prop_assert_eq!(read::<All>(&text).unwrap(), all);
        }

        #[test]
        fn a_tree_is_what_serde_would_make_of_it(all in all()) {
            prop_assert_eq!(tree(&all).unwrap(), serde_json::to_value(&all).unwrap());
        }

        #[test]
        fn what_is_cut_off_is_refused(all in all(), at: prop::sample::Index) {
            let text = serde_json::to_string(&all).unwrap();
            let cut = text.get(..at.index(text.len())).unwrap_or_default();
            prop_assert!(read::<All>(cut).is_err());
        }
    }

    #[test]
    fn a_list_is_not_a_struct() {
        #[derive(Debug, Deserialize)]
        struct Pair {
            #[expect(dead_code, reason = "it is never read")]
            a: u8,
            #[expect(dead_code, reason = "it is never read")]
            b: u8,
        }
        assert!(serde_json::from_str::<Pair>("[1, 2]").is_ok());
        assert!(read::<Pair>("[1, 2]").is_err());
        assert!(read::<Vec<Pair>>("[[1, 2]]").is_err());
        assert!(read::<Pair>(r#"{"b": 2, "a": 1, "c": [{}]}"#).is_ok());
    }

    #[test]
    fn text_that_is_kept_as_it_came_is_kept_and_what_follows_is_refused() {
        let read = read::<Result<Box<RawValue>, String>>;
        assert_eq!(
            read(r#"{"Ok": {"b" : 1.00}}"#).unwrap().unwrap().get(),
            r#"{"b" : 1.00}"#
        );
        assert!(read(r#"{"Ok": 1} 2"#).is_err());
    }
}
