//! RSA and P-256 by `WebCrypto`, which the domain leaves to its caller.

use postern_domain::provider::{Check, PublicKey};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = importKey, catch)]
    fn import_key(
        format: &str,
        key: &JsValue,
        algorithm: &JsValue,
        extractable: bool,
        uses: &JsValue,
    ) -> Result<js_sys::Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = verify, catch)]
    fn verify(
        algorithm: &JsValue,
        key: &JsValue,
        signature: &js_sys::Uint8Array,
        data: &js_sys::Uint8Array,
    ) -> Result<js_sys::Promise, JsValue>;
}

/// Whether each of these signatures holds. A key or a signature that cannot be read does not.
pub async fn hold(checks: &[Check]) -> Vec<bool> {
    let mut held = Vec::with_capacity(checks.len());
    for check in checks {
        held.push(holds(check).await.unwrap_or(false));
    }
    held
}

async fn holds(check: &Check) -> Result<bool, JsValue> {
    let (import, with) = match check.key {
        PublicKey::Rsa { .. } => {
            let algorithm = r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#;
            (algorithm, algorithm)
        }
        PublicKey::P256 { .. } => (
            r#"{"name":"ECDSA","namedCurve":"P-256"}"#,
            r#"{"name":"ECDSA","hash":"SHA-256"}"#,
        ),
    };
    let jwk = js_sys::JSON::parse(&check.key.to_jwk().to_string())?;
    let uses = js_sys::JSON::parse(r#"["verify"]"#)?;
    let imported = import_key("jwk", &jwk, &js_sys::JSON::parse(import)?, false, &uses)?;
    let key = JsFuture::from(imported).await?;
    let signature = js_sys::Uint8Array::from(check.signature.as_slice());
    let signed = js_sys::Uint8Array::from(check.signed.as_slice());
    let verified = verify(&js_sys::JSON::parse(with)?, &key, &signature, &signed)?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}
