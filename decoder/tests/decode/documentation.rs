//! `docs/decoder.md` lists what is accepted.

const DOCUMENT: &str = include_str!("../../../docs/decoder.md");

#[test]
fn lists_the_accepted_forms() {
    let (_, table) = DOCUMENT.split_once("<!-- accepted forms -->\n").unwrap();
    let hint = "run: cargo run -p decoder-oracle --bin accepted-forms";
    assert!(table == decoder_oracle::forms::table(), "{hint}");
}
