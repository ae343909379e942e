//! Signatures that are right and written in another way.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::provider::Headers;
use crate::provider::mac::{from_base64, from_hex};

/// The request's headers with the signature written as the preset may want it.
pub(super) fn variants(headers: &Headers, name: &str) -> Vec<(&'static str, &'static str, Headers)> {
    let Some(value) = headers.get(name) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    let mut add = |code, sentence, value: String| {
        list.push((code, sentence, replaced(headers, name, &value)));
    };
    for prefix in ["sha256=", "v0=", "v1,"] {
        if !value.starts_with(prefix) {
            let sentence = "The signature is right, and lacks the prefix that names its scheme.";
            add("signature_prefix", sentence, format!("{prefix}{value}"));
        }
    }
    let (prefix, text) = match value.find(['=', ',']) {
        Some(at) if at < 8 => value.split_at(at + 1),
        _ => ("", value),
    };
    if let Some(bytes) = from_hex(text) {
        let written = BASE64_STANDARD.encode(bytes);
        let sentence = "The signature is right, and written in hex where this preset wants base64.";
        add("signature_in_hex", sentence, format!("{prefix}{written}"));
    }
    if let Some(bytes) = from_base64(text) {
        let written = hex::encode(bytes);
        let sentence = "The signature is right, and written in base64 where this preset wants hex.";
        add("signature_in_base64", sentence, format!("{prefix}{written}"));
    }
    list
}

fn replaced(headers: &Headers, name: &str, value: &str) -> Headers {
    Headers::new(headers.iter().map(|(own, old)| {
        let value = if own.eq_ignore_ascii_case(name) {
            value
        } else {
            old
        };
        (own.to_owned(), value.to_owned())
    }))
}
