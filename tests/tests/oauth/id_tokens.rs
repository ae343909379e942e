//! Id tokens, against the crate `openidconnect`.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{AccessToken, AccessTokenHash, ClientId, ClientSecret, IssuerUrl, Nonce};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use postern_domain::oauth::Secret;
use postern_domain::oauth::id_token::{self, Expected, Fault};
use postern_domain::provider::{Check, KeySet, PublicKey};
use postern_domain::time::Millis;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::provider;

const NOW_S: u64 = 1_700_000_000;
const ACCESS: &str = "the access token";

fn key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn key_set() -> Value {
    let point = key(7).verifying_key().to_encoded_point(false);
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k1",
        "x": text(point.x().unwrap()), "y": text(point.y().unwrap()),
    }]})
}

fn token(seed: u8, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature: p256::ecdsa::Signature = key(seed).sign(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "k1"})
}

fn claims() -> Value {
    json!({
        "iss": "https://as.example", "sub": "1", "aud": "client", "nonce": "n-1",
        "iat": NOW_S - 5, "exp": NOW_S + 600,
    })
}

fn holds(check: &Check) -> bool {
    let PublicKey::P256 { x, y } = &check.key else {
        return false;
    };
    let point = p256::EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
    let key = p256::ecdsa::VerifyingKey::from_encoded_point(&point).unwrap();
    p256::ecdsa::Signature::from_slice(&check.signature)
        .is_ok_and(|signature| key.verify(&check.signed, &signature).is_ok())
}

/// The subject, where it is believed.
fn ours(token: &str) -> Result<String, Fault> {
    let token = Secret(token.to_owned());
    let unverified = id_token::parse(&token)?;
    let keys = KeySet::from_value(&key_set()).unwrap();
    let held = unverified.checks(&keys)?.iter().any(holds);
    let expected = Expected {
        client_id: "client",
        nonce: Some(&Secret("n-1".to_owned())),
        access_token: &Secret(ACCESS.to_owned()),
        now: Millis(NOW_S * 1000),
    };
    let claims = unverified.claims(held, &provider(|_| {}), &expected)?;
    Ok(claims.subject().to_owned())
}

/// The same by `openidconnect`, used as its documentation says: claims, then `at_hash`, whose check is the caller's. What
/// we check of `iat` is given to it as a rule of our own, since it has none.
fn theirs(token: &str) -> Result<String, String> {
    let keys: CoreJsonWebKeySet = serde_json::from_value(key_set()).map_err(|error| error.to_string())?;
    let now = chrono::DateTime::from_timestamp(NOW_S.try_into().unwrap(), 0).unwrap();
    let verifier = CoreIdTokenVerifier::new_confidential_client(
        ClientId::new("client".to_owned()),
        ClientSecret::new("the client's secret".to_owned()),
        IssuerUrl::new("https://as.example".to_owned()).unwrap(),
        keys,
    )
    .set_allowed_algs([
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    ])
    .set_time_fn(move || now);
    let token = CoreIdToken::from_str(token).map_err(|error| error.to_string())?;
    let nonce = Nonce::new("n-1".to_owned());
    let claims = token
        .claims(&verifier, &nonce)
        .map_err(|error| error.to_string())?;
    if let Some(told) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|error| error.to_string())?;
        let key = token.signing_key(&verifier).map_err(|error| error.to_string())?;
        let own = AccessTokenHash::from_token(&AccessToken::new(ACCESS.to_owned()), algorithm, key);
        if own.map_err(|error| error.to_string())? != *told {
            return Err("at_hash".to_owned());
        }
    }
    Ok(claims.subject().to_string())
}

fn with(name: &str, value: &Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value.clone();
    }
    claims
}

