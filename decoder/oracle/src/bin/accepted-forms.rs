//! Prints the table of accepted forms, as it is in `docs/decoder.md`.

fn main() {
    print!("{}", decoder_oracle::forms::table());
}
