#![expect(clippy::unwrap_used, reason = "a test may")]

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// A row of the table. `href` is what the URL standard's parser makes of `url`, or null where none is asked (the text is
/// refused for its characters or length) or it finds no URL. `sent` is what leaves, without fragment and last dot.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    url: String,
    verdict: String,
    why: String,
    #[serde(default)]
    refusal: Option<String>,
    href: Option<String>,
    #[serde(default)]
    sent: Option<String>,
}

fn table() -> Vec<Row> {
    serde_json::from_str(include_str!("../../../tests/fixtures/addresses.json")).unwrap()
}

/// The hosts that the table calls this service.
fn production() -> Policy {
    Policy::new("", &["postern.example.com", "Postern.Acme.workers.dev."]).unwrap()
}

fn development() -> Policy {
    Policy::new("localhost", &["127.0.0.1:8787"]).unwrap()
}

fn refusal(policy: &Policy, url: &str) -> Option<Refusal> {
    policy.judge(url).err()
}

#[test]
fn where_nothing_goes_in_the_clear_plain_http_is_refused_and_nothing_else_changes() {
    let strict = production().https_only(true);
    assert_eq!(
        refusal(&strict, "http://shop.example.org/hook"),
        Some(Refusal::Plain)
    );
    assert_eq!(
        refusal(&strict, "HTTP://shop.example.org/hook"),
        Some(Refusal::Plain)
    );
    assert_eq!(refusal(&strict, "https://shop.example.org/hook"), None);
    assert_eq!(
        refusal(&strict, "https://10.0.0.1/"),
        Some(Refusal::PrivateAddress)
    );
    assert_eq!(refusal(&strict, "ftp://shop.example.org/"), Some(Refusal::Scheme));
    assert_eq!(
        refusal(&strict.https_only(false), "http://shop.example.org/hook"),
        None
    );
}

#[test]
fn each_url_of_the_table_gets_its_verdict_for_its_reason() {
    let policy = production();
    for row in table() {
        let Row {
            url, verdict, why, ..
        } = &row;
        match policy.judge(url) {
            Ok(target) => {
                assert_eq!(verdict, "public", "{url:?} must be refused: {why}");
                assert_eq!(Some(target.as_str()), row.sent.as_deref(), "{url:?}: {why}");
            }
            Err(refusal) => {
                assert_eq!(
                    verdict, "refused",
                    "{url:?} must be called: {why}, not {refusal:?}"
                );
                assert_eq!(Some(refusal.as_str()), row.refusal.as_deref(), "{url:?}: {why}");
            }
        }
    }
}

#[test]
fn each_url_of_the_table_is_read_as_the_url_standard_reads_it() {
    for row in table() {
        let href = parse(&row.url).ok().map(String::from);
        assert_eq!(href, row.href, "{:?}: {}", row.url, row.why);
    }
}

#[test]
fn the_table_is_large_and_holds_nothing_twice() {
    let rows = table();
    let mut urls: Vec<&str> = rows.iter().map(|row| row.url.as_str()).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), rows.len());
    assert!(rows.len() >= 500);
}

#[test]
fn a_target_knows_its_host() {
    let policy = production();
    for (url, host) in [
        ("https://EXAMPLE.com.:8443/a?b", "example.com"),
        ("http://134744072/", "8.8.8.8"),
        ("http://[2606:4700:0:0::1111]:81/", "[2606:4700::1111]"),
        ("https://münchen.example/", "xn--mnchen-3ya.example"),
    ] {
        assert_eq!(policy.judge(url).unwrap().host(), host);
    }
}

#[test]
fn a_shown_url_keeps_its_path_and_parameters_and_loses_every_value() {
    let policy = production();
    for (url, shown) in [
        ("https://example.com/a", "https://example.com/a"),
        ("https://example.com/a?", "https://example.com/a?"),
        (
            "https://example.com/a?token=s3cret",
            "https://example.com/a?token=REDACTED",
        ),
        (
            "https://example.com/?a=1&b=&c=x=y&s3cret",
            "https://example.com/?a=REDACTED&b=&c=REDACTED&REDACTED",
        ),
        ("https://example.com/?s3cret", "https://example.com/?REDACTED"),
        (
            "https://example.com/?&&a=1;b=s3cret",
            "https://example.com/?&&a=REDACTED",
        ),
        (
            "https://example.com/?%C3%A4=s3cret#s3cret",
            "https://example.com/?%C3%A4=REDACTED",
        ),
    ] {
        let target = policy.judge(url).unwrap();
        assert_eq!(target.shown(), shown);
        assert_eq!(format!("{target:?}"), format!("Target({shown})"));
        assert_eq!(policy.judge(shown).unwrap().as_str(), shown);
    }
}

