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
            && !granted.iter().any(|granted| covers(provider, granted, scope))
    };
    Granted {
        scopes: granted.to_vec(),
        missing: asked.iter().filter(lacks).cloned().collect(),
        excess: granted.iter().filter(is_unasked).cloned().collect(),
    }
}

fn covers(provider: &Provider, granted: &str, asked: &str) -> bool {
    is_same(asked, granted) || (provider.id.starts_with("github") && github_covers(granted, asked))
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
