//! Integration tests of the whole product, one binary: each file is one surface.

mod tidy;
