//! One common mistake each, and what the doctor says of it.

use ::hmac::{Hmac, Mac};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::Sha256;

use super::*;
use crate::provider::tests::vectors;
use crate::provider::{Headers, vector};

const NOW: Millis = Millis(1_700_000_000_000);

const BODY: &[u8] = br#"{"b": 1, "a": "x y"}"#;

#[test]
fn the_secret_of_another_source_is_named_by_its_label() {
    let others = [other("Stripe live", "right"), other("Stripe test", "wrong")];
    let codes = github(
        "other",
        BODY,
        &[("x-hub-signature-256", &hub("right", BODY))],
        &others,
    );
    assert_eq!(codes, ["secret_of_another_source"]);
}

#[test]
fn a_secret_that_has_ended_is_told() {
    let mut old = secret("right");
    old.not_after = Some(NOW.minus(7_200_000));
    let headers = headers(&[("x-hub-signature-256", &hub("right", BODY))]);
    let found = examine("github", &json!({}), &[old, secret("new")], &[], &headers, BODY);
    let ended = found
        .iter()
        .find(|finding| finding.code == "secret_not_valid_now")
        .unwrap();
    assert!(ended.sentence.contains("120 minutes"), "{}", ended.sentence);
}

#[test]
fn white_space_quotes_and_decoding_are_found_in_a_secret() {
    for (stored, used, code) in [
        (" right\n", &b"right"[..], "secret_white_space"),
        ("right", b"right\n", "secret_white_space"),
        ("\"right\"", b"right", "secret_in_quotes"),
        ("whsec_right", b"right", "secret_prefix"),
        ("cmlnaHQ=", b"right", "secret_used_decoded"),
        ("7269676874", b"right", "secret_used_decoded"),
    ] {
        let value = format!("sha256={}", hex::encode(mac(used, BODY)));
        let codes = github(stored, BODY, &[("x-hub-signature-256", &value)], &[]);
        assert!(codes.contains(&code), "{stored:?}: {codes:?}");
    }
}

#[test]
fn a_standard_secret_that_the_sender_used_as_text_is_found() {
    let secret_text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let signed = [b"msg_1.1700000000.", BODY].concat();
    let value = format!(
        "v1,{}",
        BASE64_STANDARD.encode(mac(secret_text.as_bytes(), &signed))
    );
    let headers = headers(&[
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", &value),
    ]);
    let found = examine("openai", &json!({}), &[secret(secret_text)], &[], &headers, BODY);
    assert!(codes(&found).contains(&"secret_used_as_text"), "{found:?}");
}

