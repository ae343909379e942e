//! What holds for all presets: the vectors, and what no vector can say.

use ::hmac::{Hmac, Mac};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use serde_json::json;
use sha2::Sha256;

use serde_json::Value;

use super::*;
use crate::problem::Code;

/// Vectors of this project's own, those that are shared with others, and those that were computed for providers that
/// publish few.
const VECTORS: [&str; 3] = [
    include_str!("../../../tests/fixtures/inbound.json"),
    include_str!("../../../tests/vectors/inbound.json"),
    include_str!("../../../tests/vectors/providers.json"),
];

const NOW: u64 = 1_700_000_000;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const BODY: &[u8] = br#"{"id":"evt_1","type":"invoice.paid"}"#;

#[test]
fn every_vector_is_judged_as_it_says() {
    let differences: Vec<String> = vectors()
        .iter()
        .filter_map(|vector| {
            let difference = vector::judge(vector).err()?;
            Some(format!("{} {}: {difference}", vector["provider"], vector["name"]))
        })
        .collect();
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn every_provider_has_three_accepted_and_five_refused_requests() {
    let vectors = vectors();
    let few = catalogue().filter_map(|descriptor| {
        let of = |valid: bool| {
            let is_one = |vector: &&Value| vector["provider"] == descriptor.name && vector["valid"] == valid;
            vectors.iter().filter(is_one).count()
        };
        (of(true) < 3 || of(false) < 5).then(|| format!("{}: {}, {}", descriptor.name, of(true), of(false)))
    });
    assert_eq!(few.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_vector_of_a_provider_that_is_not_built_is_not_taken_for_passed() {
    let vector = json!({"provider": "carrier-pigeon", "config": {}, "headers": {}, "valid": false});
    assert!(
        vector::judge(&vector)
            .unwrap_err()
            .contains("no provider of that name")
    );
}

#[test]
fn a_body_with_any_bit_changed_is_rejected() {
    for case in signed_cases() {
        assert!(case.is_accepted(), "{}", case.name);
        for index in 0..case.body.len() {
            for bit in 0..8 {
                let mut case = case.clone();
                case.body[index] ^= 1 << bit;
                assert!(
                    !case.is_accepted(),
                    "{}: bit {bit} of byte {index} changed",
                    case.name
                );
            }
        }
    }
}

#[test]
fn a_body_that_is_cut_or_grown_is_rejected() {
    for case in signed_cases() {
        for length in 0..case.body.len() {
            let mut case = case.clone();
            case.body.truncate(length);
            assert!(!case.is_accepted(), "{}: {length} bytes left", case.name);
        }
        for more in [b"\n".as_slice(), b"\0", b" ", b"}"] {
            let mut case = case.clone();
            case.body.extend_from_slice(more);
            assert!(!case.is_accepted(), "{}: grown by {more:?}", case.name);
        }
    }
}

#[test]
fn a_signature_with_any_bit_changed_is_rejected() {
    for case in signed_cases() {
        for index in 0..case.signature.len() {
            for bit in 0..8 {
                let mut case = case.clone();
                case.signature[index] ^= 1 << bit;
                assert!(
                    !case.is_accepted(),
                    "{}: bit {bit} of byte {index} changed",
                    case.name
                );
            }
        }
    }
}

#[test]
fn a_part_of_a_signature_is_rejected() {
    for case in signed_cases() {
        for length in 0..case.signature.len() {
            let mut case = case.clone();
            case.signature.truncate(length);
            assert!(!case.is_accepted(), "{}: {length} bytes left", case.name);
        }
        let mut case = case.clone();
        case.signature.push(0);
        assert!(!case.is_accepted(), "{}: one byte more", case.name);
    }
}

#[test]
fn freshness_counts_both_ways_edges_included() {
    for case in signed_cases().into_iter().filter(|case| case.signs_time) {
        let judge = |now: u64| match case.judge(Millis(now * 1000)) {
            Verdict::Accept(_) => None,
            Verdict::Reject(rejection) => Some(rejection.reason),
            other => panic!("no handshake was sent: {other:?}"),
        };
        assert_eq!(judge(NOW + 300), None, "{}", case.name);
        assert_eq!(judge(NOW + 301), Some(Reason::Stale), "{}", case.name);
        assert_eq!(judge(NOW - 300), None, "{}", case.name);
        assert_eq!(judge(NOW - 301), Some(Reason::Future), "{}", case.name);
    }
}

#[test]
fn only_what_is_genuine_is_called_stale() {
    for mut case in signed_cases().into_iter().filter(|case| case.signs_time) {
        case.body.push(b' ');
        let late = Millis((NOW + 9_999) * 1000);
        assert_eq!(reason(case.judge(late)), Some(Reason::Mismatch), "{}", case.name);
    }
}

#[test]
fn the_sender_cannot_tell_genuine_but_late_from_forged() {
    assert_eq!(Reason::Stale.public_code(), Reason::Mismatch.public_code());
    assert_eq!(
        Reason::NoActiveSecret.public_code(),
        Reason::Mismatch.public_code()
    );
    assert_eq!(Reason::MissingSignature.public_code(), Code::SignatureMissing);
    assert_eq!(Reason::Mismatch.public_code(), Code::SignatureInvalid);
}

#[test]
fn a_reason_is_written_to_the_log_as_it_is_stored() {
    for reason in [
        Reason::MissingSignature,
        Reason::IpDenied,
        Reason::StaleKeys,
        Reason::NoActiveSecret,
    ] {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

#[test]
fn only_secrets_that_are_valid_now_are_tried() {
    for case in token_and_signed_cases()
        .into_iter()
        .filter(|case| !case.secrets.is_empty())
    {
        let with_window = |not_before: Option<u64>, not_after: Option<u64>| {
            let mut case = case.clone();
            for secret in &mut case.secrets {
                secret.not_before = not_before.map(|seconds| Millis(seconds * 1000));
                secret.not_after = not_after.map(|seconds| Millis(seconds * 1000));
            }
            reason(case.judge(Millis(NOW * 1000)))
        };
        assert_eq!(with_window(Some(NOW), Some(NOW + 1)), None, "{}", case.name);
        for (not_before, not_after) in [(None, Some(NOW)), (Some(NOW + 1), None)] {
            assert_eq!(
                with_window(not_before, not_after),
                Some(Reason::NoActiveSecret),
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn without_any_secret_nothing_is_accepted() {
    for mut case in token_and_signed_cases()
        .into_iter()
        .filter(|case| !case.secrets.is_empty())
    {
        case.secrets.clear();
        assert_eq!(
            reason(case.judge(Millis(NOW * 1000))),
            Some(Reason::NoActiveSecret),
            "{}",
            case.name
        );
    }
}

#[test]
fn the_secret_that_matched_is_named_by_its_place_in_the_list() {
    for mut case in token_and_signed_cases()
        .into_iter()
        .filter(|case| !case.secrets.is_empty())
    {
        let expired = Secret {
            not_after: Some(Millis(0)),
            ..case.secrets[0].clone()
        };
        let other = secret("whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=");
        case.secrets.splice(0..0, [expired, secret(""), other]);
        let Verdict::Accept(accepted) = case.judge(Millis(NOW * 1000)) else {
            panic!("{} is rejected", case.name);
        };
        assert_eq!(accepted.matched_secret, Some(3), "{}", case.name);
    }
}

#[test]
fn a_public_key_accepts_without_a_secret_and_names_none() {
    let case = signed_cases()
        .into_iter()
        .find(|case| case.secrets.is_empty())
        .unwrap();
    let Verdict::Accept(accepted) = case.judge(Millis(NOW * 1000)) else {
        panic!("rejected");
    };
    assert_eq!(accepted.matched_secret, None);
    assert_eq!(accepted.events[0].id.as_deref(), Some("msg_1"));
}

#[test]
fn a_signature_of_the_one_scheme_is_not_believed_where_only_the_other_has_a_key() {
    let mut cases = signed_cases();
    let by_key = cases.iter().position(|case| case.secrets.is_empty()).unwrap();
    let by_key = cases.swap_remove(by_key);
    let by_secret = cases
        .iter()
        .find(|case| case.config.provider() == "standard-webhooks")
        .unwrap();
    let crossed = Case {
        config: by_secret.config.clone(),
        secrets: by_secret.secrets.clone(),
        ..by_key.clone()
    };
    assert_eq!(reason(crossed.judge(Millis(NOW * 1000))), Some(Reason::Mismatch));
    let crossed = Case {
        config: by_key.config.clone(),
        secrets: Vec::new(),
        ..by_secret.clone()
    };
    assert_eq!(reason(crossed.judge(Millis(NOW * 1000))), Some(Reason::Mismatch));
}

#[test]
fn each_rejection_has_its_own_reason() {
    let stripe = parse("stripe", &json!({}));
    let judge = |value: &str| {
        let headers = headers(&[("stripe-signature", value)]);
        reason(verify(
            &stripe,
            &[secret(SECRET)],
            &Standing::default(),
            &post(&headers, BODY),
            Millis(NOW * 1000),
        ))
    };
    let mac = "00".repeat(32);
    assert_eq!(judge(""), Some(Reason::MissingSignature));
    assert_eq!(judge("hello"), Some(Reason::MalformedSignature));
    assert_eq!(judge(&format!("v1={mac}")), Some(Reason::MalformedSignature));
    assert_eq!(judge("t=1,v1=xyz"), Some(Reason::MalformedSignature));
    assert_eq!(judge(&format!("t=1,v0={mac}")), Some(Reason::UnknownScheme));
    assert_eq!(judge(&format!("t=-1,v1={mac}")), Some(Reason::BadTimestamp));
    assert_eq!(judge(&format!("t=1,v1={mac}")), Some(Reason::Mismatch));
    assert_eq!(
        judge(&format!("t=1,t=2,t=3,t=4,t=5,v1={mac}")),
        Some(Reason::MalformedSignature)
    );
}

#[test]
fn a_header_stuffed_with_signatures_buys_no_work() {
    for case in signed_cases() {
        let mut stuffed = case.clone();
        stuffed.before = 200;
        assert!(!stuffed.is_accepted(), "{}: ours is far behind", case.name);
        stuffed.before = 3;
        assert!(stuffed.is_accepted(), "{}: ours is the fourth", case.name);
    }
}

#[test]
fn nothing_secret_is_shown_of_a_case_that_is_rejected() {
    for mut case in token_and_signed_cases() {
        case.body.push(b'x');
        case.signature.push(0);
        case.secrets.push(secret("sesame sesame sesame"));
        let shown = format!(
            "{:?} {:?} {:?}",
            case.config,
            case.secrets,
            case.judge(Millis(NOW * 1000))
        );
        for secret in &case.secrets {
            assert!(!shown.contains(&secret.value), "{}", case.name);
        }
    }
}

#[test]
fn the_names_of_an_event_come_from_under_the_signature() {
    let body = br#"{"id":"evt_9","object":"v2.core.event","type":"v2.core.account.updated","created":"2023-11-14T22:13:20.5Z"}"#;
    let events = |case: &Case| match case.judge(Millis(NOW * 1000)) {
        Verdict::Accept(accepted) => accepted.events,
        other => panic!("{other:?}"),
    };
    let stripe = Case::stripe(body);
    assert_eq!(
        events(&stripe),
        [Event {
            id: Some("evt_9".to_owned()),
            time: Some(Millis(NOW * 1000 + 500)),
            ..Event::of_type("v2.core.account.updated".to_owned())
        }]
    );
    let standard = Case::standard_webhooks(br#"{"type":"email.sent","created_at":"2023-11-14T22:13:20Z"}"#);
    assert_eq!(
        events(&standard),
        [Event {
            id: Some("msg_1".to_owned()),
            time: Some(Millis(NOW * 1000)),
            ..Event::of_type("email.sent".to_owned())
        }]
    );
}

#[test]
fn settings_are_stored_with_their_defaults_and_read_back_the_same() {
    let hmac = parse("hmac", &json!({"header": "X-Signature"}));
    assert_eq!(
        hmac.to_value(),
        json!({"header": "X-Signature", "algorithm": "sha256", "encoding": "hex", "prefix": "", "template": "{body}"})
    );
    assert_eq!(
        parse("stripe", &Value::Null).to_value(),
        json!({"tolerance": 300})
    );
    for (provider, config) in [
        ("stripe", json!({"tolerance": 1})),
        (
            "standard-webhooks",
            json!({"publicKeys": [public_key()], "tolerance": 604_800}),
        ),
        (
            "hmac",
            json!({
                "header": "X-S", "algorithm": "sha512", "encoding": "base64", "prefix": "v1,", "listSeparator": " ",
                "template": "{method}{url}{id}.{timestamp}.{header:X-Topic}{body}", "timestampHeader": "X-T",
                "idHeader": "X-I", "tolerance": 60, "eventType": "/type", "eventId": "header:X-Id",
            }),
        ),
        ("basic", json!({"username": "u", "eventType": "X-Event"})),
        ("api_key", json!({"header": "X-Api-Key", "eventId": "/a~1b/~0"})),
    ] {
        let config = parse(provider, &config);
        assert_eq!(config.provider(), provider);
        assert_eq!(parse(provider, &config.to_value()), config);
    }
    let full = json!({"username": "u", "eventType": "X-Event", "eventId": "/id"});
    assert_eq!(parse("basic", &full).to_value(), full);
}

#[test]
fn an_unknown_provider_and_settings_that_are_no_object_are_refused() {
    assert_eq!(faulty_places("carrier-pigeon", &json!({})), ["body.provider"]);
    for config in [json!([]), json!("{}"), json!(1)] {
        assert_eq!(faulty_places("stripe", &config), ["body.config"]);
    }
}

#[test]
fn what_is_wrong_with_stripe_and_standard_webhooks_is_said_at_its_place() {
    for (setting, value) in [
        ("tolerence", json!(1)),
        ("tolerance", json!(0)),
        ("tolerance", json!(-1)),
        ("tolerance", json!(604_801)),
        ("tolerance", json!("300")),
        ("secrets", json!(["whsec_x"])),
    ] {
        assert_refused("stripe", &json!({ setting: value }), setting);
    }
    for keys in [
        json!("whpk_"),
        json!([1]),
        json!(["whpk_AAAA"]),
        json!([public_key().replace("whpk_", "whsk_")]),
        json!([public_key(), public_key()]),
        json!([small_order_key()]),
    ] {
        assert_refused("standard-webhooks", &json!({ "publicKeys": keys }), "publicKeys");
    }
}

#[test]
fn what_is_wrong_with_hmac_is_said_at_its_place() {
    for header in [
        json!(null),
        json!(""),
        json!("X Signature"),
        json!("X-S\r\nY"),
        json!(1),
    ] {
        assert_refused("hmac", &json!({ "header": header }), "header");
    }
    for (setting, value) in [
        ("algorithm", "md5"),
        ("encoding", "HEX"),
        ("prefix", "a, b"),
        ("prefix", "é"),
        ("template", "hello"),
        ("template", "{x-s}{body}"),
        ("template", "{header:x-s}{body}"),
        ("listSeparator", ""),
        ("listSeparator", "a"),
        ("eventType", ""),
        ("eventType", "/a~2"),
        ("eventId", "header:"),
        ("eventId", "Authorization"),
    ] {
        let config = json!({"header": "X-S", setting: value});
        assert_refused("hmac", &config, setting);
    }
    let slash = json!({"header": "X-S", "encoding": "base64", "listSeparator": "/"});
    assert_refused("hmac", &slash, "listSeparator");
    let comma = json!({"header": "X-S", "prefix": "v1,", "listSeparator": ","});
    assert_refused("hmac", &comma, "listSeparator");
}

#[test]
fn a_time_or_an_id_that_is_not_signed_is_refused_and_so_is_one_that_nothing_carries() {
    for (setting, config) in [
        (
            "timestampHeader",
            json!({"header": "X-S", "template": "{timestamp}.{body}"}),
        ),
        (
            "timestampHeader",
            json!({"header": "X-S", "timestampHeader": "X-T"}),
        ),
        (
            "timestampHeader",
            json!({"header": "X-S", "template": "{timestamp}{body}", "timestampHeader": "x-s"}),
        ),
        ("tolerance", json!({"header": "X-S", "tolerance": 300})),
        ("idHeader", json!({"header": "X-S", "template": "{id}.{body}"})),
        ("idHeader", json!({"header": "X-S", "idHeader": "X-Id"})),
        (
            "idHeader",
            json!({"header": "X-S", "template": "{id}{body}", "idHeader": "x-s"}),
        ),
    ] {
        assert_refused("hmac", &config, setting);
    }
}

#[test]
fn what_is_wrong_with_basic_and_api_key_is_said_at_its_place() {
    for username in [json!(null), json!(""), json!("a:b"), json!("a\nb"), json!(1)] {
        assert_refused("basic", &json!({ "username": username }), "username");
    }
    assert_refused("basic", &json!({"username": "u", "password": "p"}), "password");
    let credential = json!({"username": "u", "eventId": "header:authorization"});
    assert_refused("basic", &credential, "eventId");
    assert_refused("api_key", &json!({}), "header");
    for (setting, value) in [("key", "k"), ("eventType", "x-api-key"), ("eventId", "Cookie")] {
        let config = json!({"header": "X-Api-Key", setting: value});
        assert_refused("api_key", &config, setting);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let config = json!({"header": "a b", "algorithm": "md5", "tolerance": 5, "colour": "red"});
    assert_eq!(SourceConfig::parse("hmac", &config).unwrap_err().len(), 4);
}

#[test]
fn a_setting_that_is_null_is_not_there() {
    assert_eq!(
        parse("stripe", &json!({"tolerance": null})),
        parse("stripe", &json!({}))
    );
}

#[test]
fn secrets_are_checked_before_they_are_kept() {
    let stripe = parse("stripe", &json!({}));
    assert_eq!(stripe.check_secret("whsec_abc"), Ok(()));
    for text in [
        "",
        "whsec_",
        "abc",
        "sk_live_abc",
        "rk_live_abc",
        "pk_live_abc",
        "whsec_a b",
        " whsec_abc",
        "whsec_abc\n",
    ] {
        let sentence = stripe.check_secret(text).unwrap_err();
        let is_prefix = "whsec_".starts_with(text);
        assert!(is_prefix || !sentence.contains(text), "{text}: {sentence}");
    }

    let standard = parse("standard-webhooks", &json!({}));
    for text in [
        SECRET,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(standard.check_secret(text), Ok(()), "{text}");
    }
    for text in [
        "whsec_",
        "whsec_AAAAAAAAAAAAAAAAAAAA",
        "whsec_!",
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        assert!(standard.check_secret(text).is_err(), "{text}");
    }

    let api_key = parse("api_key", &json!({"header": "X-Api-Key"}));
    assert_eq!(api_key.check_secret("Bearer abc"), Ok(()));
    for text in ["é", "a\tb", "a ", "\u{a0}a"] {
        assert!(api_key.check_secret(text).is_err(), "{text}");
    }
    let basic = parse("basic", &json!({"username": "u"}));
    assert_eq!(basic.check_secret("pä ss"), Ok(()));
}

#[test]
fn a_list_of_secrets_has_one_to_four_that_differ() {
    let places = |config: &SourceConfig, secrets: &[&str]| {
        let secrets: Vec<String> = secrets.iter().map(|text| (*text).to_owned()).collect();
        let faults = config.check_secrets(&secrets);
        faults.iter().map(|fault| fault.loc.join(".")).collect::<Vec<_>>()
    };
    let stripe = parse("stripe", &json!({}));
    assert_eq!(places(&stripe, &[]), ["body.secrets"]);
    assert_eq!(
        places(&stripe, &["whsec_a", "whsec_b", "whsec_c", "whsec_d"]),
        [""; 0]
    );
    assert_eq!(
        places(&stripe, &["whsec_a", "whsec_b", "whsec_c", "whsec_d", "whsec_e"]),
        ["body.secrets"]
    );
    assert_eq!(
        places(&stripe, &["whsec_a", "", "whsec_a"]),
        ["body.secrets.1", "body.secrets.2"]
    );
    let standard = parse("standard-webhooks", &json!({}));
    let bare = SECRET.strip_prefix("whsec_").unwrap();
    assert_eq!(
        places(&standard, &[SECRET, bare]),
        ["body.secrets.1"],
        "two ways to write one key"
    );
    assert_eq!(places(&standard, &[]), ["body.secrets"]);
    let with_key = parse("standard-webhooks", &json!({"publicKeys": [public_key()]}));
    assert_eq!(places(&with_key, &[]), [""; 0]);
}

#[test]
fn headers_that_carry_credentials_are_named_to_whoever_stores_a_request() {
    let always = ["authorization", "cookie", "proxy-authorization"];
    assert_eq!(parse("stripe", &json!({})).credential_headers(), always);
    assert_eq!(
        parse("basic", &json!({"username": "u"})).credential_headers(),
        always
    );
    let names = parse("api_key", &json!({"header": "X-Gitlab-Token"})).credential_headers();
    assert_eq!(names, [&always[..], &["x-gitlab-token"]].concat());
}

#[test]
fn headers_that_the_settings_name_an_event_by_are_named_to_whoever_keeps_it() {
    let config = json!({
        "header": "X-S", "eventType": "header:X-Type", "eventId": "header:x-id", "eventTime": "/time",
        "routingKey": "header:X-Shop",
    });
    assert_eq!(
        parse("hmac", &config).naming_headers(),
        ["x-type", "x-id", "x-shop"]
    );
    assert_eq!(parse("stripe", &json!({})).naming_headers(), [""; 0]);
}

proptest! {
    #[test]
    fn no_request_makes_a_preset_panic_or_accept(
        name in header_name(),
        value in "\\PC*|t=[0-9]{1,25},v1=[0-9a-f]{64}|v1a?,[A-Za-z0-9+/=]{44}|Basic [A-Za-z0-9+/=]*",
        body: Vec<u8>,
        now: u64,
    ) {
        let headers = headers(&[
            (name, value.as_str()), ("webhook-id", "a"), ("webhook-timestamp", &value), ("webhook-signature", &value),
            ("stripe-signature", &value), ("x-signature", &value), ("x-time", &value), ("authorization", &value),
        ]);
        for case in token_and_signed_cases() {
            let verdict = verify(&case.config, &case.secrets, &Standing::default(), &post(&headers, &body), Millis(now));
            prop_assert!(matches!(verdict, Verdict::Reject(_)), "{}: {verdict:?}", case.name);
        }
    }

    #[test]
    fn no_body_under_a_good_signature_makes_a_preset_panic_or_reject(body: Vec<u8>) {
        prop_assert!(Case::stripe(&body).is_accepted());
        prop_assert!(Case::standard_webhooks(&body).is_accepted());
    }

    #[test]
    fn no_settings_make_the_parser_panic(
        provider: prop::sample::Index, key in "[a-zA-Z]{1,12}", text in "\\PC*", number: f64,
    ) {
        let providers: Vec<&str> = catalogue().map(|descriptor| descriptor.name).collect();
        let provider = provider.get(&providers);
        for value in [json!(text), json!(number), json!([text]), json!({ &text: number })] {
            for setting in SETTINGS.into_iter().chain([key.as_str()]) {
                let _ = SourceConfig::parse(provider, &json!({ "header": "X-A", "username": "u", setting: value }));
            }
        }
    }

    #[test]
    fn whatever_settings_are_taken_are_read_back_the_same(
        prefix in "[ -~]{0,6}", separator in "[ -~]{1,2}", template in "[a-z.]{0,3}\\{body\\}[a-z.]{0,3}",
    ) {
        let config = json!({"header": "X-A", "prefix": prefix, "listSeparator": separator, "template": template});
        if let Ok(config) = SourceConfig::parse("hmac", &config) {
            prop_assert_eq!(SourceConfig::parse("hmac", &config.to_value()), Ok(config));
        }
    }
}

pub(super) fn vectors() -> Vec<Value> {
    let read = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    VECTORS.into_iter().flat_map(read).collect()
}

/// What presets ask for.
const SETTINGS: [&str; 28] = [
    "header",
    "template",
    "prefix",
    "listSeparator",
    "timestampHeader",
    "idHeader",
    "tolerance",
    "eventType",
    "eventId",
    "username",
    "publicKeys",
    "publicKey",
    "publicUrl",
    "versions",
    "verifyToken",
    "audience",
    "email",
    "jwks",
    "jwksUrl",
    "jwk",
    "eventTime",
    "routingKey",
    "cidrs",
    "resourceIds",
    "hook",
    "iUnderstand",
    "keep",
    "appIds",
];

type Pairs = Vec<(&'static str, String)>;

/// A genuine request whose parts can be spoilt one at a time.
#[derive(Clone)]
struct Case {
    name: &'static str,
    config: SourceConfig,
    secrets: Vec<Secret>,
    body: Vec<u8>,
    signature: Vec<u8>,
    /// How many forged signatures stand before it in the header.
    before: usize,
    signs_time: bool,
    /// The headers for a list of signatures.
    headers: fn(&[Vec<u8>]) -> Pairs,
}

impl Case {
    fn stripe(body: &[u8]) -> Self {
        Self {
            name: "stripe",
            config: parse("stripe", &json!({})),
            secrets: vec![secret(SECRET)],
            body: body.to_vec(),
            signature: sha256(SECRET.as_bytes(), &[b"1700000000.", body].concat()),
            before: 0,
            signs_time: true,
            headers: |signatures| {
                let entries = signatures
                    .iter()
                    .map(|bytes| format!(",v1={}", hex::encode(bytes)));
                vec![(
                    "Stripe-Signature",
                    format!("t={NOW}{}", entries.collect::<String>()),
                )]
            },
        }
    }

    fn standard_webhooks(body: &[u8]) -> Self {
        let key = BASE64_STANDARD
            .decode(SECRET.trim_start_matches("whsec_"))
            .unwrap();
        Self {
            name: "standard-webhooks",
            config: parse("standard-webhooks", &json!({})),
            secrets: vec![secret(SECRET)],
            body: body.to_vec(),
            signature: sha256(&key, &[b"msg_1.1700000000.", body].concat()),
            before: 0,
            signs_time: true,
            headers: |signatures| standard_headers("v1", signatures),
        }
    }

    fn standard_webhooks_by_public_key(body: &[u8]) -> Self {
        let signature = signing_key().sign(&[b"msg_1.1700000000.", body].concat());
        Self {
            name: "standard-webhooks, v1a",
            config: parse("standard-webhooks", &json!({"publicKeys": [public_key()]})),
            secrets: Vec::new(),
            signature: signature.to_bytes().to_vec(),
            headers: |signatures| standard_headers("v1a", signatures),
            ..Self::standard_webhooks(body)
        }
    }

    fn hmac(body: &[u8]) -> Self {
        let config = json!({
            "header": "X-Signature", "template": "{timestamp}.{body}", "timestampHeader": "X-Time",
            "encoding": "base64", "prefix": "sha256=", "listSeparator": ";",
        });
        Self {
            name: "hmac",
            config: parse("hmac", &config),
            secrets: vec![secret("sesame")],
            body: body.to_vec(),
            signature: sha256(b"sesame", &[b"1700000000.", body].concat()),
            before: 0,
            signs_time: true,
            headers: |signatures| {
                let entries: Vec<String> = signatures
                    .iter()
                    .map(|bytes| format!("sha256={}", BASE64_STANDARD.encode(bytes)))
                    .collect();
                vec![("X-Signature", entries.join(";")), ("X-Time", NOW.to_string())]
            },
        }
    }

    fn basic() -> Self {
        Self {
            name: "basic",
            config: parse("basic", &json!({"username": "aladdin"})),
            secrets: vec![secret("sesame")],
            body: BODY.to_vec(),
            signature: Vec::new(),
            before: 0,
            signs_time: false,
            headers: |_| vec![("Authorization", "Basic YWxhZGRpbjpzZXNhbWU=".to_owned())],
        }
    }

    fn api_key() -> Self {
        Self {
            name: "api_key",
            config: parse("api_key", &json!({"header": "X-Signature"})),
            headers: |_| vec![("X-Signature", "sesame".to_owned())],
            ..Self::basic()
        }
    }

    fn judge(&self, now: Millis) -> Verdict {
        let mut signatures = vec![vec![0; self.signature.len()]; self.before];
        signatures.push(self.signature.clone());
        let pairs = (self.headers)(&signatures);
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        verify(
            &self.config,
            &self.secrets,
            &Standing::default(),
            &post(&headers(&pairs), &self.body),
            now,
        )
    }

    fn is_accepted(&self) -> bool {
        matches!(self.judge(Millis(NOW * 1000)), Verdict::Accept(_))
    }
}

/// Those whose signature covers the body.
fn signed_cases() -> Vec<Case> {
    vec![
        Case::stripe(BODY),
        Case::standard_webhooks(BODY),
        Case::standard_webhooks_by_public_key(BODY),
        Case::hmac(BODY),
    ]
}

fn token_and_signed_cases() -> Vec<Case> {
    [signed_cases(), vec![Case::basic(), Case::api_key()]].concat()
}

fn standard_headers(scheme: &str, signatures: &[Vec<u8>]) -> Pairs {
    let entries: Vec<String> = signatures
        .iter()
        .map(|bytes| format!("{scheme},{}", BASE64_STANDARD.encode(bytes)))
        .collect();
    vec![
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", NOW.to_string()),
        ("webhook-signature", entries.join(" ")),
    ]
}

fn sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public_key() -> String {
    format!(
        "whpk_{}",
        BASE64_STANDARD.encode(signing_key().verifying_key().as_bytes())
    )
}

/// The neutral point: under it, one signature would hold for every message.
fn small_order_key() -> String {
    let mut point = [0; 32];
    point[0] = 1;
    format!("whpk_{}", BASE64_STANDARD.encode(point))
}

fn faulty_places(provider: &str, config: &Value) -> Vec<String> {
    let faults = SourceConfig::parse(provider, config).unwrap_err();
    faults.iter().map(|fault| fault.loc.join(".")).collect()
}

fn assert_refused(provider: &str, config: &Value, setting: &str) {
    let place = format!("body.config.{setting}");
    assert_eq!(faulty_places(provider, config), [place], "{provider} {config}");
}

fn parse(provider: &str, config: &Value) -> SourceConfig {
    SourceConfig::parse(provider, config).unwrap()
}

fn secret(value: &str) -> Secret {
    Secret {
        value: value.to_owned(),
        not_before: None,
        not_after: None,
    }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Headers::new(pairs.iter().map(owned))
}

fn post<'a>(headers: &'a Headers, body: &'a [u8]) -> Request<'a> {
    Request {
        method: "POST",
        url: None,
        headers,
        body,
    }
}

fn reason(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Reject(rejection) => Some(rejection.reason),
        _ => None,
    }
}

fn header_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x-other", "svix-id", "svix-signature", "cookie"])
}
