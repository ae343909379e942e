//! What proxies and frameworks make of a body.

use serde_json::Value;

/// A larger body is not written anew: the mistakes show on small ones too.
const MAX: usize = 1 << 20;

/// Bodies that the sender may have signed, with what happened to them on the way.
pub(super) fn variants(body: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const ANEW: &str = "body_written_anew";
    if body.len() > MAX {
        return Vec::new();
    }
    let mut list = Vec::new();
    let mut add = |code, sentence, body: Option<Vec<u8>>| {
        if let Some(body) = body {
            list.push((code, sentence, body));
        }
    };
    let compact = compact(body);
    add(
        ANEW,
        "The sender signed the JSON without spaces: something on the way, or the sender itself, wrote it anew.",
        compact.clone(),
    );
    add(
        ANEW,
        "The sender signed the JSON with a blank after each colon and comma, as Python writes it.",
        compact.as_deref().map(|body| spaced(body, false)),
    );
    add(
        ANEW,
        "The sender signed the JSON in lines with two blanks of indentation.",
        compact.as_deref().map(|body| spaced(body, true)),
    );
    let value: Option<Value> = serde_json::from_slice(body).ok();
    add(
        ANEW,
        "The sender signed the JSON with its keys in order and without spaces.",
        value.and_then(|value| serde_json::to_vec(&value).ok()),
    );
    let text = std::str::from_utf8(body).ok();
    add(
        "body_line_ends",
        "The sender signed the body with CRLF line ends, and it arrived with LF.",
        text.map(|text| text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()),
    );
    add(
        "body_line_ends",
        "The sender signed the body with LF line ends, and it arrived with CRLF.",
        text.map(|text| text.replace("\r\n", "\n").into_bytes()),
    );
    add(
        "body_end",
        "The sender signed the body without the white space at its ends.",
        Some(body.trim_ascii().to_vec()),
    );
    for (sentence, end) in [
        (
            "The sender signed the body with a line end that did not arrive.",
            "\n",
        ),
        (
            "The sender signed the body with a CRLF at its end that did not arrive.",
            "\r\n",
        ),
    ] {
        add("body_end", sentence, Some([body, end.as_bytes()].concat()));
    }
    let mark = "\u{feff}".as_bytes();
    add(
        "body_mark",
        "The sender signed the body without the byte order mark that it arrived with.",
        body.strip_prefix(mark).map(<[u8]>::to_vec),
    );
    add(
        "body_mark",
        "The sender signed the body with a byte order mark that did not arrive.",
        Some([mark, body].concat()),
    );
    add(
        "body_empty",
        "The sender signed an empty body: the body got lost before it was signed, or it is not signed at all.",
        Some(Vec::new()),
    );
    list
}

/// JSON without the space between its tokens, in its own order.
fn compact(body: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).ok()?;
    let mut out = Vec::with_capacity(body.len());
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        if in_text || !byte.is_ascii_whitespace() {
            out.push(*byte);
        }
        match (in_text, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, false, b'"') => in_text = !in_text,
            _ => {}
        }
    }
    Some(out)
}

/// Compact JSON with blanks, or with lines.
fn spaced(compact: &[u8], lines: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut in_text, mut escaped, mut depth) = (false, false, 0_usize);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth.min(64) * 2));
    };
    let mut bytes = compact.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let opens = matches!(byte, b'{' | b'[');
        let closes = matches!(byte, b'}' | b']');
        if !in_text && closes {
            depth = depth.saturating_sub(1);
            let was_empty = matches!(out.last(), Some(b'{' | b'['));
            if lines && !was_empty {
                line(&mut out, depth);
            }
        }
        out.push(byte);
        match (in_text, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, false, b'"') => in_text = !in_text,
            (false, _, b',') if lines => line(&mut out, depth),
            (false, _, b':' | b',') => out.push(b' '),
            (false, _, _) if opens => {
                depth += 1;
                let is_empty = matches!(bytes.peek(), Some(b'}' | b']'));
                if lines && !is_empty {
                    line(&mut out, depth);
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn spaces_inside_of_texts_stay() {
        assert_eq!(
            compact(br#" { "a b" : "c \" : d" , "e" : [ 1 , 2 ] } "#).unwrap(),
            br#"{"a b":"c \" : d","e":[1,2]}"#
        );
    }

    #[test]
    fn json_is_written_as_others_write_it() {
        let value = json!({"a": [1, {"b": "x,y:{"}], "c": {}, "d": []});
        let compact = serde_json::to_vec(&value).unwrap();
        assert_eq!(spaced(&compact, true), serde_json::to_vec_pretty(&value).unwrap());
        let python = br#"{"a": [1, {"b": "x,y:{"}], "c": {}, "d": []}"#;
        assert_eq!(spaced(&compact, false), python);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, text in "[\\[\\]{},:\" \\\\a1]*") {
            let _ = variants(&body);
            let _ = spaced(&body, true);
            let _ = variants(text.as_bytes());
        }
    }
}
