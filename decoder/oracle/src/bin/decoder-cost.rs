//! Counts the instructions that decoding and emulating take, and prints them as a table.

use decoder_oracle::cost::{Vcpu, WORK};
use decoder_oracle::native::count;
use std::hint::black_box;

fn main() -> std::io::Result<()> {
    let mut harness = 0;
    println!("| work | instructions |\n|---|---:|");
    for (name, work) in WORK {
        let mut vcpu = Vcpu::new();
        let instructions = count::instructions(|| black_box(work)(&mut vcpu))?;
        if name == "nothing" {
            harness = instructions;
        } else {
            println!("| {name} | {} |", instructions - harness);
        }
    }
    Ok(())
}
