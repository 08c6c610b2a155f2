//! libFuzzer's way to [`fuzz::requests`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("requests"), |bytes: &[u8]| fuzz::requests(bytes));
