//! The cookie that binds an attempt to the browser that began it (RFC 6749 section 10.12, RFC 9700 section 4.7).
//!
//! Its name has the prefix `__Host-`: browsers take it over https alone, for all paths, with `Secure` and without `Domain`,
//! so that no neighbouring host can plant one.

use std::collections::BTreeMap;

use postern_domain::oauth::Secret;
use url::{Host, Url};

/// What the object calls its cookies begins so.
const OURS: &str = "pc_";

/// Hex digits behind it.
const DIGITS: usize = 8;

/// As many of ours are looked at: a session has fewer attempts at a time.
const MOST: usize = 16;

/// The longest value.
const LONGEST: usize = 128;

/// How the cookie is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `__Host-`, `Secure`.
    Host,
    /// Without either: development on this machine, over http, where not every browser takes a `Secure` cookie (Safari
    /// takes none).
    Development,
}

impl Form {
    /// Of a deployment that is reached at `base_url`. Only http on a loopback address is development: of any other http
    /// the browser keeps no cookie, and nothing can be connected there.
    pub(super) fn of(base_url: &str) -> Self {
        let Ok(url) = Url::parse(base_url) else {
            return Self::Host;
        };
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() == "http" && here {
            Self::Development
        } else {
            Self::Host
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Host => "__Host-",
            Self::Development => "",
        }
    }

    const fn secure(self) -> &'static str {
        match self {
            Self::Host => " Secure;",
            Self::Development => "",
        }
    }

    /// `Set-Cookie` for an attempt.
    pub(super) fn set(self, name: &str, value: &Secret, seconds: u64) -> String {
        let (prefix, secure) = (self.prefix(), self.secure());
        let value = value.reveal();
        format!("{prefix}{name}={value}; Path=/;{secure} HttpOnly; SameSite=Lax; Max-Age={seconds}")
    }

    /// `Set-Cookie` that takes it away.
    pub(super) fn clear(self, name: &str) -> String {
        self.set(name, &Secret(String::new()), 0)
    }

    /// Our cookies of a `Cookie` header, by the object's names. Two of one name are none: only one can be ours.
    pub(super) fn read(self, header: &str) -> BTreeMap<String, Secret> {
        let mut found = BTreeMap::new();
        let mut twice = Vec::new();
        let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        for (name, value) in pairs {
            let Some(name) = name.strip_prefix(self.prefix()).filter(|name| is_ours(name)) else {
                continue;
            };
            if value.is_empty() || value.len() > LONGEST || found.len() >= MOST {
                continue;
            }
            if found.insert(name.to_owned(), Secret(value.to_owned())).is_some() {
                twice.push(name.to_owned());
            }
        }
        for name in twice {
            found.remove(&name);
        }
        found
    }
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(OURS).is_some_and(|digits| {
        digits.len() == DIGITS
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(form: Form, header: &str) -> Vec<String> {
        form.read(header).into_keys().collect()
    }

    #[test]
    fn a_deployment_sets_a_host_cookie_that_no_script_and_no_other_site_sends() {
        let form = Form::of("https://hooks.example.com");
        assert_eq!(
            form.set("pc_0123abcd", &Secret("v".to_owned()), 600),
            "__Host-pc_0123abcd=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
        );
        assert_eq!(
            form.clear("pc_0123abcd"),
            "__Host-pc_0123abcd=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn only_this_machine_over_http_goes_without_the_prefix() {
        for url in [
            "http://localhost:8787",
            "http://127.0.0.1:8787",
            "http://[::1]:8787",
            "http://a.localhost",
        ] {
            assert_eq!(Form::of(url), Form::Development, "{url}");
        }
        for url in [
            "https://localhost",
            "http://hooks.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "",
        ] {
            assert_eq!(Form::of(url), Form::Host, "{url}");
        }
    }

    #[test]
    fn a_cookie_without_the_prefix_is_none_of_a_deployments() {
        let header = "a=b; pc_0123abcd=planted; __Host-pc_0123abce=ours; __Host-pc_0123ABCD=x; __Host-pc_1=x";
        assert_eq!(names(Form::Host, header), ["pc_0123abce"]);
        assert_eq!(names(Form::Development, header), ["pc_0123abcd"]);
    }

    #[test]
    fn two_of_one_name_are_none() {
        let header = "__Host-pc_0123abcd=a; __Host-pc_0123abcd=b; __Host-pc_0123abce=c";
        assert_eq!(names(Form::Host, header), ["pc_0123abce"]);
    }

    #[test]
    fn no_header_makes_more_of_them_than_are_looked_at() {
        let header: Vec<String> = (0..100).map(|n| format!("__Host-pc_{n:08x}=v")).collect();
        assert_eq!(names(Form::Host, &header.join("; ")).len(), MOST);
        let long = format!("__Host-pc_0123abcd={}", "v".repeat(LONGEST + 1));
        assert_eq!(names(Form::Host, &long), Vec::<String>::new());
    }
}
