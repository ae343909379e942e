//! Proofs of a callback beside `state`, where a provider gives one.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::Secret;
use super::provider::CallbackProof;

/// What every shop's host ends with.
const SHOPIFY: &str = ".myshopify.com";

/// Whether the callback's parameters prove themselves. `shop` is the shop that the session was made for; `parameters` are
/// all that came, `code` and `state` among them.
///
/// Shopify ("Implement authorization code grant manually", verify the installation request): `hmac` is the hex HMAC-SHA256,
/// with the client's secret, of all other parameters, sorted and joined as `name=value` with `&`.
#[must_use]
pub fn holds(
    proof: CallbackProof,
    secret: Option<&Secret>,
    shop: Option<&str>,
    parameters: &BTreeMap<String, String>,
) -> bool {
    let CallbackProof::Shopify = proof;
    let (Some(secret), Some(shop)) = (secret, shop) else {
        return false;
    };
    let told = parameters.get("hmac").and_then(|text| hex::decode(text).ok());
    let (Some(told), Some(from)) = (told, parameters.get("shop")) else {
        return false;
    };
    // The session's shop has the form that Shopify's names have, so what equals it has it too.
    if from.strip_suffix(SHOPIFY) != Some(shop) {
        return false;
    }
    let signed: Vec<String> = parameters
        .iter()
        .filter(|(name, _)| name.as_str() != "hmac")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return false;
    };
    mac.update(signed.join("&").as_bytes());
    mac.verify_slice(&told).is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn callback() -> BTreeMap<String, String> {
        let said = [
            ("code", "0907a61c0c8d55e99db179b68161bc00"),
            ("shop", "some-shop.myshopify.com"),
            ("state", "0.6784241404160823"),
            ("timestamp", "1337178173"),
        ];
        let mut said: BTreeMap<String, String> = said
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // Shopify's own example: its secret is `hush`.
        said.insert(
            "hmac".to_owned(),
            "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf".to_owned(),
        );
        said
    }

    fn proves(shop: &str, secret: &str, said: &BTreeMap<String, String>) -> bool {
        let secret = Secret(secret.to_owned());
        holds(CallbackProof::Shopify, Some(&secret), Some(shop), said)
    }

    #[test]
    fn s18_shopifys_own_example_holds() {
        assert!(proves("some-shop", "hush", &callback()));
    }

    #[test]
    fn s18_another_secret_shop_or_parameter_does_not() {
        assert!(!proves("some-shop", "hash", &callback()));
        assert!(!proves("other-shop", "hush", &callback()));
        for name in ["code", "timestamp", "shop", "hmac"] {
            let mut said = callback();
            said.get_mut(name).unwrap().push('0');
            assert!(!proves("some-shop", "hush", &said), "{name}");
            said.remove(name);
            assert!(!proves("some-shop", "hush", &said), "without {name}");
        }
        let mut said = callback();
        said.insert("more".to_owned(), "1".to_owned());
        assert!(!proves("some-shop", "hush", &said));
    }
}
