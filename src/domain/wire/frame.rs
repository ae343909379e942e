//! One JSON head and any number of byte strings behind it.
//!
//! ```text
//! u8 format (1) | u32 BE length of the head | head (JSON) | u32 BE count | count × (u32 BE length | bytes)
//! ```
//!
//! A webhook's body goes from the provider to the endpoint without being parsed, escaped or copied into text.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json;

const FORMAT: u8 = 1;

/// Bytes that are not a frame, or whose head is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// Cut off, or of another format.
    #[error("not a frame of format 1")]
    Form,
    /// The head is not the JSON that was expected.
    #[error("unexpected head: {0}")]
    Head(String),
}

/// Writes a frame.
///
/// # Errors
/// When the head cannot be written as JSON or a part is larger than 4 GiB.
pub fn encode<T: Serialize, B: AsRef<[u8]>>(head: &T, bodies: &[B]) -> Result<Vec<u8>, InvalidFrame> {
    let head = serde_json::to_vec(head).map_err(|e| InvalidFrame::Head(e.to_string()))?;
    let length = |n: usize| {
        u32::try_from(n)
            .map(u32::to_be_bytes)
            .map_err(|_| InvalidFrame::Form)
    };
    let size = 9 + head.len() + bodies.iter().map(|body| 4 + body.as_ref().len()).sum::<usize>();
    let mut out = Vec::with_capacity(size);
    out.push(FORMAT);
    out.extend_from_slice(&length(head.len())?);
    out.extend_from_slice(&head);
    out.extend_from_slice(&length(bodies.len())?);
    for body in bodies {
        out.extend_from_slice(&length(body.as_ref().len())?);
        out.extend_from_slice(body.as_ref());
    }
    Ok(out)
}

/// Reads a frame whole.
///
/// # Errors
/// When the bytes are no frame, or the head is not a `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<Vec<u8>>), InvalidFrame> {
    let mut rest = bytes;
    if take(&mut rest, 1)? != [FORMAT] {
        return Err(InvalidFrame::Form);
    }
    let head = sized(&mut rest)?;
    let head = std::str::from_utf8(head).map_err(|e| InvalidFrame::Head(e.to_string()))?;
    let head = json::read(head).map_err(|e| InvalidFrame::Head(e.to_string()))?;
    let count = number(&mut rest)?;
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(sized(&mut rest)?.to_vec());
    }
    if rest.is_empty() {
        Ok((head, bodies))
    } else {
        Err(InvalidFrame::Form)
    }
}

/// A frame as the value of a header: where a request can have no body.
#[must_use]
pub fn to_header(frame: &[u8]) -> String {
    hex::encode(frame)
}

/// The frame of a header; `None`: it holds none.
#[must_use]
pub fn from_header(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok()
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], InvalidFrame> {
    let (part, behind) = rest.split_at_checked(n).ok_or(InvalidFrame::Form)?;
    *rest = behind;
    Ok(part)
}

fn number(rest: &mut &[u8]) -> Result<usize, InvalidFrame> {
    let bytes = take(rest, 4)?.try_into().map_err(|_| InvalidFrame::Form)?;
    usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| InvalidFrame::Form)
}

fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], InvalidFrame> {
    let n = number(rest)?;
    take(rest, n)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_reads_back_as_it_was_written(head: String, bodies: Vec<Vec<u8>>) {
            let frame = encode(&head, &bodies).unwrap();
            prop_assert_eq!(decode::<String>(&frame).unwrap(), (head, bodies));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = decode::<serde_json::Value>(&bytes);
        }

        #[test]
        fn a_frame_that_was_cut_off_is_refused(head: String, body: Vec<u8>, at: prop::sample::Index) {
            let frame = encode(&head, &[body]).unwrap();
            prop_assert!(decode::<String>(&frame[..at.index(frame.len())]).is_err());
        }
    }
}
