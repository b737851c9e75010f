//! Compares the emulator with the processor: `native-oracle [cases] [seed]`.
//!
//! Prints counts and differences; fails if there is a difference.

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let (Ok(cases), Ok(seed)) = (arguments.next().unwrap_or(Ok(100_000)), arguments.next().unwrap_or(Ok(1)))
    else {
        eprintln!("usage: native-oracle [cases] [seed]");
        return std::process::ExitCode::FAILURE;
    };
    let report = decoder_oracle::native::run(seed, cases);
    for difference in &report.differences {
        println!("{difference}\n");
    }
    let [long, wide, narrow] = report.by_mode;
    if let Some(error) = &report.no_segments {
        println!("only 64-bit code: this kernel's modify_ldt makes no segments for the rest ({error})");
    }
    let vendor = report.processor.map(|processor| processor.vendor);
    println!(
        "{:?}: {} cases of {} forms, at least {} each ({long} in 64-bit, {wide} in 32-bit, {narrow} in \
         16-bit code; {} faults, in {} of them of rSI's operand of CMPS where the emulator takes \
         rDI's), {} differences",
        vendor.unwrap_or(decoder::Vendor::Intel),
        report.cases,
        report.forms,
        report.fewest,
        report.faults,
        report.source_faults,
        report.differences.len()
    );
    if report.differences.is_empty() {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}
