//! A request's headers, as untrusted as the rest of it.

use std::fmt;

use super::verdict::{Reason, Rejection};

/// A multi-map whose names do not mind case. Values stay as they came: neither trimmed nor joined.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Headers in the order in which they came. A platform that joins repeated ones by `, ` may pass the joined value:
    /// every preset that reads a list reads that too.
    #[must_use]
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        Self(headers.into_iter().map(lower).collect())
    }

    /// The first value under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every value under a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All of them, names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a header that may stand there once only. Two of them are refused, not chosen from: the provider may
    /// have signed the other one.
    pub(super) fn single<'a>(&'a self, name: &'a str) -> Result<&'a str, Rejection> {
        let mut values = self.all(name);
        let value = values
            .next()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| missing(name))?;
        if values.next().is_some() {
            let detail = format!("The header {name} came more than once");
            return Err(Rejection::new(Reason::MalformedSignature, detail));
        }
        ascii(name, value)
    }

    /// The values of a header that may be sent several times.
    pub(super) fn several<'a>(&'a self, name: &'a str) -> Result<Vec<&'a str>, Rejection> {
        let values: Vec<&str> = self.all(name).filter(|value| !value.is_empty()).collect();
        if values.is_empty() {
            return Err(missing(name));
        }
        values.into_iter().map(|value| ascii(name, value)).collect()
    }
}

/// Values may be credentials: only the names are shown.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn missing(name: &str) -> Rejection {
    let detail = format!("The header {name} is not there, or empty");
    Rejection::new(Reason::MissingSignature, detail)
}

/// No scheme puts anything but ASCII here, and how other bytes became text differs from platform to platform.
fn ascii<'a>(name: &str, value: &'a str) -> Result<&'a str, Rejection> {
    if value.is_ascii() {
        return Ok(value);
    }
    let detail = format!("The header {name} holds something else than ASCII");
    Err(Rejection::new(Reason::MalformedSignature, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn names_do_not_mind_case() {
        let headers = headers(&[("X-SiGnAtUrE", "a")]);
        assert_eq!(headers.get("x-signature"), Some("a"));
        assert_eq!(headers.get("X-Signature"), Some("a"));
        assert_eq!(headers.get("X-Signatur"), None);
    }

    #[test]
    fn a_repeated_header_keeps_its_values_apart_and_is_not_single() {
        let headers = headers(&[("a", "1"), ("b", "2"), ("A", "3")]);
        assert_eq!(headers.all("a").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(
            headers.single("a").map_err(|rejection| rejection.reason),
            Err(Reason::MalformedSignature)
        );
        assert_eq!(headers.single("b"), Ok("2"));
    }

    #[test]
    fn an_empty_value_is_a_missing_one() {
        let headers = headers(&[("a", "")]);
        assert_eq!(
            headers.single("a").map_err(|rejection| rejection.reason),
            Err(Reason::MissingSignature)
        );
        assert_eq!(
            headers.several("a").map_err(|rejection| rejection.reason),
            Err(Reason::MissingSignature)
        );
    }

    #[test]
    fn values_are_not_shown_to_a_log() {
        let shown = format!("{:?}", headers(&[("X-Api-Key", "hunter2")]));
        assert_eq!(shown, r#"["x-api-key"]"#);
    }
}
