//! The durable store: bytes in keyspaces, atomic batches, followers, retention.
#![forbid(unsafe_code)]
