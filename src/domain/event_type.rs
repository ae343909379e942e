//! Names of event types, the patterns and channels by which endpoints choose among messages.
//!
//! A name is flat text for the sender and a path for whoever filters: `.`, `/` and `:` part its segments, and an
//! endpoint's pattern may leave the last ones open. There are no other wildcards: what an endpoint gets must be plain
//! to whoever reads its list.

/// The most characters of a name or pattern.
const MAX_NAME: usize = 256;

/// The most characters of a channel.
const MAX_CHANNEL: usize = 128;

const BAD_NAME: &str = "must be 1 to 256 of A-Z a-z 0-9 - _ . / :";
const BAD_PATTERN: &str = "must be an event type (1 to 256 of A-Z a-z 0-9 - _ . / :), `*` for all, or end in a segment `*` as in `invoice.*`";
const BAD_CHANNEL: &str = "must be 1 to 128 of A-Z a-z 0-9 - _ .";

/// Whether `name` is the name of an event type. The error is a sentence for whoever sent it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if is_name(name) { Ok(()) } else { Err(BAD_NAME) }
}

/// Whether `pattern` may stand in an endpoint's list: a name, `*` for every type, or a name whose last segment is `*`.
pub fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    let fits = pattern.len() <= MAX_NAME && (pattern == "*" || open_prefix(pattern).is_some_and(is_name));
    if fits || is_name(pattern) {
        Ok(())
    } else {
        Err(BAD_PATTERN)
    }
}

/// Whether `channel` is the name of a channel.
pub fn check_channel(channel: &str) -> Result<(), &'static str> {
    let form = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if (1..=MAX_CHANNEL).contains(&channel.len()) && channel.bytes().all(form) {
        Ok(())
    } else {
        Err(BAD_CHANNEL)
    }
}

/// Whether an endpoint with these patterns wants messages of `event_type`. Without a list it wants all; an empty list,
/// which the API does not take, wants none. `invoice.*` covers `invoice.paid` and `invoice.item.added`, not `invoice`.
#[must_use]
pub fn wants(patterns: Option<&[String]>, event_type: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| covers(pattern, event_type)))
}

/// Whether an endpoint on these channels hears a message that was sent on those. An endpoint without channels hears
/// every message; one with channels hears only messages that share one with it, so none that was sent on no channel.
#[must_use]
pub fn hears(endpoint_channels: Option<&[String]>, message_channels: Option<&[String]>) -> bool {
    endpoint_channels.is_none_or(|listens| {
        message_channels.is_some_and(|sent| sent.iter().any(|channel| listens.contains(channel)))
    })
}

fn covers(pattern: &str, event_type: &str) -> bool {
    pattern == "*"
        || pattern == event_type
        || open_prefix(pattern).is_some_and(|prefix| {
            event_type
                .strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        })
}

/// `invoice.` of `invoice.*`: what comes before a `*` that is a whole last segment.
fn open_prefix(pattern: &str) -> Option<&str> {
    pattern
        .strip_suffix('*')
        .filter(|prefix| prefix.ends_with(['.', '/', ':']))
}

