//! libFuzzer's way to [`fuzz::heads`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant("heads"), |bytes: &[u8]| fuzz::heads(bytes));
