//! Which messages an endpoint wants by what is in them: a small language in JSON.
//!
//! An object means that each of its keys holds. At the top stand `headers` and `body`; beneath them the name of a field
//! or a JSON pointer (a key that begins with `/`), as deep as the body goes. A plain value means equality; a key that
//! begins with `$` is an operator on the value where it stands: `$eq $ne $gt $gte $lt $lte $in $nin $exists $prefix
//! $suffix`, and `$and $or $not`, which stand anywhere. No field's name begins with `$`, so that nothing means two things;
//! a member that is called so is reached by a pointer.
//!
//! Types are never converted: text is no number, `1` and `1.0` are one number, and whole numbers of up to 64 bits compare
//! exactly, with fractions too. A field that is not there satisfies `$exists: false`, `$ne`, `$nin` and whatever `$not`
//! makes of the rest. Of a body that is no JSON object nothing is known but that its fields do not exist: what is unknown
//! stays so through `$not`, and a filter that comes out as unknown does not match.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

/// Objects inside each other at the most.
pub const MAX_DEPTH: usize = 8;

/// Conditions at the most.
pub const MAX_CONDITIONS: usize = 64;

/// Bytes at the most, written without spaces.
pub const MAX_BYTES: usize = 4096;

/// A filter that was read. It is written as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    source: Value,
    node: Node,
    reads_body: bool,
}

/// The first place where a filter does not hold, and what would be right there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", at.join("."))]
pub struct InvalidFilter {
    /// The way to it, from the filter on.
    pub at: Vec<String>,
    /// A sentence.
    pub message: String,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// By their lower-case names.
    pub headers: &'a BTreeMap<String, String>,
    /// The body, if it is a JSON object; none of anything else.
    pub body: Option<&'a Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Is(Place, Test),
    /// Written by a release that knows more: it matches nothing, rather than what its owner did not want sent.
    Unreadable,
}

/// Whose value is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// By its lower-case name.
    Header(String),
    /// By the way to it; empty: the whole body.
    Body(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists(bool),
    Equal(Value),
    Unequal(Value),
    Ordered(Relation, Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Prefix(String),
    Suffix(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(source: &Value) -> Result<Self, InvalidFilter> {
        let mut reader = Reader::default();
        if source.to_string().len() > MAX_BYTES {
            return Err(reader.wrong(format!("is larger than {MAX_BYTES} bytes")));
        }
        let node = reader.root(source, 1)?;
        Ok(Self {
            source: source.clone(),
            reads_body: node.reads_body(),
            node,
        })
    }

    /// Whether the body must be read as JSON to decide.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Whether a message with this content is wanted.
    #[must_use]
    pub fn matches(&self, content: Content<'_>) -> bool {
        self.node.holds(content) == Some(true)
    }

    /// As it came.
    #[must_use]
    pub const fn as_json(&self) -> &Value {
        &self.source
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(to)
    }
}

/// Never fails on what is JSON: one filter that this release cannot read must not keep a whole tenant from being read.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let source = Value::deserialize(from)?;
        Ok(Self::parse(&source).unwrap_or(Self {
            source,
            node: Node::Unreadable,
            reads_body: false,
        }))
    }
}

impl Node {
    /// `None`: it cannot be known.
    fn holds(&self, content: Content<'_>) -> Option<bool> {
        match self {
            Self::All(nodes) => decided(nodes, content, false),
            Self::Any(nodes) => decided(nodes, content, true),
            Self::Not(node) => node.holds(content).map(|holds| !holds),
            Self::Is(Place::Header(name), test) => {
                let value = content.headers.get(name).map(|text| Value::from(text.as_str()));
                Some(test.holds(value.as_ref()))
            }
            Self::Is(Place::Body(way), test) => match (content.body, test) {
                (Some(body), test) => Some(test.holds(find(body, way))),
                (None, Test::Exists(wanted)) => Some(!wanted),
                (None, _) => None,
            },
            Self::Unreadable => None,
        }
    }

    fn reads_body(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(Self::reads_body),
            Self::Not(node) => node.reads_body(),
            Self::Is(place, _) => matches!(place, Place::Body(_)),
            Self::Unreadable => false,
        }
    }
}

