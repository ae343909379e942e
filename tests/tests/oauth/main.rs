//! Our client of `OAuth` against clients that others wrote: the same requests, the same reading of answers, the same
//! judgement of id tokens. Where they differ it is on purpose, and each difference stands here with its reason.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod answers;
mod id_tokens;
mod requests;

use postern_domain::oauth::provider::{OAuth, Provider};

/// A provider with nothing special.
fn provider(change: impl FnOnce(&mut OAuth)) -> Provider {
    let entry = serde_json::json!({
        "id": "plain",
        "name": "Plain",
        "kind": "oidc",
        "oauth": {
            "authorizeUrl": "https://as.example/authorize",
            "tokenUrl": "https://as.example/token",
            "issuer": "https://as.example",
            "pkce": "s256",
            "clientAuth": "post",
            "rotation": "strict",
        },
    });
    let mut provider: Provider = serde_json::from_value(entry).unwrap();
    change(provider.oauth.as_mut().unwrap());
    provider
}
