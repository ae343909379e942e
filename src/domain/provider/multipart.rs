//! Short fields out of a `multipart/form-data` body (RFC 7578), without touching the files in it.

/// The boundary in a content type; none: it is another one.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut parameters = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim().trim_matches('"');
    // At most 70 characters by RFC 2046 section 5.1.1.
    (1..=70).contains(&value.len()).then_some(value)
}

/// The text of a field that stands there once and has at most `max` bytes. One that stands there twice is none: whoever
/// signed it may have meant the other.
pub(super) fn field(body: &[u8], boundary: &str, name: &str, max: usize) -> Option<String> {
    let delimiter = format!("--{boundary}");
    let mut found =
        parts(body, delimiter.as_bytes()).filter(|part| named(part.head).as_deref() == Some(name));
    let part = found.next()?;
    if found.next().is_some() || part.content.len() > max {
        return None;
    }
    String::from_utf8(part.content.to_vec()).ok()
}

struct Part<'a> {
    head: &'a [u8],
    content: &'a [u8],
}

fn parts<'a>(body: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = Part<'a>> {
    let mut rest = body;
    let mut started = false;
    std::iter::from_fn(move || {
        loop {
            let at = find(rest, delimiter)?;
            let before = rest.get(..at)?;
            rest = rest.get(at + delimiter.len()..)?;
            if !started {
                started = true;
                continue;
            }
            // Between two delimiters: a line end, headers, an empty line, the content, a line end.
            let part = before
                .strip_prefix(b"\r\n")
                .and_then(|part| part.strip_suffix(b"\r\n"));
            let split = part.and_then(|part| {
                let end = find(part, b"\r\n\r\n")?;
                Some(Part {
                    head: part.get(..end)?,
                    content: part.get(end + 4..)?,
                })
            });
            if split.is_some() {
                return split;
            }
        }
    })
}

/// The field's name in a part's headers.
fn named(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let line = head.split("\r\n").find(|line| {
        let name = line.split(':').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("content-disposition")
    })?;
    let mut parameters = line.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("name"))?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nabc\r\n--b\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Type: text/plain\r\n\r\nname=\"token\"\r\n\
        --b\r\nContent-Disposition: form-data; name=\"twice\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; \
        name=\"twice\"\r\n\r\n2\r\n--b--\r\n";

    #[test]
    fn a_field_is_found_by_its_name_and_not_by_what_stands_in_another() {
        assert_eq!(field(BODY, "b", "token", 9).as_deref(), Some("abc"));
        assert_eq!(field(BODY, "b", "other", 9), None);
    }

    #[test]
    fn a_field_that_stands_twice_or_is_long_is_none() {
        assert_eq!(field(BODY, "b", "twice", 9), None);
        assert_eq!(field(BODY, "b", "token", 2), None);
    }

    #[test]
    fn only_a_form_of_parts_has_a_boundary() {
        assert_eq!(boundary("multipart/form-data; boundary=xyz"), Some("xyz"));
        assert_eq!(
            boundary("Multipart/Form-Data; charset=utf-8; boundary=\"xyz\""),
            Some("xyz")
        );
        for text in [
            "",
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(boundary(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, cut in 0_usize..200) {
            let _ = field(&body, "b", "token", 9);
            let _ = field(BODY.get(..cut).unwrap_or(BODY), "b", "token", 9);
        }
    }
}
