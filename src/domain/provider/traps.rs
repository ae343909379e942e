//! What receivers of webhooks have got wrong, a test each, and what holds for every provider whatever comes in.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::vectors;
use super::vector::{Source, holds};
use super::*;

const NOW: Millis = Millis(1_700_000_000_000);

#[test]
fn an_empty_secret_matches_nothing_whatever_the_preset() {
    for mut source in genuine() {
        source.empty_secrets();
        let verdict = source.verdict().0;
        let needs_none =
            source.config.works_without_secret() || source.config.descriptor().proof == Proof::None;
        assert!(
            needs_none || is_rejected(&verdict),
            "{}: {verdict:?}",
            source.config.provider()
        );
    }
}

#[test]
fn a_signature_that_is_sent_twice_is_tried_twice() {
    for source in genuine()
        .into_iter()
        .filter(|source| takes_lists(source.config.provider()))
    {
        for forged_first in [true, false] {
            let doubled = source.headers.iter().flat_map(|(name, value)| {
                let is_signature = source.config.descriptor().signature_headers.contains(&name)
                    && !name.ends_with("timestamp")
                    && !name.ends_with("version");
                let forged = (name.to_owned(), forged(value));
                let own = (name.to_owned(), value.to_owned());
                match (is_signature, forged_first) {
                    (true, true) => vec![forged, own],
                    (true, false) => vec![own, forged],
                    (false, _) => vec![own],
                }
            });
            let headers = Headers::new(doubled);
            let joined = Headers::new(joined(&headers));
            for headers in [headers, joined] {
                let source = source.with_headers(headers);
                let verdict = source.verdict().0;
                assert!(
                    !is_rejected(&verdict),
                    "{}: {verdict:?}",
                    source.config.provider()
                );
            }
        }
    }
}

#[test]
fn the_names_of_headers_do_not_mind_case() {
    for source in genuine() {
        let shouted = source
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_uppercase(), value.to_owned()));
        let source = source.with_headers(Headers::new(shouted));
        assert!(!is_rejected(&source.verdict().0), "{}", source.config.provider());
    }
}

#[test]
fn every_odd_time_is_refused() {
    for provider in ["slack", "zoom", "discord", "sendgrid", "hubspot", "resend"] {
        for source in genuine()
            .into_iter()
            .filter(|source| source.config.provider() == provider)
        {
            for time in ["99999999999999999999999", "-1", "+1", "1e9", " 1", "", "١"] {
                let changed = source.headers.iter().map(|(name, value)| {
                    let value = if name.ends_with("timestamp") { time } else { value };
                    (name.to_owned(), value.to_owned())
                });
                let source = source.with_headers(Headers::new(changed));
                assert!(is_rejected(&source.verdict().0), "{provider} {time}");
            }
        }
    }
}

#[test]
fn a_secret_of_stripes_is_no_secret_of_the_standard_and_the_other_way_round() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let stripe = SourceConfig::parse("stripe", &json!({})).unwrap();
    let standard = SourceConfig::parse("standard-webhooks", &json!({})).unwrap();
    assert_eq!(stripe.key(secret).unwrap(), secret.as_bytes());
    assert_ne!(stripe.key(secret), standard.key(secret));
}

#[test]
fn zendesks_published_secret_cannot_be_saved_and_never_matches() {
    const PUBLISHED: &str = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";
    let zendesk = SourceConfig::parse("zendesk", &json!({})).unwrap();
    assert!(zendesk.check_secret(PUBLISHED).is_err());
    assert_eq!(zendesk.key(PUBLISHED), None);
    let allowed = SourceConfig::parse("zendesk", &json!({"allowTestSecret": true})).unwrap();
    assert_eq!(allowed.check_secret(PUBLISHED), Ok(()));
}

