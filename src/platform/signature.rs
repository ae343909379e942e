//! RSA and P-256 by `WebCrypto`, which the domain leaves to its caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::{Code, Problem};
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

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = sign, catch)]
    fn sign(
        algorithm: &JsValue,
        key: &JsValue,
        data: &js_sys::Uint8Array,
    ) -> Result<js_sys::Promise, JsValue>;
}

/// RS256 in `WebCrypto`'s words.
const RS256: &str = r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#;

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
        PublicKey::Rsa { .. } => (RS256, RS256),
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

/// Signs with RS256.
///
/// # Errors
/// [`Code::Validation`] when the key is no RSA key in PKCS #8; its text is in no message.
pub async fn sign_rs256(pem: &str, data: &[u8]) -> Result<Vec<u8>, Problem> {
    let key = from_pem(pem).ok_or_else(no_key)?;
    sign_with(&key, data).await.map_err(|_| no_key())
}

async fn sign_with(pkcs8: &[u8], data: &[u8]) -> Result<Vec<u8>, JsValue> {
    let algorithm = js_sys::JSON::parse(RS256)?;
    let uses = js_sys::JSON::parse(r#"["sign"]"#)?;
    let bytes = js_sys::Uint8Array::from(pkcs8);
    let imported = import_key("pkcs8", &bytes.into(), &algorithm, false, &uses)?;
    let key = JsFuture::from(imported).await?;
    let signed = sign(&algorithm, &key, &js_sys::Uint8Array::from(data))?;
    Ok(js_sys::Uint8Array::new(&JsFuture::from(signed).await?).to_vec())
}

/// What stands between the lines of a PEM text (RFC 7468).
fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let inside = pem.split_once("-----BEGIN PRIVATE KEY-----")?.1;
    let inside = inside.split_once("-----END PRIVATE KEY-----")?.0;
    let digits: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

fn no_key() -> Problem {
    Problem::new(
        Code::Validation,
        "The private key must be an RSA key in PKCS #8: a text that begins with -----BEGIN PRIVATE KEY-----",
    )
}
