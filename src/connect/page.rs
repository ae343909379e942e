//! The pages. Everything that is not ours is escaped by the templates; nothing in them runs.

use maud::{DOCTYPE, Markup, html};
use postern_domain::id::ConnectionId;
use postern_domain::wire::connection::{Outcome, ResultPage, SessionPage, SessionState};

use super::answer::Words;

/// The pages' stylesheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// What a page is about, before a word is read.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Good,
    Bad,
    Wait,
}

/// A session's page: who is asked for what, and one link.
pub(super) fn session(session: &SessionPage, connection: ConnectionId, link: &str) -> Markup {
    let provider = &session.provider;
    match session.state {
        SessionState::Open => {
            let title = match &session.account {
                Some(_) => format!("Reconnect {provider}"),
                None => format!("Connect {provider}"),
            };
            let content = html! {
                @if session.account.is_some() {
                    p { "This account was connected before. Sign in with the same one." }
                }
                @if session.label.is_some() || session.account.is_some() {
                    dl {
                        @if let Some(label) = &session.label { dt { "Connection" } dd { (label) } }
                        @if let Some(account) = &session.account { dt { "Account" } dd { (account) } }
                    }
                }
                @if session.asked.is_empty() {
                    p { (provider) " will ask you to sign in, and show you what is asked for." }
                } @else {
                    h2 { "What is asked for" }
                    (list(&session.asked))
                }
                p.act {
                    a.first href={ "/connect/" (link) "/go" } rel="nofollow noreferrer" {
                        "Continue to " (provider)
                    }
                }
                p.soft { "You sign in at " (provider) "; your password does not come here. You can still say no there." }
                p.soft { "This link works once, within 30 minutes. Do not pass it on." }
                (id_of(connection))
            };
            whole(&title, Some(&lettered(provider)), &content)
        }
        SessionState::Expired => {
            let content = html! {
                p { "Links to connect an account work for 30 minutes, and this one is older. Nothing was changed." }
                p { "Go back to where you got it, and ask for a new one." }
                (id_of(connection))
            };
            whole("This link has expired", Some(&drawn(Mark::Wait)), &content)
        }
        SessionState::Connected => {
            let content = html! {
                p { (provider) " is connected already by this link." }
                @if let Some(account) = &session.account {
                    dl { dt { "Account" } dd { (account) } }
                }
                p { "There is nothing more to do: you can close this page." }
                (id_of(connection))
            };
            whole("Already connected", Some(&drawn(Mark::Good)), &content)
        }
    }
}

/// How an attempt ended.
pub(super) fn result(
    result: &ResultPage,
    connection: ConnectionId,
    back: Option<&str>,
    again: Option<&str>,
) -> Markup {
    let provider = &result.provider;
    let (mark, title, text) = sentences(result);
    let is_connected = matches!(mark, Mark::Good) || result.outcome == Outcome::MissingScopes;
    let content = html! {
        (text)
        @if let Some(words) = result.words.as_ref().filter(|_| result.outcome != Outcome::Lost) {
            p.soft { "The reason, in the words in which it came:" }
            blockquote.words { (words) }
        }
        @if again.is_none() && !is_connected && result.outcome != Outcome::Underway {
            p { "The link that you followed is used up. If this is still wanted, ask for a new one where you got it." }
        }
        @if back.is_some() || again.is_some() {
            p.act {
                @if let Some(again) = again {
                    a.first href=(again) rel="nofollow noreferrer" { "Try again" span.unseen { " to connect " (provider) } }
                }
                @if let Some(back) = back {
                    a.first[again.is_none()] href=(back) rel="noreferrer" { "Go back" }
                }
            }
        } @else if result.outcome != Outcome::Underway {
            p.soft { "You can close this page." }
        }
        (id_of(connection))
    };
    whole(&title, Some(&drawn(mark)), &content)
}