#[test]
fn development_reaches_this_machine_in_every_spelling_and_nothing_else_that_is_private() {
    let policy = development();
    for url in [
        "http://localhost:3000/",
        "http://LOCALHOST.:3000/",
        "http://hooks.localhost/",
        "http://127.0.0.1:3000/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.9.9.9/",
        "http://[::1]:3000/",
        "https://example.com/",
    ] {
        assert_eq!(refusal(&policy, url), None, "{url}");
    }
    for (url, why) in [
        ("http://10.0.0.1/", Refusal::PrivateAddress),
        ("http://0.0.0.0/", Refusal::PrivateAddress),
        ("http://[::]/", Refusal::PrivateAddress),
        ("http://[::ffff:127.0.0.1]/", Refusal::PrivateAddress),
        ("http://169.254.169.254/", Refusal::Metadata),
        ("http://intranet/", Refusal::PrivateName),
        ("http://notlocalhost/", Refusal::PrivateName),
        ("http://localhost.local/", Refusal::PrivateName),
        ("http://a..localhost/", Refusal::Host),
        ("http://user@localhost/", Refusal::Userinfo),
        ("http://localhost:25/", Refusal::Port),
    ] {
        assert_eq!(refusal(&policy, url), Some(why), "{url}");
    }
}

#[test]
fn a_range_opens_itself_only() {
    let policy = Policy::new(" 10.1.0.0/16 , fd12::/16,192.168.1.7,", &[]).unwrap();
    for url in [
        "http://10.1.255.255/",
        "http://167837697/",
        "http://[fd12:ffff::1]/",
        "http://192.168.1.7/",
    ] {
        assert_eq!(refusal(&policy, url), None, "{url}");
    }
    for url in [
        "http://10.2.0.0/",
        "http://[fd13::1]/",
        "http://192.168.1.8/",
        "http://127.0.0.1/",
        "http://[::ffff:10.1.0.1]/",
        "http://[64:ff9b::10.1.0.1]/",
    ] {
        assert_eq!(refusal(&policy, url), Some(Refusal::PrivateAddress), "{url}");
    }
    assert_eq!(refusal(&policy, "http://localhost/"), Some(Refusal::PrivateName));
}

#[test]
fn the_range_of_loopback_addresses_does_not_open_the_name() {
    let policy = Policy::new("127.0.0.0/8,::1", &[]).unwrap();
    assert_eq!(refusal(&policy, "http://127.0.0.1/"), None);
    assert_eq!(refusal(&policy, "http://[::1]/"), None);
    assert_eq!(refusal(&policy, "http://localhost/"), Some(Refusal::PrivateName));
}

#[test]
fn a_metadata_service_is_called_only_where_its_one_address_is_named() {
    let everything = Policy::new("0.0.0.0/0,::/0,localhost", &[]).unwrap();
    for url in [
        "http://169.254.169.254/",
        "http://0xa9fea9fe/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://metadata.google.internal/",
    ] {
        assert_eq!(refusal(&everything, url), Some(Refusal::Metadata), "{url}");
    }
    assert_eq!(refusal(&everything, "http://169.254.169.253/"), None);
    let named = Policy::new("169.254.169.254", &[]).unwrap();
    assert_eq!(refusal(&named, "http://169.254.169.254/"), None);
    assert_eq!(
        refusal(&named, "http://169.254.169.253/"),
        Some(Refusal::PrivateAddress)
    );
    assert_eq!(
        refusal(&named, "http://[::ffff:169.254.169.254]/"),
        Some(Refusal::Metadata)
    );
}

