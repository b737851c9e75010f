use alloc::vec;
use alloc::vec::Vec;

use aes::Aes256;
use aes::cipher::{Array, KeyInit};
use xts_mode::{Xts128, get_tweak_default};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The key of IEEE 1619-2018's vectors 10 to 14: digits of e, and of pi.
fn key() -> Vec<u8> {
    hex("2718281828459045235360287471352662497757247093699959574966967627\
         3141592653589793238462643383279502884197169399375105820974944592")
}

/// IEEE 1619-2018, annex B: vector 10 whole, of 11 to 14 the first two blocks.
#[test]
fn vectors_of_the_standard() {
    let plain: Vec<u8> = (0..512).map(|at| at as u8).collect();
    let xts = Xts::new(&key()).unwrap();
    for (sector, expected) in [
        (0xff, VECTOR_10),
        (0xffff, "77a31251618a15e6b92d1d66dffe7b50b50bad552305ba0217a610688eff7e11"),
        (0xff_ffff, "e387aaa58ba483afa7e8eb469778317ecf4cf573aa9d4eac23f2cdf914e4e200"),
        (0xffff_ffff, "bf53d2dade78e822a4d949a9bc6766b01b06a8ef70d26748c6a7fc36d80ae4c5"),
        (0xff_ffff_ffff, "64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed23"),
    ] {
        let mut bytes = plain.clone();
        xts.encrypt(sector, &mut bytes);
        let expected = hex(expected);
        assert_eq!(bytes[..expected.len()], expected, "{sector:#x}");
        xts.decrypt(sector, &mut bytes);
        assert_eq!(bytes, plain);
    }
}

const VECTOR_10: &str = "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b\
5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd\
5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0\
c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca\
2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500dc4cd120c0f7418dae3d0\
b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f\
93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec\
583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6ba02469a020a\
84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1\
505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae\
9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f90c29\
a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac\
6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f\
645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed4385\
1ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa\
773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151";

/// Another implementation, for many sectors at once and numbers of any size.
#[test]
fn another_implementation_agrees() {
    let key = key();
    let half = |bytes: &[u8]| Aes256::new(&Array::try_from(bytes).unwrap());
    let other = Xts128::new(half(&key[..32]), half(&key[32..]));
    let xts = Xts::new(&key).unwrap();
    for first in [0, 1, 0x1234_5678, u64::MAX - 1] {
        let plain: Vec<u8> = (0..2048u32).map(|at| ((at * at) >> 3) as u8).collect();
        let (mut ours, mut theirs) = (plain.clone(), plain.clone());
        xts.encrypt(first, &mut ours);
        other.encrypt_area(&mut theirs, 512, first.into(), get_tweak_default);
        assert_eq!(ours, theirs, "{first:#x}");
        xts.decrypt(first, &mut ours);
        assert_eq!(ours, plain);
    }
}

#[test]
fn what_is_no_key() {
    assert_eq!(Xts::new(&[1; 63]).err(), Some(KeyError::Length(63)));
    assert_eq!(Xts::new(&[1; 65]).err(), Some(KeyError::Length(65)));
    assert_eq!(Xts::new(&[1; 64]).err(), Some(KeyError::Halves));
}

/// A disk in memory.
struct Plate {
    bytes: Vec<u8>,
    flushes: u32,
}

impl Disk for Plate {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        let from = self.bytes.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(DiskError)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let to = self.bytes.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        to.ok_or(DiskError)?.copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.flushes += 1;
        Ok(())
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.write_zeroes(offset, bytes)
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.write(offset, &vec![0; bytes as usize])
    }
}

fn disk(sectors: usize) -> Encrypted<Plate> {
    let plate = Plate { bytes: vec![0; 512 * sectors], flushes: 0 };
    Encrypted::new(plate, &key()).unwrap()
}