#[test]
fn what_is_another_kind_of_secret_is_refused_when_it_is_saved() {
    for (provider, config, wrong) in [
        ("openai", json!({}), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("slack", json!({}), "xoxb-1-2-3"),
        ("slack", json!({}), "not-a-signing-secret"),
        ("square", json!({}), "sq0csp-abc"),
        ("meta", json!({"verifyToken": "t"}), "not-an-app-secret"),
        ("meta", json!({"verifyToken": "t"}), "EAAabc"),
        ("meta", json!({"verifyToken": "token-of-mine"}), "token-of-mine"),
        ("twilio", json!({}), "AC0123456789abcdef0123456789abcdef"),
        ("hubspot", json!({}), "pat-eu1-abc"),
        ("telegram", json!({}), "123456:ABC-DEF"),
        ("mailgun", json!({}), "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"),
        ("linear", json!({}), "lin_api_abc"),
        ("notion", json!({}), "ntn_abc"),
        ("github", json!({}), "ghp_abc"),
        ("paddle", json!({}), "pdl_live_apikey_abc"),
        ("revenuecat", json!({}), "rc-7f3a"),
        ("revenuecat", json!({}), "signing_secret:abc"),
        ("supabase", json!({}), "v1,whsec_!"),
        ("google-calendar", json!({}), "channel:short"),
        (
            "discord",
            json!({"publicKey": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}),
            "x",
        ),
    ] {
        let source = SourceConfig::parse(provider, &config).unwrap();
        let sentence = source.check_secret(wrong).unwrap_err();
        assert!(!sentence.contains(wrong), "{provider}: {sentence}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (provider, config, place) in [
        (
            "revenuecat",
            json!({"authorization": false, "signature": false}),
            "authorization",
        ),
        ("hubspot", json!({"versions": []}), "versions"),
        ("hubspot", json!({"versions": ["v4"]}), "versions"),
        ("meta", json!({}), "verifyToken"),
        ("meta", json!({"verifyToken": "EAAabc"}), "verifyToken"),
        (
            "pubsub",
            json!({"audience": "a", "email": "gmail-api-push@system.gserviceaccount.com"}),
            "email",
        ),
        (
            "pubsub",
            json!({"audience": "a", "email": "me@example.com"}),
            "email",
        ),
        ("sendgrid", json!({}), "publicKey"),
        ("sendgrid", json!({"publicKey": "SG.abc"}), "publicKey"),
        ("discord", json!({"publicKey": "00"}), "publicKey"),
        ("ed25519", json!({"publicKey": "00".repeat(32)}), "publicKey"),
        ("supabase", json!({"hook": "custom-access-token"}), "hook"),
        ("ip_allow", json!({"cidrs": []}), "cidrs"),
        ("ip_allow", json!({"cidrs": ["0.0.0.0/0"]}), "cidrs"),
        ("ip_allow", json!({"cidrs": ["10.0.0.1/8"]}), "cidrs"),
        ("unverified", json!({}), "iUnderstand"),
        ("unverified", json!({"iUnderstand": "yes"}), "iUnderstand"),
        ("jwt", json!({"issuer": "i", "audience": "a"}), "jwksUrl"),
        (
            "jwt",
            json!({"issuer": "i", "audience": "a", "jwksUrl": "http://example.com/keys"}),
            "jwksUrl",
        ),
        ("rs256", json!({}), "jwk"),
        (
            "twilio",
            json!({"publicUrl": "https://a.example/?b=c"}),
            "publicUrl",
        ),
        ("square", json!({"publicUrl": "a.example"}), "publicUrl"),
        ("linear", json!({"tolerance": 0}), "tolerance"),
        ("google-calendar", json!({"resourceIds": [""]}), "resourceIds"),
    ] {
        let faults = SourceConfig::parse(provider, &config).unwrap_err();
        let places: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.loc.last())
            .map(String::as_str)
            .collect();
        assert!(places.contains(&place), "{provider} {config}: {faults:?}");
    }
}

#[test]
fn keys_are_fetched_in_the_clear_from_this_machine_alone() {
    for (url, taken) in [
        ("https://example.com/keys", true),
        ("http://localhost:8787/keys", true),
        ("http://127.0.0.1/keys", true),
        ("http://[::1]:8787/keys", true),
        ("http://localhost.example.com/keys", false),
        ("http://192.0.2.1/keys", false),
        ("http://[2001:db8::1]/keys", false),
        ("ftp://localhost/keys", false),
        ("https://user@example.com/keys", false),
    ] {
        let config = json!({"issuer": "i", "audience": "a", "jwksUrl": url});
        assert_eq!(SourceConfig::parse("jwt", &config).is_ok(), taken, "{url}");
    }
}

#[test]
fn a_list_of_addresses_has_64_ranges_at_the_most() {
    let config = |count: u8| {
        let cidrs: Vec<String> = (0..count).map(|n| format!("192.0.2.{n}/32")).collect();
        SourceConfig::parse("ip_allow", &json!({ "cidrs": cidrs }))
    };
    assert!(config(64).is_ok());
    assert_eq!(config(65).unwrap_err().len(), 1);
    assert_eq!(config(66).unwrap_err().len(), 1);
}

#[test]
fn microsofts_keys_are_fetched_where_tokens_are_looked_at() {
    let apps = json!({"appIds": ["00000003-1111-2222-3333-444444444444"]});
    let source = SourceConfig::parse("microsoft-graph", &apps).unwrap();
    assert_eq!(
        source.key_set_url(),
        Some("https://login.microsoftonline.com/common/discovery/v2.0/keys")
    );
    assert_eq!(
        SourceConfig::parse("microsoft-graph", &source.to_value()),
        Ok(source)
    );
    let plain = SourceConfig::parse("microsoft-graph", &json!({})).unwrap();
    assert_eq!(plain.key_set_url(), None);
}

#[test]
fn a_source_that_signs_its_address_says_so() {
    for (provider, config, expected) in [
        ("twilio", json!({}), true),
        ("square", json!({}), true),
        ("hubspot", json!({}), true),
        ("hubspot", json!({"versions": ["v1"]}), false),
        ("hmac", json!({"header": "x-a", "template": "{url}{body}"}), true),
        ("stripe", json!({}), false),
    ] {
        let source = SourceConfig::parse(provider, &config).unwrap();
        assert_eq!(source.signs_url(), expected, "{provider} {config}");
    }
}

#[test]
fn a_token_of_mailguns_is_for_one_event_and_its_id_is_never_called_signed() {
    for source in genuine_of("mailgun") {
        let accepted = accepted(&source);
        let once = accepted.once.unwrap();
        assert_eq!(once.otherwise, Otherwise::Refuse);
        assert_eq!(once.key, "a".repeat(50));
        assert_eq!(accepted.events[0].id_trust, Trust::Unsigned);
    }
}

#[test]
fn one_signature_of_linears_is_one_key_whatever_id_stands_beside_it() {
    let source = genuine_of("linear").remove(0);
    let first = accepted(&source);
    let renamed = source.headers.iter().map(|(name, value)| {
        let value = if name == "linear-delivery" {
            "another"
        } else {
            value
        };
        (name.to_owned(), value.to_owned())
    });
    let second = accepted(&source.with_headers(Headers::new(renamed)));
    assert_ne!(first.events[0].id, second.events[0].id);
    assert_eq!(first.once, second.once);
    assert_eq!(first.once.unwrap().otherwise, Otherwise::Refuse);
}

#[test]
fn the_shop_in_a_header_is_not_believed_as_a_signed_one_is() {
    let event = accepted(&genuine_of("shopify").remove(0)).events.remove(0);
    assert_eq!(event.tenant_key.as_deref(), Some("a.myshopify.com"));
    assert_eq!(event.tenant_key_trust, Trust::Unsigned);
    assert_eq!(event.id_trust, Trust::Unsigned);
    let event = accepted(&genuine_of("slack").remove(0)).events.remove(0);
    assert_eq!(
        (event.tenant_key_trust, event.id_trust),
        (Trust::Signed, Trust::Signed)
    );
}

#[test]
fn an_unknown_key_wants_a_newer_key_set() {
    let config = json!({"audience": "a", "email": "x@y.iam.gserviceaccount.com"});
    let pubsub = SourceConfig::parse("pubsub", &config).unwrap();
    assert_eq!(
        pubsub.key_set_url(),
        Some("https://www.googleapis.com/oauth2/v3/certs")
    );
    assert_eq!(
        SourceConfig::parse("pubsub", &pubsub.to_value()),
        Ok(pubsub.clone())
    );
    // {"alg":"RS256","kid":"new"}.{}.
    let headers = Headers::new([(
        "authorization".to_owned(),
        "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6Im5ldyJ9.e30.AA".to_owned(),
    )]);
    let request = Request {
        method: "POST",
        url: None,
        headers: &headers,
        body: b"{}",
    };
    let ask = |key_set| {
        let standing = Standing {
            key_set,
            ..Standing::default()
        };
        match verify(&pubsub, &[], &standing, &request, NOW) {
            Verdict::Reject(rejection) => Some(rejection.reason),
            _ => None,
        }
    };
    assert_eq!(ask(None), Some(Reason::StaleKeys));
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let keys = |kid| {
        KeySet::from_value(&json!({"keys": [{"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"}]})).unwrap()
    };
    let (old, new) = (keys("old"), keys("new"));
    assert_eq!(ask(Some(&old)), Some(Reason::StaleKeys));
    assert_eq!(ask(Some(&new)), None, "the signature is asked for");
}

#[test]
fn results_for_other_checks_than_were_asked_for_are_no_proof() {
    for provider in ["sendgrid", "jwt", "rs256", "pubsub"] {
        let source = genuine_of(provider).remove(0);
        let held = source.verdict().1.unwrap();
        assert!(held.contains(&true));
        for wrong in [vec![], vec![true; held.len() + 1], vec![false; held.len()]] {
            assert!(is_rejected(&source.concluded(&wrong)), "{provider}");
        }
    }
}

#[test]
fn answers_are_what_each_provider_takes_for_one() {
    let answer = |name| descriptor(name).unwrap();
    assert_eq!(
        answer("supabase").ack,
        Reply {
            status: 200,
            content_type: Some("application/json"),
            body: "{}",
            retry_after_s: None
        }
    );
    assert_eq!(answer("telegram").ack.body, "");
    assert_eq!(answer("discord").ack.status, 204);
    assert_eq!(answer("discord").bad_signature.status, 401);
    assert_eq!(answer("twilio").ack.content_type, Some("text/xml"));
    assert_eq!(answer("twilio").bad_signature.status, 403);
    assert_eq!(answer("zendesk").retry_please.status, 409);
    for exactly_200 in ["revenuecat", "linear", "paddle", "mailgun", "meta"] {
        assert_eq!(answer(exactly_200).ack.status, 200, "{exactly_200}");
    }
    for descriptor in catalogue() {
        for reason in [
            Reason::Mismatch,
            Reason::MissingSignature,
            Reason::HandshakeRefused,
            Reason::StaleKeys,
        ] {
            let status = descriptor.refusal_status(reason);
            assert!(![404, 410].contains(&status), "{}", descriptor.name);
        }
    }
}

#[test]
fn ids_are_remembered_for_longer_than_a_provider_retries() {
    const DAY: u32 = 86_400;
    for descriptor in catalogue() {
        let window = descriptor.dedupe_window_s();
        assert!((DAY..=8 * DAY).contains(&window), "{}", descriptor.name);
        assert!(
            descriptor.retry_horizon_s.is_none_or(|horizon| horizon <= window),
            "{}",
            descriptor.name
        );
    }
    assert_eq!(descriptor("stripe").unwrap().dedupe_window_s(), 8 * DAY);
    assert_eq!(descriptor("github").unwrap().dedupe_window_s(), DAY);
    assert_eq!(descriptor("hubspot").unwrap().dedupe_window_s(), 3 * DAY);
}

#[test]
fn every_descriptor_says_what_it_must() {
    let mut names = Vec::new();
    for descriptor in catalogue() {
        let name = descriptor.name;
        assert!(!names.contains(&name), "{name} stands twice");
        names.push(name);
        assert!(!name.is_empty() && !descriptor.title.is_empty(), "{name}");
        assert!(!descriptor.methods.is_empty(), "{name}");
        assert!(
            descriptor.proof == Proof::None || !descriptor.sources.is_empty(),
            "{name}"
        );
        let lists = [
            descriptor.credential_headers,
            descriptor.signature_headers,
            descriptor.kept_headers,
        ];
        for header in lists.into_iter().flatten() {
            assert_eq!(**header, header.to_ascii_lowercase(), "{name}");
        }
        let secret = [descriptor.credential_headers, descriptor.signature_headers].concat();
        assert!(
            descriptor
                .kept_headers
                .iter()
                .all(|header| !secret.contains(header)),
            "{name}"
        );
        let is_public = descriptor.secret_origin == SecretOrigin::None;
        assert_eq!(descriptor.secret.is_empty(), is_public, "{name}");
    }
}

#[test]
fn a_challenge_cannot_be_used_to_sign_an_event() {
    // What Zoom's and X's challenges sign for a stranger, sent back as an event.
    for provider in ["zoom", "x"] {
        for text in ["v0:1700000000:{}", "{}", "{\"event\":1}"] {
            assert!(handshake::token(text).is_err(), "{provider}: {text}");
        }
    }
}

#[test]
fn a_batch_that_is_too_large_is_refused_aloud() {
    let items = vec!["{}"; names::MAX_ITEMS + 1].join(",");
    let refused = names::elements(format!("[{items}]").as_bytes()).unwrap_err();
    assert_eq!(refused.reason, Reason::TooLarge);
}

#[test]
fn each_item_of_a_batch_is_its_own_bytes() {
    let hubspot = genuine_of("hubspot").remove(0);
    for event in accepted(&hubspot).events {
        let part = event.part.of(&hubspot.body);
        assert!(part.starts_with(b"{") || event.event_type == "unknown");
        assert!(part.len() < hubspot.body.len());
    }
    let meta = genuine_of("meta").remove(0);
    let parts: Vec<Value> = accepted(&meta)
        .events
        .iter()
        .map(|event| serde_json::from_slice(event.part.of(&meta.body)).unwrap())
        .collect();
    assert_eq!(
        parts[0]["entry"][0]["changes"][0]["value"]["statuses"],
        json!([{"id": "wamid.A", "status": "delivered", "timestamp": "1700000000"}])
    );
    assert_eq!(
        parts[2]["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"],
        "66"
    );
    assert_eq!(
        parts[3]["entry"][0]["changes"],
        json!([{"value": {}, "field": "account_update"}])
    );
    assert!(
        parts
            .iter()
            .all(|part| part["entry"].as_array().unwrap().len() == 1)
    );
}

#[test]
fn a_captured_secret_is_shown_to_no_log() {
    let pending = Standing {
        state: State::Pending,
        ..Standing::default()
    };
    let notion = SourceConfig::parse("notion", &json!({})).unwrap();
    let request = Request {
        method: "POST",
        url: None,
        headers: &Headers::default(),
        body: br#"{"verification_token":"secret_new"}"#,
    };
    let verdict = verify(&notion, &[], &pending, &request, NOW);
    let Verdict::Challenge(challenge) = &verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        challenge.effect,
        Effect::Capture(Captured("secret_new".to_owned()))
    );
    assert!(!format!("{verdict:?}").contains("secret_new"));
    let active = verify(&notion, &[], &Standing::default(), &request, NOW);
    assert!(is_rejected(&active));
}