/// One that is `decisive` decides for all; else one that is unknown leaves it open.
fn decided(nodes: &[Node], content: Content<'_>, decisive: bool) -> Option<bool> {
    let mut open = false;
    for node in nodes {
        match node.holds(content) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!decisive)
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Equal(other) => value.is_some_and(|value| equal(value, other)),
            Self::Unequal(other) => !value.is_some_and(|value| equal(value, other)),
            Self::In(list) => value.is_some_and(|value| list.iter().any(|other| equal(value, other))),
            Self::NotIn(list) => !value.is_some_and(|value| list.iter().any(|other| equal(value, other))),
            Self::Ordered(relation, other) => value
                .and_then(|value| order(value, other))
                .is_some_and(|order| relation.holds(order)),
            Self::Prefix(part) => text(value).is_some_and(|text| text.starts_with(part.as_str())),
            Self::Suffix(part) => text(value).is_some_and(|text| text.ends_with(part.as_str())),
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// The value at the end of a way, through objects and lists.
fn find<'a>(body: &'a Value, way: &[String]) -> Option<&'a Value> {
    way.iter().try_fold(body, |value, part| match value {
        Value::Object(fields) => fields.get(part),
        Value::Array(items) => {
            let plain = part == "0" || (!part.starts_with('0') && part.bytes().all(|c| c.is_ascii_digit()));
            items.get(part.parse::<usize>().ok().filter(|_| plain)?)
        }
        _ => None,
    })
}

/// Equality of JSON: numbers by what they are, not by how they are written.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The order of two numbers or two texts; of anything else there is none.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(compare(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Never by way of a double where one of the two is a whole number: 2^53 and 2^53 + 1 are two numbers.
fn compare(a: &Number, b: &Number) -> Ordering {
    let float = |number: &Number| number.as_f64().unwrap_or_default();
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => whole_to_float(a, float(b)),
        (None, Some(b)) => whole_to_float(b, float(a)).reverse(),
        (None, None) => float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal),
    }
}

fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

fn whole_to_float(a: i128, b: f64) -> Ordering {
    /// Beyond every whole number of 64 bits.
    const BEYOND: f64 = 1e20;
    if b >= BEYOND {
        return Ordering::Less;
    }
    if b <= -BEYOND {
        return Ordering::Greater;
    }
    let floor = b.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 10^20")]
    let whole = floor as i128;
    let rest = || 0.0.partial_cmp(&(b - floor)).unwrap_or(Ordering::Equal);
    a.cmp(&whole).then_with(rest)
}

/// Reads a filter, and knows where it is.
#[derive(Default)]
struct Reader {
    at: Vec<String>,
    conditions: usize,
}

type Read<T> = Result<T, InvalidFilter>;

impl Reader {
    /// `headers`, `body`, `$and`, `$or`, `$not`.
    fn root(&mut self, value: &Value, depth: usize) -> Read<Node> {
        self.object(value, depth, |reader, key, value| match key {
            "headers" => reader.headers(value, depth + 1),
            "body" => reader.condition(&Place::Body(Vec::new()), value, depth + 1),
            _ => {
                let inner = |reader: &mut Self, value: &Value| reader.root(value, depth + 1);
                let combined = reader.combined(key, value, inner)?;
                combined.ok_or_else(|| reader.wrong("must be headers, body, $and, $or or $not"))
            }
        })
    }

    /// Names of headers, and combinations of such objects.
    fn headers(&mut self, value: &Value, depth: usize) -> Read<Node> {
        self.object(value, depth, |reader, key, value| {
            let inner = |reader: &mut Self, value: &Value| reader.headers(value, depth + 1);
            if let Some(combined) = reader.combined(key, value, inner)? {
                return Ok(combined);
            }
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#%&'*+-.^_`|~".contains(&byte);
            if key.is_empty() || !key.bytes().all(token) {
                return Err(reader.wrong("must be the name of a header, $and, $or or $not"));
            }
            reader.condition(&Place::Header(key.to_ascii_lowercase()), value, depth + 1)
        })
    }

    /// What must hold of one value: a plain value, operators, and conditions of what is inside of it.
    fn condition(&mut self, place: &Place, value: &Value, depth: usize) -> Read<Node> {
        match value {
            Value::Object(_) => {}
            Value::Array(_) => return Err(self.wrong("must not be a list: say $in or $eq")),
            plain => return self.test(place, "$eq", plain),
        }
        self.object(value, depth, |reader, key, value| {
            let inner = |reader: &mut Self, value: &Value| reader.condition(place, value, depth + 1);
            if let Some(combined) = reader.combined(key, value, inner)? {
                return Ok(combined);
            }
            if key.starts_with('$') {
                return reader.test(place, key, value);
            }
            let Place::Body(way) = place else {
                return Err(reader.wrong("must be an operator: a header is a text, without fields"));
            };
            let parts = parts(key)
                .ok_or_else(|| reader.wrong("must be a JSON pointer: ~ stands only in ~0 and ~1"))?;
            let way = way.iter().cloned().chain(parts).collect();
            reader.condition(&Place::Body(way), value, depth + 1)
        })
    }

