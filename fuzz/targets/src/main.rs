//! The fuzz targets without libFuzzer: `fuzz-smoke CORPORA RUNS`. `fuzz-smoke max-bytes TARGET` prints the
//! most bytes that an input of a target makes use of. `fuzz-smoke steps TARGET COUNT SEED` has a target whose
//! inputs are lists of steps take so many of them, by chance, and prints how many inputs those were.
//!
//! Each target gets every input of its corpus (a folder of its name in CORPORA), and RUNS inputs made from
//! them (a slow target as many times fewer as it is slower): blindly, as nothing measures coverage here, and
//! the same in every run. Needs no nightly toolchain. Prints a line of counts a target; a property that
//! doesn't hold ends it with a panic, behind which stands the input.

use decoder_oracle::random::Random;
use fuzz_targets::{Target, all, max_bytes, slowness, steps};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// What is being tried, for the message of a panic.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The files of a folder, in the order of their names.
fn corpus(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// An input of the corpus with a few changes, or parts of two.
fn mutated(corpus: &[Vec<u8>], max_bytes: usize, random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| &corpus[random.below(corpus.len() as u64) as usize];
    let mut input = pick(random).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() as u64 + 1) as usize;
        match (random.below(6), input.get_mut(at)) {
            (0, Some(byte)) => *byte = random.bits() as u8,
            (1, Some(byte)) => *byte = random.choose(&[0, 1, 0x7f, 0x80, 0xff]),
            (2, _) => input.insert(at, random.bits() as u8),
            (3, Some(_)) => drop(input.remove(at)),
            (4, _) => {
                let other = pick(random);
                input.truncate(at);
                input.extend(other.iter().skip(at));
            }
            (_, Some(byte)) => *byte ^= 1 << random.below(8),
            _ => {}
        }
    }
    input.truncate(max_bytes);
    input
}

fn check((_, check): Target, input: Vec<u8>) {
    let mut current = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
    current.clone_from(&input);
    // Not held while the target runs: the panic hook takes the lock to print the input.
    drop(current);
    check(&input);
}

/// Returns the number of inputs of the corpus, and of those made from it.
fn run(target: Target, corpora: &Path, runs: u64) -> io::Result<(usize, u64)> {
    let corpus = corpus(&corpora.join(target.0))?;
    if corpus.is_empty() {
        return Err(io::Error::other("an empty corpus"));
    }
    let mut random = Random::new(1);
    let mut made = 0;
    for _ in 0..runs / slowness(target.0) {
        check(target, mutated(&corpus, max_bytes(target.0), &mut random));
        made += 1;
    }
    let replayed = corpus.len();
    for input in corpus {
        check(target, input);
    }
    Ok((replayed, made))
}

/// Takes at least so many steps by chance: in long lists, which get farther than a corpus of short inputs.
/// Returns how many steps there were, and in how many inputs; `None` for a target that has no steps.
fn take_steps(target: Target, count: u64, seed: u64) -> Option<(u64, u64)> {
    let (header, step, longest) = steps(target.0)?;
    let mut random = Random::new(seed);
    let (mut taken, mut inputs) = (0, 0);
    while taken < count {
        let steps = 1 + random.below(longest);
        let bytes = header + steps as usize * step;
        check(target, (0..bytes).map(|_| random.bits() as u8).collect());
        taken += steps;
        inputs += 1;
    }
    Some((taken, inputs))
}

fn many_steps(name: &str, count: &str, seed: &str) -> ExitCode {
    let target = all().into_iter().find(|target| target.0 == name);
    let (Some(target), Ok(count), Ok(seed)) = (target, count.parse(), seed.parse()) else {
        eprintln!("fuzz-smoke: no such target, or no numbers: {name} {count} {seed}");
        return ExitCode::FAILURE;
    };
    let Some((taken, inputs)) = take_steps(target, count, seed) else {
        eprintln!("fuzz-smoke: the inputs of {name} are no lists of steps");
        return ExitCode::FAILURE;
    };
    println!("{name}: {taken} steps in {inputs} inputs, nothing found");
    ExitCode::SUCCESS
}

/// Has the input printed behind a panic.
fn print_input_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let input = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("the input: {input:02x?}");
    }));
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    print_input_of_panics();
    if let [_, steps, target, count, seed] = &arguments[..]
        && steps == "steps"
    {
        return many_steps(target, count, seed);
    }
    let [_, corpora, runs] = &arguments[..] else {
        eprintln!(
            "usage: fuzz-smoke CORPORA RUNS, or fuzz-smoke max-bytes TARGET, or fuzz-smoke steps TARGET \
             COUNT SEED"
        );
        return ExitCode::FAILURE;
    };
    if corpora == "max-bytes" {
        println!("{}", max_bytes(runs));
        return ExitCode::SUCCESS;
    }
    let Ok(runs) = runs.parse() else {
        eprintln!("fuzz-smoke: {runs} is no number");
        return ExitCode::FAILURE;
    };
    for target in all() {
        match run(target, Path::new(corpora), runs) {
            Ok((replayed, made)) => {
                println!("{}: {replayed} inputs of the corpus, {made} made from them", target.0);
            }
            Err(error) => {
                eprintln!("fuzz-smoke: {corpora}/{}: {error}", target.0);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