#[test]
fn the_disk_has_ciphertext_and_the_guest_its_data() {
    let mut disk = disk(512);
    let data: Vec<u8> = (0..150 << 10).map(|at| (at >> 4) as u8).collect();
    assert_eq!(disk.write(512 * 3, &data), Ok(()));
    let mut expected = data.clone();
    Xts::new(&key()).unwrap().encrypt(3, &mut expected);
    assert_eq!(disk.disk.bytes[512 * 3..][..data.len()], expected);
    assert!(disk.disk.bytes.windows(8).all(|window| window != [7; 8]), "data on the disk");
    let mut read = vec![0; data.len()];
    assert_eq!(disk.read(512 * 3, &mut read), Ok(()));
    assert!(read == data);
    // Only what was written.
    assert_eq!(disk.disk.bytes[..512 * 3], [0; 512 * 3]);
    assert!(disk.disk.bytes[512 * 3 + data.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_same_data_are_not_the_same_elsewhere() {
    let mut disk = disk(9);
    assert_eq!(disk.write(0, &[7; 9 * 512]), Ok(()));
    let at_once = disk.disk.bytes.clone();
    let mut blocks: Vec<_> = at_once.chunks(16).collect();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), 9 * 32);
    // One by one they become the same: what counts is the sector, not its place in the request.
    for sector in 0..9 {
        assert_eq!(disk.write(sector * 512, &[7; 512]), Ok(()));
    }
    assert_eq!(disk.disk.bytes, at_once);
}

#[test]
fn zeroes_flush_and_discard() {
    let mut disk = disk(300);
    assert_eq!(disk.write(0, &vec![9; 300 * 512]), Ok(()));
    assert_eq!(disk.write_zeroes(512, 298 * 512), Ok(()));
    let mut read = vec![1; 300 * 512];
    assert_eq!(disk.read(0, &mut read), Ok(()));
    assert!(read[512..299 * 512].iter().all(|byte| *byte == 0));
    assert_eq!((read[511], read[299 * 512]), (9, 9));
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(disk.disk.flushes, 1);
    assert_eq!(disk.discard(0, 300 * 512), Ok(()));
    let is_noise = |bytes: &[u8]| bytes.chunks(16).all(|block| block != [0; 16]);
    assert!(is_noise(&disk.disk.bytes), "the disk shows which sectors are in use");
}

#[test]
fn pieces_of_sectors_are_refused() {
    let mut disk = disk(4);
    for (offset, bytes) in [(1, 512), (0, 511), (256, 256)] {
        let mut data = vec![1; bytes];
        assert_eq!(disk.read(offset, &mut data), Err(DiskError));
        assert_eq!(disk.write(offset, &data), Err(DiskError));
        assert_eq!(disk.write_zeroes(offset, bytes as u64), Err(DiskError));
        assert_eq!(disk.discard(offset, bytes as u64), Err(DiskError));
    }
    assert_eq!(disk.write(2048, &[1; 512]), Err(DiskError));
    // The first sector is not what comes behind the last offset.
    let last = u64::MAX - 511;
    assert_eq!(disk.write(last, &[1; 1024]), Err(DiskError));
    assert_eq!(disk.write_zeroes(last, 1024), Err(DiskError));
    assert!(disk.disk.bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn by_another_key_or_in_another_place_data_are_noise() {
    let mut ours = disk(2);
    assert_eq!(ours.write(0, &[7; 1024]), Ok(()));
    let mut changed = key();
    for at in [0, 31, 32, 63] {
        changed[at] ^= 1;
        let plate = Plate { bytes: ours.disk.bytes.clone(), flushes: 0 };
        let mut read = [0; 1024];
        assert_eq!(Encrypted::new(plate, &changed).unwrap().read(0, &mut read), Ok(()));
        assert!(read.chunks(16).all(|block| block != [7; 16]), "byte {at} of the key makes no difference");
    }
    ours.disk.bytes.rotate_left(512);
    let mut read = [0; 1024];
    assert_eq!(ours.read(0, &mut read), Ok(()));
    assert!(read.chunks(16).all(|block| block != [7; 16]), "sectors may be swapped");
}

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % end
    }
}

/// Any requests, larger and smaller than the buffer, against data without a cipher, and against what another
/// implementation makes of these.
#[test]
fn any_requests_do_what_they_do_to_plain_data() {
    const SECTORS: usize = 400;
    let mut disk = disk(SECTORS);
    let half = |bytes: &[u8]| Aes256::new(&Array::try_from(bytes).unwrap());
    let reference = Xts128::new(half(&key()[..32]), half(&key()[32..]));
    // What the plain disk has, and whether that was written: the rest of the disk is zero itself.
    let (mut plain, mut is_written) = (vec![0; 512 * SECTORS], vec![false; SECTORS]);
    let mut chance = Chance(1);
    for round in 0..300 {
        let first = chance.below(SECTORS);
        let count = 1 + chance.below(if round % 8 == 0 { SECTORS } else { 12 });
        let end = SECTORS.min(first + count);
        let (place, offset) = (512 * first..512 * end, 512 * first as u64);
        let bytes = place.len() as u64;
        match chance.below(4) {
            0 => {
                assert_eq!(disk.write_zeroes(offset, bytes), Ok(()));
                plain[place].fill(0);
                is_written[first..end].fill(true);
            }
            1 => assert_eq!(disk.discard(offset, bytes), Ok(())),
            _ => {
                plain[place.clone()].fill_with(|| chance.below(256) as u8);
                assert_eq!(disk.write(offset, &plain[place]), Ok(()));
                is_written[first..end].fill(true);
            }
        }
        let (first, count) = (chance.below(SECTORS), 1 + chance.below(200));
        let end = SECTORS.min(first + count);
        let mut read = vec![0; 512 * (end - first)];
        assert_eq!(disk.read(512 * first as u64, &mut read), Ok(()));
        for (sector, number) in read.chunks(512).zip(first..).filter(|(_, number)| is_written[*number]) {
            assert!(sector == &plain[512 * number..][..512], "sector {number} in round {round}");
        }
    }
    let mut expected = plain;
    reference.encrypt_area(&mut expected, 512, 0, get_tweak_default);
    let is_right = |number: usize| {
        let (found, all) = (&disk.disk.bytes[512 * number..][..512], &expected[512 * number..][..512]);
        if is_written[number] { found == all } else { found == [0; 512] }
    };
    assert!((0..SECTORS).all(is_right));
    assert!(is_written.iter().filter(|is| **is).count() > 300);
}
