//! The API's document, made from the router's own table and the types that are answered. It is built on the host, by the
//! test below, and served as a static file: nothing of it is in the wasm.

mod app_level;
mod connections;
mod described;
mod inputs;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operations::{Handler, OPERATIONS};
use described::{Described, describe, of};
use inputs::ErrorOut;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/openapi.json");

#[test]
fn the_document_in_assets_is_the_one_that_the_code_makes() {
    let document = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &document).expect("assets can be written");
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        kept == document,
        "assets/openapi.json is out of date: run the tests once with UPDATE=1"
    );
}

fn document() -> Value {
    let mut schemas = SchemaSettings::openapi3().into_generator();
    let error = of::<ErrorOut>(&mut schemas);
    let mut paths = Map::new();
    for operation in OPERATIONS
        .iter()
        .filter(|operation| !operation.path.starts_with("/test/"))
    {
        let described = describe(operation.method, operation.path, &mut schemas)
            .unwrap_or_else(|| panic!("{} {} is not described", operation.method, operation.path));
        let open = matches!(operation.handler, Handler::Open(_));
        let item = operation_item(operation.method, operation.path, &described, open, &error);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method.to_lowercase()] = item;
    }
    paths.insert(connections::PROXY.to_owned(), connections::proxy(&error));
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Postern",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Webhooks in, signed and retried deliveries out, connections to providers kept alive. Speaks the Svix API.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
        "security": [{ "token": [] }],
    })
}

fn operation_item(method: &str, path: &str, described: &Described, open: bool, error: &Value) -> Value {
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "in": "path", "name": name, "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(described.query.iter().map(|name| query_parameter(path, name)));
    if method == "POST" {
        let schema = json!({ "type": "string", "maxLength": 256 });
        parameters.push(json!({ "in": "header", "name": "idempotency-key", "schema": schema }));
    }
    let mut answers = Map::new();
    for (status, schema) in &described.answers {
        let mut answer = json!({ "description": if *status < 300 { "Done" } else { "Not done" } });
        if let Some(schema) = schema {
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
        answers.insert(status.to_string(), answer);
    }
    let mut item =
        json!({ "summary": described.summary, "operationId": id(method, path), "parameters": parameters });
    if let Some(body) = &described.body {
        let mut content = json!({ "schema": body });
        if let Some(example) = connections::example(method, path) {
            content["example"] = example;
        }
        item["requestBody"] = json!({ "required": true, "content": { "application/json": content } });
    }
    for (status, sentence) in connections::refusals(method, path) {
        let content = json!({ "application/json": { "schema": error } });
        answers.insert(
            status.to_string(),
            json!({ "description": sentence, "content": content }),
        );
    }
    if open {
        item["security"] = json!([]);
    } else {
        let content = json!({ "application/json": { "schema": error } });
        answers.insert(
            "default".to_owned(),
            json!({ "description": "An error", "content": content }),
        );
    }
    item["responses"] = Value::Object(answers);
    item
}

fn query_parameter(path: &str, name: &str) -> Value {
    let schema = match name {
        // There it is a cursor.
        "after" if path.ends_with("/export") => json!({ "type": "string" }),
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 250, "default": 50 }),
        "wait" => json!({ "type": "integer", "minimum": 0, "maximum": 25, "default": 0 }),
        "order" => json!({ "type": "string", "enum": ["ascending", "descending"] }),
        "before" | "after" | "since" | "until" => json!({ "type": "string", "format": "date-time" }),
        "channels" | "event_types" => json!({ "type": "array", "items": { "type": "string" } }),
        "status" => json!({ "type": "integer", "enum": [0, 1, 2, 3] }),
        "status_code_class" => json!({ "type": "integer", "enum": [0, 100, 200, 300, 400, 500] }),
        "task_status" => json!({ "type": "string", "enum": ["running", "finished", "failed"] }),
        "owner" => json!({ "type": "string", "enum": ["application", "operator"] }),
        "connection_state" => json!({
            "type": "string",
            "enum": ["pending", "active", "degraded", "needs_reauth", "blocked", "revoked"],
        }),
        "with_content" | "get_if_exists" | "include_archived" | "expunge" | "secrets" | "dry_run"
        | "active" => {
            json!({ "type": "boolean" })
        }
        _ => json!({ "type": "string" }),
    };
    // Lists have a `status` or a `state`, and mean other things by it.
    let name = name.strip_prefix("task_").unwrap_or(name);
    let name = name.strip_prefix("connection_").unwrap_or(name);
    json!({ "in": "query", "name": name, "schema": schema })
}

/// `get_v1_app_one_msg`, from method and path.
fn id(method: &str, path: &str) -> String {
    let words = path
        .split(['/', '-', '.'])
        .filter(|part| !part.is_empty() && *part != "api");
    let words = words.map(|part| part.strip_prefix('{').map_or(part, |_| "one"));
    let words: Vec<&str> = words.collect();
    format!("{}_{}", method.to_lowercase(), words.join("_"))
}