#[test]
fn a_body_that_was_written_anew_on_its_way_is_found() {
    for (signed, code) in [
        (&br#"{"b":1,"a":"x y"}"#[..], "body_written_anew"),
        (br#"{"a":"x y","b":1}"#, "body_written_anew"),
        (b"{\n  \"b\": 1,\n  \"a\": \"x y\"\n}", "body_written_anew"),
        (b"{\"b\": 1, \"a\": \"x y\"}\n", "body_end"),
        (b"\xef\xbb\xbf{\"b\": 1, \"a\": \"x y\"}", "body_mark"),
        (b"", "body_empty"),
    ] {
        let codes = github(
            "right",
            BODY,
            &[("x-hub-signature-256", &hub("right", signed))],
            &[],
        );
        assert!(codes.contains(&code), "{codes:?}");
    }
    let lines = b"{\n}";
    let codes = github(
        "right",
        lines,
        &[("x-hub-signature-256", &hub("right", b"{\r\n}"))],
        &[],
    );
    assert!(codes.contains(&"body_line_ends"), "{codes:?}");
}

#[test]
fn an_address_that_is_written_in_another_way_is_found() {
    let url = "https://hooks.example.com/in/abc";
    for (signed, code) in [
        ("https://hooks.example.com/in/abc/", "address_slash"),
        ("http://hooks.example.com/in/abc", "address_scheme"),
        ("https://postern.example.workers.dev/in/abc", "address_host"),
        ("https://hooks.example.com:443/in/abc", "address_port"),
    ] {
        let value = BASE64_STANDARD.encode(mac(b"key", &[signed.as_bytes(), BODY].concat()));
        let headers = headers(&[
            ("x-square-hmacsha256-signature", &value),
            ("host", "postern.example.workers.dev"),
        ]);
        let config = SourceConfig::parse("square", &json!({})).unwrap();
        let request = Request {
            method: "POST",
            url: Some(url),
            headers: &headers,
            body: BODY,
        };
        let found = diagnose(
            &config,
            &[secret("key")],
            &[],
            &Standing::default(),
            &request,
            NOW,
            &Outside::default(),
        );
        assert!(codes(&found).contains(&code), "{signed}: {found:?}");
    }
}

#[test]
fn hex_for_base64_and_a_missing_prefix_are_found() {
    let text = hex::encode(mac(b"right", BODY));
    let codes_of = |name, value: &str| {
        let headers = headers(&[(name, value)]);
        let provider = if name == "typeform-signature" {
            "typeform"
        } else {
            "github"
        };
        let found = examine(provider, &json!({}), &[secret("right")], &[], &headers, BODY);
        codes(&found)
    };
    let typeform = codes_of("typeform-signature", &format!("sha256={text}"));
    assert!(typeform.contains(&"signature_in_hex"), "{typeform:?}");
    let github = codes_of("x-hub-signature-256", &text);
    assert!(github.contains(&"signature_prefix"), "{github:?}");
    let base64 = BASE64_STANDARD.encode(mac(b"right", BODY));
    let github = codes_of("x-hub-signature-256", &format!("sha256={base64}"));
    assert!(github.contains(&"signature_in_base64"), "{github:?}");
}

#[test]
fn a_genuine_request_that_is_late_is_the_clocks_fault() {
    let value = format!(
        "t=1699990000,v1={}",
        hex::encode(mac(b"whsec_a", &[b"1699990000.", BODY].concat()))
    );
    let headers = headers(&[("stripe-signature", &value)]);
    let found = examine("stripe", &json!({}), &[secret("whsec_a")], &[], &headers, BODY);
    assert!(codes(&found).contains(&"clock"), "{found:?}");
}

#[test]
fn a_source_with_the_wrong_preset_is_told_which_one_fits() {
    let headers = headers(&[("x-hub-signature-256", &hub("right", BODY))]);
    let found = examine("typeform", &json!({}), &[secret("right")], &[], &headers, BODY);
    let preset = found.iter().find(|finding| finding.step == Step::Match).unwrap();
    assert_eq!(preset.code, "wrong_preset");
    assert!(preset.sentence.contains("github"), "{}", preset.sentence);
}

#[test]
fn a_request_without_a_signature_is_told_from_a_wrong_one() {
    let none = examine("github", &json!({}), &[secret("right")], &[], &headers(&[]), BODY);
    assert!(codes(&none).contains(&"no_signature"), "{none:?}");
    let wrong = headers(&[("x-hub-signature-256", &hub("wrong", BODY))]);
    let wrong = examine("github", &json!({}), &[secret("right")], &[], &wrong, BODY);
    assert!(codes(&wrong).contains(&"nothing_matched"), "{wrong:?}");
}

#[test]
fn no_finding_shows_a_secret_or_a_signature() {
    for vector in vectors() {
        let found = vector::examine(&vector).unwrap();
        assert!(!found.is_empty(), "{} {}", vector["provider"], vector["name"]);
        let secrets = vector["config"]["secrets"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for finding in found {
            for secret in secrets
                .iter()
                .filter_map(Value::as_str)
                .filter(|secret| secret.len() > 16)
            {
                assert!(!finding.sentence.contains(secret), "{}", finding.sentence);
            }
            let longest = finding.sentence.split([' ', '.', ',']).map(str::len).max();
            let is_plain = longest.is_some_and(|length| length < 60);
            assert!(
                is_plain || finding.sentence.contains("https://"),
                "{}",
                finding.sentence
            );
        }
    }
}

fn github(stored: &str, body: &[u8], pairs: &[(&str, &str)], others: &[Other]) -> Vec<&'static str> {
    let found = examine(
        "github",
        &json!({}),
        &[secret(stored)],
        others,
        &headers(pairs),
        body,
    );
    codes(&found)
}

fn examine(
    provider: &str,
    settings: &Value,
    secrets: &[Secret],
    others: &[Other],
    headers: &Headers,
    body: &[u8],
) -> Vec<Finding> {
    let config = SourceConfig::parse(provider, settings).unwrap();
    let request = Request {
        method: "POST",
        url: None,
        headers,
        body,
    };
    diagnose(
        &config,
        secrets,
        others,
        &Standing::default(),
        &request,
        NOW,
        &Outside::default(),
    )
}

fn codes(found: &[Finding]) -> Vec<&'static str> {
    let told = found.iter().filter(|finding| finding.step >= Step::Match);
    told.map(|finding| finding.code).collect()
}

fn hub(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(mac(secret.as_bytes(), body)))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn other(label: &str, secret: &str) -> Other {
    Other {
        label: label.to_owned(),
        secret: secret.to_owned(),
    }
}

fn secret(value: &str) -> Secret {
    Secret {
        value: value.to_owned(),
        not_before: None,
        not_after: None,
    }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    Headers::new(
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}