/// Each way in which a token can be wrong, alone.
fn any_change() -> impl Strategy<Value = (&'static str, Value)> {
    let now = i64::try_from(NOW_S).unwrap();
    prop_oneof![
        Just(("sub", json!("1"))),
        "[a-z]{1,8}".prop_map(|text| ("sub", json!(text))),
        "https://as\\.example[/a-z]{0,2}".prop_map(|text| ("iss", json!(text))),
        Just(("iss", Value::Null)),
        prop::sample::select(vec![
            json!("client"),
            json!(["client"]),
            json!("other"),
            json!([]),
            Value::Null
        ])
        .prop_map(|value| ("aud", value)),
        prop::sample::select(vec![json!("n-1"), json!("n-2"), json!(""), Value::Null])
            .prop_map(|value| ("nonce", value)),
        // Clocks may differ by a minute for us: nearer than that is among the differences.
        prop_oneof![-1_000_i64..-61, 1_i64..1_000].prop_map(move |s| ("exp", json!(now + s))),
        Just(("exp", Value::Null)),
        (-599_i64..599).prop_map(move |s| ("iat", json!(now + s))),
        Just(("iat", Value::Null)),
        prop::sample::select(vec![
            json!("zzzz"),
            Value::Null,
            json!(half_hash(ACCESS)),
            json!(half_hash("x"))
        ])
        .prop_map(|value| ("at_hash", value)),
    ]
}

fn half_hash(token: &str) -> String {
    let digest = postern_domain::digest::half_of(token.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}

proptest! {
    #[test]
    fn a_token_is_believed_where_openidconnect_believes_it((name, value) in any_change(), seed in 7_u8..9) {
        let token = token(seed, &header(), &with(name, &value));
        let (ours, theirs) = (ours(&token), theirs(&token));
        prop_assert_eq!(ours.clone().ok(), theirs.clone().ok(), "{} {}: {:?} {:?}", name, value, ours, theirs);
    }

    #[test]
    fn what_is_changed_on_its_way_neither_of_us_believes(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let whole = token(7, &header(), &claims());
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != whole);
        prop_assert!(ours(&changed).is_err());
        // Bits behind a part's end are passed over by them, so that several texts are one token; ours must be the one.
        let ends_a_part = matches!(whole.as_bytes().get(at + 1), None | Some(b'.'));
        prop_assert!(theirs(&changed).is_err() || ends_a_part);
    }
}

#[test]
fn a_whole_token_is_believed_by_both() {
    let token = token(7, &header(), &claims());
    assert_eq!(ours(&token).as_deref(), Ok("1"));
    assert_eq!(theirs(&token).as_deref(), Ok("1"));
}

#[test]
fn the_differences_are_these_and_each_has_its_reason() {
    let both = json!(["client", "other"]);
    let mut with_azp = with("aud", &both);
    with_azp["azp"] = json!("client");
    let mut other_azp = claims();
    other_azp["azp"] = json!("other");
    for (reason, header, claims, their, own) in [
        (
            "clocks differ by a minute",
            header(),
            with("exp", &json!(NOW_S - 30)),
            false,
            Ok(()),
        ),
        (
            "a token that comes straight from its maker was made now",
            header(),
            with("iat", &json!(NOW_S - 4_000)),
            true,
            Err(Fault::Time),
        ),
        (
            "what begins later is not valid now (RFC 7519 section 4.1.5)",
            header(),
            with("nbf", &json!(NOW_S + 4_000)),
            true,
            Err(Fault::Time),
        ),
        (
            "another audience is no harm where the token says that it was made for us (OpenID Connect Core 3.1.3.7)",
            header(),
            with_azp,
            false,
            Ok(()),
        ),
        (
            "a token made for another client is its own",
            header(),
            other_azp,
            true,
            Err(Fault::Audience),
        ),
    ] {
        let token = token(7, &header, &claims);
        assert_eq!(
            theirs(&token).is_ok(),
            their,
            "openidconnect: {reason}: {:?}",
            theirs(&token)
        );
        assert_eq!(ours(&token).map(|_| ()), own, "Postern: {reason}");
    }
}

/// A public key must never be taken for a shared secret, nor a missing signature for a good one.
#[test]
fn neither_of_us_believes_another_algorithm() {
    for alg in ["none", "HS256", "RS256", "ES384", "PS256"] {
        let token = token(7, &json!({"alg": alg, "kid": "k1"}), &claims());
        assert!(ours(&token).is_err(), "{alg}");
        assert!(theirs(&token).is_err(), "{alg}");
    }
}
