use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth::test_provider;
use crate::provider::PublicKey;

const NOW: Millis = Millis(1_700_000_000_000);
const NOW_S: u64 = NOW.0 / 1000;

fn provider() -> Provider {
    let mut provider = test_provider();
    let oauth = provider.oauth.as_mut().unwrap();
    oauth.issuer = Some("https://accounts.google.com".to_owned());
    oauth.issuer_also = vec!["accounts.google.com".to_owned()];
    provider
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "sub": "1234", "aud": "client", "nonce": "n-1",
        "iat": NOW_S - 5, "exp": NOW_S + 3600, "email": "ann@example.com",
    })
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn signed_by(key: &p256::ecdsa::SigningKey, header: &Value, claims: &Value) -> Secret {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature: p256::ecdsa::Signature = key.sign(signed.as_bytes());
    Secret(format!(
        "{signed}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes())
    ))
}

fn token(claims: &Value) -> Secret {
    signed_by(&key(), &json!({"alg": "ES256", "kid": "k1"}), claims)
}

fn keys(key: &p256::ecdsa::SigningKey, id: &str) -> KeySet {
    let point = key.verifying_key().to_encoded_point(false);
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": id,
        "x": text(point.x().unwrap()), "y": text(point.y().unwrap()),
    });
    KeySet::from_value(&json!({ "keys": [jwk] })).unwrap()
}

/// What the shell does with `WebCrypto`.
fn holds(check: &Check) -> bool {
    use p256::ecdsa::signature::Verifier as _;
    let PublicKey::P256 { x, y } = &check.key else {
        return false;
    };
    let point = p256::EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
    let key = p256::ecdsa::VerifyingKey::from_encoded_point(&point).unwrap();
    p256::ecdsa::Signature::from_slice(&check.signature)
        .is_ok_and(|signature| key.verify(&check.signed, &signature).is_ok())
}

/// The whole way: apart, signature, claims.
fn judge(token: &Secret, keys: &KeySet, provider: &Provider, now: Millis) -> Result<Claims, Fault> {
    let unverified = parse(token)?;
    let held = unverified.checks(keys)?.iter().any(holds);
    let (nonce, access_token) = (Secret("n-1".to_owned()), Secret("the access token".to_owned()));
    let expected = Expected {
        client_id: "client",
        nonce: Some(&nonce),
        access_token: &access_token,
        now,
    };
    unverified.claims(held, provider, &expected)
}

fn judge_claims(claims: &Value) -> Result<Claims, Fault> {
    judge(&token(claims), &keys(&key(), "k1"), &provider(), NOW)
}

/// With one claim otherwise; null: without it.
fn judge_with(name: &str, value: &Value) -> Result<(), Fault> {
    let mut claims = claims();
    claims[name] = value.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    judge_claims(&claims).map(|_| ())
}

#[test]
fn s27_a_genuine_token_is_believed_and_its_claims_are_read() {
    let claims = judge_claims(&claims()).unwrap();
    assert_eq!(claims.subject(), "1234");
    assert_eq!(claims.to_value()["email"], "ann@example.com");
}

#[test]
fn s27_only_rs256_and_es256_are_believed() {
    let keys = keys(&key(), "k1");
    for alg in [
        "none", "None", "HS256", "HS512", "RS384", "PS256", "ES384", "EdDSA", "",
    ] {
        let token = signed_by(&key(), &json!({"alg": alg, "kid": "k1"}), &claims());
        assert_eq!(
            judge(&token, &keys, &provider(), NOW),
            Err(Fault::Algorithm),
            "{alg}"
        );
    }
    // Another algorithm of the list than the key's own finds no key.
    let token = signed_by(&key(), &json!({"alg": "RS256", "kid": "k1"}), &claims());
    assert_eq!(judge(&token, &keys, &provider(), NOW), Err(Fault::UnknownKey));
    // No signature at all.
    let bare = Secret(format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims())));
    assert_eq!(judge(&bare, &keys, &provider(), NOW), Err(Fault::Algorithm));
    let bare = Secret(format!("{}.{}.", part(&json!({"alg": "ES256"})), part(&claims())));
    assert_eq!(judge(&bare, &keys, &provider(), NOW), Err(Fault::Signature));
    // An extension that we do not know and must.
    let token = signed_by(
        &key(),
        &json!({"alg": "ES256", "crit": ["b64"], "b64": false}),
        &claims(),
    );
    assert_eq!(judge(&token, &keys, &provider(), NOW), Err(Fault::Algorithm));
}

