//! Reads a JSON object field by field and collects everything that is wrong with it, each with its place: a caller mends
//! all of it at once. Fields that nobody asks for are passed over, as Svix does.

use std::collections::BTreeMap;

use postern_domain::problem::{Fault, Problem};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::field::Wrong;

/// Deeper than this is refused: readers further on recurse.
const MAX_DEPTH: usize = 128;

/// A JSON object that is being read.
pub(crate) struct Form<'a> {
    at: Vec<String>,
    fields: BTreeMap<String, &'a RawValue>,
    faults: Vec<Fault>,
}

impl<'a> Form<'a> {
    /// The body of a request.
    ///
    /// # Errors
    /// When it is not UTF-8, not JSON, too deep, or not an object.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let broken =
            |msg: &str, kind: &str| Problem::validation(vec![fault(vec!["body".to_owned()], msg, kind)]);
        let text = std::str::from_utf8(body).map_err(|_| broken("must be UTF-8", "json"))?;
        if too_deep(body) {
            return Err(broken(&format!("is nested deeper than {MAX_DEPTH}"), "json"));
        }
        let fields = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => broken("must be a JSON object", "type_error"),
            _ => broken(&format!("must be JSON: {error}"), "json"),
        })?;
        Ok(Self {
            at: vec!["body".to_owned()],
            fields,
            faults: Vec::new(),
        })
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, Vec<Wrong>>,
    ) -> Option<T> {
        match self.value(name) {
            Some(Value::Null) | None => {
                self.say(&[name], "is missing", "missing");
                None
            }
            Some(value) => self.take(name, read(&value)),
        }
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, Vec<Wrong>>,
    ) -> Option<T> {
        self.change(name, read).flatten()
    }

    /// A field of a change that cannot be cleared: absent, or a value.
    pub(crate) fn given<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, Vec<Wrong>>,
    ) -> Option<T> {
        let value = self.value(name)?;
        self.take(name, read(&value))
    }

    /// A field of a change: absent (`None`), null (`Some(None)`) or a value.
    #[expect(clippy::option_option, reason = "absent and null are two things")]
    pub(crate) fn change<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, Vec<Wrong>>,
    ) -> Option<Option<T>> {
        match self.value(name)? {
            Value::Null => Some(None),
            value => self.take(name, read(&value)).map(Some),
        }
    }

    /// Whether the field is there with a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|raw| raw.get() != "null")
    }

    /// Whether the field is there, be it null.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The field's text, as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// Reads a field that is an object, with a form of its own; its faults are this one's.
    pub(crate) fn inner<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Form<'a>) -> Option<T>,
    ) -> Option<T> {
        let raw = self.raw(name)?;
        self.form_of(&[name], raw, read)
    }

    /// Reads a field that is a list of so many objects, each with a form of its own; their faults are this one's.
    pub(crate) fn each<T>(
        &mut self,
        name: &str,
        count: std::ops::RangeInclusive<usize>,
        mut read: impl FnMut(&mut Form<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(raw) = self.raw(name) else {
            self.say(&[name], "is missing", "missing");
            return None;
        };
        let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) else {
            self.say(&[name], "must be a list", "type_error");
            return None;
        };
        if !count.contains(&items.len()) {
            let msg = format!("must hold {} to {}", count.start(), count.end());
            self.say(&[name], &msg, "value_error");
            return None;
        }
        let items = items.into_iter().enumerate();
        let values: Vec<Option<T>> = items
            .map(|(at, raw)| self.form_of(&[name, &at.to_string()], raw, &mut read))
            .collect();
        values.into_iter().collect()
    }

    /// Says that something is wrong.
    pub(crate) fn say(&mut self, at: &[&str], msg: &str, kind: &str) {
        let place = self
            .at
            .iter()
            .cloned()
            .chain(at.iter().map(|part| (*part).to_owned()));
        self.faults.push(fault(place.collect(), msg, kind));
    }

    /// Faults that were found elsewhere, with their whole place.
    pub(crate) fn found(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// Everything holds, or all that does not. `value` is there if nothing is wrong with what it was made of.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Problem::validation(self.faults)),
        }
    }

    fn form_of<T>(
        &mut self,
        at: &[&str],
        raw: &'a RawValue,
        read: impl FnOnce(&mut Form<'a>) -> Option<T>,
    ) -> Option<T> {
        let Ok(fields) = serde_json::from_str(raw.get()) else {
            self.say(at, "must be an object", "type_error");
            return None;
        };
        let mut place = self.at.clone();
        place.extend(at.iter().map(|part| (*part).to_owned()));
        let mut inner = Form {
            at: place,
            fields,
            faults: Vec::new(),
        };
        let value = read(&mut inner);
        self.faults.append(&mut inner.faults);
        value
    }

    fn value(&mut self, name: &str) -> Option<Value> {
        let raw = self.fields.get(name)?;
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.say(&[name], &format!("cannot be read: {error}"), "json");
                None
            }
        }
    }

    fn take<T>(&mut self, name: &str, read: Result<T, Vec<Wrong>>) -> Option<T> {
        read.map_err(|wrongs| self.refuse(name, wrongs)).ok()
    }

    fn refuse(&mut self, name: &str, wrongs: Vec<Wrong>) {
        for wrong in wrongs {
            let at: Vec<&str> = std::iter::once(name)
                .chain(wrong.at.iter().map(String::as_str))
                .collect();
            self.say(&at, &wrong.msg, wrong.kind);
        }
    }
}