#[test]
fn a_public_host_of_ours_is_refused_on_every_port() {
    for own in [
        "postern.example.com",
        "postern.example.com:8443",
        "POSTERN.example.com.:443",
        "8.8.8.8",
        "[2606:4700::1]:80",
    ] {
        let policy = Policy::new("", &[own]).unwrap();
        let host = own.to_lowercase();
        let host = ["postern.example.com", "8.8.8.8", "[2606:4700::1]"]
            .into_iter()
            .find(|known| host.starts_with(known))
            .unwrap();
        for port in ["", ":80", ":443", ":8443", ":9"] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}{port}/in/token");
                assert_eq!(refusal(&policy, &url), Some(Refusal::OwnHost), "{url} with {own}");
            }
        }
        assert_eq!(refusal(&policy, "https://example.com/"), None);
        assert_eq!(refusal(&policy, "https://a.postern.example.com/"), None);
    }
}

#[test]
fn a_laptop_is_itself_on_its_own_port_under_each_of_its_names() {
    for own in [
        "127.0.0.1:8787",
        "localhost:8787",
        "0.0.0.0:8787",
        "[::1]:8787",
        "a.localhost:8787",
    ] {
        let policy = Policy::new("localhost,0.0.0.0,::", &[own]).unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.0.2",
            "localhost",
            "LOCALHOST.",
            "x.localhost",
            "[::1]",
            "0.0.0.0",
            "[::]",
        ] {
            let url = format!("http://{host}:8787/in/token");
            assert_eq!(refusal(&policy, &url), Some(Refusal::OwnHost), "{url} with {own}");
            let url = format!("http://{host}:8788/in/token");
            assert_eq!(refusal(&policy, &url), None, "{url} with {own}");
        }
    }
    let default_port = Policy::new("localhost", &["localhost:80"]).unwrap();
    assert_eq!(
        refusal(&default_port, "http://localhost/"),
        Some(Refusal::OwnHost)
    );
    assert_eq!(refusal(&default_port, "https://localhost/"), None);
    let no_port = Policy::new("localhost", &["localhost"]).unwrap();
    assert_eq!(
        refusal(&no_port, "http://localhost:3000/"),
        Some(Refusal::OwnHost)
    );
}

#[test]
fn a_setting_that_cannot_be_read_is_refused_and_named() {
    for entry in [
        "10.0.0.0/33",
        "10.0.0.1/8",
        "example.com",
        "LOCALHOST",
        "*",
        "10.0.0.0-10.0.0.9",
        "0177.0.0.1",
    ] {
        let text = format!("127.0.0.0/8,{entry}");
        assert_eq!(
            Policy::new(&text, &[]).err(),
            Some(InvalidPolicy::Range(entry.to_owned())),
            "{entry}"
        );
    }
    for entry in [
        "",
        " ",
        "https://example.com",
        "example.com/",
        "example.com/a",
        "example.com?a",
        "example.com#a",
        "a@example.com",
        "example.com:http",
        "*.example.com",
        "example.com ",
        "::1",
        "exam%70le.com",
    ] {
        assert_eq!(
            Policy::new("", &["example.org", entry]).err(),
            Some(InvalidPolicy::OwnHost(entry.to_owned())),
            "{entry}"
        );
    }
}

#[test]
fn every_refusal_has_a_sentence_and_a_word_of_its_own() {
    let all = [
        Refusal::TooLong,
        Refusal::Unclean,
        Refusal::Malformed,
        Refusal::Scheme,
        Refusal::Userinfo,
        Refusal::Host,
        Refusal::Port,
        Refusal::PrivateAddress,
        Refusal::PrivateName,
        Refusal::Metadata,
        Refusal::OwnHost,
    ];
    for (place, one) in all.iter().enumerate() {
        assert_eq!(one.to_string(), one.sentence());
        for other in all.iter().skip(place + 1) {
            assert_ne!(one.sentence(), other.sentence());
            assert_ne!(one.as_str(), other.as_str());
        }
    }
    let rows = table();
    for one in all {
        assert!(
            rows.iter()
                .any(|row| row.refusal.as_deref() == Some(one.as_str())),
            "{one:?} is in the table"
        );
    }
}