/// A page that says one thing whoever asks.
pub(super) fn words(words: Words) -> Markup {
    let (mark, title, text) = match words {
        Words::Expired => (
            Mark::Wait,
            "This attempt is over",
            "It was used already, or it took longer than ten minutes. Nothing was changed. Open the link that you were given again, or ask for a new one.",
        ),
        Words::OtherBrowser => (
            Mark::Wait,
            "Opened in another browser",
            "You came back in another browser than the one in which you began, or this one keeps no cookies. Nothing was changed. Open the link that you were given in the browser in which you sign in, and allow cookies there.",
        ),
        Words::Unreadable => (
            Mark::Bad,
            "The provider's answer cannot be read",
            "What came back is incomplete, or is not from the provider that was asked. Nothing was changed. Open the link that you were given again; if this comes back, tell whoever gave it to you.",
        ),
        Words::TooOften => (
            Mark::Wait,
            "Too many attempts",
            "This link was followed too often, and leads nowhere any more. Go back to where you got it, and ask for a new one.",
        ),
        Words::Busy => (
            Mark::Wait,
            "Too busy at the moment",
            "Wait a moment and open the link that you were given again.",
        ),
        Words::Broken => (
            Mark::Bad,
            "Something went wrong here",
            "This is our fault, not yours. Open the link that you were given again in a few minutes.",
        ),
        Words::FetchedAhead => (
            Mark::Wait,
            "Not fetched ahead of time",
            "Follow the link to begin.",
        ),
    };
    whole(title, Some(&drawn(mark)), &html! { p { (text) } })
}

/// A link that is none of ours, or of a connection that is not there any more.
pub(super) fn unknown_link() -> Markup {
    let content = html! {
        p { "It may be incomplete, or what it was made for is gone." }
        p { "Go back to where you got it, and ask for a new one." }
    };
    whole("This link is not known", Some(&drawn(Mark::Bad)), &content)
}

/// A path that is none.
pub(super) fn nothing_here() -> Markup {
    whole(
        "There is nothing here",
        Some(&drawn(Mark::Bad)),
        &html! { p { "Open the link that you were given, whole: it may have been cut." } },
    )
}

fn sentences(result: &ResultPage) -> (Mark, String, Markup) {
    let provider = &result.provider;
    let account = result.account.as_deref();
    let connected = html! {
        @if let Some(account) = account {
            dl { dt { "Account" } dd { (account) } }
        }
    };
    match result.outcome {
        Outcome::Connected => (Mark::Good, format!("{provider} is connected"), connected),
        Outcome::AlreadyConnected => (
            Mark::Good,
            "Already connected".to_owned(),
            html! {
                p { (provider) " is connected by this link already; nothing was changed." }
                (connected)
            },
        ),
        Outcome::MissingScopes => (
            Mark::Wait,
            format!("{provider} is connected, with less than was asked for"),
            html! {
                (connected)
                p { "These were not given, and what needs them will not work:" }
                (list(&result.missing))
                p { "To give them too, ask for a new link, and leave all of them ticked." }
            },
        ),
        Outcome::RefusedScopes => (
            Mark::Bad,
            "Not connected: something was left out".to_owned(),
            html! {
                p { "All of what is asked for is needed. These were not given:" }
                (list(&result.missing))
                p { "Try again, and leave all of them ticked." }
            },
        ),
        Outcome::Denied => (
            Mark::Wait,
            "Not connected".to_owned(),
            html! { p { "You said no at " (provider) ", or left there. Nothing was changed." } },
        ),
        Outcome::Expired => (
            Mark::Wait,
            "This attempt is over".to_owned(),
            html! { p { "It took longer than ten minutes. Nothing was changed." } },
        ),
        Outcome::OtherBrowser => (
            Mark::Wait,
            "Opened in another browser".to_owned(),
            html! { p { "You came back in another browser than the one in which you began. Nothing was changed." } },
        ),
        Outcome::OtherAccount => (
            Mark::Bad,
            "This is another account".to_owned(),
            html! {
                p { "The connection is for one account at " (provider) ", and you came back with another. Nothing was changed." }
                dl {
                    @if let Some(account) = account { dt { "It is for" } dd { (account) } }
                    @if let Some(other) = &result.other_account { dt { "You came with" } dd { (other) } }
                }
                p { "Sign out at " (provider) ", then try again with the right one." }
            },
        ),
        Outcome::ProviderError => (
            Mark::Bad,
            format!("{provider} did not connect"),
            html! {
                p { (provider) " answered with an error. Nothing was changed." }
                p { "Try again in a few minutes. If it comes back, send the reason and the connection's id to whoever gave you the link." }
            },
        ),
        Outcome::ExchangeFailed => (
            Mark::Bad,
            "Not connected".to_owned(),
            html! {
                p { (provider) " let you through, and then did not give access. Nothing was changed." }
                p { "Try again. If it comes back, it has to be mended by whoever gave you the link: send them the reason and the connection's id." }
            },
        ),
        Outcome::Lost => (
            Mark::Wait,
            "Start again".to_owned(),
            html! { p { (provider) "'s answer did not arrive in time, and it is not known whether it gave access. Nothing was stored, and it is safe to begin anew." } },
        ),
        Outcome::Underway => (
            Mark::Wait,
            "One moment".to_owned(),
            html! {
                p { (provider) " is being asked. This page looks again by itself." }
                // To itself: for whoever has switched that off.
                p.act { a.first href="" rel="nofollow noreferrer" { "Look again" } }
            },
        ),
    }
}

