//! The whole way, by chance.