#[test]
fn discord_interactions_are_answered_as_deferred() {
    let answer = accepted(&genuine_of("discord").remove(0)).answer.unwrap();
    assert_eq!(answer.body, br#"{"type":5}"#);
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
}

#[test]
fn googles_sync_opens_a_channel_and_is_no_event() {
    let sync = vectors()
        .into_iter()
        .find(|vector| vector["name"] == "sync is a handshake")
        .unwrap();
    let verdict = Source::read(&sync).unwrap().verdict().0;
    let Verdict::Challenge(challenge) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(matches!(challenge.effect, Effect::OpenChannel(opened) if opened.id == "c1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_body_that_was_changed_never_verifies(pick: prop::sample::Index, at: prop::sample::Index, bit in 0..8_u8) {
        SIGNED.with(|signed| {
            let source = pick.get(signed);
            let mut changed = source.clone_parts();
            if changed.body.is_empty() {
                changed.body.push(bit);
            } else {
                let at = at.index(changed.body.len());
                changed.body[at] ^= 1 << bit;
            }
            let same_form = source.config.provider() == "twilio" && same_form(&source.body, &changed.body);
            prop_assert!(same_form || !is_accepted(&changed.verdict().0), "{}", changed.config.provider());
            Ok(())
        })?;
    }

    #[test]
    fn a_signature_or_time_that_was_changed_never_verifies(
        pick: prop::sample::Index, header: prop::sample::Index, at: prop::sample::Index, new in "[ -~]",
    ) {
        SIGNED.with(|signed| {
            let source = pick.get(signed);
            let own = source.config.descriptor();
            let names = [own.signature_headers, own.credential_headers].concat();
            let there: Vec<&str> = names.into_iter().filter(|name| source.headers.get(name).is_some()).collect();
            if there.is_empty() {
                return Ok(());
            }
            let name = header.get(&there);
            let old = source.headers.get(name).unwrap();
            if old.is_empty() {
                return Ok(());
            }
            let at = at.index(old.len());
            let mut value = old.to_owned();
            value.replace_range(at..=at, &new);
            if value.eq_ignore_ascii_case(old) {
                return Ok(());
            }
            let changed = source.headers.iter().map(|(own, old)| {
                let value = if own == *name { value.clone() } else { old.to_owned() };
                (own.to_owned(), value)
            });
            let changed = source.with_headers(Headers::new(changed));
            prop_assert!(!is_accepted(&changed.verdict().0), "{}: {value}", own.name);
            Ok(())
        })?;
    }

    #[test]
    fn no_request_makes_any_provider_panic_or_accept(
        pick: prop::sample::Index,
        named in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,80}|[0-9]{10,13}|v0=[0-9a-f]{64}|sha256=[A-Za-z0-9+/]{43}="), 0..6),
        body in prop_oneof![
            any::<Vec<u8>>(),
            "\\{\"(type|event|entry|value|signature|message)\":[\\[\\]{}\"a-z0-9:,]{0,40}\\}".prop_map(String::into_bytes),
        ],
        method in "POST|GET|PUT|PATCH",
        url in prop::option::of("https://a\\.example/[a-z]{0,3}(\\?[ -~]{0,40})?"),
        now: u64,
        held in prop::collection::vec(Just(false), 0..3),
    ) {
        let names = all_headers();
        SOURCES.with(|sources| {
            let source = pick.get(sources);
            let headers = Headers::new(named.iter().map(|(at, value)| (at.get(&names).clone(), value.clone())));
            let request = Request { method: &method, url: url.as_deref(), headers: &headers, body: &body };
            let (secrets, standing) = (source.secrets(), source.standing());
            let verdict = verify(&source.config, secrets, &standing, &request, Millis(now));
            prop_assert!(!is_accepted(&verdict), "{}: {verdict:?}", source.config.provider());
            let verdict = conclude(&source.config, secrets, &standing, &request, Millis(now), &held);
            prop_assert!(!is_accepted(&verdict), "{}: {verdict:?}", source.config.provider());
            Ok(())
        })?;
    }

    #[test]
    fn whatever_body_is_genuine_is_told_without_a_panic(body: Vec<u8>, json in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        for body in [body, json.clone().into_bytes(), format!("{{\"entry\":[{json}]}}").into_bytes(), format!("[{json}]").into_bytes()] {
            let headers = Headers::default();
            let request = Request { method: "POST", url: None, headers: &headers, body: &body };
            prop_assert_eq!(names::UNNAMED.event(&request).id, None);
            if let Ok(Some(ranges)) = names::elements(&body) {
                prop_assert!(ranges.iter().all(|range| body.get(range.clone()).is_some()));
            }
        }
    }
}

thread_local! {
    /// Those that are accepted, and whose signature covers the body and all that is looked at.
    static SIGNED: Vec<Source> = genuine()
        .into_iter()
        .filter(|source| source.config.descriptor().proof == Proof::Signed)
        .collect();
    /// One source of each provider that proves something.
    static SOURCES: Vec<Source> = {
        let mut sources: Vec<Source> = Vec::new();
        for source in genuine().into_iter().filter(|source| source.config.descriptor().proof != Proof::None) {
            if sources.iter().all(|other| other.config.provider() != source.config.provider()) {
                sources.push(source);
            }
        }
        sources
    };
}

/// The accepted requests of the computed vectors, without those that have a forged signature beside the good one, and
/// without `HubSpot`'s older versions, which sign neither a time nor their own number.
fn genuine() -> Vec<Source> {
    let is_plain = |vector: &Value| {
        let name = vector["name"].as_str().unwrap_or_default();
        vector["origin"] == "computed"
            && vector["valid"] == true
            && !["first", "list", "both", "version 2"]
                .iter()
                .any(|word| name.contains(word))
    };
    vectors()
        .iter()
        .filter(|vector| is_plain(vector))
        .map(|vector| Source::read(vector).unwrap())
        .filter(|source| is_accepted(&source.verdict().0))
        .collect()
}

fn genuine_of(provider: &str) -> Vec<Source> {
    let mut sources = genuine();
    sources.retain(|source| source.config.provider() == provider);
    sources
}

fn accepted(source: &Source) -> Accepted {
    match source.verdict().0 {
        Verdict::Accept(accepted) => accepted,
        other => panic!("{other:?}"),
    }
}

fn is_accepted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accept(accepted) if !accepted.events.is_empty())
}