/// What has words is text; a scope that has none stands as the provider spells it.
fn list(items: &[String]) -> Markup {
    html! {
        ul.asked {
            @for item in items {
                @if item.contains(' ') { li { (item) } } @else { li { code { (item) } } }
            }
        }
    }
}

/// To be copied whole, for whoever is asked what went wrong. It opens nothing.
fn id_of(connection: ConnectionId) -> Markup {
    html! { p.id { "Connection id " code { (connection) } } }
}

fn whole(title: &str, mark: Option<&Markup>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/connect/style.css";
            }
            body {
                main {
                    @if let Some(mark) = mark { (mark) }
                    h1 { (title) }
                    (content)
                }
            }
        }
    }
}

/// The provider's first letter stands where others show a logo: a picture would be somebody else's.
fn lettered(provider: &str) -> Markup {
    let letter = provider.chars().find(|c| c.is_alphanumeric());
    html! {
        @if let Some(letter) = letter {
            span.letter aria-hidden="true" { (letter.to_uppercase()) }
        }
    }
}

/// The mark repeats the title for eyes; to whoever listens it says nothing.
fn drawn(mark: Mark) -> Markup {
    let (class, path) = match mark {
        Mark::Good => ("mark good", "M12.5 20.5l5 5 10-11"),
        Mark::Bad => ("mark bad", "M14 14l12 12M26 14L14 26"),
        Mark::Wait => ("mark wait", "M20 11v11M20 27.5v1"),
    };
    html! {
        svg class=(class) viewBox="0 0 40 40" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            circle cx="20" cy="20" r="17.5" {}
            path d=(path) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: ConnectionId = ConnectionId([7; 20]);
    const EVIL: &str = "<script>alert(1)</script>\"'&";

    fn open() -> SessionPage {
        SessionPage {
            state: SessionState::Open,
            provider: "Google".to_owned(),
            asked: vec!["Read your mail".to_owned()],
            account: None,
            label: None,
        }
    }

    fn ended(outcome: Outcome) -> ResultPage {
        ResultPage {
            outcome,
            provider: "Google".to_owned(),
            account: Some("ann@example.com".to_owned()),
            other_account: Some("bob@example.com".to_owned()),
            missing: vec!["Read your calendar".to_owned()],
            words: None,
            again: true,
            return_url: None,
        }
    }

    #[test]
    fn a_sessions_page_says_who_asks_for_what_and_has_one_link() {
        let html = session(&open(), CONNECTION, "abc").into_string();
        assert!(html.contains("Connect Google") && html.contains("Read your mail"));
        assert_eq!(html.matches("<a ").count(), 1);
        assert!(html.contains("href=\"/connect/abc/go\""));
    }

    #[test]
    fn an_account_that_was_connected_before_is_named_and_asked_for_again() {
        let page = SessionPage {
            account: Some("ann@example.com".to_owned()),
            ..open()
        };
        let html = session(&page, CONNECTION, "abc").into_string();
        assert!(html.contains("Reconnect Google") && html.contains("ann@example.com"));
    }

    #[test]
    fn a_page_of_a_connection_shows_its_id_and_what_to_do_when_the_link_is_used_up() {
        let id = CONNECTION.to_string();
        let html = result(&ended(Outcome::Denied), CONNECTION, None, None).into_string();
        assert!(html.contains(&id) && html.contains("ask for a new one"));
        let html = result(&ended(Outcome::Connected), CONNECTION, None, None).into_string();
        assert!(html.contains(&id) && !html.contains("ask for a new one"));
    }

    #[test]
    fn s3_a_session_that_connected_or_expired_has_no_link() {
        for state in [SessionState::Connected, SessionState::Expired] {
            let page = SessionPage { state, ..open() };
            assert!(
                !session(&page, CONNECTION, "abc").into_string().contains("<a "),
                "{state:?}"
            );
        }
    }

    #[test]
    fn s16_what_others_wrote_is_escaped_everywhere() {
        let page = SessionPage {
            provider: EVIL.to_owned(),
            asked: vec![EVIL.to_owned()],
            account: Some(EVIL.to_owned()),
            label: Some(EVIL.to_owned()),
            ..open()
        };
        let mut all = vec![session(&page, CONNECTION, "abc").into_string()];
        for outcome in [
            Outcome::Connected,
            Outcome::MissingScopes,
            Outcome::OtherAccount,
            Outcome::ProviderError,
        ] {
            let page = ResultPage {
                provider: EVIL.to_owned(),
                account: Some(EVIL.to_owned()),
                other_account: Some(EVIL.to_owned()),
                missing: vec![EVIL.to_owned()],
                words: Some(EVIL.to_owned()),
                ..ended(outcome)
            };
            all.push(
                result(&page, CONNECTION, Some("https://product.example/?a=\"><b>"), None).into_string(),
            );
        }
        for html in all {
            assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
            assert!(html.contains("&lt;script&gt;"));
        }
    }

    #[test]
    fn s29_the_page_of_another_account_names_both() {
        let html = result(&ended(Outcome::OtherAccount), CONNECTION, None, None).into_string();
        assert!(html.contains("ann@example.com") && html.contains("bob@example.com"));
    }

    #[test]
    fn s14_no_page_has_a_script_an_inline_style_or_anothers_address() {
        let mut all = vec![
            session(&open(), CONNECTION, "abc").into_string(),
            unknown_link().into_string(),
            nothing_here().into_string(),
        ];
        for outcome in [
            Outcome::Connected,
            Outcome::MissingScopes,
            Outcome::RefusedScopes,
            Outcome::AlreadyConnected,
            Outcome::Denied,
            Outcome::Expired,
            Outcome::OtherBrowser,
            Outcome::OtherAccount,
            Outcome::ProviderError,
            Outcome::ExchangeFailed,
            Outcome::Lost,
            Outcome::Underway,
        ] {
            all.push(result(&ended(outcome), CONNECTION, None, Some("/connect/again")).into_string());
        }
        for one in [
            Words::Expired,
            Words::OtherBrowser,
            Words::Unreadable,
            Words::TooOften,
            Words::Busy,
            Words::Broken,
            Words::FetchedAhead,
        ] {
            all.push(words(one).into_string());
        }
        for html in all {
            for never in [
                "<script", " style=", "<style", "http:", "https:", "<form", "<img", "<iframe", " on",
            ] {
                let tags: String = html
                    .split('<')
                    .map(|tag| tag.split('>').next().unwrap_or_default())
                    .collect();
                let looked_at = if never == " on" { &tags } else { &html };
                assert!(!looked_at.contains(never), "{never} in {html}");
            }
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
