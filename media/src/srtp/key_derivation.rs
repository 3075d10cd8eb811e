//! Session keys from the master key: AES in counter mode (RFC 3711 §4.3, RFC 6188 for 256 bit),
//! with key derivation rate 0. A 96-bit salt of RFC 7714 is extended by zeros on the right.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use zeroize::Zeroizing;

use super::profile::Profile;
use crate::keys::Master;

const BLOCK_LEN: usize = 16;
/// Salt of the AES_CM pseudo-random function.
const PRF_SALT_LEN: usize = 14;
/// HMAC-SHA1 keys are 160 bit (RFC 3711 §5.2).
pub(super) const AUTH_KEY_LEN: usize = 20;

/// RFC 3711 §4.3.2.
#[derive(Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the key stream of one label.
pub(super) fn derive(profile: Profile, master: &Master<'_>, label: Label, out: &mut [u8]) {
    let mut counter = Zeroizing::new([0_u8; BLOCK_LEN]);
    let salt_len = master.salt.len().min(PRF_SALT_LEN);
    counter[..salt_len].copy_from_slice(&master.salt[..salt_len]);
    counter[7] ^= label as u8;
    match profile {
        Profile::AeadAes256Gcm => {
            let key: &[u8; 32] = master.key.try_into().expect("a 256-bit profile has a 256-bit key");
            fill(&Aes256::new(&Array::from(*key)), &mut counter, out);
        }
        Profile::AeadAes128Gcm | Profile::AesCm128HmacSha1_80 => {
            let key: &[u8; 16] = master.key.try_into().expect("a 128-bit profile has a 128-bit key");
            fill(&Aes128::new(&Array::from(*key)), &mut counter, out);
        }
    }
}

fn fill<C>(cipher: &C, counter: &mut [u8; BLOCK_LEN], out: &mut [u8])
where
    C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
{
    for (number, chunk) in (0_u16..).zip(out.chunks_mut(BLOCK_LEN)) {
        counter[14..].copy_from_slice(&number.to_be_bytes());
        let mut block = Array::from(*counter);
        cipher.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
        zeroize::Zeroize::zeroize(block.as_mut_slice());
    }
}
