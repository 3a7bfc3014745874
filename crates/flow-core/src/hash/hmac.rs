//! The two blocks that HMAC makes of a key (RFC 2104): with them, SQL that has SHA-256 has HMAC-SHA-256.

use sha2::{Digest, Sha256};

const BLOCK_BYTES: usize = 64;

/// Which of the two hashes a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBlock {
    /// That of the message.
    Inner,
    /// That of the inner hash.
    Outer,
}

impl KeyBlock {
    /// The block of a key, in hexadecimal digits.
    ///
    /// ```
    /// use ematix_flow_core::hash::hmac::KeyBlock;
    /// assert!(KeyBlock::Inner.of(b"").starts_with("3636"));
    /// ```
    pub fn of(self, key: &[u8]) -> String {
        let mut block = [0_u8; BLOCK_BYTES];
        if key.len() > BLOCK_BYTES {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let with = match self {
            KeyBlock::Inner => 0x36,
            KeyBlock::Outer => 0x5c,
        };
        block.iter().map(|byte| format!("{:02x}", byte ^ with)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits"))
            .collect()
    }

    fn hmac(key: &[u8], message: &[u8]) -> String {
        let of = |block: KeyBlock, rest: &[u8]| Sha256::digest([&unhex(&block.of(key)), rest].concat());
        let inner = of(KeyBlock::Inner, message);
        of(KeyBlock::Outer, &inner).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn it_is_that_of_rfc_4231() {
        let message = b"what do ya want for nothing?";
        let short = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hmac(b"Jefe", message), short);
        let long = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"), long);
    }
}
