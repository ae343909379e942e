//! Event types as an `OpenAPI` document describes them: `webhooks` of 3.1, `x-webhooks` of documents that are older.

use std::collections::BTreeSet;

use postern_domain::event_type;
use postern_domain::problem::Fault;
use serde_json::{Map, Value, json};

use crate::api::field;
use crate::store::event_type::EventType;

/// Bytes of all schemas of one document at the most, each with what it refers to.
const MOST_BYTES: usize = 4 << 20;

/// References that lead to references.
const MOST_HOPS: usize = 32;

/// What our own export gives a schema that refers to itself, so that it can stand in a document.
const URN: &str = "urn:event-type:";

const METHODS: [&str; 8] = [
    "post", "put", "patch", "get", "delete", "options", "head", "trace",
];

/// An event type out of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) deprecated: bool,
    /// The body's schema, with all that it refers to under `$defs`.
    pub(super) schema: Option<Value>,
    pub(super) group_name: Option<String>,
    pub(super) feature_flags: Option<Vec<String>>,
}

/// Reads all of them, or everything that is wrong, with its place below `at`.
pub(super) fn read(document: &Value, at: &str) -> Result<Vec<Described>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut described: Vec<Described> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut found = false;
    for section in ["webhooks", "x-webhooks"] {
        let Some(webhooks) = document.get(section) else {
            continue;
        };
        let Some(webhooks) = webhooks.as_object() else {
            faults.push(fault(&[at, section], "must be an object"));
            continue;
        };
        found = true;
        for (name, item) in webhooks {
            match one(document, name, item) {
                Ok(one) if !seen.insert(one.name.clone()) => {
                    faults.push(fault(&[at, section, name], "stands in the document twice"));
                }
                Ok(one) => {
                    bytes += one.schema.as_ref().map_or(0, |schema| schema.to_string().len());
                    if bytes > MOST_BYTES {
                        let msg = "the schemas, each with what it refers to, are larger than 4 MiB together";
                        return Err(vec![fault(&[at, section], msg)]);
                    }
                    described.push(one);
                }
                Err(msg) => faults.push(fault(&[at, section, name], &msg)),
            }
        }
    }
    if !found && faults.is_empty() {
        faults.push(fault(&[at], "must have webhooks or x-webhooks"));
    }
    if faults.is_empty() {
        Ok(described)
    } else {
        Err(faults)
    }
}

fn one(document: &Value, name: &str, item: &Value) -> Result<Described, String> {
    event_type::check_name(name)?;
    let item = resolved(document, item)?;
    let operation = METHODS
        .iter()
        .find_map(|method| item.get(method))
        .ok_or("has no operation")?;
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let description = [operation, item]
        .into_iter()
        .find_map(|of| text(of, "description").or_else(|| text(of, "summary")))
        .unwrap_or_default();
    if description.chars().count() > 4096 {
        return Err("has a description of more than 4096 characters".to_owned());
    }
    let group_name = text(operation, "x-group-name").or_else(|| text(item, "x-group-name"));
    if let Some(group) = &group_name {
        field::check_word(group).map_err(|msg| format!("x-group-name {msg}"))?;
    }
    let flags = operation
        .get("x-feature-flags")
        .or_else(|| item.get("x-feature-flags"));
    let feature_flags = flags
        .map(field::feature_flags)
        .transpose()
        .map_err(|_| "x-feature-flags must be a list of 1 to 100 words".to_owned())?;
    Ok(Described {
        name: name.to_owned(),
        description,
        deprecated: operation
            .get("deprecated")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        schema: schema(document, operation)?,
        group_name,
        feature_flags,
    })
}

/// The schema of the operation's body, if it has one.
fn schema(document: &Value, operation: &Value) -> Result<Option<Value>, String> {
    let Some(body) = operation.get("requestBody") else {
        return Ok(None);
    };
    let body = resolved(document, body)?;
    let Some(content) = body.get("content").and_then(Value::as_object) else {
        return Ok(None);
    };
    let is_json = |media: &str| media == "application/json" || media.ends_with("+json");
    let media = content
        .iter()
        .find(|(media, _)| is_json(media))
        .or_else(|| content.iter().next());
    let Some(schema) = media.and_then(|(_, media)| media.get("schema")) else {
        return Ok(None);
    };
    bundled(document, schema).map(Some)
}