fn is_rejected(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Reject(_))
}

/// Presets whose signature header may hold several.
fn takes_lists(provider: &str) -> bool {
    let single = [
        "sendgrid",
        "mailgun",
        "telegram",
        "jwt",
        "rs256",
        "pubsub",
        "google-calendar",
        "revenuecat",
    ];
    let without = ["microsoft-graph", "ip_allow", "unverified"];
    !single.contains(&provider) && !without.contains(&provider)
}

/// A signature of the same form that is none.
fn forged(value: &str) -> String {
    let (prefix, text) = match value.find(['=', ',']) {
        Some(at) if at < 8 => value.split_at(at + 1),
        _ => ("", value),
    };
    let zero = |c: char| if c.is_ascii_alphanumeric() { '0' } else { c };
    format!("{prefix}{}", text.chars().map(zero).collect::<String>())
}

/// Headers of one name joined, as the platform does it.
fn joined(headers: &Headers) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in headers.iter() {
        match joined.iter_mut().find(|(other, _)| other == name) {
            Some((_, other)) => *other = format!("{other}, {value}"),
            None => joined.push((name.to_owned(), value.to_owned())),
        }
    }
    joined
}

fn same_form(one: &[u8], other: &[u8]) -> bool {
    let read = |body| {
        url::form_urlencoded::parse(body)
            .into_owned()
            .collect::<std::collections::BTreeSet<_>>()
    };
    read(one) == read(other)
}