fn private_v4() -> impl Strategy<Value = Ipv4Addr> {
    let within = |base: [u8; 4], prefix: u32| {
        let base = Ipv4Addr::from(base).to_bits();
        (0..=(u32::MAX >> prefix)).prop_map(move |low| Ipv4Addr::from_bits(base | low))
    };
    prop_oneof![
        within([0, 0, 0, 0], 8),
        within([10, 0, 0, 0], 8),
        within([100, 64, 0, 0], 10),
        within([127, 0, 0, 0], 8),
        within([169, 254, 0, 0], 16),
        within([172, 16, 0, 0], 12),
        within([192, 0, 0, 0], 24),
        within([192, 0, 2, 0], 24),
        within([192, 168, 0, 0], 16),
        within([198, 18, 0, 0], 15),
        within([198, 51, 100, 0], 24),
        within([203, 0, 113, 0], 24),
        within([224, 0, 0, 0], 4),
        within([240, 0, 0, 0], 4),
        Just(Ipv4Addr::new(169, 254, 169, 254)),
        Just(Ipv4Addr::new(100, 100, 100, 200)),
    ]
}

/// How a number of an address is written.
#[derive(Debug, Clone, Copy)]
struct Digits {
    base: u8,
    zeros: usize,
    upper: bool,
}

impl Digits {
    fn write(self, number: u32) -> String {
        let zeros = "0".repeat(self.zeros);
        match self.base {
            8 => format!("0{zeros}{number:o}"),
            16 if self.upper => format!("0X{zeros}{number:X}"),
            16 => format!("0x{zeros}{number:x}"),
            _ => number.to_string(),
        }
    }
}

fn digits() -> impl Strategy<Value = Digits> {
    (
        prop::sample::select(vec![8_u8, 10, 16]),
        0_usize..12,
        any::<bool>(),
    )
        .prop_map(|(base, zeros, upper)| Digits { base, zeros, upper })
}

/// The address in `parts` numbers, the last of which holds what is left.
fn spelt(address: Ipv4Addr, parts: u32, digits: &[Digits; 4], dot: &str) -> String {
    let bits = address.to_bits();
    let numbers: Vec<String> = (0..parts)
        .zip(digits)
        .map(|(place, digits)| {
            let number = if place + 1 == parts {
                bits & (u32::MAX >> (8 * place))
            } else {
                bits >> (24 - 8 * place) & 0xff
            };
            digits.write(number)
        })
        .collect();
    numbers.join(dot)
}

/// The same text in characters that a browser reads as the plain ones.
fn in_other_letters(text: &str, wide: u64) -> String {
    text.chars()
        .enumerate()
        .map(|(place, c)| match u32::from(c) {
            code @ 0x21..=0x7e if wide >> (place % 64) & 1 == 1 => char::from_u32(code + 0xfee0).unwrap(),
            _ => c,
        })
        .collect()
}

