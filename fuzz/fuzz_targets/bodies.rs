//! Any body under a good signature or token: it is told what it is called without a panic, and each part is its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_domain::legacy_signature::{self, Scheme};
use postern_domain::provider::{Headers, Part, Request, Secret, SourceConfig, Standing, Verdict, verify};
use postern_domain::time::Millis;
use serde_json::json;

const SECRET: &str = "b1946ac92492d2347c6235b4d2611184";

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (preset, body) = input;
    let hub = ("sha256=", "hex", "x-hub-signature-256");
    let (provider, settings, (prefix, encoding, header)) = match preset % 6 {
        0 => ("meta", json!({"verifyToken": "t"}), hub),
        1 => ("github", json!({}), hub),
        2 => ("typeform", json!({}), ("sha256=", "base64", "typeform-signature")),
        3 => ("shopify", json!({}), ("", "base64", "x-shopify-hmac-sha256")),
        4 => ("notion", json!({}), ("sha256=", "hex", "x-notion-signature")),
        _ => (
            "telegram",
            json!({}),
            ("", "token", "x-telegram-bot-api-secret-token"),
        ),
    };
    let value = if encoding == "token" {
        SECRET.to_owned()
    } else {
        let scheme =
            json!({"header": header, "algorithm": "hmac-sha256", "encoding": encoding, "prefix": prefix});
        let scheme: Scheme = serde_json::from_value(scheme).expect("a scheme");
        let secret = legacy_signature::Secret::parse(SECRET).expect("a secret");
        scheme.sign(&secret, "", 0, &body)
    };
    let config = SourceConfig::parse(provider, &settings).expect("settings");
    let headers = Headers::new([(header.to_owned(), value)]);
    let request = Request {
        method: "POST",
        url: None,
        headers: &headers,
        body: &body,
    };
    let secrets = [Secret {
        value: SECRET.to_owned(),
        not_before: None,
        not_after: None,
    }];
    match verify(&config, &secrets, &Standing::default(), &request, Millis(0)) {
        Verdict::Accept(accepted) => {
            for event in &accepted.events {
                assert!((1..=256).contains(&event.event_type.len()));
                assert!(event.id.as_ref().is_none_or(|id| !id.is_empty()));
                if let Part::Own(part) = &event.part {
                    let read: Result<serde_json::Value, _> = serde_json::from_slice(part);
                    assert!(read.is_ok(), "{provider}: a part that is no JSON");
                }
            }
        }
        Verdict::Reject(rejection) => assert!(
            matches!(rejection.reason.as_str(), "too_large" | "handshake_refused"),
            "{provider}: {}",
            rejection.detail
        ),
        other => panic!("{provider}: {other:?}"),
    }
});
