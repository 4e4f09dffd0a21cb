//! Integration tests of the engine, one binary.

mod oracle;
mod shipped;