fn is_name(text: &str) -> bool {
    let form = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'/' | b':');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_names_that_providers_and_products_use_are_names() {
        for name in [
            "invoice.paid",
            "customer.subscription.trial_will_end",
            "orders/create",
            "pull_request:opened",
            "v1/invoice.item-added:eu",
            "A",
            &"a".repeat(256),
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
            assert_eq!(check_pattern(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn other_texts_are_no_names() {
        for name in [
            "",
            " ",
            "invoice paid",
            "invoice.paid\n",
            "*",
            "invoice.*",
            "facturé",
            "a,b",
            "a%2e",
            &"a".repeat(257),
        ] {
            assert_eq!(check_name(name), Err(BAD_NAME), "{name}");
        }
    }

    #[test]
    fn a_pattern_is_open_only_in_its_whole_last_segment() {
        for pattern in ["*", "invoice.*", "invoice.item.*", "orders/*", "pull_request:*"] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
        }
        for pattern in [
            "",
            "**",
            "invoice*",
            "*.paid",
            "invoice.*.paid",
            "invoice.**",
            "in*ce",
            "*invoice",
            "invoice.* ",
            "é.*",
            &format!("{}.*", "a".repeat(255)),
        ] {
            assert_eq!(check_pattern(pattern), Err(BAD_PATTERN), "{pattern}");
        }
        assert_eq!(check_pattern(&format!("{}.*", "a".repeat(254))), Ok(()));
    }

    #[test]
    fn an_endpoint_without_a_list_wants_every_type() {
        assert!(wants(None, "invoice.paid"));
        assert!(wants(Some(&list(&["*"])), "invoice.paid"));
        assert!(!wants(Some(&[]), "invoice.paid"));
    }

    #[test]
    fn an_open_pattern_covers_every_deeper_name_and_not_its_own_stem() {
        let patterns = list(&["customer.created", "invoice.*", "orders/*"]);
        for wanted in [
            "customer.created",
            "invoice.paid",
            "invoice.item.added",
            "orders/create",
        ] {
            assert!(wants(Some(&patterns), wanted), "{wanted}");
        }
        for unwanted in [
            "invoice",
            "invoice.",
            "invoices.paid",
            "Invoice.paid",
            "customer",
            "customer.created.twice",
            "orders.create",
            "",
        ] {
            assert!(!wants(Some(&patterns), unwanted), "{unwanted}");
        }
    }

    #[test]
    fn a_channel_has_no_slash_and_128_characters_at_most() {
        for channel in ["a", "project_1.eu-west", &"c".repeat(128)] {
            assert_eq!(check_channel(channel), Ok(()), "{channel}");
        }
        for channel in ["", "a b", "a/b", "a:b", "*", "é", &"c".repeat(129)] {
            assert_eq!(check_channel(channel), Err(BAD_CHANNEL), "{channel}");
        }
    }

    #[test]
    fn an_endpoint_without_channels_hears_all_and_one_with_channels_what_it_shares() {
        let (eu, us) = (list(&["eu", "all"]), list(&["us"]));
        assert!(hears(None, None));
        assert!(hears(None, Some(&us)));
        assert!(hears(Some(&eu), Some(&list(&["us", "eu"]))));
        assert!(!hears(Some(&eu), Some(&us)));
        assert!(!hears(Some(&eu), None));
        assert!(!hears(Some(&eu), Some(&[])));
        assert!(!hears(Some(&[]), Some(&us)));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_only_patterns_with_a_star_are_more_than_names(text in any::<String>(), name in any::<String>()) {
            let name_holds = check_name(&text).is_ok();
            let pattern_holds = check_pattern(&text).is_ok();
            prop_assert_eq!(pattern_holds && !text.contains('*'), name_holds);
            prop_assert_eq!(check_channel(&text).is_ok() && text.len() > 128, false);
            prop_assert_eq!(wants(Some(std::slice::from_ref(&text)), &name) && !text.contains('*'), text == name);
        }

        #[test]
        fn every_name_is_covered_by_itself_and_by_each_of_its_open_stems(segments in prop::collection::vec("[a-z0-9_-]{1,8}", 1..6), separator in "[./:]") {
            let name = segments.join(&separator);
            prop_assert_eq!(check_name(&name), Ok(()));
            prop_assert!(wants(Some(std::slice::from_ref(&name)), &name));
            for open in 0..segments.len() {
                let stem: String = segments.iter().take(open).flat_map(|segment| [segment.as_str(), separator.as_str()]).collect();
                let pattern = format!("{stem}*");
                prop_assert_eq!(check_pattern(&pattern), Ok(()), "{}", &pattern);
                prop_assert!(wants(Some(std::slice::from_ref(&pattern)), &name), "{} of {}", &pattern, &name);
            }
        }

        #[test]
        fn hearing_is_sharing(endpoint in prop::option::of(prop::collection::vec("[ab]{1,2}", 0..3)), message in prop::option::of(prop::collection::vec("[ab]{1,2}", 0..3))) {
            let shares = endpoint.iter().flatten().any(|channel| message.iter().flatten().any(|other| other == channel));
            prop_assert_eq!(hears(endpoint.as_deref(), message.as_deref()), endpoint.is_none() || shares);
        }
    }
}