fn with_escapes(text: &str, escaped: u64) -> String {
    text.bytes()
        .enumerate()
        .map(|(place, byte)| {
            if escaped >> (place % 64) & 1 == 1 {
                format!("%{byte:02x}")
            } else {
                char::from(byte).to_string()
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_private_v4_address_is_refused_in_every_spelling(
        address in private_v4(),
        parts in 1_u32..=4,
        digits in [digits(), digits(), digits(), digits()],
        dot in prop::sample::select(vec![".", "。", "．", "｡"]),
        last_dot in any::<bool>(),
        wide in any::<u64>(),
        scheme in prop::sample::select(vec!["http", "https", "HTTP", "hTTps"]),
        port in prop::option::of(1_u16..),
    ) {
        let policy = production();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let last_dot = if last_dot { dot } else { "" };
        let host = format!("{}{last_dot}", spelt(address, parts, &digits, dot));
        let ours = [Refusal::PrivateAddress, Refusal::Metadata, Refusal::Port];
        for host in [host.clone(), in_other_letters(&host, wide)] {
            let url = format!("{scheme}://{host}{port}/");
            let refused = refusal(&policy, &url);
            prop_assert!(refused.is_some_and(|why| ours.contains(&why)), "{} is {:?}", url, refused);
        }
        for url in [
            format!("{scheme}://{}{port}/", with_escapes(&host, wide)),
            format!("{scheme}:{host}{port}/"),
            format!("{scheme}:/{host}{port}/"),
            format!("{scheme}:///{host}{port}/"),
            format!("{scheme}://example.com@{host}{port}/"),
            format!("{scheme}://example.com\\@{host}{port}/"),
            format!("{scheme}://{host}\\@{host}{port}/"),
            format!("\t{scheme}://{host}{port}/"),
        ] {
            prop_assert!(policy.judge(&url).is_err(), "{}", url);
        }
    }

    #[test]
    fn every_private_v4_address_is_refused_inside_ipv6(address in private_v4(), site in any::<[u16; 3]>()) {
        let policy = production();
        let [a, b] = [address.to_bits() >> 16, address.to_bits() & 0xffff].map(|half| u16::try_from(half).unwrap());
        let [x, y, z] = site;
        for outer in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, a, b),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 1, x, y, z, a, b),
            Ipv6Addr::new(0x2002, a, b, x, y, z, 0, 1),
            Ipv6Addr::new(0x2001, 0, x, y, z, 0, !a, !b),
        ] {
            let segments = outer.segments().map(|segment| format!("{segment:04X}")).join(":");
            for host in [outer.to_string(), segments] {
                let url = format!("http://[{host}]/");
                let refused = refusal(&policy, &url);
                prop_assert!(matches!(refused, Some(Refusal::PrivateAddress | Refusal::Metadata)), "{} is {:?}", url, refused);
            }
        }
    }

    #[test]
    fn an_address_is_judged_alike_in_every_spelling(
        bits in any::<u32>(),
        parts in 1_u32..=4,
        digits in [digits(), digits(), digits(), digits()],
    ) {
        let policy = production();
        let address = Ipv4Addr::from_bits(bits);
        let plain = policy.judge(&format!("http://{address}/"));
        prop_assert_eq!(policy.judge(&format!("http://{}/", spelt(address, parts, &digits, "."))), plain);
    }

    #[test]
    fn what_is_called_is_judged_again_to_the_same_text_and_so_is_what_is_shown(
        url in r#"(?i:https?)://([a-zA-Z0-9_äßｘ。.-]{1,12}\.)?(example\.com|EXAMPLE。org|8\.8\.8\.8|münchen\.example)\.?(:[0-9]{1,5})?(/[a-zA-Z0-9./?#%&=@:|^~'"<>`{}\[\]äß😀;-]{0,40})?"#
    ) {
        for policy in [production(), development()] {
            if let Ok(target) = policy.judge(&url) {
                prop_assert_eq!(policy.judge(target.as_str()), Ok(target.clone()));
                prop_assert!(target.as_str().is_ascii());
                prop_assert!(!target.as_str().contains(['#', ' ', '\\']));
                let shown = target.shown();
                prop_assert_eq!(policy.judge(&shown).map(|shown| shown.as_str().to_owned()), Ok(shown.clone()));
                let read = Url::parse(target.as_str()).unwrap();
                prop_assert_eq!(read.host_str(), Some(target.host()));
            }
        }
    }

    #[test]
    fn no_value_of_a_query_is_shown(secret in "[a-z0-9]{12}", name in "[a-z]{1,3}", other in "[a-z0-9=;%]{0,5}") {
        let policy = production();
        for query in [
            format!("{name}={secret}"),
            format!("{other}&{name}={secret}"),
            format!("{name}={other}{secret}&{other}"),
            secret.clone(),
            format!("{name}={other}={secret}"),
        ] {
            let target = policy.judge(&format!("https://example.com/?{query}")).unwrap();
            prop_assert!(!target.shown().contains(&secret), "{}", query);
            let logged = format!("{target:?}");
            prop_assert!(!logged.contains(&secret));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), host in any::<String>(), odd in r"[0-9a-fx.:/@%\\\[\]?#LOCAlhost。１-]{0,30}") {
        for policy in [production(), development()] {
            for url in [
                text.clone(),
                format!("http://{host}/"),
                format!("https://{odd}"),
                format!("http://[{odd}]/"),
                format!("http://{odd}{text}:{host}"),
            ] {
                if let Ok(target) = policy.judge(&url) {
                    prop_assert_eq!(policy.judge(target.as_str()), Ok(target));
                }
            }
        }
        prop_assert!(Policy::new(&text, &[&host]).is_err() || Policy::new("", &[&host]).is_ok());
        prop_assert!(Policy::new(&odd, &[&odd]).is_err() || Policy::new(&odd, &[]).is_ok());
    }
}
