//! One JSON line per thing worth telling the operator.
//!
//! What may stand in a line is decided where it is written: ids, codes, causes. Never a header, a body, a secret or a
//! URL with its query.

use serde_json::{Value, json};

/// Something went wrong.
pub fn error(event: &str, fields: Value) {
    worker::console_error!("{}", line("error", event, fields));
}

/// Something is not as it should be, and was met.
pub fn warn(event: &str, fields: Value) {
    worker::console_warn!("{}", line("warn", event, fields));
}

fn line(level: &str, event: &str, fields: Value) -> Value {
    let mut line = json!({ "level": level, "event": event });
    match (line.as_object_mut(), fields) {
        (Some(line), Value::Object(fields)) => line.extend(fields),
        (Some(line), other) => {
            line.insert("detail".to_owned(), other);
        }
        (None, _) => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_flat_object() {
        assert_eq!(
            line("warn", "slow", json!({ "ms": 7 })),
            json!({ "level": "warn", "event": "slow", "ms": 7 })
        );
    }
}
