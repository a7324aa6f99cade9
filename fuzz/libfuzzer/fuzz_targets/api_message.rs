#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    binauthz_fuzz::run("api_message", data);
});
