//! The objects.
