//! The catalogue of connections: one file a provider, in [`Provider`]'s own form, read when it is asked for.
//!
//! An entry says only what a source confirms; what nobody confirms stands in its `unsure`. `verified` is said of those
//! alone that were proven against a stand-in with the provider's documented quirks. `oidc`, `oauth2` and `api-key` are
//! blanks: an operator's or tenant's own settings are laid over them.

use super::provider::Provider;

macro_rules! entries {
    ($($id:literal)*) => {
        /// The entries' ids, in the order in which they are shown.
        pub const IDS: &[&str] = &[$($id),*];

        fn text(id: &str) -> Option<&'static str> {
            match id {
                $($id => Some(include_str!(concat!("catalogue/", $id, ".json"))),)*
                _ => None,
            }
        }
    };
}

entries! {
    "google" "google-service-account" "github" "github-app" "slack" "slack-user" "notion" "microsoft" "typeform" "hubspot"
    "xero" "salesforce" "stripe" "shopify" "atlassian" "quickbooks" "linear" "zoom" "dropbox" "airtable" "supabase" "oidc"
    "oauth2" "openai" "anthropic" "notion-key" "typeform-key" "resend" "twilio" "meta-whatsapp" "stripe-key" "revenuecat"
    "api-key"
}

/// The entry of that id.
#[must_use]
pub fn find(id: &str) -> Option<Provider> {
    // A test reads every entry: one that does not read is not released.
    text(id).and_then(|text| crate::json::read(text).ok())
}

/// All entries, in the order in which they are shown.
#[must_use]
pub fn all() -> Vec<Provider> {
    IDS.iter().filter_map(|id| find(id)).collect()
}

#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
