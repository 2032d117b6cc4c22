//! Signature algorithms that are no longer safe, so that old chains can be followed and told what is weak in them.

use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

/// They stand in for the safe ones of the same name, which refuse short keys.
pub const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    &Rsa {
        ring: &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        id: SHA1_WITH_RSA,
    },
    &Rsa {
        ring: &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        id: alg_id::RSA_PKCS1_SHA256,
    },
    &Rsa {
        ring: &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        id: alg_id::RSA_PKCS1_SHA512,
    },
];

/// sha1WithRSAEncryption, 1.2.840.113549.1.1.5, with its NULL parameters (RFC 3279, section 2.2.1).
const SHA1_WITH_RSA: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
]);

/// RSA with PKCS#1 v1.5 padding and keys from 1024 bits.
#[derive(Debug)]
struct Rsa {
    ring: &'static RsaParameters,
    id: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.ring, key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.id
    }
}