    fn test(&mut self, place: &Place, operator: &str, value: &Value) -> Read<Node> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(self.wrong(format!(
                "is one condition too many: there are {MAX_CONDITIONS} at the most"
            )));
        }
        let of_header = matches!(place, Place::Header(_));
        let operand = |reader: &Self, value: &Value| {
            if of_header && !value.is_string() {
                Err(reader.wrong("must be a string: a header is a text"))
            } else {
                Ok(value.clone())
            }
        };
        let ordered = |reader: &Self, relation| match operand(reader, value)? {
            value @ (Value::Number(_) | Value::String(_)) => Ok(Test::Ordered(relation, value)),
            _ => Err(reader.wrong("must be a number or a string")),
        };
        let part = |reader: &Self| {
            let part = value.as_str().map(str::to_owned);
            part.ok_or_else(|| reader.wrong("must be a string"))
        };
        let test = match operator {
            "$eq" => Test::Equal(operand(self, value)?),
            "$ne" => Test::Unequal(operand(self, value)?),
            "$gt" => ordered(self, Relation::Above)?,
            "$gte" => ordered(self, Relation::AtLeast)?,
            "$lt" => ordered(self, Relation::Below)?,
            "$lte" => ordered(self, Relation::AtMost)?,
            "$in" => Test::In(self.each(value, operand)?),
            "$nin" => Test::NotIn(self.each(value, operand)?),
            "$prefix" => Test::Prefix(part(self)?),
            "$suffix" => Test::Suffix(part(self)?),
            "$exists" => {
                let wanted = value.as_bool();
                Test::Exists(wanted.ok_or_else(|| self.wrong("must be true or false"))?)
            }
            _ => {
                let known = "$eq $ne $gt $gte $lt $lte $in $nin $exists $prefix $suffix $and $or $not";
                return Err(self.wrong(format!("is no operator; there are {known}")));
            }
        };
        Ok(Node::Is(place.clone(), test))
    }

    /// `$and`, `$or`, `$not`; `None`: the key is none of them.
    fn combined(
        &mut self,
        key: &str,
        value: &Value,
        inner: impl Fn(&mut Self, &Value) -> Read<Node>,
    ) -> Read<Option<Node>> {
        Ok(Some(match key {
            "$and" => Node::All(self.each_mut(value, inner)?),
            "$or" => Node::Any(self.each_mut(value, inner)?),
            "$not" => Node::Not(Box::new(inner(self, value)?)),
            _ => return Ok(None),
        }))
    }

    /// All keys of an object, of which there must be one at least.
    fn object(
        &mut self,
        value: &Value,
        depth: usize,
        mut read: impl FnMut(&mut Self, &str, &Value) -> Read<Node>,
    ) -> Read<Node> {
        let fields = value.as_object().ok_or_else(|| self.wrong("must be an object"))?;
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("is nested deeper than {MAX_DEPTH} objects")));
        }
        if fields.is_empty() {
            return Err(self.wrong("must hold at least one condition"));
        }
        let mut nodes = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            nodes.push(self.inside(key, |reader| read(reader, key, value))?);
        }
        Ok(Node::All(nodes))
    }

    fn each<T>(&mut self, value: &Value, read: impl Fn(&Self, &Value) -> Read<T>) -> Read<Vec<T>> {
        self.each_mut(value, |reader, value| read(reader, value))
    }

    fn each_mut<T>(&mut self, value: &Value, read: impl Fn(&mut Self, &Value) -> Read<T>) -> Read<Vec<T>> {
        let items = value.as_array().filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| self.wrong("must be a list of at least one"))?;
        let items = items.iter().enumerate();
        items
            .map(|(at, item)| self.inside(&at.to_string(), |reader| read(reader, item)))
            .collect()
    }

    fn inside<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.at.push(key.to_owned());
        let done = read(self)?;
        self.at.pop();
        Ok(done)
    }

    fn wrong(&self, message: impl Into<String>) -> InvalidFilter {
        InvalidFilter {
            at: self.at.clone(),
            message: message.into(),
        }
    }
}

/// The parts of a key: of a pointer all, else the key itself. `None`: an escape that is none.
fn parts(key: &str) -> Option<Vec<String>> {
    let Some(pointer) = key.strip_prefix('/') else {
        return Some(vec![key.to_owned()]);
    };
    pointer.split('/').map(unescaped).collect()
}

fn unescaped(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut rest = part.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