fn fault(loc: Vec<String>, msg: &str, kind: &str) -> Fault {
    Fault {
        loc,
        msg: msg.to_owned(),
        kind: kind.to_owned(),
    }
}

/// Counts brackets outside of strings, without recursion: a field that is kept as it came is never parsed further.
pub(crate) fn too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::super::field;
    use super::*;

    fn places(problem: &Problem) -> Vec<String> {
        problem.faults.iter().map(|fault| fault.loc.join(".")).collect()
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let mut form = Form::read(br#"{"uid": "a b", "metadata": {"k": 1}, "throttleRate": 0}"#).unwrap();
        let name = form.required("name", field::name);
        let _ = form.optional("uid", field::uid);
        let _ = form.optional("metadata", field::metadata);
        let _ = form.optional("throttleRate", field::rate);
        assert_eq!(
            places(&form.finish(name).unwrap_err()),
            ["body.name", "body.uid", "body.metadata.k", "body.throttleRate"]
        );
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_the_body_as_its_place() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
        for body in [
            b"".as_slice(),
            b"{",
            b"[]",
            b"7",
            b"\xff",
            b"{\"a\":1}x",
            deep.as_bytes(),
        ] {
            assert_eq!(places(&Form::read(body).err().unwrap()), ["body"]);
        }
    }

    #[test]
    fn each_of_a_list_is_read_and_its_faults_have_their_place() {
        let mut form = Form::read(br#"{"list": [{"name": "a"}, {"name": ""}, 7]}"#).unwrap();
        let read = form.each("list", 1..=3, |form| form.required("name", field::name));
        assert!(read.is_none());
        assert_eq!(
            places(&form.finish(read).unwrap_err()),
            ["body.list.1.name", "body.list.2"]
        );
        let mut form = Form::read(br#"{"list": [{"name": "a"}, {"name": "b"}]}"#).unwrap();
        let read = form.each("list", 1..=3, |form| form.required("name", field::name));
        assert_eq!(form.finish(read).unwrap(), ["a", "b"]);
    }

    #[test]
    fn brackets_inside_of_strings_are_not_depth() {
        let flat = format!("{{\"a\": \"\\\"{}\"}}", "[".repeat(500));
        assert!(Form::read(flat.as_bytes()).is_ok());
    }

    #[test]
    fn a_field_that_is_kept_as_it_came_keeps_its_spaces_and_its_order() {
        let form = Form::read(br#"{"payload": {"b" : 1.00, "a":[ ]} }"#).unwrap();
        assert_eq!(form.raw("payload").unwrap().get(), r#"{"b" : 1.00, "a":[ ]}"#);
    }
}
