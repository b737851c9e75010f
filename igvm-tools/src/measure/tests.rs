//! The digest as docs/images.md describes it, computed a second time from another parser's view of a file.

use igvm::IgvmDirectiveHeader as Header;
use zerocopy::IntoBytes;

use super::*;
use crate::image;

/// The description, as code.
fn described(bytes: &[u8]) -> Vec<u8> {
    let file = igvm::IgvmFile::new_from_binary(bytes, None).unwrap();
    let mut message = b"plinth-measure-1".to_vec();
    for directive in file.directives() {
        let (kind, first, second, contents): (u32, u64, u64, Vec<u8>) = match directive {
            Header::PageData { gpa, data, .. } => {
                let mut page = data.clone();
                page.resize(4096, 0);
                (0x302, *gpa, 4096, page)
            }
            Header::ParameterArea { number_of_bytes, parameter_area_index, .. } => {
                (0x301, u64::from(*parameter_area_index), *number_of_bytes, vec![])
            }
            Header::MemoryMap(place) => {
                (0x30c, place.parameter_area_index.into(), place.byte_offset.into(), vec![])
            }
            Header::VpCount(place) => {
                (0x307, place.parameter_area_index.into(), place.byte_offset.into(), vec![])
            }
            Header::EnvironmentInfo(place) => {
                (0x313, place.parameter_area_index.into(), place.byte_offset.into(), vec![])
            }
            Header::ParameterInsert(insert) => {
                (0x303, insert.parameter_area_index.into(), insert.gpa, vec![])
            }
            Header::X64NativeVpContext { context, .. } => (0x304, 0, 232, context.as_bytes().to_vec()),
            Header::RequiredMemory { gpa, number_of_bytes, .. } => {
                (0x305, *gpa, u64::from(*number_of_bytes), vec![])
            }
            other => panic!("{other}"),
        };
        message.extend(kind.to_le_bytes());
        message.extend([first, second].iter().flat_map(|number| number.to_le_bytes()));
        message.extend(contents);
    }
    Sha256::digest(&message).to_vec()
}

#[test]
fn the_digest_is_as_described() {
    let bytes = image::tests::image();
    let file = IgvmFile::parse(&bytes).unwrap();
    assert_eq!(hex(&sha256(&file).unwrap()), hex(&described(&bytes)));
    assert_eq!(sha384(&file).unwrap().len(), 48);
}

#[test]
fn what_is_in_the_file_but_not_loaded_makes_no_difference() {
    let bytes = image::tests::image();
    let digest = sha256(&IgvmFile::parse(&bytes).unwrap()).unwrap();
    let longer = [&bytes[..], b"behind the end"].concat();
    assert_eq!(sha256(&IgvmFile::parse(&longer).unwrap()).unwrap(), digest);
    // The first byte of data belongs to the boot page.
    let mut other = bytes.clone();
    let data = 24 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    other[data] ^= 1;
    assert_ne!(sha256(&IgvmFile::parse(&other).unwrap()).unwrap(), digest);
}
