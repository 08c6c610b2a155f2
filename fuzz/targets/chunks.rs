//! libFuzzer's way to [`fuzz::chunks`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("chunks"), |bytes: &[u8]| fuzz::chunks(bytes));
