#![expect(clippy::unwrap_used, reason = "a test may")]

use super::*;

#[test]
fn every_entry_reads_and_knows_its_own_name() {
    for id in IDS {
        let read: Result<Provider, _> = crate::json::read(text(id).unwrap());
        let provider = read.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(provider.id, *id);
    }
    assert_eq!(all().len(), IDS.len());
}

/// What is said to be proven is proven, and nothing else.
#[test]
fn these_are_verified_and_no_other() {
    let verified: Vec<String> = all()
        .into_iter()
        .filter(|provider| provider.verified)
        .map(|provider| provider.id)
        .collect();
    assert_eq!(
        verified,
        [
            "google",
            "google-service-account",
            "github",
            "github-app",
            "slack",
            "slack-user",
            "notion",
            "microsoft",
            "oidc",
            "oauth2"
        ]
    );
}

#[test]
fn every_entry_says_where_it_is_documented_and_every_variable_is_used() {
    for provider in all() {
        assert!(!provider.docs.is_empty(), "{}", provider.id);
        let mut used = provider.clone();
        let used: Vec<String> = crate::oauth::template::urls(&mut used)
            .into_iter()
            .flat_map(|url| crate::oauth::template::names(url))
            .collect();
        for variable in &provider.variables {
            assert!(
                used.contains(&variable.name),
                "{}: {}",
                provider.id,
                variable.name
            );
        }
    }
}

#[test]
fn an_entry_that_is_not_there_is_none() {
    for id in ["", "Google", "../google", "google.json"] {
        assert_eq!(find(id), None);
    }
}
