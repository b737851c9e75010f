//! Commands that nobody would give: changed ones and random ones. The engine returns a well-formed response
//! to each and goes on.

mod common;

use common::{OWNER, World, command, create_primary, define, plain, read, run, started, write};

/// A generator that is good enough to make nonsense (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

fn change(random: &mut Random, command: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let at = random.below(command.len());
        match random.below(4) {
            0 => command[at] = random.below(256) as u8,
            1 => command[at] ^= 1 << random.below(8),
            2 => command.truncate(at.max(10)),
            _ => command.insert(at.max(10), random.below(256) as u8),
        }
    }
    // Most keep a size that is right, or nothing else would be looked at.
    if random.below(16) != 0 {
        let size = (command.len() as u32).to_be_bytes();
        command[2..6].copy_from_slice(&size);
    }
}

/// Commands of all codes, with one to three handles, a password each, and zeros as parameters.
fn seeds() -> Vec<Vec<u8>> {
    let handles = [OWNER, 0x8000_0000, 0x0150_0001, 16, 0x0300_0000, 0x0200_0000];
    let mut all = vec![
        create_primary(OWNER, true),
        define(0x0150_0001, 0x0202_0002, 8),
        write(0x0150_0001, &[1; 8]),
        read(0x0150_0001, 8),
        // TPM2_StartAuthSession of a policy session and of a HMAC session.
        plain(
            0x176,
            &[&[0x40, 0, 0, 7, 0x40, 0, 0, 7, 0, 16][..], &[3; 16], &[0, 0, 1, 0, 0x10, 0, 0x0b]].concat(),
        ),
        plain(
            0x176,
            &[&[0x40, 0, 0, 7, 0x40, 0, 0, 7, 0, 16][..], &[3; 16], &[0, 0, 0, 0, 0x10, 0, 0x0b]].concat(),
        ),
    ];
    for code in 0x11f..0x194 {
        for handle in handles {
            all.push(plain(code, &[0; 8]));
            all.push(plain(code, &[&handle.to_be_bytes()[..], &[0; 12]].concat()));
            all.push(command(code, &[handle], &[b""], &[0; 16]));
            all.push(command(code, &[handle, 0x8000_0000], &[b"", b""], &[0; 16]));
            all.push(command(code, &[handle, 0x0150_0001, 0x0300_0000], &[b""], &[0; 16]));
        }
    }
    all
}

#[test]
fn nonsense_gets_a_response() {
    let seeds = seeds();
    let (mut good, mut bad) = (0u32, 0u32);
    for seed in 1..=100u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // A new TPM now and then: nonsense can lock one up, by its own rules.
        let mut tpm = started(&World::new());
        for _ in 0..200 {
            let most = if random.below(4) == 0 { 6 } else { seeds.len() };
            let mut command = seeds[random.below(most)].clone();
            if random.below(4) != 0 {
                change(&mut random, &mut command);
            }
            let (code, _) = run(&mut tpm, &command);
            if code == 0 {
                good += 1
            } else {
                bad += 1
            }
            assert!(tpm.failure().is_none(), "{command:02x?}: {:?}", tpm.failure());
        }
    }
    assert!(good > 500 && bad > 5000, "{good} good, {bad} bad");
}
