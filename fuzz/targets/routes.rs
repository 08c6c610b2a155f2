//! libFuzzer's way to [`fuzz::routes`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("routes"), |bytes: &[u8]| fuzz::routes(bytes));
