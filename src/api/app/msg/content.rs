//! A message's bytes, wherever they stand: beside the ledger's answer, or in the bucket, from which they come part by part
//! so that none of a large body waits in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use postern_domain::problem::Problem;
use postern_domain::wire::inbound::BodyAt;
use postern_platform::bodies;
use serde_json::json;

use crate::api::ask::Ask;
use crate::api::reply::{Answer, Chunks};

/// The bytes as they came, with the type that a stranger gave them: no browser may run them.
pub(super) async fn whole(
    ask: &Ask,
    content_type: &str,
    at: Option<&BodyAt>,
    bodies: Vec<Vec<u8>>,
) -> Result<Answer, Problem> {
    let body = bodies.into_iter().next().unwrap_or_default();
    match at {
        None => Ok(Answer::stranger(content_type, body)),
        Some(at) => {
            let chunks = from_bucket(ask, at).await?;
            Ok(Answer::stranger(content_type, Vec::new()).streaming(chunks))
        }
    }
}

/// The document of `…/raw` over a body in the bucket: always base64, which a body can become part by part.
pub(super) async fn as_text(ask: &Ask, content_type: &str, at: &BodyAt) -> Result<Answer, Problem> {
    let chunks = from_bucket(ask, at).await?;
    let end = format!(
        "\",\"contentType\":{},\"encoding\":\"base64\"}}",
        json!(content_type)
    );
    let state = (Some(chunks), Base64::default());
    let encoded = stream::unfold(state, move |(chunks, mut base64)| {
        let end = end.clone();
        async move {
            let mut chunks = chunks?;
            match chunks.next().await {
                Some(Ok(bytes)) => {
                    let text = base64.push(&bytes);
                    Some((Ok(text), (Some(chunks), base64)))
                }
                // The answer breaks off: what was read so far is no document.
                Some(Err(error)) => Some((Err(error), (None, base64))),
                None => {
                    let mut last = base64.finish();
                    last.extend_from_slice(end.as_bytes());
                    Some((Ok(last), (None, base64)))
                }
            }
        }
    });
    let begin = stream::iter([Ok(b"{\"payload\":\"".to_vec())]);
    Ok(Answer::stream(
        "application/json",
        begin.chain(encoded).boxed_local(),
    ))
}

async fn from_bucket(ask: &Ask, at: &BodyAt) -> Result<Chunks, Problem> {
    let found = bodies::stream(ask.env(), at).await.map_err(Problem::internal)?;
    found.ok_or_else(Problem::not_found)
}

/// Base64 of bytes that come in parts of any length.
#[derive(Default)]
struct Base64 {
    /// What is left of the last part: less than three bytes.
    left: Vec<u8>,
}

impl Base64 {
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.left.extend_from_slice(bytes);
        let whole = self.left.len() - self.left.len() % 3;
        let left = self.left.split_off(whole);
        STANDARD
            .encode(std::mem::replace(&mut self.left, left))
            .into_bytes()
    }

    fn finish(&mut self) -> Vec<u8> {
        STANDARD.encode(std::mem::take(&mut self.left)).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_parts_are_the_same_base64_as_at_once() {
        let bytes: Vec<u8> = (0..=255).collect();
        for step in [1, 2, 3, 4, 7, 100, 256] {
            let mut base64 = Base64::default();
            let mut text: Vec<u8> = bytes.chunks(step).flat_map(|part| base64.push(part)).collect();
            text.extend(base64.finish());
            assert_eq!(String::from_utf8(text), Ok(STANDARD.encode(&bytes)), "{step}");
        }
    }
}
