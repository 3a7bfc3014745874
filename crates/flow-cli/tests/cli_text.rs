//! What the binary prints where no database is asked: help, explanations, usage errors, lists. Each case
//! is a file in `cmd`; `TRYCMD=overwrite cargo test -p ematix-flow-cli --test cli_text` writes what is
//! printed now.

#[test]
fn the_binary_prints_what_is_written() {
    trycmd::TestCases::new()
        .env("COLUMNS", "80")
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .case("tests/cmd/*.md")
        .case("tests/cmd/*.toml");
}
