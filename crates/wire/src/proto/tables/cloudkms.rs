//! `google.cloud.kms.v1`, as far as signing keys go.

use super::Package;

pub(super) const TABLE: Package = Package {
    name: "google.cloud.kms.v1",
    text: "
KeyRing { 1 name string; 2 createTime Timestamp; }
CryptoKey {
  1 name string;
  2 primary CryptoKeyVersion;
  3 purpose CryptoKey.CryptoKeyPurpose;
  5 createTime Timestamp;
  7 nextRotationTime Timestamp;
  8 rotationPeriod Duration|rotation_schedule;
  11 versionTemplate CryptoKeyVersionTemplate;
  10 labels map<string>;
  13 importOnly bool;
  14 destroyScheduledDuration Duration;
  15 cryptoKeyBackend string;
  17 keyAccessJustificationsPolicy opaque;
}
enum CryptoKey.CryptoKeyPurpose {
  0 CRYPTO_KEY_PURPOSE_UNSPECIFIED; 1 ENCRYPT_DECRYPT; 5 ASYMMETRIC_SIGN; 6 ASYMMETRIC_DECRYPT;
  7 RAW_ENCRYPT_DECRYPT; 9 MAC; 10 KEY_ENCAPSULATION;
}
CryptoKeyVersionTemplate {
  1 protectionLevel ProtectionLevel;
  3 algorithm CryptoKeyVersion.CryptoKeyVersionAlgorithm;
}
CryptoKeyVersion {
  1 name string;
  3 state CryptoKeyVersion.CryptoKeyVersionState;
  7 protectionLevel ProtectionLevel;
  10 algorithm CryptoKeyVersion.CryptoKeyVersionAlgorithm;
  8 attestation opaque;
  4 createTime Timestamp;
  11 generateTime Timestamp;
  5 destroyTime Timestamp;
  6 destroyEventTime Timestamp;
  14 importJob string;
  15 importTime Timestamp;
  16 importFailureReason string;
  19 generationFailureReason string;
  20 externalDestructionFailureReason string;
  17 externalProtectionLevelOptions opaque;
  18 reimportEligible bool;
}
enum CryptoKeyVersion.CryptoKeyVersionState {
  0 CRYPTO_KEY_VERSION_STATE_UNSPECIFIED; 5 PENDING_GENERATION; 1 ENABLED; 2 DISABLED; 3 DESTROYED;
  4 DESTROY_SCHEDULED; 6 PENDING_IMPORT; 7 IMPORT_FAILED; 8 GENERATION_FAILED; 9 PENDING_EXTERNAL_DESTRUCTION;
  10 EXTERNAL_DESTRUCTION_FAILED;
}
enum CryptoKeyVersion.CryptoKeyVersionAlgorithm {
  0 CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED;
  1 GOOGLE_SYMMETRIC_ENCRYPTION;
  41 AES_128_GCM; 19 AES_256_GCM; 42 AES_128_CBC; 43 AES_256_CBC; 44 AES_128_CTR; 45 AES_256_CTR;
  2 RSA_SIGN_PSS_2048_SHA256; 3 RSA_SIGN_PSS_3072_SHA256; 4 RSA_SIGN_PSS_4096_SHA256; 15 RSA_SIGN_PSS_4096_SHA512;
  5 RSA_SIGN_PKCS1_2048_SHA256; 6 RSA_SIGN_PKCS1_3072_SHA256; 7 RSA_SIGN_PKCS1_4096_SHA256;
  16 RSA_SIGN_PKCS1_4096_SHA512;
  28 RSA_SIGN_RAW_PKCS1_2048; 29 RSA_SIGN_RAW_PKCS1_3072; 30 RSA_SIGN_RAW_PKCS1_4096;
  8 RSA_DECRYPT_OAEP_2048_SHA256; 9 RSA_DECRYPT_OAEP_3072_SHA256; 10 RSA_DECRYPT_OAEP_4096_SHA256;
  17 RSA_DECRYPT_OAEP_4096_SHA512;
  37 RSA_DECRYPT_OAEP_2048_SHA1; 38 RSA_DECRYPT_OAEP_3072_SHA1; 39 RSA_DECRYPT_OAEP_4096_SHA1;
  12 EC_SIGN_P256_SHA256; 13 EC_SIGN_P384_SHA384; 31 EC_SIGN_SECP256K1_SHA256; 40 EC_SIGN_ED25519;
  32 HMAC_SHA256; 33 HMAC_SHA1; 34 HMAC_SHA384; 35 HMAC_SHA512; 36 HMAC_SHA224;
  18 EXTERNAL_SYMMETRIC_ENCRYPTION;
  47 ML_KEM_768; 48 ML_KEM_1024; 63 KEM_XWING;
  56 PQ_SIGN_ML_DSA_65; 57 PQ_SIGN_SLH_DSA_SHA2_128S;
}
enum CryptoKeyVersion.CryptoKeyVersionView { 0 CRYPTO_KEY_VERSION_VIEW_UNSPECIFIED; 1 FULL; }
enum ProtectionLevel { 0 PROTECTION_LEVEL_UNSPECIFIED; 1 SOFTWARE; 2 HSM; 3 EXTERNAL; 4 EXTERNAL_VPC; }
PublicKey {
  1 pem string;
  2 algorithm CryptoKeyVersion.CryptoKeyVersionAlgorithm;
  3 pemCrc32c Int64Value;
  4 name string;
  5 protectionLevel ProtectionLevel;
  7 publicKeyFormat PublicKey.PublicKeyFormat;
  8 publicKey ChecksummedData;
}
enum PublicKey.PublicKeyFormat {
  0 PUBLIC_KEY_FORMAT_UNSPECIFIED; 1 PEM; 2 DER; 3 NIST_PQC; 4 XWING_RAW_BYTES;
}
ChecksummedData { 3 data bytes; 2 crc32cChecksum Int64Value; }
ListKeyRingsRequest { 1 parent string; 2 pageSize int32; 3 pageToken string; 4 filter string; 5 orderBy string; }
ListKeyRingsResponse { 1 keyRings KeyRing*; 2 nextPageToken string; 3 totalSize int32; }
GetKeyRingRequest { 1 name string; }
CreateKeyRingRequest { 1 parent string; 2 keyRingId string; 3 keyRing KeyRing; }
ListCryptoKeysRequest {
  1 parent string;
  2 pageSize int32;
  3 pageToken string;
  4 versionView CryptoKeyVersion.CryptoKeyVersionView;
  5 filter string;
  6 orderBy string;
}
ListCryptoKeysResponse { 1 cryptoKeys CryptoKey*; 2 nextPageToken string; 3 totalSize int32; }
GetCryptoKeyRequest { 1 name string; }
CreateCryptoKeyRequest {
  1 parent string; 2 cryptoKeyId string; 3 cryptoKey CryptoKey; 5 skipInitialVersionCreation bool;
}
UpdateCryptoKeyRequest { 1 cryptoKey CryptoKey; 2 updateMask FieldMask; }
ListCryptoKeyVersionsRequest {
  1 parent string;
  2 pageSize int32;
  3 pageToken string;
  4 view CryptoKeyVersion.CryptoKeyVersionView;
  5 filter string;
  6 orderBy string;
}
ListCryptoKeyVersionsResponse { 1 cryptoKeyVersions CryptoKeyVersion*; 2 nextPageToken string; 3 totalSize int32; }
GetCryptoKeyVersionRequest { 1 name string; }
CreateCryptoKeyVersionRequest { 1 parent string; 2 cryptoKeyVersion CryptoKeyVersion; }
UpdateCryptoKeyVersionRequest { 1 cryptoKeyVersion CryptoKeyVersion; 2 updateMask FieldMask; }
DestroyCryptoKeyVersionRequest { 1 name string; }
RestoreCryptoKeyVersionRequest { 1 name string; }
GetPublicKeyRequest { 1 name string; 2 publicKeyFormat PublicKey.PublicKeyFormat; }
AsymmetricSignRequest {
  1 name string; 3 digest Digest; 4 digestCrc32c Int64Value; 6 data bytes; 7 dataCrc32c Int64Value;
}
LocationMetadata { 1 hsmAvailable bool; 2 ekmAvailable bool; }
Digest { 1 sha256 bytes|digest; 2 sha384 bytes|digest; 3 sha512 bytes|digest; }
AsymmetricSignResponse {
  1 signature bytes;
  2 signatureCrc32c Int64Value;
  3 verifiedDigestCrc32c bool;
  4 name string;
  5 verifiedDataCrc32c bool;
  6 protectionLevel ProtectionLevel;
}
",
};