fn all_headers() -> Vec<String> {
    let mut names: Vec<String> = catalogue()
        .flat_map(|own| [own.signature_headers, own.credential_headers, own.kept_headers].concat())
        .map(str::to_owned)
        .collect();
    names.extend(["content-type", "cf-connecting-ip"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

impl Source {
    fn secrets(&self) -> &[Secret] {
        &self.given.secrets
    }

    fn empty_secrets(&mut self) {
        for secret in &mut self.given.secrets {
            secret.value.clear();
        }
    }

    fn with_headers(&self, headers: Headers) -> Self {
        Self {
            vector: self.vector.clone(),
            given: self.given.clone(),
            config: self.config.clone(),
            headers,
            body: self.body.clone(),
            now: self.now,
        }
    }

    fn clone_parts(&self) -> Self {
        self.with_headers(self.headers.clone())
    }

    fn concluded(&self, held: &[bool]) -> Verdict {
        let request = self.request();
        conclude(
            &self.config,
            self.secrets(),
            &self.standing(),
            &request,
            self.now,
            held,
        )
    }
}

#[test]
fn a_check_with_a_key_that_is_no_point_of_the_curve_holds_nothing() {
    let check = Check {
        key: PublicKey::P256 {
            x: [1; 32],
            y: [1; 32],
        },
        signed: Vec::new(),
        signature: vec![1; 64],
    };
    assert!(!holds(&check));
}
