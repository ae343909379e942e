//! What travels between the edge, the queue and a tenant's object.
//!
//! During a deployment old and new run side by side, so everything here is versioned and tolerant: a field that is not
//! there has a default, one that is not known is passed over. Bodies travel as bytes beside the JSON head ([`frame`]),
//! never inside it.

/// Writes an object's calls: the enum `Call`, what each call answers, and the way from the one to the other. `$of` is the
/// trait of a call, which the module has beside it.
macro_rules! calls {
    (
        $(#[$all:meta])*
        enum Call: $of:ident;
        $($(#[$doc:meta])* $name:ident -> $answer:ty;)*
    ) => {
        $(#[$all])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Call {
            $($(#[$doc])* $name($name),)*
        }

        impl Call {
            /// Which it is.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }

        $(
            impl From<$name> for Call {
                fn from(call: $name) -> Self {
                    Self::$name(call)
                }
            }

            impl $of for $name {
                type Answer = $answer;
            }
        )*
    };
}

pub mod call;
pub mod connection;
pub mod connection_api;
pub mod entitlement;
pub mod follow;
pub mod frame;
pub mod inbound;
pub mod lane;
pub mod moving;
pub mod operational;
pub mod poll;
pub mod publish;
pub mod reads;
pub mod replay;
pub mod report;
pub mod request;
pub mod reseal;
pub mod route;
pub mod signing;
pub mod watch;

mod endpoint;
mod message;
mod source;

pub use endpoint::{
    DisableAfter, DisabledReason, EndpointConfig, EndpointKind, EndpointView, HeaderNames, OnFailure,
    OrderedSpan, Ordering, POLLED_URL,
};
pub use message::{AppLevel, AttemptStatus, AttemptView, DeliveryStatus, MessageView, Trigger};
pub use source::{SealedSecret, SecretHint, SourceForIngest, SourceState, SourceView};

/// The header by which an object's answer says that it comes from an object that knows which calls it does not know.
/// Those of the first release do not send it.
pub const OBJECT_HEADER: &str = "postern-object";

/// The version that this release writes. It reads this one and the one before.
pub const VERSION: u8 = 1;
