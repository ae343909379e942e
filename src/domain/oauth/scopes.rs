//! Scopes asked for against scopes granted.

use super::provider::Provider;

/// Scopes that some servers never repeat in an answer: what they ask for shows in the answer itself (a refresh token, an
/// id token).
const SHOWN_OTHERWISE: [&str; 4] = ["offline_access", "offline", "refresh_token", "openid"];

/// What Microsoft's scopes may begin with, or not, for the same permission.
const GRAPH: &str = "https://graph.microsoft.com/";

/// What Google answers for the short names of `OpenID` Connect.
const USERINFO: &str = "https://www.googleapis.com/auth/userinfo.";

/// What a grant has, beside what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// All of it, in the answer's spelling.
    pub scopes: Vec<String>,
    /// Asked for and not granted, in the spelling in which it was asked for.
    pub missing: Vec<String>,
    /// Granted and not asked for.
    pub excess: Vec<String>,
}

/// Compares. `granted` none: the answer did not say, so it is what was asked for (RFC 6749 section 5.1).
#[must_use]
pub fn missing(provider: &Provider, asked: &[String], granted: Option<&[String]>) -> Granted {
    let Some(granted) = granted else {
        return Granted {
            scopes: asked.to_vec(),
            ..Granted::default()
        };
    };
    let is_unasked = |scope: &&String| !asked.iter().any(|asked| is_same(asked, scope));
    let lacks = |scope: &&String| {
        !SHOWN_OTHERWISE.contains(&scope.as_str())
            && !answers(provider, scope).is_some_and(<[String]>::is_empty)
            && !granted.iter().any(|granted| covers(provider, granted, scope))
    };
    Granted {
        scopes: granted.to_vec(),
        missing: asked.iter().filter(lacks).cloned().collect(),
        excess: granted.iter().filter(is_unasked).cloned().collect(),
    }
}

fn covers(provider: &Provider, granted: &str, asked: &str) -> bool {
    let by_entry = answers(provider, asked).is_some_and(|known| known.iter().any(|one| one == granted));
    is_same(asked, granted)
        || by_entry
        || (provider.id.starts_with("github") && github_covers(granted, asked))
}

/// How the entry says that answers spell a scope.
fn answers<'a>(provider: &'a Provider, asked: &str) -> Option<&'a [String]> {
    let known = provider.oauth.as_ref()?.scope_answers.get(asked)?;
    Some(known)
}

/// Two spellings of one scope.
fn is_same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // Microsoft's scopes are alike in any case.
    let graph = |scope: &str| scope.strip_prefix(GRAPH).map(str::to_owned);
    match (graph(one), graph(other)) {
        (None, None) => {}
        (short, long) => {
            let short = short.unwrap_or_else(|| one.to_owned());
            return short.eq_ignore_ascii_case(&long.unwrap_or_else(|| other.to_owned()));
        }
    }
    let userinfo = |short: &str, long: &str| {
        matches!(short, "email" | "profile") && long.strip_prefix(USERINFO) == Some(short)
    };
    userinfo(one, other) || userinfo(other, one)
}

/// GitHub names the widest scope alone ("Scopes for OAuth apps", normalized scopes).
fn github_covers(granted: &str, asked: &str) -> bool {
    let (level, of) = asked.split_once(':').unwrap_or(("", asked));
    let within = match granted {
        "repo" => asked.starts_with("repo:") || matches!(asked, "public_repo" | "security_events"),
        "user" => matches!(asked, "read:user" | "user:email" | "user:follow"),
        "project" => asked == "read:project",
        _ => false,
    };
    let higher = match granted.split_once(':') {
        Some(("admin", same)) => same == of && matches!(level, "write" | "read" | "manage"),
        Some(("write", same)) => same == of && level == "read",
        _ => false,
    };
    within || higher
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::test_provider;

    fn texts(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    fn of(id: &str, asked: &[&str], granted: &[&str]) -> Granted {
        let provider = Provider {
            id: id.to_owned(),
            ..test_provider()
        };
        missing(&provider, &texts(asked), Some(&texts(granted)))
    }

    #[test]
    fn s30_an_answer_without_scopes_granted_what_was_asked_for() {
        let asked = texts(&["a", "b"]);
        let granted = missing(&test_provider(), &asked, None);
        assert_eq!(granted.scopes, asked);
        assert!(granted.missing.is_empty() && granted.excess.is_empty());
        // One with none granted none.
        let granted = missing(&test_provider(), &asked, Some(&[]));
        assert_eq!(granted.missing, asked);
    }

    #[test]
    fn s30_what_a_person_unticked_is_missing_and_what_came_beside_is_recorded() {
        let granted = of("plain", &["mail.read", "calendar"], &["calendar", "drive"]);
        assert_eq!(granted.scopes, ["calendar", "drive"]);
        assert_eq!(granted.missing, ["mail.read"]);
        assert_eq!(granted.excess, ["drive"]);
        // Names are told apart by case (RFC 6749 section 3.3).
        assert_eq!(of("plain", &["Mail"], &["mail"]).missing, ["Mail"]);
    }

    #[test]
    fn s30_googles_answer_spells_short_names_out() {
        let granted = of(
            "google",
            &["openid", "email", "profile"],
            &[
                "https://www.googleapis.com/auth/userinfo.email",
                "https://www.googleapis.com/auth/userinfo.profile",
                "openid",
            ],
        );
        assert!(
            granted.missing.is_empty() && granted.excess.is_empty(),
            "{granted:?}"
        );
    }

    #[test]
    fn s30_microsofts_scopes_are_alike_with_their_resource_and_in_any_case() {
        let granted = of(
            "microsoft",
            &[
                "offline_access",
                "openid",
                "Mail.Read",
                "https://graph.microsoft.com/User.Read",
            ],
            &["https://graph.microsoft.com/mail.read", "User.Read"],
        );
        assert!(
            granted.missing.is_empty() && granted.excess.is_empty(),
            "{granted:?}"
        );
        let granted = of("microsoft", &["Mail.ReadWrite"], &["Mail.Read"]);
        assert_eq!(granted.missing, ["Mail.ReadWrite"]);
    }

    #[test]
    fn s30_github_names_the_widest_scope_alone() {
        let asked = [
            "repo:status",
            "public_repo",
            "user:email",
            "read:org",
            "write:packages",
        ];
        let granted = of("github", &asked, &["repo", "user", "admin:org", "write:packages"]);
        assert!(granted.missing.is_empty(), "{granted:?}");
        assert_eq!(of("github", &["repo"], &["public_repo"]).missing, ["repo"]);
        assert_eq!(
            of("github", &["admin:org"], &["write:org"]).missing,
            ["admin:org"]
        );
        // Nowhere else does one name stand for another.
        assert_eq!(of("plain", &["user:email"], &["user"]).missing, ["user:email"]);
    }

    proptest! {
        #[test]
        fn s30_what_is_granted_as_asked_is_neither_missing_nor_too_much(asked in prop::collection::vec("[a-zA-Z:./]{1,12}", 0..6)) {
            let granted = missing(&test_provider(), &asked, Some(&asked));
            prop_assert!(granted.missing.is_empty() && granted.excess.is_empty());
            prop_assert_eq!(granted.scopes, asked);
        }
    }
}