/// The schema with all that it refers to under `$defs`: it stands alone then, recursive or not.
fn bundled(document: &Value, schema: &Value) -> Result<Value, String> {
    if schema
        .get("$id")
        .and_then(Value::as_str)
        .is_some_and(|id| id.starts_with(URN))
    {
        // Our own export: it stands alone already, and its references are meant from its own root.
        let mut schema = schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$id");
        }
        return Ok(schema);
    }
    let mut schema = resolved(document, schema)?.clone();
    if schema.is_boolean() {
        schema = json!({});
    }
    let mut wanted = BTreeSet::new();
    rewrite(&mut schema, &mut wanted, 0)?;
    let mut definitions = Map::new();
    let mut bytes = 0;
    while let Some(name) = wanted
        .iter()
        .find(|name| !definitions.contains_key(*name))
        .cloned()
    {
        let mut definition = document
            .pointer("/components/schemas")
            .and_then(|schemas| schemas.get(&name))
            .ok_or_else(|| format!("refers to #/components/schemas/{name}, which is not there"))?
            .clone();
        rewrite(&mut definition, &mut wanted, 0)?;
        bytes += definition.to_string().len();
        if bytes > MOST_BYTES {
            return Err("refers to more than 4 MiB".to_owned());
        }
        definitions.insert(name, definition);
    }
    let object = schema.as_object_mut().ok_or("has a schema that is no object")?;
    if !definitions.is_empty() {
        match object.entry("$defs").or_insert_with(|| json!({})) {
            Value::Object(own) => own.extend(definitions),
            _ => return Err("has a $defs that is no object".to_owned()),
        }
    }
    Ok(schema)
}

/// Turns references into `components` into references into `$defs`, and notes which.
fn rewrite(value: &mut Value, wanted: &mut BTreeSet<String>, depth: usize) -> Result<(), String> {
    // A document is no deeper than what its reader takes: this only says that the recursion has an end.
    if depth > 256 {
        return Err("is nested too deep".to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), &*field) {
                    ("$ref", Value::String(target)) => {
                        let rest = target.strip_prefix("#/components/schemas/").ok_or_else(|| {
                            format!("refers to {target}; only #/components/schemas/… of the same document is followed")
                        })?;
                        wanted.insert(unescaped(rest.split('/').next().unwrap_or_default()));
                        *field = Value::String(format!("#/$defs/{rest}"));
                    }
                    _ => rewrite(field, wanted, depth + 1)?,
                }
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| rewrite(item, wanted, depth + 1)),
        _ => Ok(()),
    }
}

/// What a reference leads to, if it is one.
fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> Result<&'a Value, String> {
    for _ in 0..MOST_HOPS {
        let Some(target) = value.get("$ref").and_then(Value::as_str) else {
            return Ok(value);
        };
        value = target
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer))
            .ok_or_else(|| format!("refers to {target}, which is not in the document"))?;
    }
    Err("refers to itself".to_owned())
}

/// A part of a JSON pointer.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The document of these event types; of each the newest schema.
pub(super) fn write(rows: &[EventType]) -> Value {
    let webhooks: Map<String, Value> = rows
        .iter()
        .map(|row| (row.name.clone(), json!({ "post": operation(row) })))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Event types", "version": "1" },
        "webhooks": webhooks,
    })
}

