//! Blocks signed and checked, and keys in both formats.

use p384::SecretKey;
use p384::elliptic_curve::pkcs8::LineEnding;
use p384::pkcs8::EncodePrivateKey;

use super::*;

/// A key that is the same each time.
pub(crate) fn pem(byte: u8) -> String {
    SecretKey::from_slice(&[byte; 48]).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn key(byte: u8) -> Key {
    Key::from_pem(&pem(byte)).unwrap()
}

fn identity() -> Identity {
    Identity { family_id: [1; 16], image_id: [2; 16], guest_svn: 3 }
}

fn signed(author: Option<&Key>) -> IGVM_VHS_SNP_ID_BLOCK {
    sign([7; 48], GuestPolicy::DEFAULT, &identity(), &key(5), author).unwrap()
}

#[test]
fn what_is_signed_is_valid_and_the_same_each_time() {
    let author = key(6);
    for author in [None, Some(&author)] {
        let block = signed(author);
        assert_eq!(verify(&block, GuestPolicy::DEFAULT), Ok(()));
        assert_eq!(block.as_bytes(), signed(author).as_bytes());
        assert_eq!(block.author_key_enabled, u8::from(author.is_some()));
    }
}

#[test]
fn every_part_is_signed() {
    let author = key(6);
    let sound = signed(Some(&author));
    let wrong = |change: fn(&mut IGVM_VHS_SNP_ID_BLOCK)| {
        let mut block = sound;
        change(&mut block);
        verify(&block, GuestPolicy::DEFAULT)
    };
    let block = Err(IdBlockError::Signature("ID block"));
    assert_eq!(wrong(|block| block.ld[0] ^= 1), block);
    assert_eq!(wrong(|block| block.family_id[15] ^= 1), block);
    assert_eq!(wrong(|block| block.image_id[0] ^= 1), block);
    assert_eq!(wrong(|block| block.guest_svn += 1), block);
    assert_eq!(wrong(|block| block.id_key_signature.r_comp[0] ^= 1), block);
    assert_eq!(wrong(|block| block.id_key_signature.s_comp[71] = 1), block);
    assert_eq!(verify(&sound, GuestPolicy::DEFAULT | GuestPolicy::DEBUG), block);
    assert_eq!(
        wrong(|block| block.author_key_signature.s_comp[0] ^= 1),
        Err(IdBlockError::Signature("ID key"))
    );
    assert_eq!(wrong(|block| block.id_public_key.qx[0] ^= 1), Err(IdBlockError::PublicKey("ID key")));
    assert_eq!(wrong(|block| block.id_public_key.curve = 1), Err(IdBlockError::PublicKey("ID key")));
    assert_eq!(
        wrong(|block| block.author_public_key.qy[71] = 1),
        Err(IdBlockError::PublicKey("author's key"))
    );
    for change in [
        (|block| block.version = 2) as fn(&mut IGVM_VHS_SNP_ID_BLOCK),
        |block| block.id_key_algorithm = 0,
        |block| block.author_key_algorithm = 0,
    ] {
        assert!(matches!(wrong(change), Err(IdBlockError::Algorithm { .. })));
    }
}

#[test]
fn keys_in_both_formats() {
    let secret = SecretKey::from_slice(&[5; 48]).unwrap();
    let sec1 = secret.to_sec1_pem(LineEnding::LF).unwrap();
    let with_curve = format!("-----BEGIN EC PARAMETERS-----\nx\n-----END EC PARAMETERS-----\n{}", *sec1);
    for pem in [&pem(5), &*sec1, &with_curve] {
        assert_eq!(Key::from_pem(pem).unwrap().public(), key(5).public());
    }
    for wrong in ["", "-----BEGIN EC PRIVATE KEY-----", &pem(5)[1..], &pem(5).replace('M', "N")] {
        assert!(matches!(Key::from_pem(wrong), Err(IdBlockError::Key(_))), "{wrong}");
    }
    assert_ne!(key_digest(&signed(None).id_public_key), [0; 48]);
}
