//! libFuzzer's way to [`fuzz::tokens`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("tokens"), |bytes: &[u8]| fuzz::tokens(bytes));
