//! `port`: reads and writes I/O ports from the guest's shell, in any width.
//!
//! Debian's kernels for the cloud have no `/dev/port`, and that one knows bytes only. This is how a guest
//! reaches a device that somebody is adding (docs/add-a-device.md).

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod access;

use access::{Permitted, Width};

const USAGE: &str = "port: reads and writes I/O ports

Usage: port read8|read16|read32 PORT
       port write8|write16|write32 PORT VALUE
       port outlast8|outlast16|outlast32 PORT TIMES
       port until8|until16|until32 PORT VALUE [OTHER...]

Numbers are decimal, or hexadecimal after 0x. What is read is printed in hexadecimal. outlast reads until the
device was gone (all ones) and there again so many times, and prints how often it read. until reads PORT
until that gives VALUE, and meanwhile bytes of the OTHER ports, a hundred times as often; it prints how many
of these were read, and how many were all ones.";

/// What the command line asks for.
#[derive(Debug, Eq, PartialEq)]
enum Request {
    Read { width: Width, port: u16 },
    Write { width: Width, port: u16, value: u32 },
    Outlast { width: Width, port: u16, times: u32 },
    Until { width: Width, port: u16, value: u32, others: Vec<u16> },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match parse(&arguments).and_then(|request| carry_out(&request)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("port: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[&str]) -> Result<Request> {
    let (direction, width) = match arguments.first().and_then(|name| Width::split(name)) {
        Some(found) => found,
        None => bail!("no such command\n\n{USAGE}"),
    };
    match (direction, &arguments[1..]) {
        ("read", [port]) => Ok(Request::Read { width, port: number(port)?.try_into().context("PORT")? }),
        ("write", [port, value]) => {
            let (port, value) = (number(port)?.try_into().context("PORT")?, number(value)?);
            if value > width.largest() {
                bail!("VALUE {value:#x} has more than {} bits", width.bits());
            }
            Ok(Request::Write { width, port, value })
        }
        ("outlast", [port, times]) => Ok(Request::Outlast {
            width,
            port: number(port)?.try_into().context("PORT")?,
            times: number(times)?,
        }),
        ("until", [port, value, others @ ..]) => Ok(Request::Until {
            width,
            port: number(port)?.try_into().context("PORT")?,
            value: number(value)?,
            others: others
                .iter()
                .map(|port| number(port)?.try_into().context("OTHER"))
                .collect::<Result<_>>()?,
        }),
        _ => bail!("{direction} takes other arguments\n\n{USAGE}"),
    }
}

fn number(text: &str) -> Result<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .with_context(|| format!("{text} is no number of 32 bits"))
}

fn carry_out(request: &Request) -> Result<()> {
    match request {
        Request::Read { width, port } => {
            let digits = width.bits() as usize / 4;
            println!("{:0digits$x}", permitted(*port, *width)?.read());
        }
        Request::Write { width, port, value } => permitted(*port, *width)?.write(*value),
        Request::Outlast { width, port, times } => {
            let ports = permitted(*port, *width)?;
            println!("{}", outlast(*times, || ports.read() != width.largest()));
        }
        Request::Until { width, port, value, others } => {
            let ports = permitted(*port, *width)?;
            let others: Vec<_> =
                others.iter().map(|port| permitted(*port, Width::Byte)).collect::<Result<_>>()?;
            let is_over = || ports.read() == *value;
            let (reads, gone) = until(is_over, others.len(), |other| others[other].read() != 0xff);
            println!("{reads} read, {gone} of them all ones");
        }
    }
    Ok(())
}

/// Reads until the device was gone and there again so many times; returns how often that was. `read` says
/// whether it was there.
fn outlast(times: u32, mut read: impl FnMut() -> bool) -> u64 {
    let (mut reads, mut back, mut was_there) = (0, 0, true);
    while back < times {
        let is_there = read();
        reads += 1;
        back += u32::from(is_there && !was_there);
        was_there = is_there;
    }
    reads
}

/// Reads others, by their numbers, until it is over; returns how often, and how often nobody was there.
fn until(
    mut is_over: impl FnMut() -> bool,
    others: usize,
    mut read: impl FnMut(usize) -> bool,
) -> (u64, u64) {
    let (mut reads, mut gone) = (0, 0);
    while !is_over() {
        for other in (0..100).flat_map(|_| 0..others) {
            reads += 1;
            gone += u64::from(!read(other));
        }
    }
    (reads, gone)
}

fn permitted(port: u16, width: Width) -> Result<Permitted> {
    Permitted::ask(port, width).map_err(|error| {
        let hint = if error.kind() == ErrorKind::PermissionDenied { "; only root may" } else { "" };
        anyhow::Error::new(error).context(format!("no access to port {port:#x}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_that_it_comes_back_counts() {
        for (times, there, reads) in [(0, "", 0), (1, "1101", 4), (1, "01", 2), (2, "110011001", 9)] {
            let mut there = there.bytes().map(|byte| byte == b'1');
            assert_eq!((outlast(times, || there.next().unwrap()), there.next()), (reads, None));
        }
    }

    #[test]
    fn others_are_read_until_it_is_over() {
        let mut left = 3;
        let is_over = || {
            left -= 1;
            left == 0
        };
        assert_eq!(until(is_over, 3, |other| other != 1), (600, 200));
        assert_eq!(until(|| true, 3, |_| true), (0, 0));
    }

    #[test]
    fn the_command_line_says_direction_width_port_and_value() {
        for (arguments, wanted) in [
            (&["read8", "0x524"][..], Some(Request::Read { width: Width::Byte, port: 0x524 })),
            (&["read32", "1312"], Some(Request::Read { width: Width::Dword, port: 0x520 })),
            (
                &["write16", "0x80", "0xffff"],
                Some(Request::Write { width: Width::Word, port: 0x80, value: 0xffff }),
            ),
            (
                &["outlast32", "0x520", "9"],
                Some(Request::Outlast { width: Width::Dword, port: 0x520, times: 9 }),
            ),
            (
                &["until32", "0x530", "0", "0x3fd", "0x71"],
                Some(Request::Until {
                    width: Width::Dword,
                    port: 0x530,
                    value: 0,
                    others: vec![0x3fd, 0x71],
                }),
            ),
            (&["until32", "0x530", "0", "0x10000"], None),
            (&["until32", "0x530"], None),
            (&["write16", "0x80", "0x10000"], None),
            (&["read8", "0x10000"], None),
            (&["read8"], None),
            (&["read8", "1", "2"], None),
            (&["write8", "1"], None),
            (&["read64", "1"], None),
            (&["peek8", "1"], None),
            (&["read8", "x"], None),
            (&[], None),
        ] {
            assert_eq!(parse(arguments).ok(), wanted, "{arguments:?}");
        }
    }
}
