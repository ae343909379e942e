//! Answers that a receiver's firewall or bot protection gives in its endpoint's place.
//!
//! Each rule wants the name of the product on the answer and a mark that the product puts on what it stops, because most
//! products put their name on what they pass on, too. In doubt the answer counts as the endpoint's own.

use super::contains;

/// What one product puts on what it stops.
struct Product {
    /// A header that it adds, and what must stand in it; empty: anything.
    named: &'static [(&'static str, &'static str)],
    /// Words of the page that it shows, one of which must be there.
    page: &'static [&'static str],
}

/// Headers that nothing but a stopped request bears: `(name, what must stand in it)`.
const MARKS: [(&str, &str); 6] = [
    ("cf-mitigated", "challenge"),
    ("x-amzn-waf-action", "challenge"),
    ("x-amzn-waf-action", "captcha"),
    ("x-vercel-mitigated", ""),
    ("x-sucuri-block", ""),
    ("x-dd-b", ""),
];

const PRODUCTS: [Product; 7] = [
    // Cloudflare
    Product {
        named: &[("server", "cloudflare"), ("cf-ray", "")],
        page: &[
            "cf-error-details",
            "attention required! | cloudflare",
            "just a moment...",
            "/cdn-cgi/challenge-platform/",
            "error code: 1006",
            "error code: 1007",
            "error code: 1008",
            "error code: 1009",
            "error code: 1010",
            "error code: 1012",
            "error code: 1015",
            "error code: 1020",
        ],
    },
    // Akamai
    Product {
        named: &[
            ("server", "akamai"),
            ("akamai-grn", ""),
            ("x-akamai-request-id", ""),
        ],
        page: &["reference #", "reference&#32;&#35;", "errors.edgesuite.net"],
    },
    // Imperva
    Product {
        named: &[("x-iinfo", ""), ("x-cdn", "imperva"), ("x-cdn", "incapsula")],
        page: &["incapsula incident", "_incapsula_resource", "powered by imperva"],
    },
    // DataDome
    Product {
        named: &[("x-datadome", ""), ("x-datadome-cid", ""), ("server", "datadome")],
        page: &["captcha-delivery.com", "datadome"],
    },
    // Sucuri
    Product {
        named: &[("x-sucuri-id", ""), ("server", "sucuri")],
        page: &["sucuri website firewall", "sucuri cloudproxy"],
    },
    // Amazon CloudFront
    Product {
        named: &[("server", "cloudfront"), ("x-amz-cf-id", "")],
        page: &["request blocked"],
    },
    // Azure Front Door
    Product {
        named: &[("x-azure-ref", "")],
        page: &["the request is blocked"],
    },
];

/// Whether the answer is one of a firewall's.
pub(super) fn stopped(status: u16, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> bool {
    let bears = |(name, part): &(&str, &str)| {
        header(name).is_some_and(|value| part.is_empty() || contains(value.as_bytes(), part.as_bytes()))
    };
    match status {
        // Amazon's firewall asks a browser to prove itself with 202, and the endpoint never hears of it.
        202 => bears(&("x-amzn-waf-action", "challenge")),
        403 | 405 | 406 | 429 | 503 => {
            MARKS.iter().any(bears)
                || PRODUCTS.iter().any(|product| {
                    product.named.iter().any(bears)
                        && product.page.iter().any(|words| contains(body, words.as_bytes()))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(status: u16, headers: &[(&str, &str)], body: &str) -> bool {
        let header = |name: &str| {
            let found = headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_owned())
        };
        stopped(status, &header, body.as_bytes())
    }

    #[test]
    fn the_pages_of_the_well_known_products_are_recognised() {
        for (status, headers, body) in [
            (
                403,
                vec![("cf-mitigated", "challenge"), ("server", "cloudflare")],
                "",
            ),
            (
                503,
                vec![("server", "cloudflare")],
                "<title>Just a moment...</title>",
            ),
            (
                403,
                vec![("server", "cloudflare"), ("cf-ray", "7d-FRA")],
                "error code: 1020",
            ),
            (405, vec![("x-amzn-waf-action", "captcha")], ""),
            (202, vec![("x-amzn-waf-action", "challenge")], ""),
            (
                403,
                vec![("server", "AkamaiGHost")],
                "Access Denied ... Reference&#32;&#35;18&#46;2d1",
            ),
            (
                403,
                vec![("x-iinfo", "9-1"), ("x-cdn", "Imperva")],
                "Incapsula incident ID: 1-2",
            ),
            (
                403,
                vec![("x-datadome", "protected")],
                "{\"url\":\"https://geo.captcha-delivery.com/captcha/\"}",
            ),
            (403, vec![("x-dd-b", "3")], ""),
            (
                403,
                vec![("x-sucuri-id", "11005")],
                "<title>Sucuri WebSite Firewall - Access Denied</title>",
            ),
            (
                403,
                vec![("server", "CloudFront")],
                "<H2>The request could not be satisfied.</H2>Request blocked.",
            ),
            (
                403,
                vec![("x-azure-ref", "0a")],
                "<h2>The request is blocked.</h2>",
            ),
            (429, vec![("x-vercel-mitigated", "challenge")], ""),
        ] {
            assert!(of(status, &headers, body), "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn what_an_endpoint_behind_a_firewall_says_itself_is_its_own_answer() {
        for (status, headers, body) in [
            (
                403,
                vec![("server", "cloudflare"), ("cf-ray", "7d-FRA")],
                "{\"error\":\"bad signature\"}",
            ),
            (401, vec![("cf-mitigated", "challenge")], ""),
            (403, vec![("x-datadome", "protected")], "forbidden"),
            (403, vec![("x-iinfo", "9-1")], "no"),
            (
                403,
                vec![],
                "Request blocked. Reference #1 Just a moment... Incapsula incident",
            ),
            (503, vec![("server", "nginx")], "error code: 1020"),
            (500, vec![("server", "cloudflare")], "error code: 1020"),
            (200, vec![("x-amzn-waf-action", "challenge")], ""),
            (202, vec![("x-amzn-waf-action", "allow")], ""),
            (202, vec![("cf-mitigated", "challenge")], ""),
        ] {
            assert!(!of(status, &headers, body), "{status} {headers:?} {body}");
        }
    }

    proptest! {
        #[test]
        fn without_a_products_name_no_body_is_a_firewalls(status: u16, body: String) {
            prop_assert!(!of(status, &[("server", "nginx")], &body));
        }
    }
}
