//! Writes the cases of `vmm-user/tests-guest/mmio-forms.c`: `mmio-cases FILE [EACH] [SEED]`.
//!
//! Prints how many there are in 64-, 32- and 16-bit code; fails if a form has none.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (Some(file), Ok(each), Ok(seed)) = (arguments.first(), number(1, 3), number(2, 1)) else {
        eprintln!("usage: mmio-cases FILE [EACH] [SEED]");
        return ExitCode::FAILURE;
    };
    let table = decoder_oracle::native::guest_table(seed, each as u32);
    if let Err(error) = std::fs::write(file, &table.bytes) {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    for ((bits, forms), cases) in [64, 32, 16].iter().zip(table.forms).zip(table.cases) {
        println!("{bits}-bit code: {forms} forms, {cases} cases");
    }
    for form in &table.missing {
        println!("no case of {form}");
    }
    if table.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