fn operation(row: &EventType) -> Value {
    let mut operation = json!({
        "description": row.description,
        "responses": { "2XX": { "description": "Received" } },
    });
    if let Some(schema) = newest_schema(row) {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    if row.deprecated != 0 {
        operation["deprecated"] = json!(true);
    }
    if let Some(group) = &row.group_name {
        operation["x-group-name"] = json!(group);
    }
    let flags = row.flags();
    if !flags.is_empty() {
        operation["x-feature-flags"] = json!(flags);
    }
    operation
}

/// Versions count as numbers where they are numbers.
fn newest_schema(row: &EventType) -> Option<Value> {
    let Value::Object(versions) = serde_json::from_str(row.schemas.as_deref()?).ok()? else {
        return None;
    };
    let newest = versions
        .into_iter()
        .max_by_key(|(version, _)| (version.parse::<u64>().ok(), version.clone()));
    let (_, mut schema) = newest?;
    if let Some(fields) = schema.as_object_mut()
        && fields.contains_key("$defs")
        && !fields.contains_key("$id")
    {
        // Its references are meant from its own root, not from the document's.
        fields.insert("$id".to_owned(), json!(format!("{URN}{}", row.name)));
    }
    Some(schema)
}

fn fault(loc: &[&str], msg: &str) -> Fault {
    let place = std::iter::once("body").chain(loc.iter().copied());
    Fault {
        loc: place.map(str::to_owned).collect(),
        msg: msg.to_owned(),
        kind: "value_error".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use postern_domain::time::Millis;

    use super::*;

    fn row_of(described: Described) -> EventType {
        let mut row = EventType {
            name: described.name,
            description: described.description,
            archived: 0,
            deprecated: described.deprecated.into(),
            schemas: described.schema.map(|schema| json!({ "1": schema }).to_string()),
            feature_flag: None,
            feature_flags: None,
            group_name: described.group_name,
            retry_schedule: None,
            created_at: Millis(1),
            updated_at: Millis(1),
        };
        row.set_flags(&described.feature_flags.unwrap_or_default())
            .unwrap();
        row
    }

    fn pets() -> Value {
        json!({
            "openapi": "3.1.0",
            "webhooks": {
                "pet.new": { "post": {
                    "summary": "shorter", "description": "A pet came",
                    "requestBody": { "$ref": "#/components/requestBodies/Pet" },
                    "x-group-name": "pets", "x-feature-flags": ["beta", "eu"],
                } },
                "pet.gone": { "$ref": "#/components/pathItems/Gone" },
            },
            "x-webhooks": { "pet.old": { "put": { "summary": "An old one", "deprecated": true } } },
            "components": {
                "requestBodies": { "Pet": { "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Pet" },
                } } } },
                "pathItems": { "Gone": { "post": {} } },
                "schemas": {
                    "Pet": { "type": "object", "properties": {
                        "friends": { "type": "array", "items": { "$ref": "#/components/schemas/Pet" } },
                        "owner": { "$ref": "#/components/schemas/Owner/properties/name" },
                    } },
                    "Owner": { "properties": { "name": { "type": "string" } } },
                    "Unused": { "type": "string" },
                },
            },
        })
    }

    #[test]
    fn webhooks_of_both_kinds_become_event_types() {
        let all = read(&pets(), "spec").unwrap();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["pet.gone", "pet.new", "pet.old"]);
        let new = all.iter().find(|one| one.name == "pet.new").unwrap();
        assert_eq!((new.description.as_str(), new.deprecated), ("A pet came", false));
        assert_eq!(new.group_name.as_deref(), Some("pets"));
        assert_eq!(new.feature_flags.as_deref().unwrap(), ["beta", "eu"]);
        let old = all.iter().find(|one| one.name == "pet.old").unwrap();
        assert_eq!((old.description.as_str(), old.deprecated), ("An old one", true));
        assert_eq!(old.schema, None);
    }

    #[test]
    fn a_schema_stands_alone_with_all_that_it_refers_to_and_nothing_else() {
        let all = read(&pets(), "spec").unwrap();
        let schema = all.iter().find_map(|one| one.schema.clone()).unwrap();
        assert_eq!(
            schema["properties"]["friends"]["items"],
            json!({ "$ref": "#/$defs/Pet" })
        );
        assert_eq!(
            schema["properties"]["owner"],
            json!({ "$ref": "#/$defs/Owner/properties/name" })
        );
        let definitions: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
        assert_eq!(definitions, ["Owner", "Pet"]);
        assert!(!schema.to_string().contains("components"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let places = |document: &Value| -> Vec<String> {
            let faults = read(document, "spec").unwrap_err();
            faults.into_iter().map(|fault| fault.loc.join("/")).collect()
        };
        let body = |schema: Value| json!({ "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } });
        assert_eq!(places(&json!({})), ["body/spec"]);
        assert_eq!(places(&json!({ "webhooks": [] })), ["body/spec/webhooks"]);
        let document = json!({ "webhooks": {
            "a b": { "post": {} },
            "none": {},
            "external": body(json!({ "$ref": "https://example.com/x.json" })),
            "missing": body(json!({ "properties": { "x": { "$ref": "#/components/schemas/X" } } })),
            "itself": { "$ref": "#/webhooks/itself" },
        } });
        let mut found = places(&document);
        found.sort();
        assert_eq!(
            found,
            ["a b", "external", "itself", "missing", "none"].map(|name| format!("body/spec/webhooks/{name}"))
        );
    }

    #[test]
    fn what_is_exported_reads_back_as_it_was() {
        let all = read(&pets(), "spec").unwrap();
        let rows: Vec<EventType> = all.iter().cloned().map(row_of).collect();
        assert_eq!(read(&write(&rows), "spec").unwrap().len(), 3);
        for (one, again) in all.iter().zip(read(&write(&rows), "spec").unwrap()) {
            assert_eq!(*one, again);
        }
    }

    #[test]
    fn a_schema_that_is_a_reference_into_itself_is_exported_and_reads_back() {
        let all = read(&pets(), "spec").unwrap();
        let mut row = row_of(all.into_iter().next().unwrap());
        let pet = json!({ "$defs": { "Pet": { "type": "object" } }, "$ref": "#/$defs/Pet" });
        row.schemas = Some(json!({ "1": pet }).to_string());
        let again = read(&write(&[row]), "spec").unwrap();
        assert_eq!(again[0].schema, Some(pet));
    }

    #[test]
    fn the_newest_schema_is_the_one_of_the_highest_number() {
        let all = read(&pets(), "spec").unwrap();
        let mut row = row_of(all.into_iter().next().unwrap());
        row.schemas = Some(
            json!({ "9": { "title": "9" }, "10": { "title": "10" }, "draft": { "title": "d" } }).to_string(),
        );
        assert_eq!(newest_schema(&row), Some(json!({ "title": "10" })));
    }
}
