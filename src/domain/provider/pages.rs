//! Keeps docs/providers true: what the pages say of a provider's facts is what its descriptor says.

use std::fmt::Write;
use std::path::PathBuf;

use super::*;

#[test]
fn every_page_says_what_the_descriptor_says() {
    for descriptor in catalogue() {
        keep(&format!("{}.md", descriptor.name), "facts", &facts(descriptor));
    }
}

#[test]
fn the_catalogue_lists_every_preset() {
    let mut table = String::from("| preset | proof | covers | deadline | retries | window | checked |\n");
    table.push_str("|---|---|---|---|---|---|---|\n");
    for descriptor in catalogue() {
        writeln!(
            table,
            "| [{}]({}.md) | {} | {} | {} | {} | {} | {} |",
            descriptor.title,
            descriptor.name,
            proof(descriptor),
            signed(descriptor),
            deadline(descriptor),
            retries(descriptor),
            span(descriptor.dedupe_window_s()),
            checked(descriptor),
        )
        .unwrap();
    }
    keep("README.md", "catalogue", &table);
}

#[test]
fn no_page_stands_without_a_preset() {
    let pages = std::fs::read_dir(folder()).unwrap();
    for page in pages {
        let name = page.unwrap().file_name().into_string().unwrap();
        let preset = name.trim_end_matches(".md");
        assert!(preset == "README" || descriptor(preset).is_some(), "{name}");
    }
}

fn facts(descriptor: &Descriptor) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "| {name} | {value} |").unwrap();
        }
    };
    row("Secret", descriptor.secret.to_owned());
    row("Signed", signed(descriptor));
    row("Signature headers", code(descriptor.signature_headers));
    row("Headers with a credential", code(descriptor.credential_headers));
    row("Headers that are kept", code(descriptor.kept_headers));
    row("Methods", descriptor.methods.join(", "));
    row("One address serves", level(descriptor).to_owned());
    row("Answer", reply(&descriptor.ack));
    row("Answer to be tried again", reply(&descriptor.retry_please));
    row("Answer to a bad signature", reply(&descriptor.bad_signature));
    row("Waits for an answer", deadline(descriptor));
    row("Tries again", retries(descriptor));
    row("Stops for good", descriptor.disables_on.to_owned());
    row("Ids are remembered for", span(descriptor.dedupe_window_s()));
    row("Checked", checked(descriptor).to_owned());
    row("Sources", descriptor.sources.join("; "));
    if !descriptor.unsure.is_empty() {
        text.push_str("\nNobody has confirmed:\n\n");
        for sentence in descriptor.unsure {
            writeln!(text, "- {sentence}").unwrap();
        }
    }
    text
}

/// Compares what stands between the marks with what should, or writes it when `UPDATE` is set.
fn keep(page: &str, mark: &str, wanted: &str) {
    let path = folder().join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let begin = text.find(&format!("<!-- {mark}:")).unwrap();
    let begin = begin + text[begin..].find("-->\n").unwrap() + 4;
    let end = text.find(&format!("<!-- end of {mark} -->")).unwrap();
    if &text[begin..end] == wanted {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "docs/providers/{page} says something else than its descriptor: UPDATE=1 cargo test -p postern-domain pages"
    );
    std::fs::write(path, format!("{}{wanted}{}", &text[..begin], &text[end..])).unwrap();
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers")
}

fn signed(descriptor: &Descriptor) -> String {
    match descriptor.signed {
        "" => "nothing".to_owned(),
        text if text.starts_with('{') && !text.contains(' ') => format!("`{text}`"),
        text => text.to_owned(),
    }
}

fn proof(descriptor: &Descriptor) -> &'static str {
    match descriptor.proof {
        Proof::Signed => "signature",
        Proof::Token => "token",
        Proof::None => "none",
    }
}

fn checked(descriptor: &Descriptor) -> &'static str {
    match descriptor.checked {
        Checked::Vectors => "vectors",
        Checked::Page => "page",
        Checked::No => "**no**",
    }
}

fn level(descriptor: &Descriptor) -> &'static str {
    match descriptor.level {
        Level::Tenant => "one account",
        Level::App => "all accounts of an app",
        Level::Both => "one account, or all accounts of an app",
    }
}

fn deadline(descriptor: &Descriptor) -> String {
    let seconds = |ms: u32| format!("{} s", f64::from(ms) / 1000.0);
    descriptor.deadline_ms.map_or("unpublished".to_owned(), seconds)
}

fn retries(descriptor: &Descriptor) -> String {
    match (descriptor.retry_count, descriptor.retry_horizon_s) {
        (_, Some(0)) if descriptor.retry_count != Some(0) && descriptor.retry_count.is_some() => {
            "hardly ever".to_owned()
        }
        (_, Some(0)) => "never".to_owned(),
        (Some(count), Some(horizon)) => format!("{count} times in {}", span(horizon)),
        (None, Some(horizon)) => format!("for {}", span(horizon)),
        (Some(count), None) => format!("{count} times"),
        (None, None) => "unpublished".to_owned(),
    }
}

fn span(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn reply(reply: &Reply) -> String {
    let mut text = reply.status.to_string();
    if !reply.body.is_empty() {
        write!(text, " `{}`", reply.body).unwrap();
    }
    if let Some(content_type) = reply.content_type {
        write!(text, " as `{content_type}`").unwrap();
    }
    if let Some(seconds) = reply.retry_after_s {
        write!(text, " with `Retry-After: {seconds}`").unwrap();
    }
    text
}

fn code(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
