//! The keys of the tests: those of the standards' examples, whose private halves everybody knows, and some unfit ones.

/// The PEM file of that name.
macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name, ".pem"))
    };
}
