//! libFuzzer's way to [`fuzz::config`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("config"), |bytes: &[u8]| fuzz::config(bytes));
