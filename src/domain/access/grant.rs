//! What of its authority a token may use: all of it, a portal's capabilities, or single scopes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What somebody with a portal's token may do to the one tenant that it is for. Words of Svix's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Read all but secrets. Every portal has it.
    ViewBase,
    /// Read an endpoint's signing key.
    ViewEndpointSecret,
    /// Rotate it, and read it.
    ManageEndpointSecret,
    /// Svix's transformations: nothing here asks for it.
    ManageTransformations,
    /// Send again, replay, and send examples.
    CreateAttempts,
    /// Make, change and delete endpoints, their secrets included.
    ManageEndpoint,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];

    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ViewBase => "ViewBase",
            Self::ViewEndpointSecret => "ViewEndpointSecret",
            Self::ManageEndpointSecret => "ManageEndpointSecret",
            Self::ManageTransformations => "ManageTransformations",
            Self::CreateAttempts => "CreateAttempts",
            Self::ManageEndpoint => "ManageEndpoint",
        }
    }

    /// Those that bring this one along, itself among them.
    const fn given_by(self) -> &'static [Self] {
        match self {
            Self::ViewEndpointSecret => &[
                Self::ViewEndpointSecret,
                Self::ManageEndpointSecret,
                Self::ManageEndpoint,
            ],
            Self::ManageEndpointSecret => &[Self::ManageEndpointSecret, Self::ManageEndpoint],
            Self::ViewBase => &[Self::ViewBase],
            Self::ManageTransformations => &[Self::ManageTransformations],
            Self::CreateAttempts => &[Self::CreateAttempts],
            Self::ManageEndpoint => &[Self::ManageEndpoint],
        }
    }
}

/// What a scoped token may do, and nothing beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Publish.
    #[serde(rename = "message:create")]
    MessageCreate,
    /// Read the tokens of connections.
    #[serde(rename = "connection:token")]
    ConnectionToken,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::MessageCreate, Self::ConnectionToken];

    /// As it stands in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageCreate => "message:create",
            Self::ConnectionToken => "connection:token",
        }
    }
}

/// What a portal's token was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portal {
    /// What it may do.
    pub capabilities: BTreeSet<Capability>,
    /// Flags whose event types it sees, beside those that have none.
    pub feature_flags: Vec<String>,
}

/// How much of its authority a token may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// All of it.
    Whole,
    /// A portal of one tenant.
    Portal(Portal),
    /// These operations of one tenant.
    Scoped(BTreeSet<Scope>),
    /// To be exchanged, once, for a portal's token. No operation takes it.
    OneTime(Portal),
}

/// What an operation asks of a token that may not use all of its authority. What is not declared is [`Need::Whole`]: a
/// new operation is closed to such tokens until somebody opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// All of it.
    Whole,
    /// A portal with this capability.
    Capability(Capability),
    /// A token with this scope.
    Scope(Scope),
    /// Any good token.
    Nothing,
}

impl Grant {
    /// Whether an operation that needs this is open.
    #[must_use]
    pub fn covers(&self, need: Need) -> bool {
        match (self, need) {
            (Self::Whole, _) | (Self::Portal(_) | Self::Scoped(_), Need::Nothing) => true,
            (Self::Portal(portal), Need::Capability(wanted)) => wanted
                .given_by()
                .iter()
                .any(|capability| portal.capabilities.contains(capability)),
            (Self::Scoped(scopes), Need::Scope(scope)) => scopes.contains(&scope),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(capabilities: &[Capability]) -> Grant {
        Grant::Portal(Portal {
            capabilities: capabilities.iter().copied().collect(),
            feature_flags: Vec::new(),
        })
    }

    #[test]
    fn a_whole_token_may_everything_and_what_nobody_declared_takes_no_other() {
        let all = portal(&Capability::ALL);
        let publisher = Grant::Scoped([Scope::MessageCreate].into());
        assert!(Grant::Whole.covers(Need::Whole));
        assert!(!all.covers(Need::Whole));
        assert!(!publisher.covers(Need::Whole));
    }

    #[test]
    fn a_portal_may_what_its_capabilities_say() {
        let viewer = portal(&[Capability::ViewBase]);
        assert!(viewer.covers(Need::Capability(Capability::ViewBase)));
        for capability in Capability::ALL.into_iter().skip(1) {
            assert!(!viewer.covers(Need::Capability(capability)), "{capability:?}");
        }
        assert!(viewer.covers(Need::Nothing));
        assert!(!portal(&Capability::ALL).covers(Need::Scope(Scope::MessageCreate)));
    }

    #[test]
    fn who_manages_a_secret_or_its_endpoint_may_read_it() {
        let secret = Need::Capability(Capability::ViewEndpointSecret);
        let rotate = Need::Capability(Capability::ManageEndpointSecret);
        assert!(portal(&[Capability::ManageEndpointSecret]).covers(secret));
        assert!(portal(&[Capability::ManageEndpoint]).covers(secret));
        assert!(portal(&[Capability::ManageEndpoint]).covers(rotate));
        assert!(!portal(&[Capability::ViewEndpointSecret]).covers(rotate));
    }

    #[test]
    fn a_scoped_token_does_what_it_is_for_and_reads_nothing_else() {
        let publisher = Grant::Scoped([Scope::MessageCreate].into());
        let reader = Grant::Scoped([Scope::ConnectionToken].into());
        assert!(publisher.covers(Need::Scope(Scope::MessageCreate)));
        assert!(!publisher.covers(Need::Scope(Scope::ConnectionToken)));
        assert!(reader.covers(Need::Scope(Scope::ConnectionToken)));
        assert!(!reader.covers(Need::Scope(Scope::MessageCreate)));
        assert!(!publisher.covers(Need::Capability(Capability::ViewBase)));
        assert!(!reader.covers(Need::Capability(Capability::ViewBase)));
    }

    #[test]
    fn no_portal_reads_the_tokens_of_connections() {
        assert!(!portal(&Capability::ALL).covers(Need::Scope(Scope::ConnectionToken)));
    }

    #[test]
    fn a_one_time_token_opens_no_operation() {
        let token = Grant::OneTime(Portal {
            capabilities: Capability::ALL.into(),
            feature_flags: Vec::new(),
        });
        for need in [
            Need::Whole,
            Need::Nothing,
            Need::Capability(Capability::ViewBase),
            Need::Scope(Scope::MessageCreate),
        ] {
            assert!(!token.covers(need), "{need:?}");
        }
    }
}
