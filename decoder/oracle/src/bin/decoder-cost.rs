//! Counts the instructions that decoding and emulating take, and prints them as a table.

use decoder_oracle::cost::{Vcpu, WORK};
use decoder_oracle::native::count;
use std::hint::black_box;

/// The harness's instructions are those of no work.
fn count(work: fn(&mut Vcpu)) -> std::io::Result<u64> {
    let mut vcpu = Vcpu::new();
    // Behind a black box, or the compiler would do a part of the work before it is counted.
    count::instructions(|| black_box(work)(&mut vcpu))
}

fn main() -> std::io::Result<()> {
    let harness = count(|_| {})?;
    println!("| work | anew | cached |\n|---|---:|---:|");
    for work in WORK {
        let anew = count(work.anew)? - harness;
        let cached = match work.cached {
            Some(cached) => (count(cached)? - harness).to_string(),
            None => "–".to_string(),
        };
        println!("| {} | {anew} | {cached} |", work.name);
    }
    Ok(())
}
