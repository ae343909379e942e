//! Keeps docs/connections/providers.md true: what it says of a provider is what the catalogue says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::oauth::provider::{BodyForm, ClientAuth, Kind, Limits, OAuth, Pkce, Rotation, VariableFrom};

#[test]
fn the_page_lists_every_entry() {
    let mut table = String::from(
        "| provider | id | by | verified | refresh token | ends when idle | in any case | disconnect |\n",
    );
    table.push_str("|---|---|---|---|---|---|---|---|\n");
    for provider in all() {
        let oauth = provider.oauth.as_ref();
        writeln!(
            table,
            "| {} | `{}` | {} | {} | {} | {} | {} | {} |",
            provider.name,
            provider.id,
            kind(provider.kind),
            if provider.verified { "yes" } else { "**no**" },
            oauth.map_or(String::new(), |oauth| rotation(oauth.rotation)),
            oauth.map_or(String::new(), |oauth| span(oauth.lifetime.idle)),
            oauth.map_or(String::new(), |oauth| span(oauth.lifetime.absolute)),
            oauth.map_or("", |oauth| disconnect(oauth)),
        )
        .unwrap();
    }
    keep("catalogue", &table);
}

#[test]
fn the_page_says_what_each_entry_says() {
    let mut text = String::new();
    for provider in all() {
        write!(text, "### {}\n\n", provider.name).unwrap();
        text.push_str(&facts(&provider));
        if !provider.unsure.is_empty() {
            text.push_str("\nNobody has confirmed:\n\n");
            for sentence in &provider.unsure {
                writeln!(text, "- {sentence}").unwrap();
            }
        }
        text.push('\n');
    }
    keep("facts", &text);
}

fn facts(provider: &Provider) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "| {name} | {value} |").unwrap();
        }
    };
    row("Id", format!("`{}`", provider.id));
    if let Some(oauth) = &provider.oauth {
        row("Authorization", code(&oauth.authorize_url));
        row("Token", code(&oauth.token_url));
        row(
            "Revocation",
            oauth.revoke.as_ref().map_or(String::new(), |revoke| {
                format!("{} {}", revoke.method, code(&revoke.url))
            }),
        );
        row("PKCE", pkce(oauth));
        row("Client", client(oauth));
        row(
            "Scopes of its own",
            oauth
                .scopes
                .iter()
                .map(|scope| code(scope))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    if let Some(key) = &provider.key {
        let user = key
            .user
            .as_ref()
            .map_or(String::new(), |user| format!(", with {user}"));
        row("Key", format!("{}{user}", key.label));
    }
    for variable in &provider.variables {
        let from = match variable.from {
            VariableFrom::App => "given with the app",
            VariableFrom::Session => "given with the session or key",
            VariableFrom::Answer => "told by the provider",
            VariableFrom::Callback => "told by the callback",
        };
        let default = variable
            .default
            .as_ref()
            .map_or(String::new(), |value| format!("; else {}", code(value)));
        row(
            &code(&variable.name),
            format!("{}: {from}{default}", variable.label),
        );
    }
    if let Some(identity) = &provider.identity {
        let places = identity.routing.iter().map(|place| code(place));
        row(
            "Webhooks name the account by",
            places.collect::<Vec<_>>().join(", "),
        );
    }
    if let Some(api) = &provider.api {
        row("API", code(&api.base));
        let bases = api
            .bases
            .iter()
            .map(|(name, base)| format!("{name}: {}", code(base)));
        row("More bases", bases.collect::<Vec<_>>().join(", "));
        row("Limits", limits(api.limits));
    }
    row(
        "Check",
        provider.check.as_ref().map_or(String::new(), |check| {
            format!("{} {}", check.method, code(&check.url))
        }),
    );
    row("Pages", provider.docs.join(" "));
    text
}

const fn disconnect(oauth: &OAuth) -> &'static str {
    if oauth.revoke.is_some() {
        "revokes"
    } else if oauth.token_url.is_empty() {
        "as configured"
    } else {
        "shreds alone"
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Oauth2 => "OAuth 2.0",
        Kind::Oidc => "OpenID Connect",
        Kind::ApiKey => "API key",
        Kind::ServiceAccount => "service account",
    }
}

fn rotation(rotation: Rotation) -> String {
    match rotation {
        Rotation::None => "never changes".to_owned(),
        Rotation::ReissueOldOk => "replaced, old one works on".to_owned(),
        Rotation::Grace { seconds } => format!("replaced, old one works for {}", span(Some(seconds))),
        Rotation::Strict => "replaced, old one dies".to_owned(),
        Rotation::Unknown => "not known".to_owned(),
    }
}

fn pkce(oauth: &OAuth) -> String {
    match &oauth.pkce {
        Pkce::S256 => "S256".to_owned(),
        Pkce::Off { reason } => format!("off: {reason}"),
    }
}

fn client(oauth: &OAuth) -> String {
    let way = match oauth.client_auth {
        ClientAuth::Basic => "Basic",
        ClientAuth::Post => "in the body",
        ClientAuth::None => "none",
    };
    let body = match oauth.body {
        BodyForm::Form => "form",
        BodyForm::Json => "JSON",
    };
    format!("{way}, {body}")
}

fn limits(limits: Limits) -> String {
    let each = [
        (limits.per_second, "second"),
        (limits.per_minute, "minute"),
        (limits.per_day, "day"),
    ];
    let told = each
        .into_iter()
        .filter_map(|(limit, of)| limit.map(|limit| format!("{limit} a {of}")));
    told.collect::<Vec<_>>().join(", ")
}

fn span(seconds: Option<u64>) -> String {
    match seconds {
        None => String::new(),
        Some(seconds) if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        Some(seconds) if seconds % 60 == 0 => format!("{} min", seconds / 60),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

/// Compares what stands between the marks with what should, or writes it when `UPDATE` is set. Both parts are of one
/// file, so it is read and written by one test at a time.
fn keep(mark: &str, wanted: &str) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/connections/providers.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let begin = text.find(&format!("<!-- {mark}:")).unwrap();
    let begin = begin + text[begin..].find("-->\n").unwrap() + 4;
    let end = text.find(&format!("<!-- end of {mark} -->")).unwrap();
    if &text[begin..end] == wanted {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "docs/connections/providers.md says something else than the catalogue: UPDATE=1 cargo test -p postern-domain pages"
    );
    std::fs::write(path, format!("{}{wanted}{}", &text[..begin], &text[end..])).unwrap();
}
