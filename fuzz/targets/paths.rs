//! libFuzzer's way to [`fuzz::paths`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("paths"), |bytes: &[u8]| fuzz::paths(bytes));
