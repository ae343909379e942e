//! Any header, any body, any address: no preset panics, and none accepts what nobody signed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postern_domain::provider::{
    Headers, Outside, Proof, Request, Secret, SourceConfig, Standing, Verdict, catalogue, conclude, diagnose, verify,
};
use postern_domain::time::Millis;
use serde_json::json;

/// Every preset that has no settings that must be there, and whose acceptance means something.
static SOURCES: LazyLock<Vec<SourceConfig>> = LazyLock::new(|| {
    let settings = json!({});
    let named = [
        ("meta", json!({"verifyToken": "b1946ac92492d2347c6235b4d2611184"})),
        (
            "hmac",
            json!({"header": "x-signature", "template": "{method}{url}{timestamp}.{body}", "timestampHeader": "x-time"}),
        ),
        (
            "discord",
            json!({"publicKey": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}),
        ),
        ("basic", json!({"username": "aladdin"})),
    ];
    let plain = catalogue()
        .filter(|descriptor| descriptor.proof != Proof::None)
        .filter_map(|descriptor| SourceConfig::parse(descriptor.name, &settings).ok());
    let named = named
        .iter()
        .filter_map(|(name, settings)| SourceConfig::parse(name, settings).ok());
    plain.chain(named).collect()
});

fuzz_target!(|input: (u8, u8, Vec<(u8, String)>, String, Vec<u8>, u32)| {
    let (preset, method, named, query, body, now) = input;
    let config = &SOURCES[usize::from(preset) % SOURCES.len()];
    let own = config.descriptor();
    let names: Vec<&str> = [
        own.signature_headers,
        own.credential_headers,
        own.kept_headers,
        &["content-type", "x-signature", "x-time", "authorization"],
    ]
    .concat();
    let headers = Headers::new(
        named
            .into_iter()
            .map(|(name, value)| (names[usize::from(name) % names.len()].to_owned(), value)),
    );
    let url = format!("https://hooks.example.com/in/abc?{query}");
    let request = Request {
        method: ["POST", "GET"][usize::from(method) % 2],
        url: Some(&url),
        headers: &headers,
        body: &body,
    };
    let secrets = [Secret {
        value: "6e1f2c4b9a7d4e0c8b5a3f1d2c7e9b60aa41c3".to_owned(),
        not_before: None,
        not_after: None,
    }];
    let (standing, now) = (Standing::default(), Millis(u64::from(now) * 1000));
    let verdict = verify(config, &secrets, &standing, &request, now);
    assert!(
        !matches!(verdict, Verdict::Accept(_)),
        "{}: {verdict:?}",
        config.provider()
    );
    let verdict = conclude(config, &secrets, &standing, &request, now, &[false]);
    assert!(
        !matches!(verdict, Verdict::Accept(_)),
        "{}: {verdict:?}",
        config.provider()
    );
    let _ = diagnose(config, &secrets, &[], &standing, &request, now, &Outside::default());
});