#[test]
fn s27_a_key_of_another_name_asks_for_the_key_set_again_and_another_key_is_not_believed() {
    assert_eq!(
        judge(&token(&claims()), &keys(&key(), "k2"), &provider(), NOW),
        Err(Fault::UnknownKey)
    );
    let other = p256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap();
    assert_eq!(
        judge(&token(&claims()), &keys(&other, "k1"), &provider(), NOW),
        Err(Fault::Signature)
    );
}

#[test]
fn s27_it_has_three_parts_and_at_most_16_kb() {
    let whole = token(&claims()).0;
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let header = whole.split('.').next().unwrap();
    for text in [
        String::new(),
        "a.b".to_owned(),
        signed.to_owned(),
        format!("{whole}.{signature}"),
        format!("{whole}="),
        format!("{whole} "),
        format!("{}.e30.{signature}", part(&json!(["alg"]))),
        format!(
            "{}.e30.{signature}",
            BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"ES256"}"#)
        ),
        format!("{header}.{}.{signature}", "e".repeat(16 * 1024)),
    ] {
        let fault = judge(&Secret(text.clone()), &keys(&key(), "k1"), &provider(), NOW);
        assert_eq!(fault, Err(Fault::Form), "{text}");
    }
}

#[test]
fn s27_claims_that_stand_twice_are_not_believed() {
    let header = json!({"alg": "ES256", "kid": "k1"});
    let text = claims().to_string().replacen('{', r#"{"sub":"other","#, 1);
    let signed = format!("{}.{}", part(&header), BASE64_URL_SAFE_NO_PAD.encode(text));
    let signature: p256::ecdsa::Signature = key().sign(signed.as_bytes());
    let token = Secret(format!(
        "{signed}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes())
    ));
    assert_eq!(
        judge(&token, &keys(&key(), "k1"), &provider(), NOW),
        Err(Fault::Claims)
    );
}

#[test]
fn s27_it_is_valid_now() {
    for (name, value, expected) in [
        ("exp", json!(NOW_S - 59), Ok(())),
        ("exp", json!(NOW_S - 60), Err(Fault::Time)),
        ("exp", json!(null), Err(Fault::Time)),
        ("exp", json!("1800000000"), Err(Fault::Time)),
        ("exp", json!(-1), Err(Fault::Time)),
        ("iat", json!(NOW_S - 600), Ok(())),
        ("iat", json!(NOW_S - 601), Err(Fault::Time)),
        ("iat", json!(NOW_S + 601), Err(Fault::Time)),
        ("iat", json!(null), Err(Fault::Time)),
        ("nbf", json!(NOW_S + 60), Ok(())),
        ("nbf", json!(NOW_S + 61), Err(Fault::Time)),
        ("nbf", json!("now"), Err(Fault::Time)),
    ] {
        assert_eq!(judge_with(name, &value), expected, "{name} {value}");
    }
}

#[test]
fn s28_the_issuer_is_the_entrys_in_one_of_its_spellings() {
    for (issuer, expected) in [
        (json!("https://accounts.google.com"), Ok(())),
        (json!("accounts.google.com"), Ok(())),
        (json!("https://accounts.google.com/"), Err(Fault::Issuer)),
        (json!("https://ACCOUNTS.google.com"), Err(Fault::Issuer)),
        (json!("https://evil.example"), Err(Fault::Issuer)),
        (json!(["https://accounts.google.com"]), Err(Fault::Issuer)),
        (json!(null), Err(Fault::Issuer)),
    ] {
        assert_eq!(judge_with("iss", &issuer), expected, "{issuer}");
    }
    // An entry without an issuer believes nobody.
    let nobody = test_provider();
    assert_eq!(
        judge(&token(&claims()), &keys(&key(), "k1"), &nobody, NOW),
        Err(Fault::Issuer)
    );
}

#[test]
fn s28_microsofts_issuer_holds_the_directory_that_the_token_names() {
    let mut microsoft = test_provider();
    let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
    microsoft.oauth.as_mut().unwrap().issuer = Some(issuer.to_owned());
    let tid = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let judge_of = |iss: &str, tid: &Value| {
        let mut claims = claims();
        claims["iss"] = iss.into();
        claims["tid"] = tid.clone();
        judge(&token(&claims), &keys(&key(), "k1"), &microsoft, NOW).map(|_| ())
    };
    let filled = issuer.replace("{tenantid}", tid);
    assert_eq!(judge_of(&filled, &json!(tid)), Ok(()));
    let other = "00000000-0000-0000-0000-000000000000";
    assert_eq!(judge_of(&filled, &json!(other)), Err(Fault::Issuer));
    assert_eq!(judge_of(issuer, &json!("{tenantid}")), Err(Fault::Issuer));
    assert_eq!(judge_of(&filled, &json!(null)), Err(Fault::Issuer));
    let path = "x/../y";
    assert_eq!(
        judge_of(&issuer.replace("{tenantid}", path), &json!(path)),
        Err(Fault::Issuer)
    );
}

#[test]
fn s28_the_audience_is_the_client_and_more_than_one_needs_azp() {
    for (audience, azp, expected) in [
        (json!("client"), json!(null), Ok(())),
        (json!(["client"]), json!(null), Ok(())),
        (json!("client"), json!("client"), Ok(())),
        (json!("client"), json!("other"), Err(Fault::Audience)),
        (json!("client"), json!(["client"]), Err(Fault::Audience)),
        (json!("other"), json!(null), Err(Fault::Audience)),
        (json!("other"), json!("client"), Err(Fault::Audience)),
        (json!(["client", "other"]), json!(null), Err(Fault::Audience)),
        (json!(["client", "other"]), json!("client"), Ok(())),
        (json!(["client", "other"]), json!("other"), Err(Fault::Audience)),
        (json!([]), json!("client"), Err(Fault::Audience)),
        (json!(null), json!("client"), Err(Fault::Audience)),
    ] {
        let mut claims = claims();
        claims["aud"] = audience.clone();
        if !azp.is_null() {
            claims["azp"] = azp.clone();
        }
        assert_eq!(judge_claims(&claims).map(|_| ()), expected, "{audience} {azp}");
    }
}

#[test]
fn s28_it_belongs_to_the_attempt_and_to_the_access_token() {
    assert_eq!(judge_with("nonce", &json!("n-2")), Err(Fault::Nonce));
    assert_eq!(judge_with("nonce", &json!(null)), Err(Fault::Nonce));
    assert_eq!(judge_with("sub", &json!("")), Err(Fault::Subject));
    assert_eq!(judge_with("sub", &json!(1234)), Err(Fault::Subject));
    let half = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(b"the access token")[..16]);
    assert_eq!(judge_with("at_hash", &json!(half)), Ok(()));
    let other = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(b"another")[..16]);
    for bad in [json!(other), json!(""), json!(1)] {
        assert_eq!(judge_with("at_hash", &bad), Err(Fault::AccessToken), "{bad}");
    }
}

/// `OpenID` Connect Core appendix A.3.
#[test]
fn s28_at_hash_is_the_known_answer() {
    let access_token = Secret("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y".to_owned());
    assert!(is_hash_of("77QmUPtjPfzWtF2AnpK9RQ", &access_token));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String, dots in "[A-Za-z0-9_-]{0,20}(\\.[A-Za-z0-9_-]{0,20}){0,4}") {
        let _ = parse(&Secret(text)).map(|_| ());
        let _ = parse(&Secret(dots)).map(|_| ());
    }

    /// One bit of the token otherwise, and it is not believed.
    #[test]
    fn whatever_is_changed_in_a_token_it_is_not_believed(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let whole = token(&claims()).0;
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != whole);
        prop_assert!(judge(&Secret(changed), &keys(&key(), "k1"), &provider(), NOW).is_err());
    }
}
